// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/embedded/gitignore.hpp"

#include <algorithm>

namespace gantry::ai {

namespace {

constexpr std::string_view kWildcards = "*?[\\";

char lowered(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

// Spaces at the end do not count, but for one that a backslash precedes.
std::string_view without_spaces(std::string_view line) {
  std::size_t end = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\\') {
      if (i + 1 == line.size()) return line;
      end = ++i + 1;
    } else if (line[i] != ' ') {
      end = i + 1;
    }
  }
  return line.substr(0, end);
}

}  // namespace

Gitignore::Gitignore(std::string_view text, bool fold) : fold_(fold) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.starts_with('#')) continue;
    if (line.ends_with('\r')) line.remove_suffix(1);
    add(without_spaces(line.substr(0, line.find('\0'))));
  }
}

void Gitignore::add(std::string_view line) {
  Pattern pattern;
  if (line.starts_with('!')) {
    pattern.negated = true;
    line.remove_prefix(1);
  }
  const std::size_t first_wildcard = line.find_first_of(kWildcards);
  pattern.ends_with = line.starts_with('*') && line.find_first_of(kWildcards, 1) == std::string_view::npos;
  if (line.ends_with('/')) {
    pattern.folders_only = true;
    line.remove_suffix(1);
  }
  if (line.empty()) return;  // a lone ! or /: mentions nothing
  pattern.name_only = !line.contains('/');
  pattern.ends_with = pattern.ends_with && pattern.name_only;
  std::size_t literal = std::min(first_wildcard, line.size());
  if (!pattern.name_only && line.starts_with('/')) {
    line.remove_prefix(1);
    --literal;
  }
  if (pattern.ends_with) {
    pattern.literal = line.substr(1);
  } else {
    if (pattern.name_only && literal < line.size()) literal = 0;
    pattern.literal = line.substr(0, literal);
    if (literal < line.size()) pattern.rest.emplace(line.substr(literal), !pattern.name_only, fold_);
  }
  patterns_.push_back(std::move(pattern));
}

bool Gitignore::same(std::string_view a, std::string_view b) const {
  if (!fold_) return a == b;
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lowered(x) == lowered(y); });
}

bool Gitignore::matches(const Pattern& pattern, std::string_view text) const {
  const std::string& literal = pattern.literal;
  if (text.size() < literal.size()) return false;
  if (pattern.ends_with) return same(text.substr(text.size() - literal.size()), literal);
  if (!same(text.substr(0, literal.size()), literal)) return false;
  text.remove_prefix(literal.size());
  return pattern.rest ? pattern.rest->matches(text) : text.empty();
}

std::optional<bool> Gitignore::ignored(std::string_view path, bool is_folder) const {
  while (path.starts_with('/')) path.remove_prefix(1);
  const std::string_view name = path.substr(path.rfind('/') + 1);
  for (auto pattern = patterns_.rbegin(); pattern != patterns_.rend(); ++pattern) {
    if (pattern->folders_only && !is_folder) continue;
    if (matches(*pattern, pattern->name_only ? name : path)) return !pattern->negated;
  }
  return std::nullopt;
}

}  // namespace gantry::ai
