// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/capabilities/plain_text.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

namespace gantry::lsp {

namespace {

constexpr std::size_t kMaxDepth = 16;
constexpr std::size_t kReach = 4096;  // so far may what begins be from its end: else long lines take quadratic time
constexpr std::string_view kPunctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kEntities{
    {{"&nbsp;", " "}, {"&lt;", "<"}, {"&gt;", ">"}, {"&amp;", "&"}, {"&quot;", "\""}, {"&#39;", "'"}, {"&apos;", "'"}}};

[[nodiscard]] bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n'; }
[[nodiscard]] bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c & 0x80) != 0;
}
[[nodiscard]] std::size_t run_at(std::string_view text, std::size_t at) {
  return std::min(text.find_first_not_of(text[at], at), text.size()) - at;
}

// ---- within a line --------------------------------------------------------------------------------------------------

// The end of the code span's content and of the span; nothing: the marks are text.
[[nodiscard]] std::optional<std::pair<std::size_t, std::size_t>> code_end(std::string_view text, std::size_t from,
                                                                          std::size_t marks) {
  text = text.substr(0, from + kReach);
  for (auto at = text.find('`', from); at != std::string_view::npos; at = text.find('`', at)) {
    const auto run = run_at(text, at);
    if (run == marks) return std::pair(at, at + run);
    at += run;
  }
  return std::nullopt;
}

// The place of the mark that closes emphasis which has begun before `from`; npos: none does.
[[nodiscard]] std::size_t emphasis_end(std::string_view text, std::size_t from, char mark, std::size_t marks) {
  text = text.substr(0, from + kReach);
  std::size_t within = 0;  // marks of emphasis that has begun since
  for (std::size_t at = from; at < text.size();) {
    if (text[at] == '\\') {
      at += 2;
    } else if (text[at] == '`') {
      const auto run = run_at(text, at);
      const auto end = code_end(text, at + run, run);
      at = end ? end->second : at + run;
    } else if (text[at] == mark) {
      const auto run = run_at(text, at);
      const bool ends = at + run == text.size();
      const bool inside = mark == '_' && !ends && is_word(text[at + run]);
      if (at > from && !is_space(text[at - 1]) && !inside) {
        const auto theirs = std::min(within, run);
        within -= theirs;
        if (run - theirs >= marks) return at + run - marks;
      } else if (!ends && !is_space(text[at + run])) {
        within += run;
      }
      at += run;
    } else {
      ++at;
    }
  }
  return std::string_view::npos;
}

// The `]` for a `[` before `from`.
[[nodiscard]] std::size_t bracket_end(std::string_view text, std::size_t from) {
  text = text.substr(0, from + kReach);
  for (std::size_t at = from, depth = 1; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == '[') {
      ++depth;
    } else if (text[at] == ']' && --depth == 0) {
      return at;
    }
  }
  return std::string_view::npos;
}

// The `)` for a `(` before `from`.
[[nodiscard]] std::size_t target_end(std::string_view text, std::size_t from) {
  text = text.substr(0, from + kReach);
  for (std::size_t at = from, depth = 1; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == '(') {
      ++depth;
    } else if (text[at] == ')' && --depth == 0) {
      return at;
    }
  }
  return std::string_view::npos;
}

[[nodiscard]] bool is_target(std::string_view text) {
  return text.find("://") != std::string_view::npos || text.starts_with("mailto:");
}

std::string inline_text(std::string_view text, std::size_t depth);

// Appends what stands at `at`, if that is a mark of Markdown, and steps over it. False: it is text.
bool inline_mark(std::string_view text, std::size_t& at, std::string& out, std::size_t depth) {
  const char c = text[at];
  if (c == '\\') {
    if (at + 1 >= text.size() || kPunctuation.find(text[at + 1]) == std::string_view::npos) return false;
    out += text[at + 1];
    at += 2;
    return true;
  }
  if (c == '`') {
    const auto run = run_at(text, at);
    if (const auto end = code_end(text, at + run, run)) {
      auto code = text.substr(at + run, end->first - at - run);
      // One blank on both sides only parts the marks from a mark in the code.
      if (code.size() > 2 && code.front() == ' ' && code.back() == ' ') code = code.substr(1, code.size() - 2);
      out += code;
      at = end->second;
    } else {
      out.append(run, '`');
      at += run;
    }
    return true;
  }
  if (c == '&') {
    for (const auto& [name, means] : kEntities) {
      if (!text.substr(at).starts_with(name)) continue;
      out += means;
      at += name.size();
      return true;
    }
    return false;
  }
  if (c == '<') {
    const auto end = text.substr(0, at + kReach).find('>', at);
    if (end == std::string_view::npos) return false;
    const auto inner = text.substr(at + 1, end - at - 1);
    if (inner == "br" || inner == "br/" || inner == "br /") {
      out += '\n';
    } else if (is_target(inner) && inner.find(' ') == std::string_view::npos) {
      out += inner;
    } else {
      return false;
    }
    at = end + 1;
    return true;
  }
  if (depth >= kMaxDepth) return false;
  if (c == '[' || (c == '!' && at + 1 < text.size() && text[at + 1] == '[')) {
    const auto from = at + (c == '!' ? 2 : 1);
    const auto end = bracket_end(text, from);
    if (end == std::string_view::npos || end + 1 >= text.size() || text[end + 1] != '(') return false;
    const auto target = target_end(text, end + 2);
    if (target == std::string_view::npos) return false;
    out += inline_text(text.substr(from, end - from), depth + 1);
    at = target + 1;
    return true;
  }
  if (c == '*' || c == '_' || c == '~') {
    const auto run = run_at(text, at);
    const auto from = at + run;
    const bool inside = c == '_' && at > 0 && is_word(text[at - 1]);
    const bool opens = run <= 3 && (c != '~' || run == 2) && from < text.size() && !is_space(text[from]) && !inside;
    const auto end = opens ? emphasis_end(text, from, c, run) : std::string_view::npos;
    if (end == std::string_view::npos) {
      out.append(run, c);
      at = from;
    } else {
      out += inline_text(text.substr(from, end - from), depth + 1);
      at = end + run;
    }
    return true;
  }
  return false;
}

