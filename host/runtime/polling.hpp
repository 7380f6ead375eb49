// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/polling.hpp: how long a worker looks for work before it sleeps.
//
// To be woken costs more than most work, so a worker whose work comes in quick succession looks for the next piece for
// a short while first. The window follows what would have been of use, as in Linux's halt polling for virtual machines:
// a sleep that was short opens it, a longer one closes it. Idle, the window is shut and costs nothing.
//
// Thread rule: one thread at a time.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <gantry/deadline.hpp>

namespace gantry::host {

class PollWindow {
 public:
  static constexpr Duration kFirst = std::chrono::microseconds(20);
  static constexpr Duration kMost = std::chrono::microseconds(160);

  /// Zero: sleep at once.
  [[nodiscard]] Duration length() const { return length_; }
  /// Nothing came within the window, and the sleep after it took so long.
  void slept(Duration time) {
    if (time <= kMost) {
      length_ = std::clamp(2 * length_, kFirst, kMost);
    } else {
      length_ = length_ > kFirst ? length_ / 2 : Duration::zero();
    }
  }

 private:
  Duration length_{0};
};

/// Does this machine run on its battery? `supplies`: Linux's folder of them; without one it does not.
[[nodiscard]] bool on_battery(const std::filesystem::path& supplies = "/sys/class/power_supply");

}  // namespace gantry::host
