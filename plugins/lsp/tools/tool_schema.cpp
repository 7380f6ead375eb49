// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/tools/tool_schema.hpp"

#include <gantry/file_uri.hpp>
#include <utility>

#include "plugins/lsp/plugin.hpp"

namespace gantry::lsp {

ToolArgs read_common(Params& p, std::string workspace) {
  ToolArgs out;
  out.workspace = std::move(workspace);
  out.path = p.string_or("path", "");
  out.language = p.maybe_string("language");
  out.wait = std::chrono::milliseconds(p.integer_or("wait_ms", kDefaultWaitMs, 1, kMaxWaitMs));
  return out;
}

void read_budget(Params& p, ToolArgs& out) {
  out.budget.cursor = p.maybe_string("cursor");
  out.budget.tokens = p.integer_or("max_tokens", Budget::kDefaultTokens, Budget::kLeastTokens, Budget::kMostTokens);
}

Result<void> settle_path(ToolArgs& args) {
  std::string& path = args.path;
  if (path.empty()) return {};
  if (!path.starts_with("/") && path.find("://") == std::string::npos && !is_file_uri(path))
    path = args.workspace + "/" + path;
  auto absolute = to_path(path);
  if (!absolute) return std::unexpected(absolute.error());
  path = std::move(*absolute);
  return {};
}

json described(const char* type, const char* what) { return {{"type", type}, {"description", what}}; }

json counted(const char* what) {
  return {{"type", "integer"}, {"minimum", 1}, {"maximum", kMostLines}, {"description", what}};
}

json params_of(json own, json required) {
  own["path"] = described("string", "a file: absolute, or from the workspace");
  own["language"] = described("string", "its LSP language id; by the file's name when absent");
  own["wait_ms"] = {{"type", "integer"},
                    {"minimum", 1},
                    {"maximum", kMaxWaitMs},
                    {"description", "the time for the answer, a start of the server included; 20000 when absent"}};
  own["max_tokens"] = {{"type", "integer"},
                       {"minimum", Budget::kLeastTokens},
                       {"maximum", Budget::kMostTokens},
                       {"description", "about how long the answer may be; 2000 when absent"}};
  own["cursor"] = described("string", "the next_cursor of an answer: what follows it");
  json out{{"type", "object"}, {"properties", std::move(own)}, {"additionalProperties", false}};
  if (!required.empty()) out["required"] = std::move(required);
  return out;
}

json pointing(json own) {
  own["line"] = counted("from 1; with column or symbol");
  own["column"] = counted("in characters, from 1");
  own["symbol"] =
      described("string", "a name, also a qualified one: in the line, else in the file, else in the workspace");
  return params_of(std::move(own));
}

json place(json own) {
  own["path"] = described("string", "from the workspace where it lies inside");
  own["line"] = {{"type", "integer"}};
  own["column"] = {{"type", "integer"}};
  own["text"] = described("string", "the line");
  return own;
}

json page_of_items(json item, json own) {
  own["items"] = {{"type", "array"}, {"items", {{"type", "object"}, {"properties", std::move(item)}}}};
  own["total"] = described("integer", "items on all pages");
  own["next_cursor"] = described("string", "there is more");
  own["indexing"] = described("boolean", "the server was still indexing: more may be known later");
  return {{"type", "object"}, {"properties", std::move(own)}, {"required", {"items", "total"}}};
}

json named(json own) {
  own["name"] = own["kind"] = {{"type", "string"}};
  return own;
}

MethodOptions reading(const char* title, std::string summary, json params, json result) {
  return {.summary = std::move(summary),
          .params = std::move(params),
          .result = std::move(result),
          .idempotent = true,
          .keeps_time = true,
          .tool = gantry::Tool{
              .title = title, .read_only = true, .destructive = false, .idempotent = true, .open_world = false}};
}

}  // namespace gantry::lsp
