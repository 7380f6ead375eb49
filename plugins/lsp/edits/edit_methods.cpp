// SPDX-License-Identifier: Apache-2.0
//
// The tools for edits as methods: what they take, and what they answer.
#include <utility>

#include "plugins/lsp/edits/edit_call.hpp"
#include "plugins/lsp/plugin.hpp"
#include "plugins/lsp/tools/tool_schema.hpp"

namespace gantry::lsp {

namespace {

constexpr std::int64_t kMostTab = 64;
constexpr std::size_t kMostOwnEdits = 1'000;

struct AllArgs {
  ToolArgs tool;
  EditArgs edit;
};

void read_place(Params& p, ToolArgs& out) {
  out.line = p.maybe_integer("line", 1, kMostLines).value_or(0);
  out.column = p.maybe_integer("column", 1, kMostLines).value_or(0);
  out.symbol = p.string_or("symbol", "");
  p.require(out.line == 0 || !out.path.empty(), "line goes with path");
  p.require(out.column == 0 || out.line != 0, "column goes with line");
  p.require(!out.symbol.empty() || out.column != 0,
            "name what is meant: by path, line and column, by path, line and symbol, or by symbol alone");
}

[[nodiscard]] Result<AllArgs> read(Tool tool, Params p, std::string workspace) {
  AllArgs out{.tool = read_common(p, std::move(workspace)), .edit = {}};
  read_budget(p, out.tool);
  if (tool == Tool::rename) {
    out.edit.new_name = p.string("new_name");
    read_place(p, out.tool);
    p.require(!out.edit.new_name.empty(), "new_name is empty");
  } else if (tool == Tool::code_actions) {
    out.edit.end_line = p.maybe_integer("end_line", 1, kMostLines).value_or(0);
    out.edit.end_column = p.maybe_integer("end_column", 1, kMostLines).value_or(0);
    out.edit.title = p.string_or("title", "");
    out.edit.kind = p.string_or("kind", "");
    read_place(p, out.tool);
    p.require(out.edit.end_column == 0 || out.edit.end_line != 0, "end_column goes with end_line");
    p.require(out.edit.end_line == 0 || out.edit.end_line >= out.tool.line, "end_line is before line");
  } else if (tool == Tool::format) {
    out.edit.tab_size = p.integer_or("tab_size", out.edit.tab_size, 1, kMostTab);
    out.edit.insert_spaces = p.boolean_or("insert_spaces", out.edit.insert_spaces);
    p.require(!out.tool.path.empty(), "path is missing");
  }
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  if (auto settled = settle_path(out.tool); !settled) return std::unexpected(settled.error());
  return out;
}

[[nodiscard]] Result<AllArgs> read_apply(Params p, std::string workspace) {
  AllArgs out;
  out.tool.workspace = std::move(workspace);
  out.edit.edit_id = p.string("edit_id");
  out.tool.wait = std::chrono::milliseconds(p.integer_or("wait_ms", kDefaultWaitMs, 1, kMaxWaitMs));
  out.tool.budget.tokens =
      p.integer_or("max_tokens", Budget::kDefaultTokens, Budget::kLeastTokens, Budget::kMostTokens);
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  return out;
}

[[nodiscard]] Result<AllArgs> read_check(Params p, std::string workspace) {
  AllArgs out{.tool = read_common(p, std::move(workspace)), .edit = {}};
  out.tool.budget.tokens =
      p.integer_or("max_tokens", Budget::kDefaultTokens, Budget::kLeastTokens, Budget::kMostTokens);
  out.edit.edit_id = p.string_or("edit_id", "");
  if (auto edits = p.maybe_value("edits")) out.edit.edits = std::move(*edits);
  const bool own = out.edit.edits.is_array() && !out.edit.edits.empty() && !out.tool.path.empty();
  const bool neither = out.edit.edits.is_null() && out.tool.path.empty();
  p.require(out.edit.edit_id.empty() ? own : neither, "name an edit_id, or a path and a list of edits");
  p.require(out.edit.edits.size() <= kMostOwnEdits,
            "edits has more than " + std::to_string(kMostOwnEdits) + " members");
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  if (auto settled = settle_path(out.tool); !settled) return std::unexpected(settled.error());
  return out;
}

[[nodiscard]] json id_of_edit() {
  return {{"type", {"string", "null"}}, {"description", "for lsp.check_edit and lsp.apply; null: nothing to change"}};
}

[[nodiscard]] json notes() {
  return {{"type", "array"}, {"items", {{"type", "string"}}}, {"description", "what to know before it is applied"}};
}

/// The members of a change in a proposal: lines of a file, or a file as a whole.
[[nodiscard]] json change() {
  return {{"path", described("string", "from the workspace where it lies inside")},
          {"line", described("integer", "the first line, in the text before")},
          {"old", described("string", "the lines before; empty: none")},
          {"new", described("string", "the lines after; empty: none")},
          {"cut", described("boolean", "the lines are longer than shown")},
          {"change", {{"enum", {"created", "deleted", "renamed", "edited"}}}},
          {"from", described("string", "the old name of a file that is renamed")}};
}

[[nodiscard]] json proposal() {
  return page_of_items(change(), {{"edit_id", id_of_edit()}, {"files", {{"type", "integer"}}}, {"notes", notes()}});
}

[[nodiscard]] json problem() {
  const json text{{"type", "string"}};
  return place({{"severity", {{"enum", {"error", "warning", "information", "hint"}}}},
                {"message", text},
                {"source", text},
                {"code", {{"type", {"string", "number"}}}}});
}

[[nodiscard]] MethodOptions checking() {
  const json text{{"type", "string"}}, number{{"type", "integer"}};
  const json edit{{"line", counted("from 1")},
                  {"column", counted("in characters, 1 when absent")},
                  {"end_line", counted("as line when absent")},
                  {"end_column", counted("behind the last character; an insertion when no end is named")},
                  {"old_text", described("string", "what is replaced, instead of lines; in the file once")},
                  {"new_text", text}};
  json params = params_of({{"edit_id", described("string", "of a proposal; or else path and edits")},
                           {"edits",
                            {{"type", "array"},
                             {"maxItems", kMostOwnEdits},
                             {"items", {{"type", "object"}, {"properties", edit}, {"required", {"new_text"}}}},
                             {"description", "of the file at path, as it is now"}}}});
  params["properties"].erase("cursor");
  json found = problem();
  found["change"] = {{"enum", {"added", "removed"}}};
  const json file{{"path", text},
                  {"freshness", {{"enum", {"fresh", "timeout", "unsupported"}}}},
                  {"added", number},
                  {"removed", number},
                  {"kept", number}};
  return reading("Check edit", "Tells which errors and warnings an edit would bring and take away; nothing is written",
                 std::move(params),
                 page_of_items(std::move(found),
                               {{"edit_id", id_of_edit()},
                                {"notes", notes()},
                                {"files",
                                 {{"type", "array"},
                                  {"items", {{"type", "object"}, {"properties", file}}},
                                  {"description", "without numbers where freshness is not fresh; 50 at most"}}}}));
}

[[nodiscard]] MethodOptions applying() {
  const json text{{"type", "string"}}, number{{"type", "integer"}};
  const json file{{"path", text},     {"change", {{"enum", {"created", "deleted", "renamed", "edited"}}}},
                  {"from", text},     {"freshness", {{"enum", {"fresh", "stale", "timeout"}}}},
                  {"errors", number}, {"warnings", number}};
  json params = params_of({{"edit_id", described("string", "of a proposal")}}, {"edit_id"});
  for (const char* name : {"path", "language", "cursor"}) params["properties"].erase(name);
  return {
      .summary = "Applies a proposed edit, all files or none, and tells what is wrong in them then",
      .params = std::move(params),
      .result = page_of_items(problem(), {{"edit_id", text},
                                          {"files_total", number},
                                          {"files",
                                           {{"type", "array"},
                                            {"items", {{"type", "object"}, {"properties", file}}},
                                            {"description", "the files; 50 at most"}}}}),
      .keeps_time = true,
      .tool = gantry::Tool{
          .title = "Apply edit", .read_only = false, .destructive = true, .idempotent = false, .open_world = false}};
}

}  // namespace

template <Tool kTool>
void Lsp::edit(Call call) {
  Params params(call.params());
  std::string home = home_of(call.origin());
  auto args = kTool == Tool::apply        ? read_apply(std::move(params), std::move(home))
              : kTool == Tool::check_edit ? read_check(std::move(params), std::move(home))
                                          : read(kTool, std::move(params), std::move(home));
  if (!args) return call.reply_error(args.error());
  std::make_shared<EditCall>(context_, registry_, kTool, std::move(args->tool), std::move(args->edit), std::move(call))
      ->begin();
}

void Lsp::define_edits(Definition<Lsp>& d) {
  const json text{{"type", "string"}};
  d.method("lsp.rename", &Lsp::edit<Tool::rename>,
           reading(
               "Propose rename", "Proposes to rename a symbol wherever it is used; nothing is written",
               [] {
                 json params = pointing({{"new_name", described("string", "the new name")}});
                 params["required"] = {"new_name"};
                 return params;
               }(),
               proposal()));
  d.method("lsp.format", &Lsp::edit<Tool::format>,
           reading("Propose format", "Proposes to format a file; nothing is written",
                   params_of({{"tab_size", {{"type", "integer"}, {"minimum", 1}, {"maximum", kMostTab}}},
                              {"insert_spaces", {{"type", "boolean"}}}},
                             {"path"}),
                   proposal()));
  d.method("lsp.code_actions", &Lsp::edit<Tool::code_actions>,
           reading("Propose code actions",
                   "Proposes the fixes and refactorings that the server offers at a place; nothing is written",
                   pointing({{"end_line", counted("the range ends there; the place alone when absent")},
                             {"end_column", counted("the end of the line when absent")},
                             {"title", described("string", "only the action of this title")},
                             {"kind", described("string", "only actions of this kind, such as quickfix or refactor")}}),
                   page_of_items({{"title", text},
                                  {"kind", text},
                                  {"preferred", {{"type", "boolean"}}},
                                  {"edit_id", id_of_edit()},
                                  {"files", {{"type", "integer"}}},
                                  {"edits",
                                   {{"type", "array"},
                                    {"items", {{"type", "object"}, {"properties", change()}}},
                                    {"description", "5 at most; 100 when the action is named by title"}}},
                                  {"more_edits", {{"type", "integer"}}},
                                  {"notes", notes()},
                                  {"why", described("string", "there is no proposal")}},
                                 {{"path", text}})));
  d.method("lsp.check_edit", &Lsp::edit<Tool::check_edit>, checking());
  d.method("lsp.apply", &Lsp::edit<Tool::apply>, applying());
}

}  // namespace gantry::lsp
