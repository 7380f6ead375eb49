// SPDX-License-Identifier: Apache-2.0
//
// The lsp plugin: language servers for editors (lsp.attach) and for everyone else.
//
// Threads: the handlers here run serially and never wait, so the plugin is nonblocking; one thread waits for the
// servers' descriptors (reactor.hpp), one does what may block (worker.hpp: files). The host starts the servers. See
// session.hpp for how they meet.
#include <signal.h>

#include <gantry/params.hpp>
#include <gantry/plugin.hpp>
#include <gantry/plugin/process.hpp>
#include <set>

#include "registry.hpp"
#include "uri.hpp"

namespace gantry::lsp {

namespace {

constexpr std::int64_t kMaxWaitMs = 600'000;

// These speak of the connection, which callers of lsp.request share, or are notifications.
[[nodiscard]] bool is_ours_to_say(const std::string& method) {
  return method == "initialize" || method == "initialized" || method == "shutdown" || method == "exit" ||
         method.starts_with("$/") || method.starts_with("textDocument/did") || method.starts_with("workspace/did") ||
         method.starts_with("notebookDocument/did") || method.starts_with("window/");
}

[[nodiscard]] std::unexpected<Error> no_server(const std::string& language) {
  return fail(ErrorKind::not_found,
              "no language server for \"" + language + "\"; add it to the languages of one in [lsp.servers.NAME]");
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

[[nodiscard]] std::string name_of_process(const json& session) {
  const auto it = session.find("process");
  return it == session.end() ? std::string() : it->value("name", "");
}

}  // namespace

class Lsp {
 public:
  explicit Lsp(Host host) : host_(std::move(host)) {}
  Lsp(const Lsp&) = delete;
  Lsp& operator=(const Lsp&) = delete;
  ~Lsp() {
    if (!context_) return;
    context_->stop();
    registry_->destroy();
  }

  Result<void> start(const PluginConfig& config) {
    auto settings = parse_settings(config);
    if (!settings) return std::unexpected(settings.error());
    auto reactor = Reactor::make();
    if (!reactor) return std::unexpected(reactor.error());
    context_ = std::make_shared<Context>(host_, std::move(*reactor));
    registry_ = std::make_shared<Registry>(context_);
    if (config.handed_over && !config.handed_over->empty()) take_up(*config.handed_over);
    configure(std::move(*settings));
    recover_servers();
    return {};
  }

  void reconfigure(const PluginConfig& config) {
    auto settings = parse_settings(config);
    if (!settings) return host_.log(Level::error, "the old [lsp] stays in force: " + settings.error().message);
    configure(std::move(*settings));
  }

  void gone(std::uint64_t origin) {
    for (const auto& session : registry_->attached_by(origin)) session->editor_left(json());
  }

  void stop(Stopping stopping) {
    auto held = std::make_shared<Stopping>(std::move(stopping));
    const bool another_comes = held->give("").has_value();
    if (!another_comes) return registry_->stop(held);
    hand_over(held);
  }

  void attach(Call call);
  void request(Call call);
  void diagnostics(Call call);
  Result<json> servers(Call& call);
  Result<json> restart(Call& call);

  static void define(Definition<Lsp>& d);

 private:
  void configure(Settings settings) {
    for (const auto& why : settings.refused) host_.log(Level::error, "the user's servers hold in " + why);
    registry_->configure(std::move(settings));
  }
  void recover_servers();
  void hand_over(const std::shared_ptr<Stopping>& stopping);
  void take_up(const std::string& handed_over);
  void attach_again(Call call);
  [[nodiscard]] std::shared_ptr<AttachSession> attach_to(ServerConfig server, std::string root, std::string home,
                                                         Call call);
  [[nodiscard]] Result<Query::Ask> ask_for(Params& p);
  [[nodiscard]] Result<ServerConfig> server_for(const std::optional<std::string>& name,
                                                const std::optional<std::string>& language,
                                                std::string_view place) const;
  [[nodiscard]] std::string home_of(std::uint64_t origin) const;

