// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/edits/text_edit.hpp"

#include <simdjson.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "plugins/lsp/documents.hpp"
#include "plugins/lsp/files.hpp"

namespace gantry::lsp {

namespace {

[[nodiscard]] std::unexpected<Error> malformed(const std::string& what) {
  return fail(ErrorKind::upstream_failed, "the server's edit is malformed: " + what);
}

// Some servers write the largest number that they have for "the end".
[[nodiscard]] std::optional<std::uint32_t> number_in(const json& position, const char* name) {
  const auto it = position.find(name);
  if (it == position.end() || !is_integer(*it) || *it < 0) return std::nullopt;
  constexpr std::uint32_t kMost = (std::uint32_t{1} << 31) - 1;  // the protocol's
  return *it > kMost ? kMost : it->get<std::uint32_t>();
}

[[nodiscard]] std::optional<Place> place_in(const json& range, const char* name) {
  const auto it = range.find(name);
  if (it == range.end() || !it->is_object()) return std::nullopt;
  const auto line = number_in(*it, "line"), character = number_in(*it, "character");
  if (!line || !character) return std::nullopt;
  return Place{*line, *character};
}

[[nodiscard]] std::string shown(const Place& place) {
  return std::to_string(place.line + 1) + ":" + std::to_string(place.character + 1);
}

/// An edit by its offsets in the text before.
struct Span {
  std::size_t from = 0;
  std::size_t to = 0;
  std::string text;
  Place begin;
  std::size_t order = 0;  ///< of the edit in its list
};

class Text {
 public:
  explicit Text(std::string_view text) : text_(text), begins_(line_begins(text)) {
    std::size_t crlf = 0, lf = 0, cr = 0;
    for (std::size_t i = 1; i < begins_.size(); ++i) {
      const std::size_t end = begins_[i];
      if (text[end - 1] == '\r') {
        ++cr;
      } else {
        ++(end >= 2 && text[end - 2] == '\r' ? crlf : lf);
      }
    }
    if (crlf > 0 && lf + cr == 0) line_end_ = "\r\n";
    if (lf > 0 && crlf + cr == 0) line_end_ = "\n";
  }

  [[nodiscard]] std::size_t offset(const Place& place) const {
    if (place.line >= begins_.size()) return text_.size();
    const std::size_t begin = begins_[place.line];
    return begin + offset_of(text_.substr(begin, end_of(place.line) - begin), 0, place.character, Encoding::utf16);
  }
  /// With its line end.
  [[nodiscard]] std::size_t end_of(std::size_t line) const {
    return line + 1 < begins_.size() ? begins_[line + 1] : text_.size();
  }
  [[nodiscard]] std::size_t begin_of(std::size_t line) const { return begins_[line]; }
  [[nodiscard]] std::size_t line_at(std::size_t offset) const {
    return static_cast<std::size_t>(std::ranges::upper_bound(begins_, offset) - begins_.begin()) - 1;
  }
  [[nodiscard]] std::string with_line_ends(std::string text) const {
    if (line_end_.empty() || text.find_first_of("\r\n") == std::string::npos) return text;
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') ++i;
      if (text[i] == '\n') {
        out += line_end_;
      } else {
        out += text[i];
      }
    }
    return out;
  }

 private:
  const std::string_view text_;
  const std::vector<std::size_t> begins_;
  std::string line_end_;  ///< of all lines; empty: they differ, or there is one line
};

[[nodiscard]] std::string clipped(std::string_view text, bool& cut) {
  if (text.size() <= Hunk::kMaxHunkBytes) return std::string(text);
  cut = true;
  std::size_t end = Hunk::kMaxHunkBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return std::string(text.substr(0, end));
}

[[nodiscard]] std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> out;
  const auto begins = line_begins(text);
  for (std::size_t i = 0; i < begins.size(); ++i)
    out.push_back(text.substr(begins[i], (i + 1 < begins.size() ? begins[i + 1] : text.size()) - begins[i]));
  if (out.back().empty()) out.pop_back();
  return out;
}

