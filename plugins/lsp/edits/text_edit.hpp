// SPDX-License-Identifier: Apache-2.0
//
// text_edit.hpp: the TextEdits of the protocol, applied to a text, and shown as hunks of whole lines.
//
// As the specification says: all ranges are those of the text before; edits may come in any order; several insertions
// at one position keep their order; a range behind the end of its line or of the text means that end. Edits that
// overlap are refused, as are an insertion behind the replacement that begins at the same position, and a range that
// ends before it begins.
//
// Line ends: a text whose lines all end alike keeps that: the line ends of inserted text become those of the text.
// Editors do so, and servers rely on that.
//
// Thread rule: pure functions.
// Bounds: kMaxHunkBytes of each side of a hunk are shown.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <gantry/result.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::lsp {

/// A position of the protocol: lines and UTF-16 units from 0.
struct Place {
  std::uint32_t line = 0;
  std::uint32_t character = 0;

  auto operator<=>(const Place&) const = default;
};

struct TextEdit {
  Place begin;
  Place end;
  std::string new_text;
};

/// Of a TextEdit[] as a server writes it; also of AnnotatedTextEdits. `upstream_failed`: it is malformed.
[[nodiscard]] Result<std::vector<TextEdit>> text_edits_of(const json& list);

/// Lines that change, without the line end of the last.
struct Hunk {
  static constexpr std::size_t kMaxHunkBytes = 600;

  std::int64_t line = 1;  ///< the first one, in the text before, from 1
  std::string before;     ///< empty: lines are only added
  std::string after;      ///< empty: lines are only removed
  std::int64_t lines_before = 0;
  std::int64_t lines_after = 0;
  bool cut = false;  ///< more than kMaxHunkBytes: the rest is not shown
};

struct EditedText {
  std::string text;
  std::vector<Hunk> hunks;  ///< in the order of the text; none: nothing changes
};

/// `invalid_params`: `text` is not UTF-8. `upstream_failed`: edits overlap. `too_large`: the result is larger than
/// kMaxFile (files.hpp).
[[nodiscard]] Result<EditedText> apply_edits(std::string_view text, std::vector<TextEdit> edits);

/// Where each line begins. Lines end at LF, CR or CRLF.
[[nodiscard]] std::vector<std::size_t> line_begins(std::string_view text);

}  // namespace gantry::lsp
