// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/timers.hpp: the host's clock and its timers, handed to whoever needs time.
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
  /// Never 0.
  virtual TimerKey at(TimePoint when, Callback callback) = 0;
  /// True: it will not run.
  virtual bool cancel(TimerKey key) = 0;

  /// At the end of time when that would be beyond it.
  TimerKey after(Duration delay, Callback callback) {
    const TimePoint time = now();
    return at(delay > TimePoint::max() - time ? TimePoint::max() : time + delay, std::move(callback));
  }
};

}  // namespace gantry::host
