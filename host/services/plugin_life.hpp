// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_life.hpp: the life of one plugin. It performs what the table (life_table.hpp) asks for, and
// tells the table what has happened.
//
// Thread rule: the strand of PluginLives, but for what is marked below.
#pragma once

#include <functional>
#include <gantry/state_machine.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/runtime/timers.hpp"
#include "host/services/plugin_failures.hpp"
#include "host/services/plugin_instances.hpp"
#include "host/services/plugin_needs.hpp"

namespace gantry::host {

/// What goes with an event of a life.
struct LifeFacts {
  PluginInstance instance{};
  Error error{};
  std::optional<PluginBuild> build{};
  Duration after{};  ///< of a back-off
  std::string reason{};
};

class PluginLife {
 public:
  static constexpr int kMaxAbandoned = 4;
  static constexpr std::size_t kMaxGone = 4096;
  using Done = std::move_only_function<void(Result<void>)>;
  struct View {
    LifeState state = LifeState::known;
    std::string reason;
    std::uint64_t restarts = 0;
    json evidence;  ///< of the last failure; null: there was none
    PluginInstance instance;
    int ending = 0;  ///< instances that were replaced and end their calls
  };

  PluginLife(std::string plugin, RestartPolicy policy, PluginLives& lives);
  PluginLife(const PluginLife&) = delete;
  PluginLife& operator=(const PluginLife&) = delete;
  /// Nobody waits any more, for a reload or for its rest.
  ~PluginLife();

  // From any thread:
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] LiveInstance& place() { return place_; }
  void keep_line(std::string_view line) { failures_.keep_line(line); }
  /// By hand. `done`: with the next instance, or why there is none; where a start or a reload runs already, with what
  /// comes of that.
  void restart(LiveInstance::Callback done);
  /// An event activates it; what has subscribed gets it from `since` on.
  void activate(const Since& since);
  /// `build` takes the place of what runs. `done`: when it runs, or has failed; also because what it needs is not
  /// ready. One at a time.
  void reload(PluginBuild build, bool handover, Done done);
  /// `instance` ended without being asked to. No caller gets it any more when this returns.
  void died(const PluginInstance& instance, const Death& death);
  /// When no start or end of it runs.
  void when_settled(std::move_only_function<void()> done);
  [[nodiscard]] View view();
  /// On the strand; elsewhere it may have changed already.
  [[nodiscard]] LifeState state() const { return machine_.state(); }

  // On the strand, for PluginLives and for other lives:
  void handle(LifeEvent event, LifeFacts facts = {}) { machine_.handle(event, std::move(facts)); }
  void blame(const std::string& reason);
  void gone(OriginId origin);
  void reconfigure();
  void stop_starting();
  /// Whether it may start has to do with the table of plugins, and with those that it needs.
  void review();
  /// disable, allow or disorder, as the table says.
  void look_at(const PluginSpec& spec);
  /// A plugin that it needs serves from now on.
  void need_serves();
  /// A start is refused until then.
  void hold_until(TimePoint until) { opens_at_ = until; }
  void look_if_clear() { needs_.look_if_clear(); }
  void forget_instances() { instances_.forget_all(); }
  void add_running(std::vector<PluginInstance>& to) const;
  [[nodiscard]] PluginBuild build() const;
  /// What it needs must neither start nor end now.
  [[nodiscard]] bool is_ending() const;
  [[nodiscard]] TimePoint opens_at() const { return opens_at_; }
  /// Why it does not run, for people.
  [[nodiscard]] std::string reason() const;

 private:
  using Machine = StateMachine<LifeState, LifeEvent, LifeAction, LifeFacts>;
  void want();
  void perform(const Machine::Step& step, LifeFacts& facts);
  void changed(LifeState from, LifeState to);
  void publish(std::string_view what, const std::string& reason = {}, json more = json::object());
  void load(bool is_next);
  void started(bool is_next, const PluginInstances::Outcome& outcome);
  void broke(const std::string& reason, json details, Error error);
  void next_failed(LifeFacts facts);
  void end(LifeHost::End how);
  void serve(LifeFacts& facts);
  [[nodiscard]] bool starts_with_host() const;
  [[nodiscard]] Error refusal(const LifeFacts& facts) const;
  void back_off(Duration delay);
  void answer_reload(Result<void> result);
  void tell_settled();

  const std::string name_;
  PluginLives& lives_;
  LiveInstance place_;
  PluginFailures failures_;
  PluginInstances instances_;
  PluginNeeds needs_;
  Machine machine_;
  std::optional<PluginBuild> next_;  ///< of a reload
  Done reload_done_;
  std::optional<PluginFailures::Verdict> verdict_;  ///< of a death during a reload, if that fails
  std::vector<OriginId> gone_;                      ///< while it starts
  std::vector<std::move_only_function<void()>> when_settled_;
  TimePoint opens_at_{};  ///< while it, or what it needs, backs off
  TimerKey timer_ = 0;    ///< of the back-off
};

}  // namespace gantry::host
