// SPDX-License-Identifier: Apache-2.0
//
// gantry/detail/serial_loop.hpp: a queue of tasks and timers that one thread runs, one at a time:
// the strand of a plugin that has no host around it (gantry/testing.hpp, `gantry plugin check`).
//
// Thread rule: run() on the thread of the loop; all other functions on any thread. Tasks run
// without a lock, and may not throw.
// Bounds: the code that posts bounds the queue, and the timers.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <gantry/deadline.hpp>
#include <gantry/mutex.hpp>
#include <map>
#include <optional>
#include <utility>

namespace gantry::detail {

class SerialLoop {
 public:
  using Task = std::function<void()>;
  /// Time::manual: timers fall due by advance() alone.
  enum class Time : std::uint8_t { real, manual };

  explicit SerialLoop(Time time) : time_(time) {}
  SerialLoop(const SerialLoop&) = delete;
  SerialLoop& operator=(const SerialLoop&) = delete;
  ~SerialLoop() = default;

  /// Runs tasks and due timers until quit(); what was posted before is run.
  void run() {
    while (auto task = next()) task();
  }
  /// Ends run(). False: a task is running, or waits to run.
  bool quit() {
    const Lock lock(mutex_);
    quit_ = true;
    changed_.notify_all();
    return queue_.empty() && !busy_;
  }

  void post(Task task) {
    const Lock lock(mutex_);
    queue_.push_back(std::move(task));
    changed_.notify_all();
  }
  /// The number of tasks that wait.
  [[nodiscard]] std::size_t size() const {
    const Lock lock(mutex_);
    return queue_.size();
  }
  /// Waits until no task runs or waits. False: not by `until`.
  [[nodiscard]] bool wait_idle(TimePoint until) const {
    const Lock lock(mutex_);
    while (busy_ || !queue_.empty()) {
      if (!changed_.wait_until(mutex_, until)) return queue_.empty() && !busy_;
    }
    return true;
  }

  /// While the loop is paused no task and no timer runs.
  void pause(bool paused) {
    const Lock lock(mutex_);
    paused_ = paused;
    changed_.notify_all();
  }
  [[nodiscard]] bool is_paused() const {
    const Lock lock(mutex_);
    return paused_;
  }

  [[nodiscard]] TimePoint now() const {
    if (time_ == Time::real) return std::chrono::steady_clock::now();
    const Lock lock(mutex_);
    return now_;
  }
  /// Returns the number of the timer, which is never 0. A negative delay is none.
  std::uint64_t start_timer(Duration delay, Task task) {
    const auto from = now();
    delay = std::max(delay, Duration::zero());
    const Lock lock(mutex_);
    timers_.emplace(delay > TimePoint::max() - from ? TimePoint::max() : from + delay,
                    Timer{next_timer_, std::move(task)});
    changed_.notify_all();
    return next_timer_++;
  }
  /// False: the timer has run, or there was none.
  bool cancel_timer(std::uint64_t id) {
    const Lock lock(mutex_);
    return std::erase_if(timers_, [&](const auto& entry) { return entry.second.id == id; }) == 1;
  }
  void clear_timers() {
    const Lock lock(mutex_);
    timers_.clear();
  }
  /// While timers are held none of them falls due.
  void hold_timers(bool held) {
    const Lock lock(mutex_);
    timers_held_ = held;
    changed_.notify_all();
  }
  /// The number of timers that wait.
  [[nodiscard]] std::size_t timers() const {
    const Lock lock(mutex_);
    return timers_.size();
  }
  /// For Time::manual: sets the clock to the first timer that is due by `target` and returns its
  /// task, which the caller runs; empty: no timer is due, and the clock stands at `target`.
  [[nodiscard]] std::optional<Task> advance(TimePoint target) {
    const Lock lock(mutex_);
    auto task = take_timer(target);
    if (!task) now_ = std::max(now_, target);
    return task;
  }

 private:
  struct Timer {
    std::uint64_t id;
    Task task;
  };

  [[nodiscard]] std::optional<Task> take_timer(TimePoint by) GANTRY_REQUIRES(mutex_) {
    const auto first = timers_.begin();
    if (timers_held_ || first == timers_.end() || first->first > by) return std::nullopt;
    now_ = std::max(now_, first->first);
    Task task = std::move(first->second.task);
    timers_.erase(first);
    return task;
  }
  // Waits. Empty: the loop is to end.
  [[nodiscard]] Task next() {
    const Lock lock(mutex_);
    while (true) {
      if (!queue_.empty() && (!paused_ || quit_)) {
        Task task = std::move(queue_.front());
        queue_.pop_front();
        busy_ = true;
        return task;
      }
      if (std::exchange(busy_, false)) changed_.notify_all();
      if (quit_) return {};
      const bool timed = time_ == Time::real && !paused_ && !timers_held_ && !timers_.empty();
      if (!timed) {
        changed_.wait(mutex_);
      } else if (auto due = take_timer(std::chrono::steady_clock::now())) {
        busy_ = true;
        return std::move(*due);
      } else {
        (void)changed_.wait_until(mutex_, timers_.begin()->first);
      }
    }
  }

  const Time time_;
  mutable Mutex mutex_{"serial loop"};
  mutable CondVar changed_;
  std::deque<Task> queue_ GANTRY_GUARDED_BY(mutex_);
  bool busy_ GANTRY_GUARDED_BY(mutex_) = false;
  bool quit_ GANTRY_GUARDED_BY(mutex_) = false;
  bool paused_ GANTRY_GUARDED_BY(mutex_) = false;
  bool timers_held_ GANTRY_GUARDED_BY(mutex_) = false;
  TimePoint now_ GANTRY_GUARDED_BY(mutex_){std::chrono::hours(1)};  ///< for Time::manual
  std::uint64_t next_timer_ GANTRY_GUARDED_BY(mutex_) = 1;
  std::multimap<TimePoint, Timer> timers_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::detail
