// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_lives.hpp: runs the lives of all plugins (plugin_life.hpp): handles events
// one at a time, and performs the actions of the table, whose results are events again.
//
// All lives share one strand, so that the effects of one plugin on those that need it, and on those
// that it needs, have one order. LifeHost does everything that may block (reading, starting,
// ending) elsewhere. tests/unit/services walks the table and simulates whole sets of plugins with a
// LifeHost of its own.
//
// A plugin ends after those that need it and starts after those that it needs: an end, and a start,
// wait until no plugin that needs this one is ending, and a start then asks for what it needs, one
// after the other.
//
// Thread rule: any thread; nothing blocks. Plugins may be added, and are never removed. Callbacks
// run on the strand, or at once; they must not block.
// Bounds: kMaxGone clients that leave while a plugin starts; kMaxAbandoned instances of a plugin
// that hang in this process, then it is quarantined; one `want` and one reload of each plugin wait.
// Never: a caller is not answered; two instances have a plugin's calls; a plugin starts after
// stop_starting().
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/services/append_only_map.hpp"
#include "host/services/plugin_life.hpp"

namespace gantry::host {

class PluginLives {
 public:
  PluginLives(LifeHost& host, Timers& timers) : host_(host), timers_(timers) {}
  PluginLives(const PluginLives&) = delete;
  PluginLives& operator=(const PluginLives&) = delete;
  ~PluginLives();

  /// Adds a plugin of a new name; its table must be the host's before it is looked at. `blame`: not
  /// empty if a host died of this plugin, which is quarantined then.
  void add(const std::string& plugin, RestartPolicy policy, const std::string& blame);
  [[nodiscard]] bool knows(const std::string& plugin) const { return lives_.contains(plugin); }
  [[nodiscard]] std::size_t size() const { return lives_.size(); }
  [[nodiscard]] PluginLife& at(const std::string& plugin) const { return *lives_.at(plugin); }
  /// For calls; it lives as long as this. nullptr: there is no such plugin.
  [[nodiscard]] LiveInstance* instance(const std::string& plugin) const;

  /// The host's table is another one: who may run, and who needs whom.
  void table_changed() {
    strand_.run([this] { look_at_table(); });
  }
  void gone(OriginId origin);
  void reconfigure();
  /// From now on nothing starts, and nothing that runs is ended: running() has it.
  void stop_starting();
  /// The instances that were started and have not ended.
  [[nodiscard]] std::vector<PluginInstance> running();
  /// An instance hangs in this process.
  [[nodiscard]] bool has_abandoned() const { return has_abandoned_.load(std::memory_order_relaxed); }
  /// All at one time, by name.
  [[nodiscard]] std::vector<std::pair<std::string, PluginLife::View>> views();
  /// For tests: no event is being handled.
  [[nodiscard]] bool block_until_idle(std::optional<TimePoint> until = std::nullopt) {
    return strand_.block_until_idle(until);
  }
  /// For tests: called for each (state, event) that the table calls impossible.
  void on_impossible(std::function<void(LifeState, LifeEvent)> told) { impossible_ = std::move(told); }

  // For the lives, on the strand:
  [[nodiscard]] LifeHost& host() const { return host_; }
  [[nodiscard]] Timers& timers() const { return timers_; }
  [[nodiscard]] Strand& strand() { return strand_; }
  /// `f` as a callback for any thread, which is called once: it runs on the strand.
  template <class F>
  [[nodiscard]] auto on_strand(F f) {
    return [this, f = std::move(f)](auto... args) mutable {
      strand_.post([f = std::move(f), ... args = std::move(args)]() mutable { f(std::move(args)...); });
    };
  }
  [[nodiscard]] bool is_stopping() const { return stopping_; }
  /// Those of these plugins that have a life: others are just being added.
  [[nodiscard]] std::vector<PluginLife*> lives_of(const std::vector<std::string>& plugins) const;
  void look_at_table();
  /// What a plugin needs, or needed before its reload, may wait for its end.
  void look_who_is_clear();
  void note_hang() { has_abandoned_ = true; }
  void note_impossible(LifeState state, LifeEvent event) const {
    if (impossible_) impossible_(state, event);
  }

 private:
  LifeHost& host_;
  Timers& timers_;
  std::function<void(LifeState, LifeEvent)> impossible_;
  AppendOnlyMap<std::unique_ptr<PluginLife>> lives_;
  bool stopping_ = false;  ///< on the strand: plugins that come later start nothing either
  std::atomic<bool> has_abandoned_{false};
  Strand strand_;  ///< last: nothing runs when the rest goes
};

}  // namespace gantry::host
