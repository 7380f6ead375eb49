// SPDX-License-Identifier: Apache-2.0
//
// The tools for agents and scripts as methods: what they take, and what they answer.
#include <gantry/file_uri.hpp>
#include <utility>

#include "plugins/lsp/plugin.hpp"
#include "plugins/lsp/tools/tool_call.hpp"
#include "plugins/lsp/tools/tool_schema.hpp"

namespace gantry::lsp {

namespace {

/// The URI of a file's diagnostics begins so, and goes on with the path.
constexpr std::string_view kResource = "lsp-diagnostics://";

[[nodiscard]] bool points(Tool tool) {
  return tool != Tool::document_symbols && tool != Tool::workspace_symbols && tool != Tool::diagnostics;
}

/// Empty: the question is complete.
[[nodiscard]] std::string what_is_missing(Tool tool, const ToolArgs& args, bool has_path) {
  if (args.line != 0 && !has_path) return "line goes with path";
  if (args.column != 0 && args.line == 0) return "column goes with line";
  if (tool == Tool::completion) return args.column != 0 ? "" : "path, line and column are needed";
  if (tool == Tool::document_symbols || tool == Tool::diagnostics) return has_path ? "" : "path is missing";
  if (!points(tool) || !args.symbol.empty() || args.column != 0) return "";
  return "name what is meant: by path, line and column, by path, line and symbol, or by symbol alone";
}

[[nodiscard]] Result<ToolArgs> read_args(Tool tool, Params p, std::string workspace) {
  ToolArgs out = read_common(p, std::move(workspace));
  read_budget(p, out);
  if (points(tool)) {
    out.line = p.maybe_integer("line", 1, kMostLines).value_or(0);
    out.column = p.maybe_integer("column", 1, kMostLines).value_or(0);
    if (tool != Tool::completion) out.symbol = p.string_or("symbol", "");
  }
  if (tool == Tool::workspace_symbols) out.query = p.string("query");
  if (tool == Tool::call_hierarchy) {
    const std::string direction = p.string_or("direction", "incoming");
    p.require(direction == "incoming" || direction == "outgoing", R"(direction must be "incoming" or "outgoing")");
    out.outgoing = direction == "outgoing";
  }
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  if (auto missing = what_is_missing(tool, out, !out.path.empty()); !missing.empty())
    return fail(ErrorKind::invalid_params, std::move(missing));
  if (auto settled = settle_path(out); !settled) return std::unexpected(settled.error());
  return out;
}

[[nodiscard]] Result<ToolArgs> read_resource(Params p, std::string workspace) {
  ToolArgs out;
  out.workspace = std::move(workspace);
  out.uri = p.string("uri");
  (void)p.maybe_string("path");  // decoded from the URI, without the slash that it begins with
  out.wait = std::chrono::milliseconds(kDefaultWaitMs);
  out.budget.tokens = Budget::kMostTokens;
  p.require(out.uri.starts_with(kResource), "uri must be lsp-diagnostics:// and a path");
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  auto path = to_path("file://" + out.uri.substr(kResource.size()));
  if (!path) return std::unexpected(path.error());
  out.path = std::move(*path);
  return out;
}

}  // namespace

template <Tool kTool>
void Lsp::tool(Call call) {
  auto args = kTool == Tool::diagnostics_resource ? read_resource(Params(call.params()), home_of(call.origin()))
                                                  : read_args(kTool, Params(call.params()), home_of(call.origin()));
  if (!args) return call.reply_error(args.error());
  std::make_shared<ToolCall>(context_, registry_, kTool, std::move(*args), std::move(call))->begin();
}

void Lsp::define_tools(Definition<Lsp>& d) {
  const json text{{"type", "string"}};
  const json locations = page_of_items(place());
  d.method("lsp.definition", &Lsp::tool<Tool::definition>,
           reading("Definition", "Where a symbol is defined", pointing(), locations));
  d.method("lsp.implementation", &Lsp::tool<Tool::implementation>,
           reading("Implementations", "What implements an interface or overrides a method", pointing(), locations));
  d.method(
      "lsp.references", &Lsp::tool<Tool::references>,
      reading("References", "Every place that refers to a symbol, its declaration included", pointing(), locations));
  d.method("lsp.hover", &Lsp::tool<Tool::hover>,
           reading("Hover", "Type, signature and documentation of a symbol", pointing(),
                   {{"type", "object"},
                    {"properties", {{"text", {{"type", {"string", "null"}}}}, {"truncated", {{"type", "boolean"}}}}},
                    {"required", {"text", "truncated"}}}));
  d.method("lsp.document_symbols", &Lsp::tool<Tool::document_symbols>,
           reading("Outline", "The outline of a file", params_of(json::object(), {"path"}),
                   page_of_items(named({{"container", text},
                                        {"line", {{"type", "integer"}}},
                                        {"column", {{"type", "integer"}}},
                                        {"end_line", {{"type", "integer"}}}}),
                                 {{"path", text}})));
  d.method("lsp.workspace_symbols", &Lsp::tool<Tool::workspace_symbols>,
           reading("Symbols", "Symbols of the workspace by a part of their name",
                   params_of({{"query", described("string", "a part of a name")}}, {"query"}),
                   page_of_items(named(place({{"container", text}})))));
  d.method(
      "lsp.call_hierarchy", &Lsp::tool<Tool::call_hierarchy>,
      reading("Calls", "Who calls a function, or whom the function calls",
              pointing({{"direction", {{"enum", {"incoming", "outgoing"}}, {"description", "incoming when absent"}}}}),
              page_of_items(named(place({{"calls", {{"type", "array"}, {"description", "lines of the calls"}}}})))));
  d.method("lsp.completion", &Lsp::tool<Tool::completion>,
           reading("Completions", "What may stand at a position",
                   params_of({{"line", counted("from 1")}, {"column", counted("in characters, from 1")}},
                             {"path", "line", "column"}),
                   page_of_items(named({{"label", text}, {"detail", text}, {"insert", text}}),
                                 {{"incomplete", {{"type", "boolean"}}}})));
  MethodOptions problems = reading(
      "Diagnostics", "Errors and warnings in a file, the gravest first, and whether they are for its text of now",
      params_of(json::object(), {"path"}),
      page_of_items(
          {{"line", {{"type", "integer"}}},
           {"column", {{"type", "integer"}}},
           {"text", text},
           {"severity", {{"enum", {"error", "warning", "information", "hint"}}}},
           {"message", text},
           {"source", text},
           {"code", {{"type", {"string", "number"}}}}},
          {{"path", text},
           {"freshness", {{"enum", {"fresh", "stale", "timeout"}}}},
           {"failed", described("array", "of several servers of the language those that gave none, and why")}}));
  d.method("lsp.diagnostics_resource", &Lsp::tool<Tool::diagnostics_resource>,
           {.summary = "The diagnostics of a file as a resource of agents",
            .params = {{"type", "object"},
                       {"properties", {{"uri", text}, {"path", text}}},
                       {"required", {"uri"}},
                       {"additionalProperties", false}},
            .result = {{"type", "object"}, {"properties", {{"contents", {{"type", "array"}}}}}},
            .idempotent = true,
            .keeps_time = true,
            .resource = Resource{.uri_template = std::string(kResource) + "/{+path}",
                                 .name = "lsp-diagnostics",
                                 .title = "Diagnostics of a file",
                                 .mime_type = "application/json",
                                 .changes = "lsp.diagnostics.resource"}});
  problems.tool->name = "lsp_diagnostics";
  d.method("lsp.problems", &Lsp::tool<Tool::diagnostics>, std::move(problems));
}

}  // namespace gantry::lsp
