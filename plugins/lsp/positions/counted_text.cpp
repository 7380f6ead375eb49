// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/positions/counted_text.hpp"

#include <algorithm>

namespace gantry::lsp {

namespace {

[[nodiscard]] std::int64_t units_of(std::size_t bytes, Encoding encoding) {
  if (encoding == Encoding::utf8) return static_cast<std::int64_t>(bytes);
  return encoding == Encoding::utf16 && bytes == 4 ? 2 : 1;
}

struct Counted {
  std::size_t bytes = 0;
  std::int64_t left = 0;  ///< of the units, behind the end
  std::int64_t units = 0;
};

[[nodiscard]] Counted count(std::string_view text, std::int64_t units, Encoding from, Encoding to) {
  Counted out{.left = units};
  while (out.left > 0 && out.bytes < text.size()) {
    const auto size = std::min(sequence_length(text[out.bytes]), text.size() - out.bytes);
    const auto wide = units_of(size, from);
    if (wide > out.left) {
      out.left = 0;
      break;
    }
    out.left -= wide;
    out.units += units_of(size, to);
    out.bytes += size;
  }
  return out;
}

}  // namespace

std::int64_t recounted(std::string_view text, std::int64_t units, Encoding from, Encoding to) {
  const auto counted = count(text, units, from, to);
  return counted.units + counted.left;
}

CountedText::CountedText(std::string_view text) : text_(text), starts_{0} {
  for (auto at = text.find_first_of("\r\n"); at != std::string_view::npos; at = text.find_first_of("\r\n", at)) {
    at += text.substr(at, 2) == "\r\n" ? 2 : 1;
    starts_.push_back(at);
  }
}

std::int64_t CountedText::character(std::int64_t line, std::int64_t character, Encoding from, Encoding to) const {
  if (line < 0 || static_cast<std::size_t>(line) >= starts_.size()) return character;
  const auto rest = text_.substr(starts_[static_cast<std::size_t>(line)]);
  return recounted(rest.substr(0, rest.find_first_of("\r\n")), character, from, to);
}

std::int64_t CountedText::length(std::int64_t line, std::int64_t character, std::int64_t length, Encoding from,
                                 Encoding to) const {
  if (line < 0 || static_cast<std::size_t>(line) >= starts_.size()) return length;
  const auto rest = text_.substr(starts_[static_cast<std::size_t>(line)]);
  const auto before = count(rest.substr(0, rest.find_first_of("\r\n")), character, from, to);
  return recounted(rest.substr(before.bytes), length, from, to);
}

}  // namespace gantry::lsp
