// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/timer_queue.hpp: what lies behind every Timers: callbacks ordered by time.
//
// Thread rule: any thread.
#pragma once

#include <gantry/mutex.hpp>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include "host/runtime/timers.hpp"

namespace gantry::host {

class TimerQueue {
 public:
  struct Added {
    TimerKey key;
    bool first;  ///< it is now the earliest
  };
  [[nodiscard]] Added add(TimePoint when, Timers::Callback callback) {
    Lock lock(mutex_);
    const TimerKey key = ++last_key_;
    const auto it = queue_.emplace(std::pair(when, key), std::move(callback)).first;
    times_.emplace(key, when);
    return Added{key, it == queue_.begin()};
  }
  [[nodiscard]] bool remove(TimerKey key) {
    Timers::Callback dropped;  // dies after the lock
    Lock lock(mutex_);
    const auto time = times_.find(key);
    if (time == times_.end()) return false;
    const auto it = queue_.find(std::pair(time->second, key));
    dropped = std::move(it->second);
    queue_.erase(it);
    times_.erase(time);
    return true;
  }
  /// The earliest one if it is due.
  [[nodiscard]] std::optional<Timers::Callback> take_due(TimePoint now) {
    Lock lock(mutex_);
    if (queue_.empty() || queue_.begin()->first.first > now) return std::nullopt;
    auto first = queue_.begin();
    std::optional<Timers::Callback> callback(std::move(first->second));
    times_.erase(first->first.second);
    queue_.erase(first);
    return callback;
  }
  [[nodiscard]] std::optional<TimePoint> earliest() const {
    Lock lock(mutex_);
    if (queue_.empty()) return std::nullopt;
    return queue_.begin()->first.first;
  }

 private:
  mutable Mutex mutex_;
  TimerKey last_key_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::map<std::pair<TimePoint, TimerKey>, Timers::Callback> queue_ GANTRY_GUARDED_BY(mutex_);
  std::unordered_map<TimerKey, TimePoint> times_ GANTRY_GUARDED_BY(mutex_);
};

/// A clock that stands still until it is moved. For tests.
class ManualTimers final : public Timers {
 public:
  [[nodiscard]] TimePoint now() const override {
    Lock lock(mutex_);
    return now_;
  }
  TimerKey at(TimePoint when, Callback callback) override { return queue_.add(when, std::move(callback)).key; }
  bool cancel(TimerKey key) override { return queue_.remove(key); }

  /// Moves the clock; what falls due runs here, in order.
  void advance(Duration by) {
    const TimePoint target = now() + by;
    while (true) {
      const auto next = queue_.earliest();
      const TimePoint step = next && *next < target ? std::max(*next, now()) : target;
      {
        Lock lock(mutex_);
        now_ = step;
      }
      while (auto due = queue_.take_due(step)) (*due)();
      if (step == target) return;
    }
  }
  /// How long until the next one; empty: there is none.
  [[nodiscard]] std::optional<Duration> next_in() const {
    const auto next = queue_.earliest();
    if (!next) return std::nullopt;
    return *next - now();
  }

 private:
  mutable Mutex mutex_;
  TimePoint now_ GANTRY_GUARDED_BY(mutex_){std::chrono::hours(1)};
  TimerQueue queue_;
};

}  // namespace gantry::host
