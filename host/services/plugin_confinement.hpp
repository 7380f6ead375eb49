// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_confinement.hpp: what plugins' own processes, and their helpers, may reach by what was granted.
//
// Thread rule: any thread; looks at the file system, and blocks for that.
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
  /// What a plugin is started with, and again when the configuration changed.
  using ConfigOf = std::function<json(const PluginSpec&)>;

  explicit PluginConfinement(ConfigOf config_of) : config_of_(std::move(config_of)) {}

  /// What this plugin was granted, `processes` for its helpers.
  [[nodiscard]] Confinement granted(const PluginSpec& spec) const;
  /// For its own process: without `processes`, since the host starts its helpers. `config`: what it is handed.
  [[nodiscard]] Confinement for_process(const PluginSpec& spec, const json& config) const;
  /// A process of it was started with what for_process() says now of `spec`, and this holds it to that.
  void confined(const PluginSpec& spec, const json& config, std::vector<std::string> enforced);
  /// What held its last process to its grants.
  [[nodiscard]] std::vector<std::string> enforced(const std::string& plugin) const;
  /// It may read, write or see other variables now than its process was started with.
  [[nodiscard]] bool is_too_narrow(const PluginSpec& spec) const;

  /// Resolves the paths of this plugin's grants, as far as they are there: from then on each must be what it is now.
  void resolve(const PluginSpec& spec, const GrantPlaces& places) const;
  /// The user has named this workspace, perhaps again: it is what is there now. True: it, or something that was granted
  /// in it, may be another one than before.
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
