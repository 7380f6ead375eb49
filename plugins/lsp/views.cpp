// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/views.hpp"

#include <algorithm>
#include <gantry/file_uri.hpp>
#include <gantry/json.hpp>

#include "plugins/lsp/envelope.hpp"

namespace gantry::lsp {

namespace {

// Emacs has a name of its own. A document is not opened anew for another spelling.
[[nodiscard]] bool same_language(std::string_view a, std::string_view b) {
  const auto spelt = [](std::string_view name) { return name == "c++" ? std::string_view("cpp") : name; };
  return spelt(a) == spelt(b);
}

/// The key of the document that the params of a notification name; empty: none.
[[nodiscard]] std::string key_in(std::string_view textual, std::string_view name) {
  const auto uri = parse_json(member(textual, name));
  return uri && uri->is_string() ? document_key(uri->get_ref<const std::string&>()) : std::string();
}

/// `message` with the raw number at `version` (a view into it) replaced.
[[nodiscard]] std::string with_version(std::string_view message, std::string_view version, long long number) {
  std::string out;
  append_with_id(out, message, version, std::to_string(number));
  return out;
}

[[nodiscard]] std::string did_close(const std::string& uri) {
  return dump_json(
      {{"jsonrpc", "2.0"}, {"method", "textDocument/didClose"}, {"params", {{"textDocument", {{"uri", uri}}}}}});
}

[[nodiscard]] bool is_path(const std::string& key) { return key.starts_with('/'); }

}  // namespace

// ---- clients ----------------------------------------------------------------------------------------------------

void Views::add(ClientId client, std::unique_ptr<TrackedDocuments> documents) {
  if (clients_.size() == 1) note(nullptr, disk_view_);
  auto& added = clients_[client];
  static_cast<Seen&>(added) = disk_view_;
  if (documents) added.documents = std::move(documents);
  added.documents->set_encoding(encoding_);
  were_several_ = were_several_ || clients_.size() > 1;
  note_others();
}

std::unique_ptr<TrackedDocuments> Views::remove(ClientId client, const Send& send) {
  const auto it = clients_.find(client);
  if (it == clients_.end()) return nullptr;
  std::vector<std::string> keys;
  for (const auto& [key, document] : it->second.documents->all()) {
    keys.push_back(key);
    const auto server = server_.find(key);
    if (server == server_.end() || server->second.source != client) continue;
    server->second.source = kDisk;
    server->second.text = document.text;
  }
  auto left = std::move(it->second.documents);
  clients_.erase(it);
  for (const auto& key : keys) {
    if (server_.contains(key) && !give_to_another(key, send)) send_close(key, send);
  }
  if (clients_.size() == 1) {
    disk_view_.other_until = changes_;
    auto& [last, own] = *clients_.begin();
    show(last, send);
    for (const auto& key : std::exchange(own.owed, {})) {
      if (server_.contains(key)) send_text(key, kDisk, send, true);
    }
  }
  return left;
}

void Views::set_encoding(Encoding encoding) {
  encoding_ = encoding;
  for (auto& [id, client] : clients_) client.documents->set_encoding(encoding);
}

std::string Views::lost() const {
  for (const auto& [id, client] : clients_) {
    if (!client.documents->lost().empty()) return client.documents->lost();
  }
  return {};
}

// What its texts are is not known any more. Other clients open theirs anew when they are shown.
void Views::close_lost(ClientId client, const Send& send) {
  std::vector<std::string> keys;
  for (auto& [key, document] : server_) {
    if (document.source == client) keys.push_back(key);
  }
  for (const auto& key : keys) {
    server_.at(key).source = kDisk;
    send_close(key, send);
  }
}

// ---- the disk ---------------------------------------------------------------------------------------------------

std::vector<std::string> Views::needed_from_disk(ClientId client) const {
  std::vector<std::string> out;
  if (alone()) return out;
  const auto& own = *clients_.at(client).documents;
  for (const auto& [key, document] : server_) {
    if (is_path(key) && own.find(key) == nullptr) out.push_back(key);
  }
  return out;
}

std::vector<std::string> Views::open_paths() const {
  std::vector<std::string> out;
  for (const auto& [key, document] : server_) {
    if (is_path(key)) out.push_back(key);
  }
  return out;
}

void Views::disk_is(std::vector<OnDisk> texts) {
  for (auto& [path, text] : texts) {
    if (server_.contains(path)) disk_[path] = std::move(text);
  }
  note_others();
}

// ---- the view ---------------------------------------------------------------------------------------------------

const std::string& Views::text_of(const ServerDocument& document, const std::string& key) const {
  if (document.source == kDisk) return document.text;
  const auto* const own = clients_.at(document.source).documents->find(key);
  return own == nullptr ? document.text : own->text;  // null: its client is alone, and followed no more
}

// Null: a client that has nothing open.
bool Views::wants(const Client* client, const std::string& key, const ServerDocument& document) const {
  const auto* const own = client == nullptr ? nullptr : client->documents->find(key);
  if (own != nullptr)
    return own->uri == document.uri && same_language(own->language, document.language) &&
           own->text == text_of(document, key);
  const auto disk = disk_.find(key);
  return disk != disk_.end() && disk->second && *disk->second == text_of(document, key);
}

bool Views::shows(const Client* client) const {
  const bool same =
      std::ranges::all_of(server_, [&](const auto& entry) { return wants(client, entry.first, entry.second); });
  return same && (client == nullptr || std::ranges::all_of(client->documents->all(), [&](const auto& entry) {
                    return server_.contains(entry.first);
                  }));
}

// Nothing but what the disk has is not known.
bool Views::may_show(const Client* client) const {
  return std::ranges::all_of(server_, [&](const auto& entry) {
    const bool own = client != nullptr && client->documents->find(entry.first) != nullptr;
    const bool unknown = is_path(entry.first) && !disk_.contains(entry.first);
    return (!own && unknown) || wants(client, entry.first, entry.second);
  });
}

bool Views::shows(ClientId client) const { return alone() || shows(&clients_.at(client)); }

void Views::note_others() {
  if (alone()) return;
  for (auto& [id, client] : clients_) note(&client, client);
  note(nullptr, disk_view_);
}

// A doubt that is resolved before anything else has changed was none.
void Views::note(const Client* client, Seen& seen) {
  if (seen.doubt != 0 && seen.doubt != changes_) seen = {.other_until = changes_ - 1, .doubt = 0};
  if (shows(client)) {
    seen.doubt = 0;
  } else if (may_show(client)) {
    seen.doubt = changes_;
  } else {
    seen = {.other_until = changes_, .doubt = 0};
  }
}

// The server has got a version of a document, or has lost it.
void Views::changed(const std::string& key) {
  ++changes_;
  if (const auto it = server_.find(key); it != server_.end()) {
    auto& sent = it->second.sent;
    sent.emplace_back(it->second.version, changes_);
    if (sent.size() > kVersions) sent.pop_front();
    for (auto& [id, client] : clients_) {
      const auto* const own = client.documents->find(key);
      if (own == nullptr || (id != it->second.source && !wants(&client, key, it->second))) continue;
      note_version(id, key, it->second.version, own->version);
      client.owed.erase(key);
    }
  }
  note_others();
}

void Views::note_version(ClientId client, const std::string& key, long long servers, long long clients) {
  auto& versions = clients_.at(client).versions[key];
  versions.push_back({servers, clients});
  if (versions.size() > kVersions) versions.pop_front();
}

long long Views::next_version(const std::string& key, long long wanted) const {
  if (!were_several_) return wanted;
  if (const auto it = server_.find(key); it != server_.end()) return std::max(wanted, it->second.version + 1);
  const auto floor = floors_.find(key);
  return std::max(wanted, (floor == floors_.end() ? floor_ : floor->second) + 1);
}

void Views::send_open(const std::string& key, ClientId source, const Send& send) {
  const auto& own = *clients_.at(source).documents->find(key);
  const long long version = next_version(key, own.version);
  server_.insert_or_assign(
      key, ServerDocument{.uri = own.uri, .language = own.language, .version = version, .source = source});
  send(did_open(own.uri, own.language, version, own.text));
  changed(key);
}

void Views::send_close(const std::string& key, const Send& send) {
  const auto it = server_.find(key);
  send(did_close(it->second.uri));
  if (floors_.size() >= kMaxFloors) {
    for (const auto& [closed, version] : std::exchange(floors_, {})) floor_ = std::max(floor_, version);
  }
  floors_[key] = it->second.version;
  server_.erase(it);
  disk_.erase(key);
  changed(key);
}

// The text of `source`, or the server's own text once more.
void Views::send_text(const std::string& key, ClientId source, const Send& send, bool again) {
  auto& document = server_.at(key);
  std::string text = source == kDisk ? (again ? text_of(document, key) : *disk_.at(key))
                                     : clients_.at(source).documents->find(key)->text;
  document.version = next_version(key, document.version + 1);
  json params{{"textDocument", {{"uri", document.uri}, {"version", document.version}}},
              {"contentChanges", {{{"text", text}}}}};
  // Of a text that it has built last clangd says nothing otherwise: one that is shown again may be that, when the text
  // between was not built.
  params["forceRebuild"] = true;
  if (takes_changes_) {
    send(dump_json({{"jsonrpc", "2.0"}, {"method", "textDocument/didChange"}, {"params", std::move(params)}}));
  } else {
    send(did_close(document.uri));
    send(did_open(document.uri, document.language, document.version, text));
  }
  if (!again) {
    document.source = source;
    document.text = source == kDisk ? std::move(text) : std::string();
  }
  changed(key);
}

void Views::show_document(ClientId client, const std::string& key, const Send& send) {
  const auto& document = server_.at(key);
  const auto* const own = clients_.at(client).documents->find(key);
  if (wants(&clients_.at(client), key, document)) return;
  if (own == nullptr) {
    const auto disk = disk_.find(key);
    if (disk != disk_.end() && disk->second) return send_text(key, kDisk, send);
    return send_close(key, send);
  }
  if (own->uri == document.uri && same_language(own->language, document.language)) return send_text(key, client, send);
  send_close(key, send);
  send_open(key, client, send);
}

void Views::show(ClientId client, const Send& send) {
  std::vector<std::string> keys;
  for (const auto& [key, document] : server_) keys.push_back(key);
  for (const auto& key : keys) show_document(client, key, send);
  for (const auto& [key, own] : clients_.at(client).documents->all()) {
    if (!server_.contains(key)) send_open(key, client, send);
  }
}

bool Views::disturbs(ClientId client, std::string_view method, std::string_view params) const {
  if (alone()) return false;
  if (method == "textDocument/didClose") return false;  // those that are served see the same text on the disk
  if (method != "textDocument/didOpen") return true;
  const auto key = document_in(params);
  const auto it = server_.find(key);
  if (it == server_.end() || clients_.at(client).documents->find(key) != nullptr) return true;
  const auto text = parse_json(member(member(params, "textDocument"), "text"));
  return !text || !text->is_string() || text->get_ref<const std::string&>() != text_of(it->second, key);
}

// ---- a client's notifications -----------------------------------------------------------------------------------

Views::Forwarded Views::forward(ClientId id, std::string_view method, std::string_view message, std::string_view params,
                                const Send& send) {
  Forwarded out;
  Client& client = clients_.at(id);
  const std::string key = document_in(params);
  const auto* const before = client.documents->find(key);
  const auto server = server_.find(key);
  const bool opens = method == "textDocument/didOpen", closes = method == "textDocument/didClose";
  out.refused = !alone() && (key.empty() || (before == nullptr && !opens));
  if (out.refused) return out;
  // Its text goes, or becomes another one, and the server still has it.
  if (before != nullptr && server != server_.end() && server->second.source == id && (opens || closes)) {
    server->second.text = before->text;
    server->second.source = kDisk;
  }
  out.language = client.documents->follow(method, params);
  const auto* const own = client.documents->find(key);
  if (closes || own == nullptr) {
    client.untold.erase(key);
  } else {
    client.untold.insert(key);
    client.tries = 0;
  }
  if (closes) {
    client.versions.erase(key);
    client.owed.erase(key);
    if (server == server_.end()) {
      send(message);
    } else if (!give_to_another(key, send)) {
      send_close(key, [&](std::string_view) { send(message); });
    }
  } else if (own == nullptr) {  // it is followed no more, or was never opened
    out.refused = !alone();
    if (!out.refused) {
      send(message);
    } else if (!client.documents->lost().empty()) {
      close_lost(id, send);
    }
  } else if (opens) {
    opened(id, key, message, send, out);
  } else if (server != server_.end()) {
    auto& document = server->second;
    document.version = next_version(key, own->version);
    const auto raw = member(member(params, "textDocument"), "version");
    send(document.version == own->version || raw.empty() ? std::string(message)
                                                         : with_version(message, raw, document.version));
    document.source = id;
    document.text.clear();
    if (alone()) disk_view_.other_until = changes_ + 1;
    changed(key);
  } else {
    send(message);
  }
  return out;
}

void Views::opened(ClientId id, const std::string& key, std::string_view message, const Send& send, Forwarded& out) {
  const auto& own = *clients_.at(id).documents->find(key);
  const auto it = server_.find(key);
  if (it != server_.end() && were_several_) {
    const bool has = wants(&clients_.at(id), key, it->second);
    show_document(id, key, send);
    if (!has) return;
    out.shared = key;
    it->second.source = id;
    it->second.text.clear();
    return note_version(id, key, it->second.version, own.version);
  }
  const long long version = next_version(key, own.version);
  const auto raw = member(member(scan(message, Scan::full).params, "textDocument"), "version");
  send(version == own.version || raw.empty() ? std::string(message) : with_version(message, raw, version));
  server_.insert_or_assign(key,
                           ServerDocument{.uri = own.uri, .language = own.language, .version = version, .source = id});
  changed(key);
}

// False: nobody else has the document open.
bool Views::give_to_another(const std::string& key, const Send& send) {
  ClientId any = kDisk;
  auto& document = server_.at(key);
  for (auto& [id, client] : clients_) {
    if (client.documents->find(key) == nullptr) continue;
    any = id;
    if (!wants(&client, key, document)) continue;
    document.source = id;
    document.text.clear();
    return true;
  }
  if (any == kDisk) return false;
  show_document(any, key, send);
  return true;
}

// ---- what the server says ---------------------------------------------------------------------------------------

std::optional<long long> Views::client_version(ClientId client, const std::string& uri, long long version) const {
  const auto key = document_key(uri);
  const auto it = clients_.find(client);
  if (it == clients_.end()) return std::nullopt;
  if (const auto versions = it->second.versions.find(key); versions != it->second.versions.end()) {
    const auto found =
        std::ranges::find(versions->second.rbegin(), versions->second.rend(), version, &Version::servers);
    if (found != versions->second.rend()) return found->clients;
  }
  if (!were_several_) return version;
  return std::nullopt;
}

bool Views::may_see(const Client& client, const std::string& key, const Published& published) const {
  if (alone() || (published.none && !server_.contains(key))) return true;
  if (!shows(&client)) return false;
  if (client.other_until == 0 && client.doubt == 0) return true;
  const auto document = server_.find(key);
  if (!published.version) return published.settled > client.other_until;
  if (document == server_.end()) return false;  // it was closed since
  const auto& sent = document->second.sent;
  const auto it = std::ranges::find(sent, *published.version, &std::pair<long long, std::uint64_t>::first);
  return it != sent.end() && it->second > client.other_until;
}

std::string Views::for_client(ClientId client, const std::string& key, const Published& published) const {
  if (!published.version) return published.message;
  const auto own = client_version(client, key, *published.version);
  if (own == published.version) return published.message;
  const auto raw = member(scan(published.message, Scan::full).params, "version");
  // It has not opened the document: null is no version of the protocol's, so the member goes.
  if (own) return with_version(published.message, raw, *own);
  auto message = parse_json(published.message);
  if (!message) return published.message;
  (*message)["params"].erase("version");
  return dump_json(*message);
}

bool Views::is_latest(ClientId id, const std::string& key, const Published& published) const {
  const auto* const own = clients_.at(id).documents->find(key);
  if (own == nullptr) return true;
  // Of a server that names versions: it has closed the document, or not yet opened it.
  if (!published.version) return !names_versions_;
  const auto version = client_version(id, own->uri, *published.version);
  return version && *version == own->version;
}

void Views::present(ClientId id, const std::string& key, const Published& published, std::vector<Delivery>& out) {
  auto& client = clients_.at(id);
  if (may_see(client, key, published)) {
    client.owed.erase(key);
    out.push_back({id, for_client(id, key, published), is_latest(id, key, published)});
    if (out.back().latest) client.untold.erase(key);
  } else if (server_.contains(key)) {
    client.owed.insert(key);
  }
}

std::vector<Views::Delivery> Views::published(std::string_view message, std::string_view params) {
  std::vector<Delivery> out;
  const std::string key = key_in(params, "uri");
  Published now{std::string(message), std::nullopt, settled_};
  now.version = whole_number(member(params, "version"));
  now.none = is_empty_array(member(params, "diagnostics"));
  names_versions_ = names_versions_ || now.version.has_value();
  for (const auto& [id, client] : clients_) present(id, key, now, out);
  if (key.empty()) return out;
  const auto before = published_.find(key);
  if (before != published_.end()) {
    published_bytes_ -= before->second.message.size();
    published_.erase(before);
  }
  if (published_.size() < kMaxPublished && published_bytes_ + message.size() <= kMaxPublishedBytes) {
    published_bytes_ += message.size();
    published_.emplace(key, std::move(now));
  } else {
    published_are_lacking_ = true;
  }
  return out;
}

std::string Views::published_for(const std::string& uri) const {
  const auto it = published_.find(document_key(uri));
  return it == published_.end() ? std::string() : it->second.message;
}

std::vector<Views::Delivery> Views::present(ClientId client) {
  std::vector<Delivery> out;
  for (const auto& [key, published] : published_) present(client, key, published, out);
  return out;
}

std::vector<Views::Delivery> Views::present(ClientId client, const std::string& key) {
  std::vector<Delivery> out;
  if (const auto it = published_.find(key); it != published_.end()) {
    present(client, key, it->second, out);
  } else if (published_are_lacking_) {
    clients_.at(client).owed.insert(key);
  }
  return out;
}

void Views::settled(std::uint64_t changes) { settled_ = std::max(settled_, changes); }

ClientId Views::waits_for_diagnostics() {
  if (alone()) return 0;
  for (auto& [id, client] : clients_) {
    if (client.untold.empty() || client.tries >= kTries || shows(&client)) continue;
    const bool waits = std::ranges::any_of(client.untold, [&](const auto& key) { return client.owed.contains(key); });
    if (!waits) continue;
    ++client.tries;
    return id;
  }
  return 0;
}

bool Views::owes() const {
  return !alone() && std::ranges::any_of(clients_, [&](const auto& entry) {
    return !entry.second.owed.empty() && shows(&entry.second);
  });
}

bool Views::pay(const Send& send, std::vector<Delivery>& presented) {
  if (alone()) return false;
  std::set<std::string> keys;
  for (auto& [id, client] : clients_) {
    if (client.owed.empty() || !shows(&client)) continue;
    for (const auto& key : std::exchange(client.owed, {})) {
      const auto it = published_.find(key);
      if (it != published_.end() && may_see(client, key, it->second)) {
        presented.push_back({id, for_client(id, key, it->second), is_latest(id, key, it->second)});
        if (presented.back().latest) client.untold.erase(key);
      } else {
        keys.insert(key);
      }
    }
  }
  for (const auto& key : keys) {
    if (server_.contains(key)) send_text(key, kDisk, send, true);
  }
  return !keys.empty();
}

// ---- another process, another instance --------------------------------------------------------------------------

void Views::reopen(const Send& send) {
  server_.clear();
  published_.clear();
  published_bytes_ = 0;
  published_are_lacking_ = false;
  settled_ = 0;
  ++changes_;
  for (auto& [id, client] : clients_) {
    client.owed.clear();
    client.versions.clear();
  }
  for (const auto& [id, client] : clients_) {
    for (const auto& [key, own] : client.documents->all()) {
      if (!server_.contains(key)) send_open(key, id, send);
    }
  }
}

json Views::suspend() const {
  json clients = json::array(), server = json::array();
  for (const auto& [id, client] : clients_) {
    json versions = json::array();
    for (const auto& [key, list] : client.versions) {
      if (!list.empty()) versions.push_back({key, list.back().servers, list.back().clients});
    }
    clients.push_back({id, client.documents->suspend(), std::move(versions), client.owed});
  }
  for (const auto& [key, d] : server_) server.push_back({key, d.uri, d.language, d.version, d.source, d.text});
  return {{"clients", std::move(clients)},
          {"server", std::move(server)},
          {"floors", floors_},
          {"floor", floor_},
          {"were_several", were_several_},
          {"takes_changes", takes_changes_},
          {"encoding", static_cast<int>(encoding_)}};
}

void Views::restore(const json& suspended) {
  were_several_ = suspended.at("were_several");
  takes_changes_ = suspended.at("takes_changes");
  encoding_ = static_cast<Encoding>(suspended.value("encoding", static_cast<int>(Encoding::utf16)));
  floor_ = suspended.at("floor");
  floors_ = suspended.at("floors").get<std::map<std::string, long long>>();
  ++changes_;
  for (const auto& each : suspended.at("clients")) {
    auto& client = clients_[each.at(0).get<ClientId>()];
    client.documents->restore(each.at(1));
    for (const auto& version : each.at(2)) client.versions[version.at(0)].push_back({version.at(1), version.at(2)});
    if (each.size() > 3) client.owed = each.at(3).get<std::set<std::string>>();
    // Nobody knows any more what was shown before.
    client.other_until = changes_;
  }
  for (const auto& each : suspended.at("server")) {
    ServerDocument document{.uri = each.at(1), .language = each.at(2), .version = each.at(3)};
    document.source = each.at(4);
    document.text = each.at(5);
    document.sent.emplace_back(document.version, changes_);
    server_.insert_or_assign(each.at(0).get<std::string>(), std::move(document));
  }
  disk_view_.other_until = changes_;
  published_are_lacking_ = true;
}

}  // namespace gantry::lsp
