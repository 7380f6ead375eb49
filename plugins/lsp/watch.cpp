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
      left_(roots.begin(), roots.end()),
      blind_(inotify_.get() < 0) {
  if (blind_) left_.clear();
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
  const int key = ::inotify_add_watch(inotify_.get(), folder.c_str(), kEvents);
  if (key < 0) {
    blind_ = blind_ || (errno != ENOENT && errno != ENOTDIR);
    return;
  }
  if (!folders_.try_emplace(key, folder).second) return;
  if (folders_.size() > bounds_.folders) {
    blind_ = true;
    left.clear();
    return;
  }
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

Changes TreeWatch::look() {
  Changes changes;
  if (inotify_.get() >= 0) {
    read_inotify(inotify_.get(),
                 [&](int folder, std::uint32_t mask, std::string_view name) { take(folder, mask, name, changes); });
  }
  return changes;
}

void TreeWatch::take(int watch, std::uint32_t mask, std::string_view name, Changes& changes) {
  if ((mask & IN_Q_OVERFLOW) != 0) changes.lost = true;
  if ((mask & IN_IGNORED) != 0) folders_.erase(watch);
  const auto folder = folders_.find(watch);
  if (folder == folders_.end() || name.empty()) return;
  const std::string path = child_of(folder->second, name);
  const bool came = (mask & (IN_CREATE | IN_MOVED_TO)) != 0;
  const bool went = (mask & (IN_DELETE | IN_MOVED_FROM)) != 0;
  if ((mask & IN_ISDIR) != 0) {
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
  if (came && fs::is_directory(path, gone)) watch_new(path, changes);  // a link to one
}

void TreeWatch::folder_went(const std::string& path) {
  const std::string below = path + "/";
  std::erase_if(folders_, [&](const auto& entry) {
    if (entry.second != path && !entry.second.starts_with(below)) return false;
    (void)::inotify_rm_watch(inotify_.get(), entry.first);
    return true;
  });
}

}  // namespace gantry::lsp
