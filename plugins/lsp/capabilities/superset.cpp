// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/capabilities/superset.hpp"

#include <algorithm>
#include <gantry/file_uri.hpp>

#include "plugins/lsp/capabilities/member_at.hpp"

namespace gantry::lsp {

namespace {

// Known to the broker; null: not offered. dynamicRegistration is offered only where no static form exists: a server
// then announces statically whatever a client needs to know. Not offered, since only the server can do without: tokens
// that overlap, span lines or only augment a client's own; prepareRename without a range; other line ends than those of
// the document; what is resolved lazily of code lenses, inlay hints and symbols; message items with more than a title.
// Of the position encodings only UTF-16, which each client has to understand; clangd's `offsetEncoding` is older.
constexpr std::string_view kSuperset = R"({
  "workspace": {
    "applyEdit": true,
    "workspaceEdit": {
      "documentChanges": true, "resourceOperations": ["create", "rename", "delete"], "failureHandling": null,
      "normalizesLineEndings": null, "changeAnnotationSupport": {"groupsOnLabel": true}, "metadataSupport": null,
      "snippetEditSupport": true},
    "didChangeConfiguration": {"dynamicRegistration": true},
    "didChangeWatchedFiles": {"dynamicRegistration": true, "relativePatternSupport": true},
    "symbol": {
      "dynamicRegistration": false,
      "symbolKind": {"valueSet": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
                                  25, 26]},
      "tagSupport": {"valueSet": [1]}, "resolveSupport": null, "hierarchicalWorkspaceSymbolSupport": null},
    "executeCommand": {"dynamicRegistration": false},
    "workspaceFolders": true,
    "configuration": true,
    "semanticTokens": {"refreshSupport": true},
    "codeLens": {"refreshSupport": true},
    "fileOperations": {"dynamicRegistration": false, "didCreate": true, "willCreate": true, "didRename": true,
                       "willRename": true, "didDelete": true, "willDelete": true},
    "inlineValue": {"refreshSupport": true},
    "inlayHint": {"refreshSupport": true},
    "diagnostics": {"refreshSupport": true},
    "foldingRange": {"refreshSupport": true},
    "textDocumentContent": {"dynamicRegistration": false}
  },
  "textDocument": {
    "synchronization": {"dynamicRegistration": false, "willSave": true, "willSaveWaitUntil": true, "didSave": true},
    "filters": {"relativePatternSupport": null},
    "completion": {
      "dynamicRegistration": false,
      "completionItem": {
        "snippetSupport": true, "commitCharactersSupport": true, "documentationFormat": ["markdown", "plaintext"],
        "deprecatedSupport": true, "preselectSupport": true, "tagSupport": {"valueSet": [1]},
        "insertReplaceSupport": true,
        "resolveSupport": {"properties": ["documentation", "detail", "additionalTextEdits"]},
        "insertTextModeSupport": {"valueSet": [1, 2]}, "labelDetailsSupport": true},
      "completionItemKind": {"valueSet": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                          22, 23, 24, 25]},
      "insertTextMode": null, "contextSupport": true,
      "completionList": {
        "itemDefaults": ["commitCharacters", "editRange", "insertTextFormat", "insertTextMode", "data"],
        "applyKindSupport": true}},
    "hover": {"dynamicRegistration": false, "contentFormat": ["markdown", "plaintext"]},
    "signatureHelp": {
      "dynamicRegistration": false,
      "signatureInformation": {"documentationFormat": ["markdown", "plaintext"],
                               "parameterInformation": {"labelOffsetSupport": true}, "activeParameterSupport": true,
                               "noActiveParameterSupport": true},
      "contextSupport": true},
    "declaration": {"dynamicRegistration": false, "linkSupport": true},
    "definition": {"dynamicRegistration": false, "linkSupport": true},
    "typeDefinition": {"dynamicRegistration": false, "linkSupport": true},
    "implementation": {"dynamicRegistration": false, "linkSupport": true},
    "references": {"dynamicRegistration": false},
    "documentHighlight": {"dynamicRegistration": false},
    "documentSymbol": {
      "dynamicRegistration": false,
      "symbolKind": {"valueSet": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
                                  25, 26]},
      "hierarchicalDocumentSymbolSupport": true, "tagSupport": {"valueSet": [1]}, "labelSupport": true},
    "codeAction": {
      "dynamicRegistration": false,
      "codeActionLiteralSupport": {"codeActionKind": {"valueSet": [
        "", "quickfix", "refactor", "refactor.extract", "refactor.inline", "refactor.move", "refactor.rewrite",
        "source", "source.organizeImports", "source.fixAll", "notebook"]}},
      "isPreferredSupport": true, "disabledSupport": true, "dataSupport": true,
      "resolveSupport": {"properties": ["edit"]}, "honorsChangeAnnotations": true, "documentationSupport": true,
      "tagSupport": {"valueSet": [1]}},
    "codeLens": {"dynamicRegistration": false, "resolveSupport": null},
    "documentLink": {"dynamicRegistration": false, "tooltipSupport": true},
    "colorProvider": {"dynamicRegistration": false},
    "formatting": {"dynamicRegistration": false},
    "rangeFormatting": {"dynamicRegistration": false, "rangesSupport": true},
    "onTypeFormatting": {"dynamicRegistration": false},
    "rename": {"dynamicRegistration": false, "prepareSupport": true, "prepareSupportDefaultBehavior": null,
               "honorsChangeAnnotations": true},
    "foldingRange": {"dynamicRegistration": false, "rangeLimit": null, "lineFoldingOnly": true,
                     "foldingRangeKind": {"valueSet": ["comment", "imports", "region"]},
                     "foldingRange": {"collapsedText": true}},
    "selectionRange": {"dynamicRegistration": false},
    "publishDiagnostics": {"relatedInformation": true, "tagSupport": {"valueSet": [1, 2]}, "versionSupport": true,
                           "codeDescriptionSupport": true, "dataSupport": true},
    "callHierarchy": {"dynamicRegistration": false},
    "semanticTokens": {
      "dynamicRegistration": false, "requests": {"range": true, "full": {"delta": true}},
      "tokenTypes": ["namespace", "type", "class", "enum", "interface", "struct", "typeParameter", "parameter",
                     "variable", "property", "enumMember", "event", "function", "method", "macro", "keyword",
                     "modifier", "comment", "string", "number", "regexp", "operator", "decorator", "label"],
      "tokenModifiers": ["declaration", "definition", "readonly", "static", "deprecated", "abstract", "async",
                         "modification", "documentation", "defaultLibrary"],
      "formats": ["relative"], "overlappingTokenSupport": false, "multilineTokenSupport": false,
      "serverCancelSupport": null, "augmentsSyntaxTokens": false},
    "linkedEditingRange": {"dynamicRegistration": false},
    "moniker": {"dynamicRegistration": false},
    "typeHierarchy": {"dynamicRegistration": false},
    "inlineValue": {"dynamicRegistration": false},
    "inlayHint": {"dynamicRegistration": false, "resolveSupport": null},
    "diagnostic": {"dynamicRegistration": false, "relatedDocumentSupport": true, "relatedInformation": true,
                   "tagSupport": {"valueSet": [1, 2]}, "codeDescriptionSupport": true, "dataSupport": true,
                   "markupMessageSupport": true},
    "inlineCompletion": {"dynamicRegistration": false}
  },
  "notebookDocument": {"synchronization": {"dynamicRegistration": false, "executionSummarySupport": true}},
  "window": {"workDoneProgress": true, "showMessage": {"messageActionItem": {"additionalPropertiesSupport": null}},
             "showDocument": {"support": true}},
  "general": {"staleRequestSupport": null, "regularExpressions": null, "markdown": null,
              "positionEncodings": ["utf-16"]},
  "callHierarchy": null, "offsetEncoding": null
})";

