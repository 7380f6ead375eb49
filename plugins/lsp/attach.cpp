// SPDX-License-Identifier: Apache-2.0
//
// The editors' side of an attach session. The queues are in attach_turns.cpp, the server's side in attach_server.cpp.
#include "plugins/lsp/attach.hpp"

#include <algorithm>

#include "plugins/lsp/messages.hpp"

namespace gantry::lsp {

namespace {

// Held by the server until something changes, or until the user has answered; or the last of all.
[[nodiscard]] bool waits_by_design(std::string_view method) {
  return method == "workspace/diagnostic" || method == "workspace/executeCommand" || method == "shutdown";
}

// The settings in a workspace/didChangeConfiguration. Empty ones are as none: some editors send them to all servers.
[[nodiscard]] json settings_in(std::string_view text) {
  auto settings = parse_json(member(text.empty() ? text : scan(text, Scan::full).params, "settings"));
  const bool none = !settings || settings->is_null() || (settings->is_object() && settings->empty());
  return none ? json() : std::move(*settings);
}

}  // namespace

AttachSession::AttachSession(std::shared_ptr<Context> context, ServerConfig config, Rules rules)
    : Session(std::move(context), std::move(config), {}, "attached"), rules_(std::move(rules)) {}

std::size_t AttachSession::clients() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(clients_, [](const auto& entry) { return !entry.second->ended; }));
}

std::vector<Session::Use> AttachSession::users() const {
  std::vector<Use> out;
  for (const auto& [id, client] : clients_) {
    if (!client->ended && !client->guest)
      out.push_back({.origin = client->editor->origin(), .requests = client->requests});
  }
  return out;
}

std::vector<std::pair<std::string, std::size_t>> AttachSession::open_texts() const {
  std::vector<std::pair<std::string, std::size_t>> out;
  Lock lock(mutex_);
  for (const auto& [id, client] : clients_) {
    const auto* const documents = views_.has(id) ? &views_.documents(id) : client->documents.get();
    if (documents == nullptr || client->ended || client->guest) continue;
    for (const auto& [key, document] : documents->all()) out.emplace_back(key, std::hash<std::string>{}(document.text));
  }
  return out;
}

std::vector<std::shared_ptr<Client>> AttachSession::clients_now() const {
  std::vector<std::shared_ptr<Client>> out;
  Lock lock(mutex_);
  for (const auto& [id, client] : clients_) out.push_back(client);
  return out;
}

void AttachSession::from_editor(ClientId id, std::string_view text) {
  const Envelope envelope = scan(text, Scan::route);
  Section section(*this);
  if (auto* const client = find(id)) receive(*client, text, envelope, section.fx);
}

void AttachSession::receive(Client& client, std::string_view text, const Envelope& e, DeferredActions& fx) {
  if (client.ended) return;
  if (!client.guest) active_ = client.id;
  if (!e.ok) {
    consumed(client);
    const auto begin = text.find_first_not_of(" \t\r\n");
    const bool batch = begin != std::string_view::npos && text[begin] == '[';
    const char* const why = batch ? "LSP has no batches: send each message by itself" : "this is no JSON-RPC message";
    return answer_error(client, "null", -32600, Error{ErrorKind::invalid_request, why, {}}, fx);
  }
  if (e.is_response()) return answer_server(client, text, e, fx);
  const auto method = e.method();
  // The server is not asked: it goes on for others.
  if (client.shutdown && !alone() && method != "exit") {
    consumed(client);
    if (!e.is_request()) return;
    return answer_error(client, std::string(e.id), -32600,
                        Error{ErrorKind::invalid_request, "nothing but exit may follow shutdown", {}}, fx);
  }
  if (method == "$/cancelRequest") return cancel(client, text, fx);
  if (method == "exit") return leave(client, json(), fx);
  if (client.greeted && method != "initialize") return pass_on(client, text, e, fx);
  consumed(client);
  if (!e.is_request()) return;  // LSP: notifications before initialize are dropped
  if (!client.greeted && method == "initialize") return first(client, text, e, fx);
  const std::string id(e.id);
  if (client.greeted) {
    return answer_error(client, id, -32600, Error{ErrorKind::invalid_request, "initialize was sent before", {}}, fx);
  }
  answer_error(
      client, id, -32002,
      Error{ErrorKind::invalid_request, "the first request must be initialize, not " + std::string(method), {}}, fx);
}

