// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/config.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <gantry/params.hpp>

#include "plugins/lsp/known_servers.hpp"
#include "plugins/lsp/languages.hpp"

namespace gantry::lsp {

namespace {

constexpr std::size_t kMaxServers = 64;
constexpr std::int64_t kDay = 86'400;
constexpr int kMostPriority = 1000;
constexpr std::size_t kMaxVariables = 64;
constexpr std::int64_t kMostMemoryMib = std::int64_t{1} << 20;

[[nodiscard]] std::vector<std::string> words(const json& value) {
  if (value.is_string()) return {value.get<std::string>()};
  return value.get<std::vector<std::string>>();
}

[[nodiscard]] bool is_strings(const json& value) {
  return value.is_array() && std::all_of(value.begin(), value.end(), [](const json& e) { return e.is_string(); });
}

[[nodiscard]] bool is_variable(std::string_view name) {
  return !name.empty() && name.size() <= 128 &&
         name.find_first_of(std::string_view("=\0", 2)) == std::string_view::npos;
}

constexpr std::array<std::pair<Share, std::string_view>, 3> kShares{
    {{Share::same, "same"}, {Share::root, "root"}, {Share::none, "none"}}};

[[nodiscard]] std::optional<Share> share_named(std::string_view name) {
  const auto* const it = std::ranges::find(kShares, name, &std::pair<Share, std::string_view>::second);
  return it == kShares.end() ? std::nullopt : std::optional(it->first);
}

[[nodiscard]] Result<ServerConfig> parse_server(const std::string& name, const json& table) {
  const std::string key = "lsp.servers." + name;
  Params p(table);
  const KnownServer* const known = known_server(name);
  ServerConfig server = known != nullptr ? config_of(*known) : ServerConfig{};
  server.name = name;
  (void)p.boolean_or("enabled", true);  // of another a server is not made
  if (server.root_markers.empty()) server.root_markers = {".git", ".hg", ".jj"};
  if (const auto command = p.maybe_value("command")) {
    p.require((command->is_string() && !command->get<std::string>().empty()) ||
                  (is_strings(*command) && !command->empty() && !command->front().get<std::string>().empty()),
              "command must be a program's name, or an array of it and its arguments");
    if (command->is_string() || is_strings(*command)) server.command = words(*command);
  }
  if (p.maybe_value("languages")) server.languages = p.strings("languages");
  if (p.maybe_value("root_markers")) server.root_markers = p.strings("root_markers");
  if (p.maybe_value("extensions")) server.extensions = p.strings("extensions");
  server.settings = p.maybe_object("settings").value_or(json::object());
  server.priority = static_cast<int>(p.integer_or("priority", 0, -kMostPriority, kMostPriority));
  server.runs_project_code =
      p.boolean_or("runs_project_code", !server.command.empty() && runs_project_code(server.command.front()));
  server.initialize_timeout =
      std::chrono::seconds(p.integer_or("initialize_timeout_seconds", kDefaultInitializeTimeout.count(), 0, kDay));
  const auto share = share_named(p.string_or("share", "same"));
  p.require(share.has_value(), R"(share must be "same", "root" or "none")");
  server.share = share.value_or(Share::same);
  if (p.maybe_value("environment")) server.environment = p.strings("environment");
  for (const auto& variable : server.environment) {
    p.require(is_variable(variable), "environment must name variables, and \"" + variable + "\" is no name of one");
  }
  p.require(server.environment.size() <= kMaxVariables,
            "environment may name " + std::to_string(kMaxVariables) + " variables");
  server.max_memory_mib = p.integer_or("max_memory_mib", 0, 0, kMostMemoryMib);
  p.require(!server.command.empty(), "command is missing; name the program that speaks LSP on its stdio");
  p.require(!server.languages.empty(), "languages is missing; name the language ids that it serves");
  if (const auto ok = p.done(); !ok) return fail(ErrorKind::invalid_params, "[" + key + "] " + ok.error().message);
  return server;
}

// The tables hold more than that: what is unknown here is others'.
[[nodiscard]] Result<std::int64_t> integer_of(const json& settings, const char* table, const char* key,
                                              std::int64_t otherwise, std::int64_t min, std::int64_t max) {
  const auto it = settings.find(key);
  if (it == settings.end()) return otherwise;
  Params p(json{{key, *it}});
  const auto value = p.integer(key, min, max);
  if (const auto ok = p.done(); !ok)
    return fail(ErrorKind::invalid_params, std::string(table) + " " + ok.error().message);
  return value;
}

/// `enabled = false`: other members are not looked at.
[[nodiscard]] bool is_disabled(const json& table) {
  return table.is_object() && table.value("enabled", json(true)) == false;
}

[[nodiscard]] Result<Servers> parse_servers(const json& settings) {
  const json servers = settings.value("servers", json::object());
  if (!servers.is_object()) return fail(ErrorKind::invalid_params, "[lsp] servers must be a table of servers");
  if (servers.size() > kMaxServers) {
    return fail(ErrorKind::invalid_params, "[lsp.servers] names more than " + std::to_string(kMaxServers) + " servers");
  }
  Servers out;
  for (const auto& [name, table] : servers.items()) {
    if (is_disabled(table)) {
      out.disabled.insert(name);
      continue;
    }
    auto server = parse_server(name, table);
    if (!server) return std::unexpected(server.error());
    out.servers.push_back(std::move(*server));
  }
  // Clangd is named in any case: its absence is then told by name.
  for (const auto& known : known_servers()) {
    if (servers.contains(known.name) || (known.name != "clangd" && !found_on_path(known))) continue;
    ServerConfig server = config_of(known);
    server.runs_project_code = runs_project_code(server.command.front());
    server.built_in = true;
    out.servers.push_back(std::move(server));
  }
  return out;
}

}  // namespace

// They run build scripts, macros or plugins of the project as soon as they open it.
bool runs_project_code(std::string_view program) {
  constexpr std::array<std::string_view, 19> kKnown{"astro-ls",
                                                    "elixir-ls",
                                                    "elp",
                                                    "erlang_ls",
                                                    "haskell-language-server",
                                                    "haskell-language-server-wrapper",
                                                    "jdtls",
                                                    "julia",
                                                    "kotlin-language-server",
                                                    "metals",
                                                    "ruby-lsp",
                                                    "rust-analyzer",
                                                    "solargraph",
                                                    "svelteserver",
                                                    "tsserver",
                                                    "typescript-language-server",
                                                    "vscode-eslint-language-server",
                                                    "vue-language-server",
                                                    "zls"};
  return std::find(kKnown.begin(), kKnown.end(), program.substr(program.rfind('/') + 1)) != kKnown.end();
}

std::unexpected<Error> no_server(const std::string& language) {
  const std::string known = names_for(language);
  return fail(ErrorKind::not_found, "no language server for \"" + language + "\"" +
                                        (known.empty() ? "" : " is on PATH (known are " + known + ")") +
                                        "; add it to the languages of one in [lsp.servers.NAME]");
}

std::vector<std::string> default_environment() {
  return {"PATH",   "VIRTUAL_ENV",      "CONDA_PREFIX", "PYTHONPATH", "GOFLAGS",
          "GOPATH", "RUSTUP_TOOLCHAIN", "JAVA_HOME",    "NODE_PATH",  "NODE_OPTIONS"};
}

bool find_on_path(std::string_view program) {
  const char* path = std::getenv("PATH");
  return find_on_path(program, path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path);
}

bool find_on_path(std::string_view program, std::string_view path) {
  std::string_view rest = path;
  while (true) {
    const auto colon = std::min(rest.find(':'), rest.size());
    const std::string file = std::string(rest.substr(0, colon)) + "/" + std::string(program);
    struct stat info{};
    if (::access(file.c_str(), X_OK) == 0 && ::stat(file.c_str(), &info) == 0 && S_ISREG(info.st_mode)) return true;
    if (colon == rest.size()) return false;
    rest.remove_prefix(colon + 1);
  }
}

json to_json(const ServerConfig& server) {
  return {{"name", server.name},
          {"command", server.command},
          {"languages", server.languages},
          {"root_markers", server.root_markers},
          {"extensions", server.extensions},
          {"settings", server.settings},
          {"runs_project_code", server.runs_project_code},
          {"priority", server.priority},
          {"built_in", server.built_in},
          {"initialize_timeout", server.initialize_timeout.count()},
          {"share", std::ranges::find(kShares, server.share, &std::pair<Share, std::string_view>::first)->second},
          {"environment", server.environment},
          {"max_memory_mib", server.max_memory_mib}};
}

ServerConfig server_from(const json& value) {
  return {
      .name = value.at("name"),
      .command = value.at("command"),
      .languages = value.at("languages"),
      .root_markers = value.at("root_markers"),
      .extensions = value.at("extensions"),
      .settings = value.at("settings"),
      .runs_project_code = value.at("runs_project_code"),
      // Absent: of a build that had no such key.
      .priority = value.value("priority", 0),
      .built_in = value.value("built_in", false),
      .initialize_timeout = std::chrono::seconds(value.value("initialize_timeout", kDefaultInitializeTimeout.count())),
      .share = share_named(value.value("share", "same")).value_or(Share::same),
      .environment = value.value("environment", std::vector<std::string>()),
      .max_memory_mib = value.value("max_memory_mib", std::int64_t{0})};
}

bool ServerConfig::speaks(std::string_view language) const {
  return std::find(languages.begin(), languages.end(), language) != languages.end();
}

const ServerConfig* Servers::named(std::string_view name) const {
  const auto it = std::find_if(servers.begin(), servers.end(), [&](const ServerConfig& s) { return s.name == name; });
  return it == servers.end() ? nullptr : &*it;
}

const ServerConfig* Servers::for_language(std::string_view language) const {
  const ServerConfig* best = nullptr;  // of several with the same priority the first
  for (const auto& server : servers) {
    if (server.speaks(language) && (best == nullptr || server.priority > best->priority)) best = &server;
  }
  return best;
}

std::vector<const ServerConfig*> Servers::together_for(std::string_view language) const {
  std::vector<const ServerConfig*> out;
  for (const auto& server : servers) {
    if (server.priority <= 0 || !server.speaks(language)) continue;
    out.insert(std::ranges::upper_bound(out, server.priority, std::ranges::greater(), &ServerConfig::priority),
               &server);
  }
  return out;
}

std::string Servers::language_of(std::string_view path) const {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  for (const auto& server : servers) {
    for (const auto& extension : server.extensions) {
      if (name.ends_with(extension)) return server.languages.front();
    }
  }
  return std::string(language_of_file(name));
}

const Servers& Settings::at(std::string_view path) const {
  const auto own = in_workspace.find(folder_around(workspaces, path));
  return own == in_workspace.end() ? *this : own->second;
}

Result<void> Settings::may_run(const ServerConfig& server, std::string_view path) const {
  if (!server.runs_project_code) return {};
  const std::string workspace = folder_around(workspaces, path);
  if (std::find(trusted.begin(), trusted.end(), workspace) != trusted.end()) return {};
  return fail(ErrorKind::permission_denied,
              server.name + " runs code of the project that it serves, and " +
                  (workspace.empty() ? std::string(path) + " lies in no workspace that is trusted"
                                     : workspace + " is not trusted: run `gantry trust " + workspace + "`"));
}

Result<Settings> parse_settings(const PluginConfig& config) {
  Settings settings;
  settings.workspaces = config.workspaces;
  settings.trusted = config.trusted_workspaces;
  constexpr std::int64_t kMostRequests = 10'000;
  const auto requests = integer_of(config.async, "[async]", "max_concurrent_lsp_requests", 8, 1, kMostRequests);
  const auto timeout = integer_of(config.async, "[async]", "lsp_request_timeout_seconds", 10, 1, kDay);
  const auto of_editors = integer_of(config.settings, "[lsp]", "editor_max_concurrent_requests", 0, 0, kMostRequests);
  const auto editors_time = integer_of(config.settings, "[lsp]", "editor_request_timeout_seconds", 0, 0, kDay);
  const auto idle = integer_of(config.settings, "[lsp]", "idle_stop_seconds", kDefaultIdleStop.count(), 0, kDay);
  for (const auto* value : {&requests, &timeout, &of_editors, &editors_time, &idle}) {
    if (!*value) return std::unexpected(value->error());
  }
  settings.max_requests = static_cast<std::size_t>(*requests);
  settings.request_timeout = std::chrono::seconds(*timeout);
  settings.editor_max_requests = static_cast<std::size_t>(*of_editors);
  settings.editor_request_timeout = std::chrono::seconds(*editors_time);
  settings.idle_stop = std::chrono::seconds(*idle);
  auto servers = parse_servers(config.settings);
  if (!servers) return std::unexpected(servers.error());
  static_cast<Servers&>(settings) = std::move(*servers);
  for (const auto& [workspace, table] : config.workspace_settings) {
    auto its_own = parse_servers(table);
    if (its_own) {
      settings.in_workspace.emplace(workspace, std::move(*its_own));
    } else {
      settings.refused.push_back(workspace + ": " + its_own.error().message);
    }
  }
  return settings;
}

bool is_clangd(const ServerConfig& config) {
  const std::string& program = config.command.front();
  return std::string_view(program).substr(program.rfind('/') + 1).starts_with("clangd");
}

bool may_be_cancelled(const ServerConfig& config, std::string_view method) {
  if (method != "textDocument/references") return true;
  return std::ranges::none_of(config.command, [](const std::string& word) { return word.contains("pyright"); });
}

}  // namespace gantry::lsp
