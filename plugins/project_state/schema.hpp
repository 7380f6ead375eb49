// SPDX-License-Identifier: Apache-2.0
//
// schema.hpp: what the tables of state.db are, and how older ones become them.
//
// The file says whose it is (application_id) and how it is laid out (user_version). Steps are numbered, go forward only
// and each is one transaction, so that a crash leaves the version before or the one after, never something between.
//
// Thread rule: one thread; the store's connection, outside a transaction.
#pragma once

#include <cstdint>
#include <string>

#include "plugins/project_state/sqlite.hpp"

namespace gantry::state {

inline constexpr std::int64_t kApplicationId = 0x474E5453;  // "GNTS"
inline constexpr std::int64_t kSchemaVersion = 1;

enum class Content { empty, ours };

/// Whose database it is; changes nothing. A foreign or newer one is `unavailable`.
[[nodiscard]] Result<Content> identify(Database& db, const std::string& file);

/// Brings it to kSchemaVersion. A new store gets `store_id` and a new epoch.
[[nodiscard]] Result<void> migrate(Database& db, const std::string& store_id, std::int64_t now_ms);

}  // namespace gantry::state
