// SPDX-License-Identifier: Apache-2.0
//
// layouts.hpp: the layout of a session, one for each: {session_id, rev, root, nodes: {ID: {kind, parent?, order, size?,
// pane_id?}}}. Before its first update a layout is empty and at rev 0.
//
// A layout is a forest: each parent is a node, no node lies within itself, and `root` (null while there is none) names
// a node without a parent. A pane that a node shows exists, in the same session. Events carry layouts whole, because a
// merge patch could not carry what the client's own members mean by null.
//
// Thread rule: one thread, the store's.
// Bounds: 1,000 nodes; ids and kinds of 1 KiB.
#pragma once

#include <gantry/json.hpp>
#include <optional>
#include <string>

#include "plugins/project_state/transaction.hpp"

namespace gantry::state {

/// Checks the names and types in a patch of `root` and `nodes`.
[[nodiscard]] Result<void> check_layout_patch(const json& patch);
/// Checks a whole layout of this session.
[[nodiscard]] Result<void> check_layout(Database& db, const std::string& session, const json& layout);
[[nodiscard]] Result<json> get_layout(Database& db, const std::string& session);
[[nodiscard]] Result<json> update_layout(Transaction& tx, const std::string& session, std::optional<std::uint64_t> rev,
                                         const json& patch);
/// Removes the nodes that show this pane; nothing changes where there are none. What lay within such a node lies
/// within its parent then.
[[nodiscard]] Result<void> drop_from_layout(Transaction& tx, const std::string& session, const std::string& pane);

}  // namespace gantry::state
