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
// Life:   idle -> starting -> ready -> (crash) -> backing_off -> starting ...
//         five crashes within three minutes: failed, until restart(). close(): closing -> closed, for good.
// The first restart happens at once, the next after 200 ms, doubling to 30 s.
//
// Reload: suspend() and restore() (handover.cpp) carry a session from one instance of the plugin to
// the next; its server does not notice.
//
// Never: anything of the session's server alive when its `hold` of close() is let go; a second process at the same
// time.
#pragma once

#include <deque>
#include <gantry/mutex.hpp>
#include <gantry/permits.hpp>
#include <gantry/retry.hpp>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/lsp/config.hpp"
#include "plugins/lsp/context.hpp"
#include "plugins/lsp/envelope.hpp"
#include "plugins/lsp/process.hpp"

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
  enum class State { idle, starting, ready, backing_off, failed, closing, closed };
  static constexpr std::size_t kMaxCrashes = 5;
  static constexpr std::chrono::minutes kCrashWindow{3};
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
  /// The state is ready; what waited may go.
  virtual void ready(DeferredActions& fx) GANTRY_REQUIRES(mutex_) = 0;
  /// Any message but the answers that the session itself waits for. False: hold further ones back.
  virtual void message(std::string_view text, const Envelope& envelope, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_) = 0;
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

  void start(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void end(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  /// Restarts a server that works in one of these workspaces and may not write there, since it was started before: what
  /// a process may open cannot grow.
  void widen(const std::vector<std::string>& workspaces, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  /// Kills it to start anew at once; no crash is counted.
  void replace_process() GANTRY_REQUIRES(mutex_);
  /// The exit that follows is not a crash.
  void exit_is_wanted() GANTRY_REQUIRES(mutex_) { exit_wanted_ = true; }
  void set_root(std::string root) GANTRY_REQUIRES(mutex_) { root_ = std::move(root); }
  [[nodiscard]] State state() const GANTRY_REQUIRES(mutex_) { return state_; }
  /// The server takes messages: it is ready, and not too much waits for it.
  [[nodiscard]] bool takes_messages() const GANTRY_REQUIRES(mutex_) {
    return state_ == State::ready && process_ && process_->backlog() <= ServerProcess::kHighWater;
  }
  /// Kills the process for a fault of its own; a crash follows that tells `reason`.
  void kill_for(std::string reason) GANTRY_REQUIRES(mutex_);
  void resume_output() GANTRY_REQUIRES(mutex_) {
    if (process_) process_->resume();
  }
  [[nodiscard]] const std::string& root() const GANTRY_REQUIRES(mutex_) { return root_; }
  [[nodiscard]] Error last_error() const GANTRY_REQUIRES(mutex_);
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

  void started(Result<std::shared_ptr<ServerProcess>> process);
  void greet(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void await_welcome() GANTRY_REQUIRES(mutex_);
  void end_welcome_time() GANTRY_REQUIRES(mutex_);
  struct Restored {
    std::string name;  ///< of the process
    bool ready = false;
    long long initialize_id = -1;
    ServerProcess::Suspended suspended{};
    bool orphaned = false;  ///< nobody has suspended it
  };
  void ask_whether_alive(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void meet(std::optional<Restored> taken, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void welcomed(std::string_view text, const Envelope& envelope, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void crashed(const std::string& reason, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void log_failure(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void back_off(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void begin_close(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void say_exit(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void become_closed(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void kill_later() GANTRY_REQUIRES(mutex_);

  [[nodiscard]] bool handshake_pending() const GANTRY_REQUIRES(mutex_) { return initialize_id_ >= 0 || alive_id_ >= 0; }

  const ServerConfig config_;
  const char* const kind_;
  std::string root_ GANTRY_GUARDED_BY(mutex_);
  State state_ GANTRY_GUARDED_BY(mutex_) = State::idle;
  std::shared_ptr<ServerProcess> process_ GANTRY_GUARDED_BY(mutex_);
  std::optional<Restored> restored_ GANTRY_GUARDED_BY(mutex_);  ///< until its process is there again
  long long last_id_ GANTRY_GUARDED_BY(mutex_) = 0;
  long long initialize_id_ GANTRY_GUARDED_BY(mutex_) = -1;
  std::optional<TimerId> welcome_timer_ GANTRY_GUARDED_BY(mutex_);  ///< while `initialize` is not answered
  long long shutdown_id_ GANTRY_GUARDED_BY(mutex_) = -1;
  long long alive_id_ GANTRY_GUARDED_BY(mutex_) = -1;  ///< of the question whether it is in order
  bool exit_wanted_ GANTRY_GUARDED_BY(mutex_) = false;
  bool restart_wanted_ GANTRY_GUARDED_BY(mutex_) = false;
  std::deque<TimePoint> crashes_ GANTRY_GUARDED_BY(mutex_);
  Backoff backoff_ GANTRY_GUARDED_BY(mutex_);
  std::size_t restarts_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool noise_reported_ GANTRY_GUARDED_BY(mutex_) = false;
  bool stray_answer_reported_ GANTRY_GUARDED_BY(mutex_) = false;
  std::string last_error_ GANTRY_GUARDED_BY(mutex_);
  std::string kill_reason_ GANTRY_GUARDED_BY(mutex_);  // why we killed it; says more than the signal
  std::string last_tail_ GANTRY_GUARDED_BY(mutex_);
  ErrorKind last_kind_ GANTRY_GUARDED_BY(mutex_) = ErrorKind::unavailable;
  std::vector<std::shared_ptr<void>> holds_ GANTRY_GUARDED_BY(mutex_);
  static constexpr std::size_t kMaxLanguage = 64;
  static constexpr std::size_t kMaxLanguages = 256;
  std::vector<std::string> workspaces_ GANTRY_GUARDED_BY(mutex_);  ///< as workspaces_are() has told last
  std::set<std::string> widened_for_ GANTRY_GUARDED_BY(mutex_);    ///< workspaces that it was restarted for
  std::set<std::string> languages_ GANTRY_GUARDED_BY(mutex_);      ///< that were told
};

[[nodiscard]] const char* name_of(Session::State state);

}  // namespace gantry::lsp
