// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <host/observe/printable.hpp>

namespace gantry::host {
namespace {

struct Decoded {
  std::uint32_t code = 0;
  std::size_t size = 0;  // 0: the first byte begins no UTF-8 sequence
};

Decoded decode(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const std::uint32_t first = byte(0);
  if (first < 0x80) return {first, 1};
  const std::size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < size) return {};
  std::uint32_t code = first & (0xFFU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return {};
    code = (code << 6U) | (byte(i) & 0x3FU);
  }
  const bool overlong = (size == 3 && code < 0x800) || (size == 4 && code < 0x10000);
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (overlong || surrogate || code > 0x10FFFF) return {};
  return {code, size};
}

bool is_harmful(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code <= 0x9F) || code == 0x061C || code == 0x200E || code == 0x200F ||
         (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

// Appends the next character to `out` as it may be shown. Returns how many bytes of `text` that were.
std::size_t show_next(std::string_view text, std::string& out) {
  const Decoded next = decode(text);
  if (next.size != 0 && !is_harmful(next.code)) {
    out += text.substr(0, next.size);
    return next.size;
  }
  switch (text.front()) {
    case '\n':
      out += "\\n";
      return 1;
    case '\r':
      out += "\\r";
      return 1;
    case '\t':
      out += "\\t";
      return 1;
    default:
      break;
  }
  const bool byte = next.size <= 1;
  std::array<char, 8> escape{};
  std::snprintf(
      escape.data(), escape.size(), byte ? "\\x%02x" : "\\u%04x",
      byte ? static_cast<unsigned>(static_cast<unsigned char>(text.front())) : static_cast<unsigned>(next.code));
  out += escape.data();
  return byte ? 1 : next.size;
}

}  // namespace

std::string printable(std::string_view text, std::size_t max_bytes) {
  constexpr std::size_t kMarkBytes = 32;  // " [cut: 18446744073709551615 bytes]" is 34, but no text is as long
  std::string out;
  out.reserve(std::min(text.size(), max_bytes));
  const std::size_t room = max_bytes > kMarkBytes ? max_bytes - kMarkBytes : 0;
  std::size_t read = 0;
  std::size_t safe_out = 0;  // up to here there is room for the mark
  std::size_t safe_read = 0;
  while (read < text.size()) {
    if (out.size() <= room) {
      safe_out = out.size();
      safe_read = read;
    }
    read += show_next(text.substr(read), out);
    if (out.size() <= max_bytes) continue;
    out.resize(safe_out);
    if (room > 0) out += " [cut: " + std::to_string(text.size() - safe_read) + " bytes]";
    break;
  }
  return out;
}

std::string printable_lines(std::string_view text, std::size_t max_bytes) {
  std::string out;
  while (true) {
    const auto end = text.find('\n');
    out += printable(text.substr(0, end), max_bytes);
    if (end == std::string_view::npos) return out;
    out += '\n';
    text.remove_prefix(end + 1);
  }
}

}  // namespace gantry::host
