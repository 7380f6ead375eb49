// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/polling.hpp: how long a worker polls for work before it sleeps.
//
// Being woken costs more than most work, so a worker whose work comes in quick succession first
// polls for the next piece for a short while. The window follows what would have been of use, as in
// Linux's halt polling for virtual machines: a short sleep opens it, a longer one closes it. An
// idle worker does not poll, which costs nothing.
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

  /// The length of the window. Zero: sleep at once.
  [[nodiscard]] Duration length() const { return length_; }
  /// Nothing came within the window, and the sleep after it lasted `time`.
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

/// True: this machine runs on its battery. `supplies`: Linux's folder of power supplies; without it
/// false.
[[nodiscard]] bool on_battery(const std::filesystem::path& supplies = "/sys/class/power_supply");

}  // namespace gantry::host
