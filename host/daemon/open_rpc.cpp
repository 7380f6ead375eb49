// SPDX-License-Identifier: Apache-2.0
#include "host/daemon/open_rpc.hpp"

#include <algorithm>
#include <utility>

namespace gantry::host {

namespace {

// Required ones come first, as OpenRPC wants it.
[[nodiscard]] json open_rpc_params(const json& schema) {
  const json properties = schema.value("properties", json::object());
  const json required = schema.value("required", json::array());
  json first = json::array();
  json second = json::array();
  for (const auto& [name, property] : properties.items()) {
    const bool needed = std::find(required.begin(), required.end(), name) != required.end();
    json entry{{"name", name}, {"required", needed}, {"schema", property}};
    if (property.is_object() && property.contains("description")) entry["description"] = property["description"];
    (needed ? first : second).push_back(std::move(entry));
  }
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

void put(json& entry, const char* member, const std::string& text) {
  if (!text.empty()) entry[member] = text;
}

void put_offers(json& entry, const ManifestMethod& m) {
  const auto& offers = m.offers;
  if (const auto& tool = offers.tool) {
    json& out = entry["x-gantry-tool"] = {{"name", tool->name}, {"annotations", tool->annotations}};
    out["inputSchema"] = m.params;  // `params` above has only the properties
    put(out, "title", tool->title);
    put(out, "description", tool->description);
    if (tool->content) out["content"] = true;
    if (tool->logs) out["logs"] = true;
  }
  if (const auto& resource = offers.resource) {
    json& out = entry["x-gantry-resource"] = {{"name", resource->name}};
    put(out, "uri", resource->uri);
    put(out, "uriTemplate", resource->uri_template);
    put(out, "title", resource->title);
    put(out, "description", resource->description);
    put(out, "mimeType", resource->mime_type);
    put(out, "changes", resource->changes);
    put(out, "completes", resource->completes);
  }
  if (const auto& prompt = offers.prompt) {
    json& out = entry["x-gantry-prompt"] = {{"name", prompt->name}};
    put(out, "title", prompt->title);
    put(out, "description", prompt->description);
    put(out, "completes", prompt->completes);
  }
}

[[nodiscard]] json open_rpc_method(const ManifestMethod& m) {
  json entry{{"name", m.name},
             {"paramStructure", "by-name"},
             {"params", open_rpc_params(m.params)},
             {"result", {{"name", "result"}, {"schema", m.result}}}};
  if (!m.summary.empty()) entry["summary"] = m.summary;
  for (const ErrorKind kind : m.errors)
    entry["errors"].push_back({{"code", static_cast<std::int32_t>(kind)}, {"message", kind_name(kind)}});
  if (m.stream) entry["x-gantry-stream"] = true;
  if (m.attach) entry["x-gantry-attach"] = true;
  if (m.idempotent) entry["x-gantry-idempotent"] = true;
  if (!m.item.empty()) entry["x-gantry-item"] = m.item;
  put_offers(entry, m);
  return entry;
}

}  // namespace

json open_rpc(const std::vector<ManifestMethod>& methods, std::string_view version) {
  json entries = json::array();
  for (const auto& m : methods) entries.push_back(open_rpc_method(m));
  return json{{"openrpc", "1.3.2"}, {"info", {{"title", "Gantry"}, {"version", version}}}, {"methods", entries}};
}

}  // namespace gantry::host
