// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/turn_table.hpp"

#include <algorithm>
#include <charconv>
#include <deque>
#include <initializer_list>
#include <optional>
#include <set>

#include "plugins/project_state/fields.hpp"

namespace gantry::state {

namespace {

/// What lies before, between and behind the separators, in order; empty: one of them is not there.
[[nodiscard]] std::vector<std::string> split(std::string_view text,
                                             std::initializer_list<std::string_view> separators) {
  std::vector<std::string> out;
  for (const auto separator : separators) {
    const auto at = text.find(separator);
    if (at == std::string_view::npos) return {};
    out.emplace_back(text.substr(0, at));
    text.remove_prefix(at + separator.size());
  }
  out.emplace_back(text);
  return out;
}

/// One that an event may have, as docs/protocol.md says.
[[nodiscard]] bool is_topic(std::string_view text) {
  constexpr std::size_t kMaxTopic = 256;
  if (!text.starts_with(TurnTable::kTopics) || text.size() > kMaxTopic || text.ends_with('.')) return false;
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  };
  return std::ranges::all_of(text, allowed) && text.find("..") == std::string_view::npos;
}

[[nodiscard]] std::optional<std::int64_t> whole_seconds(std::string_view text) {
  std::int64_t out = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), out);
  return read.ec == std::errc() && read.ptr == text.data() + text.size() ? std::optional(out) : std::nullopt;
}

}  // namespace

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
  if (auto ok = out.take_triggers(text); !ok) return std::unexpected(ok.error());
  return out;
}

Result<void> TurnTable::check_trigger(const std::string& row, const std::string& from, const std::string& to) const {
  if (!allows(from, to)) return refuse(row + ": the table has no step " + from + " -> " + to);
  if (to == kApproved) return refuse(row + ": a plan is approved by a caller only, who names its hash");
  if (to == kExecuting) return refuse(row + ": a turn is begun only by who carries it out");
  return {};
}

Result<void> TurnTable::take_triggers(const Text& text) {
  if (text.timers.size() > kMaxTriggers || text.topics.size() > kMaxTriggers)
    return refuse("there may be " + std::to_string(kMaxTriggers) + " timers, and as many topics");
  for (const auto& timer : text.timers) {
    const std::string row = "timer of " + timer.from;
    if (auto ok = check_trigger(row, timer.from, timer.to); !ok) return ok;
    if (timer.seconds < 1 || timer.seconds > kMaxSeconds)
      return refuse(row + ": the seconds must be from 1 to " + std::to_string(kMaxSeconds));
    if (timer.from == timer.to) return refuse(row + ": it must lead to another state, or it would never end");
    if (timer_of(timer.from) != nullptr) return refuse(row + ": there is one already");
    timers_.push_back(timer);
  }
  for (const auto& topic : text.topics) {
    const std::string row = topic.from + " on " + topic.topic;
    if (auto ok = check_trigger(row, topic.from, topic.to); !ok) return ok;
    if (!is_topic(topic.topic))
      return refuse(row + ": a topic must be turn.NAME, and NAME segments of letters, digits, - and _");
    const auto same = [&](const Topic& other) { return other.from == topic.from && other.topic == topic.topic; };
    if (std::ranges::any_of(topics_, same)) return refuse(row + ": there is one already");
    topics_.push_back(topic);
  }
  return {};
}

const TurnTable::Timer* TurnTable::timer_of(std::string_view state) const {
  const auto found = std::ranges::find(timers_, state, &Timer::from);
  return found == timers_.end() ? nullptr : &*found;
}

Result<TurnTable> TurnTable::read(const json& settings) {
  const auto list = [&](const char* member) { return settings.value(member, std::vector<std::string>()); };
  Text text{list("states"), list("final_states"), {}};
  const auto transitions = list("transitions");
  if (text.states.empty() && text.final_states.empty() && transitions.empty()) text = standard();
  const auto wrong = [](const std::string& what) { return refuse("[state.turns] " + what); };
  for (const auto& row : transitions) {
    const auto parts = split(row, {" -> "});
    if (parts.empty()) return wrong("transitions: \"" + row.substr(0, 80) + "\" is not FROM -> TO");
    text.rows.push_back({parts[0], parts[1]});
  }
  for (const auto& row : list("timers")) {
    const auto parts = split(row, {" after ", " s -> "});
    const auto seconds = parts.empty() ? std::nullopt : whole_seconds(parts[1]);
    if (!seconds) return wrong("timers: \"" + row.substr(0, 80) + "\" is not FROM after SECONDS s -> TO");
    text.timers.push_back({parts[0], *seconds, parts[2]});
  }
  for (const auto& row : list("topics")) {
    const auto parts = split(row, {" on ", " -> "});
    if (parts.empty()) return wrong("topics: \"" + row.substr(0, 80) + "\" is not FROM on turn.NAME -> TO");
    text.topics.push_back({parts[0], parts[1], parts[2]});
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
