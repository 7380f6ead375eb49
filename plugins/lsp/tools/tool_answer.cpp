// SPDX-License-Identifier: Apache-2.0
//
// What a tool answers.
#include <algorithm>
#include <functional>
#include <gantry/file_uri.hpp>
#include <numeric>
#include <tuple>
#include <utility>

#include "plugins/lsp/files.hpp"
#include "plugins/lsp/tools/tool_call.hpp"

namespace gantry::lsp {

namespace {

constexpr std::size_t kLongestLine = 200;  // of a source line that is shown

[[nodiscard]] json start_of(const json& range) { return range.is_object() ? range.value("start", json()) : json(); }

}  // namespace

// Without the space around it.
std::string ToolCall::cut(std::string_view text, std::size_t most) {
  const auto begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  text.remove_prefix(begin);
  text = text.substr(0, text.find_last_not_of(" \t") + 1);
  if (text.size() <= most) return std::string(text);
  std::size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return std::string(text.substr(0, end)) + "...";
}

std::size_t ToolCall::mixed(std::size_t identity, const std::string& text) {
  return (identity ^ std::hash<std::string>{}(text)) * 0x9E3779B97F4A7C15ULL;
}

const Lines* ToolCall::lines_of(const std::string& path) {
  if (lines_path_ == path) return lines_.get();
  lines_path_ = path;
  lines_.reset();
  if (auto text = read_file(path)) lines_ = std::make_unique<Lines>(std::move(*text));
  return lines_.get();
}

std::string ToolCall::shown(const std::string& path) const {
  const auto& workspace = args_.workspace;
  const bool inside = workspace.size() > 1 && path.size() > workspace.size() && path.starts_with(workspace) &&
                      path[workspace.size()] == '/';
  return inside ? path.substr(workspace.size() + 1) : path;
}

void ToolCall::add_place_in(json& to, const Lines& lines, const json& range) {
  const auto position = lines.from_protocol(start_of(range));
  if (!position) return;
  to["line"] = position->line;
  to["column"] = position->column;
  if (auto text = cut(lines.line(position->line), kLongestLine); !text.empty()) to["text"] = std::move(text);
}

// Where the file cannot be read, columns are the server's.
void ToolCall::add_place(json& to, const Location& location) {
  to["path"] = shown(location.path);
  const json start = start_of(location.range);
  static const Lines kNone("");
  const Lines* const lines = lines_of(location.path);
  add_place_in(to, lines != nullptr ? *lines : kNone, location.range);
  if (lines == nullptr && to.contains("line")) to["column"] = start.value("character", std::int64_t{0}) + 1;
}

void ToolCall::show(json answer, Page page) {
  answer["items"] = std::move(page.items);
  answer["total"] = page.total;
  if (!page.next_cursor.empty()) answer["next_cursor"] = std::move(page.next_cursor);
  if (indexing_) answer["indexing"] = true;
  if (tool_ != Tool::diagnostics_resource) return finish(std::move(answer));
  finish(json{{"contents", {{{"uri", args_.uri}, {"mimeType", "application/json"}, {"text", dump_json(answer)}}}}});
}

void ToolCall::show_locations(std::vector<Location> locations) {
  const auto key = [](const Location& a) {
    const json start = start_of(a.range);
    const auto number = [&](const char* name) {
      const json value = start.is_object() ? start.value(name, json()) : json();
      return value.is_number_integer() ? value.get<std::int64_t>() : std::int64_t{0};
    };
    return std::tuple(a.path, number("line"), number("character"));
  };
  // The server's first definition is the one that is meant; references come file by file.
  if (tool_ == Tool::references) std::ranges::sort(locations, {}, key);
  std::size_t identity = 0;
  for (const auto& each : locations) identity = mixed(identity, each.path + dump_json(each.range));
  show_page(locations.size(), identity, json::object(), [&](std::size_t i) {
    json item;
    add_place(item, locations[i]);
    return item;
  });
}

void ToolCall::show_symbols(const std::vector<Symbol>& symbols) {
  const bool of_file = tool_ == Tool::document_symbols;
  std::size_t identity = 0;
  for (const auto& each : symbols)
    identity = mixed(identity, each.name + each.location.path + dump_json(each.location.range));
  json answer = json::object();
  if (of_file) answer["path"] = shown(base_.path);
  show_page(symbols.size(), identity, std::move(answer), [&](std::size_t i) {
    const Symbol& symbol = symbols[i];
    json item{{"name", symbol.name}};
    if (!symbol.kind.empty()) item["kind"] = symbol.kind;
    std::string container;
    for (const auto& outer : symbol.container) container += (container.empty() ? "" : "::") + outer;
    if (!container.empty()) item["container"] = std::move(container);
    add_place(item, symbol.location);
    item.erase("text");
    if (of_file) item.erase("path");
    if (const json whole = symbol.whole.is_object() ? symbol.whole.value("end", json()) : json(); whole.is_object()) {
      if (const json line = whole.value("line", json()); line.is_number_integer())
        item["end_line"] = line.get<std::int64_t>() + 1;
    }
    return item;
  });
}

void ToolCall::show_calls(const json& calls) {
  const char* const end = args_.outgoing ? "to" : "from";
  std::vector<json> entries;
  std::size_t identity = 0;
  for (const auto& call : calls.is_array() ? calls : json::array()) {
    if (!call.is_object() || !call.value(end, json()).is_object()) continue;
    identity = mixed(identity, dump_json(call));
    entries.push_back(call);
  }
  show_page(entries.size(), identity, json::object(), [&](std::size_t i) {
    const json& other = entries[i][end];
    auto symbols = symbols_of(json::array({other}), {});
    json item = json::object();
    if (!symbols.empty()) {
      item["name"] = symbols.front().name;
      if (!symbols.front().kind.empty()) item["kind"] = symbols.front().kind;
    }
    const json uri = other.value("uri", json());
    const std::string path = uri.is_string() ? to_path(uri.get<std::string>()).value_or(uri.get<std::string>()) : "";
    add_place(item, {path, other.value("selectionRange", json())});
    item["calls"] = json::array();
    const json ranges = entries[i].value("fromRanges", json::array());
    for (const auto& range : ranges.is_array() ? ranges : json::array()) {
      const json start = start_of(range);
      const json line = start.is_object() ? start.value("line", json()) : json();
      if (line.is_number_integer()) item["calls"].push_back(line.get<std::int64_t>() + 1);
    }
    return item;
  });
}

void ToolCall::show_hover(const json& result) {
  constexpr std::size_t kBytesOfToken = 4;
  const std::string text = hover_text(result);
  const auto most = static_cast<std::size_t>(args_.budget.tokens) * kBytesOfToken;
  json answer{{"text", text.empty() ? json() : json(cut(text, most))}};
  answer["truncated"] = text.size() > most;
  finish(std::move(answer));
}

void ToolCall::show_completions(const json& result) {
  const Completions completions = completions_of(result);
  std::size_t identity = 0;
  for (const auto& each : completions.items) identity = mixed(identity, dump_json(each));
  show_page(completions.items.size(), identity, {{"incomplete", completions.incomplete}},
            [&](std::size_t i) { return completions.items[i]; });
}

void ToolCall::add_problem(json& to, const json& diagnostic) {
  if (const auto words = severity_of(diagnostic); !words.empty()) to["severity"] = words;
  for (const char* name : {"message", "source", "code"}) {
    const json value = diagnostic.value(name, json());
    if (value.is_string() || value.is_number()) to[name] = value;
  }
}

// As lsp.diagnostics answers.
void ToolCall::show_diagnostics(const json& result) {
  std::vector<json> list;
  const json given = result.is_object() ? result.value("diagnostics", json::array()) : json::array();
  for (const auto& each : given) {
    if (each.is_object()) list.push_back(each);
  }
  // The gravest first, each kind in the order of the text.
  const auto severity = [&](std::size_t i) {
    const json value = list[i].value("severity", json());
    return std::pair(value.is_number_integer() ? value.get<std::int64_t>() : std::int64_t{1}, i);
  };
  std::vector<std::size_t> order(list.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, severity);
  const std::size_t identity = mixed(0, dump_json(given));
  json answer{{"path", shown(base_.path)}, {"freshness", result.value("freshness", "timeout")}};
  if (result.contains("failed")) answer["failed"] = result["failed"];
  show_page(list.size(), identity, std::move(answer), [&](std::size_t place) {
    const std::size_t i = order[place];
    json item = json::object();
    add_place(item, {base_.path, list[i].value("range", json())});
    item.erase("path");
    add_problem(item, list[i]);
    return item;
  });
}

}  // namespace gantry::lsp
