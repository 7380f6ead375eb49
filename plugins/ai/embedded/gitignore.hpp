// SPDX-License-Identifier: Apache-2.0
//
// embedded/gitignore.hpp: the patterns of one file of rules, as git reads and matches them.
//
// By gitignore(5), and where that is silent by what git 2.39 does: a BOM, CRLF, trailing spaces and
// their escapes, a lone ! or /, broken sets; a pattern's beginning without wildcards is compared as
// it is, and ** counts as a component when it comes first behind that (a**/b). libgit2 was tried in
// its place (1.5.1, Debian's): it loses negations across files and differs from git on three of 43
// examples and one generated tree of a hundred.
//
// Thread rule: immutable after construction.
// Bounds: the caller's on the text.
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

  /// True: ignored; false: taken in again by a negation; empty: not mentioned. `path` is relative
  /// to the file's folder.
  [[nodiscard]] std::optional<bool> ignored(std::string_view path, bool is_folder) const;
  [[nodiscard]] bool empty() const { return patterns_.empty(); }

 private:
  struct Pattern {
    std::string literal;            // what a match begins with; or, for `ends_with`, ends with
    std::optional<Wildmatch> rest;  // what follows; none: nothing may
    bool negated = false;
    bool folders_only = false;
    bool name_only = false;  // matched against the last component
    bool ends_with = false;  // a * and then no wildcard
  };
  void add(std::string_view line);
  [[nodiscard]] bool same(std::string_view a, std::string_view b) const;
  [[nodiscard]] bool matches(const Pattern& pattern, std::string_view text) const;

  bool fold_;
  std::vector<Pattern> patterns_;
};

}  // namespace gantry::ai
