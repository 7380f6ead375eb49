// SPDX-License-Identifier: Apache-2.0
//
// host/services/service_manager.hpp: the plugins of a host, for the rest of it: which there are (PluginRegistry), the
// life of each (PluginLives), and what brings an instance about (PluginRunner, PluginBuilds, PluginConfinement).
//
// Thread rule: any thread; what is said to block does. Plugins may come (add()), none ever goes.
// A plugin starts after those that it needs and ends before them; when the instance of one of them ends, it is started
// again. Every change of state is published on host.plugin.* and logged.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "host/services/activation.hpp"
#include "host/services/plugin_runner.hpp"

namespace gantry::host {

struct PluginStatus {
  std::string name;
  std::string version;
  std::string state;  ///< of the contract's list
  std::string isolation = "inline";
  std::string reason;
  std::uint64_t restarts = 0;
  json evidence;  ///< of its last death; null: there was none
  std::size_t open_calls = 0;
  std::string runs_on;  ///< as Plugin says; empty while it does not run
  std::optional<int> pid;
  std::vector<std::string> enforced;  ///< as Plugin says; of the last instance, while none runs
  std::uint64_t refusals = 0;         ///< of what was not granted
  std::vector<std::string> grants;
  std::vector<std::string> unenforced;  ///< that it asks for: nothing holds it to what was granted of these
  std::vector<std::string> untrusted;   ///< that it asks for and waits for
};

class ServiceManager {
 public:
  using ConfigOf = PluginLoader::ConfigOf;
  using Method = PluginRegistry::Method;
  static constexpr Duration kStartTimeout = PluginLoader::kStartTimeout;
  static constexpr int kMaxAbandoned = PluginLife::kMaxAbandoned;
  /// Of one plugin, replaced by reloads, that end their calls.
  static constexpr int kMaxEnding = 4;

  ServiceManager(std::vector<PluginSpec> specs, PluginDeps deps, ConfigOf config_of);
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;
  ~ServiceManager();

  [[nodiscard]] Result<Method> find(std::string_view method) const { return registry_.find(method); }
  [[nodiscard]] PluginTablePtr table() const { return registry_.table(); }
  [[nodiscard]] std::vector<std::string> activated_by(std::string_view when) const {
    return registry_.activated_by(when);
  }
  /// What this plugin was granted, `processes` for its helpers. `not_found`.
  [[nodiscard]] Result<Confinement> granted(const std::string& plugin) const;

  /// The plugin's instance, for calls: it lives as long as the manager. nullptr: there is no such plugin.
  [[nodiscard]] LiveInstance* instance(const std::string& plugin) const { return lives_.instance(plugin); }
  /// Blocks until the plugin runs or has failed.
  [[nodiscard]] Result<void> start(const std::string& plugin);
  /// By hand, whatever its state: one that runs is stopped first, within PluginRunner::kGrace, and its build is started
  /// again; one that does not run is started with the build that lies there by now. What it was held back for is
  /// forgiven. Blocks as start() does.
  [[nodiscard]] Result<void> restart(const std::string& plugin);
  [[nodiscard]] std::uint64_t restarts(const std::string& plugin) { return lives_.at(plugin).view().restarts; }

  /// Reads the manifest again and puts the library as it is now in the place of the instance that runs, if one does, by
  /// overlap or handover as the manifests say (either says handover: handover). Calls go on. Blocks until the new one
  /// runs; the old one ends its calls within PluginRunner::kGrace after that. After an error all is as before.
  /// `conflict`: another reload runs. `overloaded`: too many old instances end their calls still, or too many builds
  /// are in this process.
  [[nodiscard]] Result<void> reload(const std::string& plugin);

  /// Of `found` those that are new are known from now on, and start as any other does; one by which another could not
  /// run any more is `failed`, and says so. The names. `conflict`: a reload runs. `overloaded`: there are
  /// PluginRegistry::kMaxPlugins.
  [[nodiscard]] Result<std::vector<std::string>> add(std::vector<PluginSpec> found);

  /// What the user has agreed to that this plugin asks for is another set, which `commit` makes sure of and gives, or
  /// leaves all as it was. In force at once: a plugin that waited for it may start; one that runs and asks for more is
  /// stopped, and those that need it. Blocks for both. `conflict`: a reload runs.
  [[nodiscard]] Result<void> change_trust(const std::string& plugin,
                                          const std::function<Result<std::vector<Grant>>()>& commit);
  /// A call was refused because the plugin that has this method waits for trust: counted and, once, told.
  void note_untrusted_call(std::string_view method, std::string_view traceparent);

  [[nodiscard]] std::vector<PluginStatus> status();
  /// Once: from now on a plugin that is activated by an event, or by a language, starts with the first that comes. It
  /// is given that event, if it has subscribed to it.
  void arm_activations();

  /// Resolves the paths of every plugin's grants, as far as they are there: from then on each must be what it is now.
  void resolve_grants(const GrantPlaces& places) const;
  bool renew_workspace(const std::string& folder) const { return confinement_.renew_workspace(folder); }
  /// Those that run in a process of their own, and may read, write or see other variables now than when it began.
  [[nodiscard]] std::vector<std::string> confined_too_narrowly() const;
  /// Starts the build that runs once more in its own place, as reload() does, with what it may reach now.
  [[nodiscard]] Result<void> renew(const std::string& plugin);

  /// Tells every running plugin its configuration anew.
  void reconfigure() { lives_.reconfigure(); }
  void gone(OriginId origin) { lives_.gone(origin); }
  /// Blocks. No plugin starts any more; those that run are stopped at the same time. True: all returned in time.
  bool stop_all(Duration budget);
  /// For tests: no start, no end and no event of a life is under way.
  [[nodiscard]] bool block_until_idle(std::optional<TimePoint> until = std::nullopt);

 private:
  void make_life(const PluginSpec& spec);
  [[nodiscard]] LifeState state_of(const std::string& plugin) { return lives_.at(plugin).view().state; }
  [[nodiscard]] Result<void> reload_with(PluginBuild next, bool handover);
  /// Blocks until no start or end of it, or of one that needs it, runs.
  void wait_settled_with_dependents(const std::string& plugin);
  [[nodiscard]] Result<void> start_needs(const PluginBuild& build);
  [[nodiscard]] Result<void> has_room_for_another(const std::string& plugin);
  void arm_activation(const std::string& plugin);
  [[nodiscard]] PluginStatus status_of(const PluginSpec& spec, PluginLife::View view) const;

  const PluginDeps deps_;
  PluginRegistry registry_;
  PluginAudit audit_;
  PluginConfinement confinement_;
  PluginBuilds builds_;
  Activations activations_;
  PluginRunner runner_;  ///< stopped before the lives go, and gone after them
  PluginLives lives_;
};

}  // namespace gantry::host
