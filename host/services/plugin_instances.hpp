// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_instances.hpp: the instances of one plugin, from their start to their end: the one that has the
// calls, or ends before the next start, and those that end beside it.
//
// One start runs at a time, and one end of the current instance. A start that was dropped goes on; what comes of it is
// ended. A death that is told before its start is kept until then.
//
// Thread rule: on the strand of the lives.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/plugins/death.hpp"
#include "host/services/life_host.hpp"
#include "host/services/life_table.hpp"

namespace gantry::host {

class PluginLives;

class PluginInstances {
 public:
  struct Outcome {
    Result<PluginInstance> instance;
    std::optional<Death> death{};  ///< of an instance that ended as soon as it had started
  };
  using Done = std::move_only_function<void(const Outcome&)>;

  PluginInstances(const std::string& plugin, PluginLives& lives) : plugin_(plugin), lives_(lives) {}

  /// `done` comes later, and not at all once the start was dropped.
  void start(PluginBuild build, bool is_next, Done done);
  /// In place of a start: `then` comes later, unless it was dropped.
  void skip_start(std::function<void()> then);
  /// What comes of the start of a reload is ended, whatever it is.
  void drop_start();
  /// Ends the current one; `done`, when it has ended.
  void end(LifeHost::End how, std::function<void()> done);
  /// Ends one that has the calls no more, or, `dropped`, never had them. Nobody waits for its end. Those that were
  /// replaced before get the grace from now on: old builds do not gather.
  void end_beside(const PluginInstance& old, bool dropped = false);
  /// The calls of those that were replaced get this long from now on.
  void hurry(Duration grace);
  /// `hangs`: in this process. True: it had the calls, in this state of the life. Else another one has its place, or
  /// will have.
  [[nodiscard]] bool died(const PluginInstance& instance, const Death& death, bool hangs, LifeState state);

  /// It is the current one; the one before is in its place.
  void swap(PluginInstance& instance) { current_.swap(instance); }
  /// The current one has the calls.
  void serves() {
    has_run_ = true;
    since_.clear();
    forget_handover();
  }
  /// What the next instance has subscribed to it gets from there on.
  void set_since(const Since& since) { since_ = since; }
  void forget_handover() {
    if (const auto given = std::exchange(handed_over_, nullptr)) given->give_up();
  }
  void forget_all() {
    current_.reset();
    beside_.clear();
    early_deaths_.clear();
  }

  [[nodiscard]] const PluginInstance& current() const { return current_; }
  [[nodiscard]] const std::vector<PluginInstance>& beside() const { return beside_; }
  [[nodiscard]] bool has_run() const { return has_run_; }
  /// A start that was dropped, or the end of what came of it, goes on.
  [[nodiscard]] bool has_dropped() const { return dropped_ != 0; }
  /// So many hang in this process.
  [[nodiscard]] int abandoned() const { return abandoned_; }

 private:
  void started(std::uint64_t number, const LifeHost::Started& outcome, Done& done);
  void dropped_has_ended();
  void note_hang();

  const std::string& plugin_;
  PluginLives& lives_;
  PluginInstance current_;
  std::vector<PluginInstance> beside_;
  std::map<PluginInstance, Death> early_deaths_;
  std::shared_ptr<Handover> handed_over_;  ///< until the next instance has it
  Since since_;
  bool has_run_ = false;
  std::uint64_t starts_ = 0;  ///< numbers them: what comes of an older one is ended
  bool next_loads_ = false;   ///< the start that runs is a reload's
  int dropped_ = 0;
  int abandoned_ = 0;
};

}  // namespace gantry::host
