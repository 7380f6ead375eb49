// SPDX-License-Identifier: Apache-2.0
//
// tool_schema.hpp: the arguments and the schemas that the tools have in common.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <gantry/params.hpp>
#include <gantry/plugin.hpp>
#include <string>

#include "plugins/lsp/tools/tool_call.hpp"

namespace gantry::lsp {

inline constexpr std::int64_t kDefaultWaitMs = 20'000;
inline constexpr std::int64_t kMostLines = 10'000'000;

/// Reads path, language and wait_ms. The path stays as it was named until settle_path().
[[nodiscard]] ToolArgs read_common(Params& p, std::string workspace);
/// Reads cursor and max_tokens.
void read_budget(Params& p, ToolArgs& out);
/// Makes the path absolute; a relative one begins at the workspace.
[[nodiscard]] Result<void> settle_path(ToolArgs& args);

[[nodiscard]] json described(const char* type, const char* what);
/// Of a line or a column.
[[nodiscard]] json counted(const char* what);
/// A schema of params that has these, and those that every tool takes.
[[nodiscard]] json params_of(json own, json required = json::array());
/// The same, with what names a place: line, column and symbol.
[[nodiscard]] json pointing(json own = json::object());
/// The members of a place in an answer.
[[nodiscard]] json place(json own = json::object());
/// A schema of an answer that is a page of items.
[[nodiscard]] json page_of_items(json item, json own = json::object());
[[nodiscard]] json named(json own = json::object());
/// The options of a method that changes nothing.
[[nodiscard]] MethodOptions reading(const char* title, std::string summary, json params, json result);

}  // namespace gantry::lsp
