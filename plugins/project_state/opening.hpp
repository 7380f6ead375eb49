// SPDX-License-Identifier: Apache-2.0
//
// opening.hpp: opens the database of a store: looks what the file is, checks what was not closed in order, migrates.
//
// The ladder where it is damaged: the database is moved to quarantine/, the newest sound backup takes its place, or
// else nothing does. A mark in the folder keeps a crash on the way from being taken for a clean start.
//
// Thread rule: the store's. The folder is locked.
// Errors: `unavailable`: the database will not open by itself (a newer schema, another program's file, another store,
//   damage of what was put in its place); `storage_failed`: the disk.
#pragma once

#include <cstdint>
#include <functional>
#include <gantry/plugin/host.hpp>
#include <gantry/result.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "plugins/project_state/backups.hpp"
#include "plugins/project_state/folder.hpp"
#include "plugins/project_state/schema.hpp"
#include "plugins/project_state/sqlite.hpp"

namespace gantry::state {

struct Opened {
  std::unique_ptr<Database> db;
  bool has_store = false;               ///< else the database was empty
  std::optional<CleanMark> clean;       ///< its end was orderly
  std::optional<std::string> recovery;  ///< JSON: what was recovered, which the log does not say yet
};

/// The backup is in its place, and `why` it cannot be opened for now; whoever uses the store next tries again.
[[nodiscard]] std::unexpected<Error> not_yet_open(const Backup& backup, const Error& why);

/// For one attempt.
class Opening {
 public:
  using Log = std::function<void(Level, const std::string&)>;

  /// `checks_all`: somebody has met damage: each row is checked, however orderly the end was.
  Opening(std::string folder, std::int64_t wall_ms, Log log, bool checks_all = false)
      : folder_(std::move(folder)), wall_ms_(wall_ms), log_(std::move(log)), checks_all_(checks_all) {}
  Opening(const Opening&) = delete;
  Opening& operator=(const Opening&) = delete;
  ~Opening();

  [[nodiscard]] Result<Opened> open();
  /// Moves the database away and opens a copy of the backup in its place. After an error nothing has changed, or it is
  /// not_yet_open().
  [[nodiscard]] Result<Opened> replace(const std::string& reason, const std::optional<Backup>& backup);

 private:
  [[nodiscard]] Result<Opened> connect();
  [[nodiscard]] Result<Opened> try_to_connect();
  [[nodiscard]] Result<Opened> recover(const std::string& reason);
  [[nodiscard]] Result<Content> look(const std::string& file, bool has_identity);
  [[nodiscard]] Result<void> configure(const std::string& file, Content content);
  /// `anew`: what was here is lost, and a new store takes its place.
  [[nodiscard]] Result<void> settle_identity(const std::optional<std::string>& identity, bool anew);
  [[nodiscard]] std::unexpected<Error> damaged(const std::string& what);

  const std::string folder_;
  const std::int64_t wall_ms_;
  const Log log_;
  const bool checks_all_;
  std::unique_ptr<Database> db_;
  std::optional<std::string> damage_;
};

}  // namespace gantry::state
