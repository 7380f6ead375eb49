// SPDX-License-Identifier: Apache-2.0
//
// mutation.hpp: idempotent changes: `mutation: {client_id, mutation_id}` in the params of a change.
//
// A repeat is answered with the original result; the same id with another body is `conflict`. An
// idempotency key (in the message, or in `_meta`) alone has the same effect, under a client of its
// own; both at once are `invalid_params`. Only successes are remembered, for 24 h of the time in
// which the store is open, whatever the time of day is set to, and at most Limits::max_mutations of
// them in Limits::max_mutation_bytes.
//
// Thread rule: pure functions.
#pragma once

#include <gantry/params.hpp>
#include <gantry/plugin/call.hpp>
#include <optional>
#include <string_view>

#include "plugins/project_state/store.hpp"

namespace gantry::state {

/// Reads `mutation` from `params` (so that done() knows it). `place`: further input of the change,
/// besides its params.
[[nodiscard]] Result<std::optional<Mutation>> read_mutation(const Call& call, Params& params, std::string_view place);

}  // namespace gantry::state
