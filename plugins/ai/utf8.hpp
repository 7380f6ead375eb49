// SPDX-License-Identifier: Apache-2.0
//
// utf8.hpp: checks UTF-8 (Unicode 15, table 3-7).
//
// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <string_view>

namespace gantry::ai {

struct Utf8Step {
  std::size_t size;  ///< bytes of a character, or of the maximal part of one that U+FFFD replaces; 0: at the end
  bool valid;
};

/// The first character of `text`, or the part of it to replace.
[[nodiscard]] inline Utf8Step utf8_step(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (text.empty()) return {0, false};
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {1, true};
  if (lead < 0xC2 || lead > 0xF4) return {1, false};
  const std::size_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The range of the second byte excludes overlong forms, surrogates, and code points above
  // U+10FFFF.
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (std::size_t i = 1; i < size; ++i) {
    if (i >= text.size() || byte(i) < low || byte(i) > high) return {i, false};
    low = 0x80;
    high = 0xBF;
  }
  return {size, true};
}

}  // namespace gantry::ai
