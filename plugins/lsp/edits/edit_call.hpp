// SPDX-License-Identifier: Apache-2.0
//
// edit_call.hpp: questions of agents and scripts whose answer is an edit, and what is done with that: it is proposed
// (rename, format, code actions), checked, and applied. Only apply writes.
//
// A proposal is made from the answer of the server and the files on the disk, so it is refused when a file has changed
// since the server was asked. It is kept under an `edit_id` (proposals.hpp), and shown as hunks of whole lines.
//
// Code actions that are edits, or become edits when they are resolved, are proposed. Of those that are commands only
// clangd's are run: they do nothing but send an edit, which is kept from being applied (shared.hpp). A command of
// another server may do more; it is named, and not run.
//
// An edit is checked by an overlay (shared_overlay.cpp): the server is shown the edited texts, and what it says of them
// is compared with what it says of those on the disk. Only the files of the edit are looked at. Where that would not be
// the truth, the answer says so, and nothing else: files that the edit creates, renames or deletes exist on the disk
// alone; clangd takes included files from the disk, unless it was started with --use-dirty-headers; and some servers do
// not say which text their diagnostics are for.
//
// After apply the touched files are asked for their diagnostics, kMaxDiagnosed of them at most, one after the other,
// until the caller's time is over.
//
// Thread rule: as ToolCall. Files are written on the worker.
// Bounds: kMaxChecked files of an edit are checked; kMaxProposed actions of an answer are proposed, kMaxActions looked
// at; those of the plan and the proposals.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plugins/lsp/edits/plan.hpp"
#include "plugins/lsp/tools/tool_call.hpp"

namespace gantry::lsp {

struct EditArgs {
  std::string new_name;         ///< of rename
  std::string edit_id;          ///< of check_edit and apply; empty: none
  std::string title;            ///< of the code action that is wanted; empty: all
  std::string kind;             ///< of code actions; empty: all
  std::int64_t end_line = 0;    ///< of code actions; 0: none
  std::int64_t end_column = 0;  ///< 0: none
  std::int64_t tab_size = 4;    ///< of format
  bool insert_spaces = true;    ///< of format
  json edits;                   ///< of check_edit: of a caller's own, for `path`; null: none
};

class EditCall final : public ToolCall {
 public:
  static constexpr std::size_t kMaxDiagnosed = 20;
  static constexpr std::size_t kMaxActions = 200;
  static constexpr std::size_t kMaxProposed = 16;
  static constexpr std::size_t kMaxChecked = 20;
  static constexpr std::size_t kMostFilesShown = 50;

  EditCall(std::shared_ptr<Context> context, std::shared_ptr<Registry> registry, Tool tool, ToolArgs args,
           EditArgs edit, Call call)
      : ToolCall(std::move(context), std::move(registry), tool, std::move(args), std::move(call)),
        edit_(std::move(edit)) {}

 private:
  void start() override;
  void ask_at(const json& params) override;

  // Proposals.
  void format();
  void propose(const Result<WorkspaceEdit>& edit);
  void show_proposal(Plan plan);
  /// The plan of an edit that this server was asked for at asked_at_ns_.
  [[nodiscard]] Result<Plan> planned(const Result<WorkspaceEdit>& edit, const std::string& server) const;
  /// Returns its id; null: it changes nothing.
  [[nodiscard]] json keep(Plan plan);
  [[nodiscard]] std::vector<json> items_of(const Plan& plan) const;
  void add_notes(const Plan& plan, json& answer) const;

  // Code actions.
  /// A code action, and what has become of it.
  struct Action {
    Query::Ask from;  ///< names the server
    json raw;
    Result<Plan> plan = fail(ErrorKind::not_found, "");
    bool proposed = false;
  };
  void ask_actions(const json& range);
  void add_actions(const Query::Ask& from, const Result<std::string>& offered);
  void next_action(std::size_t index);
  void action_edit(std::size_t index, const Result<WorkspaceEdit>& edit);
  void run_command(std::size_t index, const std::string& name, const json& arguments);
  void why_not(std::size_t index, std::string why);
  void show_actions();
  [[nodiscard]] json shown_action(Action& action);

  // Check.
  /// A file by one of its servers.
  struct Checked {
    std::size_t file = 0;   ///< of the plan
    std::string server{};   ///< its name and root; empty: none speaks the language
    Query::Ask question{};  ///< for diagnostics
    std::string freshness = "timeout";
    std::optional<Error> failed{};  ///< the server has
    json before = json::array();
    json after = json::array();
  };
  void check();
  [[nodiscard]] Result<Plan> own_plan();
  void choose_checked();
  /// All at once.
  void check_servers();
  void server_checked();
  // Of the files [begin, end) of one server.
  [[nodiscard]] std::string why_unsafe(std::size_t begin, std::size_t end) const;
  void ask_before(std::size_t index, std::size_t begin, std::size_t end);
  void show_overlay(std::size_t begin, std::size_t end);
  void not_checked(std::size_t begin, std::size_t end, const std::string& why);
  void check_failed(std::size_t begin, std::size_t end, const Error& error);
  void show_checked();

  // Apply.
  struct Touched {
    std::string path;
    std::string change;
    std::string from;
    std::string freshness;
    std::vector<json> problems;
  };
  void apply();
  void diagnose(std::size_t index);
  void show_applied();

  const EditArgs edit_;
  std::int64_t asked_at_ns_ = 0;
  std::vector<Action> actions_;
  std::vector<Touched> touched_;
  std::string edit_id_;               ///< of the edit that is checked
  std::shared_ptr<const Plan> plan_;  ///< that is checked
  std::vector<Checked> checked_;      ///< those of one server together
  std::size_t servers_left_ = 0;      ///< that have not checked yet
  std::vector<std::string> notes_;
};

/// "edited", "created", "deleted"; a file that has another name now is "renamed", and its old name is not shown.
struct ShownChange {
  std::string change;
  std::string from;  ///< the old name
};
/// Nothing: it is the old name of another file of the plan.
[[nodiscard]] std::optional<ShownChange> shown_change(const Plan& plan, const PlannedFile& change);

}  // namespace gantry::lsp
