// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace gantry::state {

namespace {

constexpr std::uint64_t kPruneSteps = 256;  // rows at most that one commit prunes from each table

[[nodiscard]] Result<Ledger> read_ledger(Database& db) {
  Query q(db,
          "SELECT epoch, seq, floor, sessions, settings, data_bytes, log_bytes, mutations, mutation_bytes FROM store "
          "WHERE id = 1");
  const auto row = q.next();
  if (!row) return std::unexpected(row.error());
  if (!*row) {
    db.poison();
    return fail(ErrorKind::unavailable, "state.db is damaged: its `store` row is gone; restore a copy of it");
  }
  return Ledger{q.text(0),  q.count(1), q.count(2), q.count(3), q.count(4),
                q.count(5), q.count(6), q.count(7), q.count(8)};
}

[[nodiscard]] Result<void> write_ledger(Database& db, const Ledger& l) {
  Query q(db,
          "UPDATE store SET seq = ?, floor = ?, sessions = ?, settings = ?, data_bytes = ?, log_bytes = ?, "
          "mutations = ?, mutation_bytes = ? WHERE id = 1",
          l.seq, l.floor, l.sessions, l.settings, l.data_bytes, l.log_bytes, l.mutations, l.mutation_bytes);
  return q.run();
}

/// Empty: this mutation is new.
[[nodiscard]] Result<std::optional<std::string>> recall(Database& db, const Mutation& mutation) {
  Query q(db, "SELECT body, result FROM mutations WHERE client = ? AND mutation = ?", mutation.client, mutation.id);
  const auto row = q.next();
  if (!row) return std::unexpected(row.error());
  if (!*row) return std::nullopt;
  if (q.text(0) == mutation.body) return q.text(1);
  return fail(ErrorKind::conflict,
              "mutation " + mutation.id + " of client \"" + mutation.client +
                  "\" was already used, with another body; give each change a mutation_id of its own");
}

[[nodiscard]] Result<void> remember(Transaction& tx, const Mutation& mutation, const std::string& result) {
  const std::uint64_t bytes = result.size() + mutation.client.size() + mutation.id.size();
  Query q(tx.db, "INSERT INTO mutations (at_ms, client, mutation, body, result, bytes) VALUES (?, ?, ?, ?, ?, ?)",
          tx.now.mutation_ms, mutation.client, mutation.id, mutation.body, result, bytes);
  ++tx.ledger.mutations;
  tx.ledger.mutation_bytes += bytes;
  return q.run();
}

[[nodiscard]] Result<void> prune_events(Transaction& tx) {
  auto& l = tx.ledger;
  std::uint64_t floor = l.floor;
  {
    Query q(tx.db, "SELECT seq, bytes FROM events ORDER BY seq LIMIT ?", kPruneSteps);
    while (l.seq - floor > tx.limits.max_events || l.log_bytes > tx.limits.max_log_bytes) {
      const auto row = q.next();
      if (!row) return std::unexpected(row.error());
      if (!*row || q.count(0) == l.seq) break;  // the newest has yet to be sent
      floor = q.count(0);
      l.log_bytes -= q.count(1);
    }
  }
  if (floor == l.floor) return {};
  l.floor = floor;
  Query q(tx.db, "DELETE FROM events WHERE seq <= ?", floor);
  return q.run();
}

[[nodiscard]] Result<void> prune_mutations(Transaction& tx) {
  auto& l = tx.ledger;
  std::uint64_t up_to = 0;
  {
    Query q(tx.db, "SELECT n, bytes, at_ms FROM mutations ORDER BY n LIMIT ?", kPruneSteps);
    while (l.mutations > 0) {
      const auto row = q.next();
      if (!row) return std::unexpected(row.error());
      if (!*row) break;
      const bool old = q.integer(2) < tx.now.mutation_ms - tx.limits.mutation_keep_ms;
      if (!old && l.mutations <= tx.limits.max_mutations && l.mutation_bytes <= tx.limits.max_mutation_bytes) break;
      up_to = q.count(0);
      --l.mutations;
      l.mutation_bytes -= q.count(1);
    }
  }
  if (up_to == 0) return {};
  Query q(tx.db, "DELETE FROM mutations WHERE n <= ?", up_to);
  return q.run();
}

}  // namespace

