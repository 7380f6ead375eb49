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
#include <gantry/state_machine.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/bus/event_bus.hpp"
#include "host/plugins/death.hpp"
#include "host/plugins/handover.hpp"
#include "host/runtime/timers.hpp"
#include "host/services/append_only_map.hpp"
#include "host/services/live_instance.hpp"
#include "host/services/plugin_failures.hpp"
#include "host/services/plugin_life.hpp"
#include "host/services/plugin_table.hpp"

namespace gantry::host {

/// A build of a plugin that is to be started.
struct PluginBuild {
  PluginTablePtr table;
  PluginSpecPtr spec;
};

/// The actions that the lives of plugins ask of the host. Called on the lives' strand; nothing
/// blocks. Each `done` is called once, on any thread, perhaps before the function returns.
class LifeHost {
 public:
  LifeHost() = default;
  LifeHost(const LifeHost&) = delete;
  LifeHost& operator=(const LifeHost&) = delete;
  virtual ~LifeHost() = default;

  [[nodiscard]] virtual PluginTablePtr table() const = 0;
  /// Called before each start except that of a reload. `first`: no instance has run yet; then a
  /// build that was made since the host read its manifest is taken. An error is no failure of the
  /// plugin: it only may not start now.
  virtual void prepare(const std::string& plugin, bool first, std::move_only_function<void(Result<void>)> done) = 0;

  struct Start {
    PluginBuild build;
    bool is_next;  ///< the start belongs to a reload
    std::shared_ptr<Handover> handed_over;
    Since since;
  };
  struct Started {
    Result<PluginInstance> instance;
    bool hangs = false;  ///< its thread was detached
  };
  virtual void start(Start start, std::move_only_function<void(Started)> done) = 0;

  enum class End : std::uint8_t { now, after_handover, replaced };
  struct Ended {
    std::shared_ptr<Handover> given;
    bool hangs = false;  ///< it did not return, inside this process
  };
  virtual void end(const std::string& plugin, PluginInstance instance, End how,
                   std::move_only_function<void(Ended)> done) = 0;

  /// `build` is the plugin's build from now on.
  virtual void adopt(const std::string& plugin, const PluginBuild& build) = 0;
  /// True: something other than calls starts the plugin.
  [[nodiscard]] virtual bool starts_by_itself(const PluginSpec& spec) const = 0;
  [[nodiscard]] virtual bool is_inline(const PluginInstance& instance) const = 0;
  /// True: PluginLives::died() was called, or will be.
  [[nodiscard]] virtual bool is_dead(const PluginInstance& instance) const = 0;
  virtual void tell_gone(const PluginInstance& instance, OriginId origin) = 0;
  virtual void reconfigure(const std::string& plugin, const PluginInstance& instance) = 0;
  /// Publishes host.plugin.WHAT, and logs it.
  virtual void publish(std::string_view what, const std::string& plugin, const std::string& reason, json more) = 0;
};

class PluginLives {
 public:
  static constexpr int kMaxAbandoned = 4;
  static constexpr std::size_t kMaxGone = 4096;

  PluginLives(LifeHost& host, Timers& timers) : host_(host), timers_(timers) {}
  PluginLives(const PluginLives&) = delete;
  PluginLives& operator=(const PluginLives&) = delete;
  ~PluginLives();

  /// Adds a plugin of a new name; its table must be the host's before it is looked at. `blame`: not
  /// empty if a host died of this plugin, which is quarantined then.
  void add(const std::string& plugin, RestartPolicy policy, const std::string& blame);
  [[nodiscard]] bool knows(const std::string& plugin) const { return lives_.contains(plugin); }
  [[nodiscard]] std::size_t size() const { return lives_.size(); }
  /// The plugin's instance for callers; it lives as long as this object. nullptr: there is no such
  /// plugin.
  [[nodiscard]] LiveInstance* instance(const std::string& plugin) const;

  /// The host has another table: which plugins may run, and which needs which.
  void table_changed();
  /// A restart by hand. `done` gets the next instance, or why there is none; if a start or a reload
  /// runs already, its result.
  void restart(const std::string& plugin, LiveInstance::Callback done);
  /// An event activates the plugin; its subscription begins at `since`.
  void activate(const std::string& plugin, const Since& since);
  using Done = std::move_only_function<void(Result<void>)>;
  /// `build` replaces the build that runs. `done` is called when the new one runs, or has failed,
  /// also because a plugin that it needs is not ready. One reload at a time for each plugin.
  void reload(const std::string& plugin, PluginBuild build, bool handover, Done done);
  /// `instance` ended without being asked to. No caller gets it any more when this returns.
  void died(const std::string& plugin, const PluginInstance& instance, const Death& death);
  void gone(OriginId origin);
  void reconfigure();
  void keep_line(const std::string& plugin, std::string_view line) { at(plugin).failures.keep_line(line); }

  /// Calls `done` when no start or end of the plugin runs.
  void when_settled(const std::string& plugin, std::move_only_function<void()> done);
  /// From now on nothing starts.
  void stop_starting();
  /// The instances that were started and have not ended.
  [[nodiscard]] std::vector<PluginInstance> running();
  /// True: an instance hangs in this process.
  [[nodiscard]] bool has_abandoned() const { return abandoned_.load(std::memory_order_relaxed); }

