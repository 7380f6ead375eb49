// SPDX-License-Identifier: Apache-2.0
//
// host/observe/wall_clock.hpp: the time of day, for people and for files that are read later.
//
// Thread rule: any thread.
#pragma once

#include <array>
#include <ctime>
#include <string>

namespace gantry::host {

/// The time as `2026-01-31T12:00:00Z`.
[[nodiscard]] inline std::string wall_clock() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  const auto size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), size};
}

}  // namespace gantry::host
