// SPDX-License-Identifier: Apache-2.0
//
// What the plugin's methods take, and which server is meant.
#include <algorithm>
#include <array>
#include <gantry/file_uri.hpp>
#include <set>

#include "plugins/lsp/messages.hpp"
#include "plugins/lsp/plugin.hpp"
#include "plugins/lsp/query_in_turn.hpp"
#include "plugins/lsp/usage.hpp"

namespace gantry::lsp {

namespace {

// The server does not answer these. Others are known only to who sends them.
[[nodiscard]] bool is_notification(const std::string& method) {
  return method == "textDocument/didSave" || method == "textDocument/willSave" ||
         method == "workspace/didChangeWatchedFiles" || method == "workspace/didCreateFiles" ||
         method == "workspace/didRenameFiles" || method == "workspace/didDeleteFiles";
}

// These speak of the connection, which callers of lsp.request share, or of the documents that are open in it.
[[nodiscard]] bool is_ours_to_say(const std::string& method) {
  if (is_notification(method)) return false;
  return method == "initialize" || method == "initialized" || method == "shutdown" || method == "exit" ||
         method.starts_with("$/") || method.starts_with("textDocument/did") || method.starts_with("workspace/did") ||
         method.starts_with("notebookDocument/did") || method.starts_with("window/");
}

[[nodiscard]] bool is_formatting(std::string_view method) {
  return method.starts_with("textDocument/") && method.ends_with("ormatting");
}

// Questions that another server of the language may answer when the first has nothing to say: not those that go on from
// an answer of the first, or whose answer its legend explains.
[[nodiscard]] bool is_of_any_server(std::string_view method) {
  static constexpr auto kEdits = std::to_array<std::string_view>(
      {"textDocument/codeAction", "textDocument/rename", "textDocument/willSaveWaitUntil"});
  if (is_formatting(method) || std::ranges::find(kEdits, method) != kEdits.end() || method == "workspace/symbol")
    return true;
  return method.starts_with("textDocument/") && !method.starts_with("textDocument/semanticTokens/") &&
         only_reads(method);
}

[[nodiscard]] Result<void> leave_only(std::vector<Query::Ask>& asks, const std::string& server) {
  std::vector<std::string> names;
  for (const auto& each : asks) names.push_back(each.server.name);
  const auto named = std::ranges::find(names, server);
  if (named == names.end()) {
    return fail(ErrorKind::invalid_params,
                "server: \"" + server + "\" does not serve this file" + did_you_mean(server, names));
  }
  asks = {std::move(asks[static_cast<std::size_t>(named - names.begin())])};
  return {};
}

// A file may be spelt in several ways; the server knows it by the one that it was opened with.
void name_document(json& params, const std::string& path, bool always) {
  if (!params.is_object()) return;
  const auto it = params.find("textDocument");
  if (it == params.end()) {
    if (always) params["textDocument"] = {{"uri", to_uri(path)}};
    return;
  }
  if (!it->is_object()) return;
  const auto uri = it->find("uri");
  if (uri == it->end()) {
    (*it)["uri"] = to_uri(path);
  } else if (uri->is_string()) {
    if (const auto named = to_path(uri->get<std::string>()); named && *named == path) *uri = to_uri(path);
  }
}

}  // namespace

// ---- editors ------------------------------------------------------------------------------------

// Of those that are configured for what lies at `place`.
Result<ServerConfig> Lsp::server_for(const std::optional<std::string>& name, const std::optional<std::string>& language,
                                     std::string_view place) const {
  const auto all_settings = registry_->settings();
  const Servers* const settings = &all_settings->at(place);
  std::vector<std::string> names;
  for (const auto& server : settings->servers) names.push_back(server.name);
  if (name) {
    if (const auto* server = settings->named(*name)) return *server;
    return fail(ErrorKind::not_found,
                "no language server \"" + *name + "\" in [lsp.servers]" + did_you_mean(*name, names));
  }
  if (language) {
    if (const auto* server = settings->for_language(*language)) return *server;
    return no_server(*language);
  }
  // Those that are only found do not keep an editor from the one that is configured.
  std::string all;
  std::vector<const ServerConfig*> configured;
  for (const auto& each : settings->servers) {
    if (each.built_in) continue;
    configured.push_back(&each);
    all += (all.empty() ? "" : ", ") + each.name;
  }
  if (configured.size() == 1) return *configured.front();
  if (configured.empty()) {
    if (const auto* clangd = settings->named("clangd")) return *clangd;
  }
  return fail(ErrorKind::invalid_params,
              "several language servers are configured (" + all + "); name one with server, or a language");
}

// Where a server runs when nobody names a root: the client's workspace, else the host's first.
std::string Lsp::home_of(std::uint64_t origin) const {
  if (const auto info = host_.origin(origin); info && info->workspace.starts_with("/")) return info->workspace;
  const auto settings = registry_->settings();
  return settings->workspaces.empty() ? "/" : settings->workspaces.front();
}

// PATH says which program runs: a plugin, which may be confined, must not choose it.
Result<Environment> Lsp::environment_of(const json& given, std::uint64_t origin) const {
  const auto info = host_.origin(origin);
  if (!info || info->client.starts_with("plugin "))
    return fail(ErrorKind::permission_denied, "environment: only a program of the user may give one, no plugin");
  return parse_environment(given);
}

// Which servers serve the language together, and which variables lsp.attach takes of its caller for them.
Result<json> Lsp::environment(Call& call) {
  Params p(call.params());
  const auto language = p.maybe_string("language");
  const auto name = p.maybe_string("server");
  const auto cwd = p.maybe_string("cwd");
  if (const auto ok = p.done(); !ok) return std::unexpected(ok.error());
  const auto place = cwd ? to_path(*cwd) : Result<std::string>(home_of(call.origin()));
  const std::string where = place ? *place : "";
  if (!name && language) {
    const auto settings = registry_->settings();
    const auto together = settings->at(where).together_for(*language);
    if (together.size() > 1) {
      json servers = json::array();
      std::set<std::string> names;
      for (const auto* const each : together) {
        servers.push_back(each->name);
        names.insert(each->environment.begin(), each->environment.end());
      }
      return json{{"names", std::move(names)}, {"servers", std::move(servers)}};
    }
  }
  const auto server = server_for(name, language, where);
  json out{{"names", server ? server->environment : default_environment()}, {"servers", json::array()}};
  if (server) out["servers"].push_back(server->name);
  return out;
}

void Lsp::attach(Call call) {
  if (call.resumed()) return attach_again(std::move(call));
  Params p(call.params());
  const auto language = p.maybe_string("language");
  const auto name = p.maybe_string("server");
  const auto root = p.maybe_string("root");
  const auto cwd = p.maybe_string("cwd");
  const auto given = p.maybe_value("environment");
  if (const auto ok = p.done(); !ok) return call.reply_error(ok.error());
  if (!call.is_stream()) {
    return call.reply_error(
        Error{ErrorKind::invalid_request, "lsp.attach must be opened as a stream; `gantry lsp` does that", {}});
  }
  std::string folder;
  if (root) {
    auto path = to_path(*root);
    if (!path) return call.reply_error(Error{ErrorKind::invalid_params, "root: " + path.error().message, {}});
    folder = std::move(*path);
  }
  std::string home = home_of(call.origin());
  if (cwd) {
    auto path = to_path(*cwd);
    if (!path) return call.reply_error(Error{ErrorKind::invalid_params, "cwd: " + path.error().message, {}});
    home = std::move(*path);
  }
  auto environment = given ? environment_of(*given, call.origin()) : Environment();
  if (!environment) return call.reply_error(environment.error());
  const std::string& place = folder.empty() ? home : folder;
  auto server = server_for(name, language, place);
  if (!server) {
    auto found = server_on_path(*environment, registry_->settings()->at(place), name, language);
    if (!found) return call.reply_error(server.error());
    server = std::move(*found);
  }
  if (const auto may = registry_->may_start(server->name); !may) return call.reply_error(may.error());
  const ClientId id = context_->next_client();
  const auto seat = std::make_shared<Client::Seat>();
  connect(call, seat, id);
  const auto client =
      std::make_shared<Client>(id, std::make_shared<Editor>(std::move(call)), seat, std::move(folder), std::move(home));
  client->environment = fitting(*environment, *server);
  const auto session = std::make_shared<AttachSession>(context_, std::move(*server), rules());
  if (const auto added = registry_->add(session, 1); !added) return client->editor->end(std::unexpected(added.error()));
  session->join(client);
  client->editor->grant(AttachSession::kCredit);
}

// The callbacks belong to the call, and the client holds the call: they must not hold the client.
void Lsp::connect(Call& call, const std::shared_ptr<Client::Seat>& seat, ClientId client) {
  call.on_item([seat, client](std::string_view text) {
    if (const auto session = seat->session.lock()) session->from_editor(client, text);
  });
  call.on_end([seat, client] {
    if (const auto session = seat->session.lock()) session->editor_left(client, json());
  });
  call.on_cancel([seat, client] {
    if (const auto session = seat->session.lock())
      session->editor_left(client, fail(ErrorKind::cancelled, "cancelled"));
  });
  call.on_credit([seat, client] {
    if (const auto session = seat->session.lock()) session->editor_gave_credit(client);
  });
}

AttachSession::Rules Lsp::rules() const {
  return {.may_run =
              [registry = registry_](const ServerConfig& config, const std::string& place) {
                const auto may = registry->may_start(config.name);
                return may ? registry->settings()->may_run(config, place) : may;
              },
          .workspaces = [registry = registry_] { return registry->settings()->workspaces; },
          .settings_of =
              [registry = registry_](const ServerConfig& config, const std::string& root) {
                const auto settings = registry->settings();
                const auto* const server = settings->at(root).named(config.name);
                return server == nullptr ? json::object() : server->settings;
              },
          .session_for = [registry = registry_](const std::string& key,
                                                const Client& client) { return registry->session_for(key, client); },
          .add = [registry = registry_](
                     std::shared_ptr<AttachSession> session) { return registry->add(std::move(session), 0); }};
}

// ---- everyone else ------------------------------------------------------------------------------

Result<std::vector<Query::Ask>> Lsp::asks_for(Params& p) {
  const std::string uri = p.string("uri");
  const auto language = p.maybe_string("language");
  const auto ok = p.done();
  if (!ok) return std::unexpected(ok.error());
  auto path = to_path(uri);
  if (!path) return std::unexpected(path.error());
  return asks_about(*registry_->settings(), *path, language);
}

// `then` answers the call.
template <class Queries, class Then, class... How>
void Lsp::begin(std::vector<Query::Ask> asks, Call call, Then then, How... how) {
  const auto held = std::make_shared<Call>(std::move(call));
  const auto query = std::make_shared<Queries>(context_, registry_, std::move(asks), how...,
                                               [held, then](auto answers) { then(*held, std::move(answers)); });
  held->on_cancel([weak = std::weak_ptr(query)] {
    if (const auto asked = weak.lock()) asked->cancel();
  });
  query->begin();
}

void Lsp::request(Call call) {
  Params p(call.params());
  const std::string method = p.string("method");
  json params = p.maybe_value("params").value_or(json::object());
  const bool notifies = p.boolean_or("notification", is_notification(method));
  p.require(params.is_object() || params.is_array() || params.is_null(), "params must be an object");
  p.require(!is_ours_to_say(method),
            method + " is not for callers: the plugin opens files and keeps the server's life itself");
  const auto server = p.maybe_string("server");
  auto asks = asks_for(p);
  if (!asks) return call.reply_error(asks.error());
  if (server) {
    if (const auto named = leave_only(*asks, *server); !named) return call.reply_error(named.error());
  }
  if (params.is_null()) params = json::object();
  name_document(params, asks->front().path, method.starts_with("textDocument/"));
  for (auto& ask : *asks) {
    ask.origin = call.origin();
    ask.method = method;
    if (notifies) ask.kind = Query::Kind::notification;
    ask.params = params;
  }
  const auto reply = [](Call& asked, Result<std::string> answer) {
    answer ? asked.reply_raw(std::move(*answer)) : asked.reply_error(answer.error());
  };
  if (notifies) {
    return begin<QueryAll>(std::move(*asks), std::move(call), [reply](Call& asked, QueryAll::Answers answers) {
      const auto sent = std::ranges::find_if(answers, &Result<std::string>::has_value);
      reply(asked, std::move(sent == answers.end() ? answers.front() : *sent));
    });
  }
  if (!is_of_any_server(method)) asks->resize(1);
  begin<QueryInTurn>(std::move(*asks), std::move(call), reply,
                     is_formatting(method) ? First::answers : First::says_something);
}

void Lsp::diagnostics(Call call) {
  Params p(call.params());
  const auto default_wait = std::chrono::duration_cast<std::chrono::milliseconds>(context_->timeout()).count();
  const auto wait = p.integer_or("wait_ms", std::min<std::int64_t>(default_wait, kMaxWaitMs), 0, kMaxWaitMs);
  auto asks = asks_for(p);
  if (!asks) return call.reply_error(asks.error());
  std::vector<std::string> servers;
  for (auto& ask : *asks) {
    ask.origin = call.origin();
    ask.kind = Query::Kind::diagnostics;
    ask.wait = std::chrono::milliseconds(wait);
    servers.push_back(ask.server.name);
  }
  begin<QueryAll>(std::move(*asks), std::move(call), [servers](Call& asked, QueryAll::Answers answers) {
    if (answers.size() > 1) return asked.reply(merged_diagnostics(servers, answers));
    answers.front() ? asked.reply_raw(std::move(*answers.front())) : asked.reply_error(answers.front().error());
  });
}

// What /proc says of them is read where it may take its time.
void Lsp::servers(Call call) {
  Params p(call.params());
  if (const auto ok = p.done(); !ok) return call.reply_error(ok.error());
  json servers = described_servers();
  const auto held = std::make_shared<Call>(std::move(call));
  const auto posted = context_->worker.post([held, servers]() mutable {
    add_usage(servers);
    held->reply({{"servers", std::move(servers)}});
  });
  if (!posted) held->reply({{"servers", std::move(servers)}});
}

json Lsp::described_servers() const {
  json out = json::array();
  const auto settings = registry_->settings();
  const auto sessions = registry_->sessions();
  std::map<const Session*, json> guests;
  for (const auto& session : sessions) {
    const auto editors = session->host_of_guest();
    if (editors == nullptr) continue;
    const json callers = named_clients(*session);
    auto& all = guests.try_emplace(editors.get(), json::array()).first->second;
    all.insert(all.end(), callers.begin(), callers.end());
  }
  for (const auto& session : sessions) {
    if (session->is_guest()) continue;
    out.push_back(session->describe());
    out.back()["used_by"] = named_clients(*session);
    if (const auto it = guests.find(session.get()); it != guests.end())
      out.back()["used_by"].insert(out.back()["used_by"].end(), it->second.begin(), it->second.end());
  }
  const auto add = [&](const ServerConfig& server, const std::string& workspace) {
    const bool runs =
        std::any_of(sessions.begin(), sessions.end(), [&](const auto& s) { return s->config().name == server.name; });
    if (runs) return;
    const auto state = registry_->may_start(server.name) ? ServerState::not_started : ServerState::stopped;
    out.push_back({{"name", server.name},
                   {"command", server.command},
                   {"languages", server.languages},
                   {"state", shown_as(state)},
                   {"restarts", 0},
                   {"clients", 0}});
    if (!workspace.empty()) out.back()["workspace"] = workspace;
  };
  for (const auto& server : settings->servers) add(server, {});
  for (const auto& [workspace, own] : settings->in_workspace) {
    for (const auto& server : own.servers) {
      if (const auto* users = settings->named(server.name); users == nullptr || *users != server)
        add(server, workspace);
    }
  }
  return out;
}

json Lsp::named_clients(const Session& session) const {
  json out = json::array();
  for (const auto& client : session.used_by()) {
    json entry{{"origin", client.origin}, {"requests", client.requests}};
    if (const auto info = host_.origin(client.origin); info && !info->client.empty()) {
      entry["client"] = info->client;
      if (!info->version.empty()) entry["version"] = info->version;
    }
    out.push_back(std::move(entry));
  }
  return out;
}

// In the user's configuration, in a project's, or from an older one as long as a session of it is there.
Result<void> Lsp::is_known(const std::string& server) const {
  const auto settings = registry_->settings();
  const auto found = server_for(server, std::nullopt, {});
  const auto has = [&](const auto& each) { return each.second.named(server) != nullptr; };
  if (found || std::ranges::any_of(settings->in_workspace, has)) return {};
  for (const auto& session : registry_->sessions()) {
    if (session->config().name == server) return {};
  }
  return std::unexpected(found.error());
}

Result<json> Lsp::restart(Call& call) {
  Params p(call.params());
  const std::string name = p.string("server");
  if (const auto ok = p.done(); !ok) return std::unexpected(ok.error());
  const auto known = is_known(name);
  const std::size_t restarted = registry_->restart_server(name);
  if (!known && restarted == 0) return std::unexpected(known.error());
  return json{{"server", name}, {"restarted", restarted}};
}

Result<json> Lsp::stop_server(Call& call) {
  Params p(call.params());
  const std::string name = p.string("server");
  if (const auto ok = p.done(); !ok) return std::unexpected(ok.error());
  if (const auto known = is_known(name); !known) return std::unexpected(known.error());
  const auto stopped = registry_->stop_server(name);
  if (!stopped) return std::unexpected(stopped.error());
  return json{{"server", name}, {"stopped", *stopped}};
}

}  // namespace gantry::lsp
