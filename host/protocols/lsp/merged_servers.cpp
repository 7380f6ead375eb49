// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/lsp/merged_servers.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <utility>

#include "host/protocols/lsp/json_parts.hpp"

namespace gantry::host {

namespace {

constexpr int kInvalidRequest = -32600;
constexpr int kRequestFailed = -32803;
constexpr int kServerCancelled = -32802;
constexpr int kContentModified = -32801;
constexpr int kCancelled = -32800;

[[nodiscard]] bool has_items(std::string_view method) {
  return method == "textDocument/completion" || method == "textDocument/codeAction";
}

// What concerns nobody but the server that gives it a meaning.
[[nodiscard]] bool is_extension(std::string_view method) {
  for (const std::string_view known : {"textDocument/did", "textDocument/will", "workspace/did", "notebookDocument/",
                                       "window/", "$/", "initialized", "exit"}) {
    if (method.starts_with(known)) return false;
  }
  return true;
}

[[nodiscard]] std::string family_of(std::string_view method) { return std::string(method.substr(0, method.find('/'))); }

// Arguments may be large.
[[nodiscard]] std::string command_key(const json& command) {
  const auto arguments = std::hash<std::string>{}(dump_json(part(command, "arguments")));
  return text(command, "command") + ":" + std::to_string(arguments);
}

// The ids and tokens of the servers, each in a name of its own: "gantry:SERVER:RAW".
constexpr std::string_view kOwn = "gantry:";

[[nodiscard]] std::string named(std::size_t server, const json& own) {
  return std::string(kOwn) + std::to_string(server) + ":" + dump_json(own);
}

struct Named {
  std::size_t server = 0;
  json own;
};
[[nodiscard]] std::optional<Named> unnamed(const json& name) {
  if (!name.is_string()) return std::nullopt;
  std::string_view rest = name.get_ref<const std::string&>();
  if (!rest.starts_with(kOwn)) return std::nullopt;
  rest.remove_prefix(kOwn.size());
  const auto colon = rest.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon > 4) return std::nullopt;
  Named out;
  for (const char digit : rest.substr(0, colon)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    out.server = out.server * 10 + static_cast<std::size_t>(digit - '0');
  }
  auto own = parse_json(rest.substr(colon + 1));
  if (!own) return std::nullopt;
  out.own = std::move(*own);
  return out;
}

[[nodiscard]] int code_of(const json& error) {
  const auto& code = part(error, "code");
  return code.is_number_integer() ? code.get<int>() : 0;
}

[[nodiscard]] bool may_ask_the_next(const json& error) {
  const int code = code_of(error);
  return error.is_null() || (code != kCancelled && code != kServerCancelled && code != kContentModified);
}

// The answers are to be such that they can be put together.
void narrow(json& params) {
  if (!params.is_object()) return;
  params.erase("workDoneToken");
  json& capabilities = params["capabilities"];
  if (!capabilities.is_object()) capabilities = json::object();
  capabilities.erase("offsetEncoding");  // clangd's
  if (!part(capabilities, "general").is_object()) capabilities["general"] = json::object();
  capabilities["general"]["positionEncodings"] = json::array({"utf-16"});
  if (!part(capabilities, "textDocument").is_object()) return;
  json& document = capabilities["textDocument"];
  if (part(document, "completion").is_object()) document["completion"].erase("completionList");
  // An editor would ask once for each registration, and be answered of all each time.
  for (const char* const merged : {"completion", "codeAction", "references", "diagnostic", "colorProvider"}) {
    if (part(document, merged).is_object()) document[merged].erase("dynamicRegistration");
  }
}

}  // namespace

MergedServers::MergedServers(std::vector<std::string> names) : published_(names.size()) {
  for (auto& name : names) servers_.push_back({.name = std::move(name)});
}

MergedServers::Messages MergedServers::from_editor(std::string_view raw) {
  auto message = parse_json(raw);
  if (!message || !message->is_object()) {
    fail(json(), kInvalidRequest, "this is no JSON-RPC message of LSP");
  } else if (!message->contains("method")) {
    answer_server(std::move(*message));
  } else if (message->contains("id")) {
    ask(*message);
  } else {
    tell(*message, raw);
  }
  return std::exchange(out_, {});
}

