// SPDX-License-Identifier: Apache-2.0
//
// What the user has agreed to that plugins ask for, and what is told of it.
#include <utility>

#include "host/observe/trace.hpp"
#include "host/services/service_manager.hpp"

namespace gantry::host {

void ServiceManager::audit(const std::string& plugin, const std::string& missing, const std::string& wanted,
                           std::string_view traceparent) const {
  deps_.log.write(
      Level::warn, "audit",
      "plugin " + plugin + " was refused " + wanted + ": it lacks the grant " + missing + trace_note(traceparent));
  json event{{"plugin", plugin}, {"grant", missing}, {"wanted", wanted}};
  if (const auto trace = trace_id(traceparent); !trace.empty()) event["trace"] = trace;
  (void)deps_.bus.publish("host.audit.refused", dump_json(event));
}

// Of one that has just started: what it may from here on.
void ServiceManager::audit_granted(const PluginSpec& spec) const {
  const auto grants = grant_texts(spec.grants());
  if (grants.empty()) return;
  const char* const by = spec.granted ? "configuration" : spec.bundled ? "host" : "trust";
  std::string all;
  for (const auto& grant : grants) all += (all.empty() ? "" : ", ") + grant;
  deps_.log.write(Level::info, "audit", "plugin " + spec.name + " is granted " + all + " (" + by + ")");
  (void)deps_.bus.publish("host.audit.granted", dump_json({{"plugin", spec.name}, {"grants", grants}, {"by", by}}));
}

void ServiceManager::note_untrusted_call(std::string_view method, std::string_view traceparent) {
  const auto all = table();
  const PluginSpec* const spec = all->of_service(method.substr(0, method.find('.')));
  if (spec == nullptr) return;
  Entry& entry = entries_.at(spec->name);
  entry.refusals->fetch_add(1, std::memory_order_relaxed);
  if (entry.untrusted_told.exchange(true, std::memory_order_relaxed)) return;
  for (const auto& grant : grant_texts(spec->untrusted()))
    audit(spec->name, grant, "to run for " + std::string(method), traceparent);
}

Result<void> ServiceManager::change_trust(const std::string& plugin,
                                          const std::function<Result<std::vector<Grant>>()>& commit) {
  const auto found = entry_of(plugin);
  if (!found) return std::unexpected(found.error());
  Entry& entry = **found;
  // A reload puts a table in place that it has made from the one of its beginning.
  if (auto ok = begin_change("trust " + plugin, false); !ok) return ok;
  {
    const Change change{*this};
    auto grants = commit();
    if (!grants) return std::unexpected(grants.error());
    auto next = PluginTable::trusting(*table(), plugin, std::move(*grants));
    Lock lock(mutex_);
    std::swap(table_, next);
  }
  entry.untrusted_told = false;
  if (deps_.changed) deps_.changed();
  if (!spec_of(entry)->untrusted().empty()) {
    stop_untrusted(entry);
  } else {
    arm_activation(entry);
  }
  return {};
}

// A new build that asks for more than the one that runs: that one goes on.
std::optional<Error> ServiceManager::refuse_untrusted(Entry& entry, const PluginSpec& next) const {
  auto waits = next.trust_error();
  if (!waits) return std::nullopt;
  entry.refusals->fetch_add(1, std::memory_order_relaxed);
  for (const auto& grant : grant_texts(next.untrusted())) audit(next.name, grant, "to be reloaded", {});
  waits->message = "plugin " + next.name + " cannot be reloaded: " + waits->message;
  return waits;
}

void ServiceManager::stop_untrusted(Entry& entry) {
  const auto dependents = retire_dependents(entry.name);
  // A start that runs has not seen that it may not: then once more.
  constexpr int kTimes = 3;
  for (int i = 0; i < kTimes; ++i) {
    if (entry.slot->retire()) tell("draining", entry.name, "it is not trusted any more");
    if (!entry.slot->get()) break;  // its start stops the one that ran, and is refused
  }
  start_again(dependents);
}

}  // namespace gantry::host
