// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_loader.hpp: loads, checks and starts one build of a plugin, inside this
// process or in one of its own, and finds out which plugin was being started when a host died.
//
// Thread rule: any thread; start() blocks, at most kStartTimeout; give_up() does not.
// Never: a start outlives give_up(): the thread of a plugin that does not return is detached.
#pragma once

#include <cassert>
#include <filesystem>
#include <functional>
#include <gantry/mutex.hpp>
#include <gantry/permits.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/bus/event_bus.hpp"
#include "host/plugins/crash_mark.hpp"
#include "host/plugins/inline/inline_start.hpp"
#include "host/runtime/spawner.hpp"
#include "host/services/plugin_audit.hpp"
#include "host/services/plugin_builds.hpp"
#include "host/services/plugin_confinement.hpp"
#include "host/services/plugin_lives.hpp"

namespace gantry::host {

struct PluginDeps {
  Timers& timers;
  EventBus& bus;
  Log& log;
  Workers& workers;
  Spawner& spawner;
  std::shared_ptr<PermitQueue> event_permits;  ///< bounds how many plugins process events at once
  std::function<std::optional<std::string>(OriginId)> describe_origin;
  std::size_t max_payload_bytes;
  std::filesystem::path program;  ///< runs a plugin in a process of its own
  /// A plugin that starts becomes an origin of calls, until leave().
  std::function<OriginId(const PluginSpec&)> join;
  std::function<void(OriginId)> leave;
  MakeCall call;
  RestartPolicy restarts;
  Duration hung_after{};               ///< zero: no limit
  std::filesystem::path crash_dir{};   ///< for the marks of plugins that end the host; empty: no marks
  std::filesystem::path copies_dir{};  ///< for the copies of libraries that run; empty: copies are in memory
  /// The table of plugins has changed.
  std::function<void()> changed{};
  /// May this plugin start now? Called before each start, where blocking is allowed; an error is no
  /// failure of the plugin.
  std::function<Result<void>(const PluginSpec&)> may_start{};
};

class PluginLoader {
 public:
  /// The limit for a start; after it the start has failed, and its process is ended or, inside this
  /// process, its thread detached.
  static constexpr Duration kStartTimeout = std::chrono::seconds(30);
  using ConfigOf = PluginConfinement::ConfigOf;
  using KeepLine = std::function<void(const std::string& plugin, std::string_view line)>;
  using Died = std::function<void(const std::string& plugin, const PluginInstance& instance, const Death& death)>;

  /// `keep_line`: called with the plugin's log lines. `died`: called for an instance that was
  /// started.
  PluginLoader(const PluginDeps& deps, PluginBuilds& builds, PluginAudit& audit, PluginConfinement& confinement,
               ConfigOf config_of, KeepLine keep_line, Died died);
  PluginLoader(const PluginLoader&) = delete;
  PluginLoader& operator=(const PluginLoader&) = delete;
  /// No start runs.
  ~PluginLoader() {
    const Lock lock(mutex_);
    assert(starting_.empty());
  }

  /// May throw.
  [[nodiscard]] LifeHost::Started start(const LifeHost::Start& start);
  /// Ends the starts that run; threads inside this process are detached.
  void give_up();

  /// Called once for each plugin: reads the mark of a host that died while this plugin was started
  /// or called. Not empty: why the plugin is quarantined. A plugin that came with the host is run
  /// in a process of its own instead.
  [[nodiscard]] std::string blame(const PluginSpec& spec);
  /// A restart by hand: no mark counts any more.
  void forgive(const std::string& plugin);
  /// True: whatever the configuration says, because the plugin may have ended a host.
  [[nodiscard]] bool needs_own_process(const std::string& plugin) const;

 private:
  struct Marks {
    std::optional<CrashMark> mark{};  ///< of hosts that are gone
    bool own_process = false;
  };
  [[nodiscard]] std::filesystem::path crash_file(const std::string& plugin) const;
  [[nodiscard]] PluginBasics basics_of(const PluginSpec& spec, const LifeHost::Start& start) const;
  [[nodiscard]] LifeHost::Started start_inline(const PluginSpec& spec, const LifeHost::Start& start);
  [[nodiscard]] LifeHost::Started wait_for(const std::shared_ptr<InlineStart>& start);
  [[nodiscard]] LifeHost::Started start_child(const PluginSpec& spec, const LifeHost::Start& start);
  void outlived_its_start(const std::string& plugin);

  const PluginDeps& deps_;
  PluginBuilds& builds_;
  PluginAudit& audit_;
  PluginConfinement& confinement_;
  const ConfigOf config_of_;
  const KeepLine keep_line_;
  const Died died_;
  mutable Mutex mutex_{"plugin loader"};
  std::map<std::string, Marks> marks_ GANTRY_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<InlineStart>> starting_ GANTRY_GUARDED_BY(mutex_);
  bool gives_up_ GANTRY_GUARDED_BY(mutex_) = false;
};

}  // namespace gantry::host
