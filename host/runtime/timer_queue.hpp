// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/timer_queue.hpp: the implementation behind every Timers: callbacks ordered by time.
//
// Almost every timer is a deadline that is cancelled soon. So a timer is a place in a heap and a
// slot with its callback. Cancelling frees the slot; the place in the heap is removed when it comes
// to the front, or when more than half of the heap are such places: memory is bounded by twice the
// live timers.
//
// Thread rule: any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <gantry/mutex.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "host/runtime/timers.hpp"

namespace gantry::host {

class TimerQueue {
 public:
  struct Added {
    TimerKey key;
    bool first;  ///< it is before all others
  };
  [[nodiscard]] Added add(TimePoint when, Timers::Callback callback) {
    Lock lock(mutex_);
    if (free_.empty()) {
      free_.push_back(static_cast<std::uint32_t>(slots_.size()));
      slots_.emplace_back();
    }
    const std::uint32_t at = free_.back();
    free_.pop_back();
    Slot& slot = slots_[at];
    slot.callback = std::move(callback);
    slot.order = ++last_order_;
    heap_.push_back(Place{when, slot.order, at});
    std::push_heap(heap_.begin(), heap_.end());
    return Added{key_of(at, slot), heap_.front().order == slot.order};
  }
  [[nodiscard]] bool remove(TimerKey key) {
    Timers::Callback dropped;  // destroyed after the lock is released
    Lock lock(mutex_);
    const auto at = static_cast<std::uint32_t>(key);
    if (at >= slots_.size() || slots_[at].order == 0 || key_of(at, slots_[at]) != key) return false;
    dropped = release(at);
    constexpr std::size_t kFew = 64;
    if (heap_.size() > 2 * (slots_.size() - free_.size()) + kFew) {
      std::erase_if(heap_, [this](const Place& place) GANTRY_REQUIRES(mutex_) { return !lives(place); });
      std::make_heap(heap_.begin(), heap_.end());
    }
    return true;
  }
  /// Takes the earliest timer if it is due.
  [[nodiscard]] std::optional<Timers::Callback> take_due(TimePoint now) {
    Lock lock(mutex_);
    drop_dead();
    if (heap_.empty() || heap_.front().when > now) return std::nullopt;
    std::optional<Timers::Callback> callback(release(heap_.front().slot));
    pop();
    return callback;
  }
  [[nodiscard]] std::optional<TimePoint> earliest() {
    Lock lock(mutex_);
    drop_dead();
    if (heap_.empty()) return std::nullopt;
    return heap_.front().when;
  }

 private:
  struct Slot {
    Timers::Callback callback;
    std::uint64_t order = 0;       ///< of the timer that has the slot; 0: the slot is free
    std::uint32_t generation = 1;  ///< so that an old key does not match a new timer
  };
  struct Place {
    TimePoint when;
    std::uint64_t order;  ///< of timers at the same time the first added comes first
    std::uint32_t slot;
    // The greatest place is at the front of the heap.
    bool operator<(const Place& other) const { return std::pair(other.when, other.order) < std::pair(when, order); }
  };
  [[nodiscard]] static TimerKey key_of(std::uint32_t at, const Slot& slot) {
    return (static_cast<TimerKey>(slot.generation) << 32U) | at;
  }
  [[nodiscard]] bool lives(const Place& place) const GANTRY_REQUIRES(mutex_) {
    return slots_[place.slot].order == place.order;
  }
  [[nodiscard]] Timers::Callback release(std::uint32_t at) GANTRY_REQUIRES(mutex_) {
    Slot& slot = slots_[at];
    slot.order = 0;
    slot.generation = std::max<std::uint32_t>(slot.generation + 1, 1);
    free_.push_back(at);
    return std::exchange(slot.callback, nullptr);
  }
  void pop() GANTRY_REQUIRES(mutex_) {
    std::pop_heap(heap_.begin(), heap_.end());
    heap_.pop_back();
  }
  void drop_dead() GANTRY_REQUIRES(mutex_) {
    while (!heap_.empty() && !lives(heap_.front())) pop();
  }

  mutable Mutex mutex_;
  std::uint64_t last_order_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::vector<Slot> slots_ GANTRY_GUARDED_BY(mutex_);
  std::vector<std::uint32_t> free_ GANTRY_GUARDED_BY(mutex_);
  std::vector<Place> heap_ GANTRY_GUARDED_BY(mutex_);
};

/// A clock that stands still until a test moves it.
class ManualTimers final : public Timers {
 public:
  [[nodiscard]] TimePoint now() const override {
    Lock lock(mutex_);
    return now_;
  }
  TimerKey at(TimePoint when, Callback callback) override { return queue_.add(when, std::move(callback)).key; }
  bool cancel(TimerKey key) override { return queue_.remove(key); }

  /// Moves the clock; timers that fall due run here, in order.
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
  /// The time until the next timer; empty: there is none.
  [[nodiscard]] std::optional<Duration> next_in() const {
    const auto next = queue_.earliest();
    if (!next) return std::nullopt;
    return *next - now();
  }

 private:
  mutable Mutex mutex_;
  TimePoint now_ GANTRY_GUARDED_BY(mutex_){std::chrono::hours(1)};
  mutable TimerQueue queue_;
};

}  // namespace gantry::host