  const Host host_;
  std::shared_ptr<Context> context_;
  std::shared_ptr<Registry> registry_;
  std::unordered_map<std::uint64_t, LeftEditor> left_;  ///< by the instance before, until their streams come
};

// Those that an instance which has died has left: taken over, or ended. One that still drains claims its own.
void Lsp::recover_servers() {
  std::set<std::string> kept;
  for (const auto& [call, left] : left_) kept.insert(name_of_process(left.session));
  const auto listed = [host = host_, registry = registry_, kept](Result<CallAnswer> answer) {
    const json helpers = answer ? answer->value.value("helpers", json::array()) : json::array();
    for (const auto& helper : helpers) {
      const std::string name = helper.value("name", "");
      if (helper.value("claimed", true) || kept.contains(name)) continue;
      if (!registry->recover(name, helper.value("note", ""))) signal_process(host, name, SIGKILL);
    }
    registry->recovery_ended();
  };
  if (!host_.call("process.list", json::object(), {}, listed)) registry_->recovery_ended();
}

// ---- from one instance to the next
// --------------------------------------------------------------------------------------

void Lsp::hand_over(const std::shared_ptr<Stopping>& stopping) {
  auto leaving = registry_->sessions();
  std::erase_if(leaving, [](const auto& session) { return !session->closing(); });
  if (!leaving.empty()) {
    // These end first, each within its grace. The last lets go on the reactor's thread.
    const std::shared_ptr<void> last(nullptr, [this, stopping](void*) {
      (void)host_.post([this, stopping] { hand_over(stopping); });  // refused: no turn comes any more, and it ends so
    });
    for (const auto& session : leaving) session->close(last);
    return;
  }
  context_->stop();
  registry_->hand_over(*stopping);
}

void Lsp::take_up(const std::string& handed_over) try {
  left_ = registry_->take_up(handed_over);
} catch (const json::exception& e) {
  host_.log(Level::error, std::string("what the instance before has handed over makes no sense: ") + e.what());
}

void Lsp::attach_again(Call call) {
  auto left = left_.extract(call.id());
  const Error anew{
      ErrorKind::unavailable, "the lsp plugin was reloaded, and could not go on with this; attach anew", {}};
  if (!left) return call.reply_error(anew);
  const json& own = left.mapped().session["own"];
  const auto session = attach_to(server_from(left.mapped().session["server"]), own.value("asked_root", ""),
                                 own.value("fallback_root", "/"), std::move(call));
  if (const auto added = registry_->add(session); !added) return session->editor_left(std::unexpected(added.error()));
  try {
    session->take_up_editor(std::move(left.mapped().unsent));
    session->take_up(left.mapped().session);
    session->editor_gave_credit();
  } catch (const json::exception&) {
    session->editor_left(std::unexpected(anew));
  }
}

// ---- editors
// -----------------------------------------------------------------------------------------------------------

// Of those that are configured for what lies at `place`.
Result<ServerConfig> Lsp::server_for(const std::optional<std::string>& name, const std::optional<std::string>& language,
                                     std::string_view place) const {
  const auto all_settings = registry_->settings();
  const Servers* const settings = &all_settings->at(place);
  std::vector<std::string> names;
  for (const auto& server : settings->servers) names.push_back(server.name);
  if (name) {
    if (const auto* server = settings->named(*name)) return *server;
    const auto near = nearest_name(*name, names);
    return fail(ErrorKind::not_found, "no language server \"" + *name + "\" in [lsp.servers]" +
                                          (near.empty() ? "" : "; did you mean \"" + near + "\"?"));
  }
  if (language) {
    if (const auto* server = settings->for_language(*language)) return *server;
    return no_server(*language);
  }
  if (settings->servers.size() == 1) return settings->servers.front();
  std::string all;
  for (const auto& each : names) all += (all.empty() ? "" : ", ") + each;
  return fail(ErrorKind::invalid_params,
              "several language servers are configured (" + all + "); name one with server, or a language");
}

// Where a server runs when nobody names a root: the client's workspace, else the host's first.
std::string Lsp::home_of(std::uint64_t origin) const {
  if (const auto info = host_.origin(origin); info && info->workspace.starts_with("/")) return info->workspace;
  const auto settings = registry_->settings();
  return settings->workspaces.empty() ? "/" : settings->workspaces.front();
}

void Lsp::attach(Call call) {
  if (call.resumed()) return attach_again(std::move(call));
  Params p(call.params());
  const auto language = p.maybe_string("language");
  const auto name = p.maybe_string("server");
  const auto root = p.maybe_string("root");
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
  const std::string home = home_of(call.origin());
  auto server = server_for(name, language, folder.empty() ? home : folder);
  if (!server) return call.reply_error(server.error());
  const auto session = attach_to(std::move(*server), std::move(folder), home, std::move(call));
  if (const auto added = registry_->add(session); !added) return session->editor_left(std::unexpected(added.error()));
  session->grant_first();
}

std::shared_ptr<AttachSession> Lsp::attach_to(ServerConfig server, std::string root, std::string home, Call call) {
  // The callbacks belong to the call, and the session holds the call: they must not hold the session.
  auto weak = std::make_shared<std::weak_ptr<AttachSession>>();
  call.on_item([weak](std::string_view text) {
    if (const auto session = weak->lock()) session->from_editor(text);
  });
  call.on_end([weak] {
    if (const auto session = weak->lock()) session->editor_left(json());
  });
  call.on_cancel([weak] {
    if (const auto session = weak->lock()) session->editor_left(fail(ErrorKind::cancelled, "cancelled"));
  });
  call.on_credit([weak] {
    if (const auto session = weak->lock()) session->editor_gave_credit();
  });
  auto session =
      std::make_shared<AttachSession>(context_, std::move(server), std::move(root), std::move(home), std::move(call),
                                      [registry = registry_](const ServerConfig& config, const std::string& place) {
                                        return registry->settings()->may_run(config, place);
                                      });
  *weak = session;
  return session;
}

// ---- everyone else
// -----------------------------------------------------------------------------------------------------

Result<Query::Ask> Lsp::ask_for(Params& p) {
  const std::string uri = p.string("uri");
  const auto language = p.maybe_string("language");
  const auto ok = p.done();
  if (!ok) return std::unexpected(ok.error());
  auto path = to_path(uri);
  if (!path) return std::unexpected(path.error());
  const auto settings = registry_->settings();
  Query::Ask ask;
  ask.path = std::move(*path);
  const Servers& servers = settings->at(ask.path);
  ask.language = language ? *language : servers.language_of(ask.path);
  if (ask.language.empty()) {
    return fail(ErrorKind::not_found, "the language of " + ask.path +
                                          " is not known by its name; pass language, or name its extension in "
                                          "[lsp.servers.NAME] extensions");
  }
  const auto* server = servers.for_language(ask.language);
  if (server == nullptr) return no_server(ask.language);
  if (const auto may = settings->may_run(*server, ask.path); !may) return std::unexpected(may.error());
  ask.server = *server;
  return ask;
}

void Lsp::request(Call call) {
  Params p(call.params());
  const std::string method = p.string("method");
  json params = p.maybe_value("params").value_or(json::object());
  p.require(params.is_object() || params.is_array() || params.is_null(), "params must be an object");
  p.require(!is_ours_to_say(method),
            method + " is not for callers: the plugin opens files and keeps the server's life itself");
  auto ask = ask_for(p);
  if (!ask) return call.reply_error(ask.error());
  if (params.is_null()) params = json::object();
  name_document(params, ask->path, method.starts_with("textDocument/"));
  ask->method = method;
  ask->params = std::move(params);
  std::make_shared<Query>(context_, registry_, std::move(*ask), std::move(call))->begin();
}

void Lsp::diagnostics(Call call) {
  Params p(call.params());
  const auto default_wait = std::chrono::duration_cast<std::chrono::milliseconds>(context_->timeout()).count();
  const auto wait = p.integer_or("wait_ms", std::min<std::int64_t>(default_wait, kMaxWaitMs), 0, kMaxWaitMs);
  auto ask = ask_for(p);
  if (!ask) return call.reply_error(ask.error());
  ask->kind = Query::Kind::diagnostics;
  ask->wait = std::chrono::milliseconds(wait);
  std::make_shared<Query>(context_, registry_, std::move(*ask), std::move(call))->begin();
}

Result<json> Lsp::servers(Call& call) {
  Params p(call.params());
  if (const auto ok = p.done(); !ok) return std::unexpected(ok.error());
  json out = json::array();
  const auto settings = registry_->settings();
  const auto sessions = registry_->sessions();
  for (const auto& session : sessions) out.push_back(session->describe());
  const auto add = [&](const ServerConfig& server, const std::string& workspace) {
    const bool runs =
        std::any_of(sessions.begin(), sessions.end(), [&](const auto& s) { return s->config().name == server.name; });
    if (runs) return;
    out.push_back({{"name", server.name},
                   {"command", server.command},
                   {"languages", server.languages},
                   {"state", name_of(Session::State::idle)},
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
  return json{{"servers", std::move(out)}};
}

Result<json> Lsp::restart(Call& call) {
  Params p(call.params());
  const std::string name = p.string("server");
  if (const auto ok = p.done(); !ok) return std::unexpected(ok.error());
  const auto server = server_for(name, std::nullopt, {});
  std::size_t restarted = 0;
  for (const auto& session : registry_->sessions()) {
    if (session->config().name != name) continue;
    session->restart();
    ++restarted;
  }
  if (!server && restarted == 0) return std::unexpected(server.error());
  return json{{"server", name}, {"restarted", restarted}};
}

// ---- the manifest
// ------------------------------------------------------------------------------------------------------

void Lsp::define(Definition<Lsp>& d) {
  const json text{{"type", "string"}};
  const json uri{{"type", "string"}, {"description", "a file:// URI, or an absolute path"}};
  const json language{{"type", "string"}, {"description", "an LSP language id; by the file's name when absent"}};
  d.id("lsp").version("0.1.0").summary("Language servers for editors, agents and scripts").service("lsp");
  d.settings("lsp").publishes("lsp.**").nonblocking().reload("handover");
  // They are also its servers': toolchains lie in many places, and keep what they download.
  d.grant("processes").grant("network").grant("read:/").grant("write:workspace").grant("write:~/.cache");
  d.grant("write:~/.cargo/registry").grant("write:~/.cargo/git").grant("write:~/go/pkg");
  d.method("lsp.attach", &Lsp::attach,
           {.summary = "One editor's LSP connection: each item is one JSON-RPC message, both ways",
            .params = {{"type", "object"},
                       {"properties", {{"language", language}, {"server", text}, {"root", uri}}},
                       {"additionalProperties", false}},
            .result = {{"type", "null"}},
            .stream = true,
            .attach = true});
  d.method(
      "lsp.request", &Lsp::request,
      {.summary = "Asks the language server of a file, as it is on the disk",
       .params = {{"type", "object"},
                  {"properties", {{"uri", uri}, {"method", text}, {"params", json::object()}, {"language", language}}},
                  {"required", {"uri", "method"}},
                  {"additionalProperties", false}},
       .keeps_time = true});
  d.method("lsp.diagnostics", &Lsp::diagnostics,
           {.summary = "The diagnostics of a file, and whether they are for its text of now",
            .params = {{"type", "object"},
                       {"properties",
                        {{"uri", uri},
                         {"wait_ms", {{"type", "integer"}, {"minimum", 0}, {"maximum", kMaxWaitMs}}},
                         {"language", language}}},
                       {"required", {"uri"}},
                       {"additionalProperties", false}},
            .result = {{"type", "object"},
                       {"properties",
                        {{"uri", text},
                         {"version", {{"type", {"integer", "null"}}}},
                         {"freshness", {{"enum", {"fresh", "stale", "timeout"}}}},
                         {"diagnostics", {{"type", "array"}}}}}},
            .idempotent = true,
            .keeps_time = true});
  d.method("lsp.servers", &Lsp::servers,
           {.summary = "The configured language servers and the running ones", .idempotent = true});
  d.method("lsp.restart", &Lsp::restart,
           {.summary = "Restarts a language server and forgives its crashes",
            .params = {{"type", "object"},
                       {"properties", {{"server", text}}},
                       {"required", {"server"}},
                       {"additionalProperties", false}}});
}

}  // namespace gantry::lsp

GANTRY_PLUGIN(gantry::lsp::Lsp)
