// SPDX-License-Identifier: Apache-2.0
#include "host/services/plugin_needs.hpp"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "host/services/plugin_lives.hpp"

namespace gantry::host {

using E = LifeEvent;

std::vector<PluginLife*> PluginNeeds::needs() const {
  const auto table = lives_.host().table();
  return lives_.lives_of(table->has(life_.name()) ? table->graph().needs_of(life_.name()) : std::vector<std::string>());
}

std::vector<PluginLife*> PluginNeeds::dependents() const {
  const auto table = lives_.host().table();
  return lives_.lives_of(table->has(life_.name()) ? table->graph().needed_by(life_.name())
                                                  : std::vector<std::string>());
}

bool PluginNeeds::is_gathering(std::uint64_t number) const {
  return gathering_ == number && life_.state() == LifeState::gathering;
}

// What comes of it are events, and no action may handle one: hence the tasks of the strand.
void PluginNeeds::gather(bool first) {
  const auto number = ++gathering_;
  lives_.host().prepare(life_.name(), first, lives_.on_strand([this, number](const Result<void>& may) {
    if (!is_gathering(number)) return;
    if (!may) return life_.handle(E::refused, {.error = may.error()});
    when_clear([this, number] { gather_on(number); });
  }));
}

// Those that need it have ended; those that it needs start, one after the other.
void PluginNeeds::gather_on(std::uint64_t number) {
  if (!is_gathering(number)) return;
  const auto refusal = life_.build().spec->refusal();
  if (refusal) return life_.handle(E::refused, {.error = *refusal});  // the table has just changed
  const auto all = needs();
  const auto next = std::ranges::find_if_not(all, [](auto* need) { return need->place().peek() != nullptr; });
  if (next == all.end()) return life_.handle(E::needs_met);
  (*next)->place().get_async(lives_.on_strand([this, number, &need = **next](const Result<PluginInstance>& result) {
    if (!is_gathering(number)) return;
    if (!result) return refused(need, result.error());
    when_clear([this, number] { gather_on(number); });
  }));
}

void PluginNeeds::refused(const PluginLife& need, const Error& error) {
  note_blocked_by(need);
  if (is_waiting(need.state())) life_.hold_until(need.opens_at());
  const bool waits = is_waiting(need.state()) || !is_settled(need.state());
  life_.handle(
      waits ? E::needs_back_off : E::needs_unmet,
      {.error = {error.kind, "plugin " + life_.name() + " needs " + need.name() + ": " + error.message, error.data}});
}

void PluginNeeds::note_blocked_by(const PluginLife& need) {
  blocked_by_ = "it needs " + need.name() + ", which is " + std::string(shown_as(need.state())) + ": " + need.reason();
}

void PluginNeeds::when_clear(std::function<void()> then) {
  const auto is_ending = [](const auto* life) { return life->is_ending(); };
  if (std::ranges::any_of(dependents(), is_ending)) {
    when_clear_ = std::move(then);
  } else {
    then();
  }
}

void PluginNeeds::look_if_clear() {
  if (!when_clear_) return;
  lives_.strand().post([this] {
    if (auto then = std::exchange(when_clear_, {})) when_clear(std::move(then));
  });
}

void PluginNeeds::review() {
  bool waits = false;
  for (const PluginLife* const need : needs()) {
    if (is_in_the_way(need->state())) {
      note_blocked_by(*need);
      return life_.handle(E::need_closed);
    }
    waits = waits || is_waiting(need->state());
  }
  if (!waits || life_.state() == LifeState::blocked) life_.handle(E::need_open);
}

bool PluginNeeds::is_needed_at_start() const {
  const auto table = lives_.host().table();
  std::set<std::string> seen;
  std::vector<std::string> left{life_.name()};
  while (!left.empty()) {
    const std::string plugin = std::move(left.back());
    left.pop_back();
    if (!table->has(plugin) || !seen.insert(plugin).second) continue;
    const auto spec = PluginTable::share(table, plugin);
    if (spec->refusal()) continue;
    if (spec->starts_with_host()) return true;
    std::ranges::copy(table->graph().needed_by(plugin), std::back_inserter(left));
  }
  return false;
}

void PluginNeeds::review_dependents() const {
  for (auto* const life : dependents()) lives_.strand().post([life] { life->review(); });
}

void PluginNeeds::start_dependents() const {
  for (auto* const life : dependents()) lives_.strand().post([life] { life->need_serves(); });
}

void PluginNeeds::retire_dependents() const {
  for (auto* const life : dependents())
    lives_.strand().post([life, need = life_.name()] { life->handle(E::need_gone, {.reason = "it needs " + need}); });
}

}  // namespace gantry::host
