// SPDX-License-Identifier: Apache-2.0
//
// shared.hpp: one language server for one root, shared by all callers that are no editor (scripts,
// agents): that of the editors of the root, if there is one, at which the session is a guest (guest.hpp), else a
// process of its own.
//
// The server sees files as they are on the disk: before each request the file is opened in the
//   server, or changed when its text has changed. So are all other documents that are open in the
//   server: for it their text comes from the plugin, not from the disk. Each is checked (stat)
//   before each request, whatever the watch has reported; documents whose files are gone are
//   closed. The plugin answers the server's own requests from the configuration.
//
// Other changes on the disk, in the root and the workspace around it, are detected at the next call
// (watch.hpp) and reported before it (`workspace/didChangeWatchedFiles`); a document may depend on
// them, so the server gets its text again, as a new version. A clangd is restarted when the
// compilation database or its flags change: it would not look for half a minute. A server is also
// restarted when more has changed than the watch has seen. A guest restarts nobody's server.
//
// Diagnostics are kept for the files that are open in the server, with the version that they are
// for. `fresh` means that they are for the text that the server got last, and that no change has
// been seen since; a server that names no version has first to answer a later request about the file
// (shared_done.cpp), and to say nothing else for kLongQuietTime. Many servers publish an empty list as soon as they get
// a text, and the real one when they have checked it. So an empty list is not fresh while the server reports progress,
// nor, if it is the first for its text, before kQuietTime has passed without another; a second one that names the
// version is believed at once, and so is each list that is not empty. A clangd's progress is that of an index on which
// diagnostics do not depend: it is believed when it is done with the document (shared_done.cpp). A server that may be
// asked for diagnostics is asked, and believed (shared_pull.cpp). A server that publishes under the path that a
// symbolic link leads to means the document that was opened by the link, unless it publishes under the path of the
// link, too.
//
// An overlay shows the server other texts for a moment; all other queries wait meanwhile (shared_overlay.cpp).
//
// A command may want the client to apply an edit. Nothing is applied here: the server is told so. If the command's
// caller wants the edit (Query::Ask::keeps_edit), and no other command runs at the same time, the edit is the caller's
// answer.
//
// A request that only reads is repeated when the server answers that its content was modified, or
//   that the server has cancelled it: kMaxRetries times, with a pause before each, within the
//   caller's time (shared_retry.cpp).
//
// Thread rule: any thread; see session.hpp.
// Bounds: kMaxDocuments open, a guest's kMaxGuestDocuments (the one unused for longest is closed), kMaxWaiting calls
//   that wait for the server or for diagnostics, kMaxDiagnostics bytes kept for a file (longer lists count as
//   not sent). At most kMaxTexts bytes of changed documents are sent before one request; the other
//   documents are closed, so that the server reads the disk, and opened again for the next request
//   about them. kMaxUsers clients are named as users; of more, those that asked last.
//
// A server that nobody has asked for [lsp] idle_stop_seconds ends, and the next call starts another
// (shared_use.cpp).
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plugins/lsp/query.hpp"
#include "plugins/lsp/session.hpp"
#include "plugins/lsp/standing.hpp"
#include "plugins/lsp/watch.hpp"

namespace gantry::lsp {

class AttachSession;

/// The answer for a file without any known diagnostics.
[[nodiscard]] std::string no_diagnostics(const std::string& path);

class SharedSession final : public Session {
 public:
  static constexpr std::size_t kMaxDocuments = 100;
  /// At a server of editors, who look at the disk for each of them.
  static constexpr std::size_t kMaxGuestDocuments = 16;
  static constexpr std::size_t kMaxWaiting = 256;
  static constexpr std::size_t kMaxDiagnostics = std::size_t{4} << 20;
  static constexpr std::size_t kMaxTexts = std::size_t{16} << 20;
  /// Long enough for a second list that follows the first as soon as a file of usual size is
  /// checked, or for progress to begin; short enough to wait for at each text without errors.
  static constexpr std::chrono::milliseconds kQuietTime{400};
  /// ... of a server that names no versions, after a change: more than such servers wait before they check.
  static constexpr std::chrono::milliseconds kLongQuietTime{1500};
  static constexpr unsigned kMaxRetries = 3;
  static constexpr std::size_t kMaxUsers = 32;
  /// A clangd that has nothing to do, and has not said by now that it looks at the headers, will not.
  static constexpr std::chrono::milliseconds kParseTime{1000};
  /// The pause before the first retry; it doubles for each further one.
  static constexpr std::chrono::milliseconds kFirstPause{100};

