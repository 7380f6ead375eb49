// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/pinned_paths.hpp: what the paths of grants lead to. Each is resolved once; what is
// opened later under its name must be the same file or folder, so that a link, or another folder,
// that is put in its place opens nothing.
//
// Thread rule: any thread; resolve() and renew() ask the file system. mutex_ is held across no I/O.
// Bounds: one entry for each path that somebody was granted, in each workspace.
#pragma once

#include <cstdint>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <map>
#include <string>
#include <utility>

namespace gantry::host {

/// A file or folder, whatever its name is. That of nothing: all zeros.
struct FileId {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool operator==(const FileId&) const = default;
};

class PinnedPaths {
 public:
  struct Pin {
    std::string path;  ///< without links
    FileId id;
  };

  PinnedPaths() = default;
  PinnedPaths(const PinnedPaths&) = delete;
  PinnedPaths& operator=(const PinnedPaths&) = delete;

  /// What `path` led to when it was first there. `not_found`: it is not there yet. `permission_denied`: it leads out of
  /// the folder `within` (empty: it may lead anywhere), or it came after it was first asked for, and by a link.
  [[nodiscard]] Result<Pin> resolve(const std::string& path, const std::string& within = {});
  /// The user has named this folder, which is no link, anew: it is what is there now, and what is to lie within it is
  /// resolved anew. True: it was another one before, or something within was resolved.
  bool renew(const std::string& folder);

 private:
  struct Entry {
    Pin pin;               ///< an empty path: it was not there
    std::string expected;  ///< where it will have to be, if it comes
  };
  [[nodiscard]] Result<Pin> missing(const std::pair<std::string, std::string>& key);

  mutable Mutex mutex_{"pinned paths"};
  std::map<std::pair<std::string, std::string>, Entry> entries_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
