// SPDX-License-Identifier: Apache-2.0
//
// printable.hpp: text from a server, made safe for one line of a log or of an error.
//
// Control characters and bytes that are no UTF-8 are shown as escapes: `\n`, `\x1b`, `\xff`.
//
// Thread rule: a pure function.
// Bounds: the first `most` bytes of the text; each becomes at most four bytes.
#pragma once

#include <gantry/repair.hpp>
#include <string>
#include <string_view>

namespace gantry::lsp {

[[nodiscard]] inline std::string printable(std::string_view text, std::size_t most) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  text = text.substr(0, most);
  std::string out;
  while (!text.empty()) {
    const auto first = static_cast<unsigned char>(text.front());
    const std::size_t size = detail::utf8_length(text);
    const bool c1 = first == 0xC2 && size == 2 && static_cast<unsigned char>(text[1]) < 0xA0;
    if (size > 0 && first >= 0x20 && first != 0x7F && !c1) {
      out += text.substr(0, size);
      text.remove_prefix(size);
      continue;
    }
    if (first == '\n' || first == '\r' || first == '\t') {
      out += first == '\n' ? "\\n" : first == '\r' ? "\\r" : "\\t";
    } else {
      out += "\\x";
      out += kDigits[first >> 4U];
      out += kDigits[first & 0xFU];
    }
    text.remove_prefix(1);
  }
  return out;
}

}  // namespace gantry::lsp
