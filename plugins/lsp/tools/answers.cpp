// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/tools/answers.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <gantry/file_uri.hpp>
#include <utility>

namespace gantry::lsp {

namespace {

constexpr std::size_t kMaxDepth = 64;  // of symbols within symbols
constexpr std::size_t kMaxItems = 100'000;

// In the order of the protocol's numbers, from 1.
constexpr auto kSymbolKinds = std::to_array<std::string_view>(
    {"file",        "module",      "namespace", "package",   "class",         "method",   "property",
     "field",       "constructor", "enum",      "interface", "function",      "variable", "constant",
     "string",      "number",      "boolean",   "array",     "object",        "key",      "null",
     "enum member", "struct",      "event",     "operator",  "type parameter"});
constexpr auto kCompletionKinds = std::to_array<std::string_view>(
    {"text",      "method", "function", "constructor",   "field",  "variable",    "class",
     "interface", "module", "property", "unit",          "value",  "enum",        "keyword",
     "snippet",   "color",  "file",     "reference",     "folder", "enum member", "constant",
     "struct",    "event",  "operator", "type parameter"});
constexpr auto kSeverities = std::to_array<std::string_view>({"error", "warning", "information", "hint"});

template <class Names>
[[nodiscard]] std::string_view name_in(const Names& names, const json& object, const char* member) {
  const json number = object.value(member, json());
  if (!number.is_number_integer() || number < 1 || number > names.size()) return {};
  return names[number.get<std::size_t>() - 1];
}

[[nodiscard]] std::string string_in(const json& object, const char* member) {
  const auto it = object.find(member);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

[[nodiscard]] std::string path_of(const std::string& uri) { return to_path(uri).value_or(uri); }

void add_location(const json& entry, std::vector<Location>& out) {
  if (!entry.is_object() || out.size() >= kMaxItems) return;
  const bool link = entry.contains("targetUri");
  const std::string uri = string_in(entry, link ? "targetUri" : "uri");
  const json range = entry.value(link ? "targetSelectionRange" : "range", json());
  if (!uri.empty() && range.is_object()) out.push_back({path_of(uri), range});
}

void add_symbols(const json& list, const std::string& path, std::vector<std::string>& around,
                 std::vector<Symbol>& out) {
  if (!list.is_array() || around.size() > kMaxDepth) return;
  for (const auto& entry : list) {
    if (!entry.is_object() || out.size() >= kMaxItems) continue;
    Symbol symbol{string_in(entry, "name"), std::string(name_in(kSymbolKinds, entry, "kind")), around, {path, {}}, {}};
    if (const auto location = entry.find("location"); location != entry.end() && location->is_object()) {
      if (const std::string uri = string_in(*location, "uri"); !uri.empty()) symbol.location.path = path_of(uri);
      symbol.location.range = location->value("range", json());
      if (auto name = string_in(entry, "containerName"); !name.empty()) symbol.container = {std::move(name)};
    } else {
      symbol.location.range = entry.value("selectionRange", json());
      symbol.whole = entry.value("range", json());
    }
    if (symbol.name.empty()) continue;
    around.push_back(symbol.name);
    out.push_back(std::move(symbol));
    add_symbols(entry.value("children", json()), path, around, out);
    around.pop_back();
  }
}

// Without the parameters and template arguments that some servers write behind a name.
[[nodiscard]] std::string_view bare(std::string_view name) {
  if (name.starts_with("operator")) return name;
  return name.substr(0, std::min(name.find_first_of("(<"), name.size()));
}

[[nodiscard]] std::vector<std::string_view> parts_of(std::string_view name) {
  std::vector<std::string_view> out;
  while (!name.empty()) {
    const auto dots = std::min(name.find("::"), name.size());
    const auto end = std::min(dots, std::min(name.find_first_of(".#/"), name.size()));
    if (end > 0) out.push_back(name.substr(0, end));
    name.remove_prefix(std::min(end + (end == dots && end < name.size() ? 2 : 1), name.size()));
  }
  return out;
}

void add_text(const json& contents, std::string& out) {
  std::string text;
  if (contents.is_string()) text = contents;
  if (contents.is_object()) text = string_in(contents, "value");
  if (contents.is_array()) {
    for (const auto& part : contents) add_text(part, out);
  }
  if (text.empty()) return;
  if (!out.empty()) out += "\n\n";
  out += text;
}

}  // namespace

std::vector<Location> locations_of(const json& result) {
  std::vector<Location> out;
  if (!result.is_array()) add_location(result, out);
  for (const auto& entry : result.is_array() ? result : json::array()) add_location(entry, out);
  return out;
}

bool contains(const json& range, const json& position) {
  using Place = std::pair<std::int64_t, std::int64_t>;
  const auto place = [](const json& value) -> std::optional<Place> {
    if (!value.is_object()) return std::nullopt;
    const json line = value.value("line", json()), character = value.value("character", json());
    if (!line.is_number_integer() || !character.is_number_integer()) return std::nullopt;
    return Place(line.get<std::int64_t>(), character.get<std::int64_t>());
  };
  if (!range.is_object()) return false;
  const auto begin = place(range.value("start", json())), end = place(range.value("end", json())), at = place(position);
  return begin && end && at && *begin <= *at && *at <= *end;
}

std::vector<Symbol> symbols_of(const json& result, const std::string& path) {
  std::vector<Symbol> out;
  std::vector<std::string> around;
  add_symbols(result, path, around, out);
  return out;
}

bool is_named(const Symbol& symbol, std::string_view name) {
  if (symbol.name == name) return true;
  const auto wanted = parts_of(name);
  if (wanted.empty()) return false;
  std::vector<std::string_view> has;
  for (const auto& outer : symbol.container) {
    for (const auto part : parts_of(bare(outer))) has.push_back(part);
  }
  for (const auto part : parts_of(bare(symbol.name))) has.push_back(part);
  return has.size() >= wanted.size() && std::equal(wanted.rbegin(), wanted.rend(), has.rbegin());
}

std::string hover_text(const json& result) {
  std::string out;
  if (result.is_object()) add_text(result.value("contents", json()), out);
  return out;
}

Completions completions_of(const json& result) {
  Completions out;
  const json& list = result.is_object() && result.contains("items") ? result["items"] : result;
  if (result.is_object()) out.incomplete = result.value("isIncomplete", json()) == true;
  if (!list.is_array()) return out;
  std::vector<std::pair<std::string, const json*>> sorted;  // equal ones stay in the list's order
  for (const auto& item : list) {
    if (!item.is_object() || string_in(item, "label").empty() || sorted.size() >= kMaxItems) continue;
    const std::string wanted = string_in(item, "sortText");
    sorted.emplace_back(wanted.empty() ? string_in(item, "label") : wanted, &item);
  }
  std::ranges::sort(sorted);
  for (const auto& [place, item] : sorted) {
    std::string label = string_in(*item, "label");
    label.erase(0, std::min(label.find_first_not_of(' '), label.size()));  // clangd leaves room for a mark
    json shown{{"label", label}};
    if (const auto kind = name_in(kCompletionKinds, *item, "kind"); !kind.empty()) shown["kind"] = kind;
    if (auto detail = string_in(*item, "detail"); !detail.empty()) shown["detail"] = std::move(detail);
    std::string insert = string_in(item->value("textEdit", json::object()), "newText");
    if (insert.empty()) insert = string_in(*item, "insertText");
    if (!insert.empty() && insert != label) shown["insert"] = std::move(insert);
    out.items.push_back(std::move(shown));
  }
  return out;
}

std::string_view severity_of(const json& diagnostic) { return name_in(kSeverities, diagnostic, "severity"); }

namespace detail {

std::string cursor_of(std::size_t begin, std::size_t identity) {
  return std::to_string(begin) + "." + std::to_string(identity);
}

Result<std::size_t> begin_of_page(const Budget& budget, std::size_t identity, std::size_t count) {
  if (!budget.cursor) return 0;
  const std::string& cursor = *budget.cursor;
  std::size_t begin = 0;
  const auto [end, wrong] = std::from_chars(cursor.data(), cursor.data() + cursor.size(), begin);
  if (wrong != std::errc() || end == cursor.data() + cursor.size() || *end != '.')
    return fail(ErrorKind::invalid_params, "cursor must be the next_cursor of an answer");
  if (cursor_of(begin, identity) != cursor || begin > count)
    return fail(ErrorKind::conflict, "the answer has changed since the cursor was given; ask again without it");
  return begin;
}

}  // namespace detail

}  // namespace gantry::lsp