// ---- to the server ------------------------------------------------------------------------------

void AttachSession::forward_request(Client& client, std::string_view text, const Envelope& e, Client::Queued info,
                                    Permit permit, DeferredActions& fx) {
  const auto method = e.method();
  const long long id = info.request;
  if (refuses_old_item(client, text, e, fx)) return fx.permits.push_back(std::move(permit));
  Pending pending{.client = client.id,
                  .id = std::string(e.id),
                  .deadline = info.deadline,
                  .permit = std::move(permit),
                  .shutdown = method == "shutdown",
                  .command = method == "workspace/executeCommand",
                  .reads = !waits_by_design(method) || method == "workspace/executeCommand",
                  .goes_on = !may_be_cancelled(config(), method),
                  .repetitions = info.repetitions,
                  .changes = views_.changes(),
                  .gives = items_given_by(method)};
  if (pending.shutdown) {
    client.shutdown = true;
    const bool others = std::ranges::any_of(
        clients_, [&](const auto& other) { return other.second.get() != &client && !other.second->shutdown; });
    if (others)
      return fx.items.push_back({client.editor, R"({"jsonrpc":"2.0","id":)" + pending.id + R"(,"result":null})"});
    server_.step(ServerEvent::editor_shuts_down, fx);
  }
  // One that is alone may have to move, too.
  if (!key_.empty() && pending.reads && !pending.command) pending.text = text;
  if (client.understood->cuts(method)) {
    pending.cut = method;
    if (method == "textDocument/documentSymbol") {
      const auto uri = parse_json(member(member(scan(text, Scan::full).params, "textDocument"), "uri"));
      if (uri && uri->is_string()) pending.uri = *uri;
    }
  }
  std::string own = without_result_ids(client, text, e, id, pending);
  if (method == "textDocument/codeAction" && client.understood->cuts("textDocument/publishDiagnostics"))
    own = with_published(client, text);
  // The tokens of two clients may be equal, and what the server says of a request that was given up comes late.
  for (const char* const name : {"workDoneToken", "partialResultToken"}) {
    if (text.find(name) == std::string_view::npos) continue;
    const std::string_view now = own.empty() ? text : std::string_view(own);
    const auto token = member(scan(now, Scan::full).params, name);
    if (token.empty() || token == "null") continue;
    std::string key(token);
    if (!alone() || tokens_.contains(key) || servers_tokens_.contains(key))
      key = kOwnToken + std::to_string(server_.next_id()) + '"';
    tokens_[key] = {client.id, std::string(token)};
    pending.tokens.push_back(key);
    if (name == std::string_view("partialResultToken") && !pending.cut.empty()) pending.partial = key;
    if (key == token) continue;
    std::string renamed;
    append_with_id(renamed, now, token, key);
    own = std::move(renamed);
  }
  if (own.empty()) {
    server_.send_with_id(text, e.id, std::to_string(id), fx);
  } else {
    server_.send_with_id(own, scan(own, Scan::route).id, std::to_string(id), fx);
  }
  ++client.requests;
  watch_deadline(pending.deadline, id);
  pending_.emplace(id, std::move(pending));
}

