// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/timers.hpp: the interface of the host's clock and its timers.
//
// Thread rule: any thread. Callbacks run on a worker (a test's ManualTimers: on the thread that
// moves the clock), one at a time, never inside at() or cancel().
#pragma once

#include <cstdint>
#include <functional>
#include <gantry/deadline.hpp>
#include <utility>

namespace gantry::host {

using TimerKey = std::uint64_t;

class Timers : public Clock {
 public:
  using Callback = std::move_only_function<void()>;
  /// Runs `callback` at `when`. The key is never 0.
  virtual TimerKey at(TimePoint when, Callback callback) = 0;
  /// True: the callback will not run.
  virtual bool cancel(TimerKey key) = 0;

  /// Runs `callback` after `delay`; at the largest time point when that would overflow.
  TimerKey after(Duration delay, Callback callback) {
    const TimePoint time = now();
    return at(delay > TimePoint::max() - time ? TimePoint::max() : time + delay, std::move(callback));
  }
};

}  // namespace gantry::host
