// SPDX-License-Identifier: Apache-2.0
//
// cleanup.hpp: the end of what nobody has touched for long: a session is stale when neither it nor anything that
// belongs to it has changed for so many days. One with a turn that executes is never stale.
//
// Thread rule: one thread, the store's.
// Bounds: kMaxStale sessions at once, those that were touched longest ago first, and no further ones once kMaxCleaned
//   objects are gone: so many fit into the event of the whole.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>

#include "plugins/project_state/transaction.hpp"

namespace gantry::state {

inline constexpr std::uint64_t kMaxStale = 1000;
inline constexpr std::size_t kMaxCleaned = 3000;

/// Deletes stale sessions as state.session.delete does. {sessions: [{id, name, touched_ms}]}; `dry_run`: only says
/// which.
[[nodiscard]] Result<json> clean_up(Transaction& tx, std::int64_t stale_days, bool dry_run);

}  // namespace gantry::state