// False: it waits.
bool AttachSession::forward_notification(Client& client, std::string_view text, const Envelope& e,
                                         DeferredActions& fx) {
  const auto method = e.method();
  if (method == kShowsView) {
    wait_for_diagnostics(client, fx);
    return true;
  }
  if (TrackedDocuments::concerns(method)) {
    // In a server of its own, where others do not depend on it, its texts need not be known.
    if (!alone() && !is_stopped(server_.state()) && !views_.documents(client.id).has_room(text.size())) {
      if (client.guest || !settings_are_one()) {
        move_out_later(client, fx);
        return false;
      }
      drop(guests(), fx);
    }
    forward_document(client, text, e, fx);
    return true;
  }
  if (TrackedNotebooks::concerns(method)) {
    // What a view would have to do about cells is not known here: the editor has a server of its own.
    if (method == "notebookDocument/didOpen" && !alone() && !is_stopped(server_.state())) {
      if (!settings_are_one()) {
        move_out_later(client, fx);
        return false;
      }
      drop(guests(), fx);
    }
    client.notebooks.follow(method, scan(text, Scan::full).params);
    server_.send(text, fx);
    return true;
  }
  if (method == "initialized") {
    client.initialized_text = text;
    if (std::exchange(initialized_sent_, true)) {
      late_initialized(client, fx);
      return true;
    }
    server_.send(text, fx);
    if (!settings_.empty() && configuration_text_.empty()) tell_settings(fx);
    tell_folders(fx);
    return true;
  } else if (method == "workspace/didChangeConfiguration") {
    if (client.guest) return true;
    client.configuration_text = text;
    const bool same = is_stopped(server_.state()) || settings_in(text) == settings_in(configuration_text_);
    if (!settings_are_one() && same) return true;
    if (!settles(client)) return true;
    if (!settings_are_one() && config().share != Share::root) {
      move_out_later(client, fx);
      return false;
    }
    configuration_text_ = text;
    tell_settings(fx);
    return true;
  } else if (method == "workspace/didChangeWorkspaceFolders") {
    folders_changed(client, text, scan(text, Scan::full).params, fx);
    return true;
  } else if (method == "window/workDoneProgress/cancel") {
    cancel_progress(client, text, fx);
    return true;
  } else if (method == "workspace/didChangeWatchedFiles") {
    pass_report(client, text, fx);
    return true;
  }
  server_.send(text, fx);
  if (method == "textDocument/didSave" && !alone()) {
    const auto uri = parse_json(member(member(scan(text, Scan::full).params, "textDocument"), "uri"));
    if (uri && uri->is_string()) look_at_saved(document_key(uri->get<std::string>()), fx);
  }
  return true;
}

// The server knows the token of the client's own request under another name. Another client's is not the client's to
// cancel.
void AttachSession::cancel_progress(Client& client, std::string_view text, DeferredActions& fx) {
  const auto token = member(scan(text, Scan::full).params, "token");
  const auto own = std::ranges::find_if(tokens_, [&](const auto& entry) {
    return entry.second.first == client.id && same_id(entry.second.second, token);
  });
  if (own != tokens_.end()) {
    std::string renamed;
    append_with_id(renamed, text, token, own->first);
    server_.send(renamed, fx);
  } else if (alone() || servers_tokens_.contains(std::string(token))) {
    server_.send(text, fx);
  }
}

void AttachSession::forward_document(Client& client, std::string_view text, const Envelope& e, DeferredActions& fx) {
  const auto params = scan(text, Scan::full).params;
  const auto before = views_.changes();
  auto forwarded = views_.forward(client.id, e.method(), text, params, sender(fx));
  if (!forwarded.language.empty()) language_opened(forwarded.language, fx);
  if (forwarded.refused) {
    const auto& lost = views_.documents(client.id).lost();
    if (!lost.empty()) {
      return leave(
          client,
          std::unexpected(
              Error{ErrorKind::unavailable, lost + ", and other editors share " + config().name + "; attach anew", {}}),
          fx);
    }
    return fx.log(context_, Level::warn,
                  std::string(e.method()) + " of a document that its editor has not opened was left out");
  }
  if (alone()) return;
  if (e.method() == "textDocument/didClose") close_diagnostics(client, params, fx);
  if (!forwarded.shared.empty() && client.guest) {
    // What was said of the text may be older than the headers of now.
    texts_changed();
    views_.send_anew(client.id, forwarded.shared, sender(fx));
  } else if (!forwarded.shared.empty()) {
    deliver(views_.present(client.id, forwarded.shared), fx);
  }
  if (views_.changes() == before) return;
  ask_whether_settled(fx);
  if (e.method() == "textDocument/didOpen") {
    const auto uri = parse_json(member(member(params, "textDocument"), "uri"));
    if (uri && uri->is_string()) look_at_saved(document_key(uri->get<std::string>()), fx);
  }
}

