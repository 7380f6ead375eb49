// SPDX-License-Identifier: Apache-2.0
//
// metrics_thread.hpp: the thread that has the metrics: what is recorded gathers, and is committed together.
//
// Thread rule: record(), query() and flush() by any thread; start(), join() and the destructor serially. Callbacks run
// on this thread. What was recorded before a query or a flush is part of it.
// Bounds: kMaxWaiting measurements and questions wait; more are `overloaded`.
#pragma once

#include <chrono>
#include <functional>
#include <gantry/channel/mpsc.hpp>
#include <gantry/mutex.hpp>
#include <gantry/plugin/thread.hpp>

#include "plugins/project_state/metrics.hpp"

namespace gantry::state {

class MetricsThread {
 public:
  static constexpr std::size_t kMaxWaiting = 16'384;
  static constexpr std::size_t kBatch = 500;
  static constexpr std::chrono::milliseconds kGather{250};

  using Done = std::move_only_function<void(Result<json>)>;

  MetricsThread(Host host, const std::string& folder);
  MetricsThread(const MetricsThread&) = delete;
  MetricsThread& operator=(const MetricsThread&) = delete;
  ~MetricsThread() { join(); }

  [[nodiscard]] Result<void> start();
  void record(Measurement measurement, Done done);
  void query(MetricsQuery query, Done done);
  /// `done` when all that was recorded before is on the disk.
  void flush(Done done);
  /// What waits is committed first.
  void join();

 private:
  using Task = std::move_only_function<void(MetricsStore&)>;
  MetricsThread(Host host, const std::string& folder, mpsc::Channel<Task> tasks);
  void push(std::function<Result<json>(MetricsStore&)> what, Done done);
  void loop();
  void commit();

  Host host_;
  MetricsStore store_;
  Mutex mutex_{"state metrics"};
  bool ended_ GANTRY_GUARDED_BY(mutex_) = false;
  mpsc::Sender<Task> sender_ GANTRY_GUARDED_BY(mutex_);
  mpsc::Receiver<Task> receiver_;
  bool fails_ = false;  ///< the last commit did not succeed, and that was logged
  PluginThread thread_;
};

}  // namespace gantry::state
