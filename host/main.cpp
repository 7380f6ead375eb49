// SPDX-License-Identifier: Apache-2.0
//
// The command line of gantry: what may be said; what is done about it lies in host/cli/.
#include <sys/prctl.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "host/check/case_main.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/inherited.hpp"
#include "host/cli/paths.hpp"
#include "host/daemon/daemon.hpp"
#include "host/plugins/child/child_main.hpp"
#include "host/processes/helper_guard.hpp"

namespace {

using namespace gantry::host;

void add_serve(CLI::App& app, Common& common, ServeArgs& args) {
  auto* serve = app.add_subcommand("serve", "run the host in the foreground");
  serve->add_option("--config", common.config, "the configuration file")->type_name("FILE");
  serve->add_option("--workspace", args.workspace, "a folder to serve from the start")->type_name("DIR");
  serve->add_flag("--watch", args.watch, "reload plugins whose libraries are built anew");
  serve->add_option("--ready-fd", args.ready_fd, "a descriptor to write a byte to once the host listens")->group("");
}

void add_call(CLI::App& app, Common& common, CallArgs& args) {
  auto* call = app.add_subcommand("call", "call a method");
  call->set_help_flag();
  call->add_flag("-h,--help", args.help, "print this, or with a METHOD what it takes and answers");
  call->add_option("method", args.method, "for example host.status");
  call->add_option("params", args.params,
                   "one JSON object, or pairs: key=text key:=json; -: the object is read from the input");
  call->add_flag("--stream", args.stream, "open it as a stream and print items as they come");
  call->add_flag("--json", args.as_json, "results and errors as one line of JSON each, on a terminal as well");
  call->add_option("--timeout", args.timeout_seconds, "give up after so many seconds")
      ->check(CLI::Range(0.001, 86400.0));
  call->add_flag("--no-start", common.no_start, "do not start a host when none runs");
}

void add_events(CLI::App& app, Common& common, EventsArgs& args) {
  auto* events = app.add_subcommand("events", "print events as they happen");
  events->add_option("patterns", args.patterns, "topics; * is one segment, ** any number. Default: **");
  events->add_option("--since", args.since, "go on after this event")->type_name("EPOCH:SEQ");
  events->add_flag("--json", args.as_json, "one JSON object a line");
  events->add_flag("--dead", args.dead, "print the events that a subscriber could not be given, and end");
  events->add_flag("--no-start", common.no_start, "do not start a host when none runs");
}

void add_lsp(CLI::App& app, Common& common, LspArgs& args) {
  auto* lsp = app.add_subcommand("lsp", "a language server on stdio, for an editor");
  auto* language = lsp->add_option("--language", args.language, "the language, as LSP names it")->type_name("ID");
  lsp->add_option("--server", args.servers,
                  "the server, as [lsp.servers.NAME] names it; given more than once: servers that are merged")
      ->type_name("NAME")
      ->allow_extra_args(false)
      ->excludes(language);
  lsp->add_flag("--no-start", common.no_start, "do not start a host when none runs");
}

void add_mcp(CLI::App& app, Common& common) {
  app.add_subcommand("mcp", "an MCP server on stdio, for an agent")
      ->add_flag("--no-start", common.no_start, "do not start a host when none runs");
}

void add_state(CLI::App& app, Common& common, StateArgs& args) {
  auto* state = app.add_subcommand("state", "the store of the project state");
  state->require_subcommand(1);
  state->add_flag("--json", args.as_json, "as JSON");
  state->add_flag("--no-start", common.no_start, "do not start a host when none runs");
  const auto verb = [&](const char* name, const char* what) {
    auto* sub = state->add_subcommand(name, what);
    sub->callback([&args, name] { args.verb = name; });
    return sub;
  };
  verb("info", "where it is, and what it holds");
  verb("migrate", "bring it to the schema of this version, which every start does, and say which that is");
  verb("check", "read and check all of it");
  verb("backup", "make a copy, and check it");
  verb("backups", "the copies that are kept, the newest first");
  verb("restore-backup", "put a copy in its place; what was there is kept in quarantine/")
      ->add_option("file", args.file, "as `gantry state backups` names it")
      ->required();
  auto* profile = verb("profile", "print what it does for some seconds, as a trace in Chrome's format");
  profile->add_option("seconds", args.seconds, "for so long")->required()->check(CLI::Range(1, 60));
  profile->add_option("--output", args.file, "a file for the trace, instead of standard output");
  auto* out = verb("export", "write what it holds to an archive");
  out->add_option("file", args.file, "the archive; - is standard output")->required();
  out->add_option("--seq", args.seq, "as it was after this event");
  auto* in = verb("import", "take the objects of an archive in");
  in->add_option("file", args.file, "the archive")->required();
  in->add_option("--on-conflict", args.on_conflict, "what becomes of another object under the same name")
      ->check(CLI::IsMember({"refuse", "keep", "replace"}))
      ->capture_default_str();
  in->add_flag("--dry-run", args.dry_run, "only say how much would change");
  auto* gc = verb("gc", "delete the sessions that nobody has touched for long");
  gc->add_option("--stale-days", args.stale_days, "for so many days")->required()->check(CLI::Range(1, 100'000));
  gc->add_flag("--dry-run", args.dry_run, "only say which");
  verb("watch", "print its changes as they happen")
      ->add_option("--since", args.since, "go on after this event")
      ->type_name("EPOCH:SEQ");
}

void add_trust(CLI::App& app, Common& common, TrustArgs& args) {
  auto* trust = app.add_subcommand("trust", "trust a project's .gantry.toml, or a plugin with what it asks for");
  auto* folder = trust->add_option("folder", args.folder, "the project's folder; default: the working folder");
  folder->type_name("DIR");
  auto* plugin = trust->add_option("--plugin", args.plugin, "the plugin")->type_name("NAME")->excludes(folder);
  auto* list = trust->add_flag("--list", args.list, "print what is trusted")->excludes(plugin)->excludes(folder);
  trust->add_flag("--revoke", args.revoke, "take trust back")->excludes(list);
  trust->add_flag("--yes", args.yes, "do not ask");
  trust->add_flag("--no-start", common.no_start, "do not start a host when none runs");
}

void add_plugin_check(CLI::App& plugin, PluginCheckArgs& args) {
  auto* check =
      plugin.add_subcommand("check", "try whether a plugin keeps what it must promise; CALLS all its methods");
  check->add_option("file", args.file, "the plugin's library")->type_name("FILE");
  check->add_option("--only", args.only, "this case; may be given again")->type_name("CASE");
  auto* seed = check->add_option("--seed", args.seed, "of what is random")->type_name("N");
  check->add_option("--reproduce", args.reproduce, "repeat the fuzz case with this seed")
      ->type_name("SEED")
      ->excludes(seed);
  check->add_flag("--json", args.as_json, "as one JSON object");
  check->add_flag("--list", args.list, "print the cases, and end");
}

CLI::App* add_plugin(CLI::App& app, std::string& name, bool& as_json, PluginNewArgs& args, PluginCheckArgs& check) {
  auto* plugin = app.add_subcommand("plugin", "look at plugins, restart and reload them, begin one, check one");
  plugin->require_subcommand(1);
  plugin->add_subcommand("list", "each plugin and its state")->add_flag("--json", as_json, "as one JSON array");
  plugin->add_subcommand("restart", "stop a plugin, forgive its failures, and start it")
      ->add_option("name", name, "the plugin")
      ->required();
  plugin->add_subcommand("reload", "put a plugin's new build in the place of the one that runs; calls go on")
      ->add_option("name", name, "the plugin")
      ->required();
  auto* fresh = plugin->add_subcommand("new", "write a project for a plugin of your own");
  fresh->add_option("name", args.name, "the plugin: one word of letters, digits, _ and -")->required();
  fresh->add_option("--dir", args.folder, "the project's folder, empty or new; default: NAME")->type_name("DIR");
  fresh->add_option("--lang", args.language, "c++ (default) or c")->check(CLI::IsMember({"c++", "c"}));
  add_plugin_check(*plugin, check);
  return plugin;
}

int run(int argc, char** argv) {
  CLI::App app{"Gantry: one host for the IDE services of every editor, agent and script on this machine", "gantry"};
  app.set_version_flag("--version", std::string("gantry ") + std::string(gantry::kVersion));
  app.require_subcommand(1);
  app.fallthrough();
  Common common;
  ServeArgs serve_args;
  CallArgs call_args;
  EventsArgs events_args;
  LspArgs lsp_args;
  PluginCheckArgs check_args;
  TrustArgs trust_args;
  StateArgs state_args;
  bool as_json = false;
  bool follow = false;
  std::string config_file;
  std::string plugin_name;
  PluginNewArgs new_args;
  app.add_option("--socket", common.socket, "the host's socket")->type_name("PATH");
  add_serve(app, common, serve_args);
  auto* status_command = app.add_subcommand("status", "how the host and its plugins are");
  status_command->add_flag("--json", as_json, "as one JSON object");
  app.add_subcommand("stop", "stop the host gracefully");
  app.add_subcommand("logs", "print the end of the host's log")
      ->add_flag("-f,--follow", follow, "and what is added to it");
  add_call(app, common, call_args);
  add_events(app, common, events_args);
  add_lsp(app, common, lsp_args);
  add_mcp(app, common);
  add_trust(app, common, trust_args);
  add_state(app, common, state_args);
  const auto* plugin = add_plugin(app, plugin_name, as_json, new_args, check_args);
  auto* config = app.add_subcommand("config", "check or show the configuration");
  config->require_subcommand(1);
  config->add_subcommand("check", "say what is wrong with a configuration file")
      ->add_option("file", config_file, "the file");
  config->add_subcommand("show", "print the configuration in force, and where each value comes from")
      ->add_option("--config", common.config, "the configuration file")
      ->type_name("FILE");
  app.add_subcommand("doctor", "check everything that the host needs");
  try {
    app.parse(argc, argv);
    if (app.got_subcommand("call") && call_args.method.empty()) {
      if (call_args.help) throw CLI::CallForHelp();
      throw CLI::RequiredError("method");
    }
  } catch (const CLI::ParseError& e) {
    const int code = app.exit(e);
    return code == 0 ? 0 : 2;
  }
  const std::vector<GivenPath> given{
      {"--socket", common.socket}, {"--config", common.config}, {"--workspace", serve_args.workspace}};
  if (auto ok = check_working_folder(given); !ok) return complain(ok.error());
  if (app.got_subcommand("serve")) return serve(common, serve_args);
  if (app.got_subcommand("status")) return status(common, as_json);
  if (app.got_subcommand("stop")) return stop(common);
  if (app.got_subcommand("logs")) return logs(common, follow);
  if (app.got_subcommand("call") && call_args.help) return call_help(common, call_args.method);
  if (app.got_subcommand("call")) return call(common, call_args);
  if (app.got_subcommand("events")) return events(common, events_args);
  if (app.got_subcommand("lsp")) return lsp(common, lsp_args);
  if (app.got_subcommand("mcp")) return serve_mcp(common);
  if (app.got_subcommand("trust")) return trust(common, trust_args);
  if (app.got_subcommand("state")) return state(common, state_args);
  if (app.got_subcommand("doctor")) return doctor(common);
  if (plugin->got_subcommand("list")) return plugin_list(common, as_json);
  if (plugin->got_subcommand("new")) return plugin_new(new_args);
  if (plugin->got_subcommand("check")) return plugin_check(check_args);
  for (const char* verb : {"restart", "reload"}) {
    if (plugin->got_subcommand(verb)) return plugin_operate(common, verb, plugin_name);
  }
  if (config->got_subcommand("check")) return config_check(common, config_file);
  return config_show(common);
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_descriptors();
  keep_own_access();
  std::signal(SIGPIPE, SIG_IGN);  // NOLINT: before any thread
  std::signal(SIGCHLD, SIG_DFL);  // NOLINT: a parent that ignores it hands that down, and no child's end is told then
  (void)::prctl(PR_SET_NAME, "gantry");  // started by kOwnProgram it would be called `exe`
  try {
    // Not for people: a host, or a check, starts it, with a socket or pipe as descriptor 3.
    if (argc > 1 && std::string_view(argv[1]) == "plugin-child") return plugin_child();
    if (argc > 1 && std::string_view(argv[1]) == "helper-guard") std::_Exit(helper_guard());
    if (argc > 2 && std::string_view(argv[1]) == "plugin-check-case") return check::case_main(argv[2]);
    const int code = run(argc, argv);
    return output_is_written() || code != 0 ? code : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "gantry: an error of its own: %s\n", e.what());
    return 1;
  }
}
