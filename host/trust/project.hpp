// SPDX-License-Identifier: Apache-2.0
//
// host/trust/project.hpp: a project's own configuration, `.gantry.toml` at the root of a workspace.
//
// Whoever wrote the project wrote it: it is untrusted until the user has said otherwise. Keys say in keys.cpp what they
// are to a project: the host's alone, safe, or to be trusted. What is in force is laid over the user's configuration:
// a value takes the place of the user's, a table is merged member by member.
//
// Thread rule: pure functions; read_project_file() asks the file system.
// Bounds: a file of kMaxProjectBytes. Never: it blocks on a pipe, follows a link, or takes another user's file.
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
  std::string digest;  ///< SHA-256 of just this text
};

/// Empty: there is none. `permission_denied`, `too_large`, `unavailable`: it is not read, and why.
[[nodiscard]] Result<std::optional<ProjectFile>> read_project_file(const std::filesystem::path& folder);

/// A key that the project sets.
struct ProjectKey {
  std::string key;  ///< full path
  json value;
  bool safe;  ///< in force without trust
};

struct ProjectConfig {
  Config config;  ///< the user's with what is in force of the project's
  std::vector<ProjectKey> keys;
};

/// `base`: the user's. All errors are reported, by their places in the project's file.
[[nodiscard]] ConfigResult<ProjectConfig> project_config(const ProjectFile& file, const Config& base, bool trusted,
                                                         const EnvLookup& env = process_env);

}  // namespace gantry::host
