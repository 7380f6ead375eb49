// SPDX-License-Identifier: Apache-2.0
//
// store.hpp: the only writer of the database. Commands are executed, and events follow once they
// are committed.
//
// A command runs in one transaction that holds all of it: the comparison of revisions, the rows,
//   the event, the record of its mutation id, and the head of the log. commit() returns a result
//   only after COMMIT has returned with synchronous=FULL: an answer to a caller then survives kill
//   -9 and a power cut. Events are read back from the log (events_after), so that an event that was
//   not committed cannot be sent.
//
// Thread rule: one thread. It may block for as long as the disk does. Group commit could be added
//   behind commit(), with a SAVEPOINT for each command.
// Errors: `storage_failed` for the disk; an error of a command is passed on, and then all of the
//   command is rolled back. When the disk refuses an fsync or shows damage, the connection is
//   dropped and the next call opens and checks anew.
// Bounds: Limits. Commands that would exceed a bound on data are `too_large`; the log and the
//   remembered mutations drop their oldest. Another program that reads keeps SQLite's write-ahead
//   log from being emptied; the log may then grow as large as data and event log together, after
//   which commands are `storage_failed`.
// Never: an acknowledgement before COMMIT; a gap in seq; a start from empty where a store has been.
#pragma once

#include <cstdint>
#include <functional>
#include <gantry/json.hpp>
#include <gantry/plugin/host.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/project_state/folder.hpp"
#include "plugins/project_state/schema.hpp"
#include "plugins/project_state/sqlite.hpp"

namespace gantry::state {

struct Limits {
  std::uint64_t max_sessions = 100'000;
  std::uint64_t max_settings = 100'000;
  std::uint64_t max_data_bytes = 512ULL << 20;  ///< sessions and settings together
  std::uint64_t max_events = 100'000;
  std::uint64_t max_log_bytes = 256ULL << 20;
  std::uint64_t max_mutations = 100'000;
  std::uint64_t max_mutation_bytes = 64ULL << 20;
  std::int64_t mutation_keep_ms = 24LL * 60 * 60 * 1000;  ///< of the time in which the store is open
};

/// The store's one row of counts, as of the transaction that read it.
struct Ledger {
  std::string epoch;
  std::uint64_t seq = 0;    ///< of the newest event
  std::uint64_t floor = 0;  ///< events up to this one are no longer kept
  std::uint64_t sessions = 0;
  std::uint64_t settings = 0;
  std::uint64_t data_bytes = 0;
  std::uint64_t log_bytes = 0;
  std::uint64_t mutations = 0;
  std::uint64_t mutation_bytes = 0;
};

/// The mutation that a command belongs to.
struct Mutation {
  std::string client;
  std::string id;    ///< JSON text, so that 7 and "7" differ
  std::string body;  ///< a digest of the command
  json cause;        ///< as events contain it
};

/// A command's access to the store while it runs.
class Transaction {
 public:
  struct Now {
    std::int64_t wall_ms;      ///< wall clock, for people
    std::int64_t mutation_ms;  ///< clock for the age of mutations
  };
  Transaction(Database& db, const Limits& limits, Ledger ledger_before, const Mutation* mutation, Now now)
      : db(db), limits(limits), ledger(std::move(ledger_before)), now(now), mutation_(mutation) {}

  /// Appends to the log; once per command. `payload` gets the mutation as `cause`. The event's seq
  /// is then ledger.seq.
  [[nodiscard]] Result<void> append(std::string_view topic, json payload);
  /// Accounts for data that grows from `before` to `after` bytes; `too_large` beyond the bound.
  [[nodiscard]] Result<void> resize(std::uint64_t before, std::uint64_t after);
  [[nodiscard]] bool changed() const { return changed_; }

  Database& db;
  const Limits& limits;
  Ledger ledger;
  const Now now;

 private:
  const Mutation* mutation_;
  bool changed_ = false;
};

struct Command {
  std::optional<Mutation> mutation;
  std::function<Result<json>(Transaction&)> apply;
};

struct LoggedEvent {
  std::uint64_t seq = 0;
  std::string topic;
  json payload;
};

class Store {
 public:
  struct Options {
    std::string folder;
    Limits limits;
    std::function<std::int64_t()> wall_ms;
    /// A steady clock with any origin.
    std::function<std::int64_t()> steady_ms;
    std::function<void(Level, const std::string&)> log;
  };

  explicit Store(Options options) : options_(std::move(options)) {}
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  ~Store() { close(); }

  /// Opens, checks and migrates, unless the store is open. `unavailable`: the store will not open
  /// by itself (another process has it, a newer schema, another program's file, damage, a loss).
  /// `storage_failed`: the disk; the next call tries again.
  [[nodiscard]] Result<void> ensure_open();
  /// Marks in the folder that the end was orderly. A later call would open the store again.
  void close();

  /// Commits the command and returns its result as JSON text; if its mutation is known, the
  /// original result.
  [[nodiscard]] Result<std::string> commit(const Command& command);
  [[nodiscard]] Result<std::string> read(const std::function<Result<json>(Database&, const Ledger&)>& body);

  [[nodiscard]] Result<Ledger> ledger();
  /// The next events after `seq`, at most `limit`, in order.
  [[nodiscard]] Result<std::vector<LoggedEvent>> events_after(std::uint64_t seq, std::uint64_t limit);

  /// The end of the log as of the last commit or open, and as of the open alone; neither reads the
  /// disk. The epoch is empty before the first open.
  [[nodiscard]] const CleanMark& head() const { return head_; }
  [[nodiscard]] const CleanMark& opened_at() const { return opened_at_; }

  void set_limits(const Limits& limits) { options_.limits = limits; }
  [[nodiscard]] const Limits& limits() const { return options_.limits; }

 private:
  [[nodiscard]] Result<void> connect(const std::string& folder);
  [[nodiscard]] Result<Content> look(const std::string& file, bool has_identity);
  [[nodiscard]] Result<void> check(const std::string& file);
  [[nodiscard]] Result<void> settle_lineage(const std::optional<CleanMark>& clean);
  [[nodiscard]] Result<std::string> attempt(const Command& command);
  [[nodiscard]] Result<void> check_wal();
  void drop_if_poisoned();
  [[nodiscard]] Result<void> set_mutation_clock();
  [[nodiscard]] Transaction::Now now() const {
    return {options_.wall_ms(), options_.steady_ms() + mutation_offset_ms_};
  }

  Options options_;
  std::string folder_;  // canonical, while open
  std::optional<FolderLock> lock_;
  std::unique_ptr<Database> db_;
  bool wal_is_noted_ = false;
  std::int64_t mutation_offset_ms_ = 0;  // between the steady clock and that of the mutations
  // As of the last commit or open. A store that reopens with less has lost something.
  CleanMark head_;
  CleanMark opened_at_;
};

}  // namespace gantry::state
