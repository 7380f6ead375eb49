// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/turns.hpp"

#include <algorithm>
#include <gantry/params.hpp>
#include <limits>
#include <utility>

#include "plugins/project_state/documents.hpp"
#include "plugins/project_state/fields.hpp"
#include "plugins/project_state/folder.hpp"
#include "plugins/project_state/merge.hpp"
#include "plugins/project_state/plan.hpp"

namespace gantry::state {

namespace {

constexpr std::int64_t kMaxNumber = std::int64_t{1} << 53;
constexpr std::uint64_t kMaxAudit = 100'000;  // approvals; the oldest are forgotten

/// A turn as it was read, and as it is to be.
struct Turn {
  Object object;
  json before;
  json body;

  [[nodiscard]] std::string state() const { return before["state"].get<std::string>(); }
  [[nodiscard]] std::uint64_t fence() const { return before["fence"].get<std::uint64_t>(); }
};

[[nodiscard]] Result<Turn> open(Object object) {
  auto body = parse_json(object.body.value_or(""));
  if (!body || !body->is_object() || !body->contains("state") || !body->contains("fence"))
    return fail(ErrorKind::storage_failed,
                "the row of turn " + object.id + " in state.db is damaged; restore a backup");
  return Turn{std::move(object), *body, *body};
}

[[nodiscard]] Result<Turn> read_turn(Database& db, const std::string& id, std::optional<std::uint64_t> rev) {
  auto object = live_object(db, Type::turn, id);
  if (!object) return std::unexpected(object.error());
  if (auto ok = compare_rev(*object, rev); !ok) return std::unexpected(ok.error());
  return open(std::move(*object));
}

[[nodiscard]] json shown(const Turn& turn) {
  json out = turn.body;
  out["id"] = turn.object.id;
  out["rev"] = turn.object.rev;
  return {{"turn", std::move(out)}};
}

[[nodiscard]] std::unexpected<Error> conflict(const Turn& turn, const std::string& why, json more = json::object()) {
  more["state"] = turn.state();
  more["rev"] = turn.object.rev;
  return fail(ErrorKind::conflict, "turn " + turn.object.id + " is " + turn.state() + why, dump_json(more));
}

[[nodiscard]] Result<void> check_step(const Transaction& tx, const Turn& turn, std::string_view to) {
  if (tx.turns.allows(turn.state(), to)) return {};
  const auto next = tx.turns.next(turn.state());
  std::string may;
  for (const auto& state : next) may += (may.empty() ? "; it may become " : ", ") + state;
  return conflict(turn, ", which does not lead to " + std::string(to) + may, {{"allowed", next}});
}

/// A plan may hold null, which a merge patch cannot carry: it travels whole.
[[nodiscard]] json without_plan(json body) {
  body.erase("plan");
  return body;
}

/// Writes what has become of the turn. `trigger`: what took the step; empty: a caller.
[[nodiscard]] Result<json> write_turn(Transaction& tx, Turn& turn, const std::string& trigger = {}) {
  turn.body["updated_ms"] = tx.now.wall_ms;
  std::string text = dump_json(turn.body);
  if (auto ok = check_body("turn", text); !ok) return std::unexpected(ok.error());
  const bool new_plan = turn.before.value("plan_hash", "") != turn.body.value("plan_hash", "");
  json event{{"turn_id", turn.object.id},
             {"session_id", turn.object.parent},
             {"from", turn.state()},
             {"to", turn.body["state"]},
             {"from_rev", turn.object.rev},
             {"rev", turn.object.rev + 1},
             {"changes", merge_diff(without_plan(turn.before), without_plan(turn.body))}};
  if (new_plan) event["plan"] = turn.body["plan"];
  if (!trigger.empty()) event["trigger"] = trigger;
  Change change{std::move(text), std::nullopt, "state.turn.updated", std::move(event)};
  if (!new_plan) change.undo = merge_diff(without_plan(turn.body), without_plan(turn.before));
  change.due_ms = due_of_turn(tx, turn.body);
  if (auto ok = tx.write(turn.object, std::move(change)); !ok) return std::unexpected(ok.error());
  return shown(turn);
}

[[nodiscard]] Result<void> void_approval(Transaction& tx, Turn& turn, const char* reason) {
  const json approval = std::exchange(turn.body["approval"], json());
  turn.body.erase("approval");
  if (approval.is_null()) return {};
  return tx.append("state.turn.approval_voided", {{"turn_id", turn.object.id},
                                                  {"session_id", turn.object.parent},
                                                  {"plan_hash", approval["plan_hash"]},
                                                  {"reason", reason},
                                                  {"rev", turn.object.rev + 1}});
}

/// A step that may be taken.
[[nodiscard]] Result<json> take_step(Transaction& tx, Turn& turn, const std::string& to,
                                     const std::string& trigger = {}) {
  if (turn.state() == TurnTable::kExecuting) {
    turn.body.erase("approval");  // it was for this once
  } else if (to != TurnTable::kExecuting && (to == TurnTable::kProposed || tx.turns.next(to).empty())) {
    if (auto ok = void_approval(tx, turn, "withdrawn"); !ok) return std::unexpected(ok.error());
  }
  if (to == TurnTable::kExecuting || to == TurnTable::kInterrupted) turn.body["fence"] = turn.fence() + 1;
  turn.body["state"] = to;
  return write_turn(tx, turn, trigger);
}

void set_plan(json& body, const json& plan) {
  body["plan"] = plan;
  body["plan_hash"] = plan_hash(plan);
}

[[nodiscard]] Result<void> audit(Transaction& tx, const Turn& turn, const Approval& approval) {
  std::string previous;
  {
    Query q(tx.db, "SELECT hash FROM audit ORDER BY n DESC LIMIT 1");
    const auto row = q.next();
    if (!row) return std::unexpected(row.error());
    if (*row) previous = q.text(0);
  }
  const json entry{{"at_ms", tx.now.wall_ms},       {"client", approval.client}, {"plan_hash", approval.plan_hash},
                   {"rev", turn.object.rev + 1},    {"turn", turn.object.id},    {"seq", tx.ledger.seq + 1},
                   {"session", turn.object.parent}, {"previous", previous}};
  const std::string text = canonical_json(entry);
  Query forget(tx.db, "DELETE FROM audit WHERE n <= (SELECT max(n) FROM audit) - ?", kMaxAudit);
  if (auto ok = forget.run(); !ok) return ok;
  Query q(tx.db, "INSERT INTO audit (entry, hash) VALUES (?, ?)", text, sha256(text));
  return q.run();
}

[[nodiscard]] Result<void> check_approval(const Transaction& tx, const Turn& turn) {
  const auto approval = turn.before.value("approval", json());
  if (approval.is_null() || approval["plan_hash"] != turn.before["plan_hash"])
    return conflict(turn, " without an approval of its plan");
  if (approval.contains("expires_ms") && approval["expires_ms"] <= tx.now.end_ms)
    return conflict(turn, ", but its approval has expired; approve the plan again");
  // Nobody knows how old it is.
  if (approval.contains("expires_ms") && approval.value("approved_ms", std::int64_t{0}) > tx.now.end_ms)
    return conflict(turn, ", but the clock was set back behind the time of its approval; approve the plan again");
  return {};
}

[[nodiscard]] Result<void> check_fence(const Turn& turn, const TurnStep& step) {
  if (!step.fence && turn.state() == TurnTable::kExecuting)
    return refuse("fence is missing; whoever carries a turn out names the fence under which it was begun");
  if (!step.fence || *step.fence == turn.fence()) return {};
  return conflict(turn,
                  " under fence " + std::to_string(turn.fence()) + ", not " + std::to_string(*step.fence) +
                      "; what was done under the old one is not taken",
                  {{"fence", turn.fence()}});
}

/// A turn that is proposed has a plan.
[[nodiscard]] bool may_stand(const Turn& turn, std::string_view to) {
  return to != TurnTable::kProposed || turn.before.contains("plan");
}

[[nodiscard]] Result<void> forget_due(Transaction& tx, const Object& turn) {
  tx.touch();
  Query q(tx.db, "UPDATE objects SET due_ms = NULL WHERE n = ?", turn.n);
  return q.run();
}

/// The turns in the rows of `q`.
[[nodiscard]] Result<std::vector<Turn>> read_turns(Query& q) {
  auto objects = read_objects(q);
  if (!objects) return std::unexpected(objects.error());
  std::vector<Turn> out;
  for (auto& object : *objects) {
    auto turn = open(std::move(object));
    if (!turn) return std::unexpected(turn.error());
    out.push_back(std::move(*turn));
  }
  return out;
}

}  // namespace

Result<json> create_turn(Transaction& tx, const std::string& session, const std::optional<json>& plan) {
  if (const auto owner = live_object(tx.db, Type::session, session); !owner) return std::unexpected(owner.error());
  Turn turn;
  turn.object = Object{Type::turn, random_id(), session, 0, 0, std::nullopt};
  turn.body = {{"session_id", session},
               {"state", tx.turns.first()},
               {"fence", 0},
               {"created_ms", tx.now.wall_ms},
               {"updated_ms", tx.now.wall_ms}};
  if (plan) {
    turn.before = turn.body;
    if (auto ok = check_step(tx, turn, TurnTable::kProposed); !ok) return std::unexpected(ok.error());
    turn.body["state"] = TurnTable::kProposed;
    set_plan(turn.body, *plan);
  }
  std::string text = dump_json(turn.body);
  if (auto ok = check_body("turn", text); !ok) return std::unexpected(ok.error());
  json told = turn.body;
  told["id"] = turn.object.id;
  told["rev"] = 1;
  json event{{"turn_id", turn.object.id}, {"session_id", session}, {"turn", told}};
  Change change{std::move(text), std::nullopt, "state.turn.created", std::move(event), due_of_turn(tx, turn.body)};
  if (auto ok = tx.write(turn.object, std::move(change)); !ok) return std::unexpected(ok.error());
  return shown(turn);
}

Result<json> propose_plan(Transaction& tx, const std::string& id, std::optional<std::uint64_t> rev, const json& plan) {
  auto turn = read_turn(tx.db, id, rev);
  if (!turn) return std::unexpected(turn.error());
  if (auto ok = check_step(tx, *turn, TurnTable::kProposed); !ok) return std::unexpected(ok.error());
  set_plan(turn->body, plan);
  const bool same = turn->body["plan_hash"] == turn->before.value("plan_hash", "");
  if (same && (turn->state() == TurnTable::kApproved || turn->state() == TurnTable::kProposed)) return shown(*turn);
  if (auto ok = void_approval(tx, *turn, "plan_changed"); !ok) return std::unexpected(ok.error());
  turn->body["state"] = TurnTable::kProposed;
  return write_turn(tx, *turn);
}

Result<json> approve_plan(Transaction& tx, const std::string& id, std::optional<std::uint64_t> rev,
                          const Approval& approval) {
  auto turn = read_turn(tx.db, id, rev);
  if (!turn) return std::unexpected(turn.error());
  if (auto ok = check_step(tx, *turn, TurnTable::kApproved); !ok) return std::unexpected(ok.error());
  const std::string hash = turn->before.value("plan_hash", "");
  if (approval.plan_hash != hash) {
    return conflict(*turn, ", and its plan has the hash " + hash + ", not the one that was approved; look at it again",
                    {{"plan_hash", hash}});
  }
  if (auto ok = audit(tx, *turn, approval); !ok) return std::unexpected(ok.error());
  json kept{{"plan_hash", hash}, {"rev", turn->object.rev}, {"approved_ms", tx.now.end_ms}};
  if (approval.expires_in_ms) kept["expires_ms"] = tx.now.end_ms + *approval.expires_in_ms;
  if (!approval.client.empty()) kept["client"] = approval.client;
  turn->body["approval"] = std::move(kept);
  turn->body["state"] = TurnTable::kApproved;
  tx.durability = "D3";
  return write_turn(tx, *turn);
}

Result<json> step_turn(Transaction& tx, const std::string& id, std::optional<std::uint64_t> rev, const TurnStep& step) {
  auto turn = read_turn(tx.db, id, rev);
  if (!turn) return std::unexpected(turn.error());
  if (!tx.turns.has(step.to)) return refuse("to: \"" + step.to.substr(0, 64) + "\" is no state of a turn");
  if (step.to == TurnTable::kApproved) return refuse("a plan is approved by state.turn.approve, which names its hash");
  if (auto ok = check_step(tx, *turn, step.to); !ok) return std::unexpected(ok.error());
  if (auto ok = check_fence(*turn, step); !ok) return std::unexpected(ok.error());
  if (step.to == TurnTable::kProposed && !turn->before.contains("plan"))
    return conflict(*turn, " and has no plan; propose one by state.turn.propose");
  if (step.to == TurnTable::kExecuting) {
    if (auto ok = check_approval(tx, *turn); !ok) return std::unexpected(ok.error());
  }
  return take_step(tx, *turn, step.to);
}

Result<json> turn_of_archive(const TurnTable& turns, const json& given) {
  Params p(given);
  json body{{"session_id", p.string("session_id")},
            {"state", p.string("state")},
            {"fence", p.integer("fence", 0, kMaxNumber)},
            {"created_ms", p.integer("created_ms", 0, kMaxNumber)},
            {"updated_ms", p.integer("updated_ms", 0, kMaxNumber)}};
  const auto plan = p.maybe_value("plan");
  const auto hash = p.maybe_string("plan_hash");
  const bool approved = p.maybe_object("approval").has_value() || body["state"] == TurnTable::kApproved;
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  const std::string state = body["state"];
  if (!turns.has(state)) return refuse("state: \"" + state.substr(0, 64) + "\" is no state of a turn");
  if (plan) {
    if (auto ok = check_plan(*plan); !ok) return std::unexpected(ok.error());
    set_plan(body, *plan);
    if (hash && json(*hash) != body["plan_hash"]) return refuse("plan_hash is not the hash of the plan");
  } else if (hash || approved || state == TurnTable::kProposed || state == TurnTable::kExecuting) {
    return refuse("plan is missing, which a turn that is " + state.substr(0, 64) + " has");
  }
  if (state == TurnTable::kExecuting) {
    body["state"] = TurnTable::kInterrupted;
    body["fence"] = body["fence"].get<std::uint64_t>() + 1;
  } else if (approved) {
    body["state"] = TurnTable::kProposed;
  }
  return body;
}

Result<json> delete_turn(Transaction& tx, const std::string& id, std::optional<std::uint64_t> rev) {
  auto turn = read_turn(tx.db, id, rev);
  if (!turn) return std::unexpected(turn.error());
  if (turn->state() == TurnTable::kExecuting) return conflict(*turn, "; end or cancel it before it is deleted");
  auto gone = delete_object(tx, turn->object);
  if (!gone) return gone;
  return json{{"turn", std::move(*gone)}};
}

Result<bool> is_executing(const Object& object) {
  const auto turn = open(object);
  if (!turn) return std::unexpected(turn.error());
  return turn->state() == TurnTable::kExecuting;
}

Result<void> interrupt_turns(Transaction& tx) {
  Query q(tx.db, "SELECT " GANTRY_OBJECT_COLUMNS
                 " FROM objects WHERE type = 'turn' AND body ->> '$.state' = 'executing' ORDER BY n");
  auto turns = read_turns(q);
  if (!turns) return std::unexpected(turns.error());
  for (auto& turn : *turns) {
    turn.body.erase("approval");
    turn.body["fence"] = turn.fence() + 1;
    turn.body["state"] = TurnTable::kInterrupted;
    if (auto ok = write_turn(tx, turn); !ok) return std::unexpected(ok.error());
  }
  return {};
}

std::optional<std::int64_t> due_of_turn(const Transaction& tx, const json& body) {
  constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
  std::int64_t due = kNever;
  const std::string state = body["state"];
  if (state == TurnTable::kApproved) due = body.value("approval", json::object()).value("expires_ms", kNever);
  if (const auto* timer = tx.turns.timer_of(state); timer != nullptr)
    due = std::min(due, tx.now.end_ms + timer->seconds * 1000);
  return due == kNever ? std::nullopt : std::optional(due);
}

Result<void> do_due_turns(Transaction& tx) {
  Query q(tx.db, "SELECT " GANTRY_OBJECT_COLUMNS " FROM objects WHERE due_ms <= ? ORDER BY due_ms LIMIT ?",
          tx.now.end_ms, kMaxDue);
  auto turns = read_turns(q);
  if (!turns) return std::unexpected(turns.error());
  for (auto& turn : *turns) {
    const auto expires = turn.before.value("approval", json::object()).value("expires_ms", json());
    if (turn.state() == TurnTable::kApproved && !expires.is_null() && expires <= tx.now.end_ms) {
      if (auto ok = void_approval(tx, turn, "expired"); !ok) return ok;
      turn.body["state"] = TurnTable::kProposed;
      if (auto ok = write_turn(tx, turn, "timer"); !ok) return std::unexpected(ok.error());
    } else if (const auto* timer = tx.turns.timer_of(turn.state()); timer != nullptr && may_stand(turn, timer->to)) {
      if (auto ok = take_step(tx, turn, timer->to, "timer"); !ok) return std::unexpected(ok.error());
    } else {  // nothing that the table knows
      if (auto ok = forget_due(tx, turn.object); !ok) return ok;
    }
  }
  return {};
}

Result<void> signal_turns(Transaction& tx, const std::string& topic, const json& payload) {
  const auto id = [&](const char* member) {
    const auto found = payload.is_object() ? payload.find(member) : payload.end();
    return found != payload.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const bool names_turn = payload.is_object() && payload.contains("turn_id");
  const std::string session = names_turn ? "" : id("session_id");
  if (!names_turn && session.empty()) return {};
  Query q(tx.db,
          "SELECT " GANTRY_OBJECT_COLUMNS
          " FROM objects WHERE type = 'turn' AND body IS NOT NULL AND (id = ?1 OR (parent = ?2 AND ?2 <> '')) "
          "ORDER BY n",
          id("turn_id"), session);
  auto turns = read_turns(q);
  if (!turns) return std::unexpected(turns.error());
  for (auto& turn : *turns) {
    const auto row = std::ranges::find_if(
        tx.turns.topics(), [&](const TurnTable::Topic& of) { return of.topic == topic && of.from == turn.state(); });
    if (row == tx.turns.topics().end() || !may_stand(turn, row->to)) continue;
    if (turn.state() == TurnTable::kExecuting && payload.value("fence", json()) != turn.before["fence"]) continue;
    if (auto ok = take_step(tx, turn, row->to, topic); !ok) return std::unexpected(ok.error());
  }
  return {};
}

Result<void> set_timers(Database& db, const TurnTable& table) {
  {
    Query q(db,
            "UPDATE objects SET due_ms = CASE WHEN body ->> '$.state' = 'plan_approved' "
            "THEN body ->> '$.approval.expires_ms' END WHERE type = 'turn' AND due_ms IS NOT NULL");
    if (auto ok = q.run(); !ok) return ok;
  }
  for (const auto& timer : table.timers()) {
    Query q(db,
            "UPDATE objects SET due_ms = min(coalesce(due_ms, 9223372036854775807), changed_ms + ?) "
            "WHERE type = 'turn' AND body ->> '$.state' = ?",
            timer.seconds * 1000, timer.from);
    if (auto ok = q.run(); !ok) return ok;
  }
  return {};
}

Result<void> check_turns(Database& db, const TurnTable& table) {
  Query q(db, "SELECT id, body ->> '$.state' FROM objects WHERE type = 'turn' AND body IS NOT NULL");
  while (true) {
    const auto row = q.next();
    if (!row) return std::unexpected(row.error());
    if (!*row) return {};
    if (!table.has(q.text(1)))
      return fail(ErrorKind::conflict,
                  "turn " + q.text(0) + " is in the state " + q.text(1) +
                      ", which the table of [state.turns] does not have; add it, or end that turn first");
  }
}

}  // namespace gantry::state
