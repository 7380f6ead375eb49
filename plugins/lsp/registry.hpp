// SPDX-License-Identifier: Apache-2.0
//
// registry.hpp: the live sessions and calls, and the settings in force.
//
// Thread rule: any thread. settings() returns an immutable snapshot.
// Bounds: kMaxShared shared servers: for a further one, the unused server with the oldest request
// is stopped, and when all are in use the call is `overloaded`. kMaxAttached editors. kMaxStopped names of servers for
// which lsp.stop was called.
// Never: a session or a call is added after stop() or destroy().
#pragma once

#include <gantry/plugin.hpp>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plugins/lsp/attach.hpp"
#include "plugins/lsp/config.hpp"
#include "plugins/lsp/edits/proposals.hpp"
#include "plugins/lsp/query.hpp"
#include "plugins/lsp/shared.hpp"

namespace gantry::lsp {

/// An editors' session that was handed over, until the first of its streams comes; and its streams.
struct SuspendedSession {
  json session;                             ///< the result of Session::suspend()
  std::weak_ptr<AttachSession> restored{};  ///< since the first has come
};
struct SuspendedEditor {
  std::shared_ptr<SuspendedSession> session;
  std::vector<std::string> unsent;
};

class Registry : public std::enable_shared_from_this<Registry> {
 public:
  static constexpr std::size_t kMaxShared = 32;
  static constexpr std::size_t kMaxAttached = 64;

  static constexpr std::size_t kMaxStopped = 256;

  explicit Registry(std::shared_ptr<Context> context) : context_(std::move(context)), proposals_(context_->instance) {}

  void configure(Settings settings);
  [[nodiscard]] std::shared_ptr<const Settings> settings() const;

  /// lsp.stop: servers of this name end, and none starts until restart_server(). Returns how many processes there were.
  /// `overloaded`: too many names.
  [[nodiscard]] Result<std::size_t> stop_server(const std::string& server);
  /// lsp.restart. Returns the number of sessions.
  [[nodiscard]] std::size_t restart_server(const std::string& server);
  /// `unavailable`: lsp.stop was called for this server.
  [[nodiscard]] Result<void> may_start(const std::string& server) const;
  /// This client has left.
  void client_left(std::uint64_t origin);

  /// The session for this server and root; made, but not started, when there is none. `place`: the
  /// path that it is asked for. nullptr: the settings `seen` are no longer in force, and so perhaps
  /// `config` is outdated.
  [[nodiscard]] Result<std::shared_ptr<SharedSession>> shared(const ServerConfig& config, const std::string& root,
                                                              const std::string& place,
                                                              const std::shared_ptr<const Settings>& seen);
  /// `editors`: that come with it; `overloaded`: they are too many.
  [[nodiscard]] Result<void> add(std::shared_ptr<AttachSession> session, std::size_t editors);
  /// Another session than those that the client is unlike, which a client with this key may join; or null.
  [[nodiscard]] std::shared_ptr<AttachSession> session_for(const std::string& key, const Client& client) const;
  /// The server of editors that callers of this root may share, of several the one with the innermost folder; or null.
  [[nodiscard]] std::shared_ptr<AttachSession> editors_of(const ServerConfig& config, const std::string& root) const;
  [[nodiscard]] bool add(const std::shared_ptr<Query>& query);
  void remove(const Query& query);

  [[nodiscard]] std::vector<std::shared_ptr<AttachSession>> attached() const;
  [[nodiscard]] std::vector<std::shared_ptr<Session>> sessions() const;

  /// The edits that wait to be applied.
  [[nodiscard]] Proposals& proposals() { return proposals_; }
  /// The first of these files (paths without symbolic links) that an attached editor has open with a text that is not
  /// on the disk. An editor whose texts are too large to be followed (documents.hpp) is not asked. On the worker.
  [[nodiscard]] std::optional<std::string> unsaved_in_editor(const std::vector<std::string>& real_paths) const;
  /// The version of a document that is open in a shared server of this name; nothing: it is open in none.
  [[nodiscard]] std::optional<long long> version_of(const std::string& server, const std::string& path) const;

  /// Gives everything to the plugin's next instance. Called when no other thread of the plugin
  /// runs.
  void hand_over(const Stopping& stopping);
  /// Restores the shared sessions that were handed over. Returns the editors, by the ids of their
  /// streams.
  [[nodiscard]] std::unordered_map<std::uint64_t, SuspendedEditor> restore(const std::string& handed_over);

  /// Takes over a server of a dead instance, which left this note. False: the server cannot be
  /// used.
  [[nodiscard]] bool recover(const std::string& process, const std::string& note);
  /// Makes the query wait until recovery_ended(), so that it does not start a second server. False:
  /// it need not wait.
  [[nodiscard]] bool wait_for_recovery(const std::shared_ptr<Query>& query);
  void recovery_ended();

  /// Ends everything; `hold` is released when nothing is left.
  void stop(const std::shared_ptr<void>& hold);
  /// Kills all servers, when no thread of the plugin runs.
  void destroy();

 private:
  [[nodiscard]] std::shared_ptr<SharedSession> make_shared_session(const ServerConfig& config, const std::string& root);
  void refuse_queries();
  [[nodiscard]] std::shared_ptr<SharedSession> make_room() GANTRY_REQUIRES(mutex_);
  [[nodiscard]] std::vector<std::shared_ptr<SharedSession>> take_those_that_may_not_run() GANTRY_REQUIRES(mutex_);

  struct Shared {
    std::shared_ptr<SharedSession> session;
    std::string place;  ///< the last path that it was asked for
    std::uint64_t used = 0;
  };

  const std::shared_ptr<Context> context_;
  Proposals proposals_;
  mutable Mutex mutex_;
  mutable Mutex settings_mutex_;  ///< a leaf: sessions ask with their own lock held, which is taken under mutex_
  std::shared_ptr<const Settings> settings_ GANTRY_GUARDED_BY(settings_mutex_) = std::make_shared<Settings>();
  std::set<std::string> stopped_ GANTRY_GUARDED_BY(settings_mutex_);
  std::map<std::pair<std::string, std::string>, Shared> shared_ GANTRY_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<AttachSession>> attached_ GANTRY_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<SharedSession>> leaving_ GANTRY_GUARDED_BY(mutex_);
  std::unordered_map<const Query*, std::weak_ptr<Query>> queries_ GANTRY_GUARDED_BY(mutex_);
  std::uint64_t uses_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool stopping_ GANTRY_GUARDED_BY(mutex_) = false;
  bool recovering_ GANTRY_GUARDED_BY(mutex_) = true;
  std::vector<std::shared_ptr<Query>> waiting_ GANTRY_GUARDED_BY(mutex_);  ///< each has a permit
};

}  // namespace gantry::lsp
