// SPDX-License-Identifier: Apache-2.0
//
// The table of a language server's life: every pair has an answer, the docs show it, and a walk through all that can be
// reached finds no state in which a promise is broken.
#include "plugins/lsp/server_life.hpp"
#include "tests/folders.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

using namespace gantry;
using namespace gantry::lsp;

namespace {

using S = ServerState;
using E = ServerEvent;
using A = ServerAction;

/// What the world around one session is, as far as the table has to do with it. Small, so that all of it can be walked.
struct World {
  S state = S::not_started;
  /// What the instance before has left.
  enum Left : std::uint8_t { nothing, a_process, an_orphan, a_dead_process } left = nothing;
  bool process = false;
  bool spawn_asked = false;     ///< and not answered
  bool dies = false;            ///< it was killed
  bool grace = false;           ///< a timer kills it
  bool greeted = false;         ///< `initialize` was sent to it
  bool awaits_welcome = false;  ///< ... and is not answered
  bool asked_alive = false;
  bool asked_shutdown = false;
  bool documents = false;  ///< some count as open at the server
  bool in_flight = false;  ///< calls are with the server
  bool wait = false;       ///< calls wait for it
  bool back_off = false;   ///< its timer runs
  bool hold = false;       ///< somebody waits for the end
  bool ends = false;       ///< close or abandon came
  bool halts = false;      ///< lsp.stop came, and lsp.restart did not
  // Broken promises.
  bool second_process = false;
  bool started_while_ending = false;
  bool started_while_stopped = false;
  bool killed_first = false;     ///< lsp.stop, or idleness, killed what had not had its time
  bool stale_documents = false;  ///< a new process was taken for one that knows them
  bool mute_process = false;     ///< an action needs a process, and there is none
  auto operator<=>(const World&) const = default;
};

[[nodiscard]] bool brings_process(E event) { return event >= E::spawned && event <= E::orphan_met; }
[[nodiscard]] bool is_exit(E event) { return event >= E::exited_once && event <= E::exited_unfollowed; }

void act(World& w, A action, E event) {
  const auto needs_process = [&] { w.mute_process = w.mute_process || !w.process; };
  switch (action) {
    case A::spawn:
      w.second_process = w.second_process || w.process || w.spawn_asked;
      w.started_while_ending = w.started_while_ending || w.ends;
      w.started_while_stopped = w.started_while_stopped || w.halts;
      w.spawn_asked = true;
      break;
    case A::adopt:
      w.second_process = w.second_process || w.process;
      w.process = true;
      w.dies = w.grace = w.greeted = w.awaits_welcome = w.asked_alive = w.asked_shutdown = false;
      if (event == E::resumed_greeting) w.greeted = w.awaits_welcome = true;
      if (event == E::resumed_ready) w.greeted = true;
      w.left = World::nothing;
      break;
    case A::greet:
      needs_process();
      w.greeted = w.awaits_welcome = true;
      // It knows none: whatever counts as open was asked of another one.
      w.stale_documents = w.stale_documents || w.documents;
      break;
    case A::ask_alive:
      needs_process();
      w.asked_alive = w.greeted = true;
      break;
    case A::serve:
      needs_process();
      w.stale_documents = w.stale_documents || !w.greeted;
      break;
    case A::carry_over:
      w.wait = w.wait || w.in_flight;
      break;  // but for a command, which stays
    case A::lose_exited:
    case A::lose_crashed:
    case A::lose_replaced:
    case A::lose_gone:
    case A::lose_no_process:
    case A::lose_idle:
    case A::lose_stopped:
      w.in_flight = w.documents = false;
      break;
    case A::count_restart:
      w.back_off = false;
      break;  // by its number
    case A::back_off:
      w.back_off = true;
      break;
    case A::give_up:
    case A::say_stopped:
    case A::say_unfollowed:
    case A::refuse_stopped:
      w.wait = false;
      break;
    case A::ask_shutdown:
      needs_process();
      w.asked_shutdown = true;
      break;
    case A::terminate:
      w.killed_first = w.killed_first || event == E::stop || event == E::idle;
      needs_process();
      break;
    case A::say_exit:
    case A::expect_exit:
      needs_process();
      break;
    case A::start_grace:
      needs_process();
      w.grace = true;
      break;
    case A::kill:
      needs_process();
      w.killed_first = w.killed_first || event == E::stop || event == E::idle;
      w.dies = true;
      break;
    case A::drop:
      // Calls are answered by the registry, or are the next instance's.
      w.process = w.in_flight = w.wait = w.hold = false;
      break;
    case A::release:
      w.hold = false;
      break;
    default:
      break;
  }
}

/// What follows from `event` before the table is asked; empty: it cannot come there.
std::optional<World> after(const World& before, E event) {
  World w = before;
  const auto only_if = [&](bool can) { return can ? std::optional(w) : std::nullopt; };
  if (brings_process(event) || event == E::spawn_failed) {
    if (!w.spawn_asked) return std::nullopt;
    w.spawn_asked = false;
  }
  if (is_exit(event)) {
    // Of one that was handed over and was gone already: told once, at the beginning.
    const bool was_gone = w.left == World::a_dead_process && w.state == S::not_started && !w.ends &&
                          (event == E::exited_once || event == E::exited_unfollowed);
    if (!w.process && !was_gone) return std::nullopt;
    if (was_gone) w.left = World::nothing;
    w.process = w.dies = w.grace = w.awaits_welcome = w.asked_alive = w.asked_shutdown = false;
  }
  switch (event) {
    case E::want:
      w.wait = true;
      break;
    case E::renew:
    case E::idle:
      // Both are decided with the lock held.
      return only_if(w.state == S::ready && (event == E::renew || !w.in_flight));
    case E::exceeded:
      return only_if(is_limited(w.state));
    case E::spawned:
      return only_if(w.left == World::nothing);
    case E::spawned_anew:
    case E::spawned_unfollowed:
      return only_if(w.left == World::a_process || w.left == World::an_orphan);
    case E::resumed_greeting:
    case E::resumed_ready:
      return only_if(w.left == World::a_process);
    case E::orphan_met:
      return only_if(w.left == World::an_orphan);
    case E::spawn_failed:
      w.left = World::nothing;
      break;
    case E::welcomed:
      // Session asks the state before it looks at the answer, which may close the session.
      if (!w.process || !w.awaits_welcome || (w.state != S::greeting && w.state != S::ending)) return std::nullopt;
      w.awaits_welcome = false;
      break;
    case E::answered_alive:
      if (!w.process || !w.asked_alive) return std::nullopt;
      w.asked_alive = false;
      break;
    case E::shutdown_answered:
      if (!w.process || !w.asked_shutdown) return std::nullopt;
      w.asked_shutdown = false;
      break;
    case E::faulted:
      return only_if(w.process);
    case E::editor_shuts_down:
      return only_if(is_serving(w.state));
    case E::back_off_over:
      if (!w.back_off) return std::nullopt;
      w.back_off = false;
      break;
    case E::no_timer:
      if (w.state != S::backing_off || !w.back_off) return std::nullopt;
      w.back_off = false;
      break;
    case E::grace_over:
      return only_if(w.process && w.grace);
    case E::close:
      w.hold = w.hold || w.state != S::closed;
      w.ends = true;
      break;
    case E::abandon:
      w.ends = true;
      break;
    case E::stop:
      w.halts = !w.ends;
      break;
    case E::restart:
      w.halts = false;
      break;
    default:
      break;
  }
  return w;
}

/// What a session does by itself when a step is over.
void settle(World& w) {
  if (!is_serving(w.state) || !w.wait) return;
  w.wait = false;
  w.in_flight = w.documents = true;
}

[[nodiscard]] std::string text(const World& w, E event) {
  std::ostringstream out;
  out << name(w.state) << " + " << name(event) << " (process " << w.process << ", spawn asked " << w.spawn_asked
      << ", in flight " << w.in_flight << ", wait " << w.wait << ", documents " << w.documents << ", left "
      << int(w.left) << ", ends " << w.ends << ")";
  return out.str();
}

constexpr std::size_t kEvents = static_cast<std::size_t>(E::abandon) + 1;

[[nodiscard]] bool has_process(S state) {
  switch (state) {
    case S::not_started:
    case S::spawning:
    case S::backing_off:
    case S::failed:
    case S::halting_spawn:
    case S::stopped:
    case S::stopping_spawn:
    case S::closed:
      return false;
    default:
      return true;
  }
}

void check(const World& w) {
  // One process at most, and none that nobody ends.
  REQUIRE_FALSE(w.second_process);
  REQUIRE_FALSE(w.mute_process);
  REQUIRE(w.process == has_process(w.state));
  for (const S ends : {S::failing, S::replacing, S::resting, S::halting, S::shutting_down, S::ending}) {
    if (w.state == ends) REQUIRE((w.dies || w.grace));
  }
  // Nothing starts while the session ends, and whoever waits for the end is told.
  REQUIRE_FALSE(w.started_while_ending);
  if (w.ends) REQUIRE((is_stopping(w.state) || w.state == S::closed));
  if (w.state == S::closed) REQUIRE_FALSE(w.hold);
  // Stopped stays stopped, and whoever asks is told at once. `shutdown` and `exit` come before a signal.
  REQUIRE_FALSE(w.started_while_stopped);
  REQUIRE_FALSE(w.killed_first);
  if (w.halts && !w.ends) REQUIRE((is_stopped(w.state) || w.state == S::ending || w.state == S::closed));
  if (is_stopped(w.state)) REQUIRE((w.halts && !w.wait));
  if (w.state == S::stopped) REQUIRE_FALSE((w.wait || w.in_flight || w.documents));
  // What was open at a dead server is opened again at the next one.
  REQUIRE_FALSE(w.stale_documents);
  // Calls are with a server that is there, or wait for something that comes, or were answered.
  const bool comes = w.process || w.spawn_asked || w.back_off;
  if (w.left == World::nothing) REQUIRE((!w.in_flight || w.process));
  if (w.state != S::not_started || w.left == World::nothing) REQUIRE((!w.wait || comes));
  if (w.state == S::closed || w.state == S::failed) REQUIRE_FALSE((w.wait || w.in_flight));
}

}  // namespace

