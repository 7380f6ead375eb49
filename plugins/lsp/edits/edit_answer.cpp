// SPDX-License-Identifier: Apache-2.0
//
// What a question about edits answers.
#include <algorithm>
#include <utility>

#include "plugins/lsp/edits/edit_call.hpp"
#include "plugins/lsp/edits/proposals.hpp"
#include "plugins/lsp/files.hpp"
#include "plugins/lsp/registry.hpp"

namespace gantry::lsp {

namespace {

[[nodiscard]] bool is_inside(const std::string& path, const std::string& folder) {
  return folder.size() > 1 && path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

[[nodiscard]] std::int64_t gravity(const json& diagnostic) {
  const json value = diagnostic.value("severity", json());
  return value.is_number_integer() ? value.get<std::int64_t>() : 1;
}

}  // namespace

std::optional<ShownChange> shown_change(const Plan& plan, const PlannedFile& change) {
  if (!change.after) {
    const bool moved =
        std::ranges::any_of(plan.files, [&](const PlannedFile& other) { return other.moved_from == change.path; });
    if (moved) return std::nullopt;
    return ShownChange{"deleted", {}};
  }
  if (!change.moved_from.empty()) return ShownChange{"renamed", change.moved_from};
  return ShownChange{change.before ? "edited" : "created", {}};
}

std::vector<json> EditCall::items_of(const Plan& plan) const {
  std::vector<json> out;
  for (const auto& change : plan.files) {
    const auto as = shown_change(plan, change);
    if (!as) continue;
    if (as->change != "edited" || change.hunks.empty()) {
      json item{{"path", shown(change.path)}, {"change", as->change}};
      if (!as->from.empty()) item["from"] = shown(as->from);
      out.push_back(std::move(item));
    }
    for (const auto& hunk : change.hunks) {
      json item{{"path", shown(change.path)}, {"line", hunk.line}, {"old", hunk.before}, {"new", hunk.after}};
      if (hunk.cut) item["cut"] = true;
      out.push_back(std::move(item));
    }
  }
  return out;
}

void EditCall::add_notes(const Plan& plan, json& answer) const {
  std::vector<std::string> notes = plan.notes;
  const std::string workspace = real_path(args_.workspace);
  for (const auto& change : plan.files) {
    if (is_inside(change.real, workspace)) continue;
    notes.push_back(change.path + " lies outside of the workspace: lsp.apply refuses this edit");
    break;
  }
  if (!notes.empty()) answer["notes"] = std::move(notes);
}

void EditCall::show_proposal(Plan plan) {
  const std::vector<json> items = items_of(plan);
  std::size_t identity = 0;
  for (const auto& item : items) identity = mixed(identity, dump_json(item));
  json answer{{"files", plan.files.size()}};
  add_notes(plan, answer);
  answer["edit_id"] = keep(std::move(plan));
  show_page(items.size(), identity, std::move(answer), [&](std::size_t i) { return items[i]; });
}

// The gravest problems first, file by file. What has no room is counted.
void EditCall::show_applied() {
  json answer{{"edit_id", edit_.edit_id}, {"files", json::array()}, {"files_total", touched_.size()}};
  struct Problem {
    std::pair<std::int64_t, std::size_t> order;
    const Touched* touched;
    const json* diagnostic;
  };
  std::vector<Problem> problems;
  for (const auto& touched : touched_) {
    for (const auto& problem : touched.problems)
      problems.push_back({{gravity(problem), problems.size()}, &touched, &problem});
    if (answer["files"].size() >= kMostFilesShown) continue;
    json file{{"path", shown(touched.path)}, {"change", touched.change}};
    if (!touched.from.empty()) file["from"] = shown(touched.from);
    if (!touched.freshness.empty()) {
      file["freshness"] = touched.freshness;
      file["errors"] = std::ranges::count(touched.problems, 1, gravity);
      file["warnings"] = std::ranges::count(touched.problems, 2, gravity);
    }
    answer["files"].push_back(std::move(file));
  }
  std::ranges::sort(problems, {}, &Problem::order);
  auto page = page_of(problems.size(), 0, args_.budget, [&](std::size_t i) {
    json item = json::object();
    add_place(item, {problems[i].touched->path, problems[i].diagnostic->value("range", json())});
    add_problem(item, *problems[i].diagnostic);
    return item;
  });
  if (!page) return fail_with(page.error());
  page->next_cursor.clear();  // nothing is applied twice; lsp.problems has the rest
  show(std::move(answer), std::move(*page));
}

}  // namespace gantry::lsp
