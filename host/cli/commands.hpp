// SPDX-License-Identifier: Apache-2.0
//
// host/cli/commands.hpp: the commands of `gantry`. Each function returns the exit code: 0 done, 1
// failed (the reason is on stderr), 2 wrong usage. Commands print to stdout by <cstdio>; main()
// checks that all was written, commands that go on printing check it themselves.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::host {

struct Common {
  std::string socket;  ///< --socket, or empty
  std::string config;  ///< --config, or empty
  bool no_start = false;
};

struct ServeArgs {
  std::string workspace;
  int ready_fd = -1;
  bool watch = false;
};
int serve(const Common& common, const ServeArgs& args);

int status(const Common& common, bool as_json);
int stop(const Common& common);
int logs(const Common& common, bool follow);

struct CallArgs {
  std::string method;
  std::vector<std::string> params;
  bool stream = false;
  bool help = false;
  bool as_json = false;
  std::optional<double> timeout_seconds;
};
int call(const Common& common, const CallArgs& args);
/// Prints the documentation of a method from rpc.discover.
int call_help(const Common& common, const std::string& method);
/// Parses one JSON object, or pairs: key=text, key:=json. The order of members is kept, because it
/// has a meaning in a schema, for example.
[[nodiscard]] Result<nlohmann::ordered_json> parse_params(const std::vector<std::string>& words);

struct EventsArgs {
  std::vector<std::string> patterns;
  std::string since;
  bool as_json = false;
  bool dead = false;
  std::vector<std::string> scopes{};  ///< of the project state, instead of patterns
};
int events(const Common& common, const EventsArgs& args);

struct LspArgs {
  static constexpr std::size_t kMostServers = 8;
  std::string language;
  std::vector<std::string> servers;
};
int lsp(const Common& common, const LspArgs& args);

/// An MCP server on standard input and output, until the input ends.
int serve_mcp(const Common& common);

int plugin_list(const Common& common, bool as_json);
/// `verb`: "restart" or "reload".
int plugin_operate(const Common& common, const std::string& verb, const std::string& name);

struct PluginNewArgs {
  std::string name;
  std::string folder;  ///< empty: NAME in the working folder
  std::string language = "c++";
};
/// Writes a project for a new plugin, which builds outside of this repository.
int plugin_new(const PluginNewArgs& args);

struct PluginCheckArgs {
  std::string file;
  std::vector<std::string> only;
  std::optional<std::uint64_t> seed;
  std::optional<std::uint64_t> reproduce;  ///< the seed of a fuzz case
  bool as_json = false;
  bool list = false;
};
/// Runs without a host.
int plugin_check(const PluginCheckArgs& args);

struct TrustArgs {
  std::string folder;  ///< the folder with the `.gantry.toml`; empty: the working folder
  std::string plugin;  ///< set: this plugin instead of a folder
  bool list = false;
  bool revoke = false;
  bool yes = false;  ///< do not ask the user
};
int trust(const Common& common, const TrustArgs& args);

struct StateArgs {
  std::string verb;  ///< info, migrate, check, backup, backups, restore-backup, export, import, gc, watch, profile
  std::string file;
  std::optional<std::uint64_t> seq;    ///< of the export; empty: now
  std::string on_conflict = "refuse";  ///< of the import
  std::int64_t seconds = 0;            ///< of the profile
  std::string since;
  std::int64_t stale_days = 0;
  bool dry_run = false;
  bool as_json = false;
};
int state(const Common& common, const StateArgs& args);

int config_check(const Common& common, const std::string& file);
int config_show(const Common& common);
int doctor(const Common& common);

/// `invalid_params` when a word is no UTF-8. The protocol is UTF-8: a name in another encoding
/// would become another name.
[[nodiscard]] Result<void> check_utf8(const std::vector<std::string>& words);
/// Prints the error of a call on stderr and returns 1. The output is `{"code", "message", "data"}`
/// in one line and nothing else, because programs read it; notes go into `data`, and `data.hint` is
/// hint_of(). If stdout and stderr are terminals and JSON was not asked for, the output is text for
/// people.
int report_error(const Error& error, const CallArgs& args, const std::vector<std::string>& notes = {});
/// The correct command line, if the command line caused the error; else empty.
[[nodiscard]] std::string hint_of(const Error& error, const CallArgs& args);
/// Text from a plugin, a server or a file, without the control characters that a terminal must not
/// get.
[[nodiscard]] std::string shown(std::string_view text);
/// As above, for all strings in `value`.
[[nodiscard]] json shown(json value);
/// Prints `gantry: message` on stderr; returns 1.
int complain(const Error& error);
/// True: all output was written. Else prints the reason on stderr, except for a pipe that its
/// reader has closed.
[[nodiscard]] bool output_is_written();

}  // namespace gantry::host
