// SPDX-License-Identifier: Apache-2.0
#include "host/cli/lsp_message.hpp"

#include <algorithm>
#include <gantry/file_uri.hpp>
#include <utility>

#include "host/protocols/rpc/loose_text.hpp"

namespace gantry::host {

namespace {

// Also one that no double holds, which the parser refuses.
[[nodiscard]] bool is_number(std::string_view token) {
  const auto mark = std::min(token.find_first_of("eE"), token.size());
  const auto mantissa = parse_json(token.substr(0, mark));
  if (!mantissa || !mantissa->is_number()) return false;
  if (mark == token.size()) return true;
  auto exponent = token.substr(mark + 1);
  if (exponent.starts_with('+') || exponent.starts_with('-')) exponent.remove_prefix(1);
  return !exponent.empty() && exponent.find_first_not_of("0123456789") == std::string_view::npos;
}

// What is no folder of this machine is the server's alone.
void add_folder(const json& uri, std::vector<std::string>& out) {
  if (auto path = to_path(uri.get<std::string>())) out.push_back(std::move(*path));
}

void add_folders(const json& folders, std::vector<std::string>& out) {
  if (!folders.is_array()) return;
  for (const auto& folder : folders) {
    if (!folder.is_object() || !folder.contains("uri") || !folder["uri"].is_string()) continue;
    add_folder(folder["uri"], out);
  }
}

}  // namespace

LspHead head_of(std::string_view message) {
  LspHead head;
  (void)each_loose_member(message, [&](std::string_view name, std::string_view value) {
    if (name != "method" && name != "id") return;
    const auto doc = parse_json(value);
    if (name == "id" && ((doc && doc->is_string()) || is_number(value))) head.id = value;
    if (name == "method" && doc && doc->is_string()) head.method = *doc;
  });
  return head;
}

std::vector<std::string> folders_of_initialize(const json& params) {
  std::vector<std::string> out;
  if (!params.is_object()) return out;
  add_folders(params.value("workspaceFolders", json()), out);
  if (!out.empty()) return out;
  for (const char* key : {"rootUri", "rootPath"}) {
    if (const json root = params.value(key, json()); out.empty() && root.is_string()) add_folder(root, out);
  }
  return out;
}

std::vector<std::string> folders_added(const json& params) {
  std::vector<std::string> out;
  const json event = params.is_object() ? params.value("event", json()) : json();
  if (event.is_object()) add_folders(event.value("added", json()), out);
  return out;
}

}  // namespace gantry::host
