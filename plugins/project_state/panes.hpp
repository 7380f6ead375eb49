// SPDX-License-Identifier: Apache-2.0
//
// panes.hpp: panes, which belong to a session: {id, rev, session_id, kind: "terminal" | "editor", title?, path?, cwd?,
// attributes{}}. The session and the kind are set when the pane is created.
//
// Thread rule: one thread, the store's.
// Bounds: title 1 KiB, path and cwd 4 KiB, attributes 1 MiB and 64 levels deep; 1,000 panes in a session.
#pragma once

#include "plugins/project_state/documents.hpp"

namespace gantry::state {

inline constexpr std::size_t kMaxPanes = 1000;

[[nodiscard]] const DocumentType& pane_type();
/// `too_large`: the session has kMaxPanes.
[[nodiscard]] Result<void> check_room_for_pane(Database& db, const std::string& session);
[[nodiscard]] Result<json> create_pane(Transaction& tx, const std::string& session, const std::string& kind,
                                       const json& fields);
/// What shows it in its session's layout goes with it.
[[nodiscard]] Result<json> delete_pane(Transaction& tx, const std::string& id, std::optional<std::uint64_t> rev);

}  // namespace gantry::state
