// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/lsp/features.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "host/protocols/lsp/json_parts.hpp"

namespace gantry::host {

namespace {

struct Feature {
  std::string_view method;   ///< of the request; with a `*` at its end: of all that begin so
  const char* pointer;       ///< to the member of ServerCapabilities
  std::string_view dynamic;  ///< the method of a registration, if that is another
};

constexpr std::array kFeatures{
    Feature{"textDocument/willSaveWaitUntil", "/textDocumentSync/willSaveWaitUntil", {}},
    Feature{"textDocument/completion", "/completionProvider", {}},
    Feature{"textDocument/hover", "/hoverProvider", {}},
    Feature{"textDocument/signatureHelp", "/signatureHelpProvider", {}},
    Feature{"textDocument/declaration", "/declarationProvider", {}},
    Feature{"textDocument/definition", "/definitionProvider", {}},
    Feature{"textDocument/typeDefinition", "/typeDefinitionProvider", {}},
    Feature{"textDocument/implementation", "/implementationProvider", {}},
    Feature{"textDocument/references", "/referencesProvider", {}},
    Feature{"textDocument/documentHighlight", "/documentHighlightProvider", {}},
    Feature{"textDocument/documentSymbol", "/documentSymbolProvider", {}},
    Feature{"textDocument/codeAction", "/codeActionProvider", {}},
    Feature{"textDocument/codeLens", "/codeLensProvider", {}},
    Feature{"textDocument/documentLink", "/documentLinkProvider", {}},
    Feature{"textDocument/documentColor", "/colorProvider", {}},
    Feature{"textDocument/colorPresentation", "/colorProvider", "textDocument/documentColor"},
    Feature{"textDocument/formatting", "/documentFormattingProvider", {}},
    Feature{"textDocument/rangeFormatting", "/documentRangeFormattingProvider", {}},
    Feature{"textDocument/rangesFormatting", "/documentRangeFormattingProvider/rangesSupport",
            "textDocument/rangeFormatting"},
    Feature{"textDocument/onTypeFormatting", "/documentOnTypeFormattingProvider", {}},
    Feature{"textDocument/rename", "/renameProvider", {}},
    Feature{"textDocument/prepareRename", "/renameProvider", "textDocument/rename"},
    Feature{"textDocument/foldingRange", "/foldingRangeProvider", {}},
    Feature{"textDocument/selectionRange", "/selectionRangeProvider", {}},
    Feature{"textDocument/prepareCallHierarchy", "/callHierarchyProvider", {}},
    Feature{"textDocument/prepareTypeHierarchy", "/typeHierarchyProvider", {}},
    Feature{"textDocument/semanticTokens/*", "/semanticTokensProvider", "textDocument/semanticTokens"},
    Feature{"textDocument/moniker", "/monikerProvider", {}},
    Feature{"textDocument/linkedEditingRange", "/linkedEditingRangeProvider", {}},
    Feature{"textDocument/inlayHint", "/inlayHintProvider", {}},
    Feature{"textDocument/inlineValue", "/inlineValueProvider", {}},
    Feature{"textDocument/inlineCompletion", "/inlineCompletionProvider", {}},
    Feature{"textDocument/diagnostic", "/diagnosticProvider", {}},
    Feature{"workspace/diagnostic", "/diagnosticProvider/workspaceDiagnostics", "textDocument/diagnostic"},
    Feature{"workspace/symbol", "/workspaceSymbolProvider", {}},
    Feature{"workspace/executeCommand", "/executeCommandProvider", {}},
    Feature{"workspace/willCreateFiles", "/workspace/fileOperations/willCreate", {}},
    Feature{"workspace/willRenameFiles", "/workspace/fileOperations/willRename", {}},
    Feature{"workspace/willDeleteFiles", "/workspace/fileOperations/willDelete", {}},
    Feature{"workspace/textDocumentContent", "/workspace/textDocumentContent", {}},
};

constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kOrigins{{
    {"completionItem/resolve", "textDocument/completion"},
    {"codeAction/resolve", "textDocument/codeAction"},
    {"codeLens/resolve", "textDocument/codeLens"},
    {"documentLink/resolve", "textDocument/documentLink"},
    {"inlayHint/resolve", "textDocument/inlayHint"},
    {"workspaceSymbol/resolve", "workspace/symbol"},
    {"callHierarchy/incomingCalls", "textDocument/prepareCallHierarchy"},
    {"callHierarchy/outgoingCalls", "textDocument/prepareCallHierarchy"},
    {"typeHierarchy/supertypes", "textDocument/prepareTypeHierarchy"},
    {"typeHierarchy/subtypes", "textDocument/prepareTypeHierarchy"},
}};

[[nodiscard]] const Feature* feature(std::string_view method) {
  const auto it = std::ranges::find_if(kFeatures, [&](const Feature& each) {
    return each.method.ends_with('*') ? method.starts_with(each.method.substr(0, each.method.size() - 1))
                                      : method == each.method;
  });
  return it == kFeatures.end() ? nullptr : &*it;
}

[[nodiscard]] bool offered(const json& option) { return !option.is_null() && option != json(false); }

// ---- what several can do --------------------------------------------------------------------------------------------

void unite(json& into, const json& from, const char* member) {
  const auto& more = part(from, member);
  if (!more.is_array()) return;
  json& all = into[member];
  if (all.is_null()) all = json::array();
  for (const auto& each : more) {
    if (std::ranges::find(all, each) == all.end()) all.push_back(each);
  }
}

void either(json& into, const json& from, const char* member) {
  if (part(from, member) == json(true)) into[member] = true;
}

// TextDocumentSyncKind: an editor that sends whole texts suits servers that take changes, too.
[[nodiscard]] json merged_sync(const std::vector<const json*>& servers) {
  json out{{"openClose", false}, {"change", 0}};
  for (const auto* const server : servers) {
    const auto& sync = part(*server, "textDocumentSync");
    const json one = sync.is_number() ? json{{"openClose", true}, {"change", sync}, {"save", sync != json(0)}} : sync;
    for (const char* const member : {"openClose", "willSave", "willSaveWaitUntil"}) either(out, one, member);
    const int change = part(one, "change").is_number_integer() ? part(one, "change").get<int>() : 0;
    const int before = out["change"].get<int>();
    if (change > 0) out["change"] = before == 0 ? change : std::min(before, change);
    const auto& save = part(one, "save");
    if (!offered(save)) continue;
    if (!out.contains("save")) out["save"] = {{"includeText", false}};
    either(out["save"], save, "includeText");
  }
  return out;
}

[[nodiscard]] json merged_completion(const std::vector<const json*>& options) {
  json out = json::object();
  for (const auto* const each : options) {
    unite(out, *each, "triggerCharacters");
    either(out, *each, "resolveProvider");
    if (part(part(*each, "completionItem"), "labelDetailsSupport") == json(true))
      out["completionItem"]["labelDetailsSupport"] = true;
  }
  return out;
}

[[nodiscard]] json merged_signature_help(const std::vector<const json*>& options) {
  json out = json::object();
  for (const auto* const each : options) {
    unite(out, *each, "triggerCharacters");
    unite(out, *each, "retriggerCharacters");
  }
  return out;
}

// Without kinds a server may have actions of any.
[[nodiscard]] json merged_code_actions(const std::vector<const json*>& options) {
  json out = json::object();
  bool any = false;
  for (const auto* const each : options) {
    any = any || !part(*each, "codeActionKinds").is_array();
    unite(out, *each, "codeActionKinds");
    either(out, *each, "resolveProvider");
  }
  if (any) out.erase("codeActionKinds");
  return out;
}

// The diagnostics of several have no identifier and no result id. A workspace's are asked of one that gives them.
[[nodiscard]] json merged_diagnostics(const std::vector<const json*>& options) {
  if (options.size() == 1) return *options.front();
  json out{{"interFileDependencies", false}, {"workspaceDiagnostics", false}};
  for (const auto* const each : options) either(out, *each, "interFileDependencies");
  return out;
}

[[nodiscard]] json merged_commands(const std::vector<const json*>& options) {
  json out{{"commands", json::array()}};
  for (const auto* const each : options) unite(out, *each, "commands");
  return out;
}

[[nodiscard]] json merged_workspace(const std::vector<const json*>& options) {
  json out = json::object();
  for (const auto* const each : options) {
    for (const auto& [name, value] : each->items()) {
      if ((name == "workspaceFolders" || name == "fileOperations") && !value.is_object()) continue;
      if (name == "workspaceFolders") {
        either(out[name], value, "supported");
        const auto& told = part(value, "changeNotifications");
        if (offered(told) && !out[name].contains("changeNotifications")) out[name]["changeNotifications"] = told;
      } else if (name == "fileOperations") {
        for (const auto& [operation, registered] : value.items()) unite(out[name][operation], registered, "filters");
      } else if (!out.contains(name)) {
        out[name] = value;
      }
    }
  }
  return out;
}

using Merge = json (*)(const std::vector<const json*>&);
constexpr std::array<std::pair<std::string_view, Merge>, 6> kMerged{{{"completionProvider", merged_completion},
                                                                     {"signatureHelpProvider", merged_signature_help},
                                                                     {"codeActionProvider", merged_code_actions},
                                                                     {"diagnosticProvider", merged_diagnostics},
                                                                     {"executeCommandProvider", merged_commands},
                                                                     {"workspace", merged_workspace}}};

}  // namespace

void ServerFeatures::add(const json& params) {
  for (const auto& each : part(params, "registrations")) {
    if (registrations_.size() >= kMaxRegistrations) return;
    registrations_[text(each, "id")] = {text(each, "method"), part(each, "registerOptions")};
  }
}

void ServerFeatures::remove(const json& params) {
  for (const auto& each : part(params, "unregisterations")) registrations_.erase(text(each, "id"));
}

std::vector<std::pair<std::string, std::string>> ServerFeatures::registrations() const {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [id, each] : registrations_) out.emplace_back(id, each.method);
  return out;
}

