// SPDX-License-Identifier: Apache-2.0
//
// host/house/workspaces.hpp: the folders that clients work in.
//
// Thread rule: any thread. Bound: kMaxWorkspaces; more are refused.
#pragma once

#include <algorithm>
#include <filesystem>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <string>
#include <vector>

namespace gantry::host {

class Workspaces {
 public:
  static constexpr std::size_t kMaxWorkspaces = 64;
  struct Added {
    std::string path;  ///< canonical
    bool is_new;
  };

  [[nodiscard]] Result<Added> add(const std::string& folder) {
    std::error_code failed;
    const auto path = std::filesystem::canonical(folder, failed);
    if (failed) return fail(ErrorKind::not_found, "workspace " + folder + ": " + failed.message());
    if (!std::filesystem::is_directory(path, failed))
      return fail(ErrorKind::invalid_params, "workspace " + folder + " is no folder");
    Lock lock(mutex_);
    if (std::find(paths_.begin(), paths_.end(), path.string()) != paths_.end()) return Added{path.string(), false};
    if (paths_.size() >= kMaxWorkspaces)
      return fail(ErrorKind::overloaded,
                  "the host serves " + std::to_string(kMaxWorkspaces) + " workspaces already; restart it with fewer",
                  R"({"retry_after_ms":60000})");
    paths_.push_back(path.string());
    return Added{path.string(), true};
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
  mutable Mutex mutex_;
  std::vector<std::string> paths_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
