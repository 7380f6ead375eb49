// SPDX-License-Identifier: Apache-2.0
//
// lines.hpp: the lines of a text, and the two ways to count in them: agents and people count lines and characters
// (Unicode code points) from 1, language servers count lines and UTF-16 code units from 0.
//
// Lines end at LF, CR or CRLF, as the protocol says. A character behind the end of its line means that end.
//
// Thread rule: one thread. The text is copied.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::lsp {

/// Counted from 1.
struct Position {
  std::int64_t line = 1;
  std::int64_t column = 1;

  auto operator<=>(const Position&) const = default;
};

class Lines {
 public:
  explicit Lines(std::string text);
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;

  [[nodiscard]] std::size_t count() const { return begins_.size(); }
  /// Without its end; empty behind the last line. `number`: from 1.
  [[nodiscard]] std::string_view line(std::int64_t number) const;
  /// A position of the protocol: {line, character}.
  [[nodiscard]] json to_protocol(Position position) const;
  /// Nothing: `position` is no position of the protocol.
  [[nodiscard]] std::optional<Position> from_protocol(const json& position) const;
  /// The text from one position to another in the same line; empty: they are not.
  [[nodiscard]] std::string between(Position begin, Position end) const;
  /// The column where `word` stands by itself in the line for the first time.
  [[nodiscard]] std::optional<std::int64_t> find_word(std::int64_t number, std::string_view word) const;

 private:
  const std::string text_;
  std::vector<std::size_t> begins_;
};

}  // namespace gantry::lsp
