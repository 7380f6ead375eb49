// SPDX-License-Identifier: Apache-2.0
//
// turns.hpp: the turns of AI agents: {id, rev, session_id, state, fence, plan?, plan_hash?, approval?, created_ms,
// updated_ms}. A turn's life is a table (turn_table.hpp); every step is a compare-and-set on its rev, so one of those
// who try at once wins.
//
// Approval: bound to the hash of the plan and to the rev; {plan_hash, rev, approved_ms, expires_ms?, client?}. Another
//   plan, or the end of its time, voids the approval, with an event. It is kept beside the turn in a chain of hashes
//   (table `audit`), so that a row that is changed later shows.
// Fence: a number that grows when a turn enters `executing` or `interrupted`. Whoever carries a turn out names it when
//   the turn leaves `executing`: a result that comes late, after a restart, is refused.
// Restart: what was executing is `interrupted`, and never goes on by itself.
//
// Thread rule: one thread, the store's.
// Bounds: a plan of 1 MiB; Limits::max_turns.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <optional>
#include <string>

#include "plugins/project_state/transaction.hpp"

namespace gantry::state {

/// With a plan the turn is `plan_proposed`. Returns {turn}, as the functions below.
[[nodiscard]] Result<json> create_turn(Transaction& tx, const std::string& session, const std::optional<json>& plan);
/// `rev` empty: any revision. `conflict`: the table does not allow it in this state.
[[nodiscard]] Result<json> propose_plan(Transaction& tx, const std::string& id, std::optional<std::uint64_t> rev,
                                        const json& plan);
struct Approval {
  std::string plan_hash;
  std::optional<std::int64_t> expires_in_ms;
  std::string client;  ///< who approves; empty: not known
};
/// `conflict`: the turn has no plan that waits for approval, or another one.
[[nodiscard]] Result<json> approve_plan(Transaction& tx, const std::string& id, std::optional<std::uint64_t> rev,
                                        const Approval& approval);
struct TurnStep {
  std::string to;
  std::optional<std::uint64_t> fence;  ///< needed to leave `executing`
};
/// `conflict`: the table does not allow the step, the fence is old, the approval has expired.
[[nodiscard]] Result<json> step_turn(Transaction& tx, const std::string& id, std::optional<std::uint64_t> rev,
                                     const TurnStep& step);
/// The body of a turn that an archive has, as the turn goes on here: without an approval, so that what was approved is
/// proposed, and what was executing interrupted under a new fence.
[[nodiscard]] Result<json> turn_of_archive(const TurnTable& turns, const json& given);
/// `conflict`: the turn executes.
[[nodiscard]] Result<json> delete_turn(Transaction& tx, const std::string& id, std::optional<std::uint64_t> rev);

[[nodiscard]] Result<bool> is_executing(const Object& turn);
/// Turns that were executing when the host ended are interrupted, under a new fence.
[[nodiscard]] Result<void> interrupt_turns(Transaction& tx);
/// When something is to be done with a turn that becomes `body` now, by the wall clock: its approval ends, or the time
/// takes a step.
[[nodiscard]] std::optional<std::int64_t> due_of_turn(const Transaction& tx, const json& body);
/// Voids the approvals whose time is over, and takes the steps of the table's timers, for kMaxDue turns at most.
[[nodiscard]] Result<void> do_due_turns(Transaction& tx);
inline constexpr std::uint64_t kMaxDue = 256;
/// Takes the steps that the table has for an event on this topic: of the turn that `turn_id` of the payload names or,
/// where that member is not there, of the turns of the session that `session_id` names. A turn that executes is meant
/// only if the payload has its `fence`.
[[nodiscard]] Result<void> signal_turns(Transaction& tx, const std::string& topic, const json& payload);
/// When which turns are due, by the timers of this table. Of a store whose table may have been another one before.
[[nodiscard]] Result<void> set_timers(Database& db, const TurnTable& table);
/// `conflict`: a turn is in a state that the table does not have.
[[nodiscard]] Result<void> check_turns(Database& db, const TurnTable& table);

}  // namespace gantry::state
