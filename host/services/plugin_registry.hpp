// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_registry.hpp: the table of all plugins, and its changes, one at a time.
//
// Thread rule: any thread; begin_change() of a renewal blocks. Code that works with a table keeps a
// reference to it.
// Bounds: kMaxPlugins.
#pragma once

#include <cassert>
#include <gantry/mutex.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/services/life_host.hpp"
#include "host/services/plugin_table.hpp"

namespace gantry::host {

class PluginRegistry {
 public:
  static constexpr std::size_t kMaxPlugins = 1000;

  explicit PluginRegistry(std::vector<PluginSpec> specs)
      : table_(std::make_shared<const PluginTable>(std::move(specs))) {}
  PluginRegistry(const PluginRegistry&) = delete;
  PluginRegistry& operator=(const PluginRegistry&) = delete;
  /// No change runs.
  ~PluginRegistry() {
    const Lock lock(mutex_);
    assert(!changing_);
  }

  [[nodiscard]] PluginTablePtr table() const {
    const Lock lock(mutex_);
    return table_;
  }
  [[nodiscard]] PluginBuild build_of(const std::string& plugin) const;
  [[nodiscard]] PluginSpecPtr spec_of(const std::string& plugin) const { return build_of(plugin).spec; }
  /// `not_found` names the nearest plugin.
  [[nodiscard]] Result<void> check_name(const std::string& plugin) const;

  struct Method {
    PluginSpecPtr plugin;
    const ManifestMethod* method;
  };
  /// The plugin that answers this method; starts nothing. `method_not_found` names the nearest
  /// method, or says why the plugin is out of order.
  [[nodiscard]] Result<Method> find(std::string_view method) const;
  [[nodiscard]] std::vector<std::string> activated_by(std::string_view when) const;

  /// One change of the table; the next one may begin when this object is destroyed.
  class Change {
   public:
    explicit Change(PluginRegistry& of) : of_(&of) {}
    Change(Change&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
    Change& operator=(Change&&) = delete;
    ~Change() {
      if (of_ != nullptr) of_->end_change();
    }

   private:
    PluginRegistry* of_;
  };
  /// `conflict`: another change runs; `again` says what to do after it. A renewal, which the host
  /// starts itself, waits for other changes, and they wait for it. `unavailable`: the host is
  /// stopping.
  [[nodiscard]] Result<Change> begin_change(const std::string& again, bool renewal = false);
  /// Others wait for it, as for a renewal. Empty: another change runs, or the host is stopping.
  [[nodiscard]] std::optional<Change> try_change();
  /// Refuses further changes.
  void stop();

  // Only within a change:
  /// Makes `next` the table; returns the table before it.
  PluginTablePtr publish(PluginTablePtr next);
  /// Adds new plugins: all together, or else each on its own; a plugin that takes a service or
  /// topic of another is out of order.
  void add(std::vector<PluginSpec> fresh);

 private:
  void end_change();

  mutable Mutex mutex_{"plugin registry"};
  CondVar changed_;
  PluginTablePtr table_ GANTRY_GUARDED_BY(mutex_);
  bool changing_ GANTRY_GUARDED_BY(mutex_) = false;
  bool renewing_ GANTRY_GUARDED_BY(mutex_) = false;
  bool stopping_ GANTRY_GUARDED_BY(mutex_) = false;
};

}  // namespace gantry::host
