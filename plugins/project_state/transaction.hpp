// SPDX-License-Identifier: Apache-2.0
//
// transaction.hpp: what a command may do to the store while its transaction runs: change objects.
//
// Each change of an object writes three things at once: the row, an event with the next seq, and with the event what
// undoes the change, so that the object as it was at any seq of the log can be had again (history.hpp).
//
// Thread rule: one thread, the store's.
#pragma once

#include <array>
#include <cstdint>
#include <gantry/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plugins/project_state/objects.hpp"
#include "plugins/project_state/sqlite.hpp"
#include "plugins/project_state/turn_table.hpp"

namespace gantry::state {

struct Limits {
  static constexpr std::uint64_t kAlwaysKept = 100'000;  ///< of the newest events, whatever their age and size
  static constexpr std::uint64_t kHardLog = 16;  ///< times max_log_bytes: no change of a client makes the log larger
  std::uint64_t max_sessions = 100'000;
  std::uint64_t max_panes = 100'000;
  std::uint64_t max_settings = 100'000;
  std::uint64_t max_turns = 100'000;
  std::uint64_t max_data_bytes = 512ULL << 20;  ///< the bodies of all objects together
  std::uint64_t max_events = 100'000;
  std::uint64_t max_log_bytes = 256ULL << 20;  ///< beyond that the oldest go, but for the newest kAlwaysKept
  std::int64_t max_age_ms = 0;                 ///< of an event, but the newest kAlwaysKept are kept; 0: any
  std::uint64_t max_mutations = 100'000;
  std::uint64_t max_mutation_bytes = 64ULL << 20;
  std::int64_t mutation_keep_ms = 24LL * 60 * 60 * 1000;  ///< of the time in which the store is open

  /// The most objects of a type, and the key of [state] that raises it.
  [[nodiscard]] std::pair<std::uint64_t, const char*> most(Type type) const;
};

/// The store's one row of counts, as of the transaction that read it.
struct Ledger {
  std::string epoch;
  std::uint64_t seq = 0;            ///< of the newest event
  std::uint64_t floor = 0;          ///< events up to this one are no longer kept
  std::uint64_t history_floor = 0;  ///< what objects were before this event is not known
  std::uint64_t places = 0;         ///< the highest `n` that an object has had
  std::uint64_t forgotten_rev =
      0;  ///< the highest rev of a setting whose deletion is forgotten; a new one begins above
  std::array<std::uint64_t, kTypes> objects{};  ///< by type, without those that were deleted
  std::uint64_t data_bytes = 0;
  std::uint64_t log_bytes = 0;
  std::uint64_t mutations = 0;
  std::uint64_t mutation_bytes = 0;

  [[nodiscard]] std::uint64_t& count(Type type) { return objects[static_cast<std::size_t>(type)]; }
};

[[nodiscard]] Result<Ledger> read_ledger(Database& db);
[[nodiscard]] Result<void> write_ledger(Database& db, const Ledger& ledger);

/// The mutation that a command belongs to.
struct Mutation {
  std::string client;
  std::string id;    ///< JSON text, so that 7 and "7" differ
  std::string body;  ///< a digest of the command
  json cause;        ///< as events contain it
};

/// A change of one object.
struct Change {
  std::optional<std::string> body;  ///< empty: the object is deleted
  std::optional<json> undo;         ///< a merge patch that leads back; empty: the body before is kept whole
  std::string_view topic;
  json payload;                          ///< the event; it gets the mutation as `cause`
  std::optional<std::int64_t> due_ms{};  ///< wall clock: something is to be done with the object then
};

class Transaction {
 public:
  struct Now {
    std::int64_t wall_ms;      ///< wall clock, for people
    std::int64_t mutation_ms;  ///< clock for the age of mutations
    std::int64_t end_ms;       ///< wall clock that is never set back: when approvals and timers end
  };
  Transaction(Database& db, const Limits& limits, const TurnTable& turns, Ledger ledger_before,
              const Mutation* mutation, Now now)
      : db(db), limits(limits), turns(turns), ledger(std::move(ledger_before)), now(now), mutation_(mutation) {}

  /// Writes the change. `object`: as it was read, or as it is to be made; it becomes what is written. The event's seq
  /// is then ledger.seq. `too_large`: a bound on data, with the key to raise.
  [[nodiscard]] Result<void> write(Object& object, Change change);
  /// The rev that write() will give to it.
  [[nodiscard]] std::uint64_t next_rev(const Object& object) const {
    return 1 + (object.n == 0 && object.type == Type::setting ? ledger.forgotten_rev : object.rev);
  }
  /// `state.project.changed` with the objects that were written since the event before `from_seq`; nothing if there
  /// were none. `more`: further members.
  [[nodiscard]] Result<void> append_project_changed(std::uint64_t from_seq, json more = json::object());
  /// Something was written that is no object.
  void touch() { touched_ = true; }
  [[nodiscard]] bool writes() const { return touched_ || !changed_.empty(); }
  /// An event that belongs to no object.
  [[nodiscard]] Result<void> append(std::string_view topic, json payload);

  struct Changed {
    Type type;
    std::string id;
    std::string parent;
    std::uint64_t rev = 0;
    bool deleted = false;
  };
  /// What was written, in order; of an object that was written twice both.
  [[nodiscard]] const std::vector<Changed>& changed() const { return changed_; }
  /// What an answer says of the store besides its own members.
  [[nodiscard]] json answer(json members) const;

  Database& db;
  const Limits& limits;
  const TurnTable& turns;
  Ledger ledger;
  const char* durability = "D2";  ///< that the answer names
  bool undone = false;            ///< set: nothing of it is kept
  const Now now;

 private:
  struct Undo {
    std::uint64_t object = 0;
    std::uint64_t rev = 0;
    std::optional<std::string> text;  ///< empty: the object was not there
    bool is_patch = false;
  };
  [[nodiscard]] Result<void> append(std::string_view topic, json payload, const Undo* undo);
  [[nodiscard]] Result<void> account(const Object& object, const std::optional<std::string>& body);

  const Mutation* mutation_;
  bool touched_ = false;
  std::vector<Changed> changed_;
};

/// How the event that undoes a change says it, in the column undo_kind.
enum class UndoKind : std::int64_t { absent = 0, whole = 1, patch = 2 };

// The ends of a transaction.

/// The result of this mutation, if it is known. `conflict`: its id was used with another body.
[[nodiscard]] Result<std::optional<std::string>> recall(Database& db, const Mutation& mutation);
[[nodiscard]] Result<void> remember(Transaction& tx, const Mutation& mutation, const std::string& result);
/// Drops what the limits no longer allow: events, the rows of objects whose deletion is no longer in the log,
/// mutations; a bounded number of each.
[[nodiscard]] Result<void> prune(Transaction& tx);

}  // namespace gantry::state
