// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/pinned_paths.hpp: the files and folders that the paths of grants lead to. Each path
// is resolved once; what is opened later by that path must be the same file or folder, so that a
// link or another folder in its place gives no access.
//
// Thread rule: any thread; resolve() and renew() ask the file system. mutex_ is held across no I/O.
// Bounds: one entry for each granted path, in each workspace.
#pragma once

#include <cstdint>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <map>
#include <string>
#include <utility>

namespace gantry::host {

/// The identity of a file or folder, whatever its name is. All zeros: none.
struct FileId {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool operator==(const FileId&) const = default;
};

class PinnedPaths {
 public:
  struct Pin {
    std::string path;  ///< the path without links
    FileId id;
  };

  PinnedPaths() = default;
  PinnedPaths(const PinnedPaths&) = delete;
  PinnedPaths& operator=(const PinnedPaths&) = delete;

  /// Returns what `path` led to when it first existed. `not_found`: it does not exist yet.
  /// `permission_denied`: it leads out of the folder `within` (empty: it may lead anywhere), or it
  /// is a link that came after the first request.
  [[nodiscard]] Result<Pin> resolve(const std::string& path, const std::string& within = {});
  /// The user has named this folder, which is no link, again: its present identity counts from now
  /// on, and paths within it are resolved anew. True: it was another folder before, or a path
  /// within it was resolved.
  bool renew(const std::string& folder);

 private:
  struct Entry {
    Pin pin;               ///< an empty path: it did not exist
    std::string expected;  ///< where it has to be, if it comes
  };
  [[nodiscard]] Result<Pin> missing(const std::pair<std::string, std::string>& key);

  mutable Mutex mutex_{"pinned paths"};
  std::map<std::pair<std::string, std::string>, Entry> entries_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
