// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/capabilities/understood.hpp"

#include <array>
#include <utility>

#include "plugins/lsp/capabilities/member_at.hpp"

namespace gantry::lsp {

namespace {

// A client that names no kinds knows those of the first version of the protocol.
constexpr unsigned kLastOldSymbol = 18, kLastOldItem = 18, kLastSymbol = 26, kLastItem = 25;
constexpr std::array kLinkMethods{"declaration", "definition", "typeDefinition", "implementation"};
constexpr std::array kItemDefaults{"commitCharacters", "editRange", "insertTextFormat", "insertTextMode", "data"};

[[nodiscard]] bool has(const json& in, std::string_view path) { return !member_at(in, path).is_null(); }

[[nodiscard]] Kinds up_to(unsigned last) {
  Kinds out;
  for (unsigned kind = 1; kind <= last; ++kind) out.set(kind);
  return out;
}

[[nodiscard]] Kinds kinds_in(const json& in, std::string_view path, unsigned last) {
  const json& array = member_at(in, path);
  if (!array.is_array()) return up_to(last);
  Kinds out;
  for (const auto& each : array) {
    if (const auto kind = count_in(each); kind && *kind < out.size()) out.set(*kind);
  }
  return out;
}

[[nodiscard]] Understood::Diagnostics diagnostics_in(const json& in) {
  return {.related = is_true(in, "relatedInformation"),
          .tags = has(in, "tagSupport"),
          .code_description = is_true(in, "codeDescriptionSupport"),
          .data = is_true(in, "dataSupport"),
          .version = is_true(in, "versionSupport"),
          .markup = is_true(in, "markupMessageSupport"),
          .related_documents = is_true(in, "relatedDocumentSupport")};
}

// A registration's method, and the capability that admits it where the name does not say.
constexpr std::array<std::pair<std::string_view, std::string_view>, 15> kRegistered{{
    {"textDocument/didOpen", "textDocument.synchronization"},
    {"textDocument/didChange", "textDocument.synchronization"},
    {"textDocument/didSave", "textDocument.synchronization"},
    {"textDocument/didClose", "textDocument.synchronization"},
    {"textDocument/willSave", "textDocument.synchronization"},
    {"textDocument/willSaveWaitUntil", "textDocument.synchronization"},
    {"textDocument/documentColor", "textDocument.colorProvider"},
    {"textDocument/prepareCallHierarchy", "textDocument.callHierarchy"},
    {"textDocument/prepareTypeHierarchy", "textDocument.typeHierarchy"},
    {"workspace/didCreateFiles", "workspace.fileOperations"},
    {"workspace/willCreateFiles", "workspace.fileOperations"},
    {"workspace/didRenameFiles", "workspace.fileOperations"},
    {"workspace/willRenameFiles", "workspace.fileOperations"},
    {"workspace/didDeleteFiles", "workspace.fileOperations"},
    {"workspace/willDeleteFiles", "workspace.fileOperations"},
}};

}  // namespace

Understood::Understood() : symbol_kinds(up_to(kLastSymbol)), found_symbol_kinds(up_to(kLastSymbol)), all_(true) {
  for (const char* const each : kLinkMethods) links.insert("textDocument/" + std::string(each));
  completion.kinds = up_to(kLastItem);
  for (const char* const each : kItemDefaults) completion.defaults.insert(each);
}

Understood::Understood(const json& capabilities) : registering_(capabilities) {
  const json& text = member_at(capabilities, "textDocument");
  const json& workspace = member_at(capabilities, "workspace");
  for (const std::string each : kLinkMethods) {
    if (is_true(text, each + ".linkSupport")) links.insert("textDocument/" + each);
  }
  hierarchical_symbols = is_true(text, "documentSymbol.hierarchicalDocumentSymbolSupport");
  symbol_tags = has(text, "documentSymbol.tagSupport");
  symbol_label = is_true(text, "documentSymbol.labelSupport");
  symbol_kinds = kinds_in(text, "documentSymbol.symbolKind.valueSet", kLastOldSymbol);
  found_symbol_tags = has(workspace, "symbol.tagSupport");
  found_symbol_kinds = kinds_in(workspace, "symbol.symbolKind.valueSet", kLastOldSymbol);

  const json& item = member_at(text, "completion.completionItem");
  completion = {.snippets = is_true(item, "snippetSupport"),
                .insert_replace = is_true(item, "insertReplaceSupport"),
                .commit_characters = is_true(item, "commitCharactersSupport"),
                .deprecated = is_true(item, "deprecatedSupport"),
                .preselect = is_true(item, "preselectSupport"),
                .tags = has(item, "tagSupport"),
                .insert_text_mode = has(item, "insertTextModeSupport"),
                .label_details = is_true(item, "labelDetailsSupport"),
                .markdown = lists(item, "documentationFormat", "markdown"),
                .apply_kind = is_true(text, "completion.completionList.applyKindSupport"),
                .kinds = kinds_in(text, "completion.completionItemKind.valueSet", kLastOldItem),
                .defaults = {}};
  for (const char* const each : kItemDefaults) {
    if (lists(text, "completion.completionList.itemDefaults", each)) completion.defaults.insert(each);
  }

  hover_markdown = lists(text, "hover.contentFormat", "markdown");
  const json& help = member_at(text, "signatureHelp.signatureInformation");
  signature = {.markdown = lists(help, "documentationFormat", "markdown"),
               .label_offsets = is_true(help, "parameterInformation.labelOffsetSupport"),
               .active_parameter = is_true(help, "activeParameterSupport"),
               .no_active_parameter = is_true(help, "noActiveParameterSupport")};
  const json& actions = member_at(text, "codeAction");
  action = {.literals = has(actions, "codeActionLiteralSupport"),
            .preferred = is_true(actions, "isPreferredSupport"),
            .disabled = is_true(actions, "disabledSupport"),
            .tags = has(actions, "tagSupport"),
            .annotations = is_true(actions, "honorsChangeAnnotations"),
            .documentation = is_true(actions, "documentationSupport")};
  const json& edits = member_at(workspace, "workspaceEdit");
  edit = {.document_changes = is_true(edits, "documentChanges"),
          .create = lists(edits, "resourceOperations", "create"),
          .rename = lists(edits, "resourceOperations", "rename"),
          .remove = lists(edits, "resourceOperations", "delete"),
          .annotations = has(edits, "changeAnnotationSupport"),
          .snippets = is_true(edits, "snippetEditSupport")};
  rename_annotations = is_true(text, "rename.honorsChangeAnnotations");
  rename_prepared = is_true(text, "rename.prepareSupport");
  published = diagnostics_in(member_at(text, "publishDiagnostics"));
  pulled = diagnostics_in(member_at(text, "diagnostic"));
  // One capability stands for both ways. The others were for published ones alone before LSP 3.18, and editors of
  // before mean both.
  published.markup = pulled.markup;
  pulled.related = pulled.related || published.related;
  pulled.tags = pulled.tags || published.tags;
  pulled.code_description = pulled.code_description || published.code_description;
  pulled.data = pulled.data || published.data;
  fold_kinds = has(text, "foldingRange.foldingRangeKind.valueSet");
  fold_texts = is_true(text, "foldingRange.foldingRange.collapsedText");
  link_tooltips = is_true(text, "documentLink.tooltipSupport");
  progress = is_true(capabilities, "window.workDoneProgress");
  relative_patterns = is_true(workspace, "didChangeWatchedFiles.relativePatternSupport");

  const auto ask = [&](const char* method, bool may) {
    if (!may) unasked_.insert(method);
  };
  ask("window/workDoneProgress/create", progress);
  ask("window/showDocument", is_true(capabilities, "window.showDocument.support"));
  ask("workspace/applyEdit", is_true(workspace, "applyEdit"));
  ask("workspace/configuration", is_true(workspace, "configuration"));
  ask("workspace/workspaceFolders", is_true(workspace, "workspaceFolders"));
  ask("workspace/semanticTokens/refresh", is_true(workspace, "semanticTokens.refreshSupport"));
  ask("workspace/codeLens/refresh", is_true(workspace, "codeLens.refreshSupport"));
  ask("workspace/inlayHint/refresh", is_true(workspace, "inlayHint.refreshSupport"));
  ask("workspace/inlineValue/refresh", is_true(workspace, "inlineValue.refreshSupport"));
  ask("workspace/diagnostic/refresh", is_true(workspace, "diagnostics.refreshSupport"));
  ask("workspace/foldingRange/refresh", is_true(workspace, "foldingRange.refreshSupport"));
  ask("workspace/textDocumentContent/refresh", has(workspace, "textDocumentContent"));
  note_needs();
}

void Understood::note_needs() {
  const auto cut = [&](std::initializer_list<const char*> methods, bool needed) {
    if (needed) cut_.insert(methods.begin(), methods.end());
  };
  for (const char* const each : kLinkMethods) {
    const auto method = "textDocument/" + std::string(each);
    if (!links.contains(method)) cut_.insert(method);
  }
  cut({"textDocument/documentSymbol"}, !hierarchical_symbols || !symbol_tags || symbol_kinds != up_to(kLastSymbol));
  cut({"workspace/symbol", "workspaceSymbol/resolve"}, !found_symbol_tags || found_symbol_kinds != up_to(kLastSymbol));
  const auto& c = completion;
  const bool items = !(c.snippets && c.insert_replace && c.commit_characters && c.deprecated && c.preselect && c.tags &&
                       c.insert_text_mode && c.label_details && c.markdown && c.kinds == up_to(kLastItem));
  cut({"completionItem/resolve"}, items);
  cut({"textDocument/completion"}, items || !c.apply_kind || c.defaults.size() != kItemDefaults.size());
  cut({"textDocument/hover"}, !hover_markdown);
  const auto& s = signature;
  cut({"textDocument/signatureHelp"}, !(s.markdown && s.label_offsets && s.active_parameter && s.no_active_parameter));
  const bool edits =
      !(edit.document_changes && edit.create && edit.rename && edit.remove && edit.annotations && edit.snippets);
  const auto diagnosed = [](const Diagnostics& d) {
    return d.related && d.tags && d.code_description && d.data && d.markup;
  };
  const auto& a = action;
  cut({"textDocument/codeAction", "codeAction/resolve"},
      edits || !(a.literals && a.preferred && a.disabled && a.tags && a.annotations) || !diagnosed(published));
  cut({"textDocument/rename"}, edits || !rename_annotations);
  cut({"workspace/applyEdit", "workspace/willCreateFiles", "workspace/willRenameFiles", "workspace/willDeleteFiles"},
      edits);
  cut({"textDocument/publishDiagnostics"}, !diagnosed(published) || !published.version);
  cut({"textDocument/diagnostic", "workspace/diagnostic"}, !diagnosed(pulled) || !pulled.related_documents);
  cut({"textDocument/foldingRange"}, !fold_kinds || !fold_texts);
  cut({"textDocument/documentLink", "documentLink/resolve"}, !link_tooltips);
  cut({"initialize"}, !a.literals || !a.documentation || !rename_prepared || !symbol_label);
  cut({"client/registerCapability", "client/unregisterCapability"}, true);
}

bool Understood::registers(std::string_view method) const {
  if (all_) return true;
  if (method == "workspace/didChangeWorkspaceFolders") return is_true(registering_, "workspace.workspaceFolders");
  std::string path(method);
  for (const auto& [name, capability] : kRegistered) {
    if (name == method) path = capability;
  }
  std::ranges::replace(path, '/', '.');
  const json& capability = member_at(registering_, path);
  const bool standard = path.starts_with("textDocument.") || path.starts_with("workspace.");
  // What the protocol does not know is between the server and its editors.
  if (capability.is_null() && !standard) return true;
  return is_true(capability, "dynamicRegistration");
}

}  // namespace gantry::lsp
