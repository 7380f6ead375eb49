// SPDX-License-Identifier: Apache-2.0
//
// embedded/git_config.hpp: the two settings of git that decide what it ignores. libgit2 reads them.
//
// Read are the system's, the user's and the repository's own configuration. The last is the
// project's: where it includes other files it is left out as a whole, so that a project names none
// that is opened. Conditional includes, and what the environment or a worktree of its own changes,
// are not known.
//
// Thread rule: any thread; blocks on the disk.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace gantry::ai {

struct GitConfig {
  std::string excludes_file;        ///< core.excludesFile, else git's default; empty: there is no home
  bool ignore_case = false;         ///< core.ignoreCase
  std::vector<std::string> unread;  ///< files that are there and cannot be read
};

/// `common_dir`: the repository's .git folder.
[[nodiscard]] GitConfig read_git_config(const std::filesystem::path& common_dir);

}  // namespace gantry::ai
