// SPDX-License-Identifier: Apache-2.0
//
// attach.hpp: one editor with a language server of its own.
//
// The editor's messages are passed on in the order in which they came. `$/cancelRequest`, answers
// to the server and `exit` do not wait; while the server is missing (starting, crashed) or does not
// read, all other messages wait in a queue.
//
// Limits are off unless [lsp] sets them: an editor cancels its own requests, and waits for
// `initialize` as long as it likes, for which some servers need minutes; when it leaves meanwhile,
// its server ends at once. With editor_max_concurrent_requests a request needs one of the permits
// that all editors share; until it has one, the request and later messages of the editor wait in
// the queue. With editor_request_timeout_seconds the plugin answers a request when its time is
// over. Neither limit holds for requests that wait by design: `workspace/diagnostic` (held until
// something changes), `workspace/executeCommand`, and all requests that are open when the server
// asks the user a question, from then on.
//
// Ids: towards the server every request gets an integer id of the plugin's own, unique over
//   restarts; a late answer finds no request. Restart: the editor's own `initialize`,
//   `initialized`, configuration, folders and open documents are sent again; questions, progress
//   and registrations of the dead server at the editor are ended. The editor only notices that the
//   requests in flight failed.
//
// Working folder: the root that `initialize` names first, if that is a folder; else the editor's
//   own working folder, or the nearest existing folder above it.
//
// Thread rule: the functions of the editor's side are called serially; see session.hpp for the
//   rest.
// Bounds: kCredit messages of the editor under way or waiting; of these kMaxQueuedRequests requests
//   (further ones are answered `overloaded`) and kMaxQueuedBytes (more ends the stream).
//   kMaxServerRequests unanswered requests of the server (further ones are answered with an error).
//   kMaxFolders workspace folders are followed.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plugins/lsp/documents.hpp"
#include "plugins/lsp/editor.hpp"
#include "plugins/lsp/session.hpp"
#include "plugins/lsp/standing.hpp"

namespace gantry::lsp {

class AttachSession final : public Session {
 public:
  static constexpr std::uint32_t kCredit = 256;
  static constexpr std::uint32_t kRegrant = 64;
  static constexpr std::size_t kMaxQueuedRequests = 64;
  static constexpr std::size_t kMaxQueuedBytes = std::size_t{64} << 20;
  static constexpr std::size_t kMaxServerRequests = 1024;
  static constexpr std::size_t kMaxFolderChanges = 64;
  static constexpr std::size_t kMaxFolders = 256;

  /// The decisions of the present settings.
  struct Rules {
    /// May this server run in this root?
    std::function<Result<void>(const ServerConfig& config, const std::string& root)> may_run;
    std::function<std::vector<std::string>()> workspaces;
  };

  /// `root`: the folder that the client asked for, or empty; `home`: the editor's folder, used when
  /// no root exists.
  AttachSession(std::shared_ptr<Context> context, ServerConfig config, std::string root, std::string home, Call call,
                Rules rules);

  void from_editor(std::string_view text);
  /// The editor ended its stream, cancelled, or is gone.
  void editor_left(const Result<json>& answer);
  void editor_gave_credit();
  /// Gives the editor's stream to the next instance; returns the items that wait for the editor's
  /// credit. Where that fails the stream is answered here.
  [[nodiscard]] Result<std::vector<std::string>> give_editor(const Stopping& stopping);
  /// Called before restore().
  void restore_editor(std::vector<std::string> unsent) { editor_.restore(std::move(unsent)); }
  [[nodiscard]] std::uint64_t call() const { return editor_.call(); }
  [[nodiscard]] std::uint64_t origin() const { return editor_.origin(); }
  void grant_first() { editor_.grant(kCredit); }

 private:
  struct Pending {
    std::string id;      // the editor's id, as raw text
    TimePoint deadline;  // max(): none
    Permit permit;
    bool shutdown = false;
  };
  struct Queued {
    std::string text;
    long long request = 0;  // the plugin's id of the request; 0: a notification
    TimePoint deadline;     // max(): none
  };

