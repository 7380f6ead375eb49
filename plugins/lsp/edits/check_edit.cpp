// SPDX-License-Identifier: Apache-2.0
//
// What an edit would bring: the diagnostics of its files before and after, with nothing written.
#include <algorithm>
#include <array>
#include <gantry/file_uri.hpp>
#include <tuple>
#include <utility>

#include "plugins/lsp/edits/edit_call.hpp"
#include "plugins/lsp/edits/own_edits.hpp"
#include "plugins/lsp/edits/problem_changes.hpp"
#include "plugins/lsp/edits/proposals.hpp"
#include "plugins/lsp/files.hpp"
#include "plugins/lsp/registry.hpp"

namespace gantry::lsp {

namespace {

// A file of C that is compiled by itself.
[[nodiscard]] bool is_source(const std::string& path) {
  static constexpr auto kEnds =
      std::to_array<std::string_view>({".c", ".cc", ".cpp", ".cxx", ".c++", ".C", ".m", ".mm", ".cu"});
  return std::ranges::any_of(kEnds, [&](std::string_view end) { return path.ends_with(end); });
}

[[nodiscard]] std::string parent(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

}  // namespace

Result<Plan> EditCall::own_plan() {
  auto text = read_file(args_.path);
  if (!text) return std::unexpected(text.error());
  auto edits = own_edits(edit_.edits, *text);
  if (!edits) return std::unexpected(edits.error());
  WorkspaceEdit whole;
  whole.operations.emplace_back(EditFile{args_.path, std::nullopt, std::move(*edits)});
  auto plan = plan_of(whole, {});
  if (!plan && plan.error().kind == ErrorKind::upstream_failed)  // the edits are the caller's
    return fail(ErrorKind::invalid_params, "two of the edits overlap");
  return plan;
}

void EditCall::check() {
  edit_id_ = edit_.edit_id;
  plan_ = std::make_shared<const Plan>();
  if (edit_id_.empty()) {
    auto plan = own_plan();
    if (!plan) return fail_with(plan.error());
    const json id = keep(std::move(*plan));
    if (id.is_null()) return show_checked();
    edit_id_ = id;
  }
  auto found = registry_->proposals().find(edit_id_, args_.workspace, context_->host.now());
  if (!found) return fail_with(found.error());
  plan_ = std::move(*found);
  for (const auto& change : plan_->files) {
    const auto text = change.before ? read_bytes(change.real) : fail(ErrorKind::not_found, "");
    if (change.before ? text && ContentHash::of(*text) == *change.before : real_path(change.real).empty()) continue;
    return fail_with(Error{ErrorKind::conflict,
                           shown(change.path) + " has changed since the edit was proposed; ask for the edit anew",
                           {}});
  }
  choose_checked();
  check_servers();
}

void EditCall::choose_checked() {
  const auto settings = registry_->settings();
  for (std::size_t i = 0; i < plan_->files.size(); ++i) {
    const PlannedFile& file = plan_->files[i];
    if (!shown_change(*plan_, file)) continue;
    const bool own = file.path == args_.path;
    auto questions = asks_about(*settings, file.path, own ? args_.language : std::nullopt);
    if (!questions) {
      notes_.push_back(shown(file.path) + " is not checked: " + questions.error().message);
      checked_.push_back({.file = i, .freshness = "unsupported"});
      continue;
    }
    for (auto& question : *questions) {
      question.kind = Query::Kind::diagnostics;
      const std::string root = find_root(parent(file.path), question.server.root_markers, settings->workspaces);
      checked_.push_back({.file = i, .server = question.server.name + "\n" + root, .question = std::move(question)});
    }
  }
  // Included files before those that include them.
  const auto order = [this](const Checked& each) {
    return std::tuple(each.server, is_source(plan_->files[each.file].path), each.file);
  };
  std::ranges::sort(checked_, {}, order);
}

void EditCall::check_servers() {
  std::vector<std::pair<std::size_t, std::size_t>> servers;
  for (std::size_t i = 0; i < checked_.size(); ++i) {
    if (checked_[i].server.empty()) continue;
    if (servers.empty() || checked_[servers.back().first].server != checked_[i].server) servers.emplace_back(i, i);
    servers.back().second = i + 1;
  }
  if (servers.empty()) return show_checked();
  servers_left_ = servers.size();
  for (const auto& [begin, end] : servers) {
    if (const std::string why = why_unsafe(begin, end); !why.empty()) {
      not_checked(begin, end, why);
    } else {
      ask_before(begin, begin, end);
    }
  }
}

void EditCall::server_checked() {
  if (--servers_left_ == 0) show_checked();
}

// Empty: the server's answer would be the truth.
std::string EditCall::why_unsafe(std::size_t begin, std::size_t end) const {
  if (end - begin > kMaxChecked) return "it has more than " + std::to_string(kMaxChecked) + " files";
  for (const auto& file : plan_->files) {
    const auto change = shown_change(*plan_, file);
    if (!change || change->change != "edited")
      return "it creates, renames or deletes files, which a language server sees on the disk alone";
  }
  const ServerConfig& server = checked_[begin].question.server;
  const bool sees_headers =
      std::ranges::any_of(server.command, [](const auto& word) { return word.starts_with("--use-dirty-headers"); });
  if (!is_clangd(server) || sees_headers || end - begin == 1) return {};
  for (std::size_t i = begin; i < end; ++i) {
    const std::string& path = plan_->files[checked_[i].file].path;
    if (is_source(path)) continue;
    return "clangd takes included files from the disk, so that the others would be checked against the old " +
           shown(path) + " (with --use-dirty-headers in its command it does not)";
  }
  return {};
}

void EditCall::not_checked(std::size_t begin, std::size_t end, const std::string& why) {
  for (std::size_t i = begin; i < end; ++i) checked_[i].freshness = "unsupported";
  notes_.push_back(checked_[begin].question.server.name + " cannot check the edit without it being applied: " + why);
  server_checked();
}

// The others' part is shown.
void EditCall::check_failed(std::size_t begin, std::size_t end, const Error& error) {
  for (std::size_t i = begin; i < end; ++i) checked_[i].failed = error;
  notes_.push_back(checked_[begin].question.server.name + " has not checked the edit: " + error.message);
  server_checked();
}

// What the server says of the files as they are.
void EditCall::ask_before(std::size_t index, std::size_t begin, std::size_t end) {
  if (index == end) return show_overlay(begin, end);
  Query::Ask question = checked_[index].question;
  question.wait = left();
  ask_raw(std::move(question), [this, index, begin, end](const Result<std::string>& answer) {
    if (!answer) return check_failed(begin, end, answer.error());
    const auto result = parse_json(*answer);
    if (!result || !result->is_object() || result->value("freshness", "") != "fresh") return server_checked();
    checked_[index].before = result->value("diagnostics", json::array());
    ask_before(index + 1, begin, end);
  });
}

void EditCall::show_overlay(std::size_t begin, std::size_t end) {
  auto overlay = std::make_shared<Overlay>();
  for (std::size_t i = begin; i < end; ++i) {
    const PlannedFile& file = plan_->files[checked_[i].file];
    auto text = read_bytes(file.path);
    if (!text || ContentHash::of(*text) != *file.before) {
      return fail_with(
          Error{ErrorKind::conflict, shown(file.path) + " has changed meanwhile; ask for the edit anew", {}});
    }
    text = without_bom(std::move(*text));
    const std::size_t hash = ContentHash::of(*text).hash;
    overlay->files.push_back(
        {file.path, dump_json(json(std::move(*text))), hash, dump_json(json(without_bom(*file.after)))});
  }
  Query::Ask question = checked_[begin].question;
  question.kind = Query::Kind::overlay;
  question.wait = std::min<Duration>(left(), Overlay::kMaxTime);
  question.overlay = std::move(overlay);
  ask_raw(std::move(question), [this, begin, end](const Result<std::string>& answer) {
    if (!answer && answer.error().kind == ErrorKind::upstream_failed)
      return not_checked(begin, end, answer.error().message);
    if (!answer) return check_failed(begin, end, answer.error());
    const auto result = parse_json(*answer);
    for (std::size_t i = begin; result && result->is_object() && i < end; ++i) {
      checked_[i].after = result->value(plan_->files[checked_[i].file].path, json::array());
      checked_[i].freshness = "fresh";
    }
    server_checked();
  });
}

// Those that the edit adds first, the gravest of them before the others.
void EditCall::show_checked() {
  const auto has_failed = [](const Checked& each) { return each.failed.has_value(); };
  if (!checked_.empty() && std::ranges::all_of(checked_, has_failed)) return fail_with(*checked_.front().failed);
  struct Item {
    std::tuple<bool, std::int64_t, std::size_t> order;
    json shown;
  };
  std::vector<Item> items;
  json answer{{"edit_id", edit_id_.empty() ? json() : json(edit_id_)}, {"files", json::array()}};
  std::ranges::stable_sort(checked_, {}, &Checked::file);
  for (auto it = checked_.begin(); it != checked_.end();) {
    const PlannedFile& file = plan_->files[it->file];
    json one{{"path", shown(file.path)}, {"freshness", "fresh"}};
    std::size_t added = 0, removed = 0, kept = 0;
    for (const std::size_t number = it->file; it != checked_.end() && it->file == number; ++it) {
      if (it->freshness != "fresh") {
        if (one["freshness"] != "unsupported") one["freshness"] = it->failed ? "unsupported" : it->freshness;
        continue;
      }
      const auto changes = problem_changes(it->before, it->after, file.hunks);
      added += changes.added.size();
      removed += changes.removed.size();
      kept += changes.kept;
      const auto add = [&](const std::vector<json>& problems, bool gone, const std::string& text) {
        const Lines lines(text);
        for (const auto& problem : problems) {
          json item{{"path", shown(file.path)}, {"change", gone ? "removed" : "added"}};
          add_place_in(item, lines, problem.value("range", json()));
          add_problem(item, problem);
          const json severity = problem.value("severity", json());
          const auto gravity = severity.is_number_integer() ? severity.get<std::int64_t>() : 1;
          items.push_back({{gone, gravity, items.size()}, std::move(item)});
        }
      };
      add(changes.added, false, without_bom(*file.after));
      add(changes.removed, true, read_file(file.path).value_or(""));
    }
    if (one["freshness"] == "fresh") one.update({{"added", added}, {"removed", removed}, {"kept", kept}});
    if (answer["files"].size() < kMostFilesShown) answer["files"].push_back(std::move(one));
  }
  std::ranges::sort(items, {}, &Item::order);
  if (!notes_.empty()) answer["notes"] = notes_;
  auto page = page_of(items.size(), 0, args_.budget, [&](std::size_t i) { return items[i].shown; });
  if (!page) return fail_with(page.error());
  page->next_cursor.clear();
  show(std::move(answer), std::move(*page));
}

}  // namespace gantry::lsp
