// SPDX-License-Identifier: Apache-2.0
//
// mutation.hpp: what makes a change idempotent: `mutation: {client_id, mutation_id}` in its params.
//
// A repeat is answered with the original result; the same id with another body is `conflict`. An idempotency key (in
// the message, or in `_meta`) alone does the same under a client of its own; both at once are `invalid_params`.
// Remembered are successes, for 24 h of the time in which the store is open, whatever the time of day is set to, and at
// most Limits::max_mutations of them in Limits::max_mutation_bytes.
//
// Thread rule: pure functions.
#pragma once

#include <gantry/params.hpp>
#include <gantry/plugin/call.hpp>
#include <optional>
#include <string_view>

#include "plugins/project_state/store.hpp"

namespace gantry::state {

/// Reads `mutation` from `params` (so that done() knows it). `place`: what else the change depends on, beside its
/// params.
[[nodiscard]] Result<std::optional<Mutation>> read_mutation(const Call& call, Params& params, std::string_view place);

}  // namespace gantry::state
