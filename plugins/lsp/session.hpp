// SPDX-License-Identifier: Apache-2.0
//
// session.hpp: one language server over its lives: start, handshake, crash, back-off, restart, end.
//
// server_life.hpp has the table of what may happen, and what then follows. Session performs the
// actions of the table, and turns their results into events.
//
// Who owns which thread. Handlers, timers and started processes come serially from the host; the
// server's messages from the reactor. They meet in the session's mutex, and the consequences of a
// step (processes to start or to signal, bytes to flush, items for an editor, permits to give back)
// are collected in DeferredActions and performed after the mutex is released. A step of the life,
// and its changes to the session, are one section of that mutex: so no message is passed on between
// the step to `ready` and the messages that the server must get first. The strand of the life is
// always idle when the mutex is taken; it serves for events that an action causes. Messages for the
// server are enqueued under the mutex, so their order is that of the decisions; any thread may
// flush them. The reactor's thread itself sends an answer to an editor: a hover changes no thread
// on its way.
//
// Reload: suspend() and restore() (handover.cpp) carry a session from one instance of the plugin to
// the next; its server notices nothing.
//
// Never: a process of the session's server is alive when the `hold` of close() is released; the
// session has two processes at the same time.
#pragma once

#include <gantry/mutex.hpp>
#include <gantry/permits.hpp>
#include <gantry/state_machine.hpp>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/lsp/config.hpp"
#include "plugins/lsp/context.hpp"
#include "plugins/lsp/crash_history.hpp"
#include "plugins/lsp/envelope.hpp"
#include "plugins/lsp/last_failure.hpp"
#include "plugins/lsp/process.hpp"
#include "plugins/lsp/server_life.hpp"
#include "plugins/lsp/told_languages.hpp"

namespace gantry::lsp {

/// The consequences of a step that are performed without the lock.
struct DeferredActions {
  std::vector<std::string> items;  ///< for the editor
  std::shared_ptr<ServerProcess> flush;
  std::vector<Permit> permits;
  std::vector<std::move_only_function<void()>> run;
  bool want_permit = false;
};

class Session : public ProcessEvents, public std::enable_shared_from_this<Session> {
 public:
  static constexpr std::chrono::seconds kExitGrace{2};
  /// The time in which a server whose plugin has died has to answer.
  static constexpr std::chrono::seconds kRecoveryTimeout{5};
  /// A note of the last id is left after this many ids.
  static constexpr long long kIdsNoted = 1'000'000;

  ~Session() override;

  /// Ends the server: `shutdown`, `exit`, and after kExitGrace the group is killed. `hold` is
  /// released when nothing is left.
  void close(std::shared_ptr<void> hold);
  /// Kills the process and starts anew; forgets the crashes so far.
  void restart();
  /// The workspaces that are open by now.
  void workspaces_are(const std::vector<std::string>& workspaces);
  /// The daemon stops: kills at once; no thread of the plugin runs any more.
  void destroy();

  /// The state for restore() in the plugin's next instance, written as CBOR. Closes this session.
  /// The server lives on, or is killed if no instance could go on with it. Called when no other
  /// thread of the plugin runs.
  [[nodiscard]] json suspend();
  /// Resumes a session. The first call on it. Throws json::exception when `suspended` does not come
  /// from suspend().
  void restore(const json& suspended);

  /// Goes on with the server that runs under this name, and whose plugin has died, if the server
  /// answers. The first call on the session. `note`: the argument of note_process(); throws
  /// json::exception for any other text.
  void recover(const std::string& name, const json& note);

  [[nodiscard]] bool closed() const;
  /// True: the session is ending.
  [[nodiscard]] bool closing() const;
  [[nodiscard]] const ServerConfig& config() const { return config_; }
  [[nodiscard]] json describe() const;

 protected:
  Session(std::shared_ptr<Context> context, ServerConfig config, std::string root, const char* kind);

