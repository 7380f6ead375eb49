// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/transaction.hpp"

#include <limits>

#include "plugins/project_state/checks.hpp"
#include "plugins/project_state/settings.hpp"

namespace gantry::state {

namespace {

constexpr std::size_t kMaxEvent = 1 << 20;  // the bus of the host takes no larger one
constexpr std::uint64_t kPruneSteps = 256;  // rows at most that one commit prunes from each table
constexpr std::uint64_t kWholeEach = 16;  // so many patches at most lie between a body that is kept whole and the next

[[nodiscard]] Result<void> prune_events(Transaction& tx) {
  auto& l = tx.ledger;
  std::uint64_t floor = l.floor;
  {
    const auto oldest =
        tx.limits.max_age_ms == 0 ? std::numeric_limits<std::int64_t>::min() : tx.now.wall_ms - tx.limits.max_age_ms;
    Query q(tx.db, "SELECT seq, bytes, at_ms FROM events ORDER BY seq LIMIT ?", kPruneSteps);
    while (true) {
      const bool may_go = l.seq - floor > Limits::kAlwaysKept;
      const bool too_many = l.seq - floor > tx.limits.max_events || (may_go && l.log_bytes > tx.limits.max_log_bytes);
      const bool may_be_old = may_go && tx.limits.max_age_ms != 0;
      if (!too_many && !may_be_old) break;
      const auto row = q.next();
      if (!row) return std::unexpected(row.error());
      if (!*row || q.count(0) == l.seq) break;  // the newest has yet to be sent
      if (!too_many && q.integer(2) >= oldest) break;
      floor = q.count(0);
      l.log_bytes -= q.count(1);
    }
  }
  if (floor == l.floor) return {};
  l.floor = floor;
  l.history_floor = std::max(l.history_floor, floor);
  Query q(tx.db, "DELETE FROM events WHERE seq <= ?", floor);
  return q.run();
}

/// Of those whose deletion is no longer in the log.
[[nodiscard]] Result<void> prune_objects(Transaction& tx) {
  Query q(tx.db,
          "DELETE FROM objects WHERE n IN (SELECT n FROM objects WHERE body IS NULL AND changed_seq <= ? LIMIT ?) "
          "RETURNING type = 'setting', rev",
          tx.ledger.floor, kPruneSteps);
  while (true) {
    const auto row = q.next();
    if (!row) return std::unexpected(row.error());
    if (!*row) return {};
    if (q.integer(0) != 0) tx.ledger.forgotten_rev = std::max(tx.ledger.forgotten_rev, q.count(1));
  }
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

std::pair<std::uint64_t, const char*> Limits::most(Type type) const {
  switch (type) {
    case Type::session:
    case Type::layout:  // one for each session
      return {max_sessions, "max_sessions"};
    case Type::pane:
      return {max_panes, "max_panes"};
    case Type::setting:
      return {max_settings, "max_settings"};
    case Type::turn:
      break;
  }
  return {max_turns, "max_turns"};
}

// ---- the ledger --------------------------------------------------------------------------------------------------

Result<Ledger> read_ledger(Database& db) {
  Query q(db,
          "SELECT epoch, seq, floor, history_floor, places, forgotten_rev, sessions, panes, layouts, settings, turns, "
          "data_bytes, log_bytes, mutations, mutation_bytes FROM store WHERE id = 1");
  const auto row = q.next();
  if (!row) return std::unexpected(row.error());
  if (!*row) {
    db.poison();
    return fail(ErrorKind::unavailable, "state.db is damaged: its `store` row is gone; restore a copy of it");
  }
  return Ledger{q.text(0),
                q.count(1),
                q.count(2),
                q.count(3),
                q.count(4),
                q.count(5),
                {q.count(6), q.count(7), q.count(8), q.count(9), q.count(10)},
                q.count(11),
                q.count(12),
                q.count(13),
                q.count(14)};
}

Result<void> write_ledger(Database& db, const Ledger& l) {
  const auto& n = l.objects;
  Query q(db,
          "UPDATE store SET seq = ?, floor = ?, history_floor = ?, places = ?, forgotten_rev = ?, sessions = ?, "
          "panes = ?, layouts = ?, settings = ?, turns = ?, data_bytes = ?, log_bytes = ?, mutations = ?, "
          "mutation_bytes = ? WHERE id = 1",
          l.seq, l.floor, l.history_floor, l.places, l.forgotten_rev, n[0], n[1], n[2], n[3], n[4], l.data_bytes,
          l.log_bytes, l.mutations, l.mutation_bytes);
  return q.run();
}

// ---- changes -----------------------------------------------------------------------------------------------------

Result<void> Transaction::append(std::string_view topic, json payload) {
  return append(topic, std::move(payload), nullptr);
}

Result<void> Transaction::append(std::string_view topic, json payload, const Undo* undo) {
  if (mutation_ != nullptr) payload["cause"] = mutation_->cause;
  const std::string text = dump_json(payload);
  if (text.size() > kMaxEvent) {
    return fail(ErrorKind::too_large,
                "what this changes makes an event of " + std::to_string(text.size()) +
                    " bytes, and an event may have 1 MiB; change less at once",
                dump_json({{"event_bytes", text.size()}}));
  }
  const std::uint64_t bytes = text.size() + (undo != nullptr && undo->text ? undo->text->size() : 0);
  ++ledger.seq;
  ledger.log_bytes += bytes;
  const auto kind = undo == nullptr || !undo->text ? UndoKind::absent
                    : undo->is_patch               ? UndoKind::patch
                                                   : UndoKind::whole;
  const std::uint64_t crc = event_checksum(ledger.seq, topic, text, undo != nullptr ? undo->text : std::nullopt);
  Query q(db,
          "INSERT INTO events (seq, at_ms, topic, payload, bytes, object, rev, undo_kind, undo, crc) "
          "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
          ledger.seq, now.wall_ms, topic, text, bytes, undo != nullptr ? std::optional(undo->object) : std::nullopt,
          undo != nullptr ? std::optional(undo->rev) : std::nullopt, static_cast<std::int64_t>(kind),
          undo != nullptr ? undo->text : std::nullopt, crc);
  return q.run();
}

Result<void> Transaction::account(const Object& object, const std::optional<std::string>& body) {
  const auto size = [](const std::optional<std::string>& text) { return text ? text->size() : 0; };
  const auto before = size(object.body);
  const auto after = size(body);
  ledger.data_bytes = ledger.data_bytes - before + after;
  if (after > before && ledger.data_bytes > limits.max_data_bytes) {
    return fail(ErrorKind::too_large, "what is stored may have " + std::to_string(limits.max_data_bytes) +
                                          " bytes in all; delete some, or raise [state] max_data_mib");
  }
  auto& count = ledger.count(object.type);
  if (object.body && !body) --count;
  if (object.body || !body) return {};
  const auto [most, key] = limits.most(object.type);
  if (count < most) {
    ++count;
    return {};
  }
  return fail(ErrorKind::too_large, "there are " + std::to_string(count) + " " + std::string(name(object.type)) +
                                        "s, as many as [state] " + key + " allows; delete some, or raise it");
}

Result<void> Transaction::write(Object& object, Change change) {
  if (auto ok = account(object, change.body); !ok) return ok;
  const bool is_new = object.n == 0;
  object.rev = next_rev(object);
  if (is_new) object.n = ++ledger.places;
  Undo undo{object.n, object.rev, std::move(object.body), false};
  if (undo.text && change.undo && object.rev % kWholeEach != 0) {
    std::string patch = dump_json(*change.undo);
    if (patch.size() < undo.text->size()) {
      undo.text = std::move(patch);
      undo.is_patch = true;
    }
  }
  object.body = std::move(change.body);
  // The log comes first: it gives the change its seq.
  if (auto ok = append(change.topic, std::move(change.payload), &undo); !ok) return ok;
  changed_.push_back({object.type, object.id, object.parent, object.rev, !object.body});
  const auto crc = std::uint64_t{checksum(object)};
  if (is_new) {
    Query q(db,
            "INSERT INTO objects (n, type, id, parent, rev, body, created_seq, changed_seq, changed_ms, crc, due_ms) "
            "VALUES (?, ?, ?, ?, ?, ?, ?7, ?7, ?8, ?9, ?10)",
            object.n, name(object.type), object.id, object.parent, object.rev, object.body, ledger.seq, now.wall_ms,
            crc, change.due_ms);
    return q.run();
  }
  Query q(db, "UPDATE objects SET rev = ?, body = ?, changed_seq = ?, changed_ms = ?, crc = ?, due_ms = ? WHERE n = ?",
          object.rev, object.body, ledger.seq, now.wall_ms, crc, change.due_ms, object.n);
  return q.run();
}

Result<void> Transaction::append_project_changed(std::uint64_t from_seq, json more) {
  if (changed_.empty()) return {};
  json objects = json::array();
  for (const auto& changed : changed_) {
    json told{{"type", name(changed.type)}, {"rev", changed.rev}};
    if (changed.type == Type::setting) {
      told["key"] = setting_key(changed.id);
      setting_scope(changed.id).show(told);
    } else {
      told["id"] = changed.id;
    }
    if (!changed.parent.empty()) told["session_id"] = changed.parent;
    if (changed.deleted) told["deleted"] = true;
    objects.push_back(std::move(told));
  }
  more["from_seq"] = from_seq;
  more["objects"] = std::move(objects);
  return append("state.project.changed", std::move(more));
}

json Transaction::answer(json members) const {
  members["epoch"] = ledger.epoch;
  members["seq"] = ledger.seq;
  members["durability"] = durability;
  return members;
}

// ---- the ends of a transaction -----------------------------------------------------------------------------------

Result<std::optional<std::string>> recall(Database& db, const Mutation& mutation) {
  Query q(db, "SELECT body, result FROM mutations WHERE client = ? AND mutation = ?", mutation.client, mutation.id);
  const auto row = q.next();
  if (!row) return std::unexpected(row.error());
  if (!*row) return std::nullopt;
  if (q.text(0) == mutation.body) return q.text(1);
  return fail(ErrorKind::conflict,
              "mutation " + mutation.id + " of client \"" + mutation.client +
                  "\" was already used, with another body; give each change a mutation_id of its own");
}

Result<void> remember(Transaction& tx, const Mutation& mutation, const std::string& result) {
  const std::uint64_t bytes = result.size() + mutation.client.size() + mutation.id.size();
  Query q(tx.db, "INSERT INTO mutations (at_ms, client, mutation, body, result, bytes) VALUES (?, ?, ?, ?, ?, ?)",
          tx.now.mutation_ms, mutation.client, mutation.id, mutation.body, result, bytes);
  ++tx.ledger.mutations;
  tx.ledger.mutation_bytes += bytes;
  return q.run();
}

Result<void> prune(Transaction& tx) {
  const auto floor = tx.ledger.floor;
  if (auto ok = prune_events(tx); !ok) return ok;
  if (floor != tx.ledger.floor) {
    if (auto ok = prune_objects(tx); !ok) return ok;
  }
  return prune_mutations(tx);
}

}  // namespace gantry::state
