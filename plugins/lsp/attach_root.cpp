// SPDX-License-Identifier: Apache-2.0
//
// Where a client's server runs, whether there is one that the client may share, and the folders that it has open.
#include <algorithm>
#include <gantry/file_uri.hpp>

#include "plugins/lsp/attach.hpp"
#include "plugins/lsp/capabilities/cut.hpp"
#include "plugins/lsp/messages.hpp"

namespace gantry::lsp {

namespace {

// A path of this machine, if that is what the URI names; else it is the server's alone. `wrong`: why
// a file URI names none.
void add_path(const std::string& uri, std::vector<std::string>& out, std::string& wrong) {
  auto path = to_path(uri);
  if (!path) {
    if (is_file_uri(uri)) wrong = path.error().message;
  } else if (out.size() < AttachSession::kMaxFolders) {
    while (path->size() > 1 && path->ends_with('/')) path->pop_back();  // some editors write folders so
    out.push_back(std::move(*path));
  }
}

// Of an array of workspace folders.
void add_paths(const json& folders, std::vector<std::string>& out, std::string& wrong) {
  if (!folders.is_array()) return;
  for (const auto& folder : folders) {
    if (!folder.is_object() || !folder.contains("uri") || !folder["uri"].is_string()) continue;
    add_path(folder["uri"].get<std::string>(), out, wrong);
  }
}

// The folders that an `initialize` names: workspaceFolders, else rootUri, else rootPath.
[[nodiscard]] std::vector<std::string> folders_named_in(std::string_view params, std::string& wrong) {
  std::vector<std::string> out;
  const auto doc = parse_json(params);
  if (!doc || !doc->is_object()) return out;
  add_paths(doc->value("workspaceFolders", json()), out, wrong);
  for (const char* key : {"rootUri", "rootPath"}) {
    const json root = doc->value(key, json());
    if (out.empty() && root.is_string()) add_path(root.get<std::string>(), out, wrong);
  }
  return out;
}

[[nodiscard]] json missing_in(const std::vector<std::string>& in, const std::vector<std::string>& from) {
  json out = json::array();
  for (const auto& path : from) {
    if (std::ranges::find(in, path) == in.end()) out.push_back(folder_entry(path));
  }
  return out;
}

[[nodiscard]] std::string folder_change(json added, json removed) {
  return dump_json({{"jsonrpc", "2.0"},
                    {"method", "workspace/didChangeWorkspaceFolders"},
                    {"params", {{"event", {{"added", std::move(added)}, {"removed", std::move(removed)}}}}}});
}

}  // namespace

// ---- the first message ----------------------------------------------------------------------------------------------

void AttachSession::first(Client& client, std::string_view text, const Envelope& e, DeferredActions& fx) {
  client.greeted = true;
  client.init_id = e.id;
  const Envelope whole = scan(text, Scan::full);
  // A server may ask for ever whether the process that it is told of lives, and end itself when it may not know: a
  // process that is confined may not signal others (Landlock, since Linux 6.12). The host ends its servers itself.
  client.init_params = with_null(whole.params.empty() ? "{}" : whole.params, "processId");
  declared(client);
  std::string wrong;
  client.folders = folders_named_in(client.init_params, wrong);
  if (!wrong.empty()) {
    fx.log(context_, Level::warn, config().name + " does not run in a folder of its editor: " + wrong);
  }
  find_root(client, fx);
}

void AttachSession::not_begun(DeferredActions& fx) {
  for (const auto& [id, client] : clients_) {
    if (client->greeted && !client->ended) find_root(*client, fx);
  }
}

// Looking at the disk may take its time.
void AttachSession::find_root(Client& client, DeferredActions& fx) {
  std::string wanted = client.asked_root;
  if (wanted.empty() && !client.folders.empty()) wanted = client.folders.front();
  fx.run.push_back([self = self(), id = client.id, wanted = std::move(wanted), home = client.home] {
    const auto posted =
        self->context_->worker.post([self, id, wanted, home] { self->root_is(id, folder_that_exists(wanted, home)); });
    if (!posted) self->cannot_start(posted.error());
  });
}

// Sessions are changed serially with the messages of the clients.
void AttachSession::root_is(ClientId client, std::string root) {
  const auto posted = context_->host.post([weak = weak_from_this(), client, root = std::move(root)] {
    if (const auto user = weak.lock()) static_cast<AttachSession&>(*user).settle_in(client, root);
  });
  if (!posted) cannot_start(Error{ErrorKind::unavailable, "the lsp plugin is stopping; attach anew", {}});
}

void AttachSession::settle_in(ClientId id, std::string root) {
  std::shared_ptr<Client> client;
  std::string key;
  {
    Section section(*this);
    const auto it = clients_.find(id);
    if (it == clients_.end() || it->second->ended || server_.state() != ServerState::not_started) return;
    client = it->second;
    if (const auto may = rules_.may_run(config(), root); !may) return gave_up(may.error(), section.fx);
    key = key_for(*client, root);
  }
  const auto other = key.empty() || !client->notebooks.empty() ? nullptr : rules_.session_for(key, *client);
  if (!other) {
    Section section(*this);
    key_ = key;
    return begin_with(*client, std::move(root), section.fx);
  }
  {
    Section section(*this);
    (void)take(id, section.fx);
  }
  other->join(std::move(client));
}

void AttachSession::begin_with(Client& client, std::string root, DeferredActions& fx) {
  init_params_ = client.init_params;
  environment_ = client.environment;
  if (const auto params = parse_json(client.init_params); !key_.empty() && params && params->is_object()) {
    const json common = common_part(*params, client.folders);
    knows_roots_ = common.contains("root");
    without_ = client.without;
    init_params_ = dump_json(superset_params(*params, common, client.folders, without_));
  }
  if (client.folders.empty()) client.folders.push_back(root);
  configuration_text_ = client.configuration_text;
  settings_ = rules_.settings_of(config(), root);
  set_root(std::move(root));
  server_.step(ServerEvent::want, fx);
}

void AttachSession::cannot_start(const Error& error) {
  Section section(*this);
  gave_up(error, section.fx);
}

// ---- clients come ---------------------------------------------------------------------------------------------------

bool AttachSession::serves() const {
  switch (server_.state()) {
    case ServerState::spawning:
    case ServerState::greeting:
    case ServerState::ready:
    case ServerState::replacing:
    case ServerState::failing:
    case ServerState::backing_off:
      return true;
    default:
      return false;
  }
}

bool AttachSession::offers(const std::string& key) const {
  Lock lock(mutex_);
  return serves() && key == key_ && clients() > 0 && views_.lost().empty() && !has_notebooks();
}

void AttachSession::join(std::shared_ptr<Client> client) {
  client->seat->session = self();
  Section section(*this);
  const bool own = clients_.empty();
  client->admitted = client->held = client->looked = client->looking = false;
  for (auto& queued : client->queue) {
    if (queued.request == 0) continue;
    queued.request = server_.next_id();
    watch_deadline(queued.deadline, queued.request);
  }
  clients_.emplace(client->id, client);
  if (!own) {
    watch_asks();
    return look_for_admission(*client, section.fx);
  }
  views_.add(client->id, std::move(client->documents));
  client->admitted = true;
  if (client->greeted) find_root(*client, section.fx);
}

// Whether the server has unsaved texts decides what the client may be shown.
void AttachSession::look_for_admission(Client& client, DeferredActions& fx) {
  look(
      to_look_at(views_.open_paths()),
      [this, id = client.id](DeferredActions& later) GANTRY_NO_TSA {
        auto* const looked = find(id);
        if (looked != nullptr && !looked->ended) admit(*looked, later);
      },
      fx);
}

void AttachSession::admit(Client& client, DeferredActions& fx) {
  views_.add(client.id, std::move(client.documents));
  client.admitted = true;
  if (welcome_.empty()) return;  // it comes to all
  if (moves_as_misfit(client, fx)) return;
  if (!client.answered) {
    client.answered = true;
    fx.items.push_back({client.editor, welcome_for(client)});
  } else if (!client.initialized_text.empty()) {
    late_initialized(client, fx);
  }
  tell_folders(fx);
  pump(fx);
}

// The server was told `initialized` by another client. This one gets what that one got meanwhile.
void AttachSession::late_initialized(Client& client, DeferredActions& fx) {
  const auto ask = [&](const char* method, const std::string& params) GANTRY_NO_TSA {
    const long long copy = server_.next_id();
    asks_.sent({"", method, params}, {{client.id, copy}});
    fx.items.push_back({client.editor, R"({"jsonrpc":"2.0","id":)" + std::to_string(copy) + R"(,"method":")" + method +
                                           R"(","params":)" + params + "}"});
    return copy;
  };
  if (!registrations_.empty()) {
    json all = json::array();
    for (const auto& [id, registrations] : registrations_)
      all.insert(all.end(), registrations.begin(), registrations.end());
    const std::string params = dump_json({{"registrations", std::move(all)}});
    const auto less = cut("client/registerCapability", *parse_json(params), *client.understood);
    if (less && !less->at("registrations").empty()) {
      client.standing.follow("client/registerCapability", dump_json(*less));
      (void)ask("client/registerCapability", dump_json(*less));
    }
  }
  const bool answers = client.understood->may_be_asked("workspace/configuration");
  if (!client.guest && editors_now() == 1 && clients() > 1) {  // guests alone were left: the settings are this client's
    configurations_.clear();
    configuration_text_ = client.configuration_text;
    tell_settings(fx);
  }
  for (const auto& [params, answer] : configurations_) {
    if (config().share == Share::root || client.guest) break;
    if (answers) {
      comparing_[client.id].insert(ask("workspace/configuration", params));
    } else if (configuration_of(client, params) != answer) {
      move_out_later(client, fx);
    }
  }
  if (client.guest) tell_progress(client, fx);
  if (client.unlike.contains(this)) return;
  if (!comparing_.contains(client.id)) return is_like_the_others(client, fx);
  client.held = true;
  (void)context_->host.after(kAskTime, [weak = weak_from_this(), id = client.id] {
    const auto user = weak.lock();
    if (!user) return;
    auto& session = static_cast<AttachSession&>(*user);
    Section section(session);
    [&]() GANTRY_NO_TSA {
      auto* const silent = session.find(id);
      if (silent != nullptr && session.comparing_.contains(id)) session.move_out_later(*silent, section.fx);
    }();
  });
}