  /// A server of editors that runs for this root; null: there is none. Any thread, without a lock.
  using FindEditors =
      std::function<std::shared_ptr<AttachSession>(const ServerConfig& config, const std::string& root)>;

  SharedSession(std::shared_ptr<Context> context, ServerConfig config, std::string root, FindEditors find_editors)
      : Session(std::move(context), std::move(config), std::move(root), "shared"),
        find_editors_(std::move(find_editors)) {}

  /// Lets go of a process of its own that nobody asks now, if editors have a server of this root: the next call is
  /// asked there. On the worker.
  void prefer_editors();
  [[nodiscard]] std::shared_ptr<const Session> host_of_guest() const override {
    Lock lock(mutex_);
    return server_.is_guest() ? editors_.lock() : nullptr;
  }

  /// Looks for changes on the disk and reports them to the server. On the worker, before the next
  /// functions.
  void look_around(const std::vector<std::string>& workspaces);
  /// Compares the open documents, except for `but`, with the disk, and reports changes to the
  /// server. On the worker, after look_around().
  void look_at_documents(const std::string& but);
  /// True: the server has got the file's content of this stamp, and nothing has changed that it may
  /// depend on.
  [[nodiscard]] bool knows(const std::string& path, const FileStamp& stamp) const;
  void run(std::shared_ptr<Query> query, Query::Snapshot snapshot);
  /// The query has ended for a reason of its own; cancels the request that was sent for it.
  void forget(const Query& query);
  /// The present answer of lsp.diagnostics.
  [[nodiscard]] std::string diagnostics_of(const std::string& path) const;
  /// Of the document, if it is open.
  [[nodiscard]] std::optional<long long> version_of(const std::string& path) const;
  /// True: the server reports progress: it indexes, or checks.
  [[nodiscard]] bool works() const {
    Lock lock(mutex_);
    return standing_.in_progress();
  }
  [[nodiscard]] std::size_t calls() const {
    Lock lock(mutex_);
    return clients();
  }
  void settings_are_new() override;
  void client_left(std::uint64_t origin) override;

 private:
  /// What the server has answered to textDocument/diagnostic.
  struct Pull {
    long long request = 0;             // the id of the one that is open; 0: none
    long long asked = 0;               // the version that it is about
    bool failed = false;               // that one was answered by an error, which asking again does not mend
    std::optional<long long> version;  // of `list`
    std::string list;                  // raw array, or empty: none came
  };
  struct Document {
    long long version = 0;
    FileStamp stamp;
    std::size_t hash = 0;  // of the text that the server got last
    std::uint64_t used = 0;
    std::string real_path;               // some servers publish under it
    bool named = false;                  // the server has published under the path that it was opened with
    bool changed = false;                // since the document was opened
    bool disturbed = false;              // another file has changed since the server got the text last
    std::optional<long long> diagnosed;  // the version that `diagnostics` are for
    long long published_at = 0;          // the version that the document had when they came
    std::string diagnostics;             // raw array, or empty: none came
    bool heard = false;                  // some diagnostics came for `version`
    bool says_version = false;           // the server names the version with the diagnostics of this document
    long long seen = 0;                  // a version that a server which names none has seen (shared_done.cpp)
    long long trusted_from = 0;          // diagnostics for earlier versions, or for none if it is not 0, are dropped
    /// From this time on an empty list is believed; max(): not while there is progress.
    TimePoint quiet_until = TimePoint::min();
    Pull pull;
    // shared_done.cpp
    bool idle = true;               // it has nothing to do for the document, as far as it (a clangd) has said
    bool parses = true;             // ... and it has begun to look at the headers since it got the text
    std::optional<long long> busy;  // it may not be done: the id of the request whose answer says so; 0: none is sent
    [[nodiscard]] bool rests() const { return idle && parses; }
  };
  struct Waiting {
    std::shared_ptr<Query> query;
    Query::Snapshot snapshot;
  };
  struct ActiveOverlay {
    std::shared_ptr<Query> query;
    std::unordered_map<std::string, Document> documents;  ///< as the server is shown them, by path
  };
  struct DiagnosticsWaiter {
    std::shared_ptr<Query> query;
    long long version;
  };

