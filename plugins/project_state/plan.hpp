// SPDX-License-Identifier: Apache-2.0
//
// plan.hpp: the plan of a turn: any JSON value, to whose hash an approval is bound.
//
// The hash is the lower-case SHA-256 of the plan in canonical form (RFC 8785), so that whoever has the same plan has
// the same hash, in any language. Only I-JSON (RFC 7493) has a canonical form: numbers that a double cannot hold
// exactly (integers beyond 2^53 - 1) and names that stand twice in an object are refused.
//
// Thread rule: pure functions.
// Bounds: 1 MiB of canonical JSON, 64 levels.
#pragma once

#include <gantry/json.hpp>
#include <string>
#include <string_view>

namespace gantry::state {

inline constexpr std::size_t kMaxPlan = 1 << 20;

/// Checks the members `plan` in a JSON text, where what was written can still be seen: a document has lost the names
/// that stood there twice. `level`: in how many objects and arrays they are. `invalid_params`.
[[nodiscard]] Result<void> check_plans_in(std::string_view text, std::size_t level);
/// `too_large`; null is `invalid_params`.
[[nodiscard]] Result<void> check_plan(const json& plan);

/// RFC 8785. `value` is I-JSON.
[[nodiscard]] std::string canonical_json(const json& value);
/// 64 hexadecimal digits.
[[nodiscard]] std::string sha256(std::string_view bytes);
[[nodiscard]] inline std::string plan_hash(const json& plan) { return sha256(canonical_json(plan)); }

}  // namespace gantry::state
