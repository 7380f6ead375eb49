// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "host/cli/client.hpp"
#include "host/cli/commands.hpp"
#include "host/observe/printable.hpp"

namespace gantry::host {

namespace {

constexpr auto kTimeout = std::chrono::seconds(10);
/// A plugin that does not stop, and then one that does not start.
constexpr auto kRestartTimeout = std::chrono::seconds(60);

void print_evidence(const json& evidence) {
  std::string calls;
  for (const auto& method : evidence.value("calls", json::array()))
    calls += (calls.empty() ? "" : ", ") + printable(method.get<std::string>(), 100);
  if (const auto more = evidence.value("more_calls", std::size_t{0}); more != 0)
    calls += " and " + std::to_string(more) + " more";
  std::printf("      last died %s%s%s\n", evidence.value("died_at", "").c_str(),
              calls.empty() ? "" : ", with calls open: ", calls.c_str());
  if (const auto core = evidence.value("core", ""); !core.empty()) std::printf("      core file: %s\n", core.c_str());
  for (const auto& line : evidence.value("last_log", json::array()))
    std::printf("      | %s\n", line.get<std::string>().c_str());
}

}  // namespace

int plugin_list(const Common& common, bool as_json) {
  auto client = connect_only(common);
  if (!client) return complain(client.error());
  const auto plugins = client->call("host.plugins", json::object(), kTimeout);
  if (!plugins) return complain(plugins.error());
  if (as_json) {
    std::printf("%s\n", dump_json(*plugins).c_str());
    return 0;
  }
  for (const auto& p : shown(*plugins)) {
    const std::string state = p.value("state", "");
    std::printf("%-14s %-8s %-12s %-7s %s\n", p.value("name", "").c_str(), p.value("version", "").c_str(),
                state.c_str(), p.value("isolation", "").c_str(), p.value("reason", "").c_str());
    if ((state == "quarantined" || state == "failed") && p.contains("evidence")) print_evidence(p["evidence"]);
  }
  return 0;
}

int plugin_operate(const Common& common, const std::string& verb, const std::string& name) {
  auto client = connect_only(common);
  if (!client) return complain(client.error());
  const auto answer = client->call("plugin." + verb, {{"name", name}}, kRestartTimeout);
  if (!answer) return complain(answer.error());
  std::printf("%s %s is ready\n", name.c_str(), answer->value("version", "").c_str());
  return 0;
}

}  // namespace gantry::host
