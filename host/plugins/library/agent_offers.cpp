// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/library/agent_offers.hpp"

#include <algorithm>
#include <array>
#include <gantry/params.hpp>
#include <utility>

#include "host/bus/topic.hpp"

namespace gantry::host {

namespace {

[[nodiscard]] std::unexpected<Error> wrong(std::string why) { return fail(ErrorKind::invalid_params, std::move(why)); }

[[nodiscard]] bool is_lower_word(std::string_view name) {
  constexpr std::size_t kMaxName = 64;
  return !name.empty() && name.size() <= kMaxName &&
         std::ranges::all_of(name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

[[nodiscard]] std::string default_name(std::string method) {
  for (char& c : method) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (!is_lower_word({&c, 1})) c = '_';
  }
  return method;
}

[[nodiscard]] Result<void> check_name(const char* kind, const std::string& name) {
  if (is_lower_word(name)) return {};
  return wrong(std::string(kind) + " name \"" + name + "\" must have 1 to 64 characters of a-z, 0-9 and _");
}

[[nodiscard]] bool has_scheme(std::string_view uri) {
  const auto colon = uri.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == uri.size()) return false;
  return std::ranges::all_of(uri.substr(0, colon), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '.' || c == '-';
  });
}

[[nodiscard]] bool is_object_schema(const json& schema) {
  return schema.empty() || schema.value("type", json()) == "object";
}

[[nodiscard]] Result<json> parse_annotations(const json& given) {
  Params p(given);
  json out = json::object();
  out["readOnlyHint"] = p.boolean_or("readOnlyHint", false);
  const bool read_only = out["readOnlyHint"].get<bool>();
  out["destructiveHint"] = p.boolean_or("destructiveHint", !read_only);
  out["idempotentHint"] = p.boolean_or("idempotentHint", false);
  out["openWorldHint"] = p.boolean_or("openWorldHint", true);
  if (auto ok = p.done(); !ok) return wrong("annotations: " + ok.error().message);
  if (read_only && out["destructiveHint"].get<bool>())
    return wrong("annotations: readOnlyHint and destructiveHint contradict each other");
  return out;
}

[[nodiscard]] Result<ToolOffer> parse_tool(const json& entry, const OfferedMethod& method) {
  Params p(entry);
  ToolOffer tool;
  tool.name = p.string_or("name", default_name(method.name));
  tool.title = p.string_or("title", "");
  tool.description = p.string_or("description", method.summary);
  tool.content = p.boolean_or("content", false);
  tool.logs = p.boolean_or("logs", false);
  const json annotations = p.maybe_object("annotations").value_or(json::object());
  if (auto ok = p.done(); !ok) return wrong("tool: " + ok.error().message);
  if (auto ok = check_name("tool", tool.name); !ok) return std::unexpected(ok.error());
  auto hints = parse_annotations(annotations);
  if (!hints) return wrong("tool " + tool.name + ": " + hints.error().message);
  tool.annotations = std::move(*hints);
  if (!is_object_schema(method.params))
    return wrong("tool " + tool.name + ": the schema of its params is of no object");
  if (!tool.content && !is_object_schema(method.result))
    return wrong("tool " + tool.name + ": the schema of its result is of no object");
  if (tool.logs && !method.stream) return wrong("tool " + tool.name + ": `logs` is for methods that are streams");
  return tool;
}

[[nodiscard]] Result<ResourceOffer> parse_resource(const json& entry, const OfferedMethod& method) {
  Params p(entry);
  ResourceOffer resource;
  resource.uri = p.string_or("uri", "");
  resource.uri_template = p.string_or("uri_template", "");
  resource.name = p.string_or("name", method.name);
  resource.title = p.string_or("title", "");
  resource.description = p.string_or("description", method.summary);
  resource.mime_type = p.string_or("mime_type", "");
  resource.changes = p.string_or("changes", "");
  resource.completes = p.string_or("completes", "");
  if (auto ok = p.done(); !ok) return wrong("resource: " + ok.error().message);
  if (resource.uri.empty() == resource.uri_template.empty())
    return wrong("resource " + resource.name + ": it has either `uri` or `uri_template`");
  const std::string& uri = resource.uri.empty() ? resource.uri_template : resource.uri;
  if (!has_scheme(uri)) return wrong("resource \"" + uri + "\" must begin with a scheme, in lower case");
  if (auto variables = template_variables(resource.uri_template); !variables)
    return wrong("resource \"" + uri + "\": " + variables.error().message);
  if (!resource.changes.empty() && !check_topic(resource.changes))
    return wrong("resource \"" + uri + "\": changes is no topic");
  return resource;
}

[[nodiscard]] Result<PromptOffer> parse_prompt(const json& entry, const OfferedMethod& method) {
  Params p(entry);
  PromptOffer prompt;
  prompt.name = p.string_or("name", default_name(method.name));
  prompt.title = p.string_or("title", "");
  prompt.description = p.string_or("description", method.summary);
  prompt.completes = p.string_or("completes", "");
  if (auto ok = p.done(); !ok) return wrong("prompt: " + ok.error().message);
  if (auto ok = check_name("prompt", prompt.name); !ok) return std::unexpected(ok.error());
  const json properties = method.params.value("properties", json::object());
  for (const auto& [name, schema] : properties.items()) {
    if (!schema.is_object() || schema.value("type", json()) != "string")
      return wrong("prompt " + prompt.name + ": its argument " + name + " must be a string");
  }
  return prompt;
}

}  // namespace