[[nodiscard]] const json& superset() {
  static const json all = json::parse(kSuperset);
  return all;
}

[[nodiscard]] bool empty(const json& value) { return value.is_null() || (value.is_object() && value.empty()); }

[[nodiscard]] json without_nulls(const json& value) {
  if (!value.is_object()) return value;
  json out = json::object();
  for (const auto& [name, each] : value.items()) {
    auto less = without_nulls(each);
    const bool nothing = each.is_null() || (less.is_object() && less.empty() && !each.empty());
    if (!nothing) out[name] = std::move(less);
  }
  return out;
}

// What is in `client` and not in `known`. Empty members count as absent.
[[nodiscard]] json rest_of(const json& client, const json& known) {
  json out = json::object();
  for (const auto& [name, value] : client.items()) {
    const auto it = known.find(name);
    if (it == known.end()) {
      if (!empty(value)) out[name] = value;
      continue;
    }
    if (!it->is_object() || !value.is_object()) continue;
    if (auto rest = rest_of(value, *it); !rest.empty()) out[name] = std::move(rest);
  }
  return out;
}

void add_to(json& object, const json& more) {
  for (const auto& [name, value] : more.items()) {
    const auto it = object.find(name);
    if (it != object.end() && it->is_object() && value.is_object()) {
      add_to(*it, value);
    } else {
      object[name] = value;
    }
  }
}