  // Overridden by the derived classes. All but settle() are called with the lock held.
  /// The time that the server has to answer `initialize`; 0: no limit.
  [[nodiscard]] virtual std::chrono::seconds initialize_timeout() const = 0;
  /// The params of `initialize`, as raw text.
  [[nodiscard]] virtual std::string initialize_params() GANTRY_REQUIRES(mutex_) = 0;
  /// `initialize` was answered: enqueue the messages that the server must get first. An error: the
  /// server cannot serve.
  [[nodiscard]] virtual Result<void> initialized(std::string_view text, const Envelope& answer, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_) = 0;
  /// The server is ready; messages that waited may go.
  virtual void ready(DeferredActions& fx) GANTRY_REQUIRES(mutex_) = 0;
  /// The process ends for a reason that callers need not know: requests in flight that may be
  /// repeated wait for the next process.
  virtual void carry_over(DeferredActions&) GANTRY_REQUIRES(mutex_) {}
  /// Any message except the answers that the session itself waits for. False: send no further ones
  /// for now.
  virtual void message(std::string_view text, const Envelope& envelope, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_) = 0;
  /// An error, if another process could not go on with the open documents and requests.
  [[nodiscard]] virtual Result<void> may_follow() const GANTRY_REQUIRES(mutex_) { return {}; }
  /// The process is gone: requests in flight fail with `error`. A restart may follow.
  virtual void down(const Error& error, DeferredActions& fx) GANTRY_REQUIRES(mutex_) = 0;
  /// No restart follows: requests that wait fail, too.
  virtual void gave_up(const Error& error, DeferredActions& fx) GANTRY_REQUIRES(mutex_) = 0;
  [[nodiscard]] virtual std::size_t clients() const GANTRY_REQUIRES(mutex_) = 0;
  [[nodiscard]] virtual Scan scan_mode() const = 0;
  /// The derived class's part of suspend() and restore(). Open requests pass to the next instance:
  /// nothing is answered here.
  [[nodiscard]] virtual json suspend_own(DeferredActions& fx) GANTRY_REQUIRES(mutex_) = 0;
  virtual void restore_own(const json& suspended) GANTRY_REQUIRES(mutex_) = 0;
  virtual void recover_own(const json& note) GANTRY_REQUIRES(mutex_) = 0;
  /// The session was restored before its server was asked for.
  virtual void not_begun(DeferredActions&) GANTRY_REQUIRES(mutex_) {}
  /// The folders that its server works in.
  [[nodiscard]] virtual std::vector<std::string> folders() const GANTRY_REQUIRES(mutex_) = 0;
  /// The note for recover().
  [[nodiscard]] json note() const GANTRY_REQUIRES(mutex_);
  void note_at_process(const json& note) GANTRY_REQUIRES(mutex_);
  /// Performs the deferred actions. False: the receiver of the items takes no more for now.
  virtual bool settle(DeferredActions& fx);