void AttachSession::is_like_the_others(Client& client, DeferredActions& fx) {
  client.held = false;
  if (!client.guest) deliver(views_.present(client.id), fx);
  // Callers are inside of pump(), or call it next.
}

// ---- clients move and go --------------------------------------------------------------------------------------------

void AttachSession::move_out_later(Client& client, DeferredActions& fx) {
  if (client.guest)
    return leave(client, fail(ErrorKind::overloaded, "the documents of callers are too large for a shared server"), fx);
  if (std::exchange(client.held, true) && client.unlike.contains(this)) return;
  client.unlike.insert(this);
  fx.run.push_back([self = self(), id = client.id] {
    if (!self->context_->host.post([self, id] { self->move_out(id); }))
      self->editor_left(id, fail(ErrorKind::unavailable, "the lsp plugin is stopping; attach anew"));
  });
}

void AttachSession::move_out(ClientId id) {
  std::shared_ptr<Client> client;
  {
    Section section(*this);
    auto* const moving = find(id);
    if (moving == nullptr || moving->ended) return;
    if (editors_now() == 1 && misfit(*moving) == 0) {  // the others have left meanwhile
      moving->unlike.erase(this);
      comparing_.erase(id);
      is_like_the_others(*moving, section.fx);
      return pump(section.fx);
    }
  }
  const auto next = std::make_shared<AttachSession>(context_, config(), rules_);
  if (const auto added = rules_.add(next); !added) return editor_left(id, std::unexpected(added.error()));
  {
    Section section(*this);
    client = take(id, section.fx);
    if (!client) return;
    end_what_stands(*client, section.fx);
  }
  next->join(std::move(client));
}

