// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/server_life.hpp"

#include <array>
#include <cstddef>

namespace gantry::lsp {

namespace {

using S = ServerState;
using E = ServerEvent;
using A = ServerAction;
using Rows = ServerLife::Rows;

constexpr std::initializer_list<E> kExits = {E::exited_once, E::exited_again, E::exited_too_often,
                                             E::exited_unfollowed};
constexpr std::initializer_list<E> kSpawned = {E::spawned,          E::spawned_anew,  E::spawned_unfollowed,
                                               E::resumed_greeting, E::resumed_ready, E::orphan_met};

/// What is the same in every state but the last.
Rows in(ServerLife& table, S state) { return table.in(state).on(E::abandon, S::closed, {A::drop}); }

/// The process is there and should live: its exit is a crash.
Rows lives(ServerLife& table, S state) {
  return in(table, state)
      .on(E::exited_once, S::spawning,
          {A::record_crash, A::lose_crashed, A::count_restart, A::announce_restart, A::spawn})
      .on(E::exited_again, S::backing_off, {A::record_crash, A::lose_crashed, A::count_restart, A::back_off})
      .on(E::exited_too_often, S::failed, {A::record_crash, A::lose_crashed, A::note_too_often, A::give_up})
      .on(E::exited_unfollowed, S::closed, {A::record_crash, A::lose_crashed, A::say_unfollowed, A::release})
      .on(E::restart, S::replacing, {A::forgive, A::terminate, A::start_grace});
}
/// ... and another process may take its place at any time.
Rows lives_replaceable(ServerLife& table, S state) {
  return lives(table, state)
      .on(E::faulted, S::failing, {A::kill})
      .on(E::replace, S::replacing, {A::terminate, A::start_grace})
      // Its caches may be worth their writing: it is asked to end, not killed. Its exit is a crash all the same.
      .on(E::exceeded, S::failing, {A::carry_over, A::terminate, A::start_grace});
}
/// ... and lsp.stop ends it for as long as lsp.restart does not come. Before it has answered `initialize` it takes no
/// request, but `exit`.
constexpr std::initializer_list<A> kHaltUngreeted = {A::refuse_stopped, A::expect_exit, A::say_exit, A::start_grace};

/// The session ends with its process.
Rows ends(ServerLife& table, S state) {
  auto rows = in(table, state).on(E::want, state, {A::say_stopped}).ignore({E::restart, E::stop, E::replace, E::close});
  if (state != S::stopping_spawn) {
    for (const E exit : kExits) rows.on(exit, S::closed, {A::lose_exited, A::say_stopped, A::release});
  }
  return rows;
}

[[nodiscard]] ServerLife make_table() {
  ServerLife table(S::not_started);

  // No process. The exits are those of one that was handed over and is gone.
  in(table, S::not_started)
      .on(E::want, S::spawning, {A::spawn})
      .on(E::exited_once, S::spawning, {A::lose_replaced, A::spawn})
      .on(E::exited_unfollowed, S::closed, {A::lose_replaced, A::say_unfollowed, A::release})
      .on(E::restart, S::not_started, {A::forgive})
      .on(E::stop, S::stopped, {A::refuse_stopped})
      .on(E::close, S::closed, {A::say_stopped, A::release})
      .ignore({E::replace})
      .else_impossible();
  in(table, S::backing_off)
      .on(E::back_off_over, S::spawning, {A::spawn})
      .on(E::no_timer, S::failed, {A::note_no_timer, A::give_up})
      .on(E::restart, S::spawning, {A::forgive, A::count_restart, A::spawn})
      .on(E::stop, S::stopped, {A::refuse_stopped})
      .on(E::close, S::closed, {A::say_stopped, A::release})
      .ignore({E::want, E::replace})
      .else_impossible();
  in(table, S::failed)
      .on(E::want, S::failed, {A::give_up})
      .on(E::restart, S::spawning, {A::forgive, A::count_restart, A::spawn})
      .on(E::stop, S::stopped, {A::refuse_stopped})
      .on(E::close, S::closed, {A::say_stopped, A::release})
      .ignore({E::replace})
      .else_impossible();
  in(table, S::stopped)
      .on(E::want, S::stopped, {A::refuse_stopped})
      .on(E::restart, S::not_started, {A::forgive, A::count_restart, A::revive})
      .on(E::close, S::closed, {A::say_stopped, A::release})
      .ignore({E::replace, E::stop, E::back_off_over})
      .else_impossible();

  // Starts.
  in(table, S::spawning)
      .on(E::spawned, S::greeting, {A::adopt, A::greet})
      .on(E::spawned_anew, S::greeting, {A::adopt, A::count_restart, A::lose_gone, A::greet})
      .on(E::spawned_unfollowed, S::ending,
          {A::adopt, A::lose_gone, A::say_unfollowed, A::expect_exit, A::terminate, A::start_grace})
      .on(E::resumed_greeting, S::greeting, {A::adopt, A::await_welcome})
      .on(E::resumed_ready, S::ready, {A::adopt, A::serve})
      .on(E::orphan_met, S::asking_alive, {A::adopt, A::ask_alive})
      .on(E::spawn_failed, S::not_started, {A::note_no_process, A::lose_no_process, A::give_up})
      .on(E::restart, S::spawning, {A::forgive})
      .on(E::stop, S::halting_spawn, {A::refuse_stopped})
      .on(E::close, S::stopping_spawn)
      .ignore({E::want, E::replace})
      .else_impossible();
  lives_replaceable(table, S::greeting)
      .on(E::welcomed, S::ready, {A::serve})
      .on(E::stop, S::halting, kHaltUngreeted)
      .on(E::close, S::ending, {A::expect_exit, A::terminate, A::start_grace})
      .ignore({E::want})
      .else_impossible();
  lives_replaceable(table, S::asking_alive)
      .on(E::answered_alive, S::ready, {A::serve})
      .on(E::stop, S::halting, kHaltUngreeted)
      .on(E::close, S::ending, {A::expect_exit, A::terminate, A::start_grace})
      .ignore({E::want})
      .else_impossible();

  // Runs.
  lives_replaceable(table, S::ready)
      .on(E::renew, S::replacing, {A::carry_over, A::terminate, A::start_grace})
      .on(E::editor_shuts_down, S::leaving)
      .on(E::stop, S::halting, {A::refuse_stopped, A::expect_exit, A::ask_shutdown, A::start_grace})
      .on(E::idle, S::resting, {A::expect_exit, A::ask_shutdown, A::start_grace})
      .on(E::close, S::shutting_down, {A::expect_exit, A::ask_shutdown, A::start_grace})
      .ignore({E::want})
      .else_impossible();
  {
    auto rows = in(table, S::leaving);
    for (const E exit : kExits) rows.on(exit, S::closed, {A::lose_exited, A::say_stopped, A::release});
    rows.on(E::faulted, S::ending, {A::kill})
        .on(E::restart, S::ending, {A::forgive, A::terminate, A::start_grace})
        .on(E::stop, S::ending, {A::expect_exit, A::say_exit, A::start_grace})
        .on(E::close, S::ending, {A::expect_exit, A::say_exit, A::start_grace})
        .ignore({E::want, E::replace, E::editor_shuts_down})
        .else_impossible();
  }

  // Ends, and another process follows.
  lives(table, S::failing)
      .on(E::grace_over, S::failing, {A::kill})
      .on(E::stop, S::halting, {A::refuse_stopped, A::expect_exit})
      .on(E::close, S::ending, {A::expect_exit})
      .ignore({E::want, E::replace, E::faulted, E::answered_alive})
      .else_impossible();
  {
    auto rows = in(table, S::replacing);
    for (const E exit : {E::exited_once, E::exited_again, E::exited_too_often})
      rows.on(exit, S::spawning, {A::lose_replaced, A::count_restart, A::spawn});
    rows.on(E::exited_unfollowed, S::closed, {A::lose_replaced, A::say_unfollowed, A::release})
        .on(E::faulted, S::replacing, {A::kill})
        .on(E::grace_over, S::replacing, {A::kill})
        .on(E::restart, S::replacing, {A::forgive})
        .on(E::shutdown_answered, S::replacing, {A::say_exit})
        .on(E::stop, S::halting, {A::refuse_stopped, A::expect_exit})
        .on(E::close, S::ending, {A::expect_exit})
        .ignore({E::want, E::replace, E::answered_alive})
        .else_impossible();
  }

  // Ends, and another process follows when one is needed.
  {
    auto rows = in(table, S::resting);
    for (const E exit : kExits) rows.on(exit, S::not_started, {A::lose_idle});
    rows.on(E::want, S::replacing)
        .on(E::shutdown_answered, S::resting, {A::say_exit})
        .on(E::faulted, S::resting, {A::kill})
        .on(E::grace_over, S::resting, {A::kill})
        .on(E::restart, S::resting, {A::forgive})
        .on(E::stop, S::halting, {A::refuse_stopped})
        .on(E::close, S::ending)
        .ignore({E::replace, E::answered_alive})
        .else_impossible();
  }

  // Ends, and no process follows until lsp.restart.
  {
    auto rows = in(table, S::halting_spawn);
    for (const E event : kSpawned) {  // one that was ready before is asked; another takes no request yet
      const A says = event == E::resumed_ready ? A::ask_shutdown : A::say_exit;
      rows.on(event, S::halting, {A::adopt, A::expect_exit, says, A::start_grace});
    }
    rows.on(E::spawn_failed, S::stopped, {A::lose_stopped, A::refuse_stopped})
        .on(E::want, S::halting_spawn, {A::refuse_stopped})
        .on(E::restart, S::spawning, {A::forgive})
        .on(E::close, S::stopping_spawn)
        .ignore({E::replace, E::stop})
        .else_impossible();
  }
  {
    auto rows = in(table, S::halting);
    for (const E exit : {E::exited_once, E::exited_again, E::exited_too_often})
      rows.on(exit, S::stopped, {A::lose_stopped, A::refuse_stopped});
    rows.on(E::exited_unfollowed, S::closed, {A::lose_stopped, A::say_unfollowed, A::release})
        .on(E::shutdown_answered, S::halting, {A::say_exit})
        .on(E::faulted, S::halting, {A::kill})
        .on(E::grace_over, S::halting, {A::kill})
        .on(E::want, S::halting, {A::refuse_stopped})
        .on(E::restart, S::replacing, {A::forgive})
        .on(E::close, S::ending)
        .ignore({E::replace, E::stop, E::answered_alive})
        .else_impossible();
  }

  // Ends for good.
  {
    auto rows = ends(table, S::stopping_spawn);
    for (const E event : kSpawned) rows.on(event, S::ending, {A::adopt, A::expect_exit, A::kill});
    rows.on(E::spawn_failed, S::closed, {A::lose_no_process, A::say_stopped, A::release}).else_impossible();
  }
  ends(table, S::shutting_down)
      .on(E::shutdown_answered, S::ending, {A::say_exit})
      .on(E::faulted, S::ending, {A::kill})
      .on(E::grace_over, S::ending, {A::kill})
      .else_impossible();
  ends(table, S::ending)
      .on(E::shutdown_answered, S::ending, {A::say_exit})
      .on(E::faulted, S::ending, {A::kill})
      .on(E::grace_over, S::ending, {A::kill})
      .ignore({E::welcomed, E::answered_alive})
      .else_impossible();
  table.in(S::closed)
      .on(E::want, S::closed, {A::say_stopped})
      .ignore({E::restart, E::stop, E::replace, E::close, E::abandon, E::back_off_over})
      .ignore(kSpawned)  // it dies with its process object
      .ignore({E::spawn_failed})
      .else_impossible();
  return table;
}

template <class Enum, std::size_t N>
[[nodiscard]] std::string_view at(const std::array<std::string_view, N>& names, Enum e) {
  const auto i = static_cast<std::size_t>(e);
  return i < N ? names[i] : std::string_view();
}

}  // namespace

std::string_view name(ServerState state) {
  static constexpr std::array<std::string_view, 18> kNames{
      "not_started", "spawning", "greeting",       "asking_alive",  "ready",   "leaving",
      "replacing",   "failing",  "backing_off",    "failed",        "resting", "halting_spawn",
      "halting",     "stopped",  "stopping_spawn", "shutting_down", "ending",  "closed"};
  return at(kNames, state);
}

std::string_view name(ServerEvent event) {
  static constexpr std::array<std::string_view, 28> kNames{"want",
                                                           "restart",
                                                           "stop",
                                                           "idle",
                                                           "exceeded",
                                                           "replace",
                                                           "renew",
                                                           "spawned",
                                                           "spawned_anew",
                                                           "spawned_unfollowed",
                                                           "resumed_greeting",
                                                           "resumed_ready",
                                                           "orphan_met",
                                                           "spawn_failed",
                                                           "welcomed",
                                                           "answered_alive",
                                                           "faulted",
                                                           "editor_shuts_down",
                                                           "shutdown_answered",
                                                           "exited_once",
                                                           "exited_again",
                                                           "exited_too_often",
                                                           "exited_unfollowed",
                                                           "back_off_over",
                                                           "no_timer",
                                                           "grace_over",
                                                           "close",
                                                           "abandon"};
  return at(kNames, event);
}

std::string_view name(ServerAction action) {
  static constexpr std::array<std::string_view, 35> kNames{
      "spawn",          "adopt",           "greet",         "await_welcome", "ask_alive",        "serve",
      "carry_over",     "record_crash",    "count_restart", "lose_exited",   "lose_crashed",     "lose_replaced",
      "lose_gone",      "lose_no_process", "lose_idle",     "lose_stopped",  "announce_restart", "back_off",
      "note_too_often", "note_no_process", "note_no_timer", "give_up",       "say_stopped",      "say_unfollowed",
      "refuse_stopped", "revive",          "forgive",       "expect_exit",   "ask_shutdown",     "say_exit",
      "terminate",      "start_grace",     "kill",          "drop",          "release"};
  return at(kNames, action);
}

const ServerLife& server_life() {
  static const ServerLife kTable = make_table();
  return kTable;
}

std::string_view shown_as(ServerState state) {
  switch (state) {
    case S::not_started:
      return "not_started";
    case S::spawning:
    case S::greeting:
    case S::asking_alive:
    case S::replacing:
    case S::failing:
      return "starting";
    case S::ready:
    case S::leaving:
      return "ready";
    case S::backing_off:
      return "backing_off";
    case S::failed:
      return "failed";
    case S::resting:
    case S::halting_spawn:
    case S::halting:
    case S::stopping_spawn:
    case S::shutting_down:
    case S::ending:
      return "stopping";
    case S::stopped:
    case S::closed:
      return "stopped";
  }
  return "stopped";
}

}  // namespace gantry::lsp
