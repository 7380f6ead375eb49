// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/worker_pool.hpp: threads for work that blocks or computes.
//
// Thread rule: any thread. A job runs on one of at most `threads` threads, which are started when first needed and
// stay. Full: spawn refuses with `overloaded` when `max_queued` jobs wait. A job that throws harms no other: it is
// reported
//   to `on_escape`.
// The destructor waits for running jobs; queued ones are dropped.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <string_view>
#include <thread>
#include <vector>

namespace gantry::host {

class WorkerPool {
 public:
  using Job = std::move_only_function<void()>;

  WorkerPool(std::size_t threads, std::size_t max_queued, std::function<void(std::string_view)> on_escape);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  [[nodiscard]] Result<void> spawn(Job job);
  /// More threads from the next job on; a lower number ends none that are there.
  void set_threads(std::size_t threads);
  /// Takes no more jobs and waits for those that run. False: one still ran at `until`; the pool must then not be
  /// destroyed.
  bool stop(std::chrono::steady_clock::time_point until = std::chrono::steady_clock::time_point::max());

 private:
  void serve();

  const std::size_t max_queued_;
  const std::function<void(std::string_view)> on_escape_;
  Mutex mutex_;
  CondVar changed_;
  std::size_t max_threads_ GANTRY_GUARDED_BY(mutex_);
  std::deque<Job> queue_ GANTRY_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ GANTRY_GUARDED_BY(mutex_);
  std::size_t live_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::size_t idle_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool stopping_ GANTRY_GUARDED_BY(mutex_) = false;
};

}  // namespace gantry::host
