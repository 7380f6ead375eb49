// SPDX-License-Identifier: Apache-2.0
//
// What a client keeps of the server's answers and sends back: result ids, and the `data` of items. They mean something
// to the process that gave them alone, and a process that follows may know others by the same names.
//
// So after another process has taken a client's server's place, the client gets a whole answer where it asks for the
// difference to a result of before, and ContentModified for an item of before. Which items those are is not written
// into them: they are those of methods that the present process has not answered to the client.
#include <algorithm>
#include <array>

#include "plugins/lsp/attach.hpp"
#include "plugins/lsp/messages.hpp"

namespace gantry::lsp {

namespace {

struct Items {
  std::string_view gives, takes;
};
constexpr std::array kItems{Items{"textDocument/completion", "completionItem/resolve"},
                            Items{"textDocument/codeAction", "codeAction/resolve"},
                            Items{"textDocument/codeLens", "codeLens/resolve"},
                            Items{"textDocument/documentLink", "documentLink/resolve"},
                            Items{"textDocument/inlayHint", "inlayHint/resolve"},
                            Items{"workspace/symbol", "workspaceSymbol/resolve"},
                            Items{"textDocument/prepareCallHierarchy", "callHierarchy/incomingCalls"},
                            Items{"textDocument/prepareCallHierarchy", "callHierarchy/outgoingCalls"},
                            Items{"textDocument/prepareTypeHierarchy", "typeHierarchy/supertypes"},
                            Items{"textDocument/prepareTypeHierarchy", "typeHierarchy/subtypes"}};

[[nodiscard]] std::string document_of(std::string_view text) {
  const auto uri = parse_json(member(member(scan(text, Scan::full).params, "textDocument"), "uri"));
  return uri && uri->is_string() ? document_key(uri->get<std::string>()) : std::string();
}

// `text` with another value of the member of its params; empty: there is no such member.
[[nodiscard]] std::string with_param(std::string_view text, const char* name, const json& value) {
  auto message = parse_json(text);
  if (!message || !message->is_object() || !message->contains("params")) return {};
  json& params = (*message)["params"];
  if (!params.is_object() || !params.contains(name)) return {};
  if (value.is_null()) {
    params.erase(name);
  } else {
    params[name] = value;
  }
  return dump_json(*message);
}

}  // namespace

void Client::Kept::renew() {
  *this = {};
  replaced = true;
}

std::uint16_t AttachSession::items_given_by(std::string_view method) {
  std::uint16_t out = 0;
  for (std::size_t i = 0; i < kItems.size(); ++i) {
    if (kItems[i].gives == method) out |= static_cast<std::uint16_t>(1U << i);
  }
  return out;
}

// True: it was refused.
bool AttachSession::refuses_old_item(Client& client, std::string_view text, const Envelope& e, DeferredActions& fx) {
  if (!client.kept.replaced) return false;
  const auto taken = std::ranges::find(kItems, e.method(), &Items::takes);
  if (taken == kItems.end() || (client.kept.items & (1U << (taken - kItems.begin()))) != 0) return false;
  const auto params = scan(text, Scan::full).params;
  const auto item = member(params, "item");
  if (member(item.empty() ? params : item, "data").empty()) return false;
  answer_error(client, std::string(e.id), kContentModified,
               Error{ErrorKind::unavailable,
                     "the item is of a process of " + config().name + " that is gone; ask for " +
                         std::string(taken->gives) + " again",
                     {}},
               fx);
  return true;
}

// Empty: the request as it is.
std::string AttachSession::without_result_ids(Client& client, std::string_view text, const Envelope& e) {
  const auto method = e.method();
  if (method == "textDocument/diagnostic") {
    if (!client.kept.replaced) return {};
    if (client.kept.diagnosed.size() >= kMaxHighlighted) client.kept.diagnosed.clear();
    return client.kept.diagnosed.insert(document_of(text)).second ? with_param(text, "previousResultId", {})
                                                                  : std::string();
  }
  if (method == "workspace/diagnostic") {
    if (!client.kept.replaced || std::exchange(client.kept.workspace_diagnosed, true)) return {};
    return with_param(text, "previousResultIds", json::array());
  }
  return without_delta(client, text, method);
}

// Semantic tokens may be asked for as the difference to the last result, of which some servers keep one for a document,
// and do not look whether the client has that: after another client's question all tokens are asked for.
std::string AttachSession::without_delta(Client& client, std::string_view text, std::string_view method) {
  constexpr std::string_view kFull = "textDocument/semanticTokens/full",
                             kDelta = "textDocument/semanticTokens/full/delta";
  if (method != kFull && method != kDelta) return {};
  const auto key = document_of(text);
  if (key.empty()) return {};
  if (highlighted_.size() >= kMaxHighlighted) highlighted_.clear();
  const ClientId before = std::exchange(highlighted_[key], client.id);
  const bool first = before == 0 && alone() && !client.kept.replaced;
  if (method == kFull || before == client.id || first) return {};
  std::string out;
  append_with_id(out, text, member(text, "method"), '"' + std::string(kFull) + '"');
  return out;
}

}  // namespace gantry::lsp