  // Messages of the editor.
  void receive(std::string_view text, const Envelope& e, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void first(std::string_view text, const Envelope& e, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void find_root(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void start_in(std::string root);
  void cannot_start(const Error& error);
  void folders_changed(std::string_view params, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void pass_on(std::string_view text, const Envelope& e, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void wait_in_line(std::string_view text, const Envelope& e, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void forward_request(std::string_view text, const Envelope& e, long long id, TimePoint deadline, Permit permit,
                       DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void forward_notification(std::string_view text, const Envelope& e, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void answer_server(std::string_view text, const Envelope& e, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void cancel(std::string_view text, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void leave(const Result<json>& answer, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void consumed(std::uint32_t items = 1) GANTRY_REQUIRES(mutex_);

  // Limits.
  [[nodiscard]] bool needs_permit(std::string_view method) const;
  [[nodiscard]] TimePoint deadline_of(std::string_view method) const;
  void watch_deadline(TimePoint deadline, long long id) GANTRY_REQUIRES(mutex_);
  void user_is_asked(DeferredActions& fx) GANTRY_REQUIRES(mutex_);

  // The queue.
  void pump(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void drop_queued(const std::deque<Queued>::const_iterator& it) GANTRY_REQUIRES(mutex_);
  void wait_for_permit();
  void granted(Permit permit);
  void arm() GANTRY_REQUIRES(mutex_);
  void expire();

  // Messages of the server.
  std::string initialize_params() override GANTRY_REQUIRES(mutex_) { return init_params_; }
  Result<void> initialized(std::string_view text, const Envelope& e, DeferredActions& fx) override
      GANTRY_REQUIRES(mutex_);
  void ready(DeferredActions& fx) override GANTRY_REQUIRES(mutex_) { pump(fx); }
  void drained(DeferredActions& fx) override GANTRY_REQUIRES(mutex_) { pump(fx); }
  void message(std::string_view text, const Envelope& e, DeferredActions& fx) override GANTRY_REQUIRES(mutex_);
  Result<void> may_follow() const override GANTRY_REQUIRES(mutex_);
  void down(const Error& error, DeferredActions& fx) override GANTRY_REQUIRES(mutex_);
  void gave_up(const Error& error, DeferredActions& fx) override GANTRY_REQUIRES(mutex_);
  std::size_t clients() const override GANTRY_REQUIRES(mutex_) { return ended_ ? 0 : 1; }
  Scan scan_mode() const override { return Scan::route; }
  std::chrono::seconds initialize_timeout() const override { return std::chrono::seconds::zero(); }
  json suspend_own(DeferredActions& fx) override GANTRY_REQUIRES(mutex_);
  void restore_own(const json& suspended) override GANTRY_REQUIRES(mutex_);
  void recover_own(const json&) override GANTRY_REQUIRES(mutex_) {}  // nothing to recover: its editor is gone
  bool settle(DeferredActions& fx) override;

  std::vector<std::string> folders() const override GANTRY_REQUIRES(mutex_) { return folders_; }
  void not_begun(DeferredActions& fx) override GANTRY_REQUIRES(mutex_);

  void ask_editor(std::string_view text, const Envelope& e, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void pass_cancel(std::string_view text, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void end_what_stands(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void replay(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void learn_encoding(std::string_view result) GANTRY_REQUIRES(mutex_);
  void answer_error(const std::string& id, int code, const Error& error, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void end_stream(const Result<json>& answer, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  /// The host refused an item: an error answers whoever waits for it.
  void refused(const std::string& text);

  const std::string asked_root_;
  const std::string home_;
  const Rules rules_;
  Editor editor_;

  bool greeted_ GANTRY_GUARDED_BY(mutex_) = false;
  bool answered_ GANTRY_GUARDED_BY(mutex_) = false;  // the editor's initialize
  bool shutdown_ GANTRY_GUARDED_BY(mutex_) = false;
  bool ended_ GANTRY_GUARDED_BY(mutex_) = false;
  std::string init_id_ GANTRY_GUARDED_BY(mutex_);
  std::string init_params_ GANTRY_GUARDED_BY(mutex_);
  std::string initialized_text_ GANTRY_GUARDED_BY(mutex_);
  std::string configuration_text_ GANTRY_GUARDED_BY(mutex_);
  std::vector<std::string> folder_texts_ GANTRY_GUARDED_BY(mutex_);
  std::vector<std::string> folders_ GANTRY_GUARDED_BY(mutex_);  // the editor's folders, as paths
  Standing standing_ GANTRY_GUARDED_BY(mutex_);
  TrackedDocuments documents_ GANTRY_GUARDED_BY(mutex_);

  std::deque<Queued> queue_ GANTRY_GUARDED_BY(mutex_);
  std::size_t queued_bytes_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::size_t queued_requests_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool waiting_ GANTRY_GUARDED_BY(mutex_) = false;  // for a permit
  Permit spare_ GANTRY_GUARDED_BY(mutex_);
  std::uint32_t consumed_ GANTRY_GUARDED_BY(mutex_) = 0;

  std::unordered_map<long long, Pending> pending_ GANTRY_GUARDED_BY(mutex_);
  std::unordered_map<long long, std::string> server_requests_ GANTRY_GUARDED_BY(mutex_);
  std::set<std::pair<TimePoint, long long>> deadlines_ GANTRY_GUARDED_BY(mutex_);
  TimePoint armed_for_ GANTRY_GUARDED_BY(mutex_) = TimePoint::max();
};

}  // namespace gantry::lsp
