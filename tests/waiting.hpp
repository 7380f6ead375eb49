// SPDX-License-Identifier: Apache-2.0
//
// waiting.hpp: how tests and their plugins wait. For a step of another thread of the same process they take a
// std::latch, an answer, or the block_until_idle() of the part; polled() is for what tells nobody of its changes:
// another process, a file, a counter.
#pragma once

#include <algorithm>
#include <chrono>
#include <latch>
#include <stop_token>
#include <thread>

namespace gantry::test {

/// How long a test waits for what has to come.
inline constexpr std::chrono::seconds kWaitTimeout{60};

/// When a wait that begins now gives up.
[[nodiscard]] inline std::chrono::steady_clock::time_point latest() {
  return std::chrono::steady_clock::now() + kWaitTimeout;
}

/// Asks until `condition()` holds; false: it did not within `timeout`. Between two questions the thread sleeps for an
/// eighth of the time that it has waited so far, at least 20 us and at most 20 ms. Any thread.
template <class F>
[[nodiscard]] bool polled(F&& condition, std::chrono::nanoseconds timeout = kWaitTimeout) {
  using Clock = std::chrono::steady_clock;
  const auto begun = Clock::now();
  while (!condition()) {
    const std::chrono::nanoseconds waited = Clock::now() - begun;
    if (waited > timeout) return false;
    std::this_thread::sleep_for(
        std::clamp<std::chrono::nanoseconds>(waited / 8, std::chrono::microseconds(20), std::chrono::milliseconds(20)));
  }
  return true;
}

/// Returns when the token is cancelled. Any thread.
inline void wait_until_cancelled(const std::stop_token& token) {
  std::latch told(1);
  const std::stop_callback on_cancel(token, [&] { told.count_down(); });
  told.wait();
}

}  // namespace gantry::test