std::vector<const json*> ServerFeatures::options_of(std::string_view method) const {
  static const json kNone = json::object();
  std::vector<const json*> out;
  const auto* const known = feature(method);
  if (known == nullptr) return out;
  const json::json_pointer at(known->pointer);
  // A pointer into a member that is `true` leads nowhere.
  if (capabilities_.contains(at) && offered(capabilities_.at(at))) out.push_back(&capabilities_.at(at));
  const auto dynamic = known->dynamic.empty() ? method : known->dynamic;
  for (const auto& [id, each] : registrations_) {
    if (each.method != dynamic) continue;
    if (method == "workspace/diagnostic" && part(each.options, "workspaceDiagnostics") != json(true)) continue;
    out.push_back(each.options.is_null() ? &kNone : &each.options);
  }
  return out;
}

bool ServerFeatures::supports(std::string_view method) const { return !options_of(method).empty(); }

bool ServerFeatures::resolves_items_of(std::string_view method) const {
  return std::ranges::any_of(options_of(method),
                             [](const json* each) { return part(*each, "resolveProvider") == json(true); });
}

bool ServerFeatures::has_command(const std::string& command) const {
  return std::ranges::any_of(options_of("workspace/executeCommand"), [&](const json* each) {
    const auto& commands = part(*each, "commands");
    return std::ranges::find(commands, json(command)) != commands.end();
  });
}

