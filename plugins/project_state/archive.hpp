// SPDX-License-Identifier: Apache-2.0
//
// archive.hpp: takes objects of an archive (docs/state.md, "Archives") into the store: each is checked as if a caller
// had made it, and written by new events.
//
// A turn's approval does not travel: a plan that was approved there is proposed here, and what was executing is
// interrupted under a new fence. So an archive cannot make anything be carried out.
//
// Thread rule: one thread, the store's.
// Bounds: kMaxRestored objects at once.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <optional>
#include <string_view>

#include "plugins/project_state/transaction.hpp"

namespace gantry::state {

/// What becomes of an object that is there already, and is another than the archive's.
enum class OnConflict : std::uint8_t {
  refuse,   ///< nothing is imported: `conflict`
  keep,     ///< it stays
  replace,  ///< it becomes what the archive says; a turn stays
};
/// Empty: no such word.
[[nodiscard]] std::optional<OnConflict> on_conflict_of(std::string_view word);

/// `objects`: of {type, object}, or the JSON text of that, in an order in which each finds what it belongs to:
/// sessions, panes, layouts, settings, turns. {created, replaced, kept, unchanged}: how many. `dry_run`: only counts.
/// Errors have the `index` of the entry in their data.
[[nodiscard]] Result<json> import_objects(Transaction& tx, const json& objects, OnConflict on_conflict, bool dry_run);

}  // namespace gantry::state
