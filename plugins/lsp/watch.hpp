// SPDX-License-Identifier: Apache-2.0
//
// watch.hpp: finds the changes in a tree of folders since the last look.
//
// The kernel keeps the changes (inotify) until the next look, so that a look costs one system call
// when nothing has changed, and misses no file that was closed before it. No thread waits for
// changes: an idle server costs nothing.
//
// Not looked into: private folders of version control and tools (.git, .cache, node_modules, ...,
//   and folders with a CACHEDIR.TAG). Not reported: files that Wanted refuses; without one, the
//   outputs of compilers, by their names.
//
// Thread rule: one thread at a time; blocks on the file system, so only the worker calls it. fd()
//   is constant.
// Bounds: `folders`; with more, or when the kernel has no room for them, the watch is `blind`.
//   `changes` of one look; further changes, or changes that the kernel has dropped, make it `lost`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <gantry/descriptor.hpp>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gantry::lsp {

/// The numbers of LSP.
enum class FileChange { created = 1, changed = 2, deleted = 3 };

struct Changes {
  std::map<std::string, FileChange> files;  ///< by path
  bool lost = false;                        ///< there were other changes

  [[nodiscard]] bool any() const { return lost || !files.empty(); }
  /// Merges a further change of a path with the change that is known.
  void add(const std::string& path, FileChange change, std::size_t most);
};

class TreeWatch {
 public:
  static constexpr std::size_t kMaxFolders = 8192;
  static constexpr std::size_t kMaxChanges = 1000;
  using Wanted = std::function<bool(const std::string& path)>;
  using Found = std::function<void(std::string path)>;
  struct Bounds {
    std::size_t folders = kMaxFolders;
    std::size_t changes = kMaxChanges;
  };

  /// Watches the tree below `root`.
  explicit TreeWatch(const std::string& root) : TreeWatch(root, Bounds()) {}
  TreeWatch(const std::string& root, Bounds bounds);
  /// Watches nothing before walk(). `wanted`: the files that are reported.
  TreeWatch(const std::vector<std::string>& roots, Bounds bounds, Wanted wanted);

  /// Watches up to `folders` more folders of the trees, and reports the files in them. False: it was the last part.
  [[nodiscard]] bool walk(std::size_t folders, const Found& found);
  /// True: the watch cannot see everything, so something may have changed that look() does not
  /// report.
  [[nodiscard]] bool blind() const { return blind_; }
  /// True: the tree has more folders than are watched.
  [[nodiscard]] bool full() const { return full_; }
  /// True: a root is not there, or another folder is in its place.
  [[nodiscard]] bool lost_root() const { return lost_root_; }
  /// The changes since the last look, or the first of them: drained() says which.
  [[nodiscard]] Changes look(std::size_t most_bytes = std::numeric_limits<std::size_t>::max());
  [[nodiscard]] bool drained() const { return drained_; }
  /// Readable when there are changes; -1: the kernel has given none.
  [[nodiscard]] int fd() const { return inotify_.get(); }
  [[nodiscard]] std::size_t folders() const { return folders_.size(); }

 private:
  void take(int folder, std::uint32_t mask, std::string_view name, Changes& changes);
  void folder_went(const std::string& path);
  void watch_new(const std::string& folder, Changes& changes);
  void watch(const std::string& folder, std::deque<std::string>& left, const Found& found);

  const Bounds bounds_;
  const Wanted wanted_;
  Descriptor inotify_;
  std::unordered_map<int, std::string> folders_;
  std::map<std::string, int> keys_;  ///< of folders_
  std::vector<std::string> roots_;
  std::set<std::pair<int, std::string>> above_roots_;  ///< the watch of the folder that has a root, and its name there
  std::deque<std::string> left_;                       ///< folders that walk() has not come to
  bool blind_ = false;
  bool full_ = false;
  bool lost_root_ = false;
  bool drained_ = true;
};

}  // namespace gantry::lsp
