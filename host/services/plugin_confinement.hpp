// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_confinement.hpp: what plugins' own processes, and their helpers, may access
// by their grants.
//
// Thread rule: any thread; accesses the file system, and blocks for that.
#pragma once

#include <functional>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/config/grants.hpp"
#include "host/sandbox/confine.hpp"
#include "host/sandbox/pinned_paths.hpp"
#include "host/services/plugin_spec.hpp"

namespace gantry::host {

class PluginConfinement {
 public:
  /// The configuration of a plugin, for its start and after a change of the host's.
  using ConfigOf = std::function<json(const PluginSpec&)>;

  explicit PluginConfinement(ConfigOf config_of) : config_of_(std::move(config_of)) {}

  /// The rights of this plugin, `processes` included, for its helpers.
  [[nodiscard]] Confinement granted(const PluginSpec& spec) const;
  /// The rights of its own process: without `processes`, since the host starts its helpers.
  /// `config`: the plugin's configuration.
  [[nodiscard]] Confinement for_process(const PluginSpec& spec, const json& config) const;
  /// A process of the plugin was started with the result of for_process(); `enforced` holds it to
  /// that.
  void confined(const PluginSpec& spec, const json& config, std::vector<std::string> enforced);
  /// The mechanisms that held the plugin's last process to its grants.
  [[nodiscard]] std::vector<std::string> enforced(const std::string& plugin) const;
  /// True: the plugin may read, write or see other variables now than its process was started with.
  [[nodiscard]] bool is_too_narrow(const PluginSpec& spec) const;

  /// Resolves the existing paths of this plugin's grants: from then on each must lead to the same
  /// file.
  void resolve(const PluginSpec& spec, const GrantPlaces& places) const;
  /// The user has named this workspace, perhaps again: its present identity counts. True: the
  /// workspace, or a granted path in it, may be another file than before.
  bool renew_workspace(const std::string& folder) const { return pins_->renew(folder); }

 private:
  struct Process {
    Confinement confinement;
    std::vector<std::string> enforced;
  };
  [[nodiscard]] Confinement by_grants(const PluginSpec& spec, const json& config) const;

  const ConfigOf config_of_;
  const std::unique_ptr<PinnedPaths> pins_ = std::make_unique<PinnedPaths>();
  mutable Mutex mutex_{"plugin confinement"};
  std::map<std::string, Process> processes_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