Result<void> Transaction::append(std::string_view topic, json payload) {
  if (mutation_ != nullptr) payload["cause"] = mutation_->cause;
  const std::string text = dump_json(payload);
  changed_ = true;
  ++ledger.seq;
  ledger.log_bytes += text.size();
  Query q(db, "INSERT INTO events (seq, at_ms, topic, payload, bytes) VALUES (?, ?, ?, ?, ?)", ledger.seq, now.wall_ms,
          topic, text, static_cast<std::uint64_t>(text.size()));
  return q.run();
}

Result<void> Transaction::resize(std::uint64_t before, std::uint64_t after) {
  ledger.data_bytes = ledger.data_bytes - before + after;
  if (after <= before || ledger.data_bytes <= limits.max_data_bytes) return {};
  return fail(ErrorKind::too_large, "sessions and settings may hold " + std::to_string(limits.max_data_bytes) +
                                        " bytes in all; delete some, or raise [state] max_data_mib");
}

// ---- commands and reads ------------------------------------------------------------------------------------------

Result<std::string> Store::commit(const Command& command) {
  if (auto ok = ensure_open(); !ok) return std::unexpected(ok.error());
  if (auto ok = check_wal(); !ok) return std::unexpected(ok.error());
  auto result = attempt(command);
  drop_if_poisoned();
  return result;
}

// What a reader still sees cannot be moved from the log into the database, however old it is.
Result<void> Store::check_wal() {
  const auto most = options_.limits.max_data_bytes + options_.limits.max_log_bytes;
  const std::string file = folder_ + "/state.db-wal";
  std::error_code none;
  const auto size = std::filesystem::file_size(file, none);
  if (none || size < most / 4) {
    wal_is_noted_ = false;
    return {};
  }
  const std::string why = "another program reads " + folder_ + "/state.db and keeps its write-ahead log (" +
                          std::to_string(size >> 20) + " MiB) from being emptied; close that program";
  if (!std::exchange(wal_is_noted_, true)) options_.log(Level::warn, why);
  if (size < most) return {};
  Query q(*db_, "PRAGMA wal_checkpoint(PASSIVE)");
  const auto row = q.next();
  if (!row) return std::unexpected(row.error());
  if (*row && q.integer(0) == 0 && q.integer(1) == q.integer(2)) return {};  // the next commit begins anew
  return fail(ErrorKind::storage_failed, why);
}

Result<std::string> Store::attempt(const Command& command) {
  // Deferred transactions that write after reading fail with BUSY_SNAPSHOT at once; immediate ones wait.
  if (auto ok = db_->exec("BEGIN IMMEDIATE"); !ok) return std::unexpected(ok.error());
  struct Rollback {
    Database& db;
    ~Rollback() {
      if (db.in_transaction()) (void)db.exec("ROLLBACK");
    }
  } rollback{*db_};

  const Mutation* mutation = command.mutation ? &*command.mutation : nullptr;
  if (mutation != nullptr) {
    auto known = recall(*db_, *mutation);
    if (!known) return std::unexpected(known.error());
    if (*known) return std::move(**known);
  }
  auto ledger = read_ledger(*db_);
  if (!ledger) return std::unexpected(ledger.error());
  Transaction tx(*db_, options_.limits, std::move(*ledger), mutation, now());

  auto result = command.apply(tx);
  if (!result) return std::unexpected(result.error());
  std::string text = dump_json(*result);
  // A change that altered nothing is remembered all the same: its repeat, later, must not alter something.
  if (!tx.changed() && mutation == nullptr) return text;

  auto done = [&]() -> Result<void> {
    if (mutation != nullptr) {
      if (auto ok = remember(tx, *mutation, text); !ok) return ok;
    }
    if (auto ok = prune_events(tx); !ok) return ok;
    if (auto ok = prune_mutations(tx); !ok) return ok;
    if (auto ok = write_ledger(*db_, tx.ledger); !ok) return ok;
    return db_->exec("COMMIT");
  }();
  if (!done) return std::unexpected(done.error());
  head_ = CleanMark{tx.ledger.epoch, tx.ledger.seq};
  return text;
}

Result<std::string> Store::read(const std::function<Result<json>(Database&, const Ledger&)>& body) {
  auto now = ledger();
  if (!now) return std::unexpected(now.error());
  auto result = body(*db_, *now);
  drop_if_poisoned();
  if (!result) return std::unexpected(result.error());
  return dump_json(*result);
}

