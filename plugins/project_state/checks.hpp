// SPDX-License-Identifier: Apache-2.0
//
// checks.hpp: is a database sound? SQLite's own check sees a damaged structure; the checksums of rows see bytes that
// were changed within it.
//
// Errors: `storage_failed`: it could not be read now. Damage is no error but the result.
// Thread rule: that of the Database.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "plugins/project_state/objects.hpp"
#include "plugins/project_state/sqlite.hpp"

namespace gantry::state {

/// What is damaged, for people; empty: nothing.
using Damage = std::optional<std::string>;

/// The checksum of a row of the log.
[[nodiscard]] std::uint32_t event_checksum(std::uint64_t seq, std::string_view topic, std::string_view payload,
                                           const std::optional<std::string>& undo);
/// seq, topic, payload, undo and checksum of a row of the log, as columns 0 to 4.
#define GANTRY_EVENT_COLUMNS "seq, topic, payload, undo, crc"
/// `storage_failed`: the row at which `q` stands, whose first columns are these, is damaged; the connection knows then.
[[nodiscard]] Result<void> check_event(const Query& q);
/// Gives SQL the functions object_checksum(type, id, parent, rev, body) and event_checksum(seq, topic, payload, undo).
void add_checksums(Database& db);

/// The structure of the file: of any schema.
[[nodiscard]] Result<Damage> find_damaged_pages(Database& db);
/// The rows: of the present schema. Of the log the newest `events`, and whether there is a hole.
[[nodiscard]] Result<Damage> find_damaged_rows(Database& db, std::uint64_t events);
/// The chain of approvals: each entry has its own hash, and the hash of the entry before.
[[nodiscard]] Result<Damage> find_broken_audit(Database& db);

}  // namespace gantry::state
