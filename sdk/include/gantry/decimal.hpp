// SPDX-License-Identifier: Apache-2.0
//
// gantry/decimal.hpp: numbers as text that is the same in every locale. std::to_string(double),
// printf and streams write the decimal point of the process's locale, which any code in the process
// may set.
//
// Thread rule: pure functions.
#pragma once

#include <array>
#include <charconv>
#include <string>

namespace gantry {

/// `value` with that many digits behind the point, as %.*f writes it in the C locale. At most 17
/// digits.
[[nodiscard]] inline std::string decimal(double value, int digits) {
  std::array<char, 340> text{};  // 309 digits of the largest value, the sign, the point
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed, digits).ptr;
  return {text.data(), end};
}

}  // namespace gantry
