// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/watch.hpp"

#include <sys/inotify.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <gantry/inotify.hpp>
#include <limits>
#include <system_error>
#include <utility>

namespace gantry::lsp {

namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kEvents =
    IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR | IN_EXCL_UNLINK;
// A folder in which a program works is deleted without a sign of its own.
constexpr std::uint32_t kAboveRoot = IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR | IN_MASK_ADD;

[[nodiscard]] bool is_tools_own(std::string_view folder) {
  constexpr std::array<std::string_view, 9> kNames{".git", ".hg",          ".jj",         ".svn",       ".cache",
                                                   ".tox", "node_modules", "__pycache__", ".mypy_cache"};
  return std::ranges::find(kNames, folder) != kNames.end();
}

[[nodiscard]] bool is_output(std::string_view file) {
  constexpr std::array<std::string_view, 12> kEnds{".o",   ".obj", ".a",   ".so",  ".d",   ".pyc",
                                                   ".pch", ".gch", ".pcm", ".log", ".swp", "~"};
  return std::ranges::any_of(kEnds, [&](std::string_view end) { return file.ends_with(end); });
}

[[nodiscard]] std::string_view name_of(std::string_view path) { return path.substr(path.rfind('/') + 1); }

[[nodiscard]] std::string child_of(const std::string& folder, std::string_view name) {
  std::string out = folder;
  if (!out.ends_with('/')) out += '/';
  return out += name;
}

}  // namespace

void Changes::add(const std::string& path, FileChange change, std::size_t most) {
  const auto [at, is_new] = files.try_emplace(path, change);
  if (is_new) {
    if (files.size() <= most) return;
    files.erase(at);
    lost = true;
  } else if (change == FileChange::deleted || at->second == FileChange::deleted) {
    // Who sees one change only must not take a file for gone that came back, nor the other way round.
    at->second = change == FileChange::deleted ? FileChange::deleted : FileChange::changed;
  }
}

TreeWatch::TreeWatch(const std::string& root, Bounds bounds)
    : TreeWatch(std::vector{root}, bounds, [](const std::string& path) { return !is_output(name_of(path)); }) {
  (void)walk(std::numeric_limits<std::size_t>::max(), {});
}

TreeWatch::TreeWatch(const std::vector<std::string>& roots, Bounds bounds, Wanted wanted)
    : bounds_(bounds),
      wanted_(std::move(wanted)),
      inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)),
      roots_(roots),
      left_(roots.begin(), roots.end()),
      blind_(inotify_.get() < 0) {
  if (blind_) left_.clear();
  for (const auto& root : roots) {
    const std::string above = root.substr(0, std::max(root.rfind('/'), std::size_t{1}));
    const int key = root.starts_with('/') ? ::inotify_add_watch(inotify_.get(), above.c_str(), kAboveRoot) : -1;
    if (key >= 0) above_roots_.emplace(key, name_of(root));
  }
}

// Breadth first: what is near is seen even if there are too many.
bool TreeWatch::walk(std::size_t folders, const Found& found) {
  for (; folders > 0 && !left_.empty(); --folders) {
    const std::string folder = std::move(left_.front());
    left_.pop_front();
    watch(folder, left_, found);
  }
  return !left_.empty();
}

// Links are followed; the kernel knows a folder again.
void TreeWatch::watch(const std::string& folder, std::deque<std::string>& left, const Found& found) {
  const bool is_root = std::ranges::find(roots_, folder) != roots_.end();
  const int key = ::inotify_add_watch(inotify_.get(), folder.c_str(), kEvents);
  if (key < 0) {
    const bool gone = errno == ENOENT || errno == ENOTDIR;
    lost_root_ = lost_root_ || (gone && is_root);
    blind_ = blind_ || !gone;
    full_ = full_ || errno == ENOSPC || errno == ENOMEM;
    return;
  }
  if (folders_.contains(key)) return;
  if (folders_.size() >= bounds_.folders) {
    (void)::inotify_rm_watch(inotify_.get(), key);
    blind_ = full_ = true;
    left.clear();
    return;
  }
  folders_.emplace(key, folder);
  keys_.insert_or_assign(folder, key);
  std::error_code failed;
  for (fs::directory_iterator it(folder, failed), end; !failed && it != end; it.increment(failed)) {
    std::error_code gone;
    std::string path = it->path().string();
    if (it->is_directory(gone)) {
      if (!is_tools_own(name_of(path)) && !fs::exists(path + "/CACHEDIR.TAG", gone)) left.push_back(std::move(path));
    } else if (found && wanted_(path)) {
      found(std::move(path));
    }
  }
}

// The files that came with the folder, or before this look.
void TreeWatch::watch_new(const std::string& folder, Changes& changes) {
  const Found found = [&](const std::string& path) { changes.add(path, FileChange::created, bounds_.changes); };
  for (std::deque<std::string> left{folder}; !left.empty();) {
    const std::string next = std::move(left.front());
    left.pop_front();
    watch(next, left, found);
  }
}

Changes TreeWatch::look(std::size_t most_bytes) {
  Changes changes;
  if (inotify_.get() < 0) return changes;
  drained_ = read_inotify(
      inotify_.get(), [&](int folder, std::uint32_t mask, std::string_view name) { take(folder, mask, name, changes); },
      most_bytes);
  return changes;
}

void TreeWatch::take(int watch, std::uint32_t mask, std::string_view name, Changes& changes) {
  if ((mask & IN_Q_OVERFLOW) != 0) changes.lost = true;
  if ((mask & (IN_DELETE | IN_MOVED_FROM)) != 0)
    lost_root_ = lost_root_ || above_roots_.contains({watch, std::string(name)});
  const auto folder = folders_.find(watch);
  if (folder == folders_.end()) return;
  if ((mask & IN_IGNORED) != 0) {
    if (const auto key = keys_.find(folder->second); key != keys_.end() && key->second == watch) keys_.erase(key);
    folders_.erase(folder);
    return;
  }
  if (name.empty()) return;
  const std::string path = child_of(folder->second, name);
  const bool came = (mask & (IN_CREATE | IN_MOVED_TO)) != 0;
  const bool went = (mask & (IN_DELETE | IN_MOVED_FROM)) != 0;
  // A link to a folder goes as a file does.
  if ((mask & IN_ISDIR) != 0 || (went && keys_.contains(path))) {
    if (is_tools_own(name)) return;
    if (went) folder_went(path);
    if (went) changes.add(path, FileChange::deleted, bounds_.changes);
    if (came) watch_new(path, changes);
    return;
  }
  if (wanted_(path)) {
    changes.add(path, went ? FileChange::deleted : came ? FileChange::created : FileChange::changed, bounds_.changes);
  }
  std::error_code gone;
  if (came && !is_tools_own(name) && fs::is_directory(path, gone)) watch_new(path, changes);
}

void TreeWatch::folder_went(const std::string& path) {
  const std::string below = path + "/";
  const auto forget = [&](auto it) {
    (void)::inotify_rm_watch(inotify_.get(), it->second);
    folders_.erase(it->second);
    return keys_.erase(it);
  };
  if (const auto it = keys_.find(path); it != keys_.end()) (void)forget(it);
  for (auto it = keys_.lower_bound(below); it != keys_.end() && it->first.starts_with(below);) it = forget(it);
}

}  // namespace gantry::lsp
