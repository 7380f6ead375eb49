// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/store.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "plugins/project_state/backups.hpp"
#include "plugins/project_state/turns.hpp"

namespace gantry::state {

namespace {

struct Rollback {
  Database& db;
  ~Rollback() {
    if (db.in_transaction()) (void)db.exec("ROLLBACK");
  }
};

}  // namespace

// ---- commands and reads ------------------------------------------------------------------------------------------

std::vector<Result<std::string>> Store::commit(std::span<const Command> commands) {
  const auto ready = [this]() -> Result<void> {
    if (auto ok = ensure_open(); !ok) return ok;
    return check_wal();
  }();
  if (!ready) return {commands.size(), std::unexpected(ready.error())};
  std::vector<Result<std::string>> results;
  results.reserve(commands.size());
  if (const auto done = attempt(commands, results); !done) {
    results.resize(commands.size(), std::unexpected(done.error()));
    for (auto& result : results) {
      if (result) result = std::unexpected(done.error());
    }
  }
  drop_if_poisoned();
  return results;
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

/// An error: nothing of all this was committed.
Result<void> Store::attempt(std::span<const Command> commands, std::vector<Result<std::string>>& results) {
  Span span(options_.profile, Profile::Thread::writer, "transaction");
  span.note("changes", commands.size());
  // Deferred transactions that write after reading fail with BUSY_SNAPSHOT at once; immediate ones wait.
  if (auto ok = db_->exec("BEGIN IMMEDIATE"); !ok) return ok;
  const Rollback rollback{*db_};
  auto before = read_ledger(*db_);
  if (!before) return std::unexpected(before.error());
  Transaction all(*db_, options_.limits, options_.turns, std::move(*before), nullptr, now());
  bool writes = false;
  std::vector<Transaction::Changed> changed;
  for (const auto& command : commands) {
    const Span one(options_.profile, Profile::Thread::writer, command.name);
    if (auto ok = Query(*db_, "SAVEPOINT command").run(); !ok) return ok;
    Kept kept = Kept::nothing;
    auto result = run(command, all.ledger, kept, changed);
    if (!db_->in_transaction()) return std::unexpected(result.error());  // SQLite has rolled all of it back
    writes = writes || kept == Kept::changes;
    if (!result || kept == Kept::undone) {
      if (auto ok = Query(*db_, "ROLLBACK TO command").run(); !ok) return ok;
    }
    if (auto ok = Query(*db_, "RELEASE command").run(); !ok) return ok;
    results.push_back(std::move(result));
  }
  if (!writes) return {};
  if (auto ok = prune(all); !ok) return ok;
  if (auto ok = write_ledger(*db_, all.ledger); !ok) return ok;
  if (auto ok = look_what_is_due(); !ok) return ok;
  {
    const Span sync(options_.profile, Profile::Thread::writer, "COMMIT");
    if (auto ok = db_->exec("COMMIT"); !ok) return ok;
  }
  span.note("seq", all.ledger.seq);
  head_ = CleanMark{all.ledger.epoch, all.ledger.seq};
  for (const auto& object : changed) {
    if (cache_.has(object.type, object.id)) refresh(object.type, object.id);
  }
  cache_.publish(head_.epoch, head_.seq);
  return {};
}

// An object that cannot be read now is not kept: who asks for it is told why.
void Store::refresh(Type type, const std::string& id) {
  std::shared_ptr<const std::string> text;
  if (const auto object = live_object(*db_, type, id)) {
    if (const auto shown = show_object(*object)) text = std::make_shared<const std::string>(dump_json(*shown));
  }
  cache_.put(type, id, std::move(text));
}

void Store::keep(const std::vector<std::pair<Type, std::string>>& objects) {
  if (db_ == nullptr) return;
  for (const auto& [type, id] : objects) {
    if (!cache_.has(type, id)) refresh(type, id);
  }
  cache_.publish(head_.epoch, head_.seq);
  drop_if_poisoned();
}

Result<std::string> Store::run(const Command& command, Ledger& ledger, Kept& kept,
                               std::vector<Transaction::Changed>& changed) {
  const Mutation* mutation = command.mutation ? &*command.mutation : nullptr;
  if (mutation != nullptr) {
    auto known = recall(*db_, *mutation);
    if (!known) return std::unexpected(known.error());
    if (*known) return std::move(**known);
  }
  Transaction tx(*db_, options_.limits, options_.turns, ledger, mutation, now());
  auto result = command.apply(tx);
  if (!result) return std::unexpected(result.error());
  if (tx.undone) {
    kept = Kept::undone;
    tx.ledger = ledger;
    return dump_json(tx.answer(std::move(*result)));
  }
  std::string text = dump_json(tx.answer(std::move(*result)));
  // A change that altered nothing is remembered all the same: its repeat, later, must not alter something.
  if (!tx.writes() && mutation == nullptr) return text;
  if (mutation != nullptr) {
    if (auto ok = remember(tx, *mutation, text); !ok) return std::unexpected(ok.error());
  }
  if (!command.is_own && tx.ledger.log_bytes > Limits::kHardLog * options_.limits.max_log_bytes) {
    return fail(ErrorKind::too_large,
                "the log has " + std::to_string(ledger.log_bytes >> 20) +
                    " MiB, and its newest events are never dropped; raise [state] max_log_mib, of which it may have " +
                    std::to_string(Limits::kHardLog) + " times as much");
  }
  kept = Kept::changes;
  ledger = std::move(tx.ledger);
  changed.insert(changed.end(), tx.changed().begin(), tx.changed().end());
  return text;
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
      found.push_back(LoggedEvent{q.count(0), q.text(1), q.text(2)});
    }
  }();
  drop_if_poisoned();
  return events;
}