  struct View {
    LifeState state = LifeState::known;
    std::string reason;
    std::uint64_t restarts = 0;
    json evidence;  ///< of the last failure; null: there was none
    PluginInstance instance;
    int ending = 0;  ///< instances that were replaced and finish their calls
  };
  [[nodiscard]] View view(const std::string& plugin);
  /// The state of view() alone.
  [[nodiscard]] LifeState state(const std::string& plugin);
  /// The views of all plugins at one time, by name.
  [[nodiscard]] std::vector<std::pair<std::string, View>> views();
  /// For tests: returns when no event is being handled.
  [[nodiscard]] bool block_until_idle(std::optional<TimePoint> until = std::nullopt) {
    return strand_.block_until_idle(until);
  }
  /// For tests: called for each (state, event) that the table calls impossible.
  void on_impossible(std::function<void(LifeState, LifeEvent)> told) { impossible_ = std::move(told); }

 private:
  struct Facts {
    PluginInstance instance{};
    Error error{};
    std::optional<PluginBuild> build{};
    Duration after{};  ///< of a back-off
    std::string reason{};
  };
  using Machine = StateMachine<LifeState, LifeEvent, LifeAction, Facts>;
  /// Accessed on the strand, except for `place` and the lines of `failures`.
  struct Life {
    Life(PluginLives& all, std::string plugin, RestartPolicy policy);
    const std::string name;
    LiveInstance place;
    PluginFailures failures;
    Machine machine;
    PluginInstance current{};                       ///< has the calls, or ends before the next start
    std::vector<std::weak_ptr<Plugin>> replaced{};  ///< finish their calls beside it
    std::optional<PluginBuild> next{};              ///< of a reload
    Done reload_done{};
    std::shared_ptr<Handover> handed_over{};  ///< until the next instance takes it
    Since since{};
    bool has_run = false;
    std::uint64_t starts = 0;            ///< the number of the last start: results of older starts are ended
    bool next_loads = false;             ///< the start that runs belongs to a reload
    int dropped = 0;                     ///< starts, and ends of their instances, that go on although they were dropped
    std::uint64_t gathering = 0;         ///< the number of the last gathering: results of older ones are ignored
    std::size_t needs_ready = 0;         ///< of the gathering
    std::function<void()> when_clear{};  ///< waits for the end of plugins that need this one
    std::vector<std::pair<PluginInstance, Death>> early_deaths{};  ///< of instances whose start is not reported yet
    std::vector<OriginId> gone{};                                  ///< clients that left while it starts
    std::vector<std::move_only_function<void()>> when_settled{};
    std::string blocked_by{};                          ///< a plugin that this one needs, for people
    std::optional<PluginFailures::Verdict> verdict{};  ///< of a death during a reload, used if the reload fails
    TimePoint opens_at{};                              ///< end of its back-off, or of that of a plugin that it needs
    std::uint64_t back_off = 0;                        ///< the number of the last back-off
    TimerKey timer = 0;                                ///< of the last back-off
    int abandoned = 0;
  };

  [[nodiscard]] Life& at(const std::string& plugin) const { return *lives_.at(plugin); }
  void post(Life& life, LifeEvent event) {
    strand_.post([&life, event] { life.machine.handle(event, {}); });
  }
  void want(Life& life);
  void perform(Life& life, const Machine::Step& step, Facts& facts);
  void changed(Life& life, LifeState from, LifeState to);
  void publish(Life& life, std::string_view what, const std::string& reason = {}, json more = json::object());

  void look_at_table();
  void look_at_verdict(Life& life, const PluginSpec& spec);
  [[nodiscard]] std::vector<std::string> needs_of(const Life& life) const;
  [[nodiscard]] std::vector<std::string> needed_by(const Life& life) const;
  [[nodiscard]] std::vector<std::string> known_of(const std::vector<std::string>& names) const;
  void gather(Life& life);
  void gather_on(Life& life, std::uint64_t number);
  [[nodiscard]] static bool is_gathering(const Life& life, std::uint64_t number);
  void need_refused(Life& life, const std::string& need, const Error& error);
  [[nodiscard]] bool are_serving(const std::vector<std::string>& plugins) const;
  [[nodiscard]] PluginBuild build_of(const Life& life) const;
  [[nodiscard]] bool is_clear(const Life& life) const;
  void look_who_is_clear();
  static void tell_settled(Life& life);
  void load_next(Life& life);
  void next_failed(Life& life, Facts facts);
  void start(Life& life, bool is_next);
  void started(Life& life, bool is_next, std::uint64_t number, LifeHost::Started outcome);
  [[nodiscard]] static std::optional<Death> early_death(Life& life, const PluginInstance& instance);
  void start_broke(Life& life, bool is_next, const Error& error, json details, bool was_running);
  void end(Life& life, LifeHost::End how);
  void end_beside(Life& life, const PluginInstance& old, bool dropped);
  void dropped_has_ended(Life& life);
  void serve(Life& life, Facts& facts);
  [[nodiscard]] Error refusal(const Life& life, const Facts& facts) const;
  void back_off(Life& life, Facts& facts);
  void answer_reload(Life& life, Result<void> result);
  void forget_handover(Life& life);
  void review(Life& life);
  void review_dependents(Life& life);
  void retire_dependents(Life& life);
  [[nodiscard]] std::string too_many_hang(const Life& life, const std::string& reason) const;
  [[nodiscard]] std::string reason_of(const Life& life) const;
  [[nodiscard]] View view_of(const Life& life) const;

  LifeHost& host_;
  Timers& timers_;
  std::function<void(LifeState, LifeEvent)> impossible_;
  AppendOnlyMap<std::unique_ptr<Life>> lives_;
  std::vector<PluginInstance> running_;  ///< accessed on the strand
  bool stopping_ = false;                ///< accessed on the strand: plugins that come later do not start either
  std::atomic<bool> abandoned_{false};
  Strand strand_;  ///< last: nothing runs when the other members are destroyed
};

}  // namespace gantry::host
