// SPDX-License-Identifier: Apache-2.0
#include "host/services/plugin_audit.hpp"

#include <utility>

#include "host/observe/trace.hpp"

namespace gantry::host {

std::shared_ptr<PluginRights> PluginAudit::rights_of(const PluginSpec& spec) const {
  return std::make_shared<PluginRights>(
      spec.principal(), of(spec.name).refusals,
      [this, plugin = spec.name](const std::string& missing, const std::string& wanted, std::string_view traceparent) {
        refused(plugin, missing, wanted, traceparent);
      });
}

void PluginAudit::refused(const std::string& plugin, const std::string& missing, const std::string& wanted,
                          std::string_view traceparent) const {
  log_.write(
      Level::warn, "audit",
      "plugin " + plugin + " was refused " + wanted + ": it lacks the grant " + missing + trace_note(traceparent));
  json event{{"plugin", plugin}, {"grant", missing}, {"wanted", wanted}};
  if (const auto trace = trace_id(traceparent); !trace.empty()) event["trace"] = trace;
  (void)bus_.publish("host.audit.refused", dump_json(event));
}

void PluginAudit::granted(const PluginSpec& spec) const {
  const auto grants = grant_texts(spec.grants());
  if (grants.empty()) return;
  const char* const by = spec.granted ? "configuration" : spec.bundled ? "host" : "trust";
  std::string all;
  for (const auto& grant : grants) all += (all.empty() ? "" : ", ") + grant;
  log_.write(Level::info, "audit", "plugin " + spec.name + " is granted " + all + " (" + by + ")");
  (void)bus_.publish("host.audit.granted", dump_json({{"plugin", spec.name}, {"grants", grants}, {"by", by}}));
}

void PluginAudit::untrusted_call(const PluginSpec& spec, std::string_view method, std::string_view traceparent) const {
  Counts& counts = of(spec.name);
  counts.refusals->fetch_add(1, std::memory_order_relaxed);
  if (counts.untrusted_told.exchange(true, std::memory_order_relaxed)) return;
  for (const auto& grant : grant_texts(spec.untrusted()))
    refused(spec.name, grant, "to run for " + std::string(method), traceparent);
}

std::optional<Error> PluginAudit::untrusted_reload(const PluginSpec& next) const {
  auto waits = next.trust_error();
  if (!waits) return std::nullopt;
  of(next.name).refusals->fetch_add(1, std::memory_order_relaxed);
  for (const auto& grant : grant_texts(next.untrusted())) refused(next.name, grant, "to be reloaded", {});
  waits->message = "plugin " + next.name + " cannot be reloaded: " + waits->message;
  return waits;
}

}  // namespace gantry::host
