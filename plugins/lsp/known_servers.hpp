// SPDX-License-Identifier: Apache-2.0
//
// known_servers.hpp: language servers that need no configuration where their program is on PATH. A table
// [lsp.servers.NAME] of the same name changes what it says.
//
// Sources: the servers' own documentation; the names of programs, arguments and root markers are those that editors use
// (Neovim's lspconfig, Helix's languages.toml).
//
// Thread rule: pure functions; found_on_path() accesses the file system.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/lsp/config.hpp"

namespace gantry::lsp {

struct KnownServer {
  std::string_view name;
  /// Programs with their arguments, separated by spaces, separated by '|': the first on PATH is taken.
  std::string_view commands;
  std::string_view languages;     ///< separated by spaces
  std::string_view root_markers;  ///< separated by spaces
};

/// In the order of preference for a language.
[[nodiscard]] std::span<const KnownServer> known_servers();
/// Nullptr: there is none.
[[nodiscard]] const KnownServer* known_server(std::string_view name);
/// Its configuration, with the command that is on PATH, or else the first. Its root markers include those of version
/// control.
[[nodiscard]] ServerConfig config_of(const KnownServer& server);
[[nodiscard]] bool found_on_path(const KnownServer& server);
/// The command that is in one of these folders, separated by colons; empty: none is.
[[nodiscard]] std::vector<std::string> command_on_path(const KnownServer& server, std::string_view path);
[[nodiscard]] bool speaks(const KnownServer& server, std::string_view language);
/// The names of those that speak the language; empty: none does.
[[nodiscard]] std::string names_for(std::string_view language);

}  // namespace gantry::lsp
