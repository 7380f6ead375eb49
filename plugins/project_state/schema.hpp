// SPDX-License-Identifier: Apache-2.0
//
// schema.hpp: the tables of state.db, and the migration of older ones.
//
// The file says which program it belongs to (application_id) and its version (user_version). The
// steps of a migration are numbered, go forward only and are one transaction each, so that a crash
// leaves either the old version or the new one.
//
// Thread rule: one thread; the store's connection, outside a transaction.
#pragma once

#include <cstdint>
#include <string>

#include "plugins/project_state/sqlite.hpp"

namespace gantry::state {

inline constexpr std::int64_t kApplicationId = 0x474E5453;  // "GNTS"
inline constexpr std::int64_t kSchemaVersion = 2;

enum class Content { empty, ours };

/// Checks that the database belongs to Gantry; changes nothing. A foreign or newer one is
/// `unavailable`.
[[nodiscard]] Result<Content> identify(Database& db, const std::string& file);

/// The number of its schema; 0: none.
[[nodiscard]] std::int64_t schema_of(Database& db);

/// Migrates the database, which knows add_checksums(), to kSchemaVersion. A new store gets `store_id` and a new epoch.
[[nodiscard]] Result<void> migrate(Database& db, const std::string& store_id, std::int64_t now_ms);

}  // namespace gantry::state
