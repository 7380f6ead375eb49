// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/watch.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <filesystem>
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

void Changes::add(const std::string& path, FileChange change) {
  const auto [at, is_new] = files.try_emplace(path, change);
  if (is_new) {
    if (files.size() <= TreeWatch::kMaxChanges) return;
    files.erase(at);
    lost = true;
  } else if (change == FileChange::deleted || at->second == FileChange::deleted) {
    // Who sees one change only must not take a file for gone that came back, nor the other way round.
    at->second = change == FileChange::deleted ? FileChange::deleted : FileChange::changed;
  }
}

TreeWatch::TreeWatch(const std::string& root, std::size_t most_folders)
    : most_folders_(most_folders), inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  if (inotify_.get() < 0) {
    blind_ = true;
  } else {
    watch(root, nullptr);
  }
}

// Breadth first: what is near is seen even if there are too many. Links are followed; the kernel knows a folder again.
void TreeWatch::watch(const std::string& root, Changes* changes) {
  std::deque<std::string> left{root};
  for (; !left.empty(); left.pop_front()) {
    const std::string& folder = left.front();
    const int key = ::inotify_add_watch(inotify_.get(), folder.c_str(), kEvents);
    if (key < 0) {
      blind_ = blind_ || (errno != ENOENT && errno != ENOTDIR);
      continue;
    }
    if (!folders_.try_emplace(key, folder).second) continue;
    if (folders_.size() > most_folders_) {
      blind_ = true;
      return;
    }
    std::error_code failed;
    for (fs::directory_iterator it(folder, failed), end; !failed && it != end; it.increment(failed)) {
      std::error_code gone;
      const std::string path = it->path().string();
      if (it->is_directory(gone)) {
        if (!is_tools_own(name_of(path)) && !fs::exists(path + "/CACHEDIR.TAG", gone)) left.push_back(path);
      } else if (changes != nullptr && !is_output(name_of(path))) {
        changes->add(path, FileChange::created);
      }
    }
  }
}

Changes TreeWatch::look() {
  Changes changes;
  alignas(inotify_event) std::array<char, 16 * 1024> buffer{};
  while (inotify_.get() >= 0) {
    const auto got = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
      const auto& event = *reinterpret_cast<const inotify_event*>(buffer.data() + at);
      take(event, event.len == 0 ? std::string_view() : std::string_view(event.name), changes);
      at += sizeof event + event.len;
    }
  }
  return changes;
}

void TreeWatch::take(const inotify_event& event, std::string_view name, Changes& changes) {
  if ((event.mask & IN_Q_OVERFLOW) != 0) changes.lost = true;
  if ((event.mask & IN_IGNORED) != 0) folders_.erase(event.wd);
  const auto folder = folders_.find(event.wd);
  if (folder == folders_.end() || name.empty()) return;
  const std::string path = child_of(folder->second, name);
  const bool came = (event.mask & (IN_CREATE | IN_MOVED_TO)) != 0;
  const bool went = (event.mask & (IN_DELETE | IN_MOVED_FROM)) != 0;
  if ((event.mask & IN_ISDIR) != 0) {
    if (is_tools_own(name)) return;
    if (went) folder_went(path);
    if (went) changes.add(path, FileChange::deleted);
    if (came) watch(path, &changes);  // what came with it, or before this look
  } else if (!is_output(name)) {
    changes.add(path, went ? FileChange::deleted : came ? FileChange::created : FileChange::changed);
    std::error_code gone;
    if (came && fs::is_directory(path, gone)) watch(path, &changes);  // a link to one
  }
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
