// SPDX-License-Identifier: Apache-2.0
//
// store.hpp: the only writer of the database. Commands are executed, and events follow once they
// are committed.
//
// Commands that wait together are committed together, in one transaction with a savepoint for
// each: a command's own part holds all of it (the comparison of revisions, the rows, the events
// with what undoes them, the record of its mutation id, the head of the log) or nothing. commit()
// returns a result only after COMMIT has returned with synchronous=FULL: an answer to a caller then
// survives kill -9 and a power cut. Events are read back from the log (events_after), so that an
// event that was not committed cannot be sent.
//
// Thread rule: one thread, but for published() and snapshots(). It may block for as long as the disk does.
// Errors: `storage_failed` for the disk; an error of a command is passed on, and then all of the
//   command is rolled back. When the disk refuses an fsync or shows damage, the connection is
//   dropped and the next call opens and checks anew.
// Bounds: Limits. Commands that would exceed a bound on data are `too_large`; the log and the
//   remembered mutations drop their oldest. Another program that reads keeps SQLite's write-ahead
//   log from being emptied; the log may then grow as large as data and event log together, after
//   which commands are `storage_failed`.
// Never: an acknowledgement before COMMIT; a gap in seq; a start from empty where a store has been.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <gantry/json.hpp>
#include <gantry/plugin/host.hpp>
#include <gantry/snapshot.hpp>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plugins/project_state/backups.hpp"
#include "plugins/project_state/folder.hpp"
#include "plugins/project_state/object_cache.hpp"
#include "plugins/project_state/opening.hpp"
#include "plugins/project_state/profile.hpp"
#include "plugins/project_state/schema.hpp"
#include "plugins/project_state/sqlite.hpp"
#include "plugins/project_state/transaction.hpp"
#include "plugins/project_state/wall_clock.hpp"

namespace gantry::state {

struct Command {
  std::optional<Mutation> mutation;
  std::function<Result<json>(Transaction&)> apply;  ///< returns the answer's members but epoch, seq and durability
  std::string_view name = "change";                 ///< in a profile; a literal
  bool is_own = false;                              ///< the store's own change, which a full log does not refuse
};

struct LoggedEvent {
  std::uint64_t seq = 0;
  std::string topic;
  std::string payload;  ///< JSON text
};

class Store {
 public:
  struct Options {
    std::string folder;
    Limits limits;
    std::size_t cache_bytes = 0;  ///< of what is kept in memory for readers
    TurnTable turns;
    /// False: the host goes on since the store was last closed, and with it those who carry out turns.
    bool interrupts_turns = true;
    std::function<std::int64_t()> wall_ms;
    /// A steady clock with any origin.
    std::function<std::int64_t()> steady_ms;
    std::function<void(Level, const std::string&)> log;
    Profile& profile;  ///< outlives the store
  };

  explicit Store(Options options) : options_(std::move(options)), cache_(options_.cache_bytes) {}
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  ~Store() { close(); }

  /// Opens, checks and migrates, unless the store is open. `unavailable`: the store will not open
  /// by itself (another process has it, a newer schema, another program's file, damage, a loss).
  /// `storage_failed`: the disk; the next call tries again.
  [[nodiscard]] Result<void> ensure_open();
  /// Marks in the folder that the end was orderly. A later call would open the store again.
  void close();

  /// Commits the commands, in order, at once, and returns the result of each as JSON text; if its mutation is known,
  /// the original result. A command that fails changes nothing, and takes none of the others along; if the commit
  /// fails, all have that error.
  [[nodiscard]] std::vector<Result<std::string>> commit(std::span<const Command> commands);
  [[nodiscard]] Result<Ledger> ledger();
  /// The next events after `seq`, at most `limit`, in order.
  [[nodiscard]] Result<std::vector<LoggedEvent>> events_after(std::uint64_t seq, std::uint64_t limit);

  /// The end of the log as of the last commit or open, and as of the open alone; neither reads the
  /// disk. The epoch is empty before the first open.
  [[nodiscard]] const CleanMark& head() const { return head_; }
  [[nodiscard]] const CleanMark& opened_at() const { return opened_at_; }

  /// For those that read the database by connections of their own. Any thread.
  struct Published {
    bool open = false;
    std::string folder;
    std::uint64_t generation = 0;  ///< grows whenever the database is opened anew
  };
  [[nodiscard]] std::shared_ptr<const Published> published() const { return published_.load(); }

