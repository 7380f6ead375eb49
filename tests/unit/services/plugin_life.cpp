// SPDX-License-Identifier: Apache-2.0
//
// The table of a plugin's life: every pair has an answer, the docs show it, and a walk through all that can be reached
// finds no state in which a promise is broken.
#include <catch2/catch.hpp>
#include <deque>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <tuple>

#include "host/services/life_table.hpp"
#include "tests/folders.hpp"

using namespace gantry;
using namespace gantry::host;

namespace {

using S = LifeState;
using E = LifeEvent;
using A = LifeAction;

/// What the world around one life is, as far as the table has to do with it. Small, so that all of it can be walked.
struct World {
  S state = S::known;
  bool served = false;        ///< callers get its instance
  bool current = false;       ///< an instance has the calls, or ends before the next start
  bool replaced = false;      ///< an instance ends its calls beside it
  bool waits = false;         ///< a caller waits
  bool asks = false;          ///< a reload has not been answered
  bool reload_waits = false;  ///< ... and is postponed
  enum Job : std::uint8_t { none, gather, load, load_next, end } job = none;
  bool stopping = false;
  bool started_while_stopping = false;
  bool two_served = false;
  bool lost_instance = false;  ///< an instance was forgotten without an end
  bool two_jobs = false;
  auto operator<=>(const World&) const = default;
};

void act(World& w, A action, E event) {
  const auto begin = [&](World::Job job) {
    if (w.job != World::none && w.job != World::gather) w.two_jobs = true;
    if (w.stopping) w.started_while_stopping = true;
    w.job = job;
  };
  switch (action) {
    case A::serve:
      if (event == E::started || event == E::next_started) {
        if (w.current) w.replaced = true;  // A::replace has to follow
        w.current = true;
      }
      w.served = w.current;
      if (w.served) w.waits = false;
      break;
    case A::withdraw:
      w.served = false;
      break;
    case A::refuse:
      w.waits = false;
      break;
    case A::gather:
      begin(World::gather);
      break;
    case A::load:
      begin(World::load);
      break;
    case A::load_next:
      begin(World::load_next);
      break;
    case A::drop_next:
      w.job = World::none;
      break;  // it ends by itself
    case A::stop:
      if (event == E::started || event == E::next_started) w.current = true;
      if (w.served) w.two_served = true;  // callers still get what ends
      begin(World::end);
      break;
    case A::hand_over:
      if (w.served) w.two_served = true;
      begin(World::end);
      break;
    case A::replace:
      w.replaced = true;
      break;
    case A::confirm_reload:
    case A::refuse_reload:
      w.asks = false;
      break;
    default:
      break;
  }
}

/// What follows from `event` in `w`; empty: it cannot come there, and `why` says so.
std::optional<World> after(const World& before, E event) {
  World w = before;
  switch (event) {
    case E::want:
      w.waits = true;
      break;
    case E::reload_overlap:
    case E::reload_handover:
      if (w.asks) return std::nullopt;  // one at a time
      w.asks = true;
      break;
    case E::needs_met:
      if (w.job != World::gather || w.state != S::gathering) return std::nullopt;
      w.job = World::none;
      break;
    case E::needs_unmet:
    case E::needs_back_off:
    case E::refused:
      if (w.job != World::gather || w.state != S::gathering) return std::nullopt;
      w.job = World::none;
      break;
    case E::started:
      if (w.job != World::load) return std::nullopt;
      w.job = World::none;
      break;
    case E::next_started:
      if (w.job != World::load_next) return std::nullopt;
      w.job = World::none;
      break;
    case E::next_failed:
      if (w.job != World::load_next) return std::nullopt;
      w.job = World::none;
      break;
    case E::broke_again:
    case E::broke_back_off:
    case E::broke_quarantine:
    case E::broke_hold:
      if (w.job == World::load) {  // the start failed
        w.job = World::none;
      } else if (w.current && (is_serving(w.state) || w.state == S::stopped)) {  // the instance died
        w.current = false;
        w.served = false;  // PluginLives::died withdraws it at once
      } else if (w.state == S::known && w.job == World::none && !w.current && event != E::broke_again) {
        break;  // a host died of it; or its last instance died during a reload that failed
      } else {
        return std::nullopt;
      }
      break;
    case E::back_off_over:
      if (w.state != S::backing_off) return std::nullopt;
      break;
    case E::drained:
      if (w.job != World::end) return std::nullopt;
      w.job = World::none;
      w.current = false;
      break;
    case E::host_stops:
      if (w.stopping) return std::nullopt;
      w.stopping = true;
      break;
    default:
      break;
  }
  return w;
}

[[nodiscard]] std::string text(const World& w, E event) {
  std::ostringstream out;
  out << name(w.state) << " + " << name(event) << " (served " << w.served << ", current " << w.current << ", waits "
      << w.waits << ", asks " << w.asks << ", job " << int(w.job) << ", stopping " << w.stopping << ")";
  return out.str();
}

constexpr std::size_t kEvents = static_cast<std::size_t>(E::host_stops) + 1;

}  // namespace

