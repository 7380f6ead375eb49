// SPDX-License-Identifier: Apache-2.0
//
// Code actions: what a server offers to do at a place, and the edit that each would be.
#include <algorithm>
#include <array>
#include <gantry/file_uri.hpp>
#include <utility>

#include "plugins/lsp/edits/edit_call.hpp"
#include "plugins/lsp/registry.hpp"

namespace gantry::lsp {

namespace {

[[nodiscard]] std::string string_in(const json& object, const char* member) {
  const auto it = object.find(member);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

/// The command of an action, which may be one itself; null: none.
[[nodiscard]] json command_of(const json& action) {
  const json command = action.value("command", json());
  if (command.is_string()) return action;
  return command.is_object() && command.value("command", json()).is_string() ? command : json();
}

// They do nothing but ask the client to apply an edit.
[[nodiscard]] bool only_edits(const ServerConfig& server, const std::string& command) {
  static constexpr auto kCommands =
      std::to_array<std::string_view>({"clangd.applyFix", "clangd.applyRename", "clangd.applyTweak"});
  return is_clangd(server) && std::ranges::find(kCommands, command) != kCommands.end();
}

[[nodiscard]] std::int64_t line_in(const json& range, const char* end) {
  const json position = range.is_object() ? range.value(end, json()) : json();
  const json line = position.is_object() ? position.value("line", json()) : json();
  return line.is_number_integer() ? line.get<std::int64_t>() : -1;
}

// `answer`: of a question for diagnostics.
[[nodiscard]] json problems_within(const json& range, const Result<std::string>& answer) {
  json here = json::array();
  const auto known = answer ? parse_json(*answer) : Result<json>(std::unexpected(answer.error()));
  if (!known || !known->is_object()) return here;
  for (auto& each : known->value("diagnostics", json::array())) {
    const json where = each.is_object() ? each.value("range", json()) : json();
    if (line_in(where, "start") <= line_in(range, "end") && line_in(where, "end") >= line_in(range, "start"))
      here.push_back(std::move(each));
  }
  return here;
}

}  // namespace

// A server's fixes belong to diagnostics, which it wants to be told.
void EditCall::ask_actions(const json& position) {
  json range{{"start", position}, {"end", position}};
  if (edit_.end_line > 0) {
    const Lines* const lines = lines_of(base_.path);
    if (lines == nullptr) return fail_with(Error{ErrorKind::not_found, "cannot read " + base_.path, {}});
    constexpr std::int64_t kEndOfLine = 1 << 30;
    range["end"] = lines->to_protocol({edit_.end_line, edit_.end_column > 0 ? edit_.end_column : kEndOfLine});
  }
  auto problems = bases();
  for (auto& each : problems) {
    each.kind = Query::Kind::diagnostics;
    each.wait = left() / 2;
  }
  ask_all(std::move(problems), [this, range](const QueryAll::Answers& answers) {
    auto questions = bases();
    for (std::size_t i = 0; i < questions.size(); ++i) {
      questions[i].method = "textDocument/codeAction";
      questions[i].params = {{"textDocument", {{"uri", to_uri(base_.path)}}},
                             {"range", range},
                             {"context", {{"diagnostics", problems_within(range, answers[i])}, {"triggerKind", 1}}}};
      if (!edit_.kind.empty()) questions[i].params["context"]["only"] = {edit_.kind};
      questions[i].wait = left();
    }
    asked_at_ns_ = file_clock_ns();
    ask_all(std::move(questions), [this](const QueryAll::Answers& offered) {
      if (std::ranges::none_of(offered, &Result<std::string>::has_value)) return fail_with(offered.front().error());
      const auto asked = bases();
      for (std::size_t i = 0; i < asked.size(); ++i) add_actions(asked[i], offered[i]);
      next_action(0);
    });
  });
}

void EditCall::add_actions(const Query::Ask& from, const Result<std::string>& offered) {
  const auto result = offered ? parse_json(*offered) : Result<json>(json());
  for (const auto& each : result && result->is_array() ? *result : json::array()) {
    if (!each.is_object() || string_in(each, "title").empty() || actions_.size() >= kMaxActions) continue;
    if (!edit_.title.empty() && string_in(each, "title") != edit_.title) continue;
    actions_.push_back(Action{.from = from, .raw = each});
  }
}

// One after the other: the server may have only one command at a time.
void EditCall::next_action(std::size_t index) {
  if (index >= actions_.size()) return show_actions();
  const json& raw = actions_[index].raw;
  if (const json disabled = raw.value("disabled", json()); disabled.is_object())
    return why_not(index, "disabled: " + string_in(disabled, "reason"));
  if (index >= kMaxProposed) return why_not(index, "many actions: name this one by title to have it proposed");
  if (const json edit = raw.value("edit", json()); !edit.is_null()) return action_edit(index, workspace_edit_of(edit));
  const json command = command_of(raw);
  if (!command.is_null() && only_edits(actions_[index].from.server, command["command"]))
    return run_command(index, command["command"], command.value("arguments", json::array()));
  const std::string why = command.is_null() ? "the server does not say what the action would change"
                                            : "only the server's command " + command["command"].get<std::string>() +
                                                  " does it, which may do more than edit, and is not run";
  // An action with a command may have an edit as well, which comes when it is resolved; a command alone has none.
  if (!raw.value("command", json()).is_string()) {
    Query::Ask question = actions_[index].from;
    question.method = "codeAction/resolve";
    question.params = raw;
    question.wait = left();
    return ask_raw(std::move(question), [this, index, why](const Result<std::string>& answer) {
      if (!answer && answer.error().kind != ErrorKind::upstream_failed) return why_not(index, answer.error().message);
      if (!answer) return why_not(index, why + " (" + answer.error().message + ")");
      const auto resolved = parse_json(*answer);
      const json edit = resolved && resolved->is_object() ? resolved->value("edit", json()) : json();
      if (edit.is_null()) return why_not(index, why);
      actions_[index].raw["edit"] = edit;
      action_edit(index, workspace_edit_of(edit));
    });
  }
  why_not(index, why);
}

void EditCall::run_command(std::size_t index, const std::string& name, const json& arguments) {
  Query::Ask question = actions_[index].from;
  question.method = "workspace/executeCommand";
  question.params = {{"command", name}, {"arguments", arguments}};
  question.keeps_edit = true;
  question.wait = left();
  ask_raw(std::move(question), [this, index](const Result<std::string>& answer) {
    if (!answer) return why_not(index, answer.error().message);
    const auto result = parse_json(*answer);
    const json edit = result && result->is_object() ? result->value("edit", json()) : json();
    if (edit.is_null()) return why_not(index, "the command changes nothing");
    action_edit(index, workspace_edit_of(edit));
  });
}

void EditCall::action_edit(std::size_t index, const Result<WorkspaceEdit>& edit) {
  Action& action = actions_[index];
  action.plan = planned(edit, action.from.server.name);
  action.proposed = action.plan.has_value();
  next_action(index + 1);
}

void EditCall::why_not(std::size_t index, std::string why) {
  actions_[index].plan = fail(ErrorKind::not_found, std::move(why));
  next_action(index + 1);
}

json EditCall::shown_action(Action& action) {
  constexpr std::size_t kMostOfMany = 5, kMostOfOne = 100;
  json item{{"title", string_in(action.raw, "title")}, {"edit_id", nullptr}};
  if (const std::string kind = string_in(action.raw, "kind"); !kind.empty()) item["kind"] = kind;
  if (action.raw.value("isPreferred", json()) == true) item["preferred"] = true;
  if (!action.proposed) {
    item["why"] = action.plan.error().message;
    return item;
  }
  const auto edits = items_of(*action.plan);
  const std::size_t most = std::min(edits.size(), actions_.size() == 1 ? kMostOfOne : kMostOfMany);
  item["files"] = action.plan->files.size();
  item["edits"] = std::vector<json>(edits.begin(), edits.begin() + static_cast<std::ptrdiff_t>(most));
  if (most < edits.size()) item["more_edits"] = edits.size() - most;
  add_notes(*action.plan, item);
  const json command = command_of(action.raw);
  if (!command.is_null() && action.raw.contains("edit"))
    item["notes"].push_back("an editor would then run the command " + string_in(command, "command"));
  item["edit_id"] = keep(std::move(*action.plan));
  return item;
}

// Only those of the page become proposals.
void EditCall::show_actions() {
  std::size_t identity = 0;
  for (const auto& action : actions_) identity = mixed(identity, string_in(action.raw, "title"));
  show_page(actions_.size(), identity, {{"path", shown(base_.path)}},
            [&](std::size_t i) { return shown_action(actions_[i]); });
}

}  // namespace gantry::lsp
