// SPDX-License-Identifier: Apache-2.0
//
// server_runner.hpp: one language server over its lives: start, handshake, crash, back-off, restart, end; and the way
// of messages to it and from it.
//
// The table of server_life.hpp says which event is followed by which actions. ServerRunner performs the actions, and
// turns their outcomes into events. It is a part of its user, and lives as long.
//
// Thread rule: public functions are called with the user's lock held, in a Section. Timers and started processes come
// serially from the host, the server's messages from the reactor: each opens a section of its own. A step of the life
// and its changes at the user are one section: so no request is sent between the step to `ready` and the messages that
// the server must get first. The strand of the life is always idle when a section begins; it orders the events that
// actions cause.
// Never: a process of the server is alive when the `hold` of close() is released; two processes at the same time.
#pragma once

#include <chrono>
#include <cstddef>
#include <gantry/json.hpp>
#include <gantry/state_machine.hpp>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/lsp/config.hpp"
#include "plugins/lsp/last_failure.hpp"
#include "plugins/lsp/positions/translation.hpp"
#include "plugins/lsp/server_life.hpp"
#include "plugins/lsp/server_user.hpp"
#include "plugins/lsp/usage.hpp"

namespace gantry::lsp {

class ServerRunner final : public ConnectionEvents {
 public:
  static constexpr std::chrono::seconds kExitGrace{2};
  /// A process that was above its memory limit at so many checks in a row, this far apart, is replaced: a peak while
  /// a file is parsed is none.
  static constexpr unsigned kChecksAbove = 2;
  static constexpr std::chrono::seconds kMemoryCheck{5};
  /// The time in which a server whose plugin has died must answer.
  static constexpr std::chrono::seconds kRecoveryTimeout{5};
  /// A message of the server that is nested deeper is skipped. The host takes none from a client or a plugin, either.
  static constexpr std::size_t kMaxDepth = 512;
  /// The note at the process is renewed after this many ids.
  static constexpr long long kIdsNoted = 1'000'000;

  /// `user` and `config` outlive the runner. `root`: the user's root now, which seeds the jitter of the back-off.
  ServerRunner(ServerUser& user, std::shared_ptr<Context> context, const ServerConfig& config, const std::string& root);

  // ---- the life
  /// Feeds an event to the table.
  void step(ServerEvent event, DeferredActions& fx) { step(event, Facts{.fx = &fx}); }
  [[nodiscard]] ServerState state() const { return machine_.state(); }
  /// Ends the server: `shutdown`, `exit`, and after kExitGrace the process group is killed. `hold` is released when no
  /// process is left.
  void close(const std::shared_ptr<void>& hold, DeferredActions& fx);
  /// lsp.stop: `shutdown`, `exit`, and after kExitGrace the process group is killed. False: there was no process.
  bool stop(DeferredActions& fx);
  /// Kills the process for a fault of its own; a crash with this `reason` follows.
  void fault(std::string reason, DeferredActions& fx);
  /// The folders in which the process may write: fixed at its start. Null: there is no process that may be replaced
  /// now.
  [[nodiscard]] const std::vector<std::string>* writable() const;
  /// True: the server is one of editors, at which the user is a guest (guest.hpp).
  [[nodiscard]] bool is_guest() const { return process_ && !process_->owns_process(); }
  /// Adds the members of lsp.servers that are about the process: state, restarts, pid, last_error, stderr_tail.
  void describe(json& out) const;

  // ---- messages to the server; kept for the process of the instance before, dropped while there is no process, and
  // when lsp.stop ends it
  /// The server is ready, and its backlog is small.
  [[nodiscard]] bool takes_messages() const {
    return is_serving(state()) && process_ && process_->backlog() <= ServerConnection::kHighWater;
  }
  void send(std::string_view message, DeferredActions& fx);
  void notify(const std::string& method, const json& params, DeferredActions& fx) {
    send(dump_json({{"jsonrpc", "2.0"}, {"method", method}, {"params", params}}), fx);
  }
  void send_with_id(std::string_view message, std::string_view id, std::string_view new_id, DeferredActions& fx);
  /// Sends `$/cancelRequest` for this id.
  void cancel(long long id, DeferredActions& fx);
  void cancel_initialize(DeferredActions& fx) {
    if (initialize_id_ >= 0) cancel(initialize_id_, fx);
  }
  /// An id for a request: unique over restarts and reloads.
  [[nodiscard]] long long next_id() { return ++last_id_; }
  [[nodiscard]] long long last_id() const { return last_id_; }
  /// Reads the server's output again, which a false Section::end() has stopped.
  void resume_output() {
    if (process_) process_->resume();
  }

