// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/lsp/answers.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "host/protocols/lsp/json_parts.hpp"

namespace gantry::host {

namespace {

constexpr const char* kServer = "gantry_server";

constexpr std::array<std::string_view, 5> kMergedMethods{"textDocument/completion", "textDocument/codeAction",
                                                         "textDocument/references", "textDocument/diagnostic",
                                                         "textDocument/documentColor"};

// All others speak of what one server has said before, or say something by an empty answer (a formatted text).
constexpr std::array<std::string_view, 14> kFallingBack{
    "textDocument/prepareRename",  "textDocument/rename",
    "textDocument/documentSymbol", "textDocument/foldingRange",
    "workspace/willCreateFiles",   "workspace/willRenameFiles",
    "workspace/willDeleteFiles",   "textDocument/hover",
    "textDocument/signatureHelp",  "textDocument/declaration",
    "textDocument/definition",     "textDocument/typeDefinition",
    "textDocument/implementation", "textDocument/documentHighlight"};

void append(json& to, json& items) {
  auto& list = to.get_ref<json::array_t&>();
  list.insert(list.end(), std::make_move_iterator(items.begin()), std::make_move_iterator(items.end()));
}

[[nodiscard]] json completions(std::vector<ServerResult>& results) {
  json items = json::array();
  bool incomplete = false;
  for (auto& [server, result, commit_characters] : results) {
    incomplete = incomplete || part(result, "isIncomplete") == json(true);
    json none = json::array();
    json& list = result.is_array() ? result : result.is_object() && result.contains("items") ? result["items"] : none;
    if (!list.is_array()) continue;
    for (auto& item : list) {
      if (!item.is_object()) continue;
      if (!commit_characters.is_null() && !item.contains("commitCharacters"))
        item["commitCharacters"] = commit_characters;
      mark(item, server);
    }
    append(items, list);
  }
  return {{"isIncomplete", incomplete}, {"items", std::move(items)}};
}

// A Command has no data: the editor runs it as it is.
[[nodiscard]] json code_actions(std::vector<ServerResult>& results) {
  json out = json::array();
  for (auto& [server, result, unused] : results) {
    if (!result.is_array()) continue;
    for (auto& action : result) {
      if (action.is_object() && !part(action, "command").is_string()) mark(action, server);
    }
    append(out, result);
  }
  return out;
}

[[nodiscard]] json locations(std::vector<ServerResult>& results) {
  json out;
  for (auto& [server, result, unused] : results) {
    if (!result.is_array()) continue;
    if (out.is_null()) {
      out = std::move(result);
      continue;
    }
    // A sorted copy, since both may be thousands.
    std::vector<json> known(out.begin(), out.end());
    std::ranges::sort(known);
    for (auto& each : result) {
      if (!std::ranges::binary_search(known, each)) out.push_back(std::move(each));
    }
  }
  return out;
}

void append_report(json& to, json& report) {
  if (!report.is_object()) return;
  if (report.contains("items") && report["items"].is_array()) append(to["items"], report["items"]);
}

[[nodiscard]] json reports(std::vector<ServerResult>& results) {
  json out{{"kind", "full"}, {"items", json::array()}};
  for (auto& [server, result, unused] : results) {
    append_report(out, result);
    if (!part(result, "relatedDocuments").is_object()) continue;
    for (auto& [uri, related] : result["relatedDocuments"].items()) {
      json& one = out["relatedDocuments"][uri];
      if (one.is_null()) one = {{"kind", "full"}, {"items", json::array()}};
      append_report(one, related);
    }
  }
  return out;
}

}  // namespace

bool is_merged(std::string_view method) { return std::ranges::find(kMergedMethods, method) != kMergedMethods.end(); }

bool falls_back(std::string_view method) { return std::ranges::find(kFallingBack, method) != kFallingBack.end(); }

bool says_nothing(const json& result) {
  if (result.is_null() || (result.is_array() && result.empty())) return true;
  if (!result.is_object()) return false;
  if (result.empty()) return true;
  if (result.size() == 1 && (result.contains("changes") || result.contains("documentChanges")))
    return result.front().empty();
  if (const auto& signatures = part(result, "signatures"); signatures.is_array()) return signatures.empty();
  const auto& contents = part(result, "contents");
  const auto& words = contents.is_object() ? part(contents, "value") : contents;
  return words == json("") || (words.is_array() && words.empty());
}

json merged_result(std::string_view method, std::vector<ServerResult> results) {
  const bool lists = method != "textDocument/diagnostic";
  if (lists && std::ranges::all_of(results, [](const auto& each) { return each.result.is_null(); })) return {};
  if (method == "textDocument/completion") return completions(results);
  if (method == "textDocument/codeAction") return code_actions(results);
  if (method == "textDocument/references" || method == "textDocument/documentColor") return locations(results);
  return reports(results);
}

void mark(json& item, std::size_t server) {
  json data{{kServer, server}};
  if (item.contains("data")) data["data"] = std::move(item["data"]);
  item["data"] = std::move(data);
}

std::optional<std::size_t> unmark(json& item) {
  const auto& data = part(item, "data");
  const auto& server = part(data, kServer);
  if (!server.is_number_unsigned()) return std::nullopt;
  const auto out = server.get<std::size_t>();
  if (data.contains("data")) {
    json own = data["data"];
    item["data"] = std::move(own);
  } else {
    item.erase("data");
  }
  return out;
}

}  // namespace gantry::host