TEST_CASE("lsp life: every pair of a state and an event has an answer") {
  REQUIRE(server_life().table().undefined().empty());
}

TEST_CASE("lsp life: every state is reached, and each of the seven words of lsp.servers is shown for one at least") {
  const auto& table = server_life().table();
  REQUIRE(table.states().size() == static_cast<std::size_t>(S::closed) + 1);
  REQUIRE(table.events().size() == kEvents);
  REQUIRE(table.actions().size() == static_cast<std::size_t>(A::release) + 1);
  REQUIRE(table.reachable().size() == table.states().size());
  std::set<std::string_view> shown;
  for (std::size_t i = 0; i < table.states().size(); ++i) shown.insert(shown_as(static_cast<S>(i)));
  REQUIRE(shown == std::set<std::string_view>{"not_started", "starting", "ready", "backing_off", "failed", "stopping",
                                              "stopped"});
}

TEST_CASE("lsp life: every session can be closed, from wherever it is, and stays so") {
  const auto& table = server_life().table();
  const auto closed = static_cast<StateTable::Index>(S::closed);
  for (StateTable::Index state = 0; state < table.states().size(); ++state) {
    INFO(table.states()[state]);
    REQUIRE(table.reachable_from(state).contains(closed));
  }
  REQUIRE(table.reachable_from(closed).size() == 1);
}