MergedServers::Messages MergedServers::from_server(std::size_t server, std::string_view raw) {
  auto message = parse_json(raw);
  if (!message || !message->is_object() || servers_.at(server).gone) return {};
  if (!message->contains("method")) {
    answered(server, std::move(*message));
  } else if (message->contains("id")) {
    question(server, std::move(*message));
  } else {
    notice(server, std::move(*message), raw);
  }
  return std::exchange(out_, {});
}

MergedServers::Messages MergedServers::gone(std::size_t server, const std::string& why) {
  leave(server, why);
  return std::exchange(out_, {});
}

// ---- the editor asks ------------------------------------------------------------------------------------------------

void MergedServers::ask(const json& message) {
  Asked asked{.id = message["id"], .method = text(message, "method"), .params = part(message, "params")};
  if (asked_.contains(dump_json(asked.id))) return fail(asked.id, kInvalidRequest, "a request with this id is open");
  if (asked_.size() >= kMaxRequests)
    return fail(asked.id, kRequestFailed, std::to_string(kMaxRequests) + " requests are open");
  if (asked.method == "initialize" && !std::exchange(greeted_, true)) {
    asked.merged = true;
    narrow(asked.params);
    return begin(std::move(asked), live());
  }
  if (asked.method == "shutdown") {
    leaving_ = asked.merged = true;
    return begin(std::move(asked), live());
  }
  if (asked.method == "completionItem/resolve" || asked.method == "codeAction/resolve")
    return resolve(std::move(asked));
  ask_those_that_answer(std::move(asked));
}

void MergedServers::ask_those_that_answer(Asked asked) {
  std::vector<std::size_t> able;
  for (const auto server : live()) {
    if (!servers_[server].features.supports(origin_of(asked.method))) continue;
    if (asked.method.starts_with("textDocument/semanticTokens/") && !has_legend(server)) continue;
    able.push_back(server);
  }
  if (asked.method == "workspace/executeCommand") {
    const auto owner = std::ranges::find_if(
        able, [&](std::size_t each) { return servers_[each].features.has_command(text(asked.params, "command")); });
    const auto given = commands_.find(command_key(asked.params));
    if (given != commands_.end() && !servers_[given->second].gone) {
      able = {given->second};
    } else if (owner != able.end()) {
      able = {*owner};
    }
  }
  std::vector<std::size_t> asks;
  std::ranges::copy_if(able, std::back_inserter(asks), [&](std::size_t each) { return concerns(each, asked); });
  // Who could answer is gone, and the editor has not been told to ask no more.
  const bool left = able.empty() && is_specified(asked.method) && live().size() < servers_.size();
  if (asks.empty() && (left || !able.empty())) {
    json nothing;
    if (asked.method == "textDocument/diagnostic") nothing = {{"kind", "full"}, {"items", json::array()}};
    return to_editor({{"jsonrpc", "2.0"}, {"id", asked.id}, {"result", std::move(nothing)}});
  }
  if (asks.empty()) asks = live();  // the first says that it does not know this
  if (asks.empty()) return fail(asked.id, kRequestFailed, "no server is left");
  asked.merged = is_merged(asked.method) && !able.empty() && (asks.size() > 1 || has_items(asked.method));
  if (!asked.merged) {
    if (falls_back(asked.method)) asked.next.assign(asks.begin() + 1, asks.end());
    asks.resize(1);
  } else if (asked.params.is_object()) {
    for (const char* const token : {"workDoneToken", "partialResultToken"}) asked.params.erase(token);
    if (asks.size() > 1) asked.params.erase("previousResultId");
  }
  begin(std::move(asked), asks);
}

