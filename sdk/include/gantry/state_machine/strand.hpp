// SPDX-License-Identifier: Apache-2.0
//
// gantry/state_machine/strand.hpp: tasks one at a time, without a thread of their own (gantry/state_machine.hpp).
//
// Thread rule: any thread; post() does not block, unless it runs tasks itself.
// Bounds: what a strand holds is bounded by those who post to it.
// Never: two tasks of a strand run at once; a task is lost.
#pragma once

#include <cassert>
#include <deque>
#include <exception>
#include <functional>
#include <gantry/deadline.hpp>
#include <gantry/mutex.hpp>
#include <optional>
#include <thread>
#include <utility>

namespace gantry {

/// Runs tasks one at a time, in the order in which they were posted, on the thread that posts to it while it is idle.
class Strand {
 public:
  using Task = std::move_only_function<void()>;

  Strand() = default;
  Strand(const Strand&) = delete;
  Strand& operator=(const Strand&) = delete;
  /// Nothing is posted any more, and nothing runs.
  ~Strand() {
    (void)block_until_idle();
    const Lock lock(mutex_);
    assert(tasks_.empty());
  }

  /// Runs `task` here, after those before it; or leaves it to the thread that runs one now. A task
  /// that throws, which none should, keeps no other task from running: the thread that runs them
  /// throws the first exception at the end.
  void post(Task task) {
    {
      const Lock lock(mutex_);
      tasks_.push_back(std::move(task));
      if (std::exchange(runs_, true)) return;
      runner_ = std::this_thread::get_id();
    }
    std::exception_ptr thrown;
    while (auto next = take()) {
      try {
        (*next)();
      } catch (...) {
        if (!thrown) thrown = std::current_exception();
      }
    }
    if (thrown) std::rethrow_exception(thrown);
    // Nothing of the strand is touched from here on: whoever waited for it to be idle may destroy it.
  }
  /// As post(), and returns when `task` has run, or throws what it has thrown; inside of a task it runs at once.
  template <class F>
  void run(F&& task) {
    if (is_runner()) {
      std::forward<F>(task)();
      return;
    }
    bool done = false;  // under mutex_
    std::exception_ptr thrown;
    post([this, &task, &done, &thrown] {
      try {
        task();
      } catch (...) {
        thrown = std::current_exception();
      }
      const Lock lock(mutex_);
      done = true;
      changed_.notify_all();
    });
    {
      const Lock lock(mutex_);
      while (!done) changed_.wait(mutex_);
    }
    if (thrown) std::rethrow_exception(thrown);
  }
  /// False: it still ran at `until`. Not inside of a task.
  [[nodiscard]] bool block_until_idle(std::optional<TimePoint> until = std::nullopt) {
    const Lock lock(mutex_);
    while (runs_) {
      if (!until) {
        changed_.wait(mutex_);
      } else if (!changed_.wait_until(mutex_, *until)) {
        return !runs_;
      }
    }
    return true;
  }

 private:
  [[nodiscard]] bool is_runner() const {
    const Lock lock(mutex_);
    return runs_ && runner_ == std::this_thread::get_id();
  }
  [[nodiscard]] std::optional<Task> take() {
    const Lock lock(mutex_);
    if (tasks_.empty()) {
      runs_ = false;
      runner_ = {};
      changed_.notify_all();
      return std::nullopt;
    }
    Task next = std::move(tasks_.front());
    tasks_.pop_front();
    return next;
  }

  mutable Mutex mutex_{"strand"};
  CondVar changed_;
  std::deque<Task> tasks_ GANTRY_GUARDED_BY(mutex_);
  bool runs_ GANTRY_GUARDED_BY(mutex_) = false;
  std::thread::id runner_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry
