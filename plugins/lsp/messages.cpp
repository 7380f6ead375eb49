// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/messages.hpp"

#include <array>
#include <gantry/file_uri.hpp>

namespace gantry::lsp {

namespace {

// To a client that does not name them servers give those of the protocol's first version: a struct is a class.
[[nodiscard]] json all_symbol_kinds() {
  json all = json::array();
  constexpr int kLast = 26;  // TypeParameter
  for (int kind = 1; kind <= kLast; ++kind) all.push_back(kind);
  return {{"valueSet", std::move(all)}};
}

constexpr auto kActionKinds =
    std::to_array<const char*>({"quickfix", "refactor", "refactor.extract", "refactor.inline", "refactor.rewrite",
                                "source", "source.organizeImports", "source.fixAll"});

[[nodiscard]] std::string folder_name(const std::string& root) {
  const auto slash = root.rfind('/');
  return slash + 1 < root.size() ? root.substr(slash + 1) : root;
}

[[nodiscard]] json folders(const std::string& root) {
  return json::array({{{"uri", to_uri(root)}, {"name", folder_name(root)}}});
}

// "a.b" looks up settings.a.b, and then a member that is called "a.b"; an empty section is all of it.
[[nodiscard]] json section_of(const json& settings, const std::string& section) {
  if (section.empty()) return settings;
  const json* at = &settings;
  std::string_view rest = section;
  while (at->is_object() && !rest.empty()) {
    const auto dot = std::min(rest.find('.'), rest.size());
    const auto it = at->find(std::string(rest.substr(0, dot)));
    if (it == at->end()) break;
    at = &*it;
    rest.remove_prefix(std::min(dot + 1, rest.size()));
  }
  if (rest.empty()) return *at;
  return settings.is_object() ? settings.value(section, json()) : json();
}

}  // namespace

bool only_reads(std::string_view method) {
  static constexpr auto kReads = std::to_array<std::string_view>({"callHierarchy/incomingCalls",
                                                                  "callHierarchy/outgoingCalls",
                                                                  "textDocument/codeLens",
                                                                  "textDocument/colorPresentation",
                                                                  "textDocument/completion",
                                                                  "textDocument/declaration",
                                                                  "textDocument/definition",
                                                                  "textDocument/diagnostic",
                                                                  "textDocument/documentColor",
                                                                  "textDocument/documentHighlight",
                                                                  "textDocument/documentLink",
                                                                  "textDocument/documentSymbol",
                                                                  "textDocument/foldingRange",
                                                                  "textDocument/hover",
                                                                  "textDocument/implementation",
                                                                  "textDocument/inlayHint",
                                                                  "textDocument/inlineCompletion",
                                                                  "textDocument/inlineValue",
                                                                  "textDocument/linkedEditingRange",
                                                                  "textDocument/moniker",
                                                                  "textDocument/prepareCallHierarchy",
                                                                  "textDocument/prepareRename",
                                                                  "textDocument/prepareTypeHierarchy",
                                                                  "textDocument/references",
                                                                  "textDocument/selectionRange",
                                                                  "textDocument/semanticTokens/full",
                                                                  "textDocument/semanticTokens/full/delta",
                                                                  "textDocument/semanticTokens/range",
                                                                  "textDocument/signatureHelp",
                                                                  "textDocument/typeDefinition",
                                                                  "typeHierarchy/subtypes",
                                                                  "typeHierarchy/supertypes",
                                                                  "workspace/diagnostic",
                                                                  "workspace/symbol"});
  return std::ranges::find(kReads, method) != kReads.end();
}

json configuration_from(const json& params, const json& settings) {
  json answers = json::array();
  const auto items = params.is_object() ? params.value("items", json::array()) : json::array();
  for (const auto& item : items) {
    const bool named = item.is_object() && item.contains("section") && item["section"].is_string();
    answers.push_back(section_of(settings, named ? item["section"].get<std::string>() : ""));
  }
  return answers;
}

std::string error_message(const std::string& id, int code, const Error& error) {
  json data = json::object();
  if (!error.data.empty()) {
    if (auto more = parse_json(error.data); more && more->is_object()) data = std::move(*more);
  }
  data["kind"] = kind_name(error.kind);
  const json body{{"code", code}, {"message", error.message}, {"data", std::move(data)}};
  return R"({"jsonrpc":"2.0","id":)" + id + R"(,"error":)" + dump_json(body) + "}";
}

json own_initialize_params(const ServerConfig& config, const std::string& root) {
  const json markup = {"markdown", "plaintext"};
  const json links{{"linkSupport", true}};
  json text{{"synchronization", {{"didSave", true}}},
            {"publishDiagnostics",
             {{"versionSupport", true}, {"relatedInformation", true}, {"codeDescriptionSupport", true}}},
            {"hover", {{"contentFormat", markup}}},
            {"completion", {{"completionItem", {{"documentationFormat", markup}, {"labelDetailsSupport", true}}}}},
            {"signatureHelp", {{"signatureInformation", {{"documentationFormat", markup}}}}},
            {"documentSymbol", {{"hierarchicalDocumentSymbolSupport", true}, {"symbolKind", all_symbol_kinds()}}},
            {"codeAction",
             {{"codeActionLiteralSupport", {{"codeActionKind", {{"valueSet", kActionKinds}}}}},
              {"isPreferredSupport", true},
              {"disabledSupport", true},
              {"dataSupport", true},
              {"resolveSupport", {{"properties", {"edit"}}}}}},
            {"rename", {{"prepareSupport", true}}},
            {"callHierarchy", json::object()},
            {"typeHierarchy", json::object()},
            {"references", json::object()},
            {"formatting", json::object()}};
  for (const char* jump : {"definition", "declaration", "implementation", "typeDefinition"}) text[jump] = links;
  json workspace{{"configuration", true},
                 {"workspaceFolders", true},
                 {"didChangeConfiguration", {{"dynamicRegistration", true}}},
                 {"applyEdit", true},
                 {"executeCommand", json::object()},
                 {"workspaceEdit",
                  {{"documentChanges", true},
                   {"resourceOperations", {"create", "rename", "delete"}},
                   {"failureHandling", "transactional"},
                   {"normalizesLineEndings", true},
                   {"changeAnnotationSupport", {{"groupsOnLabel", false}}}}},
                 {"symbol", {{"symbolKind", all_symbol_kinds()}}}};
  json out{{"processId", nullptr},  // it could not find out whether that process lives (attach_root.cpp)
           {"clientInfo", {{"name", "gantry"}}},
           {"rootPath", root},
           {"rootUri", to_uri(root)},
           {"workspaceFolders", folders(root)},
           {"capabilities",
            {{"textDocument", std::move(text)},
             {"workspace", std::move(workspace)},
             {"window", {{"workDoneProgress", true}}}}}};
  if (const auto options = config.settings.find(config.name); options != config.settings.end() && options->is_object())
    out["initializationOptions"] = *options;
  return out;
}

std::string answer_to_server(std::string_view id, std::string_view method, const json& params,
                             const ServerConfig& config, const std::string& root) {
  json result, error;
  if (method == "workspace/configuration") {
    result = configuration_from(params, config.settings);
  } else if (method == "workspace/workspaceFolders") {
    result = folders(root);
  } else if (method == "workspace/applyEdit") {
    result = {{"applied", false}, {"failureReason", "no editor is attached to this server"}};
  } else if (method == "window/showDocument") {
    result = {{"success", false}};
  } else if (method != "client/registerCapability" && method != "client/unregisterCapability" &&
             method != "window/workDoneProgress/create" && method != "window/showMessageRequest" &&
             !(method.starts_with("workspace/") && method.ends_with("/refresh"))) {
    error = {{"code", -32601}, {"message", "this client does not serve " + std::string(method)}};
  }
  return R"({"jsonrpc":"2.0","id":)" + std::string(id) +
         (error.is_null() ? R"(,"result":)" + dump_json(result) : R"(,"error":)" + dump_json(error)) + "}";
}

}  // namespace gantry::lsp