TEST_CASE("lsp life: a walk through all that can be reached breaks no promise") {
  std::set<World> seen;
  std::deque<World> todo;
  const auto visit = [&](const World& w) {
    if (seen.insert(w).second) todo.push_back(w);
  };
  visit(World{});
  for (const auto left : {World::a_process, World::an_orphan, World::a_dead_process}) {
    World w;
    w.left = left;
    w.documents = w.in_flight = left != World::an_orphan;
    visit(w);
  }
  std::set<std::pair<S, E>> pairs;
  while (!todo.empty()) {
    const World before = todo.front();
    todo.pop_front();
    for (std::size_t i = 0; i < kEvents; ++i) {
      const auto event = static_cast<E>(i);
      auto w = after(before, event);
      if (!w) continue;
      pairs.emplace(before.state, event);
      const auto& answer = server_life().at(before.state, event);
      INFO(text(before, event));
      REQUIRE((answer.kind == TransitionKind::step || answer.kind == TransitionKind::ignored));
      if (answer.kind == TransitionKind::step) {
        w->state = static_cast<S>(answer.to);
        for (const auto action : answer.actions) act(*w, static_cast<A>(action), event);
      }
      settle(*w);
      // What the instance before has left is asked for first of all: the session begins with that.
      if (before.left != World::nothing && before.state == S::not_started && event != E::want && !is_exit(event)) {
        w->left = World::nothing;
        w->documents = w->in_flight = false;
      }
      check(*w);
      visit(*w);
    }
  }
  // All that the table does not call impossible was visited.
  const auto& table = server_life().table();
  for (StateTable::Index state = 0; state < table.states().size(); ++state) {
    for (StateTable::Index event = 0; event < table.events().size(); ++event) {
      if (table.at(state, event).kind != TransitionKind::step) continue;
      INFO(table.states()[state] + " + " + table.events()[event]);
      REQUIRE(pairs.contains({static_cast<S>(state), static_cast<E>(event)}));
    }
  }
}