// The client with its messages; requests that were sent wait again, where they can.
std::shared_ptr<Client> AttachSession::take(ClientId id, DeferredActions& fx) {
  const auto it = clients_.find(id);
  if (it == clients_.end()) return nullptr;
  auto client = it->second;
  if (client->answered) client->kept.renew();
  std::map<long long, Pending, std::greater<>> sent;
  for (auto each = pending_.begin(); each != pending_.end();) {
    if (each->second.client != id) {
      ++each;
      continue;
    }
    sent.emplace(each->first, std::move(each->second));
    each = pending_.erase(each);
  }
  for (auto& [ours, pending] : sent) {  // the last first
    if (pending.id.empty()) continue;   // a wait for diagnostics
    cancel_sent(ours, pending, fx);
    deadlines_.erase({pending.deadline, ours});
    for (const auto& token : pending.tokens) tokens_.erase(token);
    fx.permits.push_back(std::move(pending.permit));
    if (pending.text.empty() || pending.cancelled) {
      answer_error(*client, pending.id, kContentModified,
                   Error{ErrorKind::unavailable, "the settings of " + config().name + " change; ask again", {}}, fx);
      continue;
    }
    client->queued_bytes += pending.text.size();
    ++client->queued_requests;
    client->queue.push_front({std::move(pending.text), ours, pending.deadline, 0, pending.repetitions + 1});
  }
  for (const auto& queued : client->queue) deadlines_.erase({queued.deadline, queued.request});
  if (client->spare) fx.permits.push_back(std::move(client->spare));
  forget(*client, fx);
  if (editors_now() == 0) drop(guests(), fx);  // they look where the editor is
  if (clients() == 0) {
    server_.step(ServerEvent::close, fx);
  } else {
    pump(fx);
  }
  return client;
}