// A character is typed for some servers alone, an identifier is one server's.
bool MergedServers::concerns(std::size_t server, const Asked& asked) const {
  const auto& features = servers_[server].features;
  if (asked.method == "textDocument/diagnostic") {
    const auto& identifier = part(asked.params, "identifier");
    return identifier.is_null() || features.gives_diagnostics_of(identifier);
  }
  if (asked.method != "textDocument/completion" && asked.method != "textDocument/signatureHelp") return true;
  const auto& context = part(asked.params, "context");
  const std::string character = text(context, "triggerCharacter");
  return part(context, "triggerKind") != json(2) || character.empty() ||
         features.is_triggered_by(asked.method, character);
}

// An item that its server cannot say more of is what it is.
void MergedServers::resolve(Asked asked) {
  const auto server = unmark(asked.params);
  if (!server) return ask_those_that_answer(std::move(asked));
  const bool able = *server < servers_.size() && !servers_[*server].gone &&
                    servers_[*server].features.resolves_items_of(origin_of(asked.method));
  if (able) {
    asked.marked = server;
    return begin(std::move(asked), {*server});
  }
  mark(asked.params, *server);
  to_editor({{"jsonrpc", "2.0"}, {"id", std::move(asked.id)}, {"result", std::move(asked.params)}});
}

void MergedServers::begin(Asked asked, const std::vector<std::size_t>& servers) {
  for (const auto server : servers) {
    asked.open.insert(server);
    send(server, asked);
  }
  std::string key = dump_json(asked.id);
  const auto it = asked_.emplace(std::move(key), std::move(asked)).first;
  if (servers.empty()) finish(it);
}

void MergedServers::send(std::size_t server, const Asked& asked) {
  json message{{"jsonrpc", "2.0"}, {"id", asked.id}, {"method", asked.method}};
  if (!asked.params.is_null()) message["params"] = asked.params;
  json& params = message["params"];
  if (asked.method == "initialize" && server > 0 && params.is_object()) {
    params.erase("initializationOptions");
  } else if (part(part(params, "context"), "diagnostics").is_array()) {
    published_.leave_own(server, text(part(params, "textDocument"), "uri"), params["context"]["diagnostics"]);
  }
  if (params.is_null()) message.erase("params");
  out_.push_back({server, dump_json(message)});
}

// ---- the editor tells -----------------------------------------------------------------------------------------------

void MergedServers::tell(const json& message, std::string_view raw) {
  const std::string method = text(message, "method");
  const auto& params = part(message, "params");
  if (method == "$/cancelRequest") {
    const auto it = asked_.find(dump_json(part(params, "id")));
    if (it == asked_.end()) return;
    auto& asked = it->second;
    asked.cancelled = true;
    for (const auto server : asked.open) out_.push_back({server, std::string(raw)});
    if (!asked.merged || asked.method == "initialize" || asked.method == "shutdown") return;
    // The slowest is not waited for.
    const json id = std::move(asked.id);
    asked_.erase(it);
    return fail(id, kCancelled, "cancelled");
  }
  if (method == "window/workDoneProgress/cancel" || method == "$/progress") {
    if (auto name = unnamed(part(params, "token")); name && name->server < servers_.size()) {
      json own = message;
      own["params"]["token"] = std::move(name->own);
      if (!servers_[name->server].gone) out_.push_back({name->server, dump_json(own)});
      return;
    }
  }
  leaving_ = leaving_ || method == "exit";
  const auto all = live();
  if (!is_extension(method)) {
    for (const auto server : all) out_.push_back({server, std::string(raw)});
    return;
  }
  // To those that speak of it, else to the first.
  bool told = false;
  for (const auto server : all) {
    if (!servers_[server].extensions.contains(family_of(method))) continue;
    out_.push_back({server, std::string(raw)});
    told = true;
  }
  if (!told && !all.empty()) out_.push_back({all.front(), std::string(raw)});
}

void MergedServers::answer_server(json message) {
  auto name = unnamed(part(message, "id"));
  if (!name || name->server >= servers_.size()) return;
  auto& server = servers_[name->server];
  if (server.gone || server.asks.erase(dump_json(name->own)) == 0) return;
  message["id"] = std::move(name->own);
  out_.push_back({name->server, dump_json(message)});
}

