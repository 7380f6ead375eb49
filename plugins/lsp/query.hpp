// SPDX-License-Identifier: Apache-2.0
//
// query.hpp: one request for a server, or one wait for diagnostics, on its way: permit, file system, session, answer.
//
// Thread rule: begin() in the handler; everything else from any thread. The query is answered once:
//   by the server, its time-out, the caller's leaving, or a failure, whichever comes first.
// Time: a request has [async] lsp_request_timeout_seconds in all, including the wait for a permit, unless its caller
//   names a time; diagnostics, and the wait for a server that works (`settled`), have the time that their caller names.
#pragma once

#include <atomic>
#include <functional>
#include <gantry/permits.hpp>
#include <gantry/result.hpp>
#include <memory>
#include <optional>
#include <string>

#include "plugins/lsp/config.hpp"
#include "plugins/lsp/context.hpp"
#include "plugins/lsp/edits/overlay.hpp"
#include "plugins/lsp/files.hpp"

namespace gantry::lsp {

class Registry;
class SharedSession;

class Query : public std::enable_shared_from_this<Query> {
 public:
  /// `settled`: the answer is true when the server has no progress to report, false when the time is over. `overlay`:
  /// the answer is an object with the diagnostics of each path, null when the time is over.
  enum class Kind { request, notification, diagnostics, settled, overlay };
  struct Ask {
    Kind kind = Kind::request;
    std::string path;
    std::string language;
    ServerConfig server;
    std::string method;  // not for diagnostics
    json params;
    std::optional<Duration> wait;  // for requests: instead of the configured time
    std::uint64_t origin = 0;      // of the client that asks
    /// For workspace/executeCommand: the edit that the command wants the client to apply is not applied, and is the
    /// answer, as the params of workspace/applyEdit; null: the command has sent none.
    bool keeps_edit = false;
    std::shared_ptr<const Overlay> overlay;  ///< of the kind that is called so; null for others
  };
  using Done = std::move_only_function<void(Result<std::string>)>;
  /// The file as it was on the disk. Without text: the session knows the file. The text is quoted
  /// here, where no thread waits for a lock.
  struct Snapshot {
    FileInfo info;
    std::string real_path;  // of a file
    std::optional<std::string> quoted_text;
    std::size_t hash = 0;
  };

  /// `done` gets the raw text of the result; any thread.
  Query(std::shared_ptr<Context> context, std::shared_ptr<Registry> registry, Ask ask, Done done);

  void begin();
  /// Its caller wants no answer any more.
  void cancel() { refuse(Error{ErrorKind::cancelled, "cancelled", {}}); }
  /// Reads the file and passes the query to the session; on the worker. Called again when the
  /// session has lost the document.
  void resolve_later();

  [[nodiscard]] const Ask& ask() const { return ask_; }
  [[nodiscard]] bool done() const { return done_.load(std::memory_order_acquire); }
  /// The session took the query. `id`: of the request that was sent, or 0.
  void taken(const std::shared_ptr<SharedSession>& session, long long id);
  [[nodiscard]] long long sent_id() const;
  /// The session will try again. Returns how often it has.
  [[nodiscard]] unsigned pauses();
  void give_permit_back();

  void answer(std::string raw);
  void refuse(const Error& error);

 private:
  void granted(Permit permit);
  void resolve();
  [[nodiscard]] Result<std::shared_ptr<SharedSession>> find_session(const std::string& folder) const;
  void expired();
  void end(Result<std::string> result);
  [[nodiscard]] Duration time() const { return ask_.wait.value_or(context_->timeout()); }

  const std::shared_ptr<Context> context_;
  const std::shared_ptr<Registry> registry_;
  const Ask ask_;
  Done answer_;  // used by the thread that set done_
  std::atomic<bool> done_{false};

  mutable Mutex mutex_;
  Permit permit_ GANTRY_GUARDED_BY(mutex_);
  std::uint64_t ticket_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::optional<TimerId> timer_ GANTRY_GUARDED_BY(mutex_);
  std::weak_ptr<SharedSession> session_ GANTRY_GUARDED_BY(mutex_);
  long long sent_id_ GANTRY_GUARDED_BY(mutex_) = 0;
  unsigned retries_ GANTRY_GUARDED_BY(mutex_) = 0;
  const char* stage_ GANTRY_GUARDED_BY(mutex_) = "waited for a free permit";
};

/// A question about the file or folder at `path`, for the server that speaks its language. `not_found`: the language or
/// its server; `permission_denied`: the server would run code that is not trusted.
[[nodiscard]] Result<Query::Ask> ask_about(const Settings& settings, std::string path,
                                           const std::optional<std::string>& language);

}  // namespace gantry::lsp
