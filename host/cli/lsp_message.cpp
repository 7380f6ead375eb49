// SPDX-License-Identifier: Apache-2.0
#include "host/cli/lsp_message.hpp"

#include <algorithm>
#include <gantry/file_uri.hpp>
#include <utility>

namespace gantry::host {

namespace {

/// Steps over the members of one object, large ones too, and over what is wrong inside of them.
class Members {
 public:
  explicit Members(std::string_view text) : rest_(text) { skip_space(); }

  /// The next member's raw name and value. False: there is none, or nobody can tell.
  [[nodiscard]] bool next(std::string_view& name, std::string_view& value) {
    if (rest_.empty() || (rest_.front() != '{' && rest_.front() != ',')) return false;
    rest_.remove_prefix(1);
    skip_space();
    name = take(string_size());
    skip_space();
    if (name.empty() || !rest_.starts_with(':')) return false;
    rest_.remove_prefix(1);
    skip_space();
    value = take(value_size());
    skip_space();
    return !value.empty();
  }

 private:
  void skip_space() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size())); }
  [[nodiscard]] std::string_view take(std::size_t size) {
    const auto out = rest_.substr(0, size);
    rest_.remove_prefix(out.size());
    return out;
  }
  // Of the string that begins at `at`; 0: none does, or it does not end.
  [[nodiscard]] std::size_t string_size(std::size_t at = 0) const {
    if (at >= rest_.size() || rest_[at] != '"') return 0;
    for (auto end = rest_.find('"', at + 1); end != std::string_view::npos; end = rest_.find('"', end + 1)) {
      std::size_t slashes = 0;
      while (rest_[end - slashes - 1] == '\\') ++slashes;
      if (slashes % 2 == 0) return end + 1 - at;
    }
    return 0;
  }
  [[nodiscard]] std::size_t value_size() const {
    if (rest_.starts_with('"')) return string_size();
    if (!rest_.starts_with('{') && !rest_.starts_with('['))
      return std::min(rest_.find_first_of(",}] \t\r\n"), rest_.size());
    std::size_t depth = 0;
    for (std::size_t at = 0; (at = rest_.find_first_of("\"{}[]", at)) != std::string_view::npos;) {
      if (rest_[at] == '"') {
        const auto size = string_size(at);
        if (size == 0) return 0;
        at += size;
        continue;
      }
      depth += rest_[at] == '{' || rest_[at] == '[' ? 1 : -1;
      ++at;
      if (depth == 0) return at;
    }
    return 0;
  }
  std::string_view rest_;
};

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
  Members members(message);
  std::string_view name, value;
  while (members.next(name, value)) {
    if (name == "\"method\"" || name == "\"id\"") {
      const auto doc = parse_json(value);
      if (name == "\"id\"" && ((doc && doc->is_string()) || is_number(value))) head.id = value;
      if (name == "\"method\"" && doc && doc->is_string()) head.method = *doc;
    }
  }
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
