// SPDX-License-Identifier: Apache-2.0
//
// embedded/git_config.hpp: the two settings of git that decide which files it ignores. libgit2
// reads them.
//
// The system's, the user's and the repository's own configuration are read. The last belongs to the
// project: if it includes other files it is left out as a whole, so that a project cannot make the
// plugin open files. Conditional includes, environment variables and the configuration of a
// worktree are not supported.
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
  std::vector<std::string> unread;  ///< files that exist and cannot be read
};

/// `common_dir`: the repository's .git folder.
[[nodiscard]] GitConfig read_git_config(const std::filesystem::path& common_dir);

}  // namespace gantry::ai
