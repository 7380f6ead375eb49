// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/capabilities/cut.hpp"

#include <algorithm>
#include <array>
#include <gantry/file_uri.hpp>
#include <utility>

#include "plugins/lsp/capabilities/member_at.hpp"
#include "plugins/lsp/capabilities/plain_text.hpp"

namespace gantry::lsp {

namespace {

// Applies to each object of an array, or to one object.
template <class F>
void each_of(json& value, F change) {
  if (value.is_array()) {
    for (auto& each : value) {
      if (each.is_object()) change(each);
    }
  } else if (value.is_object()) {
    change(value);
  }
}

void cut_link(json& location) {
  if (!location.contains("targetUri")) return;
  const auto selected = location.find("targetSelectionRange");
  json range = selected != location.end() ? *selected : part(location, "targetRange");
  location = json{{"uri", location["targetUri"]}, {"range", std::move(range)}};
}

// ---- symbols --------------------------------------------------------------------------------------------------------

// What is newer than a client becomes what servers used before.
[[nodiscard]] int older_symbol(int kind) {
  constexpr int kClass = 5, kEnum = 10, kFunction = 12, kString = 15;
  constexpr int kObject = 19, kEnumMember = 22, kStruct = 23, kOperator = 25, kTypeParameter = 26;
  switch (kind) {
    case kObject:
    case kStruct:
    case kTypeParameter:
      return kClass;
    case kEnumMember:
      return kEnum;
    case kOperator:
      return kFunction;
    default:
      return kString;
  }
}

void cut_symbol(json& symbol, const Kinds& kinds, bool tags) {
  if (!symbol.is_object()) return;
  if (!tags) symbol.erase("tags");
  const auto kind = symbol.find("kind");
  if (kind == symbol.end() || !kind->is_number_integer()) return;
  const auto number = kind->get<long long>();
  const bool known =
      number >= 0 && number < static_cast<long long>(kinds.size()) && kinds.test(static_cast<std::size_t>(number));
  if (!known) *kind = older_symbol(static_cast<int>(number));
}

// Appends the symbol and those within it. The depth is bounded by that of the parsed text.
void flatten(json& symbol, const std::string& uri, const std::string& container, json& out) {
  if (!symbol.is_object()) return;
  json flat{{"name", symbol.value("name", json(""))},
            {"kind", part(symbol, "kind")},
            {"location", {{"uri", uri}, {"range", part(symbol, "range")}}}};
  for (const char* const same : {"tags", "deprecated"}) {
    if (symbol.contains(same)) flat[same] = symbol[same];
  }
  if (!container.empty()) flat["containerName"] = container;
  const std::string name = flat["name"].is_string() ? flat["name"].get<std::string>() : std::string();
  out.push_back(std::move(flat));
  if (const auto children = symbol.find("children"); children != symbol.end() && children->is_array()) {
    for (auto& child : *children) flatten(child, uri, name, out);
  }
}

void cut_tree(json& symbol, const Understood& understood) {
  cut_symbol(symbol, understood.symbol_kinds, understood.symbol_tags);
  if (!symbol.is_object()) return;
  if (const auto children = symbol.find("children"); children != symbol.end() && children->is_array()) {
    for (auto& child : *children) cut_tree(child, understood);
  }
}

[[nodiscard]] json cut_symbols(json symbols, const Understood& understood, const std::string& uri) {
  if (!symbols.is_array()) return symbols;
  const bool tree = !symbols.empty() && symbols.front().is_object() && symbols.front().contains("selectionRange");
  if (tree && !understood.hierarchical_symbols) {
    json flat = json::array();
    for (auto& symbol : symbols) flatten(symbol, uri, {}, flat);
    symbols = std::move(flat);
  }
  for (auto& symbol : symbols) cut_tree(symbol, understood);
  return symbols;
}

// ---- signatures -----------------------------------------------------------------------------------------------------

// By the protocol the offsets in a signature are UTF-16, whatever positions are.
[[nodiscard]] std::size_t utf16_place(std::string_view text, std::size_t units) {
  std::size_t at = 0;
  while (at < text.size() && units > 0) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const std::size_t bytes = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (bytes == 4 && units == 1) break;
    units -= bytes == 4 ? 2 : 1;
    at += bytes;
  }
  return std::min(at, text.size());
}

void cut_signature(json& signature, const Understood& understood) {
  if (!signature.is_object()) return;
  const auto& can = understood.signature;
  if (!can.markdown) cut_markup(signature, "documentation");
  if (!can.active_parameter) signature.erase("activeParameter");
  if (const auto active = signature.find("activeParameter");
      active != signature.end() && active->is_null() && !can.no_active_parameter)
    signature.erase(active);
  const auto parameters = signature.find("parameters");
  if (parameters == signature.end() || !parameters->is_array()) return;
  const std::string text = signature.value("label", json("")).is_string() ? signature["label"].get<std::string>() : "";
  for (auto& parameter : *parameters) {
    if (!parameter.is_object()) continue;
    if (!can.markdown) cut_markup(parameter, "documentation");
    const auto label = parameter.find("label");
    if (can.label_offsets || label == parameter.end() || !label->is_array() || label->size() != 2) continue;
    const auto begin = count_in((*label)[0]), end = count_in((*label)[1]);
    if (!begin || !end) continue;
    const auto from = utf16_place(text, *begin), to = utf16_place(text, *end);
    *label = from <= to ? text.substr(from, to - from) : std::string();
  }
}

[[nodiscard]] json cut_signatures(json help, const Understood& understood) {
  if (!help.is_object()) return help;
  auto signatures = help.find("signatures");
  if (signatures == help.end() || !signatures->is_array()) return help;
  const auto index = count_in(part(help, "activeSignature")).value_or(0);
  if (!understood.signature.active_parameter && index < signatures->size() && (*signatures)[index].is_object()) {
    const auto own = (*signatures)[index].find("activeParameter");
    if (own != (*signatures)[index].end()) help["activeParameter"] = json(*own);
    signatures = help.find("signatures");
  }
  const auto parameter = help.find("activeParameter");
  if (parameter != help.end() && parameter->is_null() && !understood.signature.no_active_parameter)
    help.erase(parameter);
  for (auto& signature : help["signatures"]) cut_signature(signature, understood);
  return help;
}

// ---- others ---------------------------------------------------------------------------------------------------------

void cut_fold(json& fold, const Understood& understood) {
  if (!understood.fold_texts) fold.erase("collapsedText");
  const json kind = part(fold, "kind");
  if (!understood.fold_kinds && kind != "comment" && kind != "imports" && kind != "region") fold.erase("kind");
}

[[nodiscard]] json cut_report(json report, const Understood& understood) {
  if (!report.is_object()) return report;
  const auto cut_items = [&](json& of) {
    if (!of.is_object()) return;
    if (const auto items = of.find("items"); items != of.end())
      each_of(*items, [&](json& each) { cut_diagnostic(each, understood.pulled); });
  };
  const auto items = report.find("items");
  const bool of_workspace = items != report.end() && items->is_array() && !items->empty() &&
                            items->front().is_object() && items->front().contains("uri");
  if (of_workspace) {
    each_of(*items, cut_items);
  } else {
    cut_items(report);
  }
  if (const auto related = report.find("relatedDocuments"); related != report.end()) {
    if (!understood.pulled.related_documents) {
      report.erase(related);
    } else if (related->is_object()) {
      for (auto& each : *related) cut_items(each);
    }
  }
  return report;
}

// A provider that may be true becomes that, for who knows no options.
void without_options(json& capabilities, const char* provider) {
  const auto it = capabilities.find(provider);
  if (it != capabilities.end() && it->is_object()) *it = true;
}

[[nodiscard]] json cut_welcome(json result, const Understood& understood) {
  if (!result.is_object() || !result.contains("capabilities") || !result["capabilities"].is_object()) return result;
  json& capabilities = result["capabilities"];
  if (!understood.action.literals) without_options(capabilities, "codeActionProvider");
  if (!understood.rename_prepared) without_options(capabilities, "renameProvider");
  const auto erase = [&](const char* provider, const char* option) {
    const auto it = capabilities.find(provider);
    if (it != capabilities.end() && it->is_object()) it->erase(option);
  };
  if (!understood.action.documentation) erase("codeActionProvider", "documentation");
  if (!understood.symbol_label) erase("documentSymbolProvider", "label");
  return result;
}

[[nodiscard]] json cut_registrations(json params, const Understood& understood, const char* list) {
  const auto all = params.is_object() ? params.find(list) : params.end();
  if (all == params.end() || !all->is_array()) return params;
  json kept = json::array();
  for (auto& each : *all) {
    const json method = each.is_object() ? part(each, "method") : json();
    if (method.is_string() && !understood.registers(method.get<std::string>())) continue;
    if (method == "workspace/didChangeWatchedFiles" && !understood.relative_patterns) {
      json watchers = member_at(each, "registerOptions.watchers");
      each_of(watchers, [](json& watcher) {
        const json pattern = part(watcher, "globPattern");
        if (!pattern.is_object() || !pattern.contains("pattern") || !pattern["pattern"].is_string()) return;
        json base = part(pattern, "baseUri");
        if (base.is_object()) base = part(base, "uri");
        const auto path =
            base.is_string() ? to_path(base.get<std::string>()) : fail(ErrorKind::invalid_params, "no URI");
        if (path) watcher["globPattern"] = *path + "/" + pattern["pattern"].get<std::string>();
      });
      if (watchers.is_array()) each["registerOptions"]["watchers"] = std::move(watchers);
    }
    kept.push_back(std::move(each));
  }
  *all = std::move(kept);
  return params;
}

}  // namespace