void Store::drop_if_poisoned() {
  if (db_ == nullptr || !db_->poisoned()) return;
  options_.log(Level::error,
               "state.db can no longer be trusted through this connection; it is opened and checked anew");
  suspected_ = suspected_ || db_->damaged();
  disconnect();
}

void Store::show_open() {
  cache_.clear();
  cache_.publish(head_.epoch, head_.seq);
  published_.publish(Published{true, folder_, ++generation_});
}

void Store::show_closed() {
  published_.publish(Published{false, folder_, generation_});
  cache_.clear();
}

void Store::disconnect() {
  show_closed();
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
  if (auto ok = take_folder(); !ok) return ok;
  const bool checked = suspected_;
  auto used = use(Opening(folder_, options_.wall_ms(), options_.log, checked).open());
  if (used || checked || !suspected_) return used;
  // Damage was met behind the checks of an opening that trusts an orderly end.
  if (auto ok = take_folder(); !ok) return ok;
  return use(Opening(folder_, options_.wall_ms(), options_.log, true).open());
}

Result<void> Store::take_folder() {
  if (lock_) return {};
  const auto folder = prepare_folder(options_.folder);
  if (!folder) return std::unexpected(folder.error());
  auto lock = FolderLock::take(*folder);
  if (!lock) return std::unexpected(lock.error());
  lock_.emplace(std::move(*lock));
  folder_ = *folder;
  return {};
}

// Also of a store that cannot be opened.
Result<void> Store::restore(const std::string& backup) {
  if (auto ok = ensure_open(); !ok && !take_folder()) return ok;
  const auto all = list_backups(folder_);
  if (!all) return std::unexpected(all.error());
  const auto wanted = std::ranges::find(*all, backup, &Backup::file);
  if (wanted == all->end()) {
    return fail(ErrorKind::not_found,
                "there is no backup \"" + backup.substr(0, 128) + "\"; list them with state.backup.list");
  }
  const auto damage = check_backup(folder_, *wanted);
  if (!damage) return std::unexpected(damage.error());
  if (*damage) return fail(ErrorKind::unavailable, "the backup " + backup + " is damaged: " + **damage);
  show_closed();
  db_.reset();
  auto opened = Opening(folder_, options_.wall_ms(), options_.log).replace("a backup was restored by hand", *wanted);
  const bool replaced = opened.has_value();
  auto used = use(std::move(opened));
  return used || !replaced ? used : not_yet_open(*wanted, used.error());
}

/// Goes on with what was opened.
Result<void> Store::use(Result<Opened> opened) {
  if (opened) db_ = std::move(opened->db);
  const auto settled = opened ? settle(*opened) : std::unexpected(opened.error());
  if (settled) {
    suspected_ = false;
    show_open();
  } else {
    if (db_ != nullptr) {
      suspected_ = suspected_ || db_->damaged();
      db_->poison();  // nothing of a store that is not in use is to be checkpointed
    }
    disconnect();
  }
  return settled;
}

Result<void> Store::settle(const Opened& opened) {
  if (auto ok = set_mutation_clock(); !ok) return ok;
  if (auto ok = settle_lineage(opened.has_store ? opened.clean : std::nullopt, opened.recovery); !ok) return ok;
  if (auto ok = settle_turns(); !ok) return ok;
  if (opened.recovery) {
    if (auto ok = remove_recovery_mark(folder_); !ok) return ok;
  }
  return opened.clean ? remove_clean_mark(folder_) : Result<void>();
}

void Store::suspect() {
  if (db_ != nullptr) {
    db_->note_damage();
    drop_if_poisoned();
  }
  noted_.store(false);
}

