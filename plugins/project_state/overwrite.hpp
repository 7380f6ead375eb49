// SPDX-License-Identifier: Apache-2.0
//
// overwrite.hpp: writes an object that is known as a whole (from the past, from an archive) over what there is of the
// object now, with the event that its type has.
//
// Thread rule: one thread, the store's.
#pragma once

#include <cstdint>
#include <gantry/result.hpp>
#include <optional>

#include "plugins/project_state/transaction.hpp"

namespace gantry::state {

/// `now`: the row, which may have no body or none before (rev 0); `then`: id, parent and body, which is there.
/// A turn that is there is not to be overwritten. `due_ms`: as Change has it. `conflict`: the session of `then` does
/// not exist.
[[nodiscard]] Result<void> overwrite(Transaction& tx, Object now, const Object& then,
                                     std::optional<std::int64_t> due_ms = std::nullopt);

}  // namespace gantry::state
