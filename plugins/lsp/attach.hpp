// SPDX-License-Identifier: Apache-2.0
//
// attach.hpp: a language server and its clients: the editors that are attached to it, and one guest for the callers of
// its root (guest.hpp).
//
// Editors share a server that run the same command, name the same root, have the same values of the variables that the
// server's table names, and the same `initializationOptions`, settings and experimental capabilities; and whose answers
// to workspace/configuration are the same. Each sees what it would see alone: its own documents, ids, versions,
// progress and questions. The server is offered a fixed superset of capabilities, and what it says is cut down to what
// each editor understands (capabilities/).
//
// Order: the messages of an editor are passed on in the order in which they came. `$/cancelRequest`, answers to the
// server and `exit` do not wait; while the server is missing (starting, crashed) or does not read, all other messages
// wait in the editor's queue.
//
// Texts: see views.hpp. A message that depends on texts is sent while the server shows its editor's view; the view
// changes only when no request of another editor is open, so no answer is computed from another's text. An editor that
// waits for that longer than kRecallDelay has the requests in its way recalled: they are cancelled at the server and
// sent again later, whatever it answers, or when it has not answered within kRecallTime. A request that is sent again
// may stay four times as long as before; after kMaxRepetitions it is answered ContentModified. Requests that wait by
// design are in nobody's way: `workspace/diagnostic`, and a command after a while. What the disk's texts are is looked
// up by the worker, before an editor's messages, if others have documents open which that editor has not.
//
// Limits are off unless [lsp] sets them: an editor cancels its own requests, and waits for `initialize` as long as it
// likes, for which some servers need minutes; when the last client leaves meanwhile, the server ends at once. With
// editor_max_concurrent_requests a request needs one of the permits that all editors share; until it has one, the
// request and later messages of the editor wait in the queue. With editor_request_timeout_seconds the plugin answers a
// request when its time is over. Neither limit holds for requests that wait by design, `shutdown`, and all requests of
// an editor that are open when the server asks the user a question, from then on.
//
// The server's requests: questions to the user and edits go to the editor whose command runs, else to the one that was
// active last; what concerns all goes to all. Exactly one answer goes back, also when the editor leaves, or has
// messages waiting and reads none of them for kAskTime, which is looked at every kAskTime.
//
// Ids: towards the server every request gets an integer id of the plugin's own, unique over restarts; a late answer
// finds no request. Restart: `initialize`, `initialized`, configuration, folders and open documents are sent again;
// questions, progress and registrations of the dead server at the editors are ended. An editor only notices that the
// requests in flight failed.
//
// Guests: a view as an editor's, of the disk. Nothing else of a guest counts: not the settings, folders, capabilities,
// limits, nor who was active last. A guest with open requests or documents ends with the process.
//
// Working folder: the root that `initialize` names first, if that is a folder; else the editor's own working folder, or
// the nearest existing folder above it.
//
// Thread rule: the functions of the editors' side are called serially; see session.hpp for the rest.
// Bounds: kCredit messages of an editor under way or waiting; of these kMaxQueuedRequests requests (further ones are
//   answered `overloaded`) and kMaxQueuedBytes (more ends the stream). ServerAsks::kMost unanswered requests of the
//   server (further ones are answered with an error). kMaxFolders workspace folders are followed. An editor that does
//   not read, while others do, has at most kMaxUnread bytes kept, then its stream ends. kMaxStamps stamps of files;
//   the others are read anew. An editor whose texts would exceed what is followed (documents.hpp), or that opens a
//   notebook (notebooks.hpp), gets a server of its own. kMaxOfOneId registrations under one id, kMaxHighlighted
//   documents whose last semantic tokens are known, and whose diagnostics an editor was answered by a process that is
//   not its first (of others they come whole).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plugins/lsp/client.hpp"
#include "plugins/lsp/file_watch.hpp"
#include "plugins/lsp/files.hpp"
#include "plugins/lsp/server_asks.hpp"
#include "plugins/lsp/session.hpp"