  /// What is kept in memory for readers, as of the last commit. Readers by any thread.
  [[nodiscard]] const Snapshot<StateSnapshot>& snapshots() const { return cache_.snapshots(); }
  /// From now on these objects are kept there, as far as they exist and the store is open.
  void keep(const std::vector<std::pair<Type, std::string>>& objects);
  void set_cache(std::size_t bytes) { cache_.set_most(bytes); }

  /// Puts this backup in the place of the database, under a new epoch, as after damage. `not_found`: there is no such
  /// backup; `unavailable`: it is damaged; then nothing has changed.
  [[nodiscard]] Result<void> restore(const std::string& backup);
  [[nodiscard]] Profile& profile() const { return options_.profile; }
  /// Gives up to `pages` free pages of the file back.
  [[nodiscard]] Result<void> shrink(int pages);

  /// Another connection has found damage: the next call checks everything, and recovers.
  void suspect();
  /// A reader has met damage, of which the writer's thread will hear by suspect(). Any thread.
  void note_suspicion() const { noted_.store(true); }
  /// True: that has not come yet, though a caller may have been told of the damage. Any thread.
  [[nodiscard]] bool is_suspected() const { return noted_.load(); }

  /// In how many milliseconds something is due, as of the last commit or open; empty: nothing is.
  [[nodiscard]] std::optional<std::int64_t> due_in_ms() const {
    return next_due_ ? std::optional(*next_due_ - forward_.ms(options_.wall_ms(), options_.steady_ms())) : std::nullopt;
  }
  /// Does what is due now.
  [[nodiscard]] Result<void> do_due();

  /// `conflict`: a stored turn is in a state that the table does not have; the table before stays.
  [[nodiscard]] Result<void> set_turns(TurnTable turns);
  void set_limits(const Limits& limits) { options_.limits = limits; }
  [[nodiscard]] const Limits& limits() const { return options_.limits; }

 private:
  enum class Kept : std::uint8_t { nothing, changes, undone };
  [[nodiscard]] Result<void> take_folder();
  [[nodiscard]] Result<void> use(Result<Opened> opened);
  [[nodiscard]] Result<void> settle(const Opened& opened);
  [[nodiscard]] Result<void> settle_lineage(const std::optional<CleanMark>& clean,
                                            const std::optional<std::string>& recovery);
  [[nodiscard]] Result<void> attempt_one(const Command& command);
  [[nodiscard]] Result<void> attempt(std::span<const Command> commands, std::vector<Result<std::string>>& results);
  /// Adds what was written to `changed`.
  [[nodiscard]] Result<std::string> run(const Command& command, Ledger& ledger, Kept& kept,
                                        std::vector<Transaction::Changed>& changed);
  void refresh(Type type, const std::string& id);
  [[nodiscard]] Result<void> check_wal();
  void drop_if_poisoned();
  void disconnect();
  // For those that read: what they had of another connection is gone.
  void show_open();
  void show_closed();
  [[nodiscard]] Result<void> set_mutation_clock();
  [[nodiscard]] Result<void> look_what_is_due();
  [[nodiscard]] Result<void> settle_turns();
  [[nodiscard]] Transaction::Now now() const {
    const std::int64_t wall = options_.wall_ms(), steady = options_.steady_ms();
    return {wall, steady + mutation_offset_ms_, forward_.ms(wall, steady)};
  }

  Options options_;
  ObjectCache cache_;
  std::string folder_;      // canonical, once it was opened
  bool suspected_ = false;  ///< damage was met; the next opening checks everything
  mutable std::atomic<bool> noted_{false};
  std::optional<FolderLock> lock_;
  Snapshot<Published> published_{Published{}};
  std::uint64_t generation_ = 0;
  mutable ForwardClock forward_;
  std::optional<std::int64_t> next_due_;
  std::unique_ptr<Database> db_;
  bool wal_is_noted_ = false;
  std::int64_t mutation_offset_ms_ = 0;  // between the steady clock and that of the mutations
  // As of the last commit or open. A store that reopens with less has lost something.
  CleanMark head_;
  CleanMark opened_at_;
};

}  // namespace gantry::state
