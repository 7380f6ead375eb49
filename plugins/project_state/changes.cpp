// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/changes.hpp"

#include <map>
#include <memory>
#include <vector>

#include "plugins/project_state/archive.hpp"
#include "plugins/project_state/cleanup.hpp"
#include "plugins/project_state/fields.hpp"
#include "plugins/project_state/history.hpp"
#include "plugins/project_state/layouts.hpp"
#include "plugins/project_state/panes.hpp"
#include "plugins/project_state/plan.hpp"
#include "plugins/project_state/sessions.hpp"
#include "plugins/project_state/turns.hpp"

namespace gantry::state {

namespace {

constexpr std::int64_t kMaxRev = std::int64_t{1} << 53;  // what every JSON reader can hold
constexpr std::int64_t kMaxStaleDays = 100'000;
constexpr std::int64_t kMaxExpiry = std::int64_t{366} * 86'400;  // seconds

[[nodiscard]] std::optional<std::uint64_t> read_rev(Params& p) {
  const auto rev = p.maybe_integer("rev", 0, kMaxRev);
  return rev ? std::optional<std::uint64_t>(static_cast<std::uint64_t>(*rev)) : std::nullopt;
}

/// As read_rev(), where the caller has to say null to mean any revision.
[[nodiscard]] std::optional<std::uint64_t> need_rev(Params& p) {
  p.require(p.maybe_value("rev").has_value(),
            "rev is missing; give the rev that you have read, or null to change it whatever its rev is");
  return read_rev(p);
}

[[nodiscard]] json read_fields(Params& p, const std::vector<std::string>& names) {
  json fields = json::object();
  for (const auto& name : names) {
    if (auto value = p.maybe_value(name.c_str())) fields[name] = std::move(*value);
  }
  return fields;
}

/// The apply of a change whose params are read: first the params, then the further check.
[[nodiscard]] Result<Apply> checked(Params& p, const std::function<Result<void>()>& check, Apply apply) {
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  if (auto ok = check(); !ok) return std::unexpected(ok.error());
  return apply;
}
[[nodiscard]] Result<void> nothing_more() { return {}; }

[[nodiscard]] Result<Apply> read_session_create(Params& p, const Caller& /*caller*/, std::string& /*place*/) {
  p.require(p.maybe_value("name").has_value(), "name is missing; it must be a string");
  const json fields = read_fields(p, session_type().fields);
  return checked(
      p, [&] { return check_fields(session_type(), fields); },
      [fields](Transaction& tx) { return create_document(tx, session_type(), "", fields, json::object()); });
}

template <const DocumentType& (*kType)()>
[[nodiscard]] Result<Apply> read_update(Params& p, const Caller& /*caller*/, std::string& /*place*/) {
  const std::string id = p.string("id");
  const json patch = p.object("patch");
  const auto rev = need_rev(p);
  return checked(
      p, [&] { return check_fields(kType(), patch); },
      [id, rev, patch](Transaction& tx) { return update_document(tx, kType(), id, rev, patch); });
}

template <Result<json> (*kDelete)(Transaction&, const std::string&, std::optional<std::uint64_t>)>
[[nodiscard]] Result<Apply> read_delete(Params& p, const Caller& /*caller*/, std::string& /*place*/) {
  const std::string id = p.string("id");
  const auto rev = read_rev(p);
  return checked(p, &nothing_more, [id, rev](Transaction& tx) { return kDelete(tx, id, rev); });
}

[[nodiscard]] Result<Apply> read_pane_create(Params& p, const Caller& /*caller*/, std::string& /*place*/) {
  const std::string session = p.string("session_id");
  const std::string kind = p.string("kind");
  p.require(kind == "terminal" || kind == "editor", R"(kind must be "terminal" or "editor")");
  const json fields = read_fields(p, pane_type().fields);
  return checked(
      p, [&] { return check_fields(pane_type(), fields); },
      [session, kind, fields](Transaction& tx) { return create_pane(tx, session, kind, fields); });
}

[[nodiscard]] Result<Apply> read_layout_update(Params& p, const Caller& /*caller*/, std::string& /*place*/) {
  const std::string session = p.string("session_id");
  const json patch = p.object("patch");
  const auto rev = need_rev(p);
  return checked(
      p, [&] { return check_layout_patch(patch); },
      [session, rev, patch](Transaction& tx) { return update_layout(tx, session, rev, patch); });
}

[[nodiscard]] Result<Apply> read_settings_set(Params& p, const Caller& caller, std::string& place) {
  const std::string key = p.string("key");
  const json value = p.value("value");
  const SetOptions options{read_rev(p), p.boolean_or("retype", false)};
  const std::string durability = p.string_or("durability", "D2");  // in a batch it is D2
  p.require(durability == "D0" || durability == "D1" || durability == "D2", "durability must be D0, D1 or D2");
  const auto scope = caller.scope(p);
  if (!scope) return std::unexpected(scope.error());
  place = scope->stored();
  const auto check = [&]() -> Result<void> {
    if (auto ok = check_setting_key(key); !ok) return ok;
    return check_setting_value(value);
  };
  return checked(p, check, [scope = *scope, key, value, options](Transaction& tx) {
    return set_setting(tx, scope, key, value, options);
  });
}

[[nodiscard]] Result<Apply> read_turn_create(Params& p, const Caller& /*caller*/, std::string& /*place*/) {
  const std::string session = p.string("session_id");
  const auto plan = p.maybe_value("plan");
  return checked(
      p, [&] { return plan ? check_plan(*plan) : Result<void>(); },
      [session, plan](Transaction& tx) { return create_turn(tx, session, plan); });
}

[[nodiscard]] Result<Apply> read_turn_propose(Params& p, const Caller& /*caller*/, std::string& /*place*/) {
  const std::string id = p.string("id");
  const auto rev = need_rev(p);
  const json plan = p.value("plan");
  return checked(
      p, [&] { return check_plan(plan); },
      [id, rev, plan](Transaction& tx) { return propose_plan(tx, id, rev, plan); });
}

[[nodiscard]] Result<Apply> read_turn_approve(Params& p, const Caller& caller, std::string& /*place*/) {
  const std::string id = p.string("id");
  const auto rev = need_rev(p);
  Approval approval{p.string("plan_hash"), std::nullopt, caller.client()};
  if (const auto seconds = p.maybe_integer("expires_in_seconds", 1, kMaxExpiry))
    approval.expires_in_ms = *seconds * 1000;
  return checked(p, &nothing_more,
                 [id, rev, approval](Transaction& tx) { return approve_plan(tx, id, rev, approval); });
}

[[nodiscard]] Result<Apply> read_turn_transition(Params& p, const Caller& /*caller*/, std::string& /*place*/) {
  const std::string id = p.string("id");
  const auto rev = need_rev(p);
  TurnStep step{p.string("to"), std::nullopt};
  if (const auto fence = p.maybe_integer("fence", 0, kMaxRev)) step.fence = static_cast<std::uint64_t>(*fence);
  return checked(p, &nothing_more, [id, rev, step](Transaction& tx) { return step_turn(tx, id, rev, step); });
}

[[nodiscard]] Result<Apply> read_restore(Params& p, const Caller& /*caller*/, std::string& /*place*/) {
  const auto seq = static_cast<std::uint64_t>(p.integer("seq", 0, kMaxRev));
  const std::string scope = p.string("scope");
  const bool dry_run = p.boolean_or("dry_run", false);
  return checked(p, &nothing_more,
                 [seq, scope, dry_run](Transaction& tx) { return restore_state(tx, seq, scope, dry_run); });
}

[[nodiscard]] Result<Apply> read_gc(Params& p, const Caller& /*caller*/, std::string& /*place*/) {
  const auto stale_days = p.integer("stale_days", 1, kMaxStaleDays);
  const bool dry_run = p.boolean_or("dry_run", false);
  return checked(p, &nothing_more,
                 [stale_days, dry_run](Transaction& tx) { return clean_up(tx, stale_days, dry_run); });
}

[[nodiscard]] Result<Apply> read_import(Params& p, const Caller& /*caller*/, std::string& /*place*/) {
  json objects = p.array("objects");
  const auto on_conflict = on_conflict_of(p.string_or("on_conflict", "refuse"));
  p.require(on_conflict.has_value(), "on_conflict must be \"refuse\", \"keep\" or \"replace\"");
  const bool dry_run = p.boolean_or("dry_run", false);
  return checked(p, &nothing_more, [objects = std::move(objects), on_conflict, dry_run](Transaction& tx) {
    return import_objects(tx, objects, *on_conflict, dry_run);
  });
}

template <Result<json> (*kDo)(Transaction&, const std::string&)>
[[nodiscard]] Result<Apply> read_checkpoint(Params& p, const Caller& /*caller*/, std::string& /*place*/) {
  const std::string name = p.string("name");
  return checked(p, &nothing_more, [name](Transaction& tx) { return kDo(tx, name); });
}

struct Op {
  std::string name;  ///< as an error says it
  Apply apply;
};

[[nodiscard]] Result<json> run_batch(Transaction& tx, const std::vector<Op>& ops) {
  const std::uint64_t from = tx.ledger.seq + 1;
  json results = json::array();
  for (const auto& op : ops) {
    auto result = op.apply(tx);
    if (!result) {
      Error error = result.error();
      error.message = op.name + ": " + error.message + "; nothing of the batch was done";
      return std::unexpected(std::move(error));
    }
    results.push_back(std::move(*result));
  }
  if (auto ok = tx.append_project_changed(from); !ok) return std::unexpected(ok.error());
  return json{{"results", std::move(results)}};
}

}  // namespace

const ReadChange* find_change(std::string_view method) {
  static const std::map<std::string_view, ReadChange> kChanges{
      {"state.session.create", {&read_session_create}},
      {"state.session.update", {&read_update<&session_type>}},
      {"state.session.delete", {&read_delete<&delete_session>}},
      {"state.pane.create", {&read_pane_create}},
      {"state.pane.update", {&read_update<&pane_type>}},
      {"state.pane.delete", {&read_delete<&delete_pane>}},
      {"state.layout.update", {&read_layout_update}},
      {"state.settings.set", {&read_settings_set}},
      {"state.turn.create", {&read_turn_create}},
      {"state.turn.propose", {&read_turn_propose}},
      {"state.turn.approve", {&read_turn_approve}},
      {"state.turn.transition", {&read_turn_transition}},
      {"state.turn.delete", {&read_delete<&delete_turn>}},
      {"state.restore", {&read_restore, false}},
      {"state.gc", {&read_gc, false}},
      {"state.import", {&read_import, false}},
      {"state.checkpoint.create", {&read_checkpoint<&create_checkpoint>, false}},
      {"state.checkpoint.delete", {&read_checkpoint<&delete_checkpoint>, false}},
  };
  const auto found = kChanges.find(method);
  return found == kChanges.end() ? nullptr : &found->second;
}

Result<Apply> read_batch(Params& params, const Caller& caller, std::string& place) {
  const json given = params.array("ops");
  if (auto ok = params.done(); !ok) return std::unexpected(ok.error());
  if (given.size() > kMaxOps) return too_large("a batch may have 1000 operations, not " + std::to_string(given.size()));
  auto ops = std::make_shared<std::vector<Op>>();
  for (const auto& entry : given) {
    const std::string where = "ops[" + std::to_string(ops->size()) + "]";
    const auto fails = [&](const Error& error, const std::string& what) {
      return std::unexpected(Error{error.kind, what + ": " + error.message, error.data});
    };
    Params op(entry);
    const std::string method = op.string("method");
    Params inner(op.maybe_object("params").value_or(json::object()));
    if (auto ok = op.done(); !ok) return fails(ok.error(), where);
    const auto* change = find_change(method);
    if (change == nullptr || !change->in_batch)
      return refuse(where + ": \"" + method.substr(0, 64) +
                    "\" is no method that changes state and can be part of a batch");
    std::string of_op;
    auto apply = change->read(inner, caller, of_op);
    if (!apply) return fails(apply.error(), where + " " + method);
    place += of_op + "\n";
    ops->push_back({where + " " + method, std::move(*apply)});
  }
  return [ops](Transaction& tx) { return run_batch(tx, *ops); };
}

}  // namespace gantry::state
