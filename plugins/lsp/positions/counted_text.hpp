// SPDX-License-Identifier: Apache-2.0
//
// counted_text.hpp: a text in which characters of a line are counted in two encodings.
//
// A position is a line and a number of code units of that line (bytes in UTF-8, 16 bit units in UTF-16, code points in
// UTF-32), as the Language Server Protocol has it.
//
// Thread rule: one thread at a time. Ownership: the text outlives the object.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "plugins/lsp/documents.hpp"

namespace gantry::lsp {

/// The protocol's largest number of units, which may stand for the end of a line.
inline constexpr std::int64_t kMaxUnits = 2'147'483'647;

class CountedText {
 public:
  CountedText(std::string_view text, Encoding from, Encoding to);

  /// The character of a position, counted in `from`, as counted in `to`. In the midst of a code point: before that
  /// point. Units behind the end of the line stay as many; of a line that the text has not, `character` is returned.
  /// Positions of a line that come in their order are counted from one to the next.
  [[nodiscard]] std::int64_t character(std::int64_t line, std::int64_t character);
  /// The length, in `to`, of what is `length` units of `from` long and begins at a position that is counted in `from`.
  /// It may go over the ends of lines; units behind the end of the text stay as many.
  [[nodiscard]] std::int64_t length(std::int64_t line, std::int64_t character, std::int64_t length);

 private:
  /// A place in a line.
  struct Place {
    std::size_t line = 0, bytes = 0;
    std::int64_t from = 0, to = 0;  ///< units before it
    std::int64_t behind = 0;        ///< units of the position that are behind the end of the line
  };
  [[nodiscard]] bool seek(std::int64_t line, std::int64_t character);

  std::string_view text_;
  Encoding from_, to_;
  std::vector<std::size_t> starts_;  ///< of lines
  std::vector<std::size_t> ends_;
  Place place_;
};

/// The units, in `to`, of the first `units` of `from` in `text`; units behind its end stay as many.
[[nodiscard]] std::int64_t recounted(std::string_view text, std::int64_t units, Encoding from, Encoding to);

}  // namespace gantry::lsp
