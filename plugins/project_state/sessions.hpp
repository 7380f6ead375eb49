// SPDX-License-Identifier: Apache-2.0
//
// sessions.hpp: development sessions: {id, rev, name, roots[], branch?, open_files[], attributes{},
// created_ms, updated_ms}. Panes, a layout and turns belong to one, and are deleted with it.
//
// `rev` starts at 1 and grows by one with each change, the deletion included. Ids are the store's,
// 128 random bits.
//
// Thread rule: one thread, the store's.
// Bounds: name and branch 1 KiB, 256 roots and 10,000 open files of 4 KiB each, attributes 1 MiB and
//   64 levels deep, a whole session 2 MiB.
#pragma once

#include "plugins/project_state/documents.hpp"

namespace gantry::state {

[[nodiscard]] const DocumentType& session_type();
/// With all that belongs to it, one event each. `conflict`: one of its turns executes.
[[nodiscard]] Result<json> delete_session(Transaction& tx, const std::string& id, std::optional<std::uint64_t> rev);

}  // namespace gantry::state
