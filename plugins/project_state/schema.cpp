// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/schema.hpp"

#include <array>

#include "plugins/project_state/folder.hpp"

namespace gantry::state {

namespace {

// `store` has one row: the head of the log (`seq`), the last seq that was pruned (`floor`), and what the bounds count.
// A setting whose value is NULL was deleted: its rev lives on.
constexpr const char* kVersion1 = R"(
  CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, applied_ms INTEGER NOT NULL) STRICT;
  CREATE TABLE store (
    id INTEGER PRIMARY KEY CHECK (id = 1), store_id TEXT NOT NULL, epoch TEXT NOT NULL,
    seq INTEGER NOT NULL DEFAULT 0, floor INTEGER NOT NULL DEFAULT 0,
    sessions INTEGER NOT NULL DEFAULT 0, settings INTEGER NOT NULL DEFAULT 0, data_bytes INTEGER NOT NULL DEFAULT 0,
    log_bytes INTEGER NOT NULL DEFAULT 0,
    mutations INTEGER NOT NULL DEFAULT 0, mutation_bytes INTEGER NOT NULL DEFAULT 0) STRICT;
  CREATE TABLE sessions (
    created_seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, rev INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
  CREATE TABLE settings (
    n INTEGER PRIMARY KEY, scope TEXT NOT NULL, key TEXT NOT NULL, value TEXT, rev INTEGER NOT NULL,
    changed_seq INTEGER NOT NULL, UNIQUE (scope, key)) STRICT;
  CREATE INDEX settings_deleted ON settings (changed_seq) WHERE value IS NULL;
  CREATE TABLE events (
    seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, topic TEXT NOT NULL, payload TEXT NOT NULL, bytes INTEGER NOT NULL) STRICT;
  CREATE TABLE mutations (
    n INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, client TEXT NOT NULL, mutation TEXT NOT NULL,
    body TEXT NOT NULL, result TEXT NOT NULL, bytes INTEGER NOT NULL, UNIQUE (client, mutation)) STRICT;
)";

constexpr std::array<const char*, kSchemaVersion> kSteps{kVersion1};

[[nodiscard]] Result<std::int64_t> pragma(Database& db, const char* sql) {
  Query query(db, sql);
  const auto row = query.next();
  if (!row) return std::unexpected(row.error());
  return *row ? query.integer(0) : 0;
}

[[nodiscard]] Result<void> apply_step(Database& db, std::int64_t version, const std::string& store_id,
                                      std::int64_t now_ms) {
  if (auto ok = db.exec("BEGIN IMMEDIATE"); !ok) return ok;
  const auto body = [&]() -> Result<void> {
    if (auto ok = db.exec(kSteps[static_cast<std::size_t>(version - 1)]); !ok) return ok;
    if (version == 1) {
      Query store(db, "INSERT INTO store (id, store_id, epoch) VALUES (1, ?, ?)", store_id, random_id());
      if (auto ok = store.run(); !ok) return ok;
    }
    Query note(db, "INSERT INTO schema_migrations (version, applied_ms) VALUES (?, ?)", version, now_ms);
    if (auto ok = note.run(); !ok) return ok;
    const std::string mark = "PRAGMA application_id = " + std::to_string(kApplicationId) +
                             "; PRAGMA user_version = " + std::to_string(version);
    return db.exec(mark.c_str());
  };
  auto done = body();
  if (done) done = db.exec("COMMIT");
  if (!done && db.in_transaction()) (void)db.exec("ROLLBACK");
  return done;
}

}  // namespace

Result<Content> identify(Database& db, const std::string& file) {
  const auto application = pragma(db, "PRAGMA application_id");
  if (!application) return std::unexpected(application.error());
  const auto version = pragma(db, "PRAGMA user_version");
  if (!version) return std::unexpected(version.error());
  const auto objects = pragma(db, "SELECT count(*) FROM sqlite_schema");
  if (!objects) return std::unexpected(objects.error());
  if (*application == 0 && *version == 0 && *objects == 0) return Content::empty;
  if (*application != kApplicationId) {
    return fail(ErrorKind::unavailable, file + " belongs to another program (application_id " +
                                            std::to_string(*application) +
                                            "); move it away, or use another state folder");
  }
  if (*version > kSchemaVersion) {
    return fail(ErrorKind::unavailable, file + " has schema " + std::to_string(*version) +
                                            ", written by a newer Gantry; this one knows up to " +
                                            std::to_string(kSchemaVersion) +
                                            ": run the newer one, or use another state folder");
  }
  return Content::ours;
}

Result<void> migrate(Database& db, const std::string& store_id, std::int64_t now_ms) {
  const auto version = pragma(db, "PRAGMA user_version");
  if (!version) return std::unexpected(version.error());
  for (std::int64_t next = *version + 1; next <= kSchemaVersion; ++next) {
    if (auto ok = apply_step(db, next, store_id, now_ms); !ok) return ok;
  }
  return {};
}

}  // namespace gantry::state
