// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/lsp/published.hpp"

#include <algorithm>
#include <gantry/file_uri.hpp>
#include <utility>

#include "host/protocols/lsp/json_parts.hpp"

namespace gantry::host {

namespace {

// An editor may send a diagnostic back with more or less than it was given.
[[nodiscard]] bool is_same(const json& one, const json& other) {
  return std::ranges::all_of(std::initializer_list<const char*>{"range", "message", "code", "source"},
                             [&](const char* const member) { return part(one, member) == part(other, member); });
}

// Servers spell one document's URI differently.
[[nodiscard]] std::string key_of(const std::string& uri) {
  const auto path = to_path(uri);
  return path ? *path : uri;
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
  pulled_.at(server).clear();
  for (const auto& [key, gone] : std::exchange(servers_.at(server), {}))
    out.push_back({{"uri", gone.uri}, {"diagnostics", all(key)}});
  return out;
}

void PublishedDiagnostics::pulled(std::size_t server, const std::string& uri, const json& report) {
  const auto keep = [&](const std::string& key, const json& items) {
    auto& documents = pulled_.at(server);
    documents.erase(key);
    if (items.is_array() && !items.empty() && documents.size() < kMaxDocuments) documents[key] = {uri, items};
  };
  if (part(report, "kind") == json("full")) keep(key_of(uri), part(report, "items"));
  const auto& related = part(report, "relatedDocuments");
  if (!related.is_object()) return;
  for (const auto& [other, its] : related.items()) {
    if (part(its, "kind") == json("full")) keep(key_of(other), part(its, "items"));
  }
}

bool PublishedDiagnostics::has(std::size_t server, const std::string& key, const json& diagnostic) const {
  for (const auto* const all : {&servers_[server], &pulled_[server]}) {
    const auto it = all->find(key);
    if (it == all->end()) continue;
    if (std::ranges::any_of(it->second.diagnostics, [&](const json& each) { return is_same(each, diagnostic); }))
      return true;
  }
  return false;
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
