// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/lsp/answers.hpp: one answer of the answers of several language servers.
//
// An item that its server may be asked about again carries the server's number in its `data`, around the server's own.
//
// Source: LSP 3.18.
// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <gantry/json.hpp>
#include <optional>
#include <string_view>
#include <vector>

namespace gantry::host {

/// The result of one server.
struct ServerResult {
  std::size_t server = 0;
  json result;
  json commit_characters{};  ///< that accept any item of its completions; null: none
};

/// The answers to these are merged: completion, code actions, references, and the diagnostics and colors of a document.
[[nodiscard]] bool is_merged(std::string_view method);
/// These are asked of the next server if the first has nothing to say.
[[nodiscard]] bool falls_back(std::string_view method);
/// Null, an empty list or object, a hover without words, signature help without signatures, an edit of nothing.
[[nodiscard]] bool says_nothing(const json& result);

/// In the order of `results`. For a method of is_merged().
[[nodiscard]] json merged_result(std::string_view method, std::vector<ServerResult> results);

void mark(json& item, std::size_t server);
/// Whose item it is, which then has its own `data` again; nothing: it was not marked.
[[nodiscard]] std::optional<std::size_t> unmark(json& item);

}  // namespace gantry::host
