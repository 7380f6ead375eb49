// SPDX-License-Identifier: Apache-2.0
//
// watch.hpp: what has changed in a tree of folders since it was looked at last.
//
// The kernel keeps the changes (inotify) until somebody looks, so that a look costs a system call when nothing has
// changed, and misses nothing that was closed before it. Nobody waits for changes: an idle server costs nothing.
//
// Not looked into: what version control and tools keep for themselves (.git, .cache, node_modules, ..., and folders
// with a CACHEDIR.TAG), and outputs of compilers by their names.
//
// Thread rule: one thread at a time; blocks on the file system, so: the worker's.
// Bounds: kMaxFolders; with more, or when the kernel has no room for them, it is `blind`. kMaxChanges of one look; with
//   more, or when the kernel has dropped some, they are `lost`.
#pragma once

#include <cstddef>
#include <gantry/descriptor.hpp>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

struct inotify_event;

namespace gantry::lsp {

/// As LSP numbers them.
enum class FileChange { created = 1, changed = 2, deleted = 3 };

struct Changes {
  std::map<std::string, FileChange> files;  ///< by path
  bool lost = false;                        ///< there were others

  [[nodiscard]] bool any() const { return lost || !files.empty(); }
  /// What is known of a path and what has become of it since, as one change.
  void add(const std::string& path, FileChange change);
};

class TreeWatch {
 public:
  static constexpr std::size_t kMaxFolders = 8192;
  static constexpr std::size_t kMaxChanges = 1000;

  explicit TreeWatch(const std::string& root, std::size_t most_folders = kMaxFolders);

  /// It cannot see everything: something may have changed whatever look() says.
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
