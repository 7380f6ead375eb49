// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/edits/own_edits.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "plugins/lsp/tools/lines.hpp"

namespace gantry::lsp {

namespace {

[[nodiscard]] std::optional<std::int64_t> number_in(const json& edit, const char* name) {
  const auto it = edit.find(name);
  if (it == edit.end() || !is_integer(*it) || *it < 1) return std::nullopt;
  return it->get<std::int64_t>();
}

[[nodiscard]] Position position_at(const std::string& text, std::size_t offset) {
  const auto begins = line_begins(text);
  const auto line = static_cast<std::size_t>(std::ranges::upper_bound(begins, offset) - begins.begin()) - 1;
  const std::string before = text.substr(begins[line], offset - begins[line]);
  const auto column =
      std::ranges::count_if(before, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
  return {static_cast<std::int64_t>(line) + 1, column + 1};
}

class Reader {
 public:
  explicit Reader(const std::string& text) : text_(text), lines_(text) {}

  [[nodiscard]] Result<TextEdit> read(const json& edit) const {
    if (!edit.is_object() || !edit.value("new_text", json()).is_string()) return wrong("has no new_text");
    const json old = edit.value("old_text", json());
    Position begin, end;
    if (old.is_string()) {
      const auto& words = old.get_ref<const std::string&>();
      const auto at = text_.find(words);
      if (words.empty() || at == std::string::npos) return wrong("names an old_text that is not in the file");
      if (text_.find(words, at + 1) != std::string::npos)
        return wrong("names an old_text that is in the file more than once; name more of it, or its line");
      begin = position_at(text_, at);
      end = position_at(text_, at + words.size());
    } else {
      const auto line = number_in(edit, "line");
      if (!line) return wrong("names neither a line from 1 nor an old_text");
      begin = end = {*line, number_in(edit, "column").value_or(1)};
      const auto end_line = number_in(edit, "end_line"), end_column = number_in(edit, "end_column");
      if (end_line || end_column) end = {end_line.value_or(begin.line), end_column.value_or(1)};
      if (end < begin) return wrong("ends before it begins");
      if (begin.line > static_cast<std::int64_t>(lines_.count()))
        return wrong("begins in line " + std::to_string(begin.line) + " of a file with " +
                     std::to_string(lines_.count()) + " lines");
    }
    return TextEdit{place(begin), place(end), edit["new_text"]};
  }

 private:
  [[nodiscard]] static std::unexpected<Error> wrong(const std::string& what) {
    return fail(ErrorKind::invalid_params, what);
  }
  [[nodiscard]] Place place(Position position) const {
    constexpr std::int64_t kMost = (std::int64_t{1} << 31) - 1;  // the protocol's
    position.line = std::min(position.line, kMost);
    const json at = lines_.to_protocol(position);
    return Place{at["line"].get<std::uint32_t>(), at["character"].get<std::uint32_t>()};
  }

  const std::string& text_;
  const Lines lines_;
};

}  // namespace

Result<std::vector<TextEdit>> own_edits(const json& list, const std::string& text) {
  const Reader reader(text);
  std::vector<TextEdit> out;
  for (std::size_t i = 0; i < list.size(); ++i) {
    auto edit = reader.read(list[i]);
    if (!edit) return fail(ErrorKind::invalid_params, "edits[" + std::to_string(i) + "] " + edit.error().message);
    out.push_back(std::move(*edit));
  }
  return out;
}

}  // namespace gantry::lsp