Result<Ledger> Store::ledger() {
  if (auto ok = ensure_open(); !ok) return std::unexpected(ok.error());
  auto now = read_ledger(*db_);
  drop_if_poisoned();
  return now;
}

Result<std::vector<LoggedEvent>> Store::events_after(std::uint64_t seq, std::uint64_t limit) {
  if (auto ok = ensure_open(); !ok) return std::unexpected(ok.error());
  auto events = [&]() -> Result<std::vector<LoggedEvent>> {
    std::vector<LoggedEvent> found;
    Query q(*db_, "SELECT seq, topic, payload FROM events WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit);
    while (true) {
      const auto row = q.next();
      if (!row) return std::unexpected(row.error());
      if (!*row) return found;
      auto payload = parse_json(q.text(2));
      if (!payload) return fail(ErrorKind::storage_failed, "event " + std::to_string(q.count(0)) + " is damaged");
      found.push_back(LoggedEvent{q.count(0), q.text(1), std::move(*payload)});
    }
  }();
  drop_if_poisoned();
  return events;
}

void Store::drop_if_poisoned() {
  if (db_ == nullptr || !db_->poisoned()) return;
  options_.log(Level::error,
               "state.db can no longer be trusted through this connection; it is opened and checked anew");
  db_.reset();
  lock_.reset();
}

// ---- opening and closing -----------------------------------------------------------------------------------------

Result<void> Store::ensure_open() {
  if (db_ != nullptr && db_->moved()) {
    options_.log(Level::error, folder_ + "/state.db was moved or deleted while it was in use");
    db_->poison();
    drop_if_poisoned();
  }
  if (db_ != nullptr) return {};
  const auto folder = prepare_folder(options_.folder);
  if (!folder) return std::unexpected(folder.error());
  auto lock = FolderLock::take(*folder);
  if (!lock) return std::unexpected(lock.error());
  lock_.emplace(std::move(*lock));
  auto connected = connect(*folder);
  if (!connected) {
    if (db_ != nullptr) db_->poison();  // nothing of a half-checked file is to be checkpointed
    db_.reset();
    lock_.reset();
    return connected;
  }
  folder_ = *folder;
  return {};
}

Result<void> Store::connect(const std::string& folder) {
  const std::string file = folder + "/state.db";
  const auto identity = read_identity(folder);
  if (!identity) return std::unexpected(identity.error());
  const auto content = look(file, identity->has_value());
  if (!content) return std::unexpected(content.error());
  const auto clean = read_clean_mark(folder);

  if (*content == Content::empty) {
    // Freed pages can be given back later; this must be chosen before the first table.
    if (auto ok = db_->exec("PRAGMA auto_vacuum = INCREMENTAL"); !ok) return ok;
  }
  // One connection reads, writes and checkpoints; FULL makes each commit an fsync of the log; nothing is mapped.
  if (auto ok = db_->exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                          "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;"
                          "PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 1000;"
                          "PRAGMA journal_size_limit = 16777216");
      !ok) {
    return ok;
  }
  {
    Query mode(*db_, "PRAGMA journal_mode");
    const auto row = mode.next();
    if (!row) return std::unexpected(row.error());
    if (!*row || mode.text(0) != "wal") {
      return fail(ErrorKind::unavailable, file +
                                              " lies on a file system without shared memory; SQLite's write-ahead "
                                              "log needs a local one: set $GANTRY_STATE_DIR");
    }
  }
  if (!clean && *content == Content::ours) {
    if (auto ok = check(file); !ok) return ok;
  }
  if (auto ok = migrate(*db_, random_id(), options_.wall_ms()); !ok) return ok;
  if (auto ok = set_mutation_clock(); !ok) return ok;

  std::string store_id;
  {
    Query q(*db_, "SELECT store_id FROM store WHERE id = 1");
    const auto row = q.next();
    if (!row) return std::unexpected(row.error());
    if (*row) store_id = q.text(0);
  }
  if (*identity && **identity != store_id) {
    return fail(ErrorKind::unavailable,
                file + " is another store than " + folder +
                    "/state.identity names; if you put it there on purpose, remove state.identity "
                    "and start again");
  }
  if (!*identity) {
    if (auto ok = write_identity(folder, store_id); !ok) return ok;
  }
  if (auto ok = settle_lineage(*content == Content::ours ? clean : std::nullopt); !ok) return ok;
  return clean ? remove_clean_mark(folder) : Result<void>();
}

