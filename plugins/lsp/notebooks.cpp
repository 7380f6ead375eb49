// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/notebooks.hpp"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace gantry::lsp {

namespace {

[[nodiscard]] const json& member_or_empty(const json& object, const char* name) {
  static const json empty = json::array();
  const auto it = object.find(name);
  return it == object.end() || it->is_null() ? empty : *it;
}

}  // namespace

void TrackedNotebooks::follow(std::string_view method, std::string_view params) {
  if (!lost().empty()) return;
  const auto parsed = parse_json(params);
  if (!parsed) return;  // no server makes sense of it either
  try {
    if (method == "notebookDocument/didOpen") return open(*parsed);
    const std::string uri = parsed->at("notebookDocument").at("uri");
    if (method == "notebookDocument/didChange") {
      if (notebooks_.contains(uri)) change(*parsed);
    } else if (method == "notebookDocument/didClose") {
      close(uri);
    }
  } catch (const json::exception&) {
    lose("a message about a notebook is malformed");
  }
}

void TrackedNotebooks::open(const json& params) {
  const json& notebook = params.at("notebookDocument");
  const std::string uri = notebook.at("uri");
  close(uri);
  for (const auto& item : member_or_empty(params, "cellTextDocuments"))
    (void)cells_.follow("textDocument/didOpen", dump_json({{"textDocument", item}}));
  keep(notebook);
}

void TrackedNotebooks::keep(json notebook) {
  const std::string uri = notebook.at("uri");
  measure(notebooks_[uri] = std::move(notebook));
}

// Throws json::exception for cells that are none.
void TrackedNotebooks::measure(const json& notebook) {
  for (const auto& cell : member_or_empty(notebook, "cells")) (void)cell.at("document").get_ref<const std::string&>();
  bytes_[notebook.at("uri").get<std::string>()] = dump_json(notebook).size();
  const auto all = std::accumulate(bytes_.begin(), bytes_.end(), std::size_t{0},
                                   [](std::size_t sum, const auto& each) { return sum + each.second; });
  if (all > kMaxBytes) lose("the open notebooks exceed " + std::to_string(kMaxBytes >> 20) + " MiB");
}

void TrackedNotebooks::change(const json& params) {
  const json& id = params.at("notebookDocument");
  json& notebook = notebooks_.at(id.at("uri").get<std::string>());
  notebook["version"] = id.at("version");
  const json& change = params.at("change");
  if (const auto metadata = change.find("metadata"); metadata != change.end()) notebook["metadata"] = *metadata;
  const json& cells = member_or_empty(change, "cells");
  json& now = notebook["cells"];
  if (const auto structure = cells.find("structure"); structure != cells.end() && !rearrange(now, *structure))
    return lose("a change of a notebook names cells that it has not");
  for (const auto& cell : member_or_empty(cells, "data")) {
    const auto same = std::find_if(now.begin(), now.end(),
                                   [&](const json& each) { return each.at("document") == cell.at("document"); });
    if (same != now.end()) *same = cell;
  }
  for (const auto& text : member_or_empty(cells, "textContent"))
    (void)cells_.follow("textDocument/didChange",
                        dump_json({{"textDocument", text.at("document")}, {"contentChanges", text.at("changes")}}));
  // With each key that is pressed only the text of a cell changes.
  if (change.contains("metadata") || cells.contains("structure") || cells.contains("data")) measure(notebook);
}

// False: the cells are not those that the editor means.
bool TrackedNotebooks::rearrange(json& cells, const json& structure) {
  const json& array = structure.at("array");
  const auto start = array.at("start").get<std::size_t>(), gone = array.at("deleteCount").get<std::size_t>();
  if (!cells.is_array() || start > cells.size() || gone > cells.size() - start) return false;
  const auto at = cells.begin() + static_cast<std::ptrdiff_t>(start);
  cells.erase(at, at + static_cast<std::ptrdiff_t>(gone));
  const json& come = member_or_empty(array, "cells");
  cells.insert(cells.begin() + static_cast<std::ptrdiff_t>(start), come.begin(), come.end());
  for (const auto& item : member_or_empty(structure, "didOpen"))
    (void)cells_.follow("textDocument/didOpen", dump_json({{"textDocument", item}}));
  for (const auto& id : member_or_empty(structure, "didClose"))
    (void)cells_.follow("textDocument/didClose", dump_json({{"textDocument", id}}));
  return true;
}

void TrackedNotebooks::close(const std::string& uri) {
  const auto it = notebooks_.find(uri);
  if (it == notebooks_.end()) return;
  for (const auto& cell : member_or_empty(it->second, "cells"))
    (void)cells_.follow("textDocument/didClose", dump_json({{"textDocument", {{"uri", cell.at("document")}}}}));
  notebooks_.erase(it);
  bytes_.erase(uri);
}

void TrackedNotebooks::lose(std::string why) {
  lost_ = std::move(why);
  notebooks_.clear();
  bytes_.clear();
  cells_.clear();
}

void TrackedNotebooks::replay(const std::function<void(std::string_view)>& send) const {
  for (const auto& [uri, notebook] : notebooks_) {
    json texts = json::array();
    for (const auto& cell : member_or_empty(notebook, "cells")) {
      const auto* const text = cells_.find(document_key(cell.at("document").get<std::string>()));
      if (text == nullptr) continue;
      texts.push_back(
          {{"uri", text->uri}, {"languageId", text->language}, {"version", text->version}, {"text", text->text}});
    }
    send(dump_json({{"jsonrpc", "2.0"},
                    {"method", "notebookDocument/didOpen"},
                    {"params", {{"notebookDocument", notebook}, {"cellTextDocuments", std::move(texts)}}}}));
  }
}

json TrackedNotebooks::suspend() const {
  json notebooks = json::array();
  for (const auto& [uri, notebook] : notebooks_) notebooks.push_back(notebook);
  return {{"notebooks", std::move(notebooks)}, {"cells", cells_.suspend()}, {"lost", lost_}};
}

void TrackedNotebooks::restore(const json& suspended) {
  cells_.restore(suspended.at("cells"));
  for (const auto& notebook : suspended.at("notebooks")) keep(notebook);
  if (const std::string lost = suspended.at("lost"); !lost.empty()) lose(lost);
}

}  // namespace gantry::lsp
