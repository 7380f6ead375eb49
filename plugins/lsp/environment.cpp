// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/environment.hpp"

#include <string_view>
#include <utility>

#include "plugins/lsp/known_servers.hpp"

namespace gantry::lsp {

namespace {

constexpr std::string_view kNul("\0", 1);

}  // namespace

Result<Environment> parse_environment(const json& value) {
  if (!value.is_object()) return fail(ErrorKind::invalid_params, "environment must be an object of texts");
  if (value.size() > kMaxEnvironmentVariables) {
    return fail(ErrorKind::too_large,
                "environment may have " + std::to_string(kMaxEnvironmentVariables) + " variables; leave some out");
  }
  Environment out;
  std::size_t bytes = 0;
  for (const auto& [name, text] : value.items()) {
    const bool sound = text.is_string() && !name.empty() && name.find('=') == std::string::npos &&
                       name.find(kNul) == std::string::npos &&
                       text.get_ref<const std::string&>().find(kNul) == std::string::npos;
    if (!sound)
      return fail(ErrorKind::invalid_params,
                  "environment: \"" + name.substr(0, 128) + "\" has no value that a process can have");
    bytes += name.size() + text.get_ref<const std::string&>().size();
    out.emplace(name, text);
  }
  if (bytes > kMaxEnvironmentBytes) {
    return fail(ErrorKind::too_large, "environment may have " + std::to_string(kMaxEnvironmentBytes >> 10) + " KiB");
  }
  return out;
}

std::optional<ServerConfig> server_on_path(const Environment& environment, const Servers& configured,
                                           const std::optional<std::string>& name,
                                           const std::optional<std::string>& language) {
  const auto path = environment.find("PATH");
  if (path == environment.end() || (!name && !language)) return std::nullopt;
  for (const auto& known : known_servers()) {
    const bool wanted = name ? known.name == *name : speaks(known, *language);
    if (!wanted || configured.disabled.contains(std::string(known.name))) continue;
    if (command_on_path(known, path->second).empty()) continue;
    ServerConfig server = config_of(known);
    server.built_in = true;
    return server;
  }
  return std::nullopt;
}

Environment fitting(const Environment& environment, ServerConfig& server) {
  Environment out;
  for (const auto& name : server.environment) {
    if (const auto it = environment.find(name); it != environment.end()) out.insert(*it);
  }
  const auto path = out.find("PATH");
  if (path == out.end()) return out;
  const auto* const known = server.built_in ? known_server(server.name) : nullptr;
  if (known != nullptr) {
    if (auto command = command_on_path(*known, path->second); !command.empty()) {
      server.command = std::move(command);
      server.runs_project_code = runs_project_code(server.command.front());
      return out;
    }
  }
  const auto& program = server.command.front();
  if (program.find('/') == std::string::npos && !find_on_path(program, path->second)) out.erase(path);
  return out;
}

}  // namespace gantry::lsp