TEST_CASE("lsp life: only a session whose server is sound is handed over") {
  for (std::size_t i = 0; i <= static_cast<std::size_t>(S::closed); ++i) {
    const auto state = static_cast<S>(i);
    INFO(name(state));
    // A crash of the server would be a fault of its own: nobody has told it to end, and it has nothing to prove.
    const auto& exit = server_life().at(state, E::exited_once);
    const bool sound = exit.kind == TransitionKind::step && state != S::failing && state != S::replacing &&
                       state != S::asking_alive && state != S::not_started && !is_stopping(state) &&
                       state != S::halting && state != S::resting;
    REQUIRE(may_hand_over(state) == sound);
  }
}

TEST_CASE("lsp life: crashes count for three minutes, and the fifth is the last") {
  RestartWindow crashes;
  const TimePoint begin{};
  REQUIRE(exit_event(crashes, begin) == E::exited_once);
  (void)crashes.count(begin, kMaxCrashes, kCrashWindow);
  for (int i = 1; i <= 3; ++i) {
    const auto now = begin + std::chrono::seconds(i);
    REQUIRE(exit_event(crashes, now) == E::exited_again);
    (void)crashes.count(now, kMaxCrashes, kCrashWindow);
  }
  REQUIRE(exit_event(crashes, begin + kCrashWindow) == E::exited_too_often);
  REQUIRE(exit_event(crashes, begin + kCrashWindow + Duration(1)) == E::exited_again);
  REQUIRE(exit_event(crashes, begin + 2 * kCrashWindow) == E::exited_once);
  crashes.clear();
  REQUIRE(exit_event(crashes, begin + std::chrono::seconds(4)) == E::exited_once);
}

TEST_CASE("lsp life: the docs show the table as it is") {
  std::ifstream file(gantry::folders::source() + "/docs/lsp-life.md");
  std::stringstream docs;
  docs << file.rdbuf();
  const auto& table = server_life().table();
  // To write it anew: GANTRY_PRINT_TABLES=1, and put what is printed into the file.
  if (std::getenv("GANTRY_PRINT_TABLES") != nullptr)
    std::fputs(("```mermaid\n" + to_mermaid(table) + "```\n\n" + to_markdown(table)).c_str(), stdout);
  REQUIRE(docs.str().find(to_mermaid(table)) != std::string::npos);
  REQUIRE(docs.str().find(to_markdown(table)) != std::string::npos);
}
