// SPDX-License-Identifier: Apache-2.0
//
// gantry/worker_pool.hpp: a thread pool for jobs that block or compute.
//
//   gantry::WorkerPool pool(8, 1024, on_unhandled_exception);
//   auto answer = gantry::spawn_blocking(pool, [] { return read_it(); });   // Result<oneshot::Receiver<Result<R>>>
//   auto text = answer->recv();                                             // or co_await answer->async_recv()
//
// Thread rule: any thread, jobs included; the destructor and stop() not from a job. Jobs run on one
//   of at most `threads` threads, which are started when first needed and stay.
// Full: spawn refuses with `overloaded` when `max_queued` jobs wait; the job is untouched. Order:
//   first in, first out.
// Exceptions: a job that throws harms no other job: exceptions of spawn's jobs are passed to
//   `on_unhandled_exception`; those of spawn_blocking become the answer's `internal` error.
// Closed: after stop() spawn refuses with `unavailable`; running jobs end, queued ones are dropped,
//   and their answers close. The destructor stops and waits.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <exception>
#include <functional>
#include <gantry/channel/oneshot.hpp>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace gantry {

class WorkerPool {
 public:
  using Job = std::move_only_function<void()>;

  WorkerPool(std::size_t threads, std::size_t max_queued, std::function<void(std::string_view)> on_unhandled_exception)
      : max_queued_(max_queued),
        on_unhandled_exception_(std::move(on_unhandled_exception)),
        max_threads_(threads == 0 ? 1 : threads) {}
  ~WorkerPool() { (void)stop(); }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  [[nodiscard]] Result<void> spawn(Job&& job) {
    bool wake = false;
    {
      const Lock lock(mutex_);
      if (stopping_) return fail(ErrorKind::unavailable, "the worker pool has stopped");
      if (queue_.size() >= max_queued_)
        return fail(ErrorKind::overloaded, std::to_string(queue_.size()) + " jobs wait for the worker pool",
                    R"({"retry_after_ms":100})");
      queue_.push_back(std::move(job));
      queued_.store(queue_.size(), std::memory_order_relaxed);
      wake = idle_ > waking_;
      if (wake) {
        ++waking_;
      } else if (threads_.size() < max_threads_ && !start_thread() && live_ == 0) {
        job = std::move(queue_.back());
        queue_.pop_back();
        queued_.store(queue_.size(), std::memory_order_relaxed);
        return fail(ErrorKind::unavailable, "the system starts no thread for the worker pool");
      }
    }
    if (wake) changed_.notify_one();
    return {};
  }
  /// A higher number also serves jobs that wait already; a lower number ends no running thread.
  void set_threads(std::size_t threads) {
    const Lock lock(mutex_);
    max_threads_ = threads == 0 ? 1 : threads;
    start_for_waiting();
  }
  /// Adds a thread in place of one that is stuck; drop_thread() takes it back when that thread has
  /// returned.
  void add_thread() {
    const Lock lock(mutex_);
    ++max_threads_;
    start_for_waiting();
  }
  void drop_thread() {
    const Lock lock(mutex_);
    if (max_threads_ > 1) --max_threads_;
  }
  /// False: a job ran or waited at `until`. Not from a job.
  [[nodiscard]] bool block_until_idle(std::optional<std::chrono::steady_clock::time_point> until = std::nullopt) {
    const Lock lock(mutex_);
    while (!is_idle()) {
      if (!until) {
        ended_.wait(mutex_);
      } else if (!ended_.wait_until(mutex_, *until)) {
        return is_idle();
      }
    }
    return true;
  }
  /// Takes no more jobs and waits for those that run. False: one still ran at `until`; the pool must then not be
  /// destroyed.
  bool stop(std::chrono::steady_clock::time_point until = std::chrono::steady_clock::time_point::max()) {
    std::vector<std::thread> threads;
    std::deque<Job> dropped;
    {
      const Lock lock(mutex_);
      stopping_ = true;
      dropped.swap(queue_);
    }
    changed_.notify_all();
    dropped.clear();  // a running job may wait for the answer of a dropped one
    {
      const Lock lock(mutex_);
      while (live_ != 0) {
        if (until == std::chrono::steady_clock::time_point::max()) {
          ended_.wait(mutex_);
        } else if (!ended_.wait_until(mutex_, until) && live_ != 0) {
          return false;
        }
      }
      threads.swap(threads_);
    }
    for (auto& thread : threads) thread.join();
    return true;
  }

