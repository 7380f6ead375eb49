// SPDX-License-Identifier: Apache-2.0
//
// session.hpp: one language server over its lives: start, handshake, crash, back-off, restart, end.
//
// Who owns which thread. Handlers, timers and started processes come serially from the host; the
// server's messages from the reactor. They meet in the session's mutex, and what follows from a
// step (bytes to flush, items for an editor, permits to give back) is collected in DeferredActions
// and done after the mutex is released. Messages for the server are enqueued under the mutex, so
// their order is that of the decisions; whoever comes next flushes them. An answer for an editor is
// sent by the reactor's thread itself: no thread is changed on the way of a hover.
//
// What may happen, and what then follows, is the table of server_life.hpp. Session performs its actions, and makes
// events of what comes of them.
//
// Who owns which thread. Handlers, timers and started processes come serially from the host; the server's messages from
// the reactor. They meet in the session's mutex, and what follows from a step (processes to start or to signal, bytes
// to flush, items for an editor, permits to give back) is collected in DeferredActions and done after the mutex is
// released. A step of the life, and what it changes in the session, is one section of that mutex: so no message is
// passed on between the step to `ready` and what the server must be told first. The strand of the life is always idle
// when the mutex is taken; it serves for events that come of an action. Messages for the server are enqueued under the
// mutex, so their order is that of the decisions; whoever comes next flushes them. An answer for an editor is sent by
// the reactor's thread itself: no thread is changed on the way of a hover.
//
// Reload: suspend() and restore() (handover.cpp) carry a session from one instance of the plugin to
// the next; its server does not notice.
//
// Never: anything of the session's server alive when its `hold` of close() is let go; a second process at the same
// time.
#pragma once

#include <gantry/mutex.hpp>
#include <gantry/permits.hpp>
#include <gantry/restart_window.hpp>
#include <gantry/state_machine.hpp>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/lsp/config.hpp"
#include "plugins/lsp/context.hpp"
#include "plugins/lsp/envelope.hpp"
#include "plugins/lsp/last_failure.hpp"
#include "plugins/lsp/process.hpp"
#include "plugins/lsp/server_life.hpp"
#include "plugins/lsp/told_languages.hpp"

namespace gantry::lsp {

/// What a step leaves to be done without the lock.
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
  /// For a server whose plugin has died, to say that it is there.
  static constexpr std::chrono::seconds kRecoveryTimeout{5};
  /// So often a note tells of the last id.
  static constexpr long long kIdsNoted = 1'000'000;

  ~Session() override;

  /// Ends: `shutdown`, `exit`, and after kExitGrace the group is killed. `hold` lives until nothing is left.
  void close(std::shared_ptr<void> hold);
  /// Kills the process and starts anew; the crashes so far are forgiven.
  void restart();
  /// These are open by now.
  void workspaces_are(const std::vector<std::string>& workspaces);
  /// The daemon stops: kills at once; no thread of the plugin runs any more.
  void destroy();

  /// For the instance of the plugin that comes next, as text of CBOR when it is written down: all
  /// that restore() needs. Closed from here on. Its server lives on, or is killed when nobody could
  /// go on with it. Once no other thread of the plugin runs.
  [[nodiscard]] json suspend();
  /// Goes on. The first call. Throws json::exception when `suspended` is not what suspend() has
  /// made.
  void restore(const json& suspended);

  /// Goes on with the server that runs under this name, and whose plugin has died: if it answers. The first call.
  /// `note`: as note_process() was told; throws json::exception when it is not.
  void recover(const std::string& name, const json& note);

  [[nodiscard]] bool closed() const;
  /// The server is on its way out.
  [[nodiscard]] bool closing() const;
  [[nodiscard]] const ServerConfig& config() const { return config_; }
  [[nodiscard]] json describe() const;

 protected:
  Session(std::shared_ptr<Context> context, ServerConfig config, std::string root, const char* kind);