TEST_CASE("life: every pair of a state and an event has an answer") {
  REQUIRE(plugin_life().table().undefined().empty());
}

TEST_CASE("life: every state is reached, and each of the contract's eight words is shown for one at least") {
  const auto& table = plugin_life().table();
  REQUIRE(table.reachable().size() == table.states().size());
  std::set<std::string_view> shown;
  for (std::size_t i = 0; i < table.states().size(); ++i) shown.insert(shown_as(static_cast<S>(i)));
  REQUIRE(shown == std::set<std::string_view>{"known", "starting", "ready", "draining", "backing_off", "quarantined",
                                              "disabled", "failed"});
}

TEST_CASE("life: a walk through all that can be reached breaks no promise") {
  std::set<World> seen{World{}};
  std::deque<World> todo{World{}};
  std::set<std::pair<S, E>> pairs;
  const auto visit = [&](const World& w) {
    if (seen.insert(w).second) todo.push_back(w);
  };
  while (!todo.empty()) {
    const World before = todo.front();
    todo.pop_front();
    for (std::size_t i = 0; i < kEvents; ++i) {
      const auto event = static_cast<E>(i);
      auto w = after(before, event);
      if (!w) continue;
      pairs.emplace(before.state, event);
      const auto& answer = plugin_life().at(before.state, event);
      INFO(text(before, event));
      REQUIRE(answer.kind != TransitionKind::undefined);
      REQUIRE(answer.kind != TransitionKind::impossible);
      if (answer.kind == TransitionKind::postponed) {
        if (event == E::reload_overlap || event == E::reload_handover) {
          w->reload_waits = true;
          visit(*w);
        }
        continue;
      }
      if (answer.kind == TransitionKind::step) {
        const S from = w->state;
        w->state = static_cast<S>(answer.to);
        for (const auto action : answer.actions) act(*w, static_cast<A>(action), event);
        if (w->state != S::gathering && w->job == World::gather) w->job = World::none;  // what comes of it is dropped
        if (from != w->state && w->reload_waits) {
          // It is looked at again: either kind, as the first event of the new state.
          World again = *w;
          again.reload_waits = false;
          again.asks = false;
          for (const E reload : {E::reload_overlap, E::reload_handover}) {
            if (plugin_life().at(again.state, reload).kind == TransitionKind::postponed)
              again.reload_waits = again.asks = true;
          }
          visit(again);
          continue;
        }
      }
      // New calls reach at most one instance, and none that ends.
      REQUIRE_FALSE(w->two_served);
      REQUIRE_FALSE((w->served && !w->current));
      REQUIRE((!w->served || is_serving(w->state) || w->state == S::stopped || w->state == S::stopping));
      // Nothing starts while the host stops, and no job runs beside another one.
      REQUIRE_FALSE(w->started_while_stopping);
      REQUIRE_FALSE(w->two_jobs);
      // Who waits is answered, or something that answers is under way.
      if (is_settled(w->state)) REQUIRE_FALSE(w->waits);
      if (!is_settled(w->state)) REQUIRE((w->job != World::none));
      if (is_settled(w->state)) REQUIRE_FALSE(w->asks);
      if (is_settled(w->state) && w->state != S::stopped) REQUIRE(w->job == World::none);
      // No instance is leaked: where none has the calls and none ends, there is none.
      if (is_settled(w->state) && !is_serving(w->state) && w->state != S::stopped) REQUIRE_FALSE(w->current);
      w->replaced = false;
      visit(*w);
    }
  }
  // All that the table does not call impossible was visited.
  const auto& table = plugin_life().table();
  for (StateTable::Index state = 0; state < table.states().size(); ++state) {
    for (StateTable::Index event = 0; event < table.events().size(); ++event) {
      const auto kind = table.at(state, event).kind;
      if (kind == TransitionKind::impossible || kind == TransitionKind::ignored) continue;
      INFO(table.states()[state] + " + " + table.events()[event]);
      REQUIRE(pairs.contains({static_cast<S>(state), static_cast<E>(event)}));
    }
  }
}

TEST_CASE("life: the docs show the table as it is") {
  std::ifstream file(gantry::folders::source() + "/docs/plugin-life.md");
  std::stringstream docs;
  docs << file.rdbuf();
  const auto& table = plugin_life().table();
  // To write it anew: GANTRY_PRINT_TABLES=1, and put what is printed into the file.
  if (std::getenv("GANTRY_PRINT_TABLES") != nullptr)
    std::fputs(("```mermaid\n" + to_mermaid(table) + "```\n\n" + to_markdown(table)).c_str(), stdout);
  REQUIRE(docs.str().find(to_mermaid(table)) != std::string::npos);
  REQUIRE(docs.str().find(to_markdown(table)) != std::string::npos);
}