void announce(json& result, const json& registration, const Understood& understood) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kProviders{
      {{"textDocument/formatting", "documentFormattingProvider"},
       {"textDocument/rangeFormatting", "documentRangeFormattingProvider"},
       {"textDocument/onTypeFormatting", "documentOnTypeFormattingProvider"},
       {"textDocument/documentColor", "colorProvider"},
       {"textDocument/prepareCallHierarchy", "callHierarchyProvider"},
       {"textDocument/prepareTypeHierarchy", "typeHierarchyProvider"},
       {"workspace/symbol", "workspaceSymbolProvider"},
       {"workspace/executeCommand", "executeCommandProvider"},
       {"textDocument/linkedEditingRange", "linkedEditingRangeProvider"}}};
  if (!result.is_object() || !registration.is_object()) return;
  const json method = part(registration, "method");
  if (!method.is_string() || understood.registers(method.get<std::string>())) return;
  const auto name = method.get<std::string>();
  std::string provider;
  for (const auto& [each, its] : kProviders) {
    if (each == name) provider = its;
  }
  if (provider.empty()) {
    constexpr std::string_view kPrefix = "textDocument/";
    const bool tells = name.starts_with("textDocument/did") || name.starts_with("textDocument/will");
    if (!name.starts_with(kPrefix) || tells) return;
    provider = name.substr(kPrefix.size()) + "Provider";
  }
  if (!result["capabilities"].is_object()) result["capabilities"] = json::object();
  json options = part(registration, "registerOptions");
  result["capabilities"].emplace(provider, options.is_object() ? std::move(options) : json(true));
}