  // The derived class's part. All but settle() with the lock held.
  /// The time that the server has to answer `initialize`; 0: no limit.
  [[nodiscard]] virtual std::chrono::seconds initialize_timeout() const = 0;
  /// The params of `initialize`, as raw text.
  [[nodiscard]] virtual std::string initialize_params() GANTRY_REQUIRES(mutex_) = 0;
  /// The handshake was answered; what the server must know first is enqueued here. An error: it cannot serve.
  [[nodiscard]] virtual Result<void> initialized(std::string_view text, const Envelope& answer, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_) = 0;
  /// The server is ready; what waited may go.
  virtual void ready(DeferredActions& fx) GANTRY_REQUIRES(mutex_) = 0;
  /// The process ends for a reason that its callers need not know: what is in flight and may be repeated waits for the
  /// next process.
  virtual void carry_over(DeferredActions&) GANTRY_REQUIRES(mutex_) {}
  /// Any message but the answers that the session itself waits for. False: hold further ones back.
  virtual void message(std::string_view text, const Envelope& envelope, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_) = 0;
  /// Could another process go on with what is open? If not: why.
  [[nodiscard]] virtual Result<void> may_follow() const GANTRY_REQUIRES(mutex_) { return {}; }
  /// The process is gone: what was in flight fails with `error`. A restart may follow.
  virtual void down(const Error& error, DeferredActions& fx) GANTRY_REQUIRES(mutex_) = 0;
  /// No restart follows: what waits fails too.
  virtual void gave_up(const Error& error, DeferredActions& fx) GANTRY_REQUIRES(mutex_) = 0;
  [[nodiscard]] virtual std::size_t clients() const GANTRY_REQUIRES(mutex_) = 0;
  [[nodiscard]] virtual Scan scan_mode() const = 0;
  /// The derived class's part of suspend() and restore(). What is open is the next one's: nothing
  /// is answered here.
  [[nodiscard]] virtual json suspend_own(DeferredActions& fx) GANTRY_REQUIRES(mutex_) = 0;
  virtual void restore_own(const json& suspended) GANTRY_REQUIRES(mutex_) = 0;
  virtual void recover_own(const json& note) GANTRY_REQUIRES(mutex_) = 0;
  /// It was restored before its server was asked for.
  virtual void not_begun(DeferredActions&) GANTRY_REQUIRES(mutex_) {}
  /// Those that its server works in.
  [[nodiscard]] virtual std::vector<std::string> folders() const GANTRY_REQUIRES(mutex_) = 0;
  /// For recover().
  [[nodiscard]] json note() const GANTRY_REQUIRES(mutex_);
  void note_at_process(const json& note) GANTRY_REQUIRES(mutex_);
  /// Does what DeferredActions say. False: the receiver of the items wants no more for now.
  virtual bool settle(DeferredActions& fx);

  /// What happens next in the life.
  void step(ServerEvent event, DeferredActions& fx) GANTRY_REQUIRES(mutex_) { step(event, Facts{.fx = &fx}); }
  /// Restarts a server that works in one of these workspaces and may not write there, since it was started before: what
  /// a process may open cannot grow.
  void widen(const std::vector<std::string>& workspaces, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void set_root(std::string root) GANTRY_REQUIRES(mutex_) { root_ = std::move(root); }
  [[nodiscard]] ServerState state() const GANTRY_REQUIRES(mutex_) { return machine_.state(); }
  /// The server takes messages: it is ready, and not too much waits for it.
  [[nodiscard]] bool takes_messages() const GANTRY_REQUIRES(mutex_) {
    return is_serving(state()) && process_ && process_->backlog() <= ServerProcess::kHighWater;
  }
  /// The process is killed for a fault of its own; a crash follows that tells `reason`.
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
  /// An event, when the lock is released. name, root and kind are added.
  void publish_later(std::string topic, json details, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  /// A document of it was opened.
  void language_opened(const std::string& language, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void cancel_at_server(long long id, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  /// An answer under this raw id, for which nobody waits. One that was never given is logged, once.
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
  /// What an event is about; actions of a step may add to it for those that follow.
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

  /// Of the instance before.
  struct Restored {
    std::string name;  ///< of the process
    bool ready = false;
    bool leaving = false;
    long long initialize_id = -1;
    ServerProcess::Suspended suspended{};
    bool orphaned = false;  ///< nobody has suspended it
  };

  const ServerConfig config_;
  const char* const kind_;
  Strand strand_;
  Machine machine_ GANTRY_GUARDED_BY(mutex_);
  std::string root_ GANTRY_GUARDED_BY(mutex_);
  std::shared_ptr<ServerProcess> process_ GANTRY_GUARDED_BY(mutex_);
  std::optional<Restored> restored_ GANTRY_GUARDED_BY(mutex_);  ///< until its process is there again
  long long last_id_ GANTRY_GUARDED_BY(mutex_) = 0;
  // Of our own requests that are not answered; -1: none.
  long long initialize_id_ GANTRY_GUARDED_BY(mutex_) = -1;
  long long shutdown_id_ GANTRY_GUARDED_BY(mutex_) = -1;
  long long alive_id_ GANTRY_GUARDED_BY(mutex_) = -1;
  std::optional<TimerId> welcome_timer_ GANTRY_GUARDED_BY(mutex_);  ///< while `initialize` is not answered
  RestartWindow crashes_ GANTRY_GUARDED_BY(mutex_);
  Backoff backoff_ GANTRY_GUARDED_BY(mutex_);
  std::size_t restarts_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool noise_reported_ GANTRY_GUARDED_BY(mutex_) = false;
  bool stray_answer_reported_ GANTRY_GUARDED_BY(mutex_) = false;
  LastFailure failure_ GANTRY_GUARDED_BY(mutex_);
  std::string kill_reason_ GANTRY_GUARDED_BY(mutex_);  ///< why we killed the process; says more than the signal
  std::vector<std::shared_ptr<void>> holds_ GANTRY_GUARDED_BY(mutex_);
  std::vector<std::string> workspaces_ GANTRY_GUARDED_BY(mutex_);  ///< as workspaces_are() has told last
  std::set<std::string> widened_for_ GANTRY_GUARDED_BY(mutex_);    ///< workspaces that it was restarted for
  ToldLanguages languages_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::lsp