// What is the client's own goes; its documents are kept for another session.
void AttachSession::forget(Client& client, DeferredActions& fx) {
  const ClientId id = client.id;
  auto documents = views_.remove(id, sender(fx));
  if (documents) client.documents = std::move(documents);
  texts_changed();
  for (const auto& ask : asks_.left(id)) answer_for_clients(ask, fx);
  comparing_.erase(id);
  for (auto& [token, told] : servers_tokens_) told.erase(id);
  if (waits_for_view_ == id) waits_for_view_ = 0;
  clients_.erase(id);
  if (!clients_.empty()) tell_folders(fx);
}

// ---- workspace folders ----------------------------------------------------------------------------------------------

// While guests alone are left, the folders stay as the last editor has left them.
std::vector<std::string> AttachSession::folders() const {
  std::vector<std::string> out;
  if (!clients_.empty() && editors_now() == 0) return told_folders_.empty() ? std::vector{root()} : told_folders_;
  for (const auto& [id, client] : clients_) {
    for (const auto& folder : client->folders) {
      if (std::ranges::find(out, folder) == out.end()) out.push_back(folder);
    }
  }
  return out;
}

// For the next process, which is not told the folders of now by `initialize`. Of more changes than are kept only their
// outcome is.
void AttachSession::remember_folders(std::string message) {
  watch_files();
  if (knows_roots_) return;
  folder_texts_.push_back(std::move(message));
  if (folder_texts_.size() <= kMaxFolderChanges) return;
  std::string ignored;
  auto first = folders_named_in(init_params_, ignored);
  if (first.empty()) first.push_back(root());
  const auto now = folders();
  folder_texts_ = {folder_change(missing_in(first, now), missing_in(now, first))};
}

void AttachSession::folders_changed(Client& client, std::string_view text, std::string_view params,
                                    DeferredActions& fx) {
  const auto doc = parse_json(params);
  const json event = doc && doc->is_object() ? doc->value("event", json::object()) : json::object();
  if (event.is_object()) {
    std::vector<std::string> removed;
    std::string ignored;
    add_paths(event.value("removed", json()), removed, ignored);
    std::erase_if(client.folders, [&](const auto& path) { return std::ranges::find(removed, path) != removed.end(); });
    add_paths(event.value("added", json()), client.folders, ignored);
  }
  if (!alone()) {
    if (!moves_as_misfit(client, fx)) tell_folders(fx);
    return;
  }
  if ((used_ & feature::kFixedFolders) == 0) told_folders_ = folders();
  server_.send(text, fx);
  remember_folders(std::string(text));
  widen(rules_.workspaces(), fx);
}

// The server's folders are those of all clients.
void AttachSession::tell_folders(DeferredActions& fx) {
  if (!initialized_sent_ || (used_ & feature::kFixedFolders) != 0) return;
  const auto now = folders();
  json added = missing_in(told_folders_, now), removed = missing_in(now, told_folders_);
  told_folders_ = now;
  if (added.empty() && removed.empty()) return;
  auto message = folder_change(std::move(added), std::move(removed));
  server_.send(message, fx);
  remember_folders(std::move(message));
  widen(rules_.workspaces(), fx);
}

std::string AttachSession::initialize_params() {
  files_since_ = std::chrono::system_clock::now();
  told_folders_ = folders();
  auto params = knows_roots_ ? parse_json(init_params_) : fail(ErrorKind::not_found, "");
  if (!params || !params->is_object()) return with_options(init_params_);
  json all = json::array();
  for (const auto& folder : told_folders_) all.push_back(folder_entry(folder));
  (*params)["workspaceFolders"] = std::move(all);
  return with_options(dump_json(*params));
}

}  // namespace gantry::lsp
