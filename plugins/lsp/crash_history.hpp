// SPDX-License-Identifier: Apache-2.0
//
// crash_history.hpp: counts the recent crashes of a server, and decides what follows from them.
//
// The first restart is immediate, the next after 200 ms, doubling up to 30 s; after kMaxCrashes
// crashes within kWindow there is none.
//
// Thread rule: one thread at a time.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <gantry/retry.hpp>

#include "plugins/lsp/server_life.hpp"

namespace gantry::lsp {

class CrashHistory {
 public:
  static constexpr std::size_t kMaxCrashes = 5;
  static constexpr std::chrono::minutes kWindow{3};

  /// `seed`: servers that crash together (a full disk, a killed group) must not restart in step.
  explicit CrashHistory(std::size_t seed)
      : backoff_(RetryPolicy{.max_retries = kNoLimit,
                             .initial_delay = std::chrono::milliseconds(200),
                             .max_delay = std::chrono::seconds(30),
                             .jitter = 0.25,
                             .seed = seed}) {}

  /// The event of a crash at this time.
  [[nodiscard]] ServerEvent next(TimePoint now) const {
    const auto lately = 1 + static_cast<std::size_t>(std::ranges::count_if(
                                crashes_, [&](TimePoint crash) { return now - crash <= kWindow; }));
    if (lately >= kMaxCrashes) return ServerEvent::exited_too_often;
    return lately == 1 ? ServerEvent::exited_once : ServerEvent::exited_again;
  }
  void record(TimePoint now) {
    while (!crashes_.empty() && now - crashes_.front() > kWindow) crashes_.pop_front();
    crashes_.push_back(now);
    if (crashes_.size() == 1) backoff_.reset();
  }
  /// The delay before the next start.
  [[nodiscard]] Duration delay() { return backoff_.next().value_or(std::chrono::seconds(30)); }
  void forgive() {
    crashes_.clear();
    backoff_.reset();
  }

 private:
  std::deque<TimePoint> crashes_;
  Backoff backoff_;
};

}  // namespace gantry::lsp