  // ---- from one instance of the plugin to the next, unnoticed by the server (handover.cpp, recovery.cpp)
  /// Adds the members that restore() needs to `out`, and closes the life. The process lives on, or is killed when no
  /// instance could go on with it. Only while no other thread of the plugin runs.
  void suspend(json& out, DeferredActions& fx);
  /// Goes on with the process of the instance before. The first call; the user is restored before. False: the server
  /// had not been started yet. Throws json::exception when `suspended` does not come from suspend().
  [[nodiscard]] bool restore(const json& suspended, DeferredActions& fx);
  /// Goes on with the process of this name, whose plugin has died, if it answers within kRecoveryTimeout. The first
  /// call. Throws json::exception when `note` does not come from add_to_note().
  void recover(const std::string& name, const json& note, DeferredActions& fx);
  /// The members of a note that recover() needs.
  void add_to_note(json& note) const;
  /// Stores the note at the host's entry of the process, for recovery after this plugin's death.
  void note(const json& note) const;

 private:
  // ConnectionEvents, on the reactor's thread; those of a guest in turns of the handlers.
  bool on_message(ServerConnection& from, std::string_view text) override;
  void on_drained(ServerConnection& from) override;
  void on_skipped(ServerConnection& from, std::string_view beginning) override;
  void on_noise(ServerConnection& from, std::string_view beginning) override;
  void on_exit(ServerConnection& from, const std::string& reason) override;

  /// The data of an event; an action may change them for the actions after it.
  struct Facts {
    DeferredActions* fx = nullptr;
    std::shared_ptr<ServerConnection> process{};
    std::string reason{};
    bool blameless = false;  ///< of an exit: it is no crash
  };
  using Machine = StateMachine<ServerState, ServerEvent, ServerAction, Facts>;
  void step(ServerEvent event, Facts facts) { machine_.post(event, std::move(facts)); }
  void perform(ServerAction action, Facts& facts);
  /// Sends a message of our own.
  void say(std::string_view message, DeferredActions& fx);
  void spawn(DeferredActions& fx);
  void started(Result<std::shared_ptr<ServerConnection>> process);
  [[nodiscard]] ServerEvent spawned(const ServerConnection& process) const;
  void adopt(std::shared_ptr<ServerConnection> process, DeferredActions& fx);
  void greet(DeferredActions& fx);
  void await_welcome();
  void end_welcome_time();
  void welcomed(std::string_view text, DeferredActions& fx);
  [[nodiscard]] static std::optional<std::string> text_of_file(const std::string& path);
  void ask_alive(DeferredActions& fx);
  void skip(std::string_view beginning, const std::string& what, ErrorKind kind, DeferredActions& fx);
  void report_noise(std::string_view beginning, DeferredActions& fx);
  void record_crash(Facts& facts);
  void lose(std::string reason, Facts& facts);
  void announce_restart(Duration delay, DeferredActions& fx);
  void back_off(DeferredActions& fx);
  void say_exit(DeferredActions& fx);
  void start_grace(DeferredActions& fx);
  void signal(int number, DeferredActions& fx);
  // The memory limit (memory_limit.cpp).
  void watch_memory();
  void look_at_memory(const std::shared_ptr<ServerConnection>& process, DeferredActions& fx);
  void memory_is(const std::shared_ptr<ServerConnection>& process, const std::optional<Usage>& usage);
  /// Sends a request of our own. `params`: raw text, or empty.
  void request(long long id, const std::string& method, const std::string& params, DeferredActions& fx);
  /// Calls `task(fx)` after `delay`, in a section, unless the user is gone by then.
  template <class Task>
  std::optional<TimerId> after(Duration delay, Task task);

  /// The server's part of suspend() of the instance before.
  struct Restored {
    std::string name;  ///< of the process
    bool ready = false;
    bool leaving = false;
    long long initialize_id = -1;
    ServerConnection::Suspended suspended{};
    std::set<Encoding> offered{};
    std::unique_ptr<PositionTranslation> positions{};
    bool orphaned = false;  ///< the plugin died: only the name is known

    /// Before the process is there, by who does not wait in a queue of the user's: answers to its questions and
    /// cancellations, no more than it and its clients have asked; changed settings; what a leaving client closes.
    std::vector<std::string> said{};
  };

  ServerUser& user_;
  const std::shared_ptr<Context> context_;
  const ServerConfig& config_;
  Strand strand_;
  Machine machine_;
  std::shared_ptr<ServerConnection> process_;
  std::optional<Restored> restored_;  ///< until its process is there again
  long long last_id_ = 0;
  // Ids of the runner's own open requests; -1: none.
  long long initialize_id_ = -1;
  long long shutdown_id_ = -1;
  long long alive_id_ = -1;
  std::optional<TimerId> welcome_timer_;            ///< while `initialize` is not answered
  std::set<Encoding> offered_;                      ///< to the process, of positions
  std::unique_ptr<PositionTranslation> positions_;  ///< null: the process counts as was offered
  RestartWindow crashes_;
  Backoff backoff_;
  std::size_t restarts_ = 0;
  LastFailure failure_;
  std::string kill_reason_;    ///< why the process was killed from here; says more than the signal
  unsigned checks_above_ = 0;  ///< in a row, in which the process used more memory than its limit
  bool noise_reported_ = false;
  std::vector<std::shared_ptr<void>> holds_;
};

}  // namespace gantry::lsp
