// SPDX-License-Identifier: Apache-2.0
//
// gantry/state_machine/transition_table.hpp: a table of states and events whose names are enumerators
// (gantry/state_machine.hpp).
//
// Thread rule: constant once made.
#pragma once

#include <gantry/state_machine/state_table.hpp>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace gantry {

/// A StateTable whose names are enumerators, from 0 on without a gap: `name(e)` gives their names, and an empty one
/// past the last.
template <class State, class Event, class Action>
class TransitionTable {
 public:
  struct Step {
    State from;
    Event event;
    State to;
    Action action;
  };
  /// The rows of one state.
  class Rows {
   public:
    Rows(TransitionTable& table, State state) : table_(table), state_(state) {}
    Rows& on(Event event, State to, const std::vector<Action>& actions = {}) {
      StateTable::Transition out{TransitionKind::step, index(to), {}};
      for (const Action action : actions) out.actions.push_back(index(action));
      table_.put(state_, event, std::move(out));
      return *this;
    }
    Rows& on(std::initializer_list<Event> events, State to, const std::vector<Action>& actions = {}) {
      for (const Event event : events) on(event, to, actions);
      return *this;
    }
    Rows& ignore(std::initializer_list<Event> events) { return answer(events, TransitionKind::ignored); }
    Rows& postpone(std::initializer_list<Event> events) { return answer(events, TransitionKind::postponed); }
    /// Every pair that has no answer yet cannot come.
    Rows& else_impossible() {
      for (StateTable::Index event = 0; event < table_.core_.events().size(); ++event) {
        if (table_.core_.at(index(state_), event).kind == TransitionKind::undefined)
          table_.core_.set(index(state_), event, {TransitionKind::impossible, 0, {}});
      }
      return *this;
    }

   private:
    Rows& answer(std::initializer_list<Event> events, TransitionKind kind) {
      for (const Event event : events) table_.put(state_, event, {kind, 0, {}});
      return *this;
    }
    TransitionTable& table_;
    State state_;
  };

  explicit TransitionTable(State initial)
      : core_(names_of<State>(), names_of<Event>(), names_of<Action>(), index(initial)) {}

  [[nodiscard]] Rows in(State state) { return {*this, state}; }
  [[nodiscard]] const StateTable::Transition& at(State state, Event event) const {
    return core_.at(index(state), index(event));
  }
  [[nodiscard]] State initial() const { return static_cast<State>(core_.initial()); }
  [[nodiscard]] const StateTable& table() const { return core_; }

 private:
  template <class E>
  [[nodiscard]] static StateTable::Index index(E e) {
    return static_cast<StateTable::Index>(e);
  }
  template <class E>
  [[nodiscard]] static std::vector<std::string> names_of() {
    std::vector<std::string> out;
    for (std::size_t i = 0; i < StateTable::kMaxNames && !name(static_cast<E>(i)).empty(); ++i)
      out.emplace_back(name(static_cast<E>(i)));
    return out;
  }
  void put(State state, Event event, StateTable::Transition transition) {
    if (core_.at(index(state), index(event)).kind != TransitionKind::undefined)
      throw std::logic_error(std::string(name(state)) + " + " + std::string(name(event)) + " has two answers");
    core_.set(index(state), index(event), std::move(transition));
  }

  StateTable core_;
};

}  // namespace gantry