bool ServerFeatures::is_triggered_by(std::string_view method, const std::string& character) const {
  return std::ranges::any_of(options_of(method), [&](const json* each) {
    for (const char* const member : {"triggerCharacters", "retriggerCharacters"}) {
      const auto& all = part(*each, member);
      if (std::ranges::find(all, json(character)) != all.end()) return true;
    }
    return false;
  });
}

json ServerFeatures::commit_characters() const {
  for (const auto* const each : options_of("textDocument/completion")) {
    if (const auto& all = part(*each, "allCommitCharacters"); all.is_array()) return all;
  }
  return {};
}

bool ServerFeatures::gives_diagnostics_of(const json& identifier) const {
  return std::ranges::any_of(options_of("textDocument/diagnostic"),
                             [&](const json* each) { return part(*each, "identifier") == identifier; });
}

std::string_view origin_of(std::string_view method) {
  const auto it = std::ranges::find(kOrigins, method, [](const auto& each) { return each.first; });
  return it == kOrigins.end() ? method : it->second;
}

bool is_specified(std::string_view method) { return feature(origin_of(method)) != nullptr; }

json merged_capabilities(const std::vector<const json*>& servers) {
  json out = json::object();
  for (const auto* const server : servers) {
    for (const auto& [name, value] : server->items()) {
      if (offered(value) && !out.contains(name)) out[name] = value;
    }
  }
  out["textDocumentSync"] = merged_sync(servers);
  for (const auto& [name, merge] : kMerged) {
    std::vector<const json*> options;
    for (const auto* const server : servers) {
      if (const auto& option = part(*server, std::string(name).c_str()); offered(option)) options.push_back(&option);
    }
    if (!options.empty()) out[std::string(name)] = merge(options);
  }
  return out;
}

}  // namespace gantry::host