  void serve(std::shared_ptr<Query> query, Query::Snapshot snapshot, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void serve_waiting(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] bool sync(const Query::Ask& ask, Query::Snapshot& snapshot, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_);
  struct OnDisk;
  void send_text(const std::string& path, Document& document, const std::string& quoted_text, std::size_t hash,
                 DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void send_change(const std::string& path, long long version, const std::string& quoted_text, bool force,
                   DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void became(const std::string& path, const FileStamp& before, const OnDisk& now, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_);
  void disturb_others(const std::string& path) GANTRY_REQUIRES(mutex_);
  void say_closed(const std::string& path, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void close_unused(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void say_saved(const std::string& path, const std::string& quoted_text, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void notify(std::shared_ptr<Query> query, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void changed_on_disk(const Changes& changes, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void notify_changes(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void wait_until_settled(std::shared_ptr<Query> query, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void wake_settled(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void wait_for_diagnostics(std::shared_ptr<Query> query, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void published(std::string_view params, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  /// A list of diagnostics has come for the document's version: when an empty one is to be believed.
  void heard(Document& document, std::string_view diagnostics, bool says_version) GANTRY_REQUIRES(mutex_);
  // Overlays (shared_overlay.cpp).
  void begin_overlay(std::shared_ptr<Query> query, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void published_during_overlay(const std::string& path, Document& shown, std::optional<long long> version,
                                std::string_view diagnostics, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  /// Answers when all that is waited for has come.
  void look_at_overlay(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  /// Tells the server the texts of the disk again.
  void end_overlay(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  /// Tells that the diagnostics of a file are others now.
  void publish_change(const std::string& path, std::optional<long long> version, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_);
  void notify_withdrawn(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void progressed(std::string_view params) GANTRY_REQUIRES(mutex_);
  // Whether a clangd is done with a document (shared_done.cpp).
  void await_done(const std::string& path, Document& document, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void ask_done(const std::string& path, Document& document, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void ask_done_later(const std::string& path, Document& document) GANTRY_REQUIRES(mutex_);
  void ask_done_again(std::string path);
  void parses_no_more(const std::string& path, long long version);
  /// Its diagnostics name no version, and there were others before.
  [[nodiscard]] bool has_to_answer(const Document& document) const GANTRY_REQUIRES(mutex_) {
    return !is_clangd(config()) && !pulls_ && !document.says_version && document.changed;
  }
  void has_seen(const std::string& path, Document& document) GANTRY_REQUIRES(mutex_);
  void tell_again(const std::string& path, long long version);
  void file_status(std::string_view params, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] bool answers_done(const Envelope& e, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  // Diagnostics that are asked for (shared_pull.cpp).
  void learn_pull(const json& capabilities) GANTRY_REQUIRES(mutex_);
  void pull(const std::string& path, Document& document, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] bool answers_pull(const Envelope& e, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void pulled(const std::string& path, Document& document, const Envelope& e, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_);
  void answer_waiters_of(const std::string& path, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void pull_again(std::string path);
  /// The document by whose diagnostics an overlay or a caller waits; null: nobody does.
  [[nodiscard]] Document* awaited(const std::string& path) GANTRY_REQUIRES(mutex_);
  void pulled_are_outdated(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  /// The diagnostics of the document's text of this version are known.
  [[nodiscard]] bool is_diagnosed(const Document& document, long long version) const GANTRY_REQUIRES(mutex_);
  /// Raw; empty: none are known.
  [[nodiscard]] std::string all_diagnostics(const Document& document) const GANTRY_REQUIRES(mutex_);
  [[nodiscard]] bool is_believed(const Document& document) const GANTRY_REQUIRES(mutex_);
  void wake_waiters(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void await_quiet() GANTRY_REQUIRES(mutex_);
  void quiet_is_over();
  /// The error of a request that may be answered when it is sent again.
  [[nodiscard]] static bool means_later(std::string_view error);
  [[nodiscard]] bool ask_again(const std::shared_ptr<Query>& query, std::string_view error) GANTRY_REQUIRES(mutex_);
  void pause_is_over(const std::shared_ptr<Query>& query);
  void diagnosed(const std::string& path, Document& document, std::optional<long long> version,
                 std::string_view diagnostics, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void answered(const Envelope& e, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] bool keep_edit(std::string_view params) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] std::string diagnostics_locked(const std::string& path) const GANTRY_REQUIRES(mutex_);
  void refuse(std::shared_ptr<Query> query, Error error, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  // Use, and idleness.
  void asked_by(std::uint64_t origin) GANTRY_REQUIRES(mutex_);
  void sent_for(std::uint64_t origin) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] bool is_busy() const GANTRY_REQUIRES(mutex_);
  void await_idleness() GANTRY_REQUIRES(mutex_);
  void look_for_idleness(std::uint64_t look);
  [[nodiscard]] std::vector<Use> users() const override GANTRY_REQUIRES(mutex_);
  [[nodiscard]] std::shared_ptr<SharedSession> self() {
    return std::static_pointer_cast<SharedSession>(shared_from_this());
  }

  std::shared_ptr<ServerConnection> find_running(const std::weak_ptr<ConnectionEvents>& events) override;
  std::chrono::seconds initialize_timeout() const override { return config().initialize_timeout; }
  std::string initialize_params() override GANTRY_REQUIRES(mutex_);
  Result<void> initialized(std::string_view text, const Envelope& e, DeferredActions& fx) override
      GANTRY_REQUIRES(mutex_);
  void ready(DeferredActions& fx) override GANTRY_REQUIRES(mutex_);
  void drained(DeferredActions& fx) override GANTRY_REQUIRES(mutex_) { serve_waiting(fx); }
  void message(std::string_view text, const Envelope& e, DeferredActions& fx) override GANTRY_REQUIRES(mutex_);
  void carry_over(DeferredActions& fx) override GANTRY_REQUIRES(mutex_);
  void down(const Error& error, DeferredActions& fx) override GANTRY_REQUIRES(mutex_);
  void gave_up(const Error& error, DeferredActions& fx) override GANTRY_REQUIRES(mutex_);
  void stopped(const Error& error, DeferredActions& fx) override GANTRY_REQUIRES(mutex_) { gave_up(error, fx); }
  json suspend_own(DeferredActions& fx) override GANTRY_REQUIRES(mutex_);
  void restore_own(const json& suspended) override GANTRY_REQUIRES(mutex_);
  void recover_own(const json& note) override GANTRY_REQUIRES(mutex_);
  /// Notes the open documents for an instance that comes after this one's death. Called before the
  /// server gets them.
  void note_documents() GANTRY_REQUIRES(mutex_);
  std::vector<std::string> folders() const override GANTRY_REQUIRES(mutex_) { return {root()}; }
  std::size_t clients() const override GANTRY_REQUIRES(mutex_) {
    return pending_.size() + waiting_.size() + diagnostics_waiters_.size() + settled_waiters_.size() + pausing_.size() +
           (overlay_ ? 1 : 0);
  }
  Scan scan_mode() const override { return Scan::full; }

  const FindEditors find_editors_;
  std::weak_ptr<const Session> editors_ GANTRY_GUARDED_BY(mutex_);  ///< whose server is taken
  enum class Save { none, plain, with_text };

  std::unique_ptr<TreeWatch> watch_;  ///< the worker's
  Changes unsent_changes_ GANTRY_GUARDED_BY(mutex_);
  Save save_ GANTRY_GUARDED_BY(mutex_) = Save::none;
  bool pulls_ GANTRY_GUARDED_BY(mutex_) = false;        ///< the server is asked for diagnostics
  bool tells_files_ GANTRY_GUARDED_BY(mutex_) = false;  ///< the server has said what it does for a file
  json pull_identifier_ GANTRY_GUARDED_BY(mutex_);      ///< that the server wants in these requests; null: none
  std::unordered_map<std::string, Document> documents_ GANTRY_GUARDED_BY(mutex_);  // by path
  std::vector<std::string> left_open_ GANTRY_GUARDED_BY(mutex_);                   // by an instance that has died
  long long last_version_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::uint64_t uses_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::deque<Waiting> waiting_ GANTRY_GUARDED_BY(mutex_);
  std::unique_ptr<ActiveOverlay> overlay_ GANTRY_GUARDED_BY(mutex_);  ///< null: the server sees the disk
  std::vector<DiagnosticsWaiter> diagnostics_waiters_ GANTRY_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Query>> settled_waiters_ GANTRY_GUARDED_BY(mutex_);
  /// Until this time a server that was just given its first document may begin to work.
  TimePoint may_begin_until_ GANTRY_GUARDED_BY(mutex_) = TimePoint::min();
  std::vector<std::shared_ptr<Query>> pausing_ GANTRY_GUARDED_BY(mutex_);  ///< until they are repeated
  Standing standing_ GANTRY_GUARDED_BY(mutex_);                            // only the progress of it
  bool awaits_quiet_ GANTRY_GUARDED_BY(mutex_) = false;
  std::deque<Use> users_ GANTRY_GUARDED_BY(mutex_);  ///< the one that asked last is the last
  TimePoint used_at_ GANTRY_GUARDED_BY(mutex_) = TimePoint::min();
  std::optional<TimerId> idle_timer_ GANTRY_GUARDED_BY(mutex_);  ///< for idle_look_
  std::uint64_t idle_look_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool rests_ GANTRY_GUARDED_BY(mutex_) = false;  ///< the process ends because nobody asks
  std::unordered_map<long long, std::shared_ptr<Query>> pending_ GANTRY_GUARDED_BY(mutex_);
  /// The edits that commands have sent whose callers keep them (Ask::keeps_edit), by the id of the request.
  std::unordered_map<long long, std::string> kept_edits_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::lsp