// Others have the document open, so the server does not withdraw the diagnostics of the text that is closed.
void AttachSession::close_diagnostics(Client& client, std::string_view params, DeferredActions& fx) {
  const auto uri = parse_json(member(member(params, "textDocument"), "uri"));
  if (!uri || !uri->is_string()) return;
  const auto key = document_key(uri->get<std::string>());
  if (!views_.server_has(key)) return;
  for (auto& message : client.standing.withdraw(key)) fx.items.push_back({client.editor, std::move(message)});
  deliver(views_.present(client.id, key), fx);
}

void AttachSession::cancel(Client& client, std::string_view text, DeferredActions& fx) {
  consumed(client);
  const std::string_view id = member(scan(text, Scan::full).params, "id");
  if (id.empty()) return;
  if (!client.answered && same_id(client.init_id, id)) {
    if (alone()) server_.cancel_initialize(fx);
    return;
  }
  for (auto& [ours, pending] : pending_) {
    if (pending.client != client.id || pending.id.empty() || !same_id(pending.id, id)) continue;
    pending.cancelled = true;
    return cancel_sent(ours, pending, fx);
  }
  for (auto it = client.queue.begin(); it != client.queue.end(); ++it) {
    if (it->request == 0) continue;
    const std::string editors(scan(it->text, Scan::route).id);
    if (!same_id(editors, id)) continue;
    drop_queued(client, it);
    answer_error(client, editors, static_cast<int>(ErrorKind::cancelled),
                 Error{ErrorKind::cancelled, "cancelled before it was sent to " + config().name, {}}, fx);
    return pump(fx);
  }
}

// ---- the editor leaves, or is slow --------------------------------------------------------------

void AttachSession::editor_left(ClientId id, const Result<json>& answer) {
  Section section(*this);
  if (auto* const client = find(id)) leave(*client, answer, section.fx);
}

void AttachSession::all_left(const Result<json>& answer) {
  Section section(*this);
  for (const auto& [id, client] : clients_) end_stream(*client, answer, section.fx);
  server_.step(ServerEvent::close, section.fx);
}

void AttachSession::leave(Client& client, const Result<json>& answer, DeferredActions& fx) {
  end_stream(client, answer, fx);
  if (clients() == 0) return server_.step(ServerEvent::close, fx);
  const auto hold = clients_.at(client.id);
  forget(client, fx);
  fx.run.push_back([hold] {});
  server_.resume_output();  // it may have been held for this one
  pump(fx);
}

void AttachSession::end_stream(Client& client, const Result<json>& answer, DeferredActions& fx) {
  if (client.ended) return;
  client.ended = true;
  for (auto it = pending_.begin(); it != pending_.end();) {
    if (it->second.client != client.id) {
      ++it;
      continue;
    }
    fx.permits.push_back(std::move(it->second.permit));
    deadlines_.erase({it->second.deadline, it->first});
    for (const auto& token : it->second.tokens) tokens_.erase(token);
    if (clients() > 0 && !it->second.id.empty()) cancel_sent(it->first, it->second, fx);
    it = pending_.erase(it);
  }
  if (client.spare) fx.permits.push_back(std::move(client.spare));
  for (const auto& queued : client.queue) deadlines_.erase({queued.deadline, queued.request});
  client.queue.clear();
  client.queued_bytes = client.queued_requests = 0;
  fx.run.push_back([editor = client.editor, answer] { editor->end(answer); });
}

void AttachSession::consumed(Client& client, std::uint32_t items) {
  client.consumed += items;
  if (client.consumed < kRegrant || client.editor->blocked()) return;
  client.editor->grant(std::exchange(client.consumed, 0));
}

void AttachSession::editor_gave_credit(ClientId id) {
  std::shared_ptr<Client> client;
  {
    Lock lock(mutex_);
    if (const auto it = clients_.find(id); it != clients_.end()) client = it->second;
  }
  if (!client) return;
  std::vector<std::string> refused_items;
  const bool all_sent = client->editor->credit(refused_items);
  for (const auto& text : refused_items) refused(*client->editor, text);
  if (!all_sent) return;
  Lock lock(mutex_);
  server_.resume_output();
  consumed(*client, 0);
}

