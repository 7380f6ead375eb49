// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/opening.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "plugins/project_state/checks.hpp"

namespace gantry::state {

namespace {

constexpr std::size_t kKeptBeforeMigration = 100;
constexpr std::uint64_t kCheckedEvents = 10'000;  // of the newest, whose checksums a start after a crash compares

}  // namespace

std::unexpected<Error> not_yet_open(const Backup& backup, const Error& why) {
  return fail(why.kind, "the backup " + backup.file + " was put back, and cannot be opened yet: " + why.message);
}

Opening::~Opening() {
  if (db_ != nullptr) db_->poison();  // nothing of a half-checked file is to be checkpointed
}

std::unexpected<Error> Opening::damaged(const std::string& what) {
  damage_ = what;
  return fail(ErrorKind::storage_failed, "state.db is damaged: " + what);
}

/// Whatever step meets damage, it is damage.
Result<Opened> Opening::connect() {
  auto opened = try_to_connect();
  if (!opened && !damage_ && db_ != nullptr && db_->damaged()) damage_ = opened.error().message;
  return opened;
}

Result<Opened> Opening::open() {
  auto opened = connect();
  return opened || !damage_ ? std::move(opened) : recover(*std::exchange(damage_, std::nullopt));
}

/// The ladder: the damaged database is moved away, the newest backup that is sound takes its place, or else nothing
/// does; either way the log has a new epoch, and says so. A backup that cannot be looked at now is waited for.
Result<Opened> Opening::recover(const std::string& reason) {
  const auto all = list_backups(folder_);
  if (!all) return std::unexpected(all.error());
  for (const auto& backup : *all) {
    const auto damage = check_backup(folder_, backup);
    if (!damage) return std::unexpected(damage.error());
    if (!*damage) return replace(reason, backup);
    log_(Level::error, "the backup " + backup.file + " cannot be used: " + **damage);
  }
  return replace(reason, std::nullopt);
}

// What may fail for want of anything comes before the database is moved away. The mark keeps a crash on the way from
// being a clean start.
Result<Opened> Opening::replace(const std::string& reason, const std::optional<Backup>& backup) {
  if (db_ != nullptr) db_->poison();
  db_.reset();
  if (backup) {
    if (auto ok = stage(folder_, *backup); !ok) return std::unexpected(ok.error());
  }
  const auto moved = quarantine(folder_, wall_ms_);
  if (!moved) return std::unexpected(moved.error());
  const json report{{"reason", reason},
                    {"backup", backup ? json(backup->file) : json()},
                    {"lost_after_seq", backup ? backup->seq : 0},
                    {"quarantine", *moved}};
  auto done = write_recovery_mark(folder_, dump_json(report));
  if (done && backup) done = use_staged(folder_);
  if (!done) {
    (void)remove_recovery_mark(folder_);
    undo_quarantine(folder_, *moved);
    return std::unexpected(done.error());
  }
  auto connected = connect();
  if (!connected && damage_) {
    // What was just checked and copied is damaged again: the disk is not to be trusted.
    return fail(ErrorKind::unavailable, folder_ + "/state.db is damaged, and so is what was put in its place (" +
                                            *std::exchange(damage_, std::nullopt) + "); look at the disk");
  }
  if (!connected && backup) return not_yet_open(*backup, connected.error());
  return connected;
}

Result<Opened> Opening::try_to_connect() {
  const std::string file = folder_ + "/state.db";
  const auto recovering = read_recovery_mark(folder_);
  if (!recovering) return std::unexpected(recovering.error());
  const auto& recovery = *recovering;
  const auto identity = read_identity(folder_);
  if (!identity) return std::unexpected(identity.error());
  // A recovery that found no backup begins with nothing.
  const bool starts_empty =
      recovery && parse_json(*recovery).value_or(json::object()).value("backup", json()).is_null();
  const auto content = look(file, identity->has_value() && !starts_empty);
  if (!content) return std::unexpected(content.error());
  const auto mark = read_clean_mark(folder_);
  if (!mark) return std::unexpected(mark.error());
  const auto& clean = *mark;
  if (auto ok = configure(file, *content); !ok) return std::unexpected(ok.error());
  const bool check = (!clean || recovery || checks_all_) && *content == Content::ours;
  if (check) {
    const auto damage = find_damaged_pages(*db_);
    if (!damage) return std::unexpected(damage.error());
    if (*damage) return damaged(**damage);
  }
  if (*content == Content::ours && schema_of(*db_) < kSchemaVersion) {
    const auto backup = make_backup(folder_, wall_ms_, kKeptBeforeMigration);
    if (!backup) return std::unexpected(backup.error());
    log_(Level::info, "state.db is migrated to schema " + std::to_string(kSchemaVersion) + "; before that it was " +
                          "copied to backups/" + backup->file);
  }
  if (auto ok = migrate(*db_, random_id(), wall_ms_); !ok) return std::unexpected(ok.error());
  if (check) {
    const auto damage =
        find_damaged_rows(*db_, checks_all_ ? std::numeric_limits<std::uint64_t>::max() : kCheckedEvents);
    if (!damage) return std::unexpected(damage.error());
    if (*damage) return damaged(**damage);
  }
  if (auto ok = settle_identity(*identity, recovery.has_value() && *content == Content::empty); !ok)
    return std::unexpected(ok.error());
  return Opened{std::move(db_), *content == Content::ours, clean, recovery};
}

Result<void> Opening::configure(const std::string& file, Content content) {
  if (content == Content::empty) {
    // Freed pages can be given back later; this must be chosen before the first table.
    if (auto ok = db_->exec("PRAGMA auto_vacuum = INCREMENTAL"); !ok) return ok;
  }
  // One connection reads, writes and checkpoints; FULL makes each commit an fsync of the log; nothing is mapped.
  if (auto ok = db_->exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                          "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;"
                          "PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 1000;"
                          "PRAGMA journal_size_limit = 16777216");
      !ok)
    return ok;
  add_checksums(*db_);
  Query mode(*db_, "PRAGMA journal_mode");
  const auto row = mode.next();
  if (!row) return std::unexpected(row.error());
  if (*row && mode.text(0) == "wal") return {};
  return fail(ErrorKind::unavailable, file +
                                          " lies on a file system without shared memory; SQLite's write-ahead "
                                          "log needs a local one: set $GANTRY_STATE_DIR");
}

