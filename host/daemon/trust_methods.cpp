// SPDX-License-Identifier: Apache-2.0
//
// How trust is part of the daemon: what plugins are trusted with at its start, and the methods about it.
#include <utility>

#include "host/daemon/daemon.hpp"
#include "host/services/plugin_settings.hpp"

namespace gantry::host {

std::vector<PluginSpec> Daemon::trusted_plugins(const Config& config) {
  auto specs = plugins_of(config, options_.plugin_dir);
  if (const auto why = unreadable_folder(options_.plugin_dir); !why.empty()) log_->write(Level::warn, "plugins", why);
  for (auto& spec : specs) {
    if (!spec.needs_trust() || (services_ && services_->instance(spec.name) != nullptr)) continue;
    spec.trusted = trust_.grants_of(spec.name, spec.library);
    if (spec.enabled && spec.failure.empty() && !spec.untrusted().empty())
      log_->write(Level::warn, "audit", "plugin " + spec.name + " waits for trust: " + spec.untrusted_reason());
  }
  return specs;
}

// An error in it is said, and stops nothing.
Projects::Read Daemon::read_project(const std::string& workspace) {
  auto read = projects_.read(
      workspace, [this] { return config(); },
      [this](Config merged) { return check_settings(std::move(merged), services_->table()->specs()); });
  const Project& project = read.project;
  if (!read.changed) return read;
  const auto joined = [](const std::vector<std::string>& words) {
    std::string out;
    for (const auto& word : words) out += (out.empty() ? "" : ", ") + word;
    return out;
  };
  for (const auto& error : project.errors) log_->write(Level::error, "config", error + "; nothing of it is in force");
  if (!project.keys.empty()) log_->write(Level::info, "config", project.file + " is in force: " + joined(project.keys));
  if (!project.waits.empty())
    log_->write(
        Level::warn, "audit",
        project.file + " waits for trust (" + joined(project.waits) + "): run `gantry trust " + workspace + "`");
  (void)bus_.publish("host.workspace.config", dump_json(to_json(project)));
  if (project.granted.empty()) return read;
  log_->write(Level::info, "audit", project.file + " is granted " + joined(project.granted) + " (trust)");
  (void)bus_.publish("host.audit.granted",
                     dump_json({{"folder", workspace}, {"keys", project.granted}, {"by", "trust"}}));
  return read;
}

void Daemon::add_trust_builtins() {
  for (auto& method : TrustService::methods()) {
    router_->add_slow(std::move(method), [this](const CallRequest& request, const std::shared_ptr<CallSink>& sink) {
      CallRequest asked;
      asked.method = request.method;
      asked.params = request.params;
      asked.traceparent = request.traceparent;
      auto spawned = pool_.spawn([this, sink, job = std::move(asked)] {
        auto answer = trust_service_->call(job);
        // Who was waiting for trust and is to run without being called.
        if (answer && job.method == "trust.plugin") {
          start_activated("start");
          if (!workspaces_.list().empty()) start_activated("workspace");
        }
        sink->answered(answer ? Result<Answer>(dump_json(*answer)) : std::unexpected(std::move(answer.error())));
      });
      if (!spawned) sink->answered(std::unexpected(spawned.error()));
    });
  }
}

}  // namespace gantry::host
