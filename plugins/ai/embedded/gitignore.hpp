// SPDX-License-Identifier: Apache-2.0
//
// embedded/gitignore.hpp: the patterns of one .gitignore file.
//
// Understood: comments, negation, folders only, anchored patterns, *, ?, [...], ** as a whole component. Not read:
// global excludes and .git/info/exclude.
//
// Thread rule: immutable after construction.
// Bounds: the first kMaxPatterns patterns of a file count, patterns over 1 KiB or with more than four ** do not.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::ai {

class Gitignore {
 public:
  static constexpr std::size_t kMaxPatterns = 2000;

  explicit Gitignore(std::string_view text);

  /// True: ignored; false: taken in again by a negation; empty: not mentioned. `path` is relative to the file's folder.
  [[nodiscard]] std::optional<bool> ignored(std::string_view path, bool is_folder) const;
  [[nodiscard]] bool empty() const { return patterns_.empty(); }

 private:
  struct Pattern {
    std::vector<std::string> parts;
    bool negated = false;
    bool folders_only = false;
  };
  std::vector<Pattern> patterns_;
};

}  // namespace gantry::ai
