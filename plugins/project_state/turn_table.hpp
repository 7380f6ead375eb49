// SPDX-License-Identifier: Apache-2.0
//
// turn_table.hpp: the states of a turn and the steps between them, as a table that is checked before it is used.
//
// Users may add states and steps. What a turn promises holds for every table: a turn begins in the first state, is
// carried out in `executing` only, and gets there only by an approval (`plan_approved`) since it was last carried out.
// Some steps may be taken by the time or by an event; neither approves a plan nor begins to carry one out.
//
// Thread rule: constant once made.
// Bounds: kMaxTriggers timers, and as many topics.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <gantry/result.hpp>
#include <gantry/state_machine.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::state {

class TurnTable {
 public:
  struct Row {
    std::string from;
    std::string to;
  };
  /// A turn that has been in `from` for so long goes on to `to`.
  struct Timer {
    std::string from;
    std::int64_t seconds = 0;
    std::string to;
  };
  /// A turn that is in `from` goes on to `to` when an event on `topic` names the turn.
  struct Topic {
    std::string from;
    std::string topic;
    std::string to;
  };
  struct Text {
    std::vector<std::string> states;        ///< the first one is where a turn begins
    std::vector<std::string> final_states;  ///< which nothing leaves
    std::vector<Row> rows;
    std::vector<Timer> timers{};
    std::vector<Topic> topics{};
  };

  static constexpr std::size_t kMaxTriggers = 64;
  static constexpr std::int64_t kMaxSeconds = std::int64_t{366} * 86'400;
  static constexpr std::string_view kTopics = "turn.";  ///< the topics that there may be begin so

  static constexpr std::string_view kProposed = "plan_proposed";
  static constexpr std::string_view kApproved = "plan_approved";
  static constexpr std::string_view kExecuting = "executing";
  static constexpr std::string_view kInterrupted = "interrupted";

  /// The table of docs/state.md.
  [[nodiscard]] static const Text& standard();
  /// Of {states, final_states, transitions: ["FROM -> TO"]}, which are all or none there (none: the standard one), and
  /// {timers: ["FROM after SECONDS s -> TO"], topics: ["FROM on TOPIC -> TO"]}.
  [[nodiscard]] static Result<TurnTable> read(const json& settings);
  /// `invalid_params`, which names the row: what StateTable::make refuses; one of the four states above is missing, or
  /// `executing` is reached without an approval, or does not lead to `interrupted`; a timer or a topic takes no step of
  /// the table, or one that is not for it to take.
  [[nodiscard]] static Result<TurnTable> make(const Text& text);

  [[nodiscard]] const std::string& first() const { return table_.states().front(); }
  [[nodiscard]] bool has(std::string_view state) const { return table_.state(state).has_value(); }
  /// May a turn go from one state to the other?
  [[nodiscard]] bool allows(std::string_view from, std::string_view to) const;
  /// Where a turn may go from there.
  [[nodiscard]] std::vector<std::string> next(std::string_view from) const;
  [[nodiscard]] const StateTable& table() const { return table_; }

  [[nodiscard]] const std::vector<Timer>& timers() const { return timers_; }
  /// nullptr: no time takes a turn out of this state.
  [[nodiscard]] const Timer* timer_of(std::string_view state) const;
  [[nodiscard]] const std::vector<Topic>& topics() const { return topics_; }

 private:
  explicit TurnTable(StateTable table) : table_(std::move(table)) {}
  [[nodiscard]] Result<void> check() const;
  [[nodiscard]] Result<void> check_trigger(const std::string& row, const std::string& from,
                                           const std::string& to) const;
  [[nodiscard]] Result<void> take_triggers(const Text& text);

  StateTable table_;  ///< the event of a step is the name of the state that it leads to
  std::vector<Timer> timers_;
  std::vector<Topic> topics_;
};

}  // namespace gantry::state
