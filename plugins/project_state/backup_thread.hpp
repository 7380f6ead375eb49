// SPDX-License-Identifier: Apache-2.0
//
// backup_thread.hpp: the thread that makes backups: one in each interval in which something was committed, and one
// whenever somebody asks.
//
// Thread rule: request() and set_options() by any thread; start() and join() serially. Callbacks run on this thread.
// Bounds: kMaxWaiting requests wait; more are `overloaded`.
#pragma once

#include <chrono>
#include <functional>
#include <gantry/channel/mpsc.hpp>
#include <gantry/mutex.hpp>
#include <gantry/plugin/host.hpp>
#include <gantry/plugin/thread.hpp>

#include "plugins/project_state/backups.hpp"
#include "plugins/project_state/store.hpp"

namespace gantry::state {

class BackupThread {
 public:
  static constexpr std::size_t kMaxWaiting = 16;
  struct Options {
    std::chrono::minutes interval{60};  ///< 0: only when somebody asks
    std::size_t keep = 3;
  };
  using Done = std::move_only_function<void(Result<Backup>)>;

  BackupThread(Host host, const Store& store, Options options);
  BackupThread(const BackupThread&) = delete;
  BackupThread& operator=(const BackupThread&) = delete;
  ~BackupThread() { join(); }

  [[nodiscard]] Result<void> start();
  void request(Done done);
  void set_options(Options options);
  /// One that is being made is finished first.
  void join();

 private:
  BackupThread(Host host, const Store& store, Options options, mpsc::Channel<Done> requests);
  void loop();
  [[nodiscard]] Options options() const;
  [[nodiscard]] Result<Backup> make();
  void make_if_changed();

  Host host_;
  const Store& store_;
  mutable Mutex mutex_{"state backups"};
  Options options_ GANTRY_GUARDED_BY(mutex_);
  mpsc::Sender<Done> sender_;
  mpsc::Receiver<Done> receiver_;
  PluginThread thread_;
};

}  // namespace gantry::state
