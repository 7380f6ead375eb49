// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/positions/counted_text.hpp"

#include <algorithm>

namespace gantry::lsp {

namespace {

[[nodiscard]] std::int64_t units_of(std::size_t bytes, Encoding encoding) {
  if (encoding == Encoding::utf8) return static_cast<std::int64_t>(bytes);
  return encoding == Encoding::utf16 && bytes == 4 ? 2 : 1;
}

// Goes on to `wanted` units of `from`, unless the text ends before, or a code point is in the way.
void advance(std::string_view text, std::int64_t wanted, Encoding from, Encoding to, std::size_t& bytes,
             std::int64_t& units, std::int64_t& counted) {
  while (units < wanted && bytes < text.size()) {
    const auto size = std::min(sequence_length(text[bytes]), text.size() - bytes);
    const auto wide = units_of(size, from);
    if (units + wide > wanted) return;
    units += wide;
    counted += units_of(size, to);
    bytes += size;
  }
}

}  // namespace

std::int64_t recounted(std::string_view text, std::int64_t units, Encoding from, Encoding to) {
  units = std::min(units, kMaxUnits);
  std::size_t bytes = 0;
  std::int64_t seen = 0, counted = 0;
  advance(text, units, from, to, bytes, seen, counted);
  return bytes == text.size() ? counted + units - seen : counted;
}

CountedText::CountedText(std::string_view text, Encoding from, Encoding to)
    : text_(text), from_(from), to_(to), starts_{0} {
  for (auto at = text.find_first_of("\r\n"); at != std::string_view::npos; at = text.find_first_of("\r\n", at)) {
    ends_.push_back(at);
    at += text.substr(at, 2) == "\r\n" ? 2 : 1;
    starts_.push_back(at);
  }
  ends_.push_back(text.size());
}

// False: there is no such line.
bool CountedText::seek(std::int64_t line, std::int64_t character) {
  if (line < 0 || static_cast<std::size_t>(line) >= starts_.size()) return false;
  const auto number = static_cast<std::size_t>(line);
  if (number != place_.line || character < place_.from) place_ = Place{.line = number};
  const auto whole = text_.substr(starts_[number], ends_[number] - starts_[number]);
  advance(whole, character, from_, to_, place_.bytes, place_.from, place_.to);
  place_.behind = place_.bytes == whole.size() ? character - place_.from : 0;
  return true;
}

std::int64_t CountedText::character(std::int64_t line, std::int64_t character) {
  character = std::min(character, kMaxUnits);
  return seek(line, character) ? place_.to + place_.behind : character;
}

std::int64_t CountedText::length(std::int64_t line, std::int64_t character, std::int64_t length) {
  length = std::min(length, kMaxUnits);
  if (!seek(line, std::min(character, kMaxUnits))) return length;
  return recounted(text_.substr(starts_[place_.line] + place_.bytes), length, from_, to_);
}

}  // namespace gantry::lsp
