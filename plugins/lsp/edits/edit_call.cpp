// SPDX-License-Identifier: Apache-2.0
//
// The way of an edit from the server to a proposal, and from a proposal to the disk.
#include "plugins/lsp/edits/edit_call.hpp"

#include <algorithm>
#include <gantry/file_uri.hpp>
#include <utility>

#include "plugins/lsp/edits/proposals.hpp"
#include "plugins/lsp/edits/write_plan.hpp"
#include "plugins/lsp/files.hpp"
#include "plugins/lsp/registry.hpp"

namespace gantry::lsp {

void EditCall::start() {
  switch (tool_) {
    case Tool::format:
      return format();
    case Tool::check_edit:
      return check();
    case Tool::apply:
      return apply();
    default:
      return find_place();
  }
}

void EditCall::ask_at(const json& params) {
  if (tool_ == Tool::code_actions) return ask_actions(params.value("position", json()));
  json with = params;
  with["newName"] = edit_.new_name;
  asked_at_ns_ = file_clock_ns();
  ask_first("textDocument/rename", std::move(with), [this](const json& result) {
    if (result.is_null())
      return fail_with(Error{ErrorKind::not_found, base_.server.name + " finds nothing there that can be renamed", {}});
    propose(workspace_edit_of(result));
  });
}

void EditCall::format() {
  json params{{"textDocument", {{"uri", to_uri(base_.path)}}},
              {"options", {{"tabSize", edit_.tab_size}, {"insertSpaces", edit_.insert_spaces}}}};
  asked_at_ns_ = file_clock_ns();
  ask_first(
      "textDocument/formatting", std::move(params),
      [this](const json& result) {
        if (result.is_null()) return propose(WorkspaceEdit());
        auto edits = text_edits_of(result);
        if (!edits) return fail_with(edits.error());
        WorkspaceEdit edit;
        edit.operations.emplace_back(EditFile{base_.path, std::nullopt, std::move(*edits)});
        propose(std::move(edit));
      },
      First::answers);
}

// ---- proposals ------------------------------------------------------------------------------------------------------

Result<Plan> EditCall::planned(const Result<WorkspaceEdit>& edit, const std::string& server) const {
  if (!edit) return std::unexpected(edit.error());
  PlanRules rules{.asked_at_ns = asked_at_ns_, .is_current = {}};
  rules.is_current = [this, &server](const std::string& path, long long version) {
    const auto known = registry_->version_of(server, path);
    return !known || *known == version;
  };
  return plan_of(*edit, rules);
}

void EditCall::propose(const Result<WorkspaceEdit>& edit) {
  auto plan = planned(edit, base_.server.name);
  if (!plan) return fail_with(plan.error());
  show_proposal(std::move(*plan));
}

json EditCall::keep(Plan plan) {
  if (plan.files.empty() && plan.folders.empty()) return nullptr;
  return registry_->proposals().add(args_.workspace, std::move(plan), context_->host.now());
}

// ---- apply ----------------------------------------------------------------------------------------------------------

void EditCall::apply() {
  auto& proposals = registry_->proposals();
  const auto plan = proposals.find(edit_.edit_id, args_.workspace, context_->host.now());
  if (!plan) return fail_with(plan.error());
  std::vector<std::string> paths;
  for (const auto& change : (*plan)->files) paths.push_back(change.real);
  if (const auto unsaved = registry_->unsaved_in_editor(paths)) {
    return fail_with(Error{ErrorKind::conflict,
                           shown(*unsaved) +
                               " is open in an editor with changes that are not saved; save it or close it there, and "
                               "ask for the edit anew; nothing was changed",
                           {}});
  }
  if (const auto written = write_plan(**plan, args_.workspace); !written) return fail_with(written.error());
  proposals.remove(edit_.edit_id);
  for (const auto& change : (*plan)->files) {
    if (auto as = shown_change(**plan, change))
      touched_.push_back({change.path, std::move(as->change), std::move(as->from), {}, {}});
  }
  diagnose(0);
}

// What is wrong with asking is no failure: the edit is applied.
void EditCall::diagnose(std::size_t index) {
  const auto settings = registry_->settings();
  for (; index < std::min(touched_.size(), kMaxDiagnosed); ++index) {
    if (touched_[index].change == "deleted") continue;
    auto questions = asks_about(*settings, touched_[index].path, std::nullopt);
    if (!questions) continue;  // no server speaks its language
    return ask_diagnostics(std::move(*questions), [this, index](const Result<json>& result) {
      Touched& touched = touched_[index];
      touched.freshness = result ? result->value("freshness", "timeout") : "timeout";
      if (result) {
        for (auto& each : result->value("diagnostics", json::array())) {
          if (each.is_object()) touched.problems.push_back(std::move(each));
        }
      }
      diagnose(index + 1);
    });
  }
  show_applied();
}

}  // namespace gantry::lsp