void cut_markup(json& object, const char* member) {
  const auto it = object.find(member);
  if (it == object.end() || !it->is_object() || part(*it, "kind") != "markdown") return;
  const json value = part(*it, "value");
  if (value.is_string()) *it = {{"kind", "plaintext"}, {"value", plain_text(value.get<std::string>())}};
}

Result<json> cut(std::string_view method, json said, const Understood& understood, const std::string& uri) {
  if (said.is_null() || !understood.cuts(method)) return said;
  if (method == "textDocument/definition" || method == "textDocument/declaration" ||
      method == "textDocument/typeDefinition" || method == "textDocument/implementation") {
    each_of(said, cut_link);
  } else if (method == "textDocument/documentSymbol") {
    return cut_symbols(std::move(said), understood, uri);
  } else if (method == "workspace/symbol" || method == "workspaceSymbol/resolve") {
    each_of(said, [&](json& each) { cut_symbol(each, understood.found_symbol_kinds, understood.found_symbol_tags); });
  } else if (method == "textDocument/completion") {
    return cut_completion(std::move(said), understood);
  } else if (method == "completionItem/resolve") {
    cut_completion_item(said, understood);
  } else if (method == "textDocument/hover") {
    if (said.is_object()) cut_markup(said, "contents");
  } else if (method == "textDocument/signatureHelp") {
    return cut_signatures(std::move(said), understood);
  } else if (method == "textDocument/codeAction") {
    return cut_actions(std::move(said), understood);
  } else if (method == "codeAction/resolve") {
    return cut_action(std::move(said), understood);
  } else if (method == "textDocument/rename") {
    return cut_edit(std::move(said), understood, understood.rename_annotations && understood.edit.annotations);
  } else if (method.starts_with("workspace/will") && method.ends_with("Files")) {
    return cut_edit(std::move(said), understood, understood.edit.annotations);
  } else if (method == "workspace/applyEdit") {
    if (!said.is_object() || !said.contains("edit")) return said;
    auto edit = cut_edit(std::move(said["edit"]), understood, understood.edit.annotations);
    if (!edit) return std::unexpected(edit.error());
    said["edit"] = std::move(*edit);
  } else if (method == "textDocument/publishDiagnostics") {
    if (!said.is_object()) return said;
    if (!understood.published.version) said.erase("version");
    if (const auto all = said.find("diagnostics"); all != said.end())
      each_of(*all, [&](json& each) { cut_diagnostic(each, understood.published); });
  } else if (method == "textDocument/diagnostic" || method == "workspace/diagnostic") {
    return cut_report(std::move(said), understood);
  } else if (method == "textDocument/foldingRange") {
    each_of(said, [&](json& each) { cut_fold(each, understood); });
  } else if (method == "textDocument/documentLink" || method == "documentLink/resolve") {
    each_of(said, [](json& each) { each.erase("tooltip"); });
  } else if (method == "initialize") {
    return cut_welcome(std::move(said), understood);
  } else if (method == "client/registerCapability") {
    return cut_registrations(std::move(said), understood, "registrations");
  } else if (method == "client/unregisterCapability") {
    return cut_registrations(std::move(said), understood, "unregisterations");
  }
  return said;
}

}  // namespace gantry::lsp