 private:
  [[nodiscard]] bool is_idle() const GANTRY_REQUIRES(mutex_) { return queue_.empty() && idle_ == live_; }
  /// False: the system refused; those that are there go on.
  [[nodiscard]] bool start_thread() GANTRY_REQUIRES(mutex_) {
    try {
      threads_.emplace_back([this] { serve(); });
    } catch (const std::system_error&) {
      return false;
    }
    ++live_;
    return true;
  }
  void start_for_waiting() GANTRY_REQUIRES(mutex_) {
    for (std::size_t i = idle_; i < queue_.size() && threads_.size() < max_threads_ && start_thread(); ++i) {
    }
  }
  void serve() {
    while (auto job = next()) {
      try {
        (*job)();
      } catch (const std::exception& e) {
        on_unhandled_exception_(e.what());
      } catch (...) {
        on_unhandled_exception_("an exception of unknown type");
      }
    }
  }
  /// Polls for a moment before the thread sleeps: being woken costs more than most jobs.
  void look() const noexcept {
    for (detail::Backoff backoff; !backoff.spent() && queued_.load(std::memory_order_relaxed) == 0;) backoff.wait();
  }
  [[nodiscard]] std::optional<Job> next() {
    look();
    const Lock lock(mutex_);
    while (queue_.empty() && !stopping_) {
      ++idle_;
      if (is_idle()) ended_.notify_all();
      changed_.wait(mutex_);
      --idle_;
      if (waking_ != 0) --waking_;
    }
    if (stopping_) {
      --live_;
      ended_.notify_all();
      return std::nullopt;
    }
    std::optional<Job> job(std::move(queue_.front()));
    queue_.pop_front();
    queued_.store(queue_.size(), std::memory_order_relaxed);
    return job;
  }

  const std::size_t max_queued_;
  const std::function<void(std::string_view)> on_unhandled_exception_;
  Mutex mutex_{"worker pool"};
  CondVar changed_;
  CondVar ended_;  ///< a thread, or all jobs
  std::size_t max_threads_ GANTRY_GUARDED_BY(mutex_);
  std::deque<Job> queue_ GANTRY_GUARDED_BY(mutex_);
  std::atomic<std::size_t> queued_{0};  ///< the number of queued jobs, for threads that only look
  std::vector<std::thread> threads_ GANTRY_GUARDED_BY(mutex_);
  std::size_t live_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::size_t idle_ GANTRY_GUARDED_BY(mutex_) = 0;    ///< threads that sleep, or are about to look
  std::size_t waking_ GANTRY_GUARDED_BY(mutex_) = 0;  ///< threads among these that were woken
  bool stopping_ GANTRY_GUARDED_BY(mutex_) = false;
};

/// Runs `f` on the pool; errors as spawn(). The answer closes without a value when the pool stops
/// before the job runs.
template <class F, class R = std::invoke_result_t<F&>>
[[nodiscard]] Result<oneshot::Receiver<Result<R>>> spawn_blocking(WorkerPool& pool, F f) {
  auto [reply, answer] = oneshot::channel<Result<R>>();
  auto spawned = pool.spawn([work = std::move(f), out = std::move(reply)]() mutable {
    Result<R> result = fail(ErrorKind::internal, "an exception of unknown type");
    try {
      F own = std::move(work);  // its captures are destroyed before anybody learns of its end
      if constexpr (std::is_void_v<R>) {
        own();
        result = {};
      } else {
        result = own();
      }
    } catch (const std::exception& e) {
      result = fail(ErrorKind::internal, e.what());
    } catch (...) {  // NOLINT(bugprone-empty-catch): the result says it already
    }
    (void)out.send(std::move(result));
  });
  if (!spawned) return std::unexpected(std::move(spawned.error()));
  return std::move(answer);
}

}  // namespace gantry