// ---- a server answers -----------------------------------------------------------------------------------------------

void MergedServers::answered(std::size_t server, json message) {
  const auto it = asked_.find(dump_json(part(message, "id")));
  if (it != asked_.end() && it->second.open.contains(server)) take(it, server, std::move(message));
}

void MergedServers::take(Requests::iterator it, std::size_t server, json message) {
  auto& asked = it->second;
  asked.open.erase(server);
  json error = part(message, "error");
  if (!error.is_null()) {
    if (asked.method == "initialize" && !servers_[server].gone) left_out_.emplace_back(server, text(error, "message"));
    const bool asks_again = code_of(error) == kServerCancelled || code_of(error) == kContentModified;
    if (asked.error.is_null() || asks_again) asked.error = std::move(error);
  } else {
    json result = message.contains("result") ? std::move(message["result"]) : json();
    if (asked.method == "initialize") servers_[server].features.declare(part(result, "capabilities"));
    learn_from(server, asked, result);
    if (asked.marked && result.is_object()) mark(result, server);
    asked.results.push_back({server, std::move(result), {}});
  }
  if (asked.open.empty()) finish(it);
}

// What leads back to the server that has given it.
void MergedServers::learn_from(std::size_t server, const Asked& asked, const json& result) {
  if (asked.method == "textDocument/diagnostic")
    published_.pulled(server, text(part(asked.params, "textDocument"), "uri"), result);
  const std::string_view origin = origin_of(asked.method);
  if (origin != "textDocument/codeAction" && origin != "textDocument/codeLens" && origin != "textDocument/completion" &&
      origin != "textDocument/inlayHint")
    return;
  const auto learn = [&](const json& item) {
    const auto& command = part(item, "command");
    const json& owner = command.is_object() ? command : item;
    if (!part(owner, "command").is_string()) return;
    if (commands_.size() >= kMaxCommands) commands_.clear();
    commands_[command_key(owner)] = server;
  };
  const auto& items = part(result, "items");
  if (origin != asked.method) {
    learn(result);
  } else if (result.is_array() || items.is_array()) {
    for (const auto& item : result.is_array() ? result : items) learn(item);
  }
}

// The numbers of its tokens are those of the editor's legend.
bool MergedServers::has_legend(std::size_t server) const {
  const auto& own = part(part(servers_[server].features.capabilities(), "semanticTokensProvider"), "legend");
  return legend_.is_null() || own.is_null() || own == legend_;
}

void MergedServers::finish(Requests::iterator it) {
  auto& asked = it->second;
  if (asked.method == "initialize")
    std::erase_if(asked.results, [&](const ServerResult& each) { return servers_[each.server].gone; });
  const bool none = std::ranges::all_of(asked.results, [](const auto& each) { return says_nothing(each.result); });
  while (none && !asked.cancelled && may_ask_the_next(asked.error) && !asked.next.empty()) {
    const auto next = asked.next.front();
    asked.next.pop_front();
    if (servers_[next].gone) continue;
    asked.open.insert(next);
    return send(next, asked);
  }
  Asked done = std::move(asked);
  asked_.erase(it);
  json answer{{"jsonrpc", "2.0"}, {"id", done.id}};
  const bool first = done.method == "initialize";
  const bool again = done.method == "textDocument/diagnostic" && !may_ask_the_next(done.error);
  if (done.marked && done.results.empty() && servers_[*done.marked].gone) {
    mark(done.params, *done.marked);
    answer["result"] = std::move(done.params);
  } else if (done.results.empty() || again || (done.cancelled && code_of(done.error) == kCancelled)) {
    answer["error"] =
        done.error.is_null() ? json{{"code", kRequestFailed}, {"message", "no server is left"}} : std::move(done.error);
  } else if (first) {
    answer["result"] = welcome(done.results);
  } else {
    answer["result"] = result_of(done);
  }
  to_editor(answer);
  if (!first || done.results.empty()) return;
  answered_ = true;
  for (const auto& [server, why] : std::exchange(left_out_, {})) {
    if (servers_[server].gone) {
      tell_gone(server, why);
    } else {
      out_.push_back({server, {}});
      leave(server, why);
    }
  }
}

