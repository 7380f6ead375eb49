// SPDX-License-Identifier: Apache-2.0
//
// The plugin's manifest, and how one instance follows another.
#include "plugins/lsp/plugin.hpp"

#include <signal.h>

#include <gantry/plugin/process.hpp>
#include <gantry/version.hpp>
#include <set>

namespace gantry::lsp {

namespace {

/// The time in which all editors of a session come to the next instance: their host gives the streams at once.
constexpr std::chrono::seconds kAwaited{10};

[[nodiscard]] std::string name_of_process(const json& session) {
  const auto it = session.find("process");
  return it == session.end() ? std::string() : it->value("name", "");
}

}  // namespace

// Those that an instance which has died has left: taken over, or ended. One that still drains claims its own.
void Lsp::recover_servers() {
  std::set<std::string> kept;
  for (const auto& [call, left] : left_) kept.insert(name_of_process(left.session->session));
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

// ---- from one instance to the next --------------------------------------------------------------

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

void Lsp::restore(const std::string& handed_over) try {
  left_ = registry_->restore(handed_over);
} catch (const json::exception& e) {
  host_.log(Level::error, std::string("what the instance before has handed over makes no sense: ") + e.what());
}

// The first stream of a session brings it back, with all of its clients.
void Lsp::attach_again(Call call) {
  auto left = left_.extract(call.id());
  const Error anew{
      ErrorKind::unavailable, "the lsp plugin was reloaded, and could not go on with this; attach anew", {}};
  if (!left) return call.reply_error(anew);
  SuspendedSession& suspended = *left.mapped().session;
  auto session = suspended.restored.lock();
  if (!session) session = restore_session(suspended);
  const auto client = session ? session->client_of(call.id()) : nullptr;
  if (!client) return call.reply_error(anew);
  connect(call, client->seat, client->id);
  client->editor->restore(std::move(call), std::move(left.mapped().unsent));
  session->editor_gave_credit(client->id);
}

// Null: it cannot be brought back, as before.
std::shared_ptr<AttachSession> Lsp::restore_session(SuspendedSession& suspended) {
  const json left = std::exchange(suspended.session, json());
  if (left.is_null()) return nullptr;
  try {
    auto session = std::make_shared<AttachSession>(context_, server_from(left.at("server")), rules());
    if (!registry_->add(session, 0)) return nullptr;
    session->restore(left);
    session->agree_with(!registry_->may_start(session->config().name));
    session->are_seated();
    suspended.restored = session;
    (void)host_.after(kAwaited, [weak = std::weak_ptr(session)] {
      if (const auto awaiting = weak.lock()) awaiting->drop_awaited();
    });
    return session;
  } catch (const json::exception&) {
    return nullptr;
  }
}

// ---- the manifest -------------------------------------------------------------------------------

void Lsp::define(Definition<Lsp>& d) {
  const json text{{"type", "string"}};
  const json uri{{"type", "string"}, {"description", "a file: URI, or an absolute path"}};
  const json language{{"type", "string"}, {"description", "an LSP language id; by the file's name when absent"}};
  const json cwd{{"type", "string"},
                 {"description", "where the editor is: the server runs there when no root is named that is a folder"}};
  d.id("lsp")
      .version(std::string(gantry::kVersion))
      .summary("Language servers for editors, agents and scripts")
      .service("lsp");
  d.settings("lsp").publishes("lsp.**").nonblocking().reload("handover");
  // They are also its servers': toolchains lie in many places, and keep what they download.
  d.grant("processes").grant("network").grant("read:/").grant("write:workspace").grant("write:~/.cache");
  d.grant("write:~/.cargo/registry").grant("write:~/.cargo/git").grant("write:~/go/pkg");
  d.method("lsp.attach", &Lsp::attach,
           {.summary = "One editor's LSP connection: each item is one JSON-RPC message, both ways",
            .params = {{"type", "object"},
                       {"properties",
                        {{"language", language},
                         {"server", text},
                         {"root", uri},
                         {"cwd", cwd},
                         {"environment",
                          {{"type", "object"},
                           {"additionalProperties", text},
                           {"description", "the caller's variables; the server gets those that its table names"}}}}},
                       {"additionalProperties", false}},
            .result = {{"type", "null"}},
            .stream = true,
            .attach = true});
  d.method(
      "lsp.environment", &Lsp::environment,
      {.summary = "The servers of a language, and the names of the variables that they take of an editor's environment",
       .params = {{"type", "object"},
                  {"properties", {{"language", language}, {"server", text}, {"cwd", cwd}}},
                  {"additionalProperties", false}},
       .result = {{"type", "object"},
                  {"properties",
                   {{"names", {{"type", "array"}, {"items", text}}},
                    {"servers", {{"type", "array"}, {"items", text}}}}}},
       .idempotent = true});
  d.method("lsp.request", &Lsp::request,
           {.summary = "Asks or tells the language server of a file, as it is on the disk; null for what it is told",
            .params = {{"type", "object"},
                       {"properties",
                        {{"uri", uri},
                         {"method", text},
                         {"params", json::object()},
                         {"language", language},
                         {"server", {{"type", "string"}, {"description", "of several that serve the file"}}},
                         {"notification",
                          {{"type", "boolean"},
                           {"description", "the server does not answer it; by the method's name when absent"}}}}},
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
                         {"diagnostics", {{"type", "array"}}},
                         {"failed",
                          {{"type", "array"},
                           {"description", "of several servers of the language those that gave none, and why"}}}}}},
            .idempotent = true,
            .keeps_time = true});
  d.method("lsp.servers", &Lsp::servers,
           {.summary = "The configured language servers and the running ones: state, clients, memory, processor time",
            .idempotent = true});
  d.method("lsp.restart", &Lsp::restart,
           {.summary = "Restarts a language server, and forgives its crashes; after lsp.stop it may start again",
            .params = {{"type", "object"},
                       {"properties", {{"server", text}}},
                       {"required", {"server"}},
                       {"additionalProperties", false}}});
  d.method("lsp.stop", &Lsp::stop_server,
           {.summary = "Ends the processes of a language server, which stays stopped until lsp.restart",
            .params = {{"type", "object"},
                       {"properties", {{"server", text}}},
                       {"required", {"server"}},
                       {"additionalProperties", false}},
            .result = {{"type", "object"},
                       {"properties",
                        {{"server", text},
                         {"stopped", {{"type", "integer"}, {"description", "the processes that there were"}}}}}},
            .idempotent = true});
  define_tools(d);
  define_edits(d);
}

}  // namespace gantry::lsp

GANTRY_PLUGIN(gantry::lsp::Lsp)
