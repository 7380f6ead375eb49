// SPDX-License-Identifier: Apache-2.0
//
// history.hpp: the state as it was after any event that the log goes back to.
//
// With each event the log has what undoes it: nothing (the object was not there), the body before, or a merge patch
// that leads back; of an object at most fifteen patches lie between two bodies. So an object as of `seq` is the first
// body that a later event has kept, or the body of today, with the patches before that undone.
//
// Thread rule: that of the Database.
// Bounds: a page of 1,000 items or 4 MiB; a restore changes kMaxRestored objects.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <optional>
#include <string>

#include "plugins/project_state/pages.hpp"
#include "plugins/project_state/scope.hpp"
#include "plugins/project_state/transaction.hpp"

namespace gantry::state {

inline constexpr std::size_t kMaxRestored = 5000;  // so many fit into the event of the whole

/// `object` as it is now; returns it as it was after the event `seq`, without a body if it was not there.
[[nodiscard]] Result<Object> object_at(Database& db, Object object, std::uint64_t seq);

/// {seq, items, next_cursor?, epoch}: the objects of the scope as of `seq`, in the order of creation; those of a
/// session's scope say their `type`. `not_found` with {floor}: the log does not go back that far; `invalid_params`: it
/// has not come that far.
[[nodiscard]] Result<json> state_at(Database& db, const Ledger& ledger, std::uint64_t seq, const std::string& scope,
                                    const PageOf& page);
/// {changes: [{type, id, before?, after?}], next_cursor?, epoch, seq}: what differs between two points of the log.
[[nodiscard]] Result<json> state_diff(Database& db, const Ledger& ledger, std::uint64_t from, std::uint64_t to,
                                      const std::string& scope, const PageOf& page);
/// Makes the objects of the scope what they were, by new events; turns are left as they are. {changes}, as above.
/// `conflict`: a session would be deleted that has turns, or an object would belong to nothing.
[[nodiscard]] Result<json> restore_state(Transaction& tx, std::uint64_t seq, const std::string& scope, bool dry_run);

// Checkpoints: names for points of the log. {checkpoint: {name, seq, at_ms, kept}}; `kept`: the log still goes back to
// it.
[[nodiscard]] Result<json> create_checkpoint(Transaction& tx, const std::string& name);
[[nodiscard]] Result<json> delete_checkpoint(Transaction& tx, const std::string& name);
[[nodiscard]] Result<json> list_checkpoints(Database& db, const Ledger& ledger);

}  // namespace gantry::state