namespace gantry::lsp {

class AttachSession final : public Session {
 public:
  static constexpr std::uint32_t kCredit = 256;
  static constexpr std::uint32_t kRegrant = 64;
  static constexpr std::size_t kMaxQueuedRequests = 64;
  static constexpr std::size_t kMaxQueuedBytes = std::size_t{64} << 20;
  static constexpr std::size_t kMaxUnread = std::size_t{64} << 20;
  static constexpr std::size_t kMaxFolderChanges = 64;
  static constexpr std::size_t kMaxFolders = 256;
  static constexpr std::size_t kMaxConfigurations = 256;
  static constexpr std::size_t kMaxStamps = 4096;
  static constexpr std::size_t kMaxHighlighted = 4096;
  static constexpr const char* kOwnToken = "\"gantry-";  // how the raw tokens begin that the plugin gives requests
  static constexpr std::size_t kMaxOfOneId = 64;         // registrations
  static constexpr unsigned kMaxRepetitions = 3;
  static constexpr std::chrono::milliseconds kRecallDelay{500};
  static constexpr std::chrono::seconds kRecallTime{5};
  static constexpr std::chrono::seconds kAskTime{30};
  /// A notification in a client's queue that only waits for the client's view, and is not sent.
  static constexpr std::string_view kShowsView = "textDocument/$gantry/view";

  /// The decisions of the plugin.
  struct Rules {
    /// May this server run in this root?
    std::function<Result<void>(const ServerConfig& config, const std::string& root)> may_run;
    std::function<std::vector<std::string>()> workspaces;
    /// The settings of the server's table that is in force in this root by now; empty: there is none.
    std::function<json(const ServerConfig& config, const std::string& root)> settings_of;
    /// Another session that a client with this key may join, or null.
    std::function<std::shared_ptr<AttachSession>(const std::string& key, const Client& client)> session_for;
    /// Makes a session known that has no clients yet.
    std::function<Result<void>(std::shared_ptr<AttachSession> session)> add;
  };

  AttachSession(std::shared_ptr<Context> context, ServerConfig config, Rules rules);

  // ---- serially with the plugin's handlers
  /// The client's first session, or the next.
  void join(std::shared_ptr<Client> client);
  /// The client is a guest that has sent `initialize`. False: the session takes none.
  [[nodiscard]] bool join_as_guest(std::shared_ptr<Client> client);
  void from_editor(ClientId client, std::string_view text);
  /// The editor ended its stream, cancelled, or is gone.
  void editor_left(ClientId client, const Result<json>& answer);
  void all_left(const Result<json>& answer);
  void settings_are_new() override;
  void editor_gave_credit(ClientId client);

  /// True: a client with this key may join.
  [[nodiscard]] bool offers(const std::string& key) const;
  /// The folder of the server's for which callers of this root may share it: the root, or one around it that lies in
  /// its workspace (in a home folder's server a project is not at home). Empty: they may not.
  [[nodiscard]] std::string place_for_guest(const ServerConfig& wanted, const std::string& root) const;
  /// True: the server takes messages.
  [[nodiscard]] bool is_ready() const {
    Lock lock(mutex_);
    return server_.state() == ServerState::ready;
  }
  [[nodiscard]] std::vector<std::shared_ptr<Client>> clients_now() const;
  /// The paths of the documents that editors have open, each with the hash (std::hash) of a text of an editor.
  [[nodiscard]] std::vector<std::pair<std::string, std::size_t>> open_texts() const;
  /// The number of editors, who are the clients but for guests.
  [[nodiscard]] std::size_t editors() const;

  // ---- from one instance of the plugin to the next (handover.cpp)
  struct Given {
    std::uint64_t call = 0;
    std::vector<std::string> unsent;
  };
  /// Gives the editors' streams to the next instance. Those that cannot be given are answered here.
  [[nodiscard]] std::vector<Given> give_editors(const Stopping& stopping);
  /// The client whose stream this is; null: it has left.
  [[nodiscard]] std::shared_ptr<Client> client_of(std::uint64_t call) const;
  /// After restore(): the streams that come find the session.
  void are_seated();
  /// Ends the clients whose streams have not come.
  void drop_awaited();

 private:
  struct Pending {
    ClientId client = 0;
    std::string id{};    // the client's, as raw text; empty: a question of the plugin's own, or a wait for diagnostics
    TimePoint deadline;  // max(): none
    Permit permit{};
    bool shutdown = false;
    bool command = false;
    bool lets_next = false;  // a command beside which another client's may run
    bool reads = false;      // texts: no other view may be shown
    bool disturbed = false;  // the plugin has changed texts since
    bool recalled = false;   // it was cancelled to be repeated
    bool cancelled = false;  // by its client
    bool goes_on = false;    // the server must not hear of its cancellation
    unsigned repetitions = 0;
    std::uint64_t changes = 0;  // of texts before it
    std::uint16_t gives = 0;    // the kinds of items in its answer
    std::string result_of{};    // the document whose result id is in its answer, with its method
    std::string text{};         // to be repeated; empty: it cannot be
    std::string cut{};          // the method, if its answer is cut down for the client
    std::string uri{};          // ... of the document whose answer names none
    std::string partial{};      // the token of its partial results
    std::vector<std::string> tokens{};
  };

