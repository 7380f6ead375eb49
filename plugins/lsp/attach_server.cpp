// SPDX-License-Identifier: Apache-2.0
//
// The server's side of an attach session: its answers, its requests, its crashes.
#include <algorithm>
#include <gantry/file_uri.hpp>
#include <gantry/repair.hpp>

#include "plugins/lsp/attach.hpp"
#include "plugins/lsp/capabilities/member_at.hpp"
#include "plugins/lsp/messages.hpp"

namespace gantry::lsp {

namespace {

// Of the user: only one client may answer.
[[nodiscard]] bool asks_user(std::string_view method) {
  return method == "window/showMessageRequest" || method == "window/showDocument" || method == "workspace/applyEdit";
}

// It concerns every client alike.
[[nodiscard]] bool concerns_all(std::string_view method) {
  return method == "client/registerCapability" || method == "client/unregisterCapability" ||
         method == "window/workDoneProgress/create" || method == "workspace/configuration" ||
         (method.starts_with("workspace/") && method.ends_with("/refresh"));
}

// The versions in a workspace edit, or in what holds some, become the client's.
void translate_versions(json& value, const Views& views, ClientId client) {
  if (value.is_array()) {
    for (auto& each : value) translate_versions(each, views, client);
    return;
  }
  if (!value.is_object()) return;
  if (const auto changes = value.find("documentChanges"); changes != value.end() && changes->is_array()) {
    for (auto& change : *changes) {
      if (!change.is_object() || !change.contains("textDocument") || !change["textDocument"].is_object()) continue;
      auto& document = change["textDocument"];
      const auto uri = document.find("uri"), version = document.find("version");
      if (uri == document.end() || !uri->is_string() || version == document.end() || !version->is_number_integer())
        continue;
      const auto own = views.client_version(client, uri->get<std::string>(), version->get<long long>());
      *version = own ? json(*own) : json();
    }
  }
  if (const auto edit = value.find("edit"); edit != value.end()) translate_versions(*edit, views, client);
}

}  // namespace

// ---- the handshake --------------------------------------------------------------------------------------------------

Result<void> AttachSession::initialized(std::string_view text, const Envelope& e, DeferredActions& fx) {
  const bool refused = !e.error.empty();
  const bool follows = std::ranges::any_of(clients_, [](const auto& entry) { return entry.second->answered; });
  if (follows && refused)
    return fail(ErrorKind::unavailable, "refused initialize after a restart: " + std::string(e.error));
  if (!refused) {
    welcome_ = text;
    learn_capabilities(e.result, fx);
  }
  if (follows) replay(fx);
  std::vector<Client*> others;
  for (const auto& [id, client] : clients_) {
    if (client->answered || client->ended || (!client->admitted && !refused)) continue;
    if (refused) {
      std::string answer;
      append_with_id(answer, text, e.id, client->init_id);
      fx.items.push_back({client->editor, std::move(answer)});
    } else if (moves_as_misfit(*client, fx)) {
      continue;
    } else {
      fx.items.push_back({client->editor, welcome_for(*client)});
    }
    client->answered = true;
    others.push_back(client.get());
  }
  if (!refused) return {};
  const Result<json> answer =
      fail(ErrorKind::upstream_failed, config().name + " refused initialize: " + std::string(e.error));
  for (auto* const client : others) end_stream(*client, answer, fx);
  server_.step(ServerEvent::close, fx);
  return {};
}

void AttachSession::replay(DeferredActions& fx) {
  std::string initialized;
  for (const auto& [id, client] : clients_) {
    if (initialized.empty()) initialized = client->initialized_text;
  }
  if (!initialized.empty()) server_.send(initialized, fx);
  initialized_sent_ = !initialized.empty();
  if (!configuration_text_.empty() || (initialized_sent_ && !settings_.empty())) tell_settings(fx);
  for (const auto& text : folder_texts_) server_.send(text, fx);
  tell_folders(fx);
  views_.reopen(sender(fx));
  if (!has_notebooks()) return;
  drop(guests(), fx);
  for (const auto& [id, client] : clients_) {
    if (settings_are_one()) {
      client->notebooks.replay(sender(fx));
    } else if (!client->notebooks.empty()) {  // opened while the server was stopped
      move_out_later(*client, fx);
    }
  }
}

// ---- what it says ---------------------------------------------------------------------------------------------------

void AttachSession::message(std::string_view text, const Envelope& e, DeferredActions& fx) {
  if (e.is_response()) return answered(text, e, fx);
  const auto method = e.method();
  if (e.is_request()) {
    ask_clients(text, e, fx);
  } else if (method == "$/cancelRequest") {
    pass_cancel(text, fx);
  } else if (method == "textDocument/publishDiagnostics") {
    deliver(views_.published(text, scan(text, Scan::full).params), fx);
    if (!alone()) pump(fx);
  } else if (method == "$/progress") {
    pass_progress(text, fx);
  } else {
    tell_clients(text, method, fx);
  }
}

void AttachSession::answered(std::string_view text, const Envelope& e, DeferredActions& fx) {
  const auto it = pending_.find(own_id(e.id));
  if (it == pending_.end()) return nobody_waits(e.id, fx);
  Pending pending = std::move(it->second);
  deadlines_.erase({pending.deadline, it->first});
  pending_.erase(it);
  fx.permits.push_back(std::move(pending.permit));
  for (const auto& token : pending.tokens) tokens_.erase(token);
  views_.settled(pending.changes);
  if (!alone() || pending.recalled) {
    const bool error = e.is_response() && member(text, "result").empty();
    // A server may answer a cancelled request with what it has found until then, or with nothing, as a result.
    const bool again = (error || pending.recalled) && repeat(pending, error ? scan(text, Scan::full).error : "", fx);
    if (again) return pump(fx);
    if (auto* const client = find(pending.client); client != nullptr && pending.recalled && !pending.cancelled) {
      answer_error(*client, pending.id, kContentModified,
                   Error{ErrorKind::unavailable, "another editor of " + config().name + " waited; ask again", {}}, fx);
      return pump(fx);
    }
  }
  if (pending.client == 0) {
    asks_settled_ = false;
    if (changed_since_) ask_whether_settled(fx);
    return pump(fx);
  }
  if (auto* const client = find(pending.client)) {
    const bool notes = pending.gives != 0 || !pending.result_of.empty();
    if (notes && !member(text, "result").empty()) note_result(*client, pending, own_id(e.id));
    std::string item;
    item.reserve(text.size() + pending.id.size());
    append_with_id(item, text, e.id, pending.id);
    if (!alone() && item.find("\"documentChanges\"") != std::string::npos)
      item = with_client_versions(pending, std::move(item));
    if (!pending.cut.empty()) item = cut_answer(*client, pending, std::move(item));
    fx.items.push_back({client->editor, std::move(item)});
  }
  if (!alone()) pump(fx);
}

std::string AttachSession::with_client_versions(const Pending& pending, std::string text) {
  auto message = parse_json(text);
  if (!message || !message->is_object() || !message->contains("result")) return text;
  translate_versions((*message)["result"], views_, pending.client);
  return dump_json(*message);
}

void AttachSession::deliver(std::vector<Views::Delivery> deliveries, DeferredActions& fx) {
  for (auto& each : deliveries) {
    auto* const client = find(each.to);
    if (client == nullptr || client->ended || !client->answered) continue;
    if (client->guest && !each.latest) continue;  // what is not for its text of now says nothing to callers
    client->standing.follow("textDocument/publishDiagnostics", scan(each.message, Scan::full).params);
    std::string ignored;
    auto message = cut_message(*client, "textDocument/publishDiagnostics", std::move(each.message), ignored);
    if (message) fx.items.push_back({client->editor, std::move(*message)});
    if (!each.latest) continue;
    std::erase_if(pending_, [&](const auto& entry) {
      return entry.second.client == each.to && entry.second.id.empty();  // what it has waited for
    });
  }
}

void AttachSession::pass_progress(std::string_view text, DeferredActions& fx) {
  const auto params = scan(text, Scan::full).params;
  const std::string token(member(params, "token"));
  const auto send_to = [&](Client& client, std::string message) {
    if (client.ended) return;
    client.standing.follow("$/progress", scan(message, Scan::full).params);
    fx.items.push_back({client.editor, std::move(message)});
  };
  if (const auto own = tokens_.find(token); own != tokens_.end()) {
    auto* const client = find(own->second.first);
    if (client == nullptr) return;
    std::string message;
    append_with_id(message, text, member(params, "token"), own->second.second);
    return send_to(*client, cut_partial(*client, token, std::move(message)));
  }
  if (token.starts_with(kOwnToken)) return;  // of a request that was given up
  const auto told = servers_tokens_.find(token);
  for (const auto& [id, client] : clients_) {
    if (!client->understood->progress) continue;
    if (told == servers_tokens_.end() ? alone() || client->admitted : told->second.contains(id))
      send_to(*client, std::string(text));
  }
  if (told != servers_tokens_.end() && member(member(params, "value"), "kind") == R"("end")")
    servers_tokens_.erase(told);
}

// What names a document is for those that have it open and see the text that it speaks of; all else is for all editors.
// The server was asked to tell what it does for a file, which not every editor has wished.
void AttachSession::tell_clients(std::string_view text, std::string_view method, DeferredActions& fx) {
  const bool tells_files = method == "textDocument/clangd.fileStatus";
  const auto wants = [&](const Client& client) GANTRY_NO_TSA {
    return client.guest ? tells_files : !tells_files || key_.empty() || client.files_told;
  };
  if (alone()) {
    for (const auto& [id, client] : clients_) {
      if (!client->ended && wants(*client)) fx.items.push_back({client->editor, std::string(text)});
    }
    return;
  }
  const auto params = scan(text, Scan::full).params;
  auto raw = member(member(params, "textDocument"), "uri");
  if (raw.empty()) raw = member(params, "uri");
  const auto uri = parse_json(raw);
  const std::string key = uri && uri->is_string() ? document_key(uri->get<std::string>()) : std::string();
  const auto has = [&](const auto& entry) GANTRY_NO_TSA {
    return views_.has(entry.first) && views_.documents(entry.first).find(key) != nullptr;
  };
  const bool open = !key.empty() && std::ranges::any_of(clients_, has);
  for (const auto& entry : clients_) {
    const auto& client = *entry.second;
    // A guest has to learn that the server is done also when another view is shown by then.
    const bool sees = !open || (has(entry) && (client.guest || views_.shows(entry.first)));
    if (client.ended || !client.answered || !wants(client) || !sees) continue;
    fx.items.push_back({client.editor, std::string(text)});
  }
}

// ---- what it asks ---------------------------------------------------------------------------------------------------

std::vector<ClientId> AttachSession::asked_for(std::string_view method) const {
  std::vector<ClientId> answered, all, guests;
  for (const auto& [id, client] : clients_) {
    if (client->ended || !client->admitted || !client->answered) continue;
    if (client->guest) {
      guests.push_back(id);
      continue;
    }
    answered.push_back(id);
    if (!client->initialized_text.empty()) all.push_back(id);  // others are told when they are
  }
  if (all.empty()) all = std::move(answered);
  if (all.empty()) return guests;
  if (method == "window/workDoneProgress/create" || method == "workspace/diagnostic/refresh")
    all.insert(all.end(), guests.begin(), guests.end());
  if (method == "workspace/configuration" && config().share == Share::root && !all.empty()) return {all.front()};
  if ((all.size() <= 1 && guests.empty()) || concerns_all(method)) return all;
  std::set<ClientId> commanding;
  for (const auto& [id, pending] : pending_) {
    if (pending.command) commanding.insert(pending.client);
  }
  if (asks_user(method) && commanding.size() == 1) return {*commanding.begin()};
  if (std::ranges::find(all, active_) != all.end()) return {active_};
  return {all.front()};
}

bool AttachSession::settles(const Client& client) const {
  if (config().share != Share::root) return true;
  const auto asked = asked_for("workspace/configuration");
  return asked.empty() || asked.front() == client.id;
}

void AttachSession::ask_clients(std::string_view text, const Envelope& e, DeferredActions& fx) {
  const auto method = e.method();
  const std::string id(e.id);
  const auto params = scan(text, Scan::full).params;
  const auto may_be_asked = [&](ClientId each)
                                GANTRY_NO_TSA { return clients_.at(each)->understood->may_be_asked(method); };
  const bool folders_asked = method == "workspace/workspaceFolders";
  auto asked = asks_.full() ? std::vector<ClientId>() : asked_for(method);
  if (folders_asked && (!alone() || std::ranges::none_of(asked, may_be_asked))) {
    json all = json::array();
    for (const auto& folder : folders()) all.push_back(folder_entry(folder));
    return answer_server_itself(id, all, fx);
  }
  follow_registrations(method, params);
  if (asked.empty()) {
    return server_.send(
        error_message(id, kRequestFailed, Error{ErrorKind::unavailable, "the editor does not answer any more", {}}),
        fx);
  }
  ServerAsks::Ask ask{id, std::string(method), {}};
  if (method == "workspace/configuration") {
    const auto doc = parse_json(params);
    ask.params = doc ? dump_json(*doc) : std::string(params);
  }
  const ClientId first = asked.front();
  std::erase_if(asked, [&](ClientId each) { return !may_be_asked(each); });
  if (asked.empty()) {
    if (method == "window/workDoneProgress/create" && servers_tokens_.size() < Standing::kMaxProgress)
      servers_tokens_[std::string(member(params, "token"))] = {};
    const json result = answer_unasked(*clients_.at(first), method, params);
    answer_server_itself(id, method == "workspace/configuration" ? over_settings(result, params) : result, fx);
    if (method != "workspace/configuration") return;
    configured(*clients_.at(first), ask, dump_json(result), fx);
    return configured_unasked(ask, fx);
  }
  std::vector<std::pair<ClientId, long long>> copies;
  std::map<ClientId, std::string> items;
  std::string why;
  for (const auto client : asked) {
    const long long copy = server_.next_id();
    std::string item;
    append_with_id(item, text, e.id, std::to_string(copy));
    if (method == "workspace/applyEdit" && !alone() && item.find("\"documentChanges\"") != std::string::npos) {
      if (auto message = parse_json(item); message && message->is_object()) {
        translate_versions((*message)["params"], views_, client);
        item = dump_json(*message);
      }
    }
    auto less = cut_message(*clients_.at(client), method, std::move(item), why);
    if (!less) continue;
    copies.emplace_back(client, copy);
    items.emplace(client, std::move(*less));
  }
  if (copies.empty()) {
    json result;
    if (!why.empty()) result = {{"applied", false}, {"failureReason", why}};
    return answer_server_itself(id, result, fx);
  }
  asks_.sent(ask, copies);
  if (method == "window/workDoneProgress/create" && servers_tokens_.size() < Standing::kMaxProgress)
    servers_tokens_[std::string(member(params, "token"))] = {asked.begin(), asked.end()};
  for (const auto& [to, copy] : copies) {
    auto& client = *clients_.at(to);
    std::string& item = items.at(to);
    if (Standing::concerns(method)) client.standing.follow(method, scan(item, Scan::full).params);
    if (asks_user(method)) user_is_asked(to, fx);
    fx.items.push_back({client.editor, std::move(item)});
  }
  watch_asks();
}

void AttachSession::watch_asks() {
  if (asks_watched_ || alone() || asks_.none()) return;
  for (const auto& [id, client] : clients_) client->taken_then = client->editor->taken();
  asked_before_ = server_.last_id();
  asks_watched_ = context_->host.after(kAskTime, later(&AttachSession::look_at_asks)).has_value();
}

void AttachSession::answer_server_itself(std::string_view id, const json& result, DeferredActions& fx) {
  server_.send(R"({"jsonrpc":"2.0","id":)" + std::string(id) + R"(,"result":)" + dump_json(result) + "}", fx);
}

// A client that reads is given all the time that its user needs.
void AttachSession::look_at_asks() {
  Section section(*this);
  asks_watched_ = false;
  for (const auto& [id, client] : clients_) {
    if (!client->editor->blocked() || client->editor->taken() != client->taken_then) continue;
    for (const auto copy : asks_.open_for(id)) {
      if (copy > asked_before_) continue;
      if (const auto answered = asks_.answered(id, copy, true); answered && answered->first)
        answer_for_clients(answered->ask, section.fx);
    }
  }
  watch_asks();
}

void AttachSession::answer_for_clients(const ServerAsks::Ask& ask, DeferredActions& fx) {
  if (ask.id.empty()) return;
  json result;
  if (ask.method == "workspace/applyEdit") result = {{"applied", false}, {"failureReason", "the editor has gone"}};
  if (ask.method == "window/showDocument") result = {{"success", false}};
  if (ask.method == "workspace/configuration") {
    return server_.send(error_message(ask.id, kRequestFailed, Error{ErrorKind::unavailable, "the editor has gone", {}}),
                        fx);
  }
  answer_server_itself(ask.id, result, fx);
}

void AttachSession::answer_server(Client& client, std::string_view text, const Envelope& e, DeferredActions& fx) {
  consumed(client);
  const long long copy = own_id(e.id);
  const Envelope whole = scan(text, Scan::full);
  const auto answered = asks_.answered(client.id, copy, !whole.error.empty());
  if (!answered) return;  // the server that asked is gone
  if (answered->first && !answered->ask.id.empty()) answer_question(answered->ask, text, whole, fx);
  if (answered->ask.method != "workspace/configuration") return;
  configured(client, answered->ask, whole.error.empty() ? whole.result : whole.error, fx);
  if (answered->first) configured_unasked(answered->ask, fx);
  const auto comparing = comparing_.find(client.id);
  if (comparing == comparing_.end() || comparing->second.erase(copy) == 0 || !comparing->second.empty()) return;
  comparing_.erase(comparing);
  if (client.unlike.contains(this)) return;  // it moves
  is_like_the_others(client, fx);
  pump(fx);
}

// Clients share a server while their settings are equal, or do not matter.
void AttachSession::configured(Client& client, const ServerAsks::Ask& ask, std::string_view answer,
                               DeferredActions& fx) {
  if (client.guest) return;
  const auto doc = parse_json(answer);
  const std::string now = doc ? dump_json(*doc) : std::string(answer);
  const auto known = configurations_.find(ask.params);
  if (known == configurations_.end()) {
    if (configurations_.size() < kMaxConfigurations) configurations_.emplace(ask.params, now);
  } else if (known->second != now && (settings_are_one() || config().share == Share::root)) {
    known->second = now;
  } else if (known->second != now) {
    move_out_later(client, fx);
  }
}

void AttachSession::follow_registrations(std::string_view method, std::string_view params) {
  const bool begins = method == "client/registerCapability";
  if (!begins && method != "client/unregisterCapability") return;
  const auto all = parse_json(member(params, begins ? "registrations" : "unregisterations"));  // spelt so
  if (!all || !all->is_array()) return;
  for (const auto& each : *all) {
    if (!each.is_object() || !each.contains("id") || !each["id"].is_string()) continue;
    const std::string id = each["id"];
    if (!begins) {
      const auto it = registrations_.find(id);
      if (it == registrations_.end()) continue;
      std::erase_if(it->second.get_ref<json::array_t&>(),
                    [&](const json& same) { return part(same, "method") == part(each, "method"); });
      if (it->second.empty()) registrations_.erase(it);
    } else if (registrations_.size() < Standing::kMaxRegistrations) {
      // Some servers give several one id, some register again what they have registered.
      json& same = registrations_[id];
      if (same.size() < kMaxOfOneId && std::ranges::find(same, each) == same.end()) same.push_back(each);
      if (part(each, "method") == "workspace/didChangeWorkspaceFolders") used_ &= ~feature::kFixedFolders;
    }
  }
  watch_files();
}

// The clients were asked under ids of ours. One that has answered already is not told.
void AttachSession::pass_cancel(std::string_view text, DeferredActions& fx) {
  const Envelope whole = scan(text, Scan::full);
  const auto id = member(whole.params, "id");
  for (const auto& [to, copy] : asks_.copies_of(id)) {
    auto* const client = find(to);
    if (client == nullptr) continue;
    std::string item;
    append_with_id(item, text, id, std::to_string(copy));
    fx.items.push_back({client->editor, std::move(item)});
  }
}

// ---- it is gone -----------------------------------------------------------------------------------------------------

// Another takes its place: its questions are withdrawn, its progress and what it has registered end.
void AttachSession::end_what_stands(Client& client, DeferredActions& fx) {
  for (auto& message : client.standing.end(std::to_string(server_.next_id())))
    fx.items.push_back({client.editor, std::move(message)});
}

void AttachSession::down(const Error& error, DeferredActions& fx) {
  for (const auto& [to, copy] : asks_.clear()) {
    auto* const client = find(to);
    if (client == nullptr || client->ended || client->shutdown) continue;
    fx.items.push_back({client->editor, R"({"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":)" +
                                            std::to_string(copy) + "}}"});
  }
  for (const auto& [id, client] : clients_) {
    client->kept.renew();
    if (client->guest) continue;
    if (!client->ended && !client->shutdown) end_what_stands(*client, fx);
    if (client->unlike.contains(this)) continue;
    client->held = false;
  }
  comparing_.clear();
  configurations_.clear();
  registrations_.clear();
  fx.run.push_back([files = std::exchange(files_, nullptr)] {});
  servers_tokens_.clear();
  tokens_.clear();
  highlighted_.clear();
  initialized_sent_ = asks_settled_ = false;
  for (auto& [id, pending] : pending_) {
    deadlines_.erase({pending.deadline, id});
    fx.permits.push_back(std::move(pending.permit));
    auto* const client = find(pending.client);
    if (client == nullptr || client->guest || pending.id.empty()) continue;
    if (pending.shutdown) {
      fx.items.push_back({client->editor, R"({"jsonrpc":"2.0","id":)" + pending.id + R"(,"result":null})"});
    } else {
      answer_error(*client, pending.id, kRequestFailed, error, fx);
    }
  }
  end_guests(fx);
  pending_.clear();
  waits_for_view_ = 0;
}

Result<void> AttachSession::may_follow() const {
  const bool leaving = std::ranges::all_of(clients_, [](const auto& entry) { return entry.second->shutdown; });
  auto lost = views_.lost();
  for (const auto& [id, client] : clients_) lost = lost.empty() ? client->notebooks.lost() : lost;
  if ((leaving && !clients_.empty()) || lost.empty()) return {};
  return fail(ErrorKind::unavailable, lost + ", so they cannot be opened again in it; attach anew");
}

void AttachSession::gave_up(const Error& error, DeferredActions& fx) {
  const bool any = clients() > 0;
  for (const auto& [id, client] : clients_) {
    if (client->ended) continue;
    if (client->guest) {
      end_stream(*client, std::unexpected(error), fx);
      continue;
    }
    if (!client->answered && !client->init_id.empty())
      answer_error(*client, client->init_id, kRequestFailed, error, fx);
    for (const auto& queued : client->queue) {
      if (queued.request != 0)
        answer_error(*client, std::string(scan(queued.text, Scan::route).id), kRequestFailed, error, fx);
    }
    end_stream(*client, client->shutdown ? Result<json>(json()) : std::unexpected(error), fx);
  }
  if (any) server_.step(ServerEvent::close, fx);
}

// ---- to the editors -------------------------------------------------------------------------------------------------

void AttachSession::answer_error(Client& client, const std::string& id, int code, const Error& error,
                                 DeferredActions& fx) {
  fx.items.push_back({client.editor, error_message(id, code, error)});
}

bool AttachSession::settle(DeferredActions& fx) {
  if (fx.flush) fx.flush->flush();
  bool blocked = false;
  for (auto& item : fx.items) {
    switch (item.to->send(item.text)) {
      case Editor::Sent::blocked:
        blocked = true;
        break;
      case Editor::Sent::refused:
        refused(*item.to, item.text);
        break;
      case Editor::Sent::ok:
      case Editor::Sent::gone:
        break;
    }
  }
  fx.flush.reset();
  (void)Session::settle(fx);
  if (!blocked) return true;
  // One that does not read holds the server back only for itself.
  bool all = true;
  const auto clients = clients_now();
  for (const auto& client : clients) {
    all = all && client->editor->blocked();
    if (client->editor->kept_bytes() > kMaxUnread && clients.size() > 1) {
      editor_left(client->id, std::unexpected(overloaded("the editor did not read " + std::to_string(kMaxUnread >> 20) +
                                                         " MiB, which others of the server did; attach anew")));
    }
  }
  return !all;
}

// The envelope was sound, but the host takes no such message: it is too large, no JSON, or nested
// too deep. The others are as good as before.
void AttachSession::refused(Editor& editor, const std::string& text) {
  const Envelope e = scan(text, Scan::route);
  const std::size_t most = context_->max_message_bytes;
  const bool too_large = most != 0 && text.size() > most;
  const std::string what = config().name + " sent a message of " + std::to_string(text.size()) +
                           " bytes that the host does not pass on: " +
                           (too_large ? "it takes " + std::to_string(most) + " bytes ([host] max_message_bytes)"
                                      : std::string("it is malformed JSON, or nested too deep"));
  context_->host.log(Level::warn, what + (e.method().empty() ? "" : " (" + std::string(e.method()) + ")"));
  const Error error = too_large ? Error{ErrorKind::too_large, what, dump_json({{"limit", most}})}
                                : Error{ErrorKind::upstream_failed, what, {}};
  if (e.is_response()) {
    std::string answer = error_message(std::string(e.id), kRequestFailed, error);
    (void)editor.send(answer);
  } else if (e.is_request()) {
    DeferredActions fx;
    {
      Lock lock(mutex_);
      for (const auto& [id, client] : clients_) {
        if (client->editor.get() != &editor) continue;
        const auto asked = asks_.answered(id, own_id(e.id), true);
        if (asked && asked->first && !asked->ask.id.empty())
          server_.send(error_message(asked->ask.id, kRequestFailed, error), fx);
        break;
      }
    }
    (void)Session::settle(fx);
  }
}

}  // namespace gantry::lsp
