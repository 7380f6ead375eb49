// SPDX-License-Identifier: Apache-2.0
//
// wall_clock.hpp: the time of day, for people: no order and no bound follows from it alone.
//
// Thread rule: any thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace gantry::state {

/// Milliseconds since 1970.
[[nodiscard]] inline std::int64_t wall_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

/// The time of day in which something ends: it does not go back while this lives, so that what has ended stays so, and
/// nothing lasts longer because the clock was set back. One thread.
class ForwardClock {
 public:
  /// `wall_ms`: the wall clock now; `steady_ms`: a clock that nobody sets.
  [[nodiscard]] std::int64_t ms(std::int64_t wall_ms, std::int64_t steady_ms) {
    latest_ms_ = latest_ms_ ? std::max(wall_ms, *latest_ms_ + (steady_ms - at_ms_)) : wall_ms;
    at_ms_ = steady_ms;
    return *latest_ms_;
  }

 private:
  std::optional<std::int64_t> latest_ms_;
  std::int64_t at_ms_ = 0;
};

}  // namespace gantry::state
