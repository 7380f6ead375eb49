// SPDX-License-Identifier: Apache-2.0
//
// embedded/lexer.hpp: splits text of any language into words, operators and line ends, from which
// the text can be written again.
//
// One lexer serves every text: comments and strings consist of the same tokens as code, because a
//   cursor may be inside them. White space is no token of its own, since that would halve the code
//   that a context of n tokens covers; instead each token carries a `gap`: within a line the number
//   of spaces before it (-1: a tab), at the start of a line the change of indentation, in columns,
//   against the last line that was not blank. A line end is a token; blank lines make it "\n\n".
//
// Thread rule: one thread. The text must outlive the lexer and its tokens.
// Bounds: a token is at most kMaxToken bytes; longer words are cut, at a UTF-8 boundary. Every byte
//   that is not white space is in some token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace gantry::ai {

inline constexpr int kTabColumns = 4;
inline constexpr std::int8_t kTabGap = -1;

struct Lexeme {
  std::string_view text;
  std::int8_t gap = 0;
};

[[nodiscard]] constexpr bool is_word_byte(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c >= 0x80;
}

class Lexer {
 public:
  static constexpr std::size_t kMaxToken = 64;

  explicit Lexer(std::string_view text) : text_(text) {}

  /// The next token; empty at the end of the text.
  [[nodiscard]] std::optional<Lexeme> next();

  /// The columns of white space behind the last token; at the end of the text, those that were
  /// typed after it.
  [[nodiscard]] int trailing() const { return trailing_; }
  /// The indentation, in columns, of the last line that holds a token.
  [[nodiscard]] int indent() const { return indent_; }
  /// True: some line began with a tab.
  [[nodiscard]] bool tabs() const { return tabs_; }

 private:
  [[nodiscard]] std::size_t length() const;

  std::string_view text_;
  std::size_t at_ = 0;
  int trailing_ = 0;
  int indent_ = 0;
  bool line_start_ = true;
  bool tabs_ = false;
};

}  // namespace gantry::ai
