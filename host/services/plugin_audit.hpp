// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_audit.hpp: counts, logs and publishes (on host.audit.*) the grants that
// plugins get and the calls that they are refused.
//
// Thread rule: any thread; nothing blocks. Bounds: as PluginRights says.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "host/bus/event_bus.hpp"
#include "host/observe/log.hpp"
#include "host/services/append_only_map.hpp"
#include "host/services/plugin_spec.hpp"
#include "host/trust/plugin_rights.hpp"

namespace gantry::host {

class PluginAudit {
 public:
  PluginAudit(EventBus& bus, Log& log) : bus_(bus), log_(log) {}

  /// The rights of a plugin to call, publish and subscribe; refusals are counted and reported.
  [[nodiscard]] std::shared_ptr<PluginRights> rights_of(const PluginSpec& spec) const;
  /// Reports the grants of a plugin that has just started.
  void granted(const PluginSpec& spec) const;
  /// A call was refused because this plugin waits for trust: counted and, once, reported.
  void untrusted_call(const PluginSpec& spec, std::string_view method, std::string_view traceparent) const;
  /// `permission_denied`, counted and reported: a new build asks for more than the user has agreed
  /// to. Empty: it does not.
  [[nodiscard]] std::optional<Error> untrusted_reload(const PluginSpec& next) const;
  /// The user has changed the plugin's trust: untrusted_call() reports once again.
  void trust_changed(const std::string& plugin) { of(plugin).untrusted_told = false; }
  [[nodiscard]] std::uint64_t refusals(const std::string& plugin) const {
    return of(plugin).refusals->load(std::memory_order_relaxed);
  }

 private:
  struct Counts {
    std::shared_ptr<std::atomic<std::uint64_t>> refusals = std::make_shared<std::atomic<std::uint64_t>>(0);
    std::atomic<bool> untrusted_told{false};
  };
  [[nodiscard]] Counts& of(const std::string& plugin) const { return counts_[plugin]; }
  void refused(const std::string& plugin, const std::string& missing, const std::string& wanted,
               std::string_view traceparent) const;

  EventBus& bus_;
  Log& log_;
  mutable AppendOnlyMap<Counts> counts_;
};

}  // namespace gantry::host
