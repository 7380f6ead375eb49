// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/standing.hpp"

#include "plugins/lsp/documents.hpp"
#include "plugins/lsp/envelope.hpp"

namespace gantry::lsp {

namespace {

[[nodiscard]] std::string no_diagnostics(const std::string& uri) {
  return R"({"jsonrpc":"2.0","method":"textDocument/publishDiagnostics","params":{"uri":)" + uri +
         R"(,"diagnostics":[]}})";
}

}  // namespace

void Standing::follow(std::string_view method, std::string_view params) {
  if (method == "$/progress") {
    const std::string token(member(params, "token"));
    const auto kind = member(member(params, "value"), "kind");
    if (kind == R"("end")") progress_.erase(token);
    if (kind == R"("begin")" && !token.empty() && progress_.size() < kMaxProgress) progress_.insert(token);
    return;
  }
  if (method == "textDocument/publishDiagnostics") {
    const std::string uri(member(params, "uri"));
    if (!uri.starts_with('"') || uri.size() > kMaxUri) return;
    if (is_empty_array(member(params, "diagnostics"))) {
      diagnosed_.erase(uri);
    } else if (diagnosed_.size() < kMaxDiagnosed) {
      diagnosed_.insert(uri);
    }
    return;
  }
  const bool begins = method == "client/registerCapability";
  const auto all = parse_json(member(params, begins ? "registrations" : "unregisterations"));  // spelt so
  if (!all || !all->is_array()) return;
  for (const auto& each : *all) {
    if (!each.is_object() || !each.contains("id") || !each["id"].is_string()) continue;
    const std::string id = each["id"];
    if (!begins) {
      registrations_.erase(id);
    } else if (each.contains("method") && each["method"].is_string() && registrations_.size() < kMaxRegistrations) {
      registrations_.insert_or_assign(id, each["method"].get<std::string>());
    }
  }
}

std::vector<std::string> Standing::end(const std::string& id) {
  std::vector<std::string> out;
  for (const auto& token : progress_)
    out.push_back(R"({"jsonrpc":"2.0","method":"$/progress","params":{"token":)" + token +
                  R"(,"value":{"kind":"end","message":"the language server is restarted"}}})");
  json all = json::array();
  for (const auto& [registration, method] : registrations_) all.push_back({{"id", registration}, {"method", method}});
  if (!all.empty())
    out.push_back(R"({"jsonrpc":"2.0","id":)" + id +
                  R"(,"method":"client/unregisterCapability","params":{"unregisterations":)" + dump_json(all) + "}}");
  for (const auto& uri : diagnosed_) out.push_back(no_diagnostics(uri));
  progress_.clear();
  registrations_.clear();
  diagnosed_.clear();
  return out;
}

std::vector<std::string> Standing::withdraw(const std::string& key) {
  std::vector<std::string> out;
  std::erase_if(diagnosed_, [&](const std::string& raw) {
    const auto uri = parse_json(raw);
    const bool same = uri && uri->is_string() && document_key(uri->get_ref<const std::string&>()) == key;
    if (same) out.push_back(no_diagnostics(raw));
    return same;
  });
  return out;
}

json Standing::suspend() const {
  return {{"progress", progress_}, {"registrations", registrations_}, {"diagnosed", diagnosed_}};
}

void Standing::restore(const json& suspended) {
  progress_ = suspended.at("progress").get<std::set<std::string>>();
  registrations_ = suspended.at("registrations").get<std::map<std::string, std::string>>();
  diagnosed_ = suspended.value("diagnosed", std::set<std::string>());  // absent: of a build that did not follow them
}

}  // namespace gantry::lsp
