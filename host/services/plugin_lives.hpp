// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_lives.hpp: runs the lives of all plugins (plugin_life.hpp): events come in, one at a time; what
// the table says is done; what comes of it are events again.
//
// All lives share one strand, so that what one plugin does to those that need it, and to those that it needs, has one
// order. Whatever may block (reading, starting, ending) is LifeHost's to do elsewhere. tests/unit/services walks the
// table and simulates whole sets of plugins with a LifeHost of its own.
//
// A plugin ends after those that need it and starts after those that it needs: an end, and a start, wait until no
// plugin that needs this one is ending, and a start then asks for what it needs, one after the other.
//
// Thread rule: any thread; nothing blocks. Plugins may come, none ever goes. Callbacks run on the strand, or at once; they
// must not block.
// Bounds: kMaxGone clients that leave while a plugin starts; kMaxAbandoned instances of a plugin that hang in this
// process, then it is quarantined; one `want` of each plugin waits, and one reload.
// Never: a caller is not answered; two instances have a plugin's calls; something starts after stop_starting().
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

/// A plugin as it is to be started.
struct PluginBuild {
  PluginTablePtr table;
  PluginSpecPtr spec;
};

/// What the lives of plugins ask of the host. Called on the lives' strand; nothing blocks. Each `done` is called once,
/// on any thread, perhaps before the function returns.
class LifeHost {
 public:
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

  /// The build is the plugin's from now on.
  virtual void adopt(const std::string& plugin, const PluginBuild& build) = 0;
  /// It is started by something else than calls.
  [[nodiscard]] virtual bool starts_by_itself(const PluginSpec& spec) const = 0;
  [[nodiscard]] virtual bool is_inline(const PluginInstance& instance) const = 0;
  /// PluginLives::died() is called, or will be.
  [[nodiscard]] virtual bool is_dead(const PluginInstance& instance) const = 0;
  virtual void tell_gone(const PluginInstance& instance, OriginId origin) = 0;
  virtual void reconfigure(const std::string& plugin, const PluginInstance& instance) = 0;
  /// host.plugin.WHAT, and the log.
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

  /// Of a name that is not known yet; its table is the host's when it is first looked at. `blame`: a host died of it,
  /// it is quarantined.
  void add(const std::string& plugin, RestartPolicy policy, const std::string& blame);
  [[nodiscard]] bool knows(const std::string& plugin) const { return lives_.contains(plugin); }
  [[nodiscard]] std::size_t size() const { return lives_.size(); }
  /// For calls; it lives as long as this. nullptr: there is no such plugin.
  [[nodiscard]] LiveInstance* instance(const std::string& plugin) const;

  /// The host's table is another one: who may run, and who needs whom.
  void table_changed();
  /// By hand. When this returns, callers wait for the next instance.
  void restart(const std::string& plugin) {
    strand_.run([&] { at(plugin).machine.handle(LifeEvent::restart, {}); });
  }
  /// An event activates it; what has subscribed gets it from `since` on.
  void activate(const std::string& plugin, const Since& since);
  using Done = std::move_only_function<void(Result<void>)>;
  /// `build` takes the place of what runs. `done`: when it runs, or has failed; also because what it needs is not ready.
  /// One at a time for each plugin.
  void reload(const std::string& plugin, PluginBuild build, bool handover, Done done);
  /// `instance` ended without being asked to. No caller gets it any more when this returns.
  void died(const std::string& plugin, const PluginInstance& instance, const Death& death);
  void gone(OriginId origin);
  void reconfigure();
  void keep_line(const std::string& plugin, std::string_view line) { at(plugin).failures.keep_line(line); }

  /// When no start or end of it runs.
  void when_settled(const std::string& plugin, std::move_only_function<void()> done);
  /// From now on nothing starts.
  void stop_starting();
  /// Those that were started and have not ended.
  [[nodiscard]] std::vector<PluginInstance> running();
  /// An instance hangs in this process.
  [[nodiscard]] bool has_abandoned() const { return abandoned_.load(std::memory_order_relaxed); }

  struct View {
    LifeState state = LifeState::known;
    std::string reason;
    std::uint64_t restarts = 0;
    json evidence;  ///< of the last failure; null: there was none
    PluginInstance instance;
    int ending = 0;  ///< instances that were replaced and end their calls
  };
  [[nodiscard]] View view(const std::string& plugin);
  /// As view(), without what belongs to it.
  [[nodiscard]] LifeState state(const std::string& plugin);
  /// All at one time, by name.
  [[nodiscard]] std::vector<std::pair<std::string, View>> views();
  /// For tests: no event is being handled.
  [[nodiscard]] bool block_until_idle(std::optional<TimePoint> until = std::nullopt) {
    return strand_.block_until_idle(until);
  }
  /// For tests: told of each (state, event) that the table calls impossible.
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
  /// On the strand, but for `place` and the lines of `failures`.
  struct Life {
    Life(PluginLives& all, std::string plugin, RestartPolicy policy);
    const std::string name;
    LiveInstance place;
    PluginFailures failures;
    Machine machine;
    PluginInstance current{};  ///< that has the calls, or ends before the next start
    std::vector<std::weak_ptr<Plugin>> replaced{};  ///< that end their calls beside it
    std::optional<PluginBuild> next{};              ///< of a reload
    Done reload_done{};
    std::shared_ptr<Handover> handed_over{};  ///< until the next instance has it
    Since since{};
    bool has_run = false;
    std::uint64_t starts = 0;               ///< numbers them: what comes of an older one is ended
    bool next_loads = false;                ///< the start that runs is a reload's
    int dropped = 0;                        ///< starts, and ends of their instances, that go on though they were dropped
    std::uint64_t gathering = 0;            ///< numbers the gatherings: what comes of an older one is forgotten
    std::size_t needs_ready = 0;            ///< of the gathering
    std::function<void()> when_clear{};     ///< waits for the end of those that need it
    std::vector<std::pair<PluginInstance, Death>> early_deaths{};  ///< of instances whose start has not been told yet
    std::vector<OriginId> gone{};                                  ///< while it starts
    std::vector<std::move_only_function<void()>> when_settled{};
    std::string blocked_by{};  ///< a plugin that it needs, for people
    std::optional<PluginFailures::Verdict> verdict{};  ///< of a death during a reload, if that fails
    TimePoint opens_at{};      ///< while it, or what it needs, backs off
    std::uint64_t back_off = 0;  ///< numbers the back-offs
    TimerKey timer = 0;          ///< of the last one
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
  std::vector<PluginInstance> running_;  ///< on the strand
  bool stopping_ = false;                ///< on the strand: plugins that come later start nothing either
  std::atomic<bool> abandoned_{false};
  Strand strand_;  ///< last: nothing runs when the rest goes
};

}  // namespace gantry::host