json MergedServers::result_of(Asked& asked) {
  if (asked.method == "shutdown") return {};
  auto& results = asked.results;
  std::ranges::sort(results, {}, &ServerResult::server);
  if (!asked.merged) {
    const auto it = std::ranges::find_if(results, [](const auto& each) { return !says_nothing(each.result); });
    return std::move((it == results.end() ? results.begin() : it)->result);
  }
  if (asked.method == "textDocument/completion") {
    for (auto& each : results) each.commit_characters = servers_[each.server].features.commit_characters();
  }
  return merged_result(asked.method, std::move(results));
}

json MergedServers::welcome(std::vector<ServerResult>& results) {
  std::ranges::sort(results, {}, &ServerResult::server);
  std::vector<const json*> capabilities;
  std::string names;
  for (const auto& [server, result, unused] : results) {
    capabilities.push_back(&servers_[server].features.capabilities());
    names += (names.empty() ? "" : " + ") + servers_[server].name;
  }
  json merged = merged_capabilities(capabilities);
  legend_ = part(part(merged, "semanticTokensProvider"), "legend");
  return {{"capabilities", std::move(merged)}, {"serverInfo", {{"name", names}}}};
}

// ---- a server asks and tells ----------------------------------------------------------------------------------------

void MergedServers::question(std::size_t server, json message) {
  auto& from = servers_[server];
  const std::string method = text(message, "method");
  const std::string id = dump_json(message["id"]);
  speaks_of(from, method);
  if (from.asks.size() >= kMaxStanding) {
    out_.push_back({server, dump_json({{"jsonrpc", "2.0"},
                                       {"id", message["id"]},
                                       {"error", {{"code", kRequestFailed}, {"message", "too many open requests"}}}})});
    return;
  }
  if (method == "client/registerCapability" || method == "client/unregisterCapability") {
    const bool adds = method == "client/registerCapability";
    json& params = message["params"];
    adds ? from.features.add(params) : from.features.remove(params);
    const char* const list = adds ? "registrations" : "unregisterations";
    if (part(params, list).is_array()) {
      for (auto& each : params[list]) {
        if (each.is_object()) each["id"] = named(server, part(each, "id"));
      }
    }
  } else if (method == "window/workDoneProgress/create" && part(message, "params").is_object()) {
    json& token = message["params"]["token"];
    token = named(server, token);
  }
  from.asks.insert(id);
  message["id"] = named(server, message["id"]);
  to_editor(message);
}

void MergedServers::notice(std::size_t server, json message, std::string_view raw) {
  const std::string method = text(message, "method");
  const bool has_params = part(message, "params").is_object();
  speaks_of(servers_[server], method);
  if (method == "textDocument/publishDiagnostics" && has_params) {
    published_.merge(server, message["params"]);
    return to_editor(message);
  }
  if (method == "$/progress" && has_params && !is_editors(server, part(message["params"], "token"))) {
    json& token = message["params"]["token"];
    follow_progress(servers_[server], dump_json(token), part(part(message["params"], "value"), "kind"));
    token = named(server, token);
    return to_editor(message);
  }
  if (method == "$/cancelRequest" && has_params) {
    json& id = message["params"]["id"];
    id = named(server, id);
    return to_editor(message);
  }
  out_.push_back({kEditor, std::string(raw)});
}

void MergedServers::speaks_of(Server& server, const std::string& method) {
  constexpr std::array<std::string_view, 5> kSpecified{"client", "textDocument", "telemetry", "window", "workspace"};
  std::string family = family_of(method);
  if (!is_extension(method) || std::ranges::find(kSpecified, family) != kSpecified.end()) return;
  if (server.extensions.size() < kMaxExtensions) server.extensions.insert(std::move(family));
}

