// SPDX-License-Identifier: Apache-2.0
//
// environment.hpp: the variables of an editor that its language server gets: those that the server's table names, so
// that a server uses the compiler, interpreter and packages of the shell that the editor was started in.
//
// Only programs of the user may give an environment, for PATH says which program runs; a plugin may not.
//
// Thread rule: pure functions; server_on_path() and fitting() access the file system.
// Bounds: kMaxEnvironmentVariables variables, kMaxEnvironmentBytes bytes of names and values.
#pragma once

#include <cstddef>
#include <gantry/json.hpp>
#include <gantry/result.hpp>
#include <map>
#include <optional>
#include <string>

#include "plugins/lsp/config.hpp"

namespace gantry::lsp {

using Environment = std::map<std::string, std::string>;

inline constexpr std::size_t kMaxEnvironmentVariables = 256;
inline constexpr std::size_t kMaxEnvironmentBytes = std::size_t{256} << 10;

/// `invalid_params`: it is no object of texts, or a name or value is none that a process can have. `too_large`: a
/// bound.
[[nodiscard]] Result<Environment> parse_environment(const json& value);

/// A known server that lies on the editor's PATH and was not found on the host's: its configuration, for fitting().
/// `name` or `language` says which.
[[nodiscard]] std::optional<ServerConfig> server_on_path(const Environment& environment, const Servers& configured,
                                                         const std::optional<std::string>& name,
                                                         const std::optional<std::string>& language);

/// What `server` gets of it: the variables that its table names. PATH only if the server's program lies on it, for else
/// it could not be started: then the host's PATH holds. A server that was only found gets the command that is on this
/// PATH.
[[nodiscard]] Environment fitting(const Environment& environment, ServerConfig& server);

}  // namespace gantry::lsp