Result<void> Store::shrink(int pages) {
  if (auto ok = ensure_open(); !ok) return ok;
  return db_->exec(("PRAGMA incremental_vacuum(" + std::to_string(pages) + ")").c_str());
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

/// A store that is behind what was acknowledged (an old copy was put back, a disk lied) is another log from here on:
/// its epoch changes, so that nobody resumes from a sequence number that means something else now. What went wrong is
/// the first that the new log says.
Result<void> Store::settle_lineage(const std::optional<CleanMark>& clean, const std::optional<std::string>& recovery) {
  auto now = read_ledger(*db_);
  if (!now) return std::unexpected(now.error());
  const auto behind = [&](const std::optional<CleanMark>& known) {
    return known && !known->epoch.empty() && (known->epoch != now->epoch || known->seq > now->seq);
  };
  json report;
  if (recovery) {
    report = parse_json(*recovery).value_or(json{{"reason", "unknown"}});
  } else if (behind(clean) || behind(head_)) {
    report = {{"reason", "state.db is an older copy than what this folder has acknowledged"},
              {"backup", nullptr},
              {"lost_after_seq", now->seq}};
  }
  head_ = opened_at_ = CleanMark{now->epoch, now->seq};
  if (report.is_null()) return {};
  const std::string epoch = random_id();
  const Command begin{std::nullopt, [&](Transaction& tx) -> Result<json> {
                        tx.ledger.epoch = epoch;
                        Query q(tx.db, "UPDATE store SET epoch = ? WHERE id = 1", epoch);
                        if (auto ok = q.run(); !ok) return std::unexpected(ok.error());
                        if (auto ok = tx.append("state.recovered", report); !ok) return std::unexpected(ok.error());
                        tx.touch();
                        return json::object();
                      }};
  if (auto ok = attempt_one(begin); !ok) return ok;
  opened_at_ = CleanMark{epoch, now->seq};
  options_.log(Level::error,
               "project state was recovered, and its log continues under a new epoch: " + dump_json(report));
  return {};
}

Result<void> Store::look_what_is_due() {
  Query q(*db_, "SELECT min(due_ms) FROM objects WHERE due_ms IS NOT NULL");
  const auto row = q.next();
  if (!row) return std::unexpected(row.error());
  next_due_ = *row && !q.is_null(0) ? std::optional(q.integer(0)) : std::nullopt;
  return {};
}

Result<void> Store::do_due() {
  const Command expire{std::nullopt,
                       [](Transaction& tx) -> Result<json> {
                         if (auto ok = do_due_turns(tx); !ok) return std::unexpected(ok.error());
                         return json::object();
                       },
                       "expire", true};
  const auto done = commit(std::span(&expire, 1));
  return done.front() ? Result<void>() : std::unexpected(done.front().error());
}

Result<void> Store::set_turns(TurnTable turns) {
  if (auto ok = ensure_open(); !ok) return ok;
  if (auto ok = check_turns(*db_, turns); !ok) return ok;
  if (auto ok = set_timers(*db_, turns); !ok) return ok;
  options_.turns = std::move(turns);
  return look_what_is_due();
}

/// Nobody carries a turn out any more whose host has ended: as soon as the store is open for the first time.
Result<void> Store::settle_turns() {
  if (auto ok = check_turns(*db_, options_.turns); !ok) return fail(ErrorKind::unavailable, ok.error().message);
  if (auto ok = set_timers(*db_, options_.turns); !ok) return ok;
  if (auto ok = look_what_is_due(); !ok) return ok;
  if (!std::exchange(options_.interrupts_turns, false)) return {};
  const Command interrupt{std::nullopt,
                          [](Transaction& tx) -> Result<json> {
                            if (auto ok = interrupt_turns(tx); !ok) return std::unexpected(ok.error());
                            return json::object();
                          },
                          "interrupt", true};
  auto done = attempt_one(interrupt);
  if (!done) options_.interrupts_turns = true;
  return done;
}

/// While the store is being opened.
Result<void> Store::attempt_one(const Command& command) {
  std::vector<Result<std::string>> results;
  if (auto ok = attempt(std::span(&command, 1), results); !ok) return ok;
  return results.front() ? Result<void>() : std::unexpected(results.front().error());
}

void Store::close() {
  if (db_ == nullptr) return;
  const auto last = read_ledger(*db_);
  const bool sound = last && !db_->poisoned();
  const FolderLock lock = std::move(*lock_);
  disconnect();  // checkpoints
  if (sound) {
    if (auto ok = write_clean_mark(folder_, CleanMark{last->epoch, last->seq}); !ok) {
      options_.log(Level::warn, "the store is closed but not marked so, and will be checked at the next start: " +
                                    ok.error().message);
    }
  }
}

}  // namespace gantry::state
