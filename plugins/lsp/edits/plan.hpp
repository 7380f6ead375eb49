// SPDX-License-Identifier: Apache-2.0
//
// plan.hpp: what an edit makes of the files on the disk: each file as it is and as it shall be. Nothing is written.
//
// The operations of a WorkspaceEdit follow each other. All text edits of one file, up to the next operation on that
// file itself, are for the same text, whether the server has put them into one list or into several.
//
// Files are known by their real paths, so that a file that is named in two ways is one. An edit of a symbolic link
// edits the file that the link leads to; links themselves are neither renamed nor deleted.
//
// Thread rule: the worker; blocks on the file system.
// Bounds: kMaxFiles files, kMaxBytes of their texts before and after: more is `too_large`.
#pragma once

#include <cstdint>
#include <functional>
#include <gantry/result.hpp>
#include <optional>
#include <string>
#include <vector>

#include "plugins/lsp/edits/text_edit.hpp"
#include "plugins/lsp/edits/workspace_edit.hpp"

namespace gantry::lsp {

/// By which a content is known again.
struct ContentHash {
  std::size_t size = 0;
  std::size_t hash = 0;

  [[nodiscard]] static ContentHash of(const std::string& text) {
    return {.size = text.size(), .hash = std::hash<std::string>{}(text)};
  }
  bool operator==(const ContentHash&) const = default;
};

struct PlannedFile {
  std::string path;                   ///< as it was named
  std::string real;                   ///< without symbolic links
  std::optional<ContentHash> before;  ///< nothing: there is no such file
  std::optional<std::string> after;   ///< the bytes; nothing: there shall be none
  std::string moved_from;             ///< the path of the file that this one was; empty: none
  std::string mode_of;                ///< the real path of the file whose mode this one gets; empty: a new file
  std::vector<Hunk> hunks;            ///< against the text before, of this file or of the one it was
};

struct Plan {
  static constexpr std::size_t kMaxFiles = 500;
  static constexpr std::size_t kMaxBytes = std::size_t{32} << 20;

  std::vector<PlannedFile> files;    ///< in the order of their names
  std::vector<std::string> folders;  ///< real paths of those to remove once they are empty, the inner ones first
  std::vector<std::string> notes;    ///< for whoever decides about the edit
  /// Of the texts that the plan holds.
  [[nodiscard]] std::size_t bytes() const;
};

struct PlanRules {
  /// A file that was changed since then (CLOCK_REALTIME) is `conflict`: the server may not have seen that. 0: it has.
  std::int64_t asked_at_ns = 0;
  /// False: the edits are for another version of the file than the server knows. Empty: all are believed.
  std::function<bool(const std::string& path, long long version)> is_current;
};

/// `conflict`: the files are not as the edit takes for granted. `upstream_failed`: the edits of a file are malformed.
/// `invalid_params`: a file is not UTF-8.
[[nodiscard]] Result<Plan> plan_of(const WorkspaceEdit& edit, const PlanRules& rules);

/// The present time. What a file system stamps earlier is not later; where it stamps in ticks, a change may be stamped
/// as much as a tick (4 ms) too early.
[[nodiscard]] std::int64_t file_clock_ns();

}  // namespace gantry::lsp