// Where texts are in English all the same, the locale makes no difference.
[[nodiscard]] bool is_english(const json& locale) {
  if (!locale.is_string()) return true;
  const auto name = locale.get<std::string>();
  return name.empty() || name == "C" || name == "POSIX" || name.starts_with("C.") || name == "en" ||
         name.starts_with("en-") || name.starts_with("en_");
}

// Every root that is named is a path of this machine.
[[nodiscard]] bool are_paths(const json& params, const std::vector<std::string>& folders) {
  const json named = part(params, "workspaceFolders");
  if (named.is_array() && !named.empty()) return folders.size() == named.size();
  return !folders.empty();
}

}  // namespace

json folder_entry(const std::string& path) {
  return {{"uri", to_uri(path)}, {"name", path.substr(path.rfind('/') + 1)}};
}

Features lacking_in(const json& capabilities) {
  Features out = 0;
  if (!lists(capabilities, "textDocument.completion.completionItem.resolveSupport.properties", "additionalTextEdits"))
    out |= feature::kLazyCompletion;
  if (!lists(capabilities, "textDocument.codeAction.resolveSupport.properties", "edit") ||
      !is_true(capabilities, "textDocument.codeAction.dataSupport"))
    out |= feature::kLazyActions;
  if (!member_at(capabilities, "textDocument.diagnostic").is_object()) out |= feature::kPullDiagnostics;
  return out;
}

Features features_used_by(const json& capabilities) {
  Features out = 0;
  if (is_true(capabilities, "completionProvider.resolveProvider")) out |= feature::kLazyCompletion;
  if (is_true(capabilities, "codeActionProvider.resolveProvider")) out |= feature::kLazyActions;
  if (member_at(capabilities, "diagnosticProvider").is_object()) out |= feature::kPullDiagnostics;
  return out;
}

json common_part(const json& params, const std::vector<std::string>& folders) {
  json rest = json::object();
  for (const auto& [name, value] : params.items()) {
    if (!empty(value)) rest[name] = value;
  }
  for (const char* const who : {"processId", "clientInfo", "workDoneToken", "trace"}) rest.erase(who);
  if (rest.contains("locale") && is_english(rest["locale"])) rest.erase("locale");
  if (are_paths(params, folders)) {
    for (const char* const root : {"rootPath", "rootUri", "workspaceFolders"}) rest.erase(root);
    rest["root"] = folders.front();
  }
  const json capabilities = part(params, "capabilities");
  json own = rest_of(capabilities.is_object() ? capabilities : json::object(), superset());
  rest["capabilities"] = std::move(own);
  return rest;
}

json superset_params(const json& params, const json& common, const std::vector<std::string>& folders,
                     Features without) {
  json out = common;
  json capabilities = without_nulls(superset());
  if (without & feature::kLazyCompletion)
    capabilities["textDocument"]["completion"]["completionItem"].erase("resolveSupport");
  if (without & feature::kLazyActions) {
    for (const char* const lazy : {"resolveSupport", "dataSupport"})
      capabilities["textDocument"]["codeAction"].erase(lazy);
  }
  if (without & feature::kPullDiagnostics) {
    capabilities["textDocument"].erase("diagnostic");
    capabilities["workspace"].erase("diagnostics");
  }
  add_to(capabilities, common.at("capabilities"));
  out["capabilities"] = std::move(capabilities);
  out["processId"] = nullptr;
  out["clientInfo"] = {{"name", "gantry"}};
  if (!out.contains("initializationOptions")) out["initializationOptions"] = json::object();
  for (const char* const of_first : {"workDoneToken", "trace"}) {
    if (params.contains(of_first)) out[of_first] = params[of_first];
  }
  if (out.erase("root") == 0) return out;
  out["rootPath"] = folders.front();
  out["rootUri"] = to_uri(folders.front());
  out["workspaceFolders"] = json::array();
  for (const auto& folder : folders) out["workspaceFolders"].push_back(folder_entry(folder));
  return out;
}

}  // namespace gantry::lsp
