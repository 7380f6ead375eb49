// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/lsp/published.hpp"

#include <algorithm>
#include <gantry/file_uri.hpp>
#include <utility>

#include "host/protocols/lsp/json_parts.hpp"

namespace gantry::host {

namespace {
// Servers spell one document's URI differently.
[[nodiscard]] std::string key_of(const std::string& uri) {
  auto path = to_path(uri);
  return path ? std::move(*path) : uri;
}
}  // namespace

json PublishedDiagnostics::all(const std::string& key) const {
  json out = json::array();
  for (const auto& documents : servers_) {
    const auto it = documents.find(key);
    if (it == documents.end()) continue;
    out.insert(out.end(), it->second.diagnostics.begin(), it->second.diagnostics.end());
  }
  return out;
}

void PublishedDiagnostics::merge(std::size_t server, json& params) {
  const std::string uri = text(params, "uri");
  const std::string key = key_of(uri);
  auto& given = params["diagnostics"];
  if (!given.is_array()) given = json::array();
  auto& documents = servers_.at(server);
  documents.erase(key);
  if (!given.empty() && documents.size() < kMaxDocuments) {
    documents[key] = {uri, std::move(given)};
    given = all(key);
  } else {
    const json others = all(key);
    given.insert(given.end(), others.begin(), others.end());
  }
}

std::vector<json> PublishedDiagnostics::withdraw(std::size_t server) {
  std::vector<json> out;
  for (const auto& [key, gone] : std::exchange(servers_.at(server), {}))
    out.push_back({{"uri", gone.uri}, {"diagnostics", all(key)}});
  return out;
}

bool PublishedDiagnostics::has(std::size_t server, const std::string& key, const json& diagnostic) const {
  const auto it = servers_[server].find(key);
  if (it == servers_[server].end()) return false;
  const auto& known = it->second.diagnostics;
  return std::ranges::find(known, diagnostic) != known.end();
}

void PublishedDiagnostics::leave_own(std::size_t server, const std::string& uri, json& diagnostics) const {
  const std::string key = key_of(uri);
  json out = json::array();
  for (auto& each : diagnostics) {
    bool others = false;
    for (std::size_t i = 0; i < servers_.size(); ++i) others = others || (i != server && has(i, key, each));
    if (!others || has(server, key, each)) out.push_back(std::move(each));
  }
  diagnostics = std::move(out);
}

}  // namespace gantry::host