// ---- limits -------------------------------------------------------------------------------------

// A guest's callers have their own limits.
bool AttachSession::needs_permit(const Client& client, std::string_view method) const {
  return !client.guest && context_->editors_need_permits.load(std::memory_order_relaxed) && !waits_by_design(method);
}

TimePoint AttachSession::deadline_of(const Client& client, std::string_view method) const {
  return client.guest || waits_by_design(method) ? TimePoint::max() : context_->editor_deadline();
}

void AttachSession::watch_deadline(TimePoint deadline, long long id) {
  if (deadline == TimePoint::max()) return;
  deadlines_.emplace(deadline, id);
  arm();
}

// Nobody knows which of the client's open requests waits for the answer.
void AttachSession::user_is_asked(ClientId client, DeferredActions& fx) {
  for (auto& [id, pending] : pending_) {
    if (pending.client != client) continue;
    if (pending.permit) fx.permits.push_back(std::move(pending.permit));
    deadlines_.erase({pending.deadline, id});
    pending.deadline = TimePoint::max();
    if (!pending.command) continue;
    pending.lets_next = true;
    if (!alone()) pending.reads = false;
  }
}

void AttachSession::wait_for_permit(ClientId id) {
  const auto asked = context_->editor_permits->acquire([weak = weak_from_this(), id](Permit permit) {
    if (const auto user = weak.lock()) static_cast<AttachSession&>(*user).granted(id, std::move(permit));
  });
  if (asked) return;
  Section section(*this);
  auto* const client = find(id);
  if (client == nullptr) return;
  client->waits_for_permit = false;
  if (!client->queue.empty() && client->queue.front().request != 0) {
    const std::string editors(scan(client->queue.front().text, Scan::route).id);
    drop_queued(*client, client->queue.begin());
    answer_error(*client, editors, kRequestFailed, asked.error(), section.fx);
  }
  pump(section.fx);
}

void AttachSession::granted(ClientId id, Permit permit) {
  Section section(*this);
  auto* const client = find(id);
  if (client == nullptr || client->ended) return section.fx.permits.push_back(std::move(permit));
  client->waits_for_permit = false;
  client->spare = std::move(permit);  // it held none: one that waits has none to spare
  pump(section.fx);
}

void AttachSession::arm() {
  const TimePoint next = deadlines_.begin()->first;
  if (next >= armed_for_) return;  // that timer will look, and arm the next
  armed_for_ = next;
  const auto timer = context_->host.after(next - context_->host.now(), later(&AttachSession::expire));
  if (!timer) armed_for_ = TimePoint::max();
}

void AttachSession::expire() {
  Section section(*this);
  armed_for_ = TimePoint::max();
  const TimePoint now = context_->host.now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const long long id = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    if (auto it = pending_.find(id); it != pending_.end()) {
      const std::string editors = std::move(it->second.id);
      auto* const client = find(it->second.client);
      section.fx.permits.push_back(std::move(it->second.permit));
      for (const auto& token : it->second.tokens) tokens_.erase(token);
      cancel_sent(id, it->second, section.fx);
      pending_.erase(it);
      if (client == nullptr) continue;
      answer_error(
          *client, editors, kRequestFailed,
          Error{ErrorKind::timeout,
                config().name + " did not answer within the request's time ([lsp] editor_request_timeout_seconds)",
                {}},
          section.fx);
      continue;
    }
    for (const auto& [client_id, client] : clients_) {
      const auto it = std::ranges::find(client->queue, id, &Client::Queued::request);
      if (it == client->queue.end()) continue;
      const std::string editors(scan(it->text, Scan::route).id);
      drop_queued(*client, it);
      const char* why = is_serving(server_.state()) ? " was busy until the request's time was over"
                                                    : " was not ready until the request's time was over";
      answer_error(*client, editors, kRequestFailed, Error{ErrorKind::timeout, config().name + why, {}}, section.fx);
      break;
    }
  }
  pump(section.fx);
  if (!deadlines_.empty()) arm();
}

}  // namespace gantry::lsp
