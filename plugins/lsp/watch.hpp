// SPDX-License-Identifier: Apache-2.0
//
// watch.hpp: finds the changes in a tree of folders since the last look.
//
// The kernel keeps the changes (inotify) until the next look, so that a look costs one system call
// when nothing has changed, and misses no file that was closed before it. No thread waits for
// changes: an idle server costs nothing.
//
// Not looked into: private folders of version control and tools (.git, .cache, node_modules, ...,
//   and folders with a CACHEDIR.TAG), and outputs of compilers, by their names.
//
// Thread rule: one thread at a time; blocks on the file system, so only the worker calls it.
// Bounds: kMaxFolders; with more, or when the kernel has no room for them, the watch is `blind`.
//   kMaxChanges of one look; further changes, or changes that the kernel has dropped, make it
//   `lost`.
#pragma once

#include <cstddef>
#include <gantry/descriptor.hpp>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

struct inotify_event;

namespace gantry::lsp {

/// The numbers of LSP.
enum class FileChange { created = 1, changed = 2, deleted = 3 };

struct Changes {
  std::map<std::string, FileChange> files;  ///< by path
  bool lost = false;                        ///< there were other changes

  [[nodiscard]] bool any() const { return lost || !files.empty(); }
  /// Merges a further change of a path with the change that is known.
  void add(const std::string& path, FileChange change);
};

class TreeWatch {
 public:
  static constexpr std::size_t kMaxFolders = 8192;
  static constexpr std::size_t kMaxChanges = 1000;

  explicit TreeWatch(const std::string& root, std::size_t most_folders = kMaxFolders);

  /// True: the watch cannot see everything, so something may have changed that look() does not
  /// report.
  [[nodiscard]] bool blind() const { return blind_; }
  [[nodiscard]] Changes look();

 private:
  void take(const inotify_event& event, std::string_view name, Changes& changes);
  void folder_went(const std::string& path);
  void watch(const std::string& root, Changes* changes);

  const std::size_t most_folders_;
  Descriptor inotify_;
  std::unordered_map<int, std::string> folders_;
  bool blind_ = false;
};

}  // namespace gantry::lsp
