// SPDX-License-Identifier: Apache-2.0
//
// The settings of the server's table, which lie under those of the editors.
//
// `settings_` is the table that is in force where the server runs: the user's [lsp.servers.NAME.settings] with those of
// the project's `.gantry.toml`, as far as that is trusted. Only what goes to the server is merged. Editors are compared
// by what they have said themselves, so an edit of the project's file parts none of them. An empty table leaves each
// message as it is.
#include "plugins/lsp/attach.hpp"
#include "plugins/lsp/capabilities/member_at.hpp"
#include "plugins/lsp/messages.hpp"

namespace gantry::lsp {

namespace {

/// What an editor says, and where it says nothing, what the table does. An empty array is how editors in Lua may write
/// an empty table.
[[nodiscard]] json over(json editors, const json& table) {
  if (editors.is_null() || (editors.is_array() && editors.empty() && table.is_object())) return table;
  if (!editors.is_object() || !table.is_object()) return editors;
  for (const auto& [name, value] : table.items()) {
    json& own = editors[name];
    own = over(std::move(own), value);
  }
  return editors;
}

}  // namespace

void AttachSession::settings_are_new() {
  Section section(*this);
  take_settings(section.fx);
}

// A server that has been told of its settings is told of others, and then asks anew if it asks at all.
void AttachSession::take_settings(DeferredActions& fx) {
  if (server_.state() == ServerState::not_started) return;  // begin_with() takes them
  json now = rules_.settings_of(config(), root());
  if (now == settings_) return;
  settings_ = std::move(now);
  if (initialized_sent_) tell_settings(fx);
}

void AttachSession::tell_settings(DeferredActions& fx) {
  if (configuration_text_.empty())
    return server_.notify("workspace/didChangeConfiguration", {{"settings", settings_}}, fx);
  auto message = settings_.empty() ? Result<json>(json()) : parse_json(configuration_text_);
  if (!message || !message->is_object()) return server_.send(configuration_text_, fx);
  json& params = (*message)["params"];
  if (!params.is_object()) params = json::object();
  params["settings"] = over(part(params, "settings"), settings_);
  server_.send(dump_json(*message), fx);
}

// The editor's answer to a workspace/configuration with these params, over the table.
json AttachSession::over_settings(json answer, std::string_view asked) const {
  if (settings_.empty() || !(answer.is_array() || answer.is_null())) return answer;
  const auto params = parse_json(asked);
  const json ours = configuration_from(params ? *params : json(), settings_);
  if (answer.is_null()) answer = json::array();
  for (std::size_t i = 0; i < ours.size(); ++i) {
    if (i == answer.size()) answer.push_back(nullptr);
    answer[i] = over(std::move(answer[i]), ours[i]);
  }
  return answer;
}

void AttachSession::answer_question(const ServerAsks::Ask& ask, std::string_view text, const Envelope& whole,
                                    DeferredActions& fx) {
  if (ask.method == "workspace/configuration" && !settings_.empty() && whole.error.empty()) {
    if (auto answer = parse_json(whole.result)) {
      return answer_server_itself(ask.id, over_settings(std::move(*answer), ask.params), fx);
    }
  }
  server_.send_with_id(text, whole.id, ask.id, fx);
}

// As for servers that editors do not use (own_initialize_params()): the member of the settings that has the server's
// name, under the editor's initializationOptions.
std::string AttachSession::with_options(std::string params) const {
  const auto options = settings_.find(config().name);
  const bool none = options == settings_.end() || !options->is_object();
  const bool tells_files = is_clangd(config()) && !key_.empty();
  if (none && !tells_files) return params;
  auto whole = parse_json(params);
  if (!whole || !whole->is_object()) return params;
  json all = part(*whole, "initializationOptions");
  if (!none) all = over(std::move(all), *options);
  if (tells_files && (all.is_null() || all.is_object())) all["clangdFileStatus"] = true;  // for guests
  (*whole)["initializationOptions"] = std::move(all);
  return dump_json(*whole);
}

}  // namespace gantry::lsp
