// SPDX-License-Identifier: Apache-2.0
//
// embedded/gitignore.hpp: reads and matches the patterns of one file of rules, as git does.
//
// It follows gitignore(5), and where that is silent the behaviour of git 2.39: a BOM, CRLF,
// trailing spaces and their escapes, a lone ! or /, broken sets; a pattern's beginning without
// wildcards is compared literally, and ** counts as a component when it comes first behind that
// (a**/b). libgit2 was tried instead (1.5.1, Debian's): it loses negations across files and differs
// from git on three of 43 examples and one generated tree of a hundred.
//
// Thread rule: immutable after construction.
// Bounds: the caller bounds the text.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/ai/embedded/wildmatch.hpp"

namespace gantry::ai {

class Gitignore {
 public:
  /// `fold`: core.ignoreCase.
  explicit Gitignore(std::string_view text, bool fold = false);

  /// True: ignored; false: included again by a negation; empty: not mentioned. `path` is relative
  /// to the file's folder.
  [[nodiscard]] std::optional<bool> ignored(std::string_view path, bool is_folder) const;
  [[nodiscard]] bool empty() const { return patterns_.empty(); }

 private:
  struct Pattern {
    std::string literal;            // the beginning of a match; or, for `ends_with`, its end
    std::optional<Wildmatch> rest;  // the pattern for the rest; none: the rest must be empty
    bool negated = false;
    bool folders_only = false;
    bool name_only = false;  // matched against the last component
    bool ends_with = false;  // the pattern is a * and then no wildcard
  };
  void add(std::string_view line);
  [[nodiscard]] bool same(std::string_view a, std::string_view b) const;
  [[nodiscard]] bool matches(const Pattern& pattern, std::string_view text) const;

  bool fold_;
  std::vector<Pattern> patterns_;
};

}  // namespace gantry::ai
