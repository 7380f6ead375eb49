// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/edits/plan.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "plugins/lsp/files.hpp"

namespace gantry::lsp {

namespace {

namespace fs = std::filesystem;

[[nodiscard]] std::int64_t nanoseconds(const timespec& t) {
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

[[nodiscard]] std::unexpected<Error> conflict(std::string what) { return fail(ErrorKind::conflict, std::move(what)); }

[[nodiscard]] bool is_inside(const std::string& path, const std::string& folder) {
  return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

/// With the links of the folders on the way resolved, and with a link to a file resolved too. What does not exist
/// keeps its name.
[[nodiscard]] Result<std::string> resolved(const std::string& path) {
  std::error_code failed;
  auto real = fs::weakly_canonical(path, failed);
  if (failed) return fail(ErrorKind::not_found, path + " cannot be reached: " + failed.message());
  std::string out = real.string();
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  return out;
}

[[nodiscard]] bool is_link(const std::string& path) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0 && S_ISLNK(info.st_mode);
}

class Planner {
 public:
  explicit Planner(const PlanRules& rules) : rules_(rules) {}

  Result<void> follow(const FileOperation& operation) {
    return std::visit([this](const auto& each) { return perform(each); }, operation);
  }

  [[nodiscard]] Result<Plan> finish() {
    Plan out;
    for (auto& [real, file] : files_) {
      if (auto done = settle(file); !done) return std::unexpected(done.error());
    }
    for (auto& [real, file] : files_) {
      if (file.now && file.has_bom && !file.now->starts_with(kBom)) file.now->insert(0, kBom);
      if (file.now == file.original) continue;
      PlannedFile change;
      change.path = file.path;
      change.real = real;
      if (file.original) change.before = ContentHash::of(*file.original);
      if (file.now) change.mode_of = file.mode_of;
      change.moved_from = file.now ? file.moved_from : "";
      change.after = std::move(file.now);
      change.hunks = std::move(file.hunks);
      out.files.push_back(std::move(change));
    }
    std::ranges::sort(out.files, {}, &PlannedFile::path);
    for (auto it = gone_.rbegin(); it != gone_.rend(); ++it) {  // an inner folder's name is behind the outer one's
      const bool used = std::ranges::any_of(
          out.files, [&](const PlannedFile& change) { return change.after && is_inside(change.real, *it); });
      if (!used) out.folders.push_back(*it);
    }
    return out;
  }

 private:
  struct File {
    std::string path;
    std::optional<std::string> original;  ///< on the disk; nothing: no file
    std::optional<std::string> now;       ///< without byte order mark
    bool has_bom = false;                 ///< which stays
    std::vector<TextEdit> edits;          ///< not yet applied to `now`
    std::vector<Hunk> hunks;
    std::string mode_of, moved_from;
  };

  [[nodiscard]] Result<File*> load(const std::string& path) {
    auto real = resolved(path);
    if (!real) return std::unexpected(real.error());
    if (const auto it = files_.find(*real); it != files_.end()) return &it->second;
    File file;
    file.path = path;
    struct stat info{};
    if (::stat(real->c_str(), &info) == 0) {
      if (S_ISDIR(info.st_mode)) return conflict(path + " is a folder");
      if (!S_ISREG(info.st_mode)) return conflict(path + " is no regular file");
      if (rules_.asked_at_ns != 0 && nanoseconds(info.st_ctim) > rules_.asked_at_ns)
        return conflict(path + " was changed while the server worked on the edit; ask again");
      auto text = read_bytes(*real);
      if (!text) return std::unexpected(text.error());
      if (bytes_ += text->size(); bytes_ > Plan::kMaxBytes) return too_large();
      file.original = *text;
      file.has_bom = text->starts_with(kBom);
      file.now = without_bom(std::move(*text));
      file.mode_of = *real;
    } else if (errno != ENOENT) {
      return conflict(path + " cannot be read: " + std::strerror(errno));
    }
    if (files_.size() >= Plan::kMaxFiles) return too_large();
    return &files_.emplace(std::move(*real), std::move(file)).first->second;
  }

  [[nodiscard]] static std::unexpected<Error> too_large() {
    return fail(ErrorKind::too_large, "the edit concerns more than " + std::to_string(Plan::kMaxFiles) +
                                          " files, or more than " + std::to_string(Plan::kMaxBytes >> 20) +
                                          " MiB of them");
  }

  // Applies the edits that have come for a file so far.
  Result<void> settle(File& file) {
    if (file.edits.empty()) return {};
    auto edited = apply_edits(*file.now, std::exchange(file.edits, {}));
    if (!edited) {
      return std::unexpected(
          Error{edited.error().kind, file.path + ": " + edited.error().message, edited.error().data});
    }
    if (bytes_ += edited->text.size(); bytes_ > Plan::kMaxBytes) return too_large();
    file.now = std::move(edited->text);
    file.hunks.insert(file.hunks.end(), std::make_move_iterator(edited->hunks.begin()),
                      std::make_move_iterator(edited->hunks.end()));
    return {};
  }

  Result<void> perform(const EditFile& edit) {
    auto file = load(edit.path);
    if (!file) return std::unexpected(file.error());
    if (!(*file)->now) return conflict(edit.path + ", which the server wants to edit, does not exist");
    // 0: a server that does not know the version (many count from 1).
    if (edit.version.value_or(0) > 0 && rules_.is_current && !rules_.is_current(edit.path, *edit.version))
      return conflict("the server's edit is for an old text of " + edit.path + "; ask again");
    (*file)->edits.insert((*file)->edits.end(), edit.edits.begin(), edit.edits.end());
    return {};
  }

  Result<void> perform(const CreateFile& create) {
    auto file = load(create.path);
    if (!file) return std::unexpected(file.error());
    if ((*file)->now && !create.overwrite) {
      if (create.ignore_if_exists) return {};
      return conflict(create.path + ", which the server wants to create, exists");
    }
    (*file)->edits.clear();
    (*file)->hunks.clear();
    (*file)->now = std::string();
    (*file)->has_bom = false;
    return {};
  }

  Result<void> perform(const RenameFile& rename) {
    if (rename.from == rename.to) return {};
    if (is_inside(rename.to, rename.from)) return conflict(rename.from + " cannot become a part of itself");
    if (auto folder = files_in(rename.from)) {
      if (!*folder) return std::unexpected(folder->error());
      struct stat info{};
      if (::lstat(rename.to.c_str(), &info) == 0) {
        if (rename.ignore_if_exists && !rename.overwrite) return {};
        return conflict(rename.to + ", which " + rename.from + " shall become, exists");
      }
      for (const auto& path : **folder) {
        if (auto moved = move(path, rename.to + path.substr(rename.from.size()), rename); !moved) return moved;
      }
      return {};
    }
    return move(rename.from, rename.to, rename);
  }

  Result<void> move(const std::string& from, const std::string& to, const RenameFile& rename) {
    auto source = load(from);
    if (!source) return std::unexpected(source.error());
    auto target = load(to);
    if (!target) return std::unexpected(target.error());
    if (!(*source)->now) return conflict(from + ", which the server wants to rename, does not exist");
    for (const auto* path : {&from, &to}) {
      if (is_link(*path)) return conflict(*path + " is a symbolic link, which is neither renamed nor replaced");
    }
    if ((*target)->now && !rename.overwrite) {
      if (rename.ignore_if_exists) return {};
      return conflict(to + ", which " + from + " shall become, exists");
    }
    if (*source == *target) return {};
    if (auto done = settle(**source); !done) return done;
    File &was = **source, &is = **target;
    is.now = std::exchange(was.now, std::nullopt);
    is.has_bom = was.has_bom;
    is.hunks = std::exchange(was.hunks, {});
    is.edits.clear();
    is.mode_of = was.mode_of;
    is.moved_from = was.moved_from.empty() ? was.path : was.moved_from;
    return {};
  }

  Result<void> perform(const DeleteFile& remove) {
    if (auto folder = files_in(remove.path)) {
      if (!*folder) return std::unexpected(folder->error());
      if (!remove.recursive && !(*folder)->empty())
        return conflict(remove.path + ", which the server wants to delete, is a folder that is not empty");
      for (const auto& path : **folder) {
        if (auto gone = erase(path); !gone) return gone;
      }
      return {};
    }
    auto file = load(remove.path);
    if (!file) return std::unexpected(file.error());
    if (!(*file)->now) {
      if (remove.ignore_if_not_exists) return {};
      return conflict(remove.path + ", which the server wants to delete, does not exist");
    }
    return erase(remove.path);
  }

  Result<void> erase(const std::string& path) {
    auto file = load(path);
    if (!file) return std::unexpected(file.error());
    if (is_link(path)) return conflict(path + " is a symbolic link, which is not deleted");
    (*file)->now.reset();
    (*file)->edits.clear();
    (*file)->hunks.clear();
    return {};
  }

  // The files in a folder, with what earlier operations have made of it; the folder and those in it are noted as gone.
  // Nothing: `path` is no folder.
  [[nodiscard]] std::optional<Result<std::vector<std::string>>> files_in(const std::string& path) {
    struct stat info{};
    if (::lstat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) return std::nullopt;
    const auto real = resolved(path);
    if (!real) return std::unexpected(real.error());
    std::set<std::string> found, folders{*real};
    std::error_code wrong;
    for (fs::recursive_directory_iterator at(*real, wrong), end; !wrong && at != end; at.increment(wrong)) {
      const auto status = at->symlink_status(wrong);
      if (wrong) break;
      const std::string inner = at->path().string();
      if (fs::is_directory(status)) {
        folders.insert(inner);
      } else if (!fs::is_regular_file(status)) {
        return conflict(inner + " is no regular file, so that " + path + " cannot be moved or deleted as a whole");
      } else if (const auto known = files_.find(inner); known == files_.end() || known->second.now) {
        found.insert(inner);
      }
      if (found.size() + folders.size() > Plan::kMaxFiles) return too_large();
    }
    if (wrong) return conflict(path + " cannot be read: " + wrong.message());
    for (const auto& [known, file] : files_) {
      if (file.now && is_inside(known, *real)) found.insert(known);
    }
    gone_.merge(folders);
    std::vector<std::string> out;
    for (const auto& inner : found) out.push_back(path + inner.substr(real->size()));
    return out;
  }

  const PlanRules& rules_;
  std::map<std::string, File> files_;  ///< by real path
  std::set<std::string> gone_;         ///< folders
  std::size_t bytes_ = 0;
};

}  // namespace

std::size_t Plan::bytes() const {
  std::size_t out = 0;
  for (const auto& file : files) {
    out += file.path.size() + file.real.size() + (file.after ? file.after->size() : 0);
    for (const auto& hunk : file.hunks) out += sizeof(Hunk) + hunk.before.size() + hunk.after.size();
  }
  return out;
}

std::int64_t file_clock_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return nanoseconds(now);
}

Result<Plan> plan_of(const WorkspaceEdit& edit, const PlanRules& rules) {
  Planner planner(rules);
  for (const auto& operation : edit.operations) {
    if (auto done = planner.follow(operation); !done) return std::unexpected(done.error());
  }
  auto plan = planner.finish();
  if (plan) plan->notes = edit.notes;
  return plan;
}

}  // namespace gantry::lsp
