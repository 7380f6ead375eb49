// SPDX-License-Identifier: Apache-2.0
//
// backups.hpp: copies of the database that have been checked, and what is done with one that is damaged.
//
//   backups/state-NUMBER-TIME-SEQ.db
//                              a copy as of one commit; the newest has the highest NUMBER; TIME in UTC
//   quarantine/TIME/           state.db, state.db-wal and state.db-shm of a store that was damaged; the user deletes it
//
// Thread rule: one thread for a folder at a time, but for list_backups().
// Errors: `storage_failed`: the disk; nothing is half there.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <gantry/result.hpp>
#include <optional>
#include <string>
#include <vector>

#include "plugins/project_state/checks.hpp"

namespace gantry::state {

struct Backup {
  std::string file;  ///< its name in the folder backups/
  std::uint64_t seq = 0;
  std::uint64_t bytes = 0;
  std::uint64_t number = 0;  ///< grows with each backup
  [[nodiscard]] json shown() const { return {{"file", file}, {"seq", seq}, {"bytes", bytes}}; }
};

/// Copies the database of `folder` as it is now, checks the copy, and deletes the oldest beyond `keep`. Blocks for as
/// long as reading and writing all of it takes; commits go on meanwhile.
[[nodiscard]] Result<Backup> make_backup(const std::string& folder, std::int64_t wall_ms, std::size_t keep);
/// The newest event of the database.
[[nodiscard]] Result<std::uint64_t> newest_seq(const std::string& folder);
/// The newest first; unchecked.
[[nodiscard]] Result<std::vector<Backup>> list_backups(const std::string& folder);
/// Why the backup cannot be used. An error: that cannot be known now (no descriptors, no permission).
[[nodiscard]] Result<Damage> check_backup(const std::string& folder, const Backup& backup);

/// Copies the backup beside the database.
[[nodiscard]] Result<void> stage(const std::string& folder, const Backup& backup);
/// What was staged becomes the database; there must be none.
[[nodiscard]] Result<void> use_staged(const std::string& folder);
/// Moves the database away; returns where to, below `folder`. Does nothing where there is none. After an error the
/// database is where it was.
[[nodiscard]] Result<std::string> quarantine(const std::string& folder, std::int64_t wall_ms);
/// Undoes quarantine() with what that has returned.
void undo_quarantine(const std::string& folder, const std::string& from);

}  // namespace gantry::state
