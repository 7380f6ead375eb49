// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/embedded/git_rules.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "plugins/ai/embedded/git_config.hpp"
#include "plugins/ai/embedded/read_file.hpp"

namespace gantry::ai {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMaxPointer = 8192;  // of a file that holds a path

std::optional<struct stat> stat_of(const fs::path& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 ? std::optional(info) : std::nullopt;
}
bool is_folder_at(const fs::path& path) {
  const auto info = stat_of(path);
  return info && S_ISDIR(info->st_mode);
}

// The path that a file holds, seen from `base`. Empty: there is none.
fs::path path_in(const fs::path& file, std::string_view prefix, const fs::path& base) {
  const auto read = read_regular(file, kMaxPointer, Links::follow);
  std::string_view text = read.text;
  if (!text.starts_with(prefix)) return {};
  text.remove_prefix(prefix.size());
  while (text.ends_with('\n') || text.ends_with('\r')) text.remove_suffix(1);
  return text.empty() ? fs::path() : (base / text).lexically_normal();
}

// By gitrepository-layout(5): the folder that the worktrees of a repository share, where the rules
// are. Empty: `folder` is the top of no repository.
fs::path common_dir_of(const fs::path& folder) {
  const fs::path dot_git = folder / ".git";
  const auto info = stat_of(dot_git);
  if (!info) return {};
  const fs::path git_dir = S_ISDIR(info->st_mode) ? dot_git : path_in(dot_git, "gitdir: ", folder);
  if (git_dir.empty()) return {};
  fs::path common = path_in(git_dir / "commondir", "", git_dir);
  if (common.empty()) common = git_dir;
  struct stat head{};
  const bool valid = ::lstat((git_dir / "HEAD").c_str(), &head) == 0 && is_folder_at(common / "objects") &&
                     is_folder_at(common / "refs");
  return valid ? common : fs::path();
}

// The top of the repository around `root`, on the same file system; empty: there is none.
fs::path top_of(const fs::path& root) {
  const auto device = stat_of(root);
  for (fs::path folder = root; device; folder = folder.parent_path()) {
    const auto info = stat_of(folder);
    if (!info || info->st_dev != device->st_dev) break;
    if (!common_dir_of(folder).empty()) return folder;
    if (folder == folder.parent_path()) break;
  }
  return {};
}

}  // namespace

GitRules::GitRules(const fs::path& root) {
  const fs::path top = top_of(root);
  if (top.empty()) return;
  std::vector<fs::path> above;
  for (fs::path folder = root; folder != top; folder = folder.parent_path()) above.push_back(folder.parent_path());
  for (auto folder = above.rbegin(); folder != above.rend(); ++folder) {
    if (!enter(*folder)) {
      nothing_ = true;
      return;
    }
    const fs::path& inner = std::next(folder) == above.rend() ? root : *std::next(folder);
    if (!ignored(inner, true)) continue;
    nothing_ = true;
    note(root.string() + " is not learned: git ignores " + inner.string());
    return;
  }
}

void GitRules::note(std::string text) {
  if (notes_.size() < kMaxNotes) notes_.push_back(std::move(text));
}

bool GitRules::enter(const fs::path& path) {
  Folder folder{path.string(), !folders_.empty() && folders_.back().fold};
  bool readable = !nothing_;
  if (const fs::path common = common_dir_of(path); readable && !common.empty()) {
    readable = read_repository(folder, common);
  }
  readable = readable && read_rules(path / ".gitignore", true, folder);
  folders_.push_back(std::move(folder));
  return readable;
}

bool GitRules::read_repository(Folder& folder, const fs::path& common_dir) {
  folder.top = true;
  const GitConfig config = read_git_config(common_dir);
  folder.fold = config.ignore_case;
  for (const auto& file : config.unread) note(file + " cannot be read: core.excludesFile may not be known");
  if (!read_rules(common_dir / "info/exclude", false, folder)) return false;
  if (config.excludes_file.empty()) return true;
  // The user's own file: git goes on without it, too.
  const auto users = read_regular(config.excludes_file, kMaxRules, Links::follow);
  if (users.state == FileText::State::refused) note(config.excludes_file + " cannot be read: " + users.why);
  if (users.state == FileText::State::read) folder.files.emplace_back(users.text, folder.fold);
  return true;
}

bool GitRules::read_rules(const fs::path& file, bool own, Folder& folder) {
  // git follows no link for a .gitignore.
  const auto rules = read_regular(file, kMaxRules, own ? Links::refuse : Links::follow);
  if (rules.state == FileText::State::refused) {
    note(file.string() + " cannot be read: " + rules.why +
         "; what it may be about is not learned. Let it be read; a plugin in a process of its own needs the grant "
         "read:" +
         file.string());
    return false;
  }
  Gitignore patterns(rules.text, folder.fold);
  if (!patterns.empty()) (own ? folder.own : folder.files).push_back(std::move(patterns));
  return true;
}

bool GitRules::ignored(const fs::path& path, bool is_folder) const {
  const std::string_view whole = path.native();
  for (auto folder = folders_.rbegin(); folder != folders_.rend(); ++folder) {
    const std::string_view relative = whole.substr(std::min(folder->path.size(), whole.size()));
    for (const auto* files : {&folder->own, &folder->files}) {
      for (const auto& patterns : *files) {
        if (const auto verdict = patterns.ignored(relative, is_folder)) return *verdict;
      }
    }
    if (folder->top) return false;
  }
  return false;
}

}  // namespace gantry::ai
