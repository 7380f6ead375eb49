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
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/lsp/config.hpp"
#include "plugins/lsp/server_runner.hpp"
#include "plugins/lsp/server_user.hpp"
#include "plugins/lsp/told_languages.hpp"

namespace gantry::lsp {

class Session : public ServerUser {
 public:
  ~Session() override;

  /// Ends the server, and kills it when it does not exit in time. `hold` is released when no process is left.
  void close(const std::shared_ptr<void>& hold);
  /// Kills the process and starts anew; the crashes so far are forgiven.
  void restart();
  /// lsp.stop: ends the process, and starts no other until restart(). False: there was none.
  bool stop();
  /// As stop(), or as restart() of a session that was stopped, whichever is in force by now: the session was away.
  void agree_with(bool stopped);
  /// Other settings are in force.
  virtual void settings_are_new() {}
  /// The clients that use the server: the editors that are attached to it, or the callers that have asked it since it
  /// was started and are still connected.
  struct Use {
    std::uint64_t origin = 0;
    std::size_t requests = 0;  ///< that were sent to the server for it
  };
  [[nodiscard]] std::vector<Use> used_by() const;
  /// This client has left.
  virtual void client_left(std::uint64_t) {}
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
  /// True: the server is one of editors, at which the session is a guest (guest.hpp).
  [[nodiscard]] bool is_guest() const {
    Lock lock(mutex_);
    return server_.is_guest();
  }
  /// The session whose server is this one's, too; null: the server is its own.
  [[nodiscard]] virtual std::shared_ptr<const Session> host_of_guest() const { return nullptr; }
  /// True: the session is ending.
  [[nodiscard]] bool closing() const;
  [[nodiscard]] const ServerConfig& config() const { return config_; }
  [[nodiscard]] json describe() const;

 protected:
  Session(std::shared_ptr<Context> context, ServerConfig config, std::string root, const char* kind);

  // The derived class's part, besides ServerUser.
  [[nodiscard]] virtual std::size_t clients() const GANTRY_REQUIRES(mutex_) = 0;
  [[nodiscard]] virtual std::vector<Use> users() const GANTRY_REQUIRES(mutex_) = 0;
  /// The folders that the server works in.
  [[nodiscard]] virtual std::vector<std::string> folders() const GANTRY_REQUIRES(mutex_) = 0;
  /// The parts of suspend(), restore() and recover(). Open requests pass to the next instance: none is answered here.
  [[nodiscard]] virtual json suspend_own(DeferredActions& fx) GANTRY_REQUIRES(mutex_) = 0;
  virtual void restore_own(const json& suspended) GANTRY_REQUIRES(mutex_) = 0;
  virtual void recover_own(const json& note) GANTRY_REQUIRES(mutex_) = 0;
  /// The session was restored before its server was asked for.
  virtual void not_begun(DeferredActions&) GANTRY_REQUIRES(mutex_) {}

  [[nodiscard]] const std::string& root() const override GANTRY_REQUIRES(mutex_) { return root_; }
  void set_root(std::string root) GANTRY_REQUIRES(mutex_) { root_ = std::move(root); }
  /// Adds name, root and kind to `details`.
  void publish_later(std::string topic, json details, DeferredActions& fx) override GANTRY_REQUIRES(mutex_);
  /// A document in this language was opened.
  void language_opened(const std::string& language, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  /// The server answered under this raw id, and nobody waits for that. An id that no request had is logged, once.
  void nobody_waits(std::string_view id, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  /// Restarts a server that works in one of these workspaces and may not write there, since the workspace was opened
  /// after the start: the folders of a process cannot grow.
  void widen(const std::vector<std::string>& workspaces, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  /// The common part of the note for recover().
  [[nodiscard]] json note() const GANTRY_REQUIRES(mutex_);
  bool settle(DeferredActions& fx) override;

  /// A function object that calls the member function, and does nothing once the session is gone.
  template <class S, class... Args>
  [[nodiscard]] auto later(void (S::*function)(Args...)) {
    return [weak = weak_from_this(), function](Args... args) {
      if (const auto self = weak.lock()) (static_cast<S&>(*self).*function)(std::move(args)...);
    };
  }

  const std::shared_ptr<Context> context_;

 private:
  void process_came(DeferredActions& fx) final GANTRY_REQUIRES(mutex_) { widen(workspaces_, fx); }

  const ServerConfig config_;
  const char* const kind_;
  std::string root_ GANTRY_GUARDED_BY(mutex_);
  bool stray_answer_reported_ GANTRY_GUARDED_BY(mutex_) = false;
  std::vector<std::string> workspaces_ GANTRY_GUARDED_BY(mutex_);  ///< the last argument of workspaces_are()
  std::set<std::string> widened_for_ GANTRY_GUARDED_BY(mutex_);    ///< workspaces that the server was restarted for
  ToldLanguages languages_ GANTRY_GUARDED_BY(mutex_);

 protected:
  ServerRunner server_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::lsp
