// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/tools/lines.hpp"

#include <algorithm>
#include <utility>

namespace gantry::lsp {

namespace {

[[nodiscard]] bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }
[[nodiscard]] bool needs_two_units(char lead) { return static_cast<unsigned char>(lead) >= 0xF0U; }
[[nodiscard]] bool belongs_to_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80U;
}

[[nodiscard]] std::int64_t characters(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return !continues_character(c); });
}

[[nodiscard]] std::optional<std::int64_t> number_at(const json& object, const char* name) {
  const auto it = object.find(name);
  if (it == object.end() || !it->is_number_integer() || *it < 0) return std::nullopt;
  constexpr std::int64_t kMost = (std::int64_t{1} << 31) - 1;  // the protocol's
  return *it > kMost ? kMost : it->get<std::int64_t>();
}

}  // namespace

Lines::Lines(std::string text) : text_(std::move(text)), begins_{0} {
  for (std::size_t i = 0; i < text_.size(); ++i) {
    const bool ends = text_[i] == '\n' || (text_[i] == '\r' && (i + 1 == text_.size() || text_[i + 1] != '\n'));
    if (ends) begins_.push_back(i + 1);
  }
}

std::string_view Lines::line(std::int64_t number) const {
  if (number < 1 || static_cast<std::size_t>(number) > begins_.size()) return {};
  const auto index = static_cast<std::size_t>(number) - 1;
  const std::size_t end = index + 1 < begins_.size() ? begins_[index + 1] : text_.size();
  std::string_view out = std::string_view(text_).substr(begins_[index], end - begins_[index]);
  while (out.ends_with('\n') || out.ends_with('\r')) out.remove_suffix(1);
  return out;
}

json Lines::to_protocol(Position position) const {
  const std::string_view text = line(position.line);
  std::int64_t column = 1, units = 0;
  for (std::size_t i = 0; i < text.size() && column < position.column; ++column) {
    units += needs_two_units(text[i]) ? 2 : 1;
    for (++i; i < text.size() && continues_character(text[i]);) ++i;
  }
  return {{"line", position.line - 1}, {"character", units}};
}

std::optional<Position> Lines::from_protocol(const json& position) const {
  if (!position.is_object()) return std::nullopt;
  const auto line_number = number_at(position, "line"), character = number_at(position, "character");
  if (!line_number || !character) return std::nullopt;
  Position out{*line_number + 1, 1};
  const std::string_view text = line(out.line);
  std::int64_t units = 0;
  for (std::size_t i = 0; i < text.size() && units < *character; ++out.column) {
    units += needs_two_units(text[i]) ? 2 : 1;
    for (++i; i < text.size() && continues_character(text[i]);) ++i;
  }
  return out;
}

std::string Lines::between(Position begin, Position end) const {
  if (begin.line != end.line || end.column < begin.column) return {};
  const std::string_view text = line(begin.line);
  const auto byte_of = [&](std::int64_t column) {
    std::size_t at = 0;
    for (std::int64_t i = 1; i < column && at < text.size(); ++i) {
      for (++at; at < text.size() && continues_character(text[at]);) ++at;
    }
    return at;
  };
  const std::size_t from = byte_of(begin.column);
  return std::string(text.substr(from, byte_of(end.column) - from));
}

std::optional<std::int64_t> Lines::find_word(std::int64_t number, std::string_view word) const {
  const std::string_view text = line(number);
  if (word.empty()) return std::nullopt;
  for (auto at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const bool begins = at == 0 || !belongs_to_word(text[at - 1]) || !belongs_to_word(word.front());
    const auto end = at + word.size();
    const bool ends = end == text.size() || !belongs_to_word(text[end]) || !belongs_to_word(word.back());
    if (begins && ends) return characters(text.substr(0, at)) + 1;
  }
  return std::nullopt;
}

}  // namespace gantry::lsp
