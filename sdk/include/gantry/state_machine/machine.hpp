// SPDX-License-Identifier: Apache-2.0
//
// gantry/state_machine/machine.hpp: one life cycle on a strand (gantry/state_machine.hpp).
//
// Thread rule: post() and state() from any thread; all else on the strand.
// Bounds: kMaxPostponed events are postponed.
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <gantry/state_machine/strand.hpp>
#include <gantry/state_machine/transition_table.hpp>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

namespace gantry {

/// Where one life cycle is in its table. `Facts` go with an event: what it is about, for the actions; a default one is
/// none.
template <class State, class Event, class Action, class Facts>
class StateMachine {
 public:
  using Table = TransitionTable<State, Event, Action>;
  using Step = typename Table::Step;
  /// Performs one action of a step; the machine is in `step.to` already.
  using Perform = std::function<void(const Step& step, Facts& facts)>;
  /// After the actions of a step that led to another state.
  using Changed = std::function<void(State from, State to)>;
  /// An event came that the table says is impossible. Nothing has changed.
  using Impossible = std::function<void(State state, Event event)>;
  static constexpr std::size_t kMaxPostponed = 256;

  /// `strand` and `table` outlive the machine; the machine outlives its last event. `begin`: another state than the
  /// table's initial one.
  StateMachine(Strand& strand, const Table& table, Perform perform, Changed changed = {}, Impossible impossible = {},
               std::optional<State> begin = std::nullopt)
      : strand_(strand),
        table_(table),
        perform_(std::move(perform)),
        changed_(std::move(changed)),
        impossible_(std::move(impossible)),
        state_(begin.value_or(table.initial())) {}
  StateMachine(const StateMachine&) = delete;
  StateMachine& operator=(const StateMachine&) = delete;

  void post(Event event, Facts facts = {}) {
    strand_.post([this, event, f = std::move(facts)]() mutable { handle(event, std::move(f)); });
  }
  /// In a task of the strand, and not inside of an action: at once.
  void handle(Event event, Facts facts) {
    std::deque<Pending> todo;
    todo.push_back({event, std::move(facts)});
    while (!todo.empty()) {
      Pending now = std::move(todo.front());
      todo.pop_front();
      take(std::move(now), todo);
    }
  }
  /// On the strand it is exact; elsewhere it may have changed already.
  [[nodiscard]] State state() const noexcept { return state_.load(std::memory_order_acquire); }

 private:
  struct Pending {
    Event event;
    Facts facts;
  };
  /// `todo`: what comes next; what was postponed comes before all else.
  void take(Pending now, std::deque<Pending>& todo) {
    const State from = state();
    const auto& answer = table_.at(from, now.event);
    if (answer.kind == TransitionKind::postponed) {
      if (postponed_.size() == kMaxPostponed) std::terminate();
      postponed_.push_back(std::move(now));
    } else if (answer.kind == TransitionKind::step) {
      const State to = static_cast<State>(answer.to);
      state_.store(to, std::memory_order_release);
      for (const auto action : answer.actions) perform_({from, now.event, to, static_cast<Action>(action)}, now.facts);
      if (from == to) return;
      if (changed_) changed_(from, to);
      todo.insert(todo.begin(), std::move_iterator(postponed_.begin()), std::move_iterator(postponed_.end()));
      postponed_.clear();
    } else if (answer.kind != TransitionKind::ignored && impossible_) {
      impossible_(from, now.event);
    }
  }

  Strand& strand_;
  const Table& table_;
  const Perform perform_;
  const Changed changed_;
  const Impossible impossible_;
  std::atomic<State> state_;
  std::vector<Pending> postponed_;  ///< on the strand
};

}  // namespace gantry