std::vector<std::string> AgentOffers::labels() const {
  std::vector<std::string> out;
  if (tool) out.push_back("tool " + tool->name);
  if (resource) out.push_back("resource " + (resource->uri.empty() ? resource->uri_template : resource->uri));
  if (prompt) out.push_back("prompt " + prompt->name);
  return out;
}

Result<AgentOffers> parse_agent_offers(const json& entry, const OfferedMethod& method) {
  AgentOffers offers;
  if (const auto it = entry.find("tool"); it != entry.end()) {
    auto tool = parse_tool(*it, method);
    if (!tool) return std::unexpected(tool.error());
    offers.tool = std::move(*tool);
  }
  if (const auto it = entry.find("resource"); it != entry.end()) {
    auto resource = parse_resource(*it, method);
    if (!resource) return std::unexpected(resource.error());
    offers.resource = std::move(*resource);
  }
  if (const auto it = entry.find("prompt"); it != entry.end()) {
    auto prompt = parse_prompt(*it, method);
    if (!prompt) return std::unexpected(prompt.error());
    offers.prompt = std::move(*prompt);
  }
  return offers;
}

Result<std::vector<std::string>> template_variables(std::string_view uri_template) {
  std::vector<std::string> names;
  bool touches = false;  // the text before ends with a variable
  while (!uri_template.empty()) {
    const auto brace = uri_template.find_first_of("{}");
    if (brace == std::string_view::npos) break;
    const auto close = uri_template.find('}', brace);
    if (uri_template[brace] == '}' || close == std::string_view::npos) return wrong("a brace has no partner");
    if (touches && brace == 0) return wrong("two variables have no text between them");
    std::string_view name = uri_template.substr(brace + 1, close - brace - 1);
    if (name.starts_with('+')) name.remove_prefix(1);  // it may hold slashes
    const bool is_word = !name.empty() && std::ranges::all_of(name, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    });
    if (!is_word) return wrong("\"" + std::string(name) + "\" is no name of letters, digits and _");
    if (name == "uri" || name == "_meta" || std::ranges::find(names, name) != names.end())
      return wrong("a variable is named \"uri\" or \"_meta\", or two have one name");
    names.emplace_back(name);
    uri_template.remove_prefix(close + 1);
    touches = true;
  }
  return names;
}

}  // namespace gantry::host
