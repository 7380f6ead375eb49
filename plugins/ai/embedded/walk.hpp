// SPDX-License-Identifier: Apache-2.0
//
// embedded/walk.hpp: visits the text files of a workspace, in an order that is the same in every
// run.
//
// Only regular files are read: links are not followed, so there are no loops, and a FIFO or a
// device is never opened. Passed over are hidden names, folders of build products and packages,
// files that git ignores (git_rules.hpp), key files, binary files, files that are not UTF-8, and
// machine-made files (with very long lines).
//
// Thread rule: any one thread; the walk blocks on the disk.
// Bounds: WalkLimits; files over max_file_bytes are passed over.
#pragma once

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace gantry::ai {

struct WalkLimits {
  std::size_t max_file_bytes = 1U << 20U;
  std::size_t max_files = 100'000;
  std::size_t max_depth = 40;
  std::size_t max_entries = 20'000;  ///< of one folder; further entries are not seen
};

struct WalkCounts {
  std::size_t files = 0;             ///< passed to `each`
  std::size_t skipped = 0;           ///< regular files that were passed over
  bool complete = true;              ///< false: a limit, `stop`, `each`, or unreadable rules have left something out
  std::vector<std::string> notes{};  ///< for people: why files were passed over
};

/// `root` is absolute and canonical. Calls `each(text)` for every file, until it returns false or
/// `stop` is true.
[[nodiscard]] WalkCounts walk_text_files(const std::filesystem::path& root, const WalkLimits& limits,
                                         const std::atomic<bool>& stop,
                                         const std::function<bool(const std::string& text)>& each);

}  // namespace gantry::ai
