// SPDX-License-Identifier: Apache-2.0
//
// config.hpp: the [lsp] table and the [async] limits, as values.
//
// Thread rule: values. find_on_path() asks the file system.
#pragma once

#include <chrono>
#include <functional>
#include <gantry/deadline.hpp>
#include <gantry/json.hpp>
#include <gantry/plugin/host.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::lsp {

/// Servers of large projects in Java or Kotlin need minutes.
inline constexpr std::chrono::seconds kDefaultInitializeTimeout{300};

struct ServerConfig {
  std::string name;
  std::vector<std::string> command;
  std::vector<std::string> languages;     ///< LSP language ids
  std::vector<std::string> root_markers;  ///< names whose presence makes a folder a root
  std::vector<std::string> extensions;    ///< ".xyz", for files that the built-in table does not know
  json settings = json::object();         ///< what workspace/configuration is answered with
  bool runs_project_code = false;         ///< only in workspaces that are trusted
  /// In which it must answer `initialize`, when callers share it; 0: whenever it does.
  std::chrono::seconds initialize_timeout = kDefaultInitializeTimeout;

  bool operator==(const ServerConfig&) const = default;
  [[nodiscard]] bool speaks(std::string_view language) const;
};
[[nodiscard]] json to_json(const ServerConfig& server);
/// Of what to_json() has made. Throws json::exception.
[[nodiscard]] ServerConfig server_from(const json& value);

struct Servers {
  std::vector<ServerConfig> servers;  ///< in the order of their names

  [[nodiscard]] const ServerConfig* named(std::string_view name) const;
  [[nodiscard]] const ServerConfig* for_language(std::string_view language) const;
  /// The language id of a file by its name, as the servers' `extensions` or the built-in table have it; or empty.
  [[nodiscard]] std::string language_of(std::string_view path) const;
};

struct Settings : Servers {
  std::map<std::string, Servers, std::less<>> in_workspace;  ///< those whose project has servers of its own
  std::vector<std::string> refused;  ///< why a project's are not among them: those of the user hold there
  std::vector<std::string> workspaces;
  std::size_t max_requests = 8;
  Duration request_timeout = std::chrono::seconds(10);
  std::size_t editor_max_requests = 0;  ///< 0: as many as they send
  Duration editor_request_timeout{0};   ///< 0: none

  std::vector<std::string> trusted;  ///< of the workspaces

  /// Those for what lies there.
  [[nodiscard]] const Servers& at(std::string_view path) const;
  /// `permission_denied`: it would run code of the project there, which the user has not trusted.
  [[nodiscard]] Result<void> may_run(const ServerConfig& server, std::string_view path) const;
};

/// `invalid_params` names the key. Without [lsp.servers] there is one server, clangd.
[[nodiscard]] Result<Settings> parse_settings(const PluginConfig& config);

/// Is there an executable of this name on PATH?
[[nodiscard]] bool find_on_path(std::string_view program);

}  // namespace gantry::lsp
