// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_runner.hpp: does for the lives of plugins what may block: looks at a plugin before its start,
// starts and ends instances, puts a build in the table; and tells people of it.
//
// Thread rule: as LifeHost; the rest from any thread. What may block runs as PluginJobs.
// Never: a life waits for good, whatever is thrown or refused: it is told that the start has failed, or the end hangs.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "host/plugins/plugin.hpp"
#include "host/services/plugin_jobs.hpp"
#include "host/services/plugin_loader.hpp"

namespace gantry::host {

class PluginRunner final : public LifeHost {
 public:
  /// The calls that an instance has when it is replaced beside it may take as long as they are allowed to, at most
  /// this.
  static constexpr Duration kLongestDrain = std::chrono::minutes(10);

  /// `lives` may be made later than this, and dies before; after stop().
  PluginRunner(const PluginDeps& deps, PluginRegistry& registry, PluginBuilds& builds, PluginAudit& audit,
               PluginConfinement& confinement, PluginLoader::ConfigOf config_of, PluginLives& lives);

  [[nodiscard]] PluginLoader& loader() { return loader_; }
  [[nodiscard]] const PluginLoader& loader() const { return loader_; }
  [[nodiscard]] PluginJobs& jobs() { return jobs_; }
  /// An error, which is no failure of the plugin's: it must not be started now. May block.
  [[nodiscard]] Result<void> may_start(const PluginSpec& spec) const;

  [[nodiscard]] PluginTablePtr table() const override { return registry_.table(); }
  void prepare(const std::string& plugin, bool first, std::move_only_function<void(Result<void>)> done) override;
  void start(Start start, std::move_only_function<void(Started)> done) override;
  void end(const std::string& plugin, PluginInstance instance, End how,
           std::move_only_function<void(Ended)> done) override;
  void hurry(const PluginInstance& instance, Duration grace) override { instance->hurry(grace); }
  void adopt(const std::string& plugin, const PluginBuild& build) override;
  [[nodiscard]] bool is_inline(const PluginInstance& instance) const override { return !instance->pid(); }
  [[nodiscard]] bool is_dead(const PluginInstance& instance) const override { return instance->is_dead(); }
  void tell_gone(const PluginInstance& instance, OriginId origin) override { instance->gone(origin); }
  void reconfigure(const std::string& plugin, const PluginInstance& instance) override;
  void publish(std::string_view what, const std::string& plugin, const std::string& reason, json more) override;

 private:
  [[nodiscard]] Result<void> take_rebuilt(const std::string& plugin);
  void put_in_table(const PluginBuild& build);

  const PluginDeps& deps_;
  PluginRegistry& registry_;
  PluginBuilds& builds_;
  const PluginLoader::ConfigOf config_of_;
  PluginLives& lives_;
  PluginLoader loader_;  ///< what ends with the lives may log by it
  PluginJobs jobs_;
};

}  // namespace gantry::host
