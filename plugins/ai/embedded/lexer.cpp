// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/embedded/lexer.hpp"

#include <algorithm>
#include <array>

namespace gantry::ai {

namespace {

constexpr std::array<std::string_view, 36> kOperators = {
    "<<=", ">>=", "...", "->*", "<=>", "===", "!==", "**=", "::", "->", "++", "--", "<<", ">>", "<=", ">=", "==", "!=",
    "&&",  "||",  "+=",  "-=",  "*=",  "/=",  "%=",  "&=",  "|=", "^=", "=>", ":=", "//", "/*", "*/", "??", "?.", "##"};

constexpr std::array<bool, 256> kInOperators = [] {
  std::array<bool, 256> in{};
  for (const auto op : kOperators) {
    for (const char c : op) in[static_cast<unsigned char>(c)] = true;
  }
  return in;
}();

constexpr bool is_rule(char c) { return c == '-' || c == '=' || c == '*' || c == '#' || c == '/' || c == '~'; }

std::int8_t as_gap(int columns) { return static_cast<std::int8_t>(std::clamp(columns, -120, 120)); }

}  // namespace

std::optional<Lexeme> Lexer::next() {
  std::size_t lines = 0;
  int columns = 0;
  bool tab = false;
  const bool first = line_start_ && at_ == 0;
  for (; at_ < text_.size(); ++at_) {
    const char c = text_[at_];
    if (c == '\n') {
      ++lines;
      columns = 0;
      tab = false;
    } else if (c == '\t') {
      columns += kTabColumns;
      tab = true;
    } else if (c == ' ' || c == '\r' || c == '\f' || c == '\v' || c == '\0') {
      columns += c == ' ' ? 1 : 0;
    } else {
      break;
    }
  }
  // Leading blank lines of the text tell nothing.
  if (lines > 0 && !first) {
    trailing_ = columns;
    line_start_ = true;
    tabs_ = tabs_ || tab;
    return Lexeme{lines > 1 ? "\n\n" : "\n", 0};
  }
  if (at_ == text_.size()) {
    if (columns > 0) trailing_ = columns;
    return std::nullopt;
  }
  Lexeme lexeme;
  // The white space of a line's start was counted with the line end before it.
  const int before = lines > 0 || first ? columns : trailing_;
  if (line_start_) {
    lexeme.gap = as_gap(before - indent_);
    indent_ = before;
    tabs_ = tabs_ || tab;
  } else {
    lexeme.gap = tab ? kTabGap : as_gap(columns);
  }
  line_start_ = false;
  trailing_ = 0;
  const std::size_t size = length();
  lexeme.text = text_.substr(at_, size);
  at_ += size;
  return lexeme;
}

std::size_t Lexer::length() const {
  const std::string_view rest = text_.substr(at_, kMaxToken + 1);
  const auto first = static_cast<unsigned char>(rest.front());
  if (is_word_byte(first)) {
    const bool digits = first >= '0' && first <= '9';
    std::size_t size = 1;
    while (size < rest.size()) {
      const auto c = static_cast<unsigned char>(rest[size]);
      const bool fraction =
          digits && c == '.' && size + 1 < rest.size() && rest[size + 1] >= '0' && rest[size + 1] <= '9';
      if (!is_word_byte(c) && !fraction) break;
      ++size;
    }
    if (size <= kMaxToken) return size;
    size = kMaxToken;
    while (size > 1 && (static_cast<unsigned char>(rest[size]) & 0xC0U) == 0x80) --size;
    return size;
  }
  if (is_rule(rest.front())) {
    const std::size_t run = std::min(rest.find_first_not_of(rest.front()), kMaxToken);
    const std::size_t size = std::min(run, rest.size());
    if (size >= 4) return size;
  }
  // Most punctuation stands alone: the list is looked through only where one of it can begin.
  if (rest.size() < 2 || !kInOperators[static_cast<unsigned char>(rest[0])] ||
      !kInOperators[static_cast<unsigned char>(rest[1])]) {
    return 1;
  }
  for (const auto op : kOperators) {
    if (rest.starts_with(op)) return op.size();
  }
  return 1;
}

}  // namespace gantry::ai