  /// Handles an event of the life.
  void step(ServerEvent event, DeferredActions& fx) GANTRY_REQUIRES(mutex_) { step(event, Facts{.fx = &fx}); }
  /// Restarts a server that works in one of these workspaces but was started before, and so may not
  /// write there: the rights of a process cannot grow.
  void widen(const std::vector<std::string>& workspaces, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void set_root(std::string root) GANTRY_REQUIRES(mutex_) { root_ = std::move(root); }
  [[nodiscard]] ServerState state() const GANTRY_REQUIRES(mutex_) { return machine_.state(); }
  /// True: the server is ready, and not too many bytes wait for it.
  [[nodiscard]] bool takes_messages() const GANTRY_REQUIRES(mutex_) {
    return is_serving(state()) && process_ && process_->backlog() <= ServerProcess::kHighWater;
  }
  /// Kills the process for a fault of its own; a crash with `reason` follows.
  void fault(std::string reason, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void resume_output() GANTRY_REQUIRES(mutex_) {
    if (process_) process_->resume();
  }
  [[nodiscard]] const std::string& root() const GANTRY_REQUIRES(mutex_) { return root_; }
  [[nodiscard]] long long next_id() GANTRY_REQUIRES(mutex_) { return ++last_id_; }
  void to_server(std::string_view message, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void send_to_server(const json& message, DeferredActions& fx) GANTRY_REQUIRES(mutex_) {
    to_server(dump_json(message), fx);
  }
  void to_server_with_id(std::string_view message, std::string_view id, std::string_view new_id, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_);
  /// Publishes an event once the lock is released. Adds name, root and kind to it.
  void publish_later(std::string topic, json details, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  /// A document of this language was opened.
  void language_opened(const std::string& language, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void cancel_at_server(long long id, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  /// Handles an answer under this raw id that nobody waits for. An id that was never given is
  /// logged, once.
  void nobody_waits(std::string_view id, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void cancel_initialize(DeferredActions& fx) GANTRY_REQUIRES(mutex_) {
    if (initialize_id_ >= 0) cancel_at_server(initialize_id_, fx);
  }
  [[nodiscard]] std::weak_ptr<Session> weak() { return weak_from_this(); }

  const std::shared_ptr<Context> context_;
  mutable Mutex mutex_;

 private:
  // ProcessEvents, on the reactor's thread.
  bool on_message(ServerProcess& from, std::string_view text) final;
  void on_skipped(ServerProcess& from, std::string_view beginning) final;
  void on_noise(ServerProcess& from, std::string_view beginning) final;
  void on_exit(ServerProcess& from, const std::string& reason) final;

  // The life.
  /// The data of an event; the actions of a step may add to it for the actions behind them.
  struct Facts {
    DeferredActions* fx = nullptr;
    std::shared_ptr<ServerProcess> process{};
    std::string reason{};
  };
  using Machine = StateMachine<ServerState, ServerEvent, ServerAction, Facts>;
  void step(ServerEvent event, Facts facts) GANTRY_REQUIRES(mutex_) { machine_.post(event, std::move(facts)); }
  void perform(const Machine::Step& step, Facts& facts) GANTRY_REQUIRES(mutex_);
  void started(Result<std::shared_ptr<ServerProcess>> process);
  [[nodiscard]] ServerEvent spawned(const ServerProcess& process) const GANTRY_REQUIRES(mutex_);
  void spawn(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void adopt(std::shared_ptr<ServerProcess> process) GANTRY_REQUIRES(mutex_);
  void greet(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void await_welcome() GANTRY_REQUIRES(mutex_);
  void end_welcome_time() GANTRY_REQUIRES(mutex_);
  void ask_alive(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void welcomed(std::string_view text, const Envelope& envelope, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void record_crash(Facts& facts) GANTRY_REQUIRES(mutex_);
  void lose(std::string reason, Facts& facts) GANTRY_REQUIRES(mutex_);
  void announce_restart(Duration delay, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void back_off(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void ask_shutdown(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void say_exit(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void start_grace(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void signal(int number, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void log_later(Level level, std::string line, DeferredActions& fx) GANTRY_REQUIRES(mutex_);

  /// State from the instance before.
  struct Restored {
    std::string name;  ///< of the process
    bool ready = false;
    bool leaving = false;
    long long initialize_id = -1;
    ServerProcess::Suspended suspended{};
    bool orphaned = false;  ///< the instance died and suspended nothing
  };

  const ServerConfig config_;
  const char* const kind_;
  Strand strand_;
  Machine machine_ GANTRY_GUARDED_BY(mutex_);
  std::string root_ GANTRY_GUARDED_BY(mutex_);
  std::shared_ptr<ServerProcess> process_ GANTRY_GUARDED_BY(mutex_);
  std::optional<Restored> restored_ GANTRY_GUARDED_BY(mutex_);  ///< until its process is there again
  long long last_id_ GANTRY_GUARDED_BY(mutex_) = 0;
  // The ids of the session's own open requests; -1: none.
  long long initialize_id_ GANTRY_GUARDED_BY(mutex_) = -1;
  long long shutdown_id_ GANTRY_GUARDED_BY(mutex_) = -1;
  long long alive_id_ GANTRY_GUARDED_BY(mutex_) = -1;
  std::optional<TimerId> welcome_timer_ GANTRY_GUARDED_BY(mutex_);  ///< while `initialize` is not answered
  CrashHistory crashes_ GANTRY_GUARDED_BY(mutex_);
  std::size_t restarts_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool noise_reported_ GANTRY_GUARDED_BY(mutex_) = false;
  bool stray_answer_reported_ GANTRY_GUARDED_BY(mutex_) = false;
  LastFailure failure_ GANTRY_GUARDED_BY(mutex_);
  std::string kill_reason_ GANTRY_GUARDED_BY(mutex_);  ///< why the session killed it; more exact than the signal
  std::vector<std::shared_ptr<void>> holds_ GANTRY_GUARDED_BY(mutex_);
  std::vector<std::string> workspaces_ GANTRY_GUARDED_BY(mutex_);  ///< the last argument of workspaces_are()
  std::set<std::string> widened_for_ GANTRY_GUARDED_BY(mutex_);    ///< workspaces that the server was restarted for
  ToldLanguages languages_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::lsp
