// SPDX-License-Identifier: Apache-2.0
//
// The host's own methods about its plugins.
#include <utility>

#include "host/calls/request_params.hpp"
#include "host/daemon/daemon.hpp"

namespace gantry::host {

json Daemon::plugins_json() const {
  json out = json::array();
  for (const auto& plugin : services_->status()) {
    json entry{{"name", plugin.name},           {"version", plugin.version},      {"state", plugin.state},
               {"isolation", plugin.isolation}, {"enforced", plugin.enforced},    {"restarts", plugin.restarts},
               {"runs_on", plugin.runs_on},     {"open_calls", plugin.open_calls}};
    if (!plugin.grants.empty()) entry["grants"] = plugin.grants;
    if (plugin.refusals != 0) entry["refusals"] = plugin.refusals;
    if (!plugin.unenforced.empty()) entry["unenforced"] = plugin.unenforced;
    if (!plugin.untrusted.empty()) entry["untrusted"] = plugin.untrusted;
    if (!plugin.reason.empty()) entry["reason"] = plugin.reason;
    if (!plugin.evidence.is_null()) entry["evidence"] = plugin.evidence;
    if (plugin.pid) entry["pid"] = *plugin.pid;
    out.push_back(std::move(entry));
  }
  return out;
}

void Daemon::add_plugin_builtins() {
  for (auto& process : Launcher::methods()) {
    router_->add_slow(std::move(process), [this](const CallRequest& request, const std::shared_ptr<CallSink>& sink) {
      launcher_->call(request, sink);
    });
  }
  for (auto& task : PluginTasks::methods())
    router_->add(std::move(task), [this](const CallRequest& request) { return plugin_tasks_->call(request); });
  router_->add_slow(KeyCommands::method(), [this](const CallRequest& request, const std::shared_ptr<CallSink>& sink) {
    key_commands_->call(request, sink);
  });
  const auto add = [this](const char* name, const char* summary, PluginJob job) {
    ManifestMethod method;
    method.name = name;
    method.summary = summary;
    method.params = json{{"type", "object"}, {"properties", {{"name", {{"type", "string"}}}}}, {"required", {"name"}}};
    method.result = json::object();
    router_->add_slow(std::move(method),
                      [this, job](const CallRequest& request, const std::shared_ptr<CallSink>& sink) {
                        operate_plugin(job, request, sink);
                      });
  };
  add("plugin.restart", "Stops a plugin if it runs, forgives its failures, and starts it", &ServiceManager::restart);
  add("plugin.reload", "Puts a plugin's build of now in the place of the one that runs; calls go on",
      &ServiceManager::reload);
}

Result<std::string> Daemon::key_command(OriginId asker, const std::string& provider) const {
  const auto plugin = launcher_->plugin_of(asker);
  const auto table = services_->table();
  const auto spec = plugin ? PluginTable::share(table, *plugin) : nullptr;
  if (!spec || !spec->reads_keys())
    return fail(ErrorKind::permission_denied,
                std::string(KeyCommands::kMethod) +
                    " is for the plugin that came with the host and is given the table of models");
  json found = settings_of(*spec, *config());  // without what projects say
  for (const std::string& name : {std::string("providers"), provider, std::string("api_key_command")}) {
    const auto member = found.find(name);
    if (member == found.end())
      return fail(ErrorKind::not_found, "provider \"" + provider.substr(0, 200) + "\" has no api_key_command");
    found = json(*member);
  }
  if (!found.is_string()) return fail(ErrorKind::invalid_params, "api_key_command must be text");
  return found.get<std::string>();
}

Result<std::vector<std::string>> Daemon::add_new_plugins() {
  auto added = services_->add(trusted_plugins(*config()));
  if (!added) return added;
  for (const auto& name : *added) {
    log_->write(Level::info, "plugins", name + " is new here");
    (void)bus_.publish("host.plugin.known", dump_json({{"name", name}}));
    if (watch_) watch_->add(name);
  }
  start_activated("start", &*added);
  if (!workspaces_.list().empty()) start_activated("workspace", &*added);
  return added;
}

void Daemon::renew_confined() {
  for (const auto& name : services_->confined_too_narrowly()) {
    (void)tasks_->spawn("renew-plugin:" + name, [this, name](TaskContext&) { return services_->renew(name); });
  }
}

// Answers as soon as it runs again, or has failed.
void Daemon::operate_plugin(PluginJob job, const CallRequest& request, const std::shared_ptr<CallSink>& sink) {
  auto name = only_param(request, "name");
  if (!name) {
    sink->answered(std::move(name));
    return;
  }
  auto spawned = pool_.spawn([this, sink, job, plugin = *name] {
    // What has come into the folder is found as soon as it is asked for.
    if (job == &ServiceManager::reload && services_->instance(plugin) == nullptr) {
      if (auto added = add_new_plugins(); !added) {
        sink->answered(std::unexpected(added.error()));
        return;
      }
    }
    const auto done = (*services_.*job)(plugin);
    if (!done) {
      log_->write(Level::warn, "plugins", done.error().message);
      sink->answered(std::unexpected(done.error()));
      return;
    }
    const auto table = services_->table();
    const auto spec = PluginTable::share(table, plugin);
    sink->answered(dump_json({{"name", plugin},
                              {"version", spec->manifest ? spec->manifest->version : ""},
                              {"restarts", services_->restarts(plugin)}}));
  });
  if (!spawned) sink->answered(std::unexpected(spawned.error()));
}

}  // namespace gantry::host
