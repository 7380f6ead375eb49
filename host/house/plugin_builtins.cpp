// SPDX-License-Identifier: Apache-2.0
//
// The host's own methods about its plugins.
#include <gantry/params.hpp>
#include <utility>

#include "host/house/house.hpp"

namespace gantry::host {

namespace {

[[nodiscard]] Result<std::string> name_in(const CallRequest& request) {
  auto params = parse_json(request.params);
  if (!params) return std::unexpected(params.error());
  Params p(std::move(*params));
  std::string name = p.string("name");
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  return name;
}

}  // namespace

json House::plugins_json() const {
  json out = json::array();
  for (const auto& plugin : services_->status()) {
    json entry{{"name", plugin.name},           {"version", plugin.version},      {"state", plugin.state},
               {"isolation", plugin.isolation}, {"enforced", plugin.enforced},    {"restarts", plugin.restarts},
               {"runs_on", plugin.runs_on},     {"open_calls", plugin.open_calls}};
    if (!plugin.grants.empty()) entry["grants"] = plugin.grants;
    if (plugin.refusals != 0) entry["refusals"] = plugin.refusals;
    if (!plugin.unenforced.empty()) entry["unenforced"] = plugin.unenforced;
    if (!plugin.reason.empty()) entry["reason"] = plugin.reason;
    if (!plugin.evidence.is_null()) entry["evidence"] = plugin.evidence;
    if (plugin.pid) entry["pid"] = *plugin.pid;
    out.push_back(std::move(entry));
  }
  return out;
}

void House::add_plugin_builtins() {
  for (auto& process : Launcher::methods()) {
    router_->add_slow(std::move(process), [this](const CallRequest& request, std::shared_ptr<CallSink> sink) {
      launcher_->call(request, std::move(sink));
    });
  }
  ManifestMethod restart;
  restart.name = "plugin.restart";
  restart.summary = "Stops a plugin if it runs, forgives its failures, and starts it";
  restart.params = json{{"type", "object"}, {"properties", {{"name", {{"type", "string"}}}}}, {"required", {"name"}}};
  restart.result = json::object();
  router_->add_slow(std::move(restart), [this](const CallRequest& request, const std::shared_ptr<CallSink>& sink) {
    restart_plugin(request, sink);
  });
}

// Answers as soon as it runs again, or has failed.
void House::restart_plugin(const CallRequest& request, const std::shared_ptr<CallSink>& sink) {
  auto name = name_in(request);
  if (!name) {
    sink->answered(std::move(name));
    return;
  }
  auto spawned = pool_.spawn([this, sink, plugin = *name] {
    const auto restarted = services_->restart(plugin);
    if (!restarted) {
      sink->answered(std::unexpected(restarted.error()));
      return;
    }
    sink->answered(dump_json({{"name", plugin}, {"restarts", services_->instance(plugin)->view().restarts}}));
  });
  if (!spawned) sink->answered(std::unexpected(spawned.error()));
}

}  // namespace gantry::host
