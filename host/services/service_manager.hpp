// SPDX-License-Identifier: Apache-2.0
//
// host/services/service_manager.hpp: the plugins of a host: the table of them (PluginRegistry), the
// life of each (PluginLives), and the steps that start an instance (PluginLoader, PluginBuilds,
// PluginConfinement).
//
// Thread rule: any thread; a function blocks only where its comment says so. Plugins may be added,
// and are never removed.
// A plugin starts after those that it needs and ends before them; when an instance of one of them
// ends, the plugin is started again. Every change of state is published on host.plugin.* and
// logged.
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
  std::string state;  ///< one of the states in docs/protocol.md
  std::string isolation = "inline";
  std::string reason;
  std::uint64_t restarts = 0;
  json evidence;  ///< of its last death; null: there was none
  std::size_t open_calls = 0;
  std::string runs_on;  ///< as Plugin::runs_on(); empty while it does not run
  std::optional<int> pid;
  std::vector<std::string> enforced;  ///< as Plugin::enforced(); of the last instance, while none runs
  std::uint64_t refusals = 0;         ///< calls and topics that were refused for want of a grant
  std::vector<std::string> grants;
  std::vector<std::string> unenforced;  ///< grants that it asks for and that nothing enforces
  std::vector<std::string> untrusted;   ///< grants that it asks for and that wait for trust
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
  /// The rights of this plugin, `processes` included, for its helpers. `not_found`.
  [[nodiscard]] Result<Confinement> granted(const std::string& plugin) const;

  /// The plugin's instance for callers; it lives as long as the manager. nullptr: there is no such
  /// plugin.
  [[nodiscard]] LiveInstance* instance(const std::string& plugin) const { return lives_.instance(plugin); }
  /// Blocks until the plugin runs or has failed.
  [[nodiscard]] Result<void> start(const std::string& plugin);
  /// A restart by hand, in any state: a plugin that runs is stopped first, within 5 s, and the
  /// same build is started again; else the build that is there now is started. All failures are
  /// forgotten. Blocks as start() does.
  [[nodiscard]] Result<void> restart(const std::string& plugin);
  [[nodiscard]] std::uint64_t restarts(const std::string& plugin) { return lives_.at(plugin).view().restarts; }

  /// Reads the manifest again and replaces the instance that runs, if there is one, by the present
  /// library, by overlap or handover as the manifests say (either says handover: handover). Calls
  /// go on. Blocks until the new instance runs. By overlap the old one finishes its calls after
  /// that, within their deadlines and 10 minutes, or 5 s after the next reload; by handover it has 5 s before.
  /// After an error all is as before. `conflict`: another reload runs. `overloaded`: too many
  /// old instances still finish their calls, or too many builds are in this process.
  [[nodiscard]] Result<void> reload(const std::string& plugin);

  /// Adds the new plugins of `found`, which start like any other; a plugin beside which another
  /// could not run any more is `failed`, with the reason. Returns the names of the new ones.
  /// `conflict`: a reload runs. `overloaded`: there are kMaxPlugins.
  [[nodiscard]] Result<std::vector<std::string>> add(std::vector<PluginSpec> found);

  /// Changes the grants that the user has agreed to for this plugin: `commit` stores and returns
  /// them; after its error all is as before. In force at once: a plugin that waited for them may
  /// start; a running one that asks for more is stopped, and so are those that need it. Blocks for
  /// both. `conflict`: a reload runs.
  [[nodiscard]] Result<void> change_trust(const std::string& plugin,
                                          const std::function<Result<std::vector<Grant>>()>& commit);
  /// A call was refused because the plugin that has this method waits for trust: counted and, once,
  /// reported.
  void note_untrusted_call(std::string_view method, std::string_view traceparent);

  [[nodiscard]] std::vector<PluginStatus> status();
  /// Called once: from now on a plugin that an event or a language activates starts with the first
  /// such event, which it receives if it has subscribed to it.
  void arm_activations();

  /// Resolves the existing paths of every plugin's grants: from then on each must lead to the same
  /// file.
  void resolve_grants(const GrantPlaces& places) const;
  bool renew_workspace(const std::string& folder) const { return confinement_.renew_workspace(folder); }
  /// Plugins in a process of their own that may read, write or see other variables now than when
  /// the process began.
  [[nodiscard]] std::vector<std::string> confined_too_narrowly() const;
  /// Restarts the build that runs in its own place, as reload() does, with its present rights.
  [[nodiscard]] Result<void> renew(const std::string& plugin);

  /// Sends every running plugin its configuration anew.
  void reconfigure() { lives_.reconfigure(); }
  void gone(OriginId origin) { lives_.gone(origin); }
  /// Blocks. No plugin starts any more; running ones are stopped at the same time. True: all
  /// returned in time.
  bool stop_all(Duration budget);
  /// For tests: returns when no start, no end and no event of a life is under way.
  [[nodiscard]] bool block_until_idle(std::optional<TimePoint> until = std::nullopt);

 private:
  void make_life(const PluginSpec& spec);
  [[nodiscard]] LifeState state_of(const std::string& plugin) { return lives_.at(plugin).view().state; }
  [[nodiscard]] Result<void> reload_with(PluginBuild next, bool handover);
  /// Blocks until no start or end runs, of this plugin or of one that needs it.
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
