// SPDX-License-Identifier: Apache-2.0
//
// What the clients of a server understand: who may share the server, and what each is told and asked.
#include <algorithm>
#include <gantry/file_uri.hpp>
#include <set>

#include "plugins/lsp/attach.hpp"
#include "plugins/lsp/capabilities/cut.hpp"
#include "plugins/lsp/capabilities/member_at.hpp"
#include "plugins/lsp/messages.hpp"
#include "plugins/lsp/positions/translation.hpp"

namespace gantry::lsp {

namespace {

// The server may be told that its folders change.
[[nodiscard]] bool takes_folders(const json& capabilities) {
  const json& notified = member_at(capabilities, "workspace.workspaceFolders.changeNotifications");
  return (notified.is_boolean() && notified.get<bool>()) || notified.is_string();
}

[[nodiscard]] bool same_folders(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::set(a.begin(), a.end()) == std::set(b.begin(), b.end());
}

}  // namespace

// ---- who shares -----------------------------------------------------------------------------------------------------

void AttachSession::declared(Client& client) {
  const auto params = parse_json(client.init_params);
  if (config().share == Share::none || !params || !params->is_object()) return;
  const json capabilities = part(*params, "capabilities");
  client.understood = std::make_shared<Understood>(capabilities);
  client.lacks = lacking_in(capabilities);
  client.files_told = member_at(*params, "initializationOptions.clangdFileStatus") == true;
}

// What clients have to have in common to share a server. Empty: the server is not to be shared.
std::string AttachSession::key_for(Client& client, const std::string& root) {
  const auto params = parse_json(client.init_params);
  if (config().share == Share::none || !params || !params->is_object()) return {};
  json server = to_json(config());
  client.without |= client.lacks & context_->used_features.of(dump_json(server));
  server.erase("settings");  // those in force follow from the name and the root
  json common = common_part(*params, client.folders);
  if (config().share == Share::root) common.erase("initializationOptions");
  json key{server, root, client.environment, std::move(common), client.without};
  if ((client.without & feature::kFixedFolders) != 0) key.push_back(client.folders);
  return dump_json(key);
}

// What the server does that the client is no match for.
Features AttachSession::misfit(const Client& client) const {
  if (key_.empty() || client.guest) return 0;
  Features out = client.lacks & used_ & ~without_;
  const bool fixed = (used_ & feature::kFixedFolders) != 0 && knows_roots_;
  if (fixed && !same_folders(client.folders, told_folders_)) out |= feature::kFixedFolders;
  return out;
}

bool AttachSession::moves_as_misfit(Client& client, DeferredActions& fx) {
  const Features misfits = misfit(client);
  if (misfits == 0) return false;
  client.without |= misfits;
  move_out_later(client, fx);
  return true;
}

void AttachSession::feature_is_used(Features used, DeferredActions& fx) {
  if ((used_ | used) == used_) return;
  used_ |= used;
  context_->used_features.note(dump_json(to_json(config())), used & ~feature::kFixedFolders);
  if (welcome_.empty()) return;
  for (const auto& [id, client] : clients_) {
    if (client->admitted && !client->ended) (void)moves_as_misfit(*client, fx);
  }
}

// ---- its capabilities -----------------------------------------------------------------------------------------------

void AttachSession::learn_capabilities(std::string_view result, DeferredActions& fx) {
  const auto doc = parse_repaired(result);
  if (!doc || !doc->is_object()) return;
  const json capabilities = part(*doc, "capabilities");
  const json& sync = member_at(capabilities, "textDocumentSync");
  const json change = sync.is_object() ? sync.value("change", json(0)) : sync;
  if (capabilities.is_object()) views_.set_takes_changes(!change.is_number() || change != 0);
  const auto encoding = encoding_in(*doc);
  views_.set_encoding(encoding);
  for (const auto& [id, client] : clients_) client->notebooks.set_encoding(encoding);
  feature_is_used(features_used_by(capabilities) | (takes_folders(capabilities) ? 0 : feature::kFixedFolders), fx);
}

// The server's answer to `initialize`. What the server has registered since is in it for a client that takes no
// registrations of that.
std::string AttachSession::welcome_for(const Client& client) const {
  const Envelope whole = scan(welcome_, Scan::full);
  const auto& understood = *client.understood;
  std::string less;
  const auto is_announced = [&](const json& registration) {
    const json method = part(registration, "method");
    return method.is_string() && !understood.registers(method.get<std::string>());
  };
  std::vector<const json*> announced;
  for (const auto& [id, registrations] : registrations_) {
    for (const auto& each : registrations) {
      if (is_announced(each)) announced.push_back(&each);
    }
  }
  if ((understood.cuts("initialize") || !announced.empty()) && !whole.result.empty()) {
    if (auto doc = parse_repaired(whole.result)) {
      for (const auto* const each : announced) announce(*doc, *each, understood);
      if (const auto cut_down = cut("initialize", std::move(*doc), understood))
        return R"({"jsonrpc":"2.0","id":)" + client.init_id + R"(,"result":)" + dump_json(*cut_down) + "}";
    }
  }
  append_with_id(less, welcome_, whole.id, client.init_id);
  return less;
}

// ---- what it says ---------------------------------------------------------------------------------------------------

std::string AttachSession::cut_answer(const Client& client, const Pending& pending, std::string text) {
  auto message = parse_repaired(text);
  if (!message || !message->is_object() || !message->contains("result")) return text;
  auto less = cut(pending.cut, (*message)["result"], *client.understood, pending.uri);
  if (!less) return error_message(pending.id, kRequestFailed, less.error());
  if (*less == (*message)["result"]) return text;
  (*message)["result"] = std::move(*less);
  return dump_json(*message);
}

std::optional<std::string> AttachSession::cut_message(const Client& client, std::string_view method, std::string text,
                                                      std::string& why) {
  if (!client.understood->cuts(method)) return text;
  auto message = parse_repaired(text);
  if (!message || !message->is_object() || !message->contains("params")) return text;
  auto less = cut(method, (*message)["params"], *client.understood);
  if (!less) {
    why = less.error().message;
    return std::nullopt;
  }
  for (const char* const list : {"registrations", "unregisterations"}) {
    if (less->is_object() && less->contains(list) && (*less)[list].is_array() && (*less)[list].empty())
      return std::nullopt;
  }
  if (*less == (*message)["params"]) return text;
  (*message)["params"] = std::move(*less);
  return dump_json(*message);
}

// `token`: raw.
std::string AttachSession::cut_partial(const Client& client, const std::string& token, std::string text) const {
  const auto of = std::ranges::find_if(pending_, [&](const auto& entry) { return entry.second.partial == token; });
  if (of == pending_.end() || of->second.client != client.id) return text;
  auto message = parse_repaired(text);
  if (!message || !message->is_object() || !member_at(*message, "params").contains("value")) return text;
  json& value = (*message)["params"]["value"];
  const auto less = cut(of->second.cut, value, *client.understood, of->second.uri);
  value = less ? *less : json();
  return dump_json(*message);
}

std::string AttachSession::with_published(const Client& client, std::string_view text) const {
  auto message = parse_json(text);
  if (!message || !message->is_object()) return {};
  const json& shown = member_at(*message, "params.context.diagnostics");
  const json& uri = member_at(*message, "params.textDocument.uri");
  if (!shown.is_array() || shown.empty() || !uri.is_string()) return {};
  const auto published = parse_repaired(views_.published_for(uri.get<std::string>()));
  if (!published) return {};
  restore_diagnostics((*message)["params"]["context"], member_at(*published, "params.diagnostics"), *client.understood);
  return dump_json(*message);
}

// ---- what it asks ---------------------------------------------------------------------------------------------------

// As the client would answer that has told its settings, and is not asked for them. As dumped JSON.
std::string AttachSession::configuration_of(const Client& client, std::string_view params) {
  const auto asked = parse_json(params);
  const auto told = parse_json(client.configuration_text);
  return dump_json(configuration_from(asked ? *asked : json(), told ? member_at(*told, "params.settings") : json()));
}

// The settings of clients that are not asked for them are compared with the answer of another.
void AttachSession::configured_unasked(const ServerAsks::Ask& ask, DeferredActions& fx) {
  if (config().share == Share::root) return;  // theirs do not matter
  for (const auto& [id, client] : clients_) {
    if (client->ended || !client->admitted || !client->answered || client->initialized_text.empty()) continue;
    if (client->understood->may_be_asked("workspace/configuration")) continue;
    configured(*client, ask, configuration_of(*client, ask.params), fx);
  }
}

json AttachSession::answer_unasked(const Client& client, std::string_view method, std::string_view params) const {
  if (method == "workspace/applyEdit")
    return {{"applied", false}, {"failureReason", "the editor applies no edits of a language server"}};
  if (method == "window/showDocument") return {{"success", false}};
  if (method != "workspace/configuration") return {};
  const auto answer = parse_json(configuration_of(client, params));
  return answer ? *answer : json();
}

}  // namespace gantry::lsp
