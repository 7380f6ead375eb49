// SPDX-License-Identifier: Apache-2.0
#include "embedded/gitignore.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <span>

namespace gantry::ai {

namespace {

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t slash = text.find('/');
    if (slash != 0) parts.emplace_back(text.substr(0, slash));
    text.remove_prefix(slash == std::string_view::npos ? text.size() : slash + 1);
  }
  return parts;
}

bool match(std::span<const std::string> pattern, std::span<const std::string> path) {
  if (pattern.empty()) return path.empty();
  if (pattern.front() == "**") {
    // At the end it stands for what is inside, not for the folder itself.
    if (pattern.size() == 1) return !path.empty();
    for (std::size_t skip = 0; skip <= path.size(); ++skip) {
      if (match(pattern.subspan(1), path.subspan(skip))) return true;
    }
    return false;
  }
  if (path.empty() || fnmatch(pattern.front().c_str(), path.front().c_str(), 0) != 0) return false;
  return match(pattern.subspan(1), path.subspan(1));
}

}  // namespace

Gitignore::Gitignore(std::string_view text) {
  while (!text.empty() && patterns_.size() < kMaxPatterns) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    while (line.ends_with('\r') || (line.ends_with(' ') && !line.ends_with("\\ "))) line.remove_suffix(1);
    if (line.empty() || line.front() == '#' || line.size() > 1024) continue;
    Pattern pattern;
    if (line.front() == '!') {
      pattern.negated = true;
      line.remove_prefix(1);
    }
    if (line.ends_with('/')) {
      pattern.folders_only = true;
      line.remove_suffix(1);
    }
    const bool anchored = line.find('/') != std::string_view::npos;
    pattern.parts = split(line);
    if (!anchored) pattern.parts.insert(pattern.parts.begin(), "**");
    if (pattern.parts.empty() || std::count(pattern.parts.begin(), pattern.parts.end(), "**") > 4) continue;
    patterns_.push_back(std::move(pattern));
  }
}

std::optional<bool> Gitignore::ignored(std::string_view path, bool is_folder) const {
  const auto parts = split(path);
  for (auto pattern = patterns_.rbegin(); pattern != patterns_.rend(); ++pattern) {
    if (pattern->folders_only && !is_folder) continue;
    if (match(pattern->parts, parts)) return !pattern->negated;
  }
  return std::nullopt;
}

}  // namespace gantry::ai
