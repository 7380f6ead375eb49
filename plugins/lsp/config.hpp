// SPDX-License-Identifier: Apache-2.0
//
// config.hpp: the [lsp] table and the [async] limits, as typed values.
//
// Thread rule: values. find_on_path() accesses the file system.
#pragma once

#include <chrono>
#include <functional>
#include <gantry/deadline.hpp>
#include <gantry/json.hpp>
#include <gantry/plugin/host.hpp>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::lsp {

/// Servers of large projects in Java or Kotlin need minutes.
inline constexpr std::chrono::seconds kDefaultInitializeTimeout{300};

/// Which editors use one process of a server: those that agree on all settings (attach.hpp), all of a root with the
/// settings of the first, or none.
enum class Share { same, root, none };
/// After this time a server that nobody asks ends; 0: never. Longer than a pause of an agent that waits for its user,
/// for an index that is built anew may take minutes; short enough that yesterday's servers hold no memory.
inline constexpr std::chrono::seconds kDefaultIdleStop{1800};

/// Those that decide which compiler, interpreter or packages a server uses.
[[nodiscard]] std::vector<std::string> default_environment();

struct ServerConfig {
  std::string name;
  std::vector<std::string> command;
  std::vector<std::string> languages;     ///< LSP language ids
  std::vector<std::string> root_markers;  ///< names whose presence makes a folder a root
  std::vector<std::string> extensions;    ///< ".xyz", for files that the built-in table does not know
  json settings = json::object();         ///< the answer to workspace/configuration
  bool runs_project_code = false;         ///< the server may run only in trusted workspaces
  int priority = 0;                       ///< the highest serves a language that several speak; see together_for()
  bool built_in = false;                  ///< it is not configured, but was found (known_servers.hpp)
  /// The time limit for `initialize`, for a server that callers share; 0: none.
  std::chrono::seconds initialize_timeout = kDefaultInitializeTimeout;
  Share share = Share::same;
  /// Names of the variables that a process gets as its editor has them.
  std::vector<std::string> environment = default_environment();
  /// The memory that a process may use with all that it has started; 0: no limit.
  std::int64_t max_memory_mib = 0;

  bool operator==(const ServerConfig&) const = default;
  [[nodiscard]] bool speaks(std::string_view language) const;
};
[[nodiscard]] json to_json(const ServerConfig& server);
/// The inverse of to_json(). Throws json::exception.
[[nodiscard]] ServerConfig server_from(const json& value);

struct Servers {
  std::vector<ServerConfig> servers;  ///< those that are configured, by name; then those that were found
  std::set<std::string> disabled;     ///< by the configuration

  [[nodiscard]] const ServerConfig* named(std::string_view name) const;
  [[nodiscard]] const ServerConfig* for_language(std::string_view language) const;
  /// Those of the language with a priority above 0, the highest first: of several an editor has all.
  [[nodiscard]] std::vector<const ServerConfig*> together_for(std::string_view language) const;
  /// The language id of a file by its name, from the servers' `extensions` or the built-in table;
  /// or empty.
  [[nodiscard]] std::string language_of(std::string_view path) const;
};

struct Settings : Servers {
  std::map<std::string, Servers, std::less<>> in_workspace;  ///< for workspaces whose project has servers of its own
  std::vector<std::string> refused;  ///< why a project's servers are not used: there the user's servers hold
  std::vector<std::string> workspaces;
  std::size_t max_requests = 8;
  Duration request_timeout = std::chrono::seconds(10);
  std::size_t editor_max_requests = 0;  ///< 0: no limit
  Duration editor_request_timeout{0};   ///< 0: no limit
  Duration idle_stop = kDefaultIdleStop;

  std::vector<std::string> trusted;  ///< the trusted workspaces

  /// The servers for the file or folder at `path`.
  [[nodiscard]] const Servers& at(std::string_view path) const;
  /// `permission_denied`: the server would run code of the project at `path`, which the user has
  /// not trusted.
  [[nodiscard]] Result<void> may_run(const ServerConfig& server, std::string_view path) const;
};

/// `invalid_params` names the key. Accesses the file system.
[[nodiscard]] Result<Settings> parse_settings(const PluginConfig& config);

/// `not_found`: no server speaks this language.
[[nodiscard]] std::unexpected<Error> no_server(const std::string& language);

/// True: this program is known to run code of the project that it opens.
[[nodiscard]] bool runs_project_code(std::string_view program);

/// True: the server is a clangd, of any version.
[[nodiscard]] bool is_clangd(const ServerConfig& config);

/// False: a request of this method that is cancelled breaks the server. One of pyright's references that is cancelled
/// before pyright begins with it lets all later ones fail (pyright 1.1.414, onReferences).
[[nodiscard]] bool may_be_cancelled(const ServerConfig& config, std::string_view method);

/// True: PATH has an executable of this name.
[[nodiscard]] bool find_on_path(std::string_view program);
/// True: one of these folders, separated by colons, has it.
[[nodiscard]] bool find_on_path(std::string_view program, std::string_view path);

}  // namespace gantry::lsp
