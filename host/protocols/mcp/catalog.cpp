// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/mcp/catalog.hpp"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "host/config/sha256.hpp"
#include "host/runtime/json_text.hpp"

namespace gantry::host::mcp {

namespace {

void put(json& out, const json& from, const char* member) {
  if (const auto it = from.find(member); it != from.end()) out[member] = *it;
}

[[nodiscard]] json object_schema(json schema) {
  if (!schema.is_object()) schema = json::object();
  schema.emplace("type", "object");  // what MCP requires of the schema of arguments
  return schema;
}

[[nodiscard]] std::string summary_of(const json& method, const json& offer) {
  return offer.value("description", method.value("summary", ""));
}

[[nodiscard]] ToolEntry read_tool(const json& method, const json& offer) {
  ToolEntry tool;
  tool.method = method.value("name", "");
  tool.content = offer.value("content", false);
  tool.logs = offer.value("logs", false);
  tool.listed = {{"name", offer.value("name", "")}, {"description", summary_of(method, offer)}};
  put(tool.listed, offer, "title");
  put(tool.listed, offer, "annotations");
  tool.listed["inputSchema"] = object_schema(offer.value("inputSchema", json::object()));
  const json result = method.value("result", json::object());
  const json schema = result.is_object() ? result.value("schema", json::object()) : json::object();
  // A method that writes content itself need not describe it.
  if (!tool.content || !schema.empty()) tool.listed["outputSchema"] = object_schema(schema);
  return tool;
}

[[nodiscard]] ResourceEntry read_resource(const json& method, const json& offer) {
  ResourceEntry resource;
  resource.method = method.value("name", "");
  resource.changes = offer.value("changes", "");
  resource.completes = offer.value("completes", "");
  resource.listed = {{"name", offer.value("name", "")}};
  for (const char* member : {"uri", "uriTemplate", "title", "mimeType"}) put(resource.listed, offer, member);
  if (auto text = summary_of(method, offer); !text.empty()) resource.listed["description"] = std::move(text);
  return resource;
}

[[nodiscard]] PromptEntry read_prompt(const json& method, const json& offer) {
  PromptEntry prompt;
  prompt.method = method.value("name", "");
  prompt.completes = offer.value("completes", "");
  prompt.listed = {{"name", offer.value("name", "")}, {"arguments", json::array()}};
  put(prompt.listed, offer, "title");
  if (auto text = summary_of(method, offer); !text.empty()) prompt.listed["description"] = std::move(text);
  for (const auto& param : method.value("params", json::array())) {
    json argument{{"name", param.value("name", "")}, {"required", param.value("required", false)}};
    put(argument, param, "description");
    prompt.listed["arguments"].push_back(std::move(argument));
  }
  return prompt;
}

/// What an older revision does not have is left out.
[[nodiscard]] json in_words_of(const Revision& revision, json listed) {
  if (!revision.annotations) listed.erase("annotations");
  if (!revision.structured) {
    listed.erase("title");
    listed.erase("outputSchema");
  }
  return listed;
}

template <class Entries>
[[nodiscard]] std::string digest(const Entries& entries) {
  std::string all;
  for (const auto& [key, entry] : entries) all += dump_json(entry.listed);
  return sha256(all);
}

[[nodiscard]] int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Nothing: an escape is malformed, or the text is no UTF-8.
[[nodiscard]] std::optional<std::string> percent_decoded(std::string_view text) {
  constexpr int kHex = 16;
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_digit(text[i + 1]);
    const int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * kHex + low);
    i += 2;
  }
  if (!is_utf8(out)) return std::nullopt;
  return out;
}

}  // namespace

Catalog::Catalog(const json& open_rpc) {
  const json methods = open_rpc.is_object() ? open_rpc.value("methods", json::array()) : json::array();
  for (const auto& method : methods) {
    if (const auto it = method.find("x-gantry-tool"); it != method.end())
      tools_.emplace(it->value("name", ""), read_tool(method, *it));
    if (const auto it = method.find("x-gantry-prompt"); it != method.end())
      prompts_.emplace(it->value("name", ""), read_prompt(method, *it));
    const auto it = method.find("x-gantry-resource");
    if (it == method.end()) continue;
    if (it->contains("uri")) {
      resources_.emplace(it->value("uri", ""), read_resource(method, *it));
    } else {
      templates_.emplace(it->value("uriTemplate", ""), read_resource(method, *it));
    }
  }
}

