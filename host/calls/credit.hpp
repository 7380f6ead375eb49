// SPDX-License-Identifier: Apache-2.0
//
// host/calls/credit.hpp: how many items one side of a stream may still send.
//
// Thread rule: none of its own; the owner's mutex guards a Credit.
// Bounds: 2^32 - 1 items; what is added beyond that is dropped.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

namespace gantry::host {

class Credit {
 public:
  void add(std::uint32_t items) { items_ = std::min(items_ + items, kMost); }
  void add_all() { items_ = kMost; }
  /// One item's worth. False: there is none.
  [[nodiscard]] bool take() {
    if (items_ == 0) return false;
    --items_;
    return true;
  }
  [[nodiscard]] std::uint32_t take_all() { return static_cast<std::uint32_t>(std::exchange(items_, 0)); }
  [[nodiscard]] std::uint32_t items() const { return static_cast<std::uint32_t>(items_); }
  [[nodiscard]] bool empty() const { return items_ == 0; }

 private:
  static constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  std::uint64_t items_ = 0;
};

}  // namespace gantry::host
