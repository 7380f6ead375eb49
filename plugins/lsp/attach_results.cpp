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

constexpr std::string_view kDiagnostic = "textDocument/diagnostic", kWorkspaceDiagnostic = "workspace/diagnostic",
                           kFull = "textDocument/semanticTokens/full",
                           kDelta = "textDocument/semanticTokens/full/delta";

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

// Empty: the request as it is. What the client has been answered is known when the answer comes.
std::string AttachSession::without_result_ids(Client& client, std::string_view text, const Envelope& e, long long id,
                                              Pending& pending) {
  const auto method = e.method();
  if (method == kDiagnostic) {
    if (!client.kept.replaced) return {};
    pending.result_of = std::string(kDiagnostic) + document_in(scan(text, Scan::full).params);
    return client.kept.diagnosed.contains(pending.result_of) ? std::string() : with_param(text, "previousResultId", {});
  }
  if (method == kWorkspaceDiagnostic) {
    if (!client.kept.replaced) return {};
    pending.result_of = kWorkspaceDiagnostic;
    return client.kept.diagnosed.contains(pending.result_of) ? std::string()
                                                             : with_param(text, "previousResultIds", json::array());
  }
  return without_delta(client, text, method, id, pending);
}

// Semantic tokens may be asked for as the difference to the last result, of which some servers keep one for a document,
// and do not look whether the client has that: after another client's question, or one without an answer, all tokens
// are asked for. What a client does that has had the process to itself is its own affair.
std::string AttachSession::without_delta(Client& client, std::string_view text, std::string_view method, long long id,
                                         Pending& pending) {
  if (method != kFull && method != kDelta) return {};
  const auto key = document_in(scan(text, Scan::full).params);
  if (key.empty()) return {};
  if (highlighted_.size() >= kMaxHighlighted) highlighted_.clear();
  Highlight& now = highlighted_[key];
  const Highlight before = now;
  const bool by_another = before.client != 0 && before.client != client.id;
  now = {.client = client.id, .request = id, .answered = false, .mixed = before.mixed || by_another};
  pending.result_of = std::string(kFull) + key;
  const bool alone_so_far = alone() && !now.mixed && !client.kept.replaced;
  if (method == kFull || (!by_another && before.answered) || alone_so_far) return {};
  std::string out;
  append_with_id(out, text, member(text, "method"), '"' + std::string(kFull) + '"');
  return out;
}

void AttachSession::note_result(Client& client, const Pending& pending, long long id) {
  client.kept.items |= pending.gives;
  if (pending.result_of.empty()) return;
  if (!pending.result_of.starts_with(kFull)) {
    if (client.kept.diagnosed.size() >= kMaxHighlighted) client.kept.diagnosed.clear();
    client.kept.diagnosed.insert(pending.result_of);
    return;
  }
  const auto it = highlighted_.find(pending.result_of.substr(kFull.size()));
  if (it != highlighted_.end() && it->second.request == id) it->second.answered = true;
}

}  // namespace gantry::lsp
