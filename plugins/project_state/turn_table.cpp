// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/turn_table.hpp"

#include <deque>
#include <set>

#include "plugins/project_state/fields.hpp"

namespace gantry::state {

const TurnTable::Text& TurnTable::standard() {
  static const Text kText{{"created", "planning", "plan_proposed", "plan_approved", "executing", "completed", "failed",
                           "cancelled", "interrupted"},
                          {"completed", "failed", "cancelled"},
                          {{"created", "planning"},
                           {"created", "plan_proposed"},
                           {"created", "cancelled"},
                           {"planning", "plan_proposed"},
                           {"planning", "cancelled"},
                           {"plan_proposed", "plan_proposed"},
                           {"plan_proposed", "plan_approved"},
                           {"plan_proposed", "cancelled"},
                           {"plan_approved", "plan_proposed"},
                           {"plan_approved", "executing"},
                           {"plan_approved", "cancelled"},
                           {"executing", "completed"},
                           {"executing", "failed"},
                           {"executing", "interrupted"},
                           {"executing", "cancelled"},
                           {"interrupted", "plan_proposed"},
                           {"interrupted", "cancelled"}}};
  return kText;
}

Result<TurnTable> TurnTable::make(const Text& text) {
  StateTable::Text rows{.states = text.states, .events = text.states, .final_states = text.final_states, .rows = {}};
  for (const auto& row : text.rows) rows.rows.push_back({row.from, row.to, row.to});
  auto table = StateTable::make(rows);
  if (!table) return std::unexpected(table.error());
  TurnTable out(std::move(*table));
  if (auto ok = out.check(); !ok) return std::unexpected(ok.error());
  return out;
}

Result<TurnTable> TurnTable::read(const json& settings) {
  const auto list = [&](const char* member) { return settings.value(member, std::vector<std::string>()); };
  Text text{list("states"), list("final_states"), {}};
  const auto transitions = list("transitions");
  if (text.states.empty() && text.final_states.empty() && transitions.empty()) return make(standard());
  const auto wrong = [](const std::string& what) { return refuse("[state.turns] " + what); };
  constexpr std::string_view kArrow = " -> ";
  for (const auto& row : transitions) {
    const auto arrow = row.find(kArrow);
    if (arrow == std::string::npos) return wrong("transitions: \"" + row.substr(0, 80) + "\" is not FROM -> TO");
    text.rows.push_back({row.substr(0, arrow), row.substr(arrow + kArrow.size())});
  }
  auto table = make(text);
  return table ? std::move(table) : wrong(table.error().message);
}

Result<void> TurnTable::check() const {
  for (const auto state : {kProposed, kApproved, kExecuting, kInterrupted}) {
    if (!has(state)) return refuse("state " + std::string(state) + " is missing");
  }
  if (!allows(kExecuting, kInterrupted))
    return refuse("executing must lead to interrupted, which is where a restart leaves a turn");
  if (!allows(kApproved, kProposed))
    return refuse("plan_approved must lead to plan_proposed, which is where a changed plan leaves a turn");
  if (!allows(kProposed, kApproved)) return refuse("plan_proposed must lead to plan_approved");
  // Every way that avoids plan_approved, from the first state and from what follows executing.
  std::deque<std::string> todo{first()};
  std::set<std::string> seen{first()};
  for (const auto& state : next(kExecuting)) {
    if (seen.insert(state).second) todo.push_back(state);
  }
  while (!todo.empty()) {
    const std::string state = std::move(todo.front());
    todo.pop_front();
    if (state == kApproved) continue;
    for (const auto& to : next(state)) {
      if (to == kExecuting) return refuse("row " + state + " + executing: executing is reached without an approval");
      if (seen.insert(to).second) todo.push_back(to);
    }
  }
  return {};
}

bool TurnTable::allows(std::string_view from, std::string_view to) const {
  const auto state = table_.state(from);
  const auto event = table_.event(to);
  return state && event && table_.at(*state, *event).kind == TransitionKind::step;
}

std::vector<std::string> TurnTable::next(std::string_view from) const {
  std::vector<std::string> out;
  for (const auto& to : table_.states()) {
    if (allows(from, to)) out.push_back(to);
  }
  return out;
}

}  // namespace gantry::state
