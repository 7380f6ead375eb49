// SPDX-License-Identifier: Apache-2.0
//
// host/cli/commands.hpp: what each command of `gantry` does. Each returns the exit code: 0 done, 1 failed (the reason
// is on stderr), 2 wrong usage. What a command prints goes to stdout by <cstdio>; main() finds out whether that was
// written, commands that go on printing do so themselves.
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
/// Prints what rpc.discover says of it.
int call_help(const Common& common, const std::string& method);
/// One JSON object, or pairs: key=text, key:=json. The order of members is kept: in a schema, say, it has a meaning.
[[nodiscard]] Result<nlohmann::ordered_json> parse_params(const std::vector<std::string>& words);

struct EventsArgs {
  std::vector<std::string> patterns;
  std::string since;
  bool as_json = false;
  bool dead = false;
};
int events(const Common& common, const EventsArgs& args);

struct LspArgs {
  std::string language;
  std::string server;
};
int lsp(const Common& common, const LspArgs& args);

int plugin_list(const Common& common, bool as_json);
/// `verb`: "restart" or "reload".
int plugin_operate(const Common& common, const std::string& verb, const std::string& name);

struct PluginNewArgs {
  std::string name;
  std::string folder;  ///< empty: NAME in the current one
  std::string language = "c++";
};
/// Writes a project that builds outside of this repository.
int plugin_new(const PluginNewArgs& args);

struct PluginCheckArgs {
  std::string file;
  std::vector<std::string> only;
  std::optional<std::uint64_t> seed;
  std::optional<std::uint64_t> reproduce;  ///< the seed of a fuzz case
  bool as_json = false;
  bool list = false;
};
/// Needs no host.
int plugin_check(const PluginCheckArgs& args);

struct TrustArgs {
  std::string folder;  ///< whose `.gantry.toml`; empty: of the working folder
  std::string plugin;  ///< not a folder but this plugin
  bool list = false;
  bool revoke = false;
  bool yes = false;  ///< nobody is asked
};
int trust(const Common& common, const TrustArgs& args);

int config_check(const Common& common, const std::string& file);
int config_show(const Common& common);
int doctor(const Common& common);

/// `invalid_params` when one of these is no UTF-8. What goes over the socket is UTF-8: another encoding's name would
/// become another name there.
[[nodiscard]] Result<void> check_utf8(const std::vector<std::string>& words);
/// What went wrong with a call, on stderr. `{"code", "message", "data"}`, one line, and nothing else there: programs
/// read it. Notes go into `data`, and `data.hint` is hint_of(). In lines for people where stdout and stderr are
/// terminals, unless they ask for JSON. Returns 1.
int report_error(const Error& error, const CallArgs& args, const std::vector<std::string>& notes = {});
/// What to type instead, if the command line is what was wrong; else empty.
[[nodiscard]] std::string hint_of(const Error& error, const CallArgs& args);
/// Text that comes from elsewhere (a plugin, a server, a file) as it may go to a terminal: without control characters.
[[nodiscard]] std::string shown(std::string_view text);
/// All strings of it so.
[[nodiscard]] json shown(json value);
/// `gantry: message` on stderr; returns 1.
int complain(const Error& error);
/// Was all that was printed written? Else says on stderr why not, but for a pipe that its reader has closed.
[[nodiscard]] bool output_is_written();

}  // namespace gantry::host
