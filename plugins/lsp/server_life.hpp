// SPDX-License-Identifier: Apache-2.0
//
// server_life.hpp: the life of a language server's session as one table of states, events and
// actions.
//
// The table is pure. Session performs the actions and turns their results into events
// (session.hpp); tests/unit/lsp/server_life.cpp walks through the whole table; docs/lsp-life.md
// shows it.
//
// A session has at most one process. The end of the process is one of the four `exited_*` events,
// by the crashes of the last minutes and by whether a successor could go on
// with the open documents and requests.
#pragma once

#include <cstdint>
#include <gantry/restart_window.hpp>
#include <gantry/state_machine.hpp>
#include <string_view>

namespace gantry::lsp {

enum class ServerState : std::uint8_t {
  not_started,     ///< no process; the next call starts one
  spawning,        ///< the host was asked for a process
  greeting,        ///< the process was sent `initialize`
  asking_alive,    ///< the process was left by a plugin that has died, and is asked whether it is in order
  ready,           ///< the process takes messages
  leaving,         ///< as ready; its editor has asked it to shut down, so its exit is no crash
  replacing,       ///< the process was told to end, and another follows at once
  failing,         ///< the process was killed for a fault, or told to end for its memory; its exit is a crash
  backing_off,     ///< no process; one is started when the back-off is over
  failed,          ///< no process, until lsp.restart: it has crashed too often
  resting,         ///< nobody has asked for long: the process was sent `shutdown`, and the next call starts another
  halting_spawn,   ///< lsp.stop; the host has not answered yet whether there is a process
  halting,         ///< lsp.stop; the process was sent `shutdown`, or told to exit
  stopped,         ///< no process, until lsp.restart: lsp.stop was called
  stopping_spawn,  ///< the session ends; the host has not answered yet whether there is a process
  shutting_down,   ///< the session ends; the process was sent `shutdown`
  ending,          ///< the session ends; the process was told to exit, or killed
  closed,          ///< for good
};

enum class ServerEvent : std::uint8_t {
  want,                ///< a call needs the server
  restart,             ///< lsp.restart
  stop,                ///< lsp.stop
  idle,                ///< nobody has asked for long, and nothing is under way
  exceeded,            ///< the process uses more memory than its limit
  replace,             ///< a new process may do what this one may not
  renew,               ///< the process cannot learn what has changed on the disk
  spawned,             ///< the host has started a process
  spawned_anew,        ///< ... since the one that was to be taken over is gone
  spawned_unfollowed,  ///< ... likewise; but no successor can go on with what is open
  resumed_greeting,    ///< the process that the instance before has left is there; `initialize` is not answered
  resumed_ready,       ///< ... and it was ready
  orphan_met,          ///< the process of an instance that has died is there
  spawn_failed,        ///< the host has no process for it
  welcomed,            ///< `initialize` was answered, and the server can serve
  answered_alive,      ///< the server has answered whether it is in order
  faulted,             ///< the server broke the protocol, refused to serve, or was silent for too long
  editor_shuts_down,   ///< the editor sent `shutdown`
  shutdown_answered,   ///< our `shutdown` was answered
  exited_once,         ///< the process is gone; there was no crash lately
  exited_again,        ///< ... and there was one
  exited_too_often,    ///< ... and there were too many
  exited_unfollowed,   ///< ... and no successor can go on with what is open
  back_off_over,
  no_timer,    ///< the host has no timer for the back-off
  grace_over,  ///< the process had its time to exit
  close,       ///< nobody needs the session any more, or it may not run
  abandon,     ///< this instance of the plugin ends at once, or has handed the session over
};

enum class ServerAction : std::uint8_t {
  spawn,          ///< ask the host for a process
  adopt,          ///< the process is the session's
  greet,          ///< send `initialize`
  await_welcome,  ///< watch the time that `initialize` may take
  ask_alive,      ///< send a request that any server answers
  serve,          ///< what waits may go
  carry_over,     ///< calls in flight that may be repeated wait for the next process
  record_crash,   ///< it counts, and is logged
  count_restart,
  lose_exited,       ///< calls in flight fail: the server has exited
  lose_crashed,      ///< ... it has crashed
  lose_replaced,     ///< ... it is being restarted
  lose_gone,         ///< ... it ended while the plugin was reloaded
  lose_no_process,   ///< ... likewise, and there is no other
  lose_idle,         ///< there are none; what was open is forgotten
  lose_stopped,      ///< calls in flight fail: lsp.stop
  announce_restart,  ///< lsp.server.restarting
  back_off,          ///< announce it, and wake when the back-off is over
  note_too_often,    ///< the last error says that it is not started again
  note_no_process,   ///< ... why there is no process
  note_no_timer,     ///< ... that the host has no timer
  give_up,           ///< what waits fails with the last error
  say_stopped,       ///< what waits fails: the server was stopped
  say_unfollowed,    ///< what waits fails: what was open is lost
  refuse_stopped,    ///< what waits fails: lsp.stop, and what to do; the session stays
  revive,            ///< the session may start a process again, and does if it needs one
  forgive,           ///< the crashes so far
  expect_exit,       ///< that it closes its output is no fault
  ask_shutdown,      ///< send `shutdown`
  say_exit,          ///< send `exit`, and close its input
  terminate,         ///< SIGTERM
  start_grace,       ///< wake when its time to exit is over
  kill,              ///< SIGKILL, for all that it has started
  drop,              ///< kill it without a word
  release,           ///< whoever waits for the end is told
};

[[nodiscard]] std::string_view name(ServerState state);
[[nodiscard]] std::string_view name(ServerEvent event);
[[nodiscard]] std::string_view name(ServerAction action);

using ServerLife = TransitionTable<ServerState, ServerEvent, ServerAction>;
/// The one table of all sessions.
[[nodiscard]] const ServerLife& server_life();

/// So many crashes within so long are the last. The first restart happens at once, the others after a back-off.
inline constexpr int kMaxCrashes = 5;
inline constexpr std::chrono::minutes kCrashWindow{3};
/// What the exit of a process is after these crashes.
[[nodiscard]] inline ServerEvent exit_event(const RestartWindow& crashes, TimePoint now) {
  if (!crashes.has_room(now, kMaxCrashes - 1, kCrashWindow)) return ServerEvent::exited_too_often;
  return crashes.has_room(now, 1, kCrashWindow) ? ServerEvent::exited_once : ServerEvent::exited_again;
}

/// What lsp.servers says.
[[nodiscard]] std::string_view shown_as(ServerState state);
/// True: the server takes messages.
[[nodiscard]] constexpr bool is_serving(ServerState state) {
  return state == ServerState::ready || state == ServerState::leaving;
}
/// True: lsp.stop was called, and lsp.restart was not since.
[[nodiscard]] constexpr bool is_stopped(ServerState state) {
  return state == ServerState::halting_spawn || state == ServerState::halting || state == ServerState::stopped;
}
/// True: the session ends, and its process has not ended yet.
[[nodiscard]] constexpr bool is_stopping(ServerState state) {
  return state == ServerState::stopping_spawn || state == ServerState::shutting_down || state == ServerState::ending;
}
/// True: the plugin's next instance can go on with the process.
[[nodiscard]] constexpr bool may_hand_over(ServerState state) {
  return state == ServerState::greeting || is_serving(state);
}
/// True: the process is held to its memory limit: it lives, and is not told to end.
[[nodiscard]] inline bool is_limited(ServerState state) {
  return server_life().at(state, ServerEvent::exceeded).kind == TransitionKind::step;
}
/// True: another process may replace the present one.
[[nodiscard]] inline bool is_replaceable(ServerState state) {
  return server_life().at(state, ServerEvent::replace).kind == TransitionKind::step;
}

}  // namespace gantry::lsp
