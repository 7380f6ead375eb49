// SPDX-License-Identifier: Apache-2.0
//
// host/daemon/workspaces.hpp: the folders that clients work in.
//
// Thread rule: any thread. Bound: kMaxWorkspaces; at that number workspaces whose folders are gone
// are forgotten, and if none is, more are refused.
#pragma once

#include <algorithm>
#include <filesystem>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <string>
#include <vector>

#include "host/runtime/json_text.hpp"

namespace gantry::host {

/// The canonical path of a folder that a client names. `invalid_params`: the path is relative (the
/// host cannot know to which folder), or is no UTF-8, which JSON could not carry. `not_found`.
/// `what`: a word for the folder in messages.
[[nodiscard]] inline Result<std::string> canonical_folder(const char* what, const std::string& folder) {
  constexpr std::size_t kShown = 1000;
  const std::string named = std::string(what) + " " + folder.substr(0, kShown);
  if (!folder.starts_with('/') || folder.find('\0') != std::string::npos)
    return fail(ErrorKind::invalid_params, named + " is no absolute path; name the whole path");
  std::error_code failed;
  const auto path = std::filesystem::canonical(folder, failed);
  if (!is_utf8(folder) || (!failed && !is_utf8(path.native())))
    return fail(ErrorKind::invalid_params, named + " is refused: its path is no UTF-8; rename the folder");
  if (failed) return fail(ErrorKind::not_found, named + ": " + failed.message());
  return path.string();
}

class Workspaces {
 public:
  static constexpr std::size_t kMaxWorkspaces = 64;
  struct Added {
    std::string path;  ///< canonical
    bool is_new;
    std::vector<std::string> forgotten;  ///< workspaces that made room because their folders are gone
  };

  /// Errors as canonical_folder(); `overloaded`: there are kMaxWorkspaces.
  [[nodiscard]] Result<Added> add(const std::string& folder) {
    const auto canonical = canonical_folder("workspace", folder);
    if (!canonical) return std::unexpected(canonical.error());
    const std::filesystem::path path(*canonical);
    std::error_code failed;
    if (!std::filesystem::is_directory(path, failed))
      return fail(ErrorKind::invalid_params, "workspace " + folder + " is no folder");
    Lock lock(mutex_);
    if (std::find(paths_.begin(), paths_.end(), path.string()) != paths_.end()) return Added{path.string(), false, {}};
    std::vector<std::string> forgotten;
    if (paths_.size() >= kMaxWorkspaces) forgotten = forget_gone();
    if (paths_.size() >= kMaxWorkspaces)
      return fail(ErrorKind::overloaded,
                  "the host serves " + std::to_string(kMaxWorkspaces) + " workspaces already; restart it with fewer",
                  R"({"retry_after_ms":60000})");
    paths_.push_back(path.string());
    return Added{path.string(), true, std::move(forgotten)};
  }
  [[nodiscard]] bool has(const std::string& path) const {
    Lock lock(mutex_);
    return std::find(paths_.begin(), paths_.end(), path) != paths_.end();
  }
  [[nodiscard]] std::vector<std::string> list() const {
    Lock lock(mutex_);
    return paths_;
  }

 private:
  [[nodiscard]] std::vector<std::string> forget_gone() GANTRY_REQUIRES(mutex_) {
    std::vector<std::string> out;
    std::erase_if(paths_, [&out](const std::string& path) {
      std::error_code failed;
      // A folder that cannot be examined (no permission, a network that does not answer) counts as
      // there.
      const bool gone = std::filesystem::status(path, failed).type() == std::filesystem::file_type::not_found;
      if (gone) out.push_back(path);
      return gone;
    });
    return out;
  }

  mutable Mutex mutex_;
  std::vector<std::string> paths_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