void MergedServers::follow_progress(Server& server, const std::string& token, const json& kind) {
  if (kind == json("end")) {
    server.tokens.erase(token);
  } else if (server.tokens.size() < kMaxStanding) {
    server.tokens.insert(token);
  }
}

bool MergedServers::is_editors(std::size_t server, const json& token) const {
  return std::ranges::any_of(asked_, [&](const auto& entry) {
    const auto& params = entry.second.params;
    return !token.is_null() && entry.second.open.contains(server) &&
           (part(params, "workDoneToken") == token || part(params, "partialResultToken") == token);
  });
}

// ---- a server goes --------------------------------------------------------------------------------------------------

void MergedServers::leave(std::size_t server, const std::string& why) {
  auto& left = servers_.at(server);
  if (std::exchange(left.gone, true)) return;
  const bool served = answered_;
  if (!served) left_out_.emplace_back(server, why);
  std::vector<std::string> waited_for;
  for (const auto& [key, asked] : asked_) {
    if (asked.open.contains(server)) waited_for.push_back(key);
  }
  for (const auto& key : waited_for) {
    const auto it = asked_.find(key);
    if (it == asked_.end()) continue;
    const bool first = it->second.method == "initialize";
    take(it, server, {{"error", {{"code", kRequestFailed}, {"message", first ? why : left.name + ": " + why}}}});
  }
  if (leaving_ || live().empty()) return;
  for (auto& params : published_.withdraw(server)) to_editor("textDocument/publishDiagnostics", std::move(params));
  for (const auto& id : std::exchange(left.asks, {}))
    to_editor("$/cancelRequest", {{"id", named(server, json::parse(id))}});
  for (const auto& token : std::exchange(left.tokens, {}))
    to_editor("$/progress", {{"token", named(server, json::parse(token))}, {"value", {{"kind", "end"}}}});
  json registered = json::array();
  for (const auto& [id, method] : left.features.registrations())
    registered.push_back({{"id", named(server, json(id))}, {"method", method}});
  if (!registered.empty()) {
    to_editor({{"jsonrpc", "2.0"},
               {"id", std::string(kOwn) + std::to_string(++last_id_)},
               {"method", "client/unregisterCapability"},
               {"params", {{"unregisterations", registered}}}});
  }
  if (served) tell_gone(server, why);
}

void MergedServers::tell_gone(std::size_t server, const std::string& why) {
  to_editor(
      "window/showMessage",
      {{"type", 2}, {"message", servers_[server].name + " does not serve (" + why + "); the other servers go on"}});
}

bool MergedServers::waits_for_some() const {
  return std::ranges::any_of(asked_, [](const auto& entry) {
    const auto& [key, asked] = entry;
    return (asked.method == "initialize" || asked.method == "shutdown") && !asked.results.empty();
  });
}

MergedServers::Messages MergedServers::go_on_without() {
  const bool first = !answered_;
  std::vector<std::size_t> late;
  for (const auto& [key, asked] : asked_) {
    if (asked.method == "initialize" || asked.method == "shutdown") late.assign(asked.open.begin(), asked.open.end());
  }
  for (const auto server : late) {
    out_.push_back({server, {}});
    leave(server, std::string("it has not answered ") + (first ? "initialize" : "shutdown") + " in time");
  }
  return std::exchange(out_, {});
}

// ---- small parts ----------------------------------------------------------------------------------------------------

void MergedServers::to_editor(const json& message) { out_.push_back({kEditor, dump_json(message)}); }

void MergedServers::to_editor(const char* method, json params) {
  to_editor({{"jsonrpc", "2.0"}, {"method", method}, {"params", std::move(params)}});
}

void MergedServers::fail(const json& id, int code, const std::string& why) {
  to_editor({{"jsonrpc", "2.0"}, {"id", id}, {"error", {{"code", code}, {"message", why}}}});
}

std::vector<std::size_t> MergedServers::live() const {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < servers_.size(); ++i) {
    if (!servers_[i].gone) out.push_back(i);
  }
  return out;
}

}  // namespace gantry::host
