// SPDX-License-Identifier: Apache-2.0
//
// gantry/state_machine/state_table.hpp: a table of states and events by number (gantry/state_machine.hpp).
//
// Thread rule: constant once made.
// Bounds: kMaxNames states, events and actions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <gantry/result.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gantry {

/// What a table says of a pair (state, event).
enum class TransitionKind : std::uint8_t { undefined, step, ignored, postponed, impossible };

/// States, events and actions by number, each with a name.
class StateTable {
 public:
  using Index = std::uint16_t;
  static constexpr std::size_t kMaxNames = 256;

  struct Transition {
    TransitionKind kind = TransitionKind::undefined;
    Index to = 0;
    std::vector<Index> actions{};
  };
  /// A table as people write it.
  struct Text {
    struct Row {
      std::string from;
      std::string event;
      std::string to;
      std::vector<std::string> actions{};
    };
    std::vector<std::string> states;  ///< the first one is where a machine begins
    std::vector<std::string> events;
    std::vector<std::string> actions{};
    std::vector<std::string> final_states{};  ///< which nothing leaves
    std::vector<Row> rows;
  };

  StateTable(std::vector<std::string> states, std::vector<std::string> events, std::vector<std::string> actions,
             Index initial)
      : states_(std::move(states)),
        events_(std::move(events)),
        actions_(std::move(actions)),
        initial_(initial),
        transitions_(states_.size() * events_.size()) {}

  /// `invalid_params`, which names the row and the name: an unknown or repeated name, two rows for one pair, a state
  /// that is never reached, a row that leaves a final state, a state from which no final state can be reached.
  [[nodiscard]] static Result<StateTable> make(const Text& text);

  void set(Index state, Index event, Transition transition) {
    transitions_.at((state * events_.size()) + event) = std::move(transition);
  }
  [[nodiscard]] const Transition& at(Index state, Index event) const {
    return transitions_.at((state * events_.size()) + event);
  }
  [[nodiscard]] Index initial() const { return initial_; }
  [[nodiscard]] const std::vector<std::string>& states() const { return states_; }
  [[nodiscard]] const std::vector<std::string>& events() const { return events_; }
  [[nodiscard]] const std::vector<std::string>& actions() const { return actions_; }
  /// The number of this name; empty: there is none.
  [[nodiscard]] std::optional<Index> state(std::string_view name) const { return find(states_, name); }
  [[nodiscard]] std::optional<Index> event(std::string_view name) const { return find(events_, name); }
  /// "state + event" of each pair without an answer.
  [[nodiscard]] std::vector<std::string> undefined() const;
  /// Those that steps lead to from the initial one, which is among them.
  [[nodiscard]] std::set<Index> reachable() const { return reachable_from(initial_); }
  [[nodiscard]] std::set<Index> reachable_from(Index from) const;

 private:
  [[nodiscard]] static std::optional<Index> find(const std::vector<std::string>& names, std::string_view name) {
    const auto it = std::ranges::find(names, name);
    return it == names.end() ? std::nullopt : std::optional(static_cast<Index>(it - names.begin()));
  }

  std::vector<std::string> states_;
  std::vector<std::string> events_;
  std::vector<std::string> actions_;
  Index initial_;
  std::vector<Transition> transitions_;
};

inline std::vector<std::string> StateTable::undefined() const {
  std::vector<std::string> out;
  for (Index state = 0; state < states_.size(); ++state) {
    for (Index event = 0; event < events_.size(); ++event) {
      if (at(state, event).kind == TransitionKind::undefined) out.push_back(states_[state] + " + " + events_[event]);
    }
  }
  return out;
}

inline std::set<StateTable::Index> StateTable::reachable_from(Index from) const {
  std::set<Index> out{from};
  std::deque<Index> todo{from};
  while (!todo.empty()) {
    const Index state = todo.front();
    todo.pop_front();
    for (Index event = 0; event < events_.size(); ++event) {
      const auto& answer = at(state, event);
      if (answer.kind == TransitionKind::step && out.insert(answer.to).second) todo.push_back(answer.to);
    }
  }
  return out;
}

inline Result<StateTable> StateTable::make(const Text& text) {
  const auto wrong = [](const std::string& what) { return fail(ErrorKind::invalid_params, what); };
  const auto check = [&](const std::vector<std::string>& names, const std::string& kind) -> Result<void> {
    if (names.size() > kMaxNames) return wrong("more than " + std::to_string(kMaxNames) + " names of a " + kind);
    std::set<std::string_view> seen;
    for (const auto& name : names) {
      if (name.empty()) return wrong("the name of a " + kind + " is empty");
      if (!seen.insert(name).second) return wrong(kind + " " + name + " stands there twice");
    }
    return {};
  };
  if (text.states.empty()) return wrong("there is no state");
  if (auto ok = check(text.states, "state"); !ok) return std::unexpected(ok.error());
  if (auto ok = check(text.events, "event"); !ok) return std::unexpected(ok.error());
  if (auto ok = check(text.actions, "action"); !ok) return std::unexpected(ok.error());
  StateTable out(text.states, text.events, text.actions, 0);
  std::set<Index> finals;
  for (const auto& name : text.final_states) {
    const auto state = out.state(name);
    if (!state) return wrong("final state " + name + " is no state");
    finals.insert(*state);
  }
  for (const auto& row : text.rows) {
    const std::string where = row.from + " + " + row.event;
    const auto from = out.state(row.from);
    const auto event = out.event(row.event);
    const auto to = out.state(row.to);
    if (!from) return wrong("row " + where + ": " + row.from + " is no state");
    if (!event) return wrong("row " + where + ": " + row.event + " is no event");
    if (!to) return wrong("row " + where + ": " + row.to + " is no state");
    if (finals.contains(*from)) return wrong("row " + where + ": nothing leaves the final state " + row.from);
    if (out.at(*from, *event).kind != TransitionKind::undefined) return wrong("two rows for " + where);
    Transition transition{TransitionKind::step, *to, {}};
    for (const auto& name : row.actions) {
      const auto action = find(out.actions_, name);
      if (!action) return wrong("row " + where + ": " + name + " is no action");
      transition.actions.push_back(*action);
    }
    out.set(*from, *event, std::move(transition));
  }
  const auto reached = out.reachable();
  for (Index state = 0; state < out.states_.size(); ++state) {
    if (!reached.contains(state)) return wrong("state " + out.states_[state] + " is never reached");
    const auto ends = out.reachable_from(state);
    if (!finals.empty() && std::ranges::none_of(ends, [&](Index end) { return finals.contains(end); }))
      return wrong("no final state can be reached from " + out.states_[state]);
  }
  return out;
}

}  // namespace gantry
