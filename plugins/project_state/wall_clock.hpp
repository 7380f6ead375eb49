// SPDX-License-Identifier: Apache-2.0
//
// wall_clock.hpp: the time of day, for people: no order and no bound follows from it alone.
//
// Thread rule: any thread.
#pragma once

#include <chrono>
#include <cstdint>

namespace gantry::state {

/// Milliseconds since 1970.
[[nodiscard]] inline std::int64_t wall_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

}  // namespace gantry::state
