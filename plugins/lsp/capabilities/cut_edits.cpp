// SPDX-License-Identifier: Apache-2.0
#include <set>
#include <utility>

#include "plugins/lsp/capabilities/cut.hpp"
#include "plugins/lsp/capabilities/member_at.hpp"
#include "plugins/lsp/capabilities/snippet.hpp"

namespace gantry::lsp {

namespace {

[[nodiscard]] std::unexpected<Error> not_applied(const std::string& why) {
  return fail(ErrorKind::unavailable, "the editor cannot apply the edit: it does not support " + why);
}

void cut_text_edits(json& edits, const Understood::Edit& can, bool annotations) {
  if (!edits.is_array()) return;
  for (auto& edit : edits) {
    if (!edit.is_object()) continue;
    if (!annotations) edit.erase("annotationId");
    const auto snippet = edit.find("snippet");
    if (can.snippets || snippet == edit.end() || !snippet->is_object()) continue;
    const json value = snippet->value("value", json(""));
    edit["newText"] = value.is_string() ? plain_snippet(value.get<std::string>()) : std::string();
    edit.erase("snippet");
  }
}

// As `changes`, for a client without documentChanges.
[[nodiscard]] Result<json> by_document(json& document_changes) {
  json out = json::object();
  for (auto& change : document_changes) {
    const json document = change.is_object() ? part(change, "textDocument") : json();
    const json uri = document.is_object() ? part(document, "uri") : json();
    if (!uri.is_string() || !change.contains("edits")) return not_applied("such changes of documents");
    const auto key = uri.get<std::string>();
    if (out.contains(key)) return not_applied("changes of one document that build on each other");
    out[key] = std::move(change["edits"]);
  }
  return out;
}

}  // namespace

Result<json> cut_edit(json edit, const Understood& understood, bool annotations) {
  if (!edit.is_object()) return edit;
  const auto& can = understood.edit;
  if (!annotations) edit.erase("changeAnnotations");
  if (const auto changes = edit.find("changes"); changes != edit.end() && changes->is_object()) {
    for (auto& edits : *changes) cut_text_edits(edits, can, annotations);
  }
  const auto changes = edit.find("documentChanges");
  if (changes == edit.end() || !changes->is_array()) return edit;
  for (auto& change : *changes) {
    if (!change.is_object()) continue;
    const json kind = part(change, "kind");
    if (!kind.is_string()) {
      if (const auto edits = change.find("edits"); edits != change.end()) cut_text_edits(*edits, can, annotations);
      continue;
    }
    const bool able = can.document_changes && ((kind == "create" && can.create) || (kind == "rename" && can.rename) ||
                                               (kind == "delete" && can.remove));
    if (!able) return not_applied("the operation \"" + kind.get<std::string>() + "\" on files");
    if (!annotations) change.erase("annotationId");
  }
  if (can.document_changes) return edit;
  auto plain = by_document(*changes);
  if (!plain) return std::unexpected(plain.error());
  edit.erase("documentChanges");
  edit["changes"] = std::move(*plain);  // by the protocol documentChanges are preferred where both are
  return edit;
}

Result<json> cut_action(json action, const Understood& understood) {
  if (!action.is_object()) return action;
  const auto& can = understood.action;
  if (!can.preferred) action.erase("isPreferred");
  if (!can.tags) action.erase("tags");
  if (const auto all = action.find("diagnostics"); all != action.end() && all->is_array()) {
    for (auto& each : *all) cut_diagnostic(each, understood.published);
  }
  if (const auto edit = action.find("edit"); edit != action.end()) {
    auto less = cut_edit(std::move(*edit), understood, can.annotations && understood.edit.annotations);
    if (!less) return std::unexpected(less.error());
    *edit = std::move(*less);
  }
  return action;
}

json cut_actions(json actions, const Understood& understood) {
  if (!actions.is_array()) return actions;
  const auto& can = understood.action;
  json out = json::array();
  for (auto& each : actions) {
    const bool is_command = !each.is_object() || part(each, "command").is_string();
    if (is_command) {
      out.push_back(std::move(each));
      continue;
    }
    if (!can.disabled && each.contains("disabled")) continue;
    if (!can.literals) {
      // What is more than a command has no form that the client knows.
      if (each.contains("edit") || !each.contains("command") || !each["command"].is_object()) continue;
      json command = std::move(each["command"]);
      if (each.contains("title")) command["title"] = std::move(each["title"]);
      out.push_back(std::move(command));
      continue;
    }
    if (auto less = cut_action(std::move(each), understood)) out.push_back(std::move(*less));
  }
  return out;
}

}  // namespace gantry::lsp