Result<Content> Store::look(const std::string& file, bool has_identity) {
  struct stat info{};
  const bool exists = ::lstat(file.c_str(), &info) == 0;
  if (!exists && errno != ENOENT) {
    return fail(ErrorKind::storage_failed,
                "cannot look at " + file + "; see that the folder is readable for this user");
  }
  if (exists && !S_ISREG(info.st_mode)) {
    return fail(ErrorKind::unavailable, file + " is no regular file; move it away and start again");
  }
  const std::string start_empty =
      "; put a copy of it back, or, to start with an empty store, remove state.identity beside it";
  if (has_identity && (!exists || info.st_size == 0)) {
    return fail(ErrorKind::unavailable,
                file + (exists ? " is empty" : " is missing") + ", yet a store has been here" + start_empty);
  }
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
  if (!content) {
    if (!db_->damaged()) return content;
    return fail(ErrorKind::unavailable, content.error().message);
  }
  if (*content == Content::empty && has_identity) {
    return fail(ErrorKind::unavailable, file + " holds nothing, yet a store has been here" + start_empty);
  }
  return content;
}

/// The clock of the mutations goes on from the newest of them: it stands still while the store is closed, and knows
/// nothing of the time of day, which may be set to any other at any moment.
Result<void> Store::set_mutation_clock() {
  Query q(*db_, "SELECT at_ms FROM mutations ORDER BY n DESC LIMIT 1");
  const auto row = q.next();
  if (!row) return std::unexpected(row.error());
  mutation_offset_ms_ = (*row ? q.integer(0) : 0) - options_.steady_ms();
  return {};
}

/// After a crash: is the file sound, and the log without a hole?
Result<void> Store::check(const std::string& file) {
  const auto damaged = [&](const std::string& how) {
    return fail(ErrorKind::unavailable, file + " is damaged: " + how + "; move the folder away and restore a copy");
  };
  {
    Query q(*db_, "PRAGMA quick_check(3)");
    const auto row = q.next();
    if (!row) return db_->damaged() ? damaged(row.error().message) : Result<void>(std::unexpected(row.error()));
    if (!*row || q.text(0) != "ok") return damaged(*row ? q.text(0) : "no answer to quick_check");
  }
  const auto ledger = read_ledger(*db_);
  if (!ledger) return db_->damaged() ? damaged(ledger.error().message) : std::unexpected(ledger.error());
  Query q(*db_, "SELECT count(*), coalesce(max(seq), ?1), coalesce(min(seq), ?1 + 1) FROM events", ledger->seq);
  const auto row = q.next();
  if (!row) return std::unexpected(row.error());
  if (!*row || q.count(0) != ledger->seq - ledger->floor || q.count(1) != ledger->seq ||
      q.count(2) != ledger->floor + 1) {
    return damaged("its log of events has a hole");
  }
  return {};
}

/// A store that is behind what was acknowledged (an old copy was put back, a disk lied) is another log from here on:
/// its epoch changes, so that nobody resumes from a sequence number that means something else now.
Result<void> Store::settle_lineage(const std::optional<CleanMark>& clean) {
  auto now = read_ledger(*db_);
  if (!now) return std::unexpected(now.error());
  const auto behind = [&](const CleanMark& known) {
    return !known.epoch.empty() && (known.epoch != now->epoch || known.seq > now->seq);
  };
  if ((clean && behind(*clean)) || behind(head_)) {
    options_.log(Level::error, "state.db ends at " + now->epoch + ":" + std::to_string(now->seq) +
                                   ", before what this folder has acknowledged; its log continues under a new epoch");
    now->epoch = random_id();
    Query q(*db_, "UPDATE store SET epoch = ? WHERE id = 1", now->epoch);
    if (auto ok = q.run(); !ok) return ok;
  }
  head_ = opened_at_ = CleanMark{now->epoch, now->seq};
  return {};
}

void Store::close() {
  if (db_ == nullptr) return;
  const auto last = read_ledger(*db_);
  const bool sound = last && !db_->poisoned();
  db_.reset();  // checkpoints
  if (sound) {
    if (auto ok = write_clean_mark(folder_, CleanMark{last->epoch, last->seq}); !ok) {
      options_.log(Level::warn, "the store is closed but not marked so, and will be checked at the next start: " +
                                    ok.error().message);
    }
  }
  lock_.reset();
}

}  // namespace gantry::state
