// SPDX-License-Identifier: Apache-2.0
//
// host/trust/project.hpp: a project's own configuration, `.gantry.toml` at the root of a workspace.
//
// The author of a project writes this file: it is untrusted until the user has said otherwise.
// keys.cpp says which keys a project may never set, which are safe, and which need trust. Keys in
// force are laid over the user's configuration: a value replaces the user's, a table is merged
// member by member.
//
// Thread rule: pure functions; read_project_file() asks the file system.
// Bounds: a file of kMaxProjectBytes. Never: reading blocks on a pipe, follows a link, or takes
// another user's file.
#pragma once

#include <filesystem>
#include <gantry/result.hpp>
#include <optional>
#include <string>
#include <vector>

#include "host/config/config.hpp"

namespace gantry::host {

inline constexpr std::string_view kProjectFile = ".gantry.toml";
inline constexpr std::size_t kMaxProjectBytes = std::size_t{64} << 10;

struct ProjectFile {
  std::string path;
  std::string text;
  std::string digest;  ///< SHA-256 of exactly this text
};

/// Empty: there is no file. `permission_denied`, `too_large`, `unavailable`: why it is not read.
[[nodiscard]] Result<std::optional<ProjectFile>> read_project_file(const std::filesystem::path& folder);

/// A key that the project sets.
struct ProjectKey {
  std::string key;  ///< full path
  json value;
  bool safe;  ///< in force without trust
};

struct ProjectConfig {
  Config config;  ///< the user's configuration with the project's keys in force
  std::vector<ProjectKey> keys;
};

/// `base`: the user's configuration. All errors are reported, by their places in the project's
/// file.
[[nodiscard]] ConfigResult<ProjectConfig> project_config(const ProjectFile& file, const Config& base, bool trusted,
                                                         const EnvLookup& env = process_env);

}  // namespace gantry::host
