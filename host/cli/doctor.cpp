// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "host/cli/client.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/paths.hpp"
#include "host/config/config.hpp"
#include "host/daemon/daemon.hpp"
#include "host/daemon/state_lock.hpp"
#include "host/observe/private_folders.hpp"
#include "host/protocols/rpc/listener.hpp"
#include "host/services/plugin_settings.hpp"
#include "host/services/service_manager.hpp"

namespace gantry::host {

namespace {

class Report {
 public:
  void good(const std::string& what) { say("ok", what); }
  void bad(const std::string& what) {
    say("FAIL", what);
    failed_ = true;
  }
  void note(const std::string& what) { say("note", what); }
  [[nodiscard]] int exit_code() const { return failed_ ? 1 : 0; }

 private:
  static void say(const char* verdict, std::string_view what) {
    std::printf("%-5s %s\n", verdict, shown(what).c_str());
  }
  bool failed_ = false;
};

[[nodiscard]] std::string on_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::string rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const auto colon = std::min(rest.find(':'), rest.size());
    const std::string file = rest.substr(0, colon) + "/" + program;
    if (::access(file.c_str(), X_OK) == 0) return file;
    rest.erase(0, colon + 1);
  }
  return {};
}

[[nodiscard]] std::optional<Config> check_config(Report& report, const Common& common) {
  const auto file =
      find_config_file(common.config.empty() ? std::nullopt : std::optional<std::filesystem::path>(common.config));
  if (!file) {
    report.good("configuration: built-in defaults");
    return default_config();
  }
  auto config = load_checked_config(*file, plugin_dir());
  if (config) {
    report.good("configuration: " + file->string());
    return std::move(*config);
  }
  report.bad("configuration:\n" + to_string(config.error()));
  return std::nullopt;
}

void check_state_folder(Report& report) {
  if (auto ok = check_state_dir_owner(); !ok) return report.bad(ok.error().message);
  const auto folder = state_dir();
  std::error_code failed = make_private_folders(folder);
  const auto probe = folder / (".doctor-" + std::to_string(::getpid()));
  std::ofstream out(probe);
  out << "x";
  out.close();
  if (failed || !out) {
    report.bad("state folder " + folder.string() + " cannot be written; set GANTRY_STATE_DIR or make it writable");
  } else {
    report.good("state folder: " + folder.string());
  }
  std::filesystem::remove(probe, failed);
}

void check_servers(Report& report, const Config& config) {
  std::vector<std::string> commands;
  for (const auto& [name, server] : config.lsp_servers) {
    if (server.command && !server.command->empty()) commands.push_back(server.command->front());
  }
  if (commands.empty()) {
    const auto clangd = !on_path("clangd-19").empty() ? on_path("clangd-19") : on_path("clangd");
    if (clangd.empty()) {
      report.note(
          "no clangd on PATH: C and C++ have no language server; install clangd-19 or set [lsp.servers.clangd]");
    } else {
      report.good("language server: " + clangd);
    }
  }
  for (const auto& command : commands) {
    const bool is_path = command.find('/') != std::string::npos;
    if (is_path ? ::access(command.c_str(), X_OK) == 0 : !on_path(command).empty()) {
      report.good("language server: " + command);
    } else if (is_path) {
      report.bad("language server " + command + (errno == EACCES ? " may not be executed" : " is not there"));
    } else {
      report.bad("language server " + command + " is not on PATH");
    }
  }
}

void check_host(Report& report, const Common& common) {
  const auto options = connect_options(common, "gantry doctor");
  if (const auto note = ignored_runtime_dir(); note && !options.socket_is_named) report.note(*note);
  for (const auto& checked : {check_socket_path(options.socket), check_socket_folder(options.socket.parent_path())}) {
    if (checked) continue;
    report.bad(checked.error().message);
    return;
  }
  auto client = find_host(options);
  if (!client) {
    if (find_state_holder(options.state_dir)) {
      report.bad(client.error().message);
    } else {
      report.note("no host runs on " + options.socket.string());
    }
    return;
  }
  const auto hello =
      client->call("host.hello", {{"client", options.client}, {"version", kVersion}}, std::chrono::seconds(5));
  const std::string socket = hello ? hello->value("socket", "") : options.socket.string();
  const auto plugins = client->call("host.plugins", json::object(), std::chrono::seconds(5));
  if (!plugins) {
    report.bad("the host on " + socket + " does not answer: " + plugins.error().message);
    return;
  }
  report.good("a host answers on " + socket + ", pid " + std::to_string(client->pid()));
  if (socket != options.socket) report.note("not on " + options.socket.string() + "; it has the state folder");
  for (const auto& warning : hello ? hello->value("warnings", json::array()) : json::array())
    report.bad(warning.get<std::string>());
  for (const auto& plugin : *plugins) {
    if (const auto state = plugin.value("state", ""); state == "failed" || state == "quarantined")
      report.bad("plugin " + plugin.value("name", "") + ": " + plugin.value("reason", ""));
  }
}

}  // namespace

int doctor(const Common& common) {
  Report report;
  const auto config = check_config(report, common);
  check_state_folder(report);
  std::vector<PluginSpec> configured;
  for (const auto& [name, entry] : config.value_or(default_config()).plugins) {
    PluginSpec spec;
    spec.name = name;
    spec.enabled = entry.enabled;
    if (entry.path) spec.library = *entry.path;
    configured.push_back(std::move(spec));
  }
  const auto specs = find_plugins(plugin_dir(), configured);
  const auto unreadable = unreadable_folder(plugin_dir());
  if (!unreadable.empty()) report.bad(unreadable);
  if (specs.empty() && unreadable.empty()) report.bad("no plugins in " + plugin_dir().string());
  for (const auto& spec : specs) {
    if (!spec.enabled) {
      report.note("plugin " + spec.name + " is disabled");
    } else if (spec.failure.empty()) {
      report.good("plugin " + spec.name + " " + spec.manifest->version);
    } else {
      report.bad("plugin " + spec.name + ": " + spec.failure);
    }
  }
  if (config) check_servers(report, *config);
  check_host(report, common);
  return report.exit_code();
}

int config_check(const Common& common, const std::string& file) {
  const std::string given = file.empty() ? common.config : file;
  const auto path = find_config_file(given.empty() ? std::nullopt : std::optional<std::filesystem::path>(given));
  if (!path) {
    std::printf("there is no configuration file; the built-in defaults hold\n");
    return 0;
  }
  const auto config = load_checked_config(*path, plugin_dir());
  if (config) {
    std::printf("%s: ok\n", path->c_str());
    return 0;
  }
  std::fprintf(stderr, "%s", to_string(config.error()).c_str());
  return 1;
}

int config_show(const Common& common) {
  const auto path =
      find_config_file(common.config.empty() ? std::nullopt : std::optional<std::filesystem::path>(common.config));
  if (!path) {
    std::printf("%s", show_config(default_config()).c_str());
    return 0;
  }
  const auto config = load_checked_config(*path, plugin_dir());
  if (!config) {
    std::fprintf(stderr, "%s\n", to_string(config.error()).c_str());
    return 1;
  }
  std::printf("%s", show_config(*config).c_str());
  return 0;
}

}  // namespace gantry::host