/// `anew`: what was here is lost, and a new store takes its place.
Result<void> Opening::settle_identity(const std::optional<std::string>& identity, bool anew) {
  std::string store_id;
  {
    Query q(*db_, "SELECT store_id FROM store WHERE id = 1");
    const auto row = q.next();
    if (!row) return std::unexpected(row.error());
    if (*row) store_id = q.text(0);
  }
  if (!identity || anew) return write_identity(folder_, store_id);
  if (*identity == store_id) return {};
  return fail(ErrorKind::unavailable,
              folder_ + "/state.db is another store than " + folder_ +
                  "/state.identity names; if you put it there on purpose, remove state.identity "
                  "and start again");
}

Result<Content> Opening::look(const std::string& file, bool has_identity) {
  struct stat info{};
  const bool exists = ::lstat(file.c_str(), &info) == 0;
  if (!exists && errno != ENOENT) {
    return fail(ErrorKind::storage_failed,
                "cannot look at " + file + "; see that the folder is readable for this user");
  }
  if (exists && !S_ISREG(info.st_mode)) {
    return fail(ErrorKind::unavailable, file + " is no regular file; move it away and start again");
  }
  if (has_identity && (!exists || info.st_size == 0))
    return damaged(exists ? "the file is empty, yet a store has been here"
                          : "the file is missing, yet a store has been here");
  if (!exists) {
    // SQLite would create it by the umask; its -wal and -shm files take after it.
    const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
      return fail(ErrorKind::storage_failed, "cannot create " + file + ": " + std::strerror(errno) +
                                                 "; make the state folder writable for this user and try again");
    }
    ::close(fd);
  }
  auto db =
      Database::open(file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW);
  if (!db) return std::unexpected(db.error());
  db_ = std::move(*db);
  sqlite3_busy_timeout(db_->handle(), 2000);
  sqlite3_db_config(db_->handle(), SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  auto content = identify(*db_, file);
  if (!content) return content;
  if (*content == Content::empty && has_identity) return damaged("it holds nothing, yet a store has been here");
  return content;
}

}  // namespace gantry::state
