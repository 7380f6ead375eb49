// SPDX-License-Identifier: Apache-2.0
//
// host/services/life_host.hpp: what the lives of plugins (plugin_lives.hpp) ask of the host: reading, starting, ending.
//
// Thread rule: called on the lives' strand; nothing blocks. Each `done` is called once, on any thread, perhaps before
// the function returns.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "host/bus/event_bus.hpp"
#include "host/plugins/handover.hpp"
#include "host/services/live_instance.hpp"
#include "host/services/plugin_table.hpp"

namespace gantry::host {

/// A plugin as it is to be started.
struct PluginBuild {
  PluginTablePtr table;
  PluginSpecPtr spec;
};

class LifeHost {
 public:
  /// For the calls of an instance that ends while others wait for its end, and then for its stop.
  static constexpr Duration kGrace = std::chrono::seconds(5);

  LifeHost() = default;
  LifeHost(const LifeHost&) = delete;
  LifeHost& operator=(const LifeHost&) = delete;
  virtual ~LifeHost() = default;

  [[nodiscard]] virtual PluginTablePtr table() const = 0;
  /// Before each start but that of a reload. `first`: none has run; a build that was made since the host has read its
  /// manifest is taken. An error, which is no failure of the plugin's: it may not be started now.
  virtual void prepare(const std::string& plugin, bool first, std::move_only_function<void(Result<void>)> done) = 0;

  struct Start {
    PluginBuild build;
    bool is_next;  ///< of a reload
    std::shared_ptr<Handover> handed_over;
    Since since;
  };
  struct Started {
    Result<PluginInstance> instance;
    bool hangs = false;  ///< its thread was let go
  };
  virtual void start(Start start, std::move_only_function<void(Started)> done) = 0;

  enum class End : std::uint8_t { now, after_handover, replaced };
  struct Ended {
    std::shared_ptr<Handover> given;
    bool hangs = false;  ///< it did not return, inside this process
  };
  virtual void end(const std::string& plugin, PluginInstance instance, End how,
                   std::move_only_function<void(Ended)> done) = 0;

  /// Of an instance that ends as `replaced` the open calls get this long from now on, where they had longer.
  virtual void hurry(const PluginInstance& instance, Duration grace) = 0;

  /// The build is the plugin's from now on.
  virtual void adopt(const std::string& plugin, const PluginBuild& build) = 0;
  [[nodiscard]] virtual bool is_inline(const PluginInstance& instance) const = 0;
  /// PluginLives::died() is called, or will be.
  [[nodiscard]] virtual bool is_dead(const PluginInstance& instance) const = 0;
  virtual void tell_gone(const PluginInstance& instance, OriginId origin) = 0;
  virtual void reconfigure(const std::string& plugin, const PluginInstance& instance) = 0;
  /// host.plugin.WHAT, and the log.
  virtual void publish(std::string_view what, const std::string& plugin, const std::string& reason, json more) = 0;
};

}  // namespace gantry::host