  // Clients come, move and go (attach_root.cpp).
  void first(Client& client, std::string_view text, const Envelope& e, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void find_root(Client& client, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void root_is(ClientId client, std::string root);
  void settle_in(ClientId client, std::string root);
  void begin_with(Client& client, std::string root, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void cannot_start(const Error& error);
  void look_for_admission(Client& client, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void admit(Client& client, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void late_initialized(Client& client, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void is_like_the_others(Client& client, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void move_out_later(Client& client, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void move_out(ClientId client);
  [[nodiscard]] std::shared_ptr<Client> take(ClientId client, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void forget(Client& client, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void remember_folders(std::string message) GANTRY_REQUIRES(mutex_);
  void folders_changed(Client& client, std::string_view text, std::string_view params, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_);
  void tell_folders(DeferredActions& fx) GANTRY_REQUIRES(mutex_);

  // Guests (attach_guests.cpp).
  /// A process is there, or comes.
  [[nodiscard]] bool serves() const GANTRY_REQUIRES(mutex_);
  [[nodiscard]] bool is_open_for_guests() const GANTRY_REQUIRES(mutex_);
  [[nodiscard]] bool has_notebooks() const GANTRY_REQUIRES(mutex_);
  [[nodiscard]] std::size_t editors_now() const GANTRY_REQUIRES(mutex_);
  void end_guests(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] std::vector<std::shared_ptr<Client>> guests() const GANTRY_REQUIRES(mutex_);
  void drop(const std::vector<std::shared_ptr<Client>>& guests, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void tell_progress(Client& guest, DeferredActions& fx) GANTRY_REQUIRES(mutex_);

  // What a client understands (attach_cut.cpp).
  /// What the client has said of itself is known.
  void declared(Client& client) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] std::string key_for(Client& client, const std::string& root) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] Features misfit(const Client& client) const GANTRY_REQUIRES(mutex_);
  /// True: the server does what the client is no match for, and the client moves to another.
  [[nodiscard]] bool moves_as_misfit(Client& client, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void feature_is_used(Features used, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] std::string welcome_for(const Client& client) const GANTRY_REQUIRES(mutex_);
  [[nodiscard]] static std::string cut_answer(const Client& client, const Pending& pending, std::string text);
  /// Nothing: the client is not told; `why` says so of an edit that it cannot apply.
  [[nodiscard]] static std::optional<std::string> cut_message(const Client& client, std::string_view method,
                                                              std::string text, std::string& why);
  [[nodiscard]] std::string cut_partial(const Client& client, const std::string& token, std::string text) const
      GANTRY_REQUIRES(mutex_);
  /// The text of a request about diagnostics, with these as the server has published them.
  [[nodiscard]] std::string with_published(const Client& client, std::string_view text) const GANTRY_REQUIRES(mutex_);
  [[nodiscard]] static std::string configuration_of(const Client& client, std::string_view params);
  void configured_unasked(const ServerAsks::Ask& ask, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] json answer_unasked(const Client& client, std::string_view method, std::string_view params) const
      GANTRY_REQUIRES(mutex_);

  // The settings under those of the editors (attach_settings.cpp).
  void take_settings(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void tell_settings(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] json over_settings(json answer, std::string_view asked) const GANTRY_REQUIRES(mutex_);
  void answer_question(const ServerAsks::Ask& ask, std::string_view text, const Envelope& whole, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_);
  [[nodiscard]] std::string with_options(std::string params) const GANTRY_REQUIRES(mutex_);

  // Messages of a client (attach.cpp).
  void receive(Client& client, std::string_view text, const Envelope& e, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void pass_on(Client& client, std::string_view text, const Envelope& e, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void wait_in_line(Client& client, std::string_view text, const Envelope& e, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_);
  void forward_request(Client& client, std::string_view text, const Envelope& e, Client::Queued info, Permit permit,
                       DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] bool forward_notification(Client& client, std::string_view text, const Envelope& e, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_);
  void close_diagnostics(Client& client, std::string_view params, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void cancel_progress(Client& client, std::string_view text, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void forward_document(Client& client, std::string_view text, const Envelope& e, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_);
  void answer_server(Client& client, std::string_view text, const Envelope& e, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_);
  /// As pass_on(), while lsp.stop is in force.
  void pass_while_stopped(Client& client, std::string_view text, const Envelope& e, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_);
  void cancel_sent(long long id, const Pending& pending, DeferredActions& fx) GANTRY_REQUIRES(mutex_) {
    if (!pending.goes_on) server_.cancel(id, fx);
  }
  void cancel(Client& client, std::string_view text, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void leave(Client& client, const Result<json>& answer, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void consumed(Client& client, std::uint32_t items = 1) GANTRY_REQUIRES(mutex_);

  // Files that change on the disk (attach_files.cpp).
  void watch_files() GANTRY_REQUIRES(mutex_);
  [[nodiscard]] FileWatch::WallTime files_until() const GANTRY_REQUIRES(mutex_);
  [[nodiscard]] bool tell_files(const FileWatch::Files& files);
  void pass_report(const Client& client, std::string_view text, DeferredActions& fx) GANTRY_REQUIRES(mutex_);

  // What a client keeps of answers (attach_results.cpp).
  [[nodiscard]] static std::uint16_t items_given_by(std::string_view method);
  [[nodiscard]] bool refuses_old_item(Client& client, std::string_view text, const Envelope& e, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_);
  [[nodiscard]] std::string without_result_ids(Client& client, std::string_view text, const Envelope& e, long long id,
                                               Pending& pending) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] std::string without_delta(Client& client, std::string_view text, std::string_view method, long long id,
                                          Pending& pending) GANTRY_REQUIRES(mutex_);
  /// The client has got a result.
  void note_result(Client& client, const Pending& pending, long long id) GANTRY_REQUIRES(mutex_);

  // Limits (attach.cpp).
  [[nodiscard]] bool needs_permit(const Client& client, std::string_view method) const;
  [[nodiscard]] TimePoint deadline_of(const Client& client, std::string_view method) const;
  void watch_deadline(TimePoint deadline, long long id) GANTRY_REQUIRES(mutex_);
  void user_is_asked(ClientId client, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void wait_for_permit(ClientId client);
  void granted(ClientId client, Permit permit);
  void arm() GANTRY_REQUIRES(mutex_);
  void expire();

  // The queues, and whose turn it is (attach_turns.cpp).
  void pump(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void show_who_waits(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void wait_for_diagnostics(Client& client, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void waited_for_diagnostics(long long id);
  [[nodiscard]] Client* next_client(const std::set<ClientId>& stuck) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] bool advance(Client& client, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] bool take_view(Client& client, const Client::Queued& head, const Envelope& e, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_);
  [[nodiscard]] bool others_read(ClientId client) const GANTRY_REQUIRES(mutex_);
  [[nodiscard]] bool another_commands(ClientId client) const GANTRY_REQUIRES(mutex_);
  void watch_commands() GANTRY_REQUIRES(mutex_);
  void let_next(const std::vector<long long>& commands);
  void ask_whether_settled(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void texts_changed() GANTRY_REQUIRES(mutex_);
  /// Its answer depends on the texts that the server shows now, which keeps another client from having its own shown.
  [[nodiscard]] bool is_in_the_way(const Pending& pending) const GANTRY_REQUIRES(mutex_) {
    return pending.reads && pending.client != waits_for_view_ && pending.client != 0;
  }
  void wait_for_view(Client& client) GANTRY_REQUIRES(mutex_);
  void arm_recall() GANTRY_REQUIRES(mutex_);
  void recall(TimePoint until);
  void give_up_recalled(const std::vector<long long>& ids);
  void drop_queued(Client& client, const std::deque<Client::Queued>::const_iterator& it) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] bool repeat(Pending& pending, std::string_view error, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  using Look = std::vector<std::pair<std::string, std::optional<FileStamp>>>;
  [[nodiscard]] Look to_look_at(const std::vector<std::string>& paths) const GANTRY_REQUIRES(mutex_);
  void look(Look paths, std::function<void(DeferredActions&)> then, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void look_at_saved(const std::string& key, DeferredActions& fx) GANTRY_REQUIRES(mutex_);

  // Messages of the server (attach_server.cpp).
  std::string initialize_params() override GANTRY_REQUIRES(mutex_);
  std::map<std::string, std::string> environment() const override GANTRY_REQUIRES(mutex_) { return environment_; }
  Result<void> initialized(std::string_view text, const Envelope& e, DeferredActions& fx) override
      GANTRY_REQUIRES(mutex_);
  void ready(DeferredActions& fx) override GANTRY_REQUIRES(mutex_) { drained(fx); }
  void drained(DeferredActions& fx) override GANTRY_REQUIRES(mutex_) {
    if (files_) files_->go_on();
    pump(fx);
  }
  void message(std::string_view text, const Envelope& e, DeferredActions& fx) override GANTRY_REQUIRES(mutex_);
  Result<void> may_follow() const override GANTRY_REQUIRES(mutex_);
  void down(const Error& error, DeferredActions& fx) override GANTRY_REQUIRES(mutex_);
  void gave_up(const Error& error, DeferredActions& fx) override GANTRY_REQUIRES(mutex_);
  void stopped(const Error& error, DeferredActions& fx) override GANTRY_REQUIRES(mutex_);
  void revived(DeferredActions& fx) override GANTRY_REQUIRES(mutex_);
  std::size_t clients() const override GANTRY_REQUIRES(mutex_);
  std::vector<Use> users() const override GANTRY_REQUIRES(mutex_);
  Scan scan_mode() const override { return Scan::route; }
  std::chrono::seconds initialize_timeout() const override { return std::chrono::seconds::zero(); }
  json suspend_own(DeferredActions& fx) override GANTRY_REQUIRES(mutex_);
  void restore_own(const json& suspended) override GANTRY_REQUIRES(mutex_);
  void recover_own(const json&) override GANTRY_REQUIRES(mutex_) {}  // nothing to recover: its editors are gone
  bool settle(DeferredActions& fx) override;

  std::vector<std::string> folders() const override GANTRY_REQUIRES(mutex_);
  void not_begun(DeferredActions& fx) override GANTRY_REQUIRES(mutex_);

  void answered(std::string_view text, const Envelope& e, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] std::string with_client_versions(const Pending& pending, std::string text) GANTRY_REQUIRES(mutex_);
  void ask_clients(std::string_view text, const Envelope& e, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void answer_server_itself(std::string_view id, const json& result, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] std::vector<ClientId> asked_for(std::string_view method) const GANTRY_REQUIRES(mutex_);
  /// The client's settings are the server's.
  [[nodiscard]] bool settles(const Client& client) const GANTRY_REQUIRES(mutex_);
  void answer_for_clients(const ServerAsks::Ask& ask, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void watch_asks() GANTRY_REQUIRES(mutex_);
  void look_at_asks();
  void configured(Client& client, const ServerAsks::Ask& ask, std::string_view answer, DeferredActions& fx)
      GANTRY_REQUIRES(mutex_);
  void follow_registrations(std::string_view method, std::string_view params) GANTRY_REQUIRES(mutex_);
  void tell_clients(std::string_view text, std::string_view method, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void pass_progress(std::string_view text, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void deliver(std::vector<Views::Delivery> deliveries, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void pass_cancel(std::string_view text, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void end_what_stands(Client& client, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void replay(DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void learn_capabilities(std::string_view result, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  void answer_error(Client& client, const std::string& id, int code, const Error& error, DeferredActions& fx);
  void end_stream(Client& client, const Result<json>& answer, DeferredActions& fx) GANTRY_REQUIRES(mutex_);
  /// The host refused an item: an error answers whoever waits for it.
  void refused(Editor& editor, const std::string& text);

  [[nodiscard]] Client* find(ClientId id) const GANTRY_REQUIRES(mutex_) {
    const auto it = clients_.find(id);
    return it == clients_.end() ? nullptr : it->second.get();
  }
  [[nodiscard]] bool alone() const GANTRY_REQUIRES(mutex_) { return clients_.size() == 1; }
  /// No other editor's settings matter.
  [[nodiscard]] bool settings_are_one() const GANTRY_REQUIRES(mutex_) { return editors_now() <= 1; }
  [[nodiscard]] Views::Send sender(DeferredActions& fx) {
    return [this, &fx](std::string_view text) GANTRY_NO_TSA { server_.send(text, fx); };
  }
  [[nodiscard]] std::shared_ptr<AttachSession> self() {
    return std::static_pointer_cast<AttachSession>(shared_from_this());
  }
  const Rules rules_;

  std::map<ClientId, std::shared_ptr<Client>> clients_ GANTRY_GUARDED_BY(mutex_);
  Views views_ GANTRY_GUARDED_BY(mutex_);
  std::string key_ GANTRY_GUARDED_BY(mutex_);  // clients with this key may join; empty: none may
  std::map<std::string, std::string> environment_ GANTRY_GUARDED_BY(mutex_);  // of the first client
  std::string init_params_ GANTRY_GUARDED_BY(mutex_);                         // for the server
  bool knows_roots_ GANTRY_GUARDED_BY(mutex_) = false;               // ... whose folders are those of all clients
  Features without_ GANTRY_GUARDED_BY(mutex_) = 0;                   // that the server was not offered
  Features used_ GANTRY_GUARDED_BY(mutex_) = 0;                      // that the server is known to use
  std::vector<std::string> told_folders_ GANTRY_GUARDED_BY(mutex_);  // that the server knows
  std::string welcome_ GANTRY_GUARDED_BY(mutex_);                    // the server's answer to `initialize`
  bool initialized_sent_ GANTRY_GUARDED_BY(mutex_) = false;
  std::string configuration_text_ GANTRY_GUARDED_BY(mutex_);
  json settings_ GANTRY_GUARDED_BY(mutex_) = json::object();  // under those of the clients
  std::vector<std::string> folder_texts_ GANTRY_GUARDED_BY(mutex_);
  std::map<std::string, json> registrations_ GANTRY_GUARDED_BY(mutex_);  // of the server, arrays by id
  std::shared_ptr<FileWatch> files_ GANTRY_GUARDED_BY(mutex_);           // null: the server has registered for none
  FileWatch::WallTime files_since_ GANTRY_GUARDED_BY(mutex_){};  // when the server may have read the first of them
  std::map<std::string, std::string> configurations_ GANTRY_GUARDED_BY(mutex_);  // answers, by params, as dumped JSON
  std::map<ClientId, std::set<long long>> comparing_ GANTRY_GUARDED_BY(mutex_);  // copies that decide whether it stays
  std::unordered_map<long long, Pending> pending_ GANTRY_GUARDED_BY(mutex_);
  std::map<std::string, std::pair<ClientId, std::string>> tokens_ GANTRY_GUARDED_BY(mutex_);  // raw; the client's own
  std::map<std::string, std::set<ClientId>> servers_tokens_ GANTRY_GUARDED_BY(mutex_);        // who was told of them
  ServerAsks asks_ GANTRY_GUARDED_BY(mutex_);
  std::unordered_map<std::string, FileStamp> stamps_ GANTRY_GUARDED_BY(mutex_);  // of what views_ knows of the disk
  ClientId active_ GANTRY_GUARDED_BY(mutex_) = 0;                                // the client that was active last
  ClientId waits_for_view_ GANTRY_GUARDED_BY(mutex_) = 0;                        // 0: none
  bool asks_settled_ GANTRY_GUARDED_BY(mutex_) = false;   // a question whether the server has seen the texts is open
  bool changed_since_ GANTRY_GUARDED_BY(mutex_) = false;  // ... and it does not speak of those of now
  TimePoint recall_armed_for_ GANTRY_GUARDED_BY(mutex_) = TimePoint::max();  // a timer comes then; max(): none does
  bool commands_watched_ GANTRY_GUARDED_BY(mutex_) = false;                  // by a timer
  TimePoint recall_at_ GANTRY_GUARDED_BY(mutex_);                            // of who waits for its view
  bool asks_watched_ GANTRY_GUARDED_BY(mutex_) = false;                      // a timer looks at the open questions
  long long asked_before_ GANTRY_GUARDED_BY(mutex_) = 0;  // ... at those whose copies have no higher ids
  /// Who has asked last for the tokens of a document.
  struct Highlight {
    ClientId client = 0;
    long long request = 0;
    bool answered = false;
    bool mixed = false;  // another has asked before
  };
  std::map<std::string, Highlight> highlighted_ GANTRY_GUARDED_BY(mutex_);  // by key
  std::uint64_t turns_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::set<std::pair<TimePoint, long long>> deadlines_ GANTRY_GUARDED_BY(mutex_);
  TimePoint armed_for_ GANTRY_GUARDED_BY(mutex_) = TimePoint::max();
};

}  // namespace gantry::lsp
