// SPDX-License-Identifier: Apache-2.0
//
// config.hpp: the [lsp] table and the [async] limits, as values.
//
// Thread rule: values. find_on_path() asks the file system.
#pragma once

#include <chrono>
#include <gantry/deadline.hpp>
#include <gantry/json.hpp>
#include <gantry/plugin/host.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::lsp {

struct ServerConfig {
  std::string name;
  std::vector<std::string> command;
  std::vector<std::string> languages;     ///< LSP language ids
  std::vector<std::string> root_markers;  ///< names whose presence makes a folder a root
  std::vector<std::string> extensions;    ///< ".xyz", for files that the built-in table does not know
  json settings = json::object();         ///< what workspace/configuration is answered with

  bool operator==(const ServerConfig&) const = default;
  [[nodiscard]] bool speaks(std::string_view language) const;
};

struct Settings {
  std::vector<ServerConfig> servers;  ///< in the order of their names
  std::vector<std::string> workspaces;
  std::size_t max_requests = 8;
  Duration request_timeout = std::chrono::seconds(10);

  [[nodiscard]] const ServerConfig* named(std::string_view name) const;
  [[nodiscard]] const ServerConfig* for_language(std::string_view language) const;
  /// The language id of a file by its name, as the servers' `extensions` or the built-in table have it; or empty.
  [[nodiscard]] std::string language_of(std::string_view path) const;
};

/// `invalid_params` names the key. Without [lsp.servers] there is one server, clangd.
[[nodiscard]] Result<Settings> parse_settings(const PluginConfig& config);

/// Is there an executable of this name on PATH?
[[nodiscard]] bool find_on_path(std::string_view program);

}  // namespace gantry::lsp
