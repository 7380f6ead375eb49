// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/schema.hpp"

#include <array>

#include "plugins/project_state/folder.hpp"
#include "plugins/project_state/objects.hpp"

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

// One table for all objects; with each event what undoes it. Of what was changed before, only the events are known.
constexpr const char* kVersion2 = R"(
  CREATE TABLE objects (
    n INTEGER PRIMARY KEY, type TEXT NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL DEFAULT '', rev INTEGER NOT NULL,
    body TEXT, created_seq INTEGER NOT NULL, changed_seq INTEGER NOT NULL, changed_ms INTEGER NOT NULL,
    crc INTEGER NOT NULL, due_ms INTEGER, UNIQUE (type, id)) STRICT;
  CREATE INDEX objects_by_type ON objects (type);
  CREATE INDEX objects_by_parent ON objects (parent) WHERE parent <> '';
  CREATE INDEX objects_deleted ON objects (changed_seq) WHERE body IS NULL;
  CREATE INDEX objects_due ON objects (due_ms) WHERE due_ms IS NOT NULL;
  CREATE TABLE checkpoints (name TEXT PRIMARY KEY, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL) STRICT;
  CREATE TABLE audit (n INTEGER PRIMARY KEY, entry TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
  INSERT INTO objects (type, id, rev, body, created_seq, changed_seq, changed_ms, crc)
    SELECT 'session', id, rev, body, created_seq, created_seq, body ->> '$.updated_ms',
           object_checksum('session', id, '', rev, body)
    FROM sessions ORDER BY created_seq;
  INSERT INTO objects (type, id, rev, body, created_seq, changed_seq, changed_ms, crc)
    SELECT 'setting', scope || char(10) || key, rev, value, 0, changed_seq, 0,
           object_checksum('setting', scope || char(10) || key, '', rev, value)
    FROM settings ORDER BY n;
  DROP TABLE sessions;
  DROP TABLE settings;

  ALTER TABLE events ADD COLUMN object INTEGER;
  ALTER TABLE events ADD COLUMN rev INTEGER;
  ALTER TABLE events ADD COLUMN undo_kind INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE events ADD COLUMN undo TEXT;
  ALTER TABLE events ADD COLUMN crc INTEGER NOT NULL DEFAULT 0;
  UPDATE events SET crc = event_checksum(seq, topic, payload, undo);
  CREATE INDEX events_by_object ON events (object, seq) WHERE object IS NOT NULL;

  ALTER TABLE store ADD COLUMN history_floor INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE store ADD COLUMN places INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE store ADD COLUMN forgotten_rev INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE store ADD COLUMN panes INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE store ADD COLUMN layouts INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE store ADD COLUMN turns INTEGER NOT NULL DEFAULT 0;
  UPDATE store SET history_floor = seq, places = (SELECT coalesce(max(n), 0) FROM objects),
    settings = (SELECT count(*) FROM objects WHERE type = 'setting' AND body IS NOT NULL);
)";

constexpr std::array<const char*, kSchemaVersion> kSteps{kVersion1, kVersion2};

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

std::int64_t schema_of(Database& db) { return pragma(db, "PRAGMA user_version").value_or(0); }

Result<void> migrate(Database& db, const std::string& store_id, std::int64_t now_ms) {
  const auto version = pragma(db, "PRAGMA user_version");
  if (!version) return std::unexpected(version.error());
  for (std::int64_t next = *version + 1; next <= kSchemaVersion; ++next) {
    if (auto ok = apply_step(db, next, store_id, now_ms); !ok) return ok;
  }
  return {};
}

}  // namespace gantry::state