const ToolEntry* Catalog::tool(std::string_view name) const {
  const auto it = tools_.find(name);
  return it == tools_.end() ? nullptr : &it->second;
}

const PromptEntry* Catalog::prompt(std::string_view name) const {
  const auto it = prompts_.find(name);
  return it == prompts_.end() ? nullptr : &it->second;
}

std::optional<FoundResource> Catalog::resource(std::string_view uri) const {
  if (const auto it = resources_.find(uri); it != resources_.end()) return FoundResource{&it->second};
  for (const auto& [uri_template, entry] : templates_) {
    if (auto variables = match_template(uri_template, uri)) return FoundResource{&entry, std::move(*variables)};
  }
  return std::nullopt;
}

const ResourceEntry* Catalog::resource_template(std::string_view uri_template) const {
  const auto it = templates_.find(uri_template);
  return it == templates_.end() ? nullptr : &it->second;
}

std::vector<std::string> Catalog::topics() const {
  std::set<std::string> topics;
  for (const auto* entries : {&resources_, &templates_}) {
    for (const auto& [uri, entry] : *entries) {
      if (!entry.changes.empty()) topics.insert(entry.changes);
    }
  }
  return {topics.begin(), topics.end()};
}

std::string Catalog::fingerprint(List list) const {
  switch (list) {
    case List::tools:
      return digest(tools_);
    case List::prompts:
      return digest(prompts_);
    case List::resources:
    case List::templates:
      break;
  }
  return digest(resources_) + digest(templates_);
}

Result<json> Catalog::page(List list, const Revision& revision, const std::string& cursor) const {
  std::size_t from = 0;
  const std::string mark = "." + fingerprint(list).substr(0, 16);
  if (!cursor.empty()) {
    const auto [end, failed] = std::from_chars(cursor.data(), cursor.data() + cursor.size(), from);
    if (failed != std::errc() || std::string_view(end, cursor.data() + cursor.size()) != mark)
      return fail(ErrorKind::invalid_params, "the cursor is not of this list, or the list has changed; begin anew");
  }
  const auto take = [&](const char* member, const auto& entries) {
    json out{{member, json::array()}};
    std::size_t at = 0;
    for (const auto& [key, entry] : entries) {
      if (at >= from && at < from + kPage) out[member].push_back(in_words_of(revision, entry.listed));
      ++at;
    }
    if (from + kPage < entries.size()) out["nextCursor"] = std::to_string(from + kPage) + mark;
    return out;
  };
  switch (list) {
    case List::tools:
      return take("tools", tools_);
    case List::resources:
      return take("resources", resources_);
    case List::templates:
      return take("resourceTemplates", templates_);
    case List::prompts:
      break;
  }
  return take("prompts", prompts_);
}

std::optional<json> match_template(std::string_view uri_template, std::string_view uri) {
  json variables = json::object();
  while (true) {
    const auto brace = uri_template.find('{');
    const std::string_view text = uri_template.substr(0, brace);
    if (!uri.starts_with(text)) return std::nullopt;
    uri.remove_prefix(text.size());
    if (brace == std::string_view::npos) break;
    const auto close = uri_template.find('}', brace);
    std::string_view name = uri_template.substr(brace + 1, close - brace - 1);
    const bool slashes = name.starts_with('+');
    if (slashes) name.remove_prefix(1);
    uri_template.remove_prefix(close + 1);
    // The text behind a variable ends its value; the last text is the end of the URI.
    const auto next = uri_template.find('{');
    const std::string_view behind = uri_template.substr(0, next);
    auto end = uri.find(behind);
    if (next == std::string_view::npos)
      end = uri.ends_with(behind) ? uri.size() - behind.size() : std::string_view::npos;
    if (end == std::string_view::npos || end == 0) return std::nullopt;
    const std::string_view raw = uri.substr(0, end);
    if (raw.find_first_of(slashes ? "?#" : "/?#") != std::string_view::npos) return std::nullopt;
    auto value = percent_decoded(raw);
    if (!value) return std::nullopt;
    variables[std::string(name)] = std::move(*value);
    uri.remove_prefix(end);
  }
  if (!uri.empty()) return std::nullopt;
  return variables;
}

}  // namespace gantry::host::mcp
