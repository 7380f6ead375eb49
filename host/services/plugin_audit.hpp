// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_audit.hpp: what plugins were granted and refused: counted, logged, and published on
// host.audit.*.
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

  /// What it may call, publish and hear; what is refused is counted and told.
  [[nodiscard]] std::shared_ptr<PluginRights> rights_of(const PluginSpec& spec) const;
  /// Of one that has just started: what it may from here on.
  void granted(const PluginSpec& spec) const;
  /// A call was refused because this plugin waits for trust: counted and, once, told.
  void untrusted_call(const PluginSpec& spec, std::string_view method, std::string_view traceparent) const;
  /// A new build asks for more than the user has agreed to: counted and told. `permission_denied`; empty: it does not.
  [[nodiscard]] std::optional<Error> untrusted_reload(const PluginSpec& next) const;
  /// What it is trusted with is another set: untrusted_call() tells once again.
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
