// SPDX-License-Identifier: Apache-2.0
//
// gantry/repair.hpp: repairs JSON of programs that cut texts in the middle of a character.
//
// Some editors and servers send bytes that are no UTF-8, and escapes of half a surrogate pair.
// Strict JSON parsers, the host's included, refuse both. Only the broken character is replaced; all
// else stays as it was.
//
// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace gantry {

namespace detail {

/// The length of the UTF-8 sequence that begins here; 0: there is none.
[[nodiscard]] inline std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const auto continues = [&](std::size_t i) { return (at(i) & 0xC0U) == 0x80U; };
  const unsigned lead = at(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return continues(1) ? 2 : 0;
  if ((lead & 0xF0U) == 0xE0U) {
    const bool too_long = lead == 0xE0 && at(1) < 0xA0;
    const bool surrogate = lead == 0xED && at(1) > 0x9F;
    return continues(1) && continues(2) && !too_long && !surrogate ? 3 : 0;
  }
  if (lead < 0xF0 || lead > 0xF4) return 0;
  const bool too_long = lead == 0xF0 && at(1) < 0x90;
  const bool too_large = lead == 0xF4 && at(1) > 0x8F;
  return continues(1) && continues(2) && continues(3) && !too_long && !too_large ? 4 : 0;
}

/// The UTF-16 code unit of an escape `\uXXXX` at the front of `text`; empty: there is none.
[[nodiscard]] inline std::optional<unsigned> escaped_unit(std::string_view text) {
  if (text.size() < 6 || text[0] != '\\' || text[1] != 'u') return std::nullopt;
  unsigned unit = 0;
  for (const char c : text.substr(2, 4)) {
    const auto digit = std::string_view("0123456789abcdef").find(static_cast<char>(c >= 'A' && c <= 'F' ? c + 32 : c));
    if (digit == std::string_view::npos) return std::nullopt;
    unit = unit * 16 + static_cast<unsigned>(digit);
  }
  return unit;
}

/// The number of bytes at the front that are plain ASCII without an escape, in steps of eight.
[[nodiscard]] inline std::size_t plain_prefix(std::string_view text) {
  constexpr std::uint64_t kOnes = 0x0101010101010101, kHigh = 0x8080808080808080;
  std::size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + at, 8);
    const std::uint64_t slashes = word ^ (kOnes * static_cast<unsigned char>('\\'));
    if (((word | ((slashes - kOnes) & ~slashes)) & kHigh) != 0) break;
  }
  return at;
}

struct Piece {
  std::size_t size;
  const char* instead;  ///< null: the character stays
};
[[nodiscard]] inline Piece next_piece(std::string_view rest) {
  if (rest.front() != '\\') {
    const std::size_t size = utf8_length(rest);
    return size == 0 ? Piece{1, "\xEF\xBF\xBD"} : Piece{size, nullptr};
  }
  const auto unit = escaped_unit(rest);
  if (!unit) return {rest.size() < 2 ? rest.size() : 2, nullptr};
  if (*unit < 0xD800 || *unit > 0xDFFF) return {6, nullptr};
  const auto second = *unit < 0xDC00 ? escaped_unit(rest.substr(6)) : std::nullopt;
  if (second && *second >= 0xDC00 && *second <= 0xDFFF) return {12, nullptr};
  return {6, "\\ufffd"};
}

}  // namespace detail

/// The text with U+FFFD in place of each byte that is no UTF-8 and of each half of a surrogate
/// pair. Empty: nothing had to be replaced.
[[nodiscard]] inline std::optional<std::string> repaired_json(std::string_view text) {
  std::optional<std::string> out;
  std::size_t kept = 0;  // so far `out` has it
  for (std::size_t at = 0; at < text.size();) {
    at += detail::plain_prefix(text.substr(at));
    if (at == text.size()) break;
    const auto piece = detail::next_piece(text.substr(at));
    if (piece.instead != nullptr) {
      if (!out) out.emplace();
      out->append(text.substr(kept, at - kept));
      out->append(piece.instead);
      kept = at + piece.size;
    }
    at += piece.size;
  }
  if (out) out->append(text.substr(kept));
  return out;
}

}  // namespace gantry