// A line end that comes or goes is a change as well.
[[nodiscard]] std::optional<Hunk> hunk_of(std::size_t first_line, std::string_view before, std::string_view after) {
  if (before == after) return std::nullopt;
  auto old_lines = lines_of(before), new_lines = lines_of(after);
  std::size_t same = 0;
  while (same < old_lines.size() && same < new_lines.size() && old_lines[same] == new_lines[same]) ++same;
  std::size_t same_end = 0;
  while (same_end < old_lines.size() - same && same_end < new_lines.size() - same &&
         old_lines[old_lines.size() - 1 - same_end] == new_lines[new_lines.size() - 1 - same_end])
    ++same_end;
  const auto joined = [&](const std::vector<std::string_view>& lines) {
    std::string out;
    for (std::size_t i = same; i < lines.size() - same_end; ++i) out += lines[i];
    return out;
  };
  std::string old_text = joined(old_lines), new_text = joined(new_lines);
  // The last line end is said by the lines themselves, except where it is all that there is.
  const auto whole = [](const std::string& text) { return text.empty() || text.ends_with('\n'); };
  const auto without_end = [](const std::string& text) {
    const std::size_t end = text.ends_with("\r\n") ? 2 : text.empty() ? 0 : 1;
    return text.substr(0, text.size() - end);
  };
  if (whole(old_text) && whole(new_text) && without_end(old_text) != without_end(new_text)) {
    old_text = without_end(old_text);
    new_text = without_end(new_text);
  }
  Hunk out;
  out.line = static_cast<std::int64_t>(first_line + same) + 1;
  out.lines_before = static_cast<std::int64_t>(old_lines.size() - same - same_end);
  out.lines_after = static_cast<std::int64_t>(new_lines.size() - same - same_end);
  out.before = clipped(old_text, out.cut);
  out.after = clipped(new_text, out.cut);
  return out;
}

[[nodiscard]] std::vector<Hunk> hunks_of(std::string_view text, const Text& lines, const std::vector<Span>& spans) {
  std::vector<Hunk> out;
  for (std::size_t i = 0; i < spans.size();) {
    const std::size_t first = lines.line_at(spans[i].from), begin = lines.begin_of(first);
    std::size_t last = lines.line_at(spans[i].to);
    std::string after(text.substr(begin, spans[i].from - begin));
    std::size_t at = spans[i].from;
    // Edits in the same lines are one hunk.
    for (; i < spans.size() && lines.line_at(spans[i].from) <= last; ++i) {
      after += text.substr(at, spans[i].from - at);
      after += spans[i].text;
      at = spans[i].to;
      last = std::max(last, lines.line_at(at));
    }
    const std::size_t end = lines.end_of(last);
    after += text.substr(at, end - at);
    if (auto hunk = hunk_of(first, text.substr(begin, end - begin), after)) out.push_back(std::move(*hunk));
  }
  return out;
}

}  // namespace

std::vector<std::size_t> line_begins(std::string_view text) {
  std::vector<std::size_t> out{0};
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool ends = text[i] == '\n' || (text[i] == '\r' && (i + 1 == text.size() || text[i + 1] != '\n'));
    if (ends) out.push_back(i + 1);
  }
  return out;
}

Result<std::vector<TextEdit>> text_edits_of(const json& list) {
  if (!list.is_array()) return malformed("a list of text edits is no array");
  std::vector<TextEdit> out;
  out.reserve(list.size());
  for (const auto& entry : list) {
    if (!entry.is_object()) return malformed("a text edit is no object");
    const auto range = entry.find("range");
    if (range == entry.end() || !range->is_object()) return malformed("a text edit has no range");
    const auto begin = place_in(*range, "start"), end = place_in(*range, "end");
    if (!begin || !end) return malformed("a range of a text edit has no valid start and end");
    if (*end < *begin) return malformed("a range ends at " + shown(*end) + ", before its start at " + shown(*begin));
    const auto text = entry.find("newText");
    if (text == entry.end() || !text->is_string()) {
      return malformed(entry.contains("snippet") ? "a text edit is a snippet, which is for editors"
                                                 : "a text edit has no newText");
    }
    out.push_back({*begin, *end, text->get<std::string>()});
  }
  return out;
}

Result<EditedText> apply_edits(std::string_view text, std::vector<TextEdit> edits) {
  if (!simdjson::validate_utf8(text.data(), text.size()))
    return fail(ErrorKind::invalid_params, "the file is not UTF-8, so that positions in its text mean nothing");
  const Text lines(text);
  std::vector<Span> spans;
  spans.reserve(edits.size());
  for (auto& edit : edits) {
    spans.push_back({lines.offset(edit.begin), lines.offset(edit.end), lines.with_line_ends(std::move(edit.new_text)),
                     edit.begin, spans.size()});
  }
  std::ranges::sort(spans, {}, [](const Span& span) { return std::pair(span.from, span.order); });
  std::size_t size = text.size(), at = 0;
  for (std::size_t i = 0; i < spans.size(); ++i) {
    if (i > 0 && spans[i].from < spans[i - 1].to)
      return malformed("the edits at " + shown(spans[i - 1].begin) + " and at " + shown(spans[i].begin) + " overlap");
    size += spans[i].text.size();
    if (size > kMaxFile + text.size())
      return fail(ErrorKind::too_large, "with the edits a file would be larger than 16 MiB");
  }
  EditedText out;
  out.text.reserve(size);
  for (const auto& span : spans) {
    out.text += text.substr(at, span.from - at);
    out.text += span.text;
    at = span.to;
  }
  out.text += text.substr(at);
  if (out.text.size() > kMaxFile)
    return fail(ErrorKind::too_large, "with the edits a file would be larger than 16 MiB");
  out.hunks = hunks_of(text, lines, spans);
  return out;
}

}  // namespace gantry::lsp