std::string inline_text(std::string_view text, std::size_t depth) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (!inline_mark(text, at, out, depth)) out += text[at++];
  }
  return out;
}

// ---- lines ----------------------------------------------------------------------------------------------------------

[[nodiscard]] std::string_view trimmed_right(std::string_view line) {
  while (!line.empty() && (is_space(line.back()) || line.back() == '\r')) line.remove_suffix(1);
  return line;
}

// The marks that open or close fenced code: the character and their number; 0: none.
[[nodiscard]] std::pair<char, std::size_t> fence_of(std::string_view line) {
  const auto at = line.find_first_not_of(' ');
  if (at == std::string_view::npos || at > 3 || (line[at] != '`' && line[at] != '~')) return {};
  const auto run = run_at(line, at);
  if (run < 3 || (line[at] == '`' && line.find('`', at + run) != std::string_view::npos)) return {};
  return {line[at], run};
}

// ---, ***, ___ or ===: a ruler, or what underlines a heading.
[[nodiscard]] bool is_ruler(std::string_view line) {
  std::size_t marks = 0;
  char mark = 0;
  for (const char c : line) {
    if (is_space(c)) continue;
    if (std::string_view("-*_=").find(c) == std::string_view::npos || (mark != 0 && c != mark)) return false;
    mark = c;
    ++marks;
  }
  return marks >= 3;
}

[[nodiscard]] std::string_view without_block_marks(std::string_view line) {
  while (true) {  // quotations within each other
    const auto at = line.find_first_not_of(' ');
    if (at == std::string_view::npos || at > 3 || line[at] != '>') break;
    line.remove_prefix(at + 1);
    if (line.starts_with(' ')) line.remove_prefix(1);
  }
  const auto heading = line.find_first_not_of('#');
  if (line.starts_with('#') && heading != std::string_view::npos && heading <= 6 && line[heading] == ' ') {
    line.remove_prefix(heading + 1);
    const auto closing = line.find_last_not_of('#');
    if (closing != std::string_view::npos && closing + 1 < line.size() && line[closing] == ' ')
      line = trimmed_right(line.substr(0, closing));
  }
  return line;
}

[[nodiscard]] std::string text_of(std::string_view line) {
  // A list's mark stays, and is no emphasis.
  const auto at = line.find_first_not_of(' ');
  if (at != std::string_view::npos && at + 1 < line.size() && (line[at] == '*' || line[at] == '+') &&
      line[at + 1] == ' ')
    return std::string(line.substr(0, at)) + "- " + inline_text(line.substr(at + 2), 0);
  return inline_text(line, 0);
}

}  // namespace

std::string plain_text(std::string_view markdown) {
  std::string out;
  std::pair<char, std::size_t> fence;
  const auto add = [&](std::string_view line) {
    if (line.empty() && (out.empty() || out.ends_with("\n\n"))) return;
    out += line;
    out += '\n';
  };
  while (!markdown.empty()) {
    const auto end = std::min(markdown.find('\n'), markdown.size());
    const auto raw = markdown.substr(0, end);
    markdown.remove_prefix(std::min(end + 1, markdown.size()));
    const auto mark = fence_of(raw);
    if (fence.second != 0) {
      if (mark.first == fence.first && mark.second >= fence.second && trimmed_right(raw).ends_with(mark.first)) {
        fence = {};
      } else {
        out += raw;
        out += '\n';
      }
      continue;
    }
    if (mark.second != 0) {
      fence = mark;
      continue;
    }
    if (raw.starts_with("    ")) {  // code, or the rest of a list's item
      add(trimmed_right(text_of(raw)));
      continue;
    }
    auto line = trimmed_right(without_block_marks(raw));
    if (is_ruler(line)) line = {};
    auto text = text_of(line);
    if (text.ends_with('\\')) text.pop_back();  // a hard line break
    add(text);
  }
  while (out.ends_with('\n')) out.pop_back();
  return out;
}

}  // namespace gantry::lsp
