// SPDX-License-Identifier: Apache-2.0
//
// gantry/state_machine.hpp: life cycles as tables.
//
//   enum class Light : std::uint8_t { red, green };         // with std::string_view name(Light), "" past the last one
//   enum class Signal : std::uint8_t { timer, failure };    // likewise
//   enum class Lamp : std::uint8_t { show_red, show_green };
//   gantry::TransitionTable<Light, Signal, Lamp> table(Light::red);
//   table.in(Light::red).on(Signal::timer, Light::green, {Lamp::show_green}).ignore({Signal::failure});
//   table.in(Light::green).on(Signal::timer, Light::red, {Lamp::show_red}).on(Signal::failure, Light::red, {...});
//
//   gantry::Strand strand;
//   gantry::StateMachine<Light, Signal, Lamp, Facts> machine(strand, table, [](const auto& step, Facts& facts) {...});
//   machine.post(Signal::timer);
//
// A table is a pure function from (state, event) to (state, actions). Each pair has one of four answers: a step,
// ignored (the event says nothing new), postponed (the event is looked at again after the next change of state, as in
// Erlang's gen_statem), or impossible (the event cannot come there). Tables that people write are made at run time by
// StateTable::make, which says what is wrong with them; a pair without an answer is `undefined` there, and the caller
// decides what that means.
//
// Thread rule: tables are constant once made. Strand and StateMachine: post() from any thread; it does not block. The
// events of all machines of a strand are handled one at a time, in the order of post(), by whichever thread posts to an
// idle strand; actions run on that thread, without a lock, and may post. They must not block and must not throw.
// Bounds: kMaxNames states, events and actions of a table; kMaxPostponed events of a machine (more are an error of the
// table, and end the process); what a strand holds is bounded by those who post to it.
// Never: an event is handled inside another one's actions; two actions of a strand run at once; an event is lost.
// Source: Harel, "Statecharts" (1987); Erlang/OTP, gen_statem ("postpone"); Boost.Asio (strand).
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <gantry/deadline.hpp>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <initializer_list>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace gantry {

/// What a table says of a pair (state, event).
enum class TransitionKind : std::uint8_t { undefined, step, ignored, postponed, impossible };

/// States, events and actions by number, each with a name.
class StateTable {
 public:
  using Index = std::uint16_t;
  static constexpr std::size_t kMaxNames = 256;

  struct Transition {
    TransitionKind kind = TransitionKind::undefined;
    Index to = 0;
    std::vector<Index> actions{};
  };
  /// A table as people write it.
  struct Text {
    struct Row {
      std::string from;
      std::string event;
      std::string to;
      std::vector<std::string> actions{};
    };
    std::vector<std::string> states;  ///< the first one is where a machine begins
    std::vector<std::string> events;
    std::vector<std::string> actions{};
    std::vector<std::string> final_states{};  ///< which nothing leaves
    std::vector<Row> rows;
  };

  StateTable(std::vector<std::string> states, std::vector<std::string> events, std::vector<std::string> actions,
             Index initial)
      : states_(std::move(states)),
        events_(std::move(events)),
        actions_(std::move(actions)),
        initial_(initial),
        transitions_(states_.size() * events_.size()) {}

  /// `invalid_params`, which names the row and the name: an unknown or repeated name, two rows for one pair, a state
  /// that is never reached, a row that leaves a final state, a state from which no final state can be reached.
  [[nodiscard]] static Result<StateTable> make(const Text& text);

  void set(Index state, Index event, Transition transition) {
    transitions_.at((state * events_.size()) + event) = std::move(transition);
  }
  [[nodiscard]] const Transition& at(Index state, Index event) const {
    return transitions_.at((state * events_.size()) + event);
  }
  [[nodiscard]] Index initial() const { return initial_; }
  [[nodiscard]] const std::vector<std::string>& states() const { return states_; }
  [[nodiscard]] const std::vector<std::string>& events() const { return events_; }
  [[nodiscard]] const std::vector<std::string>& actions() const { return actions_; }
  /// The number of this name; empty: there is none.
  [[nodiscard]] std::optional<Index> state(std::string_view name) const { return find(states_, name); }
  [[nodiscard]] std::optional<Index> event(std::string_view name) const { return find(events_, name); }
  /// "state + event" of each pair without an answer.
  [[nodiscard]] std::vector<std::string> undefined() const;
  /// Those that steps lead to from the initial one, which is among them.
  [[nodiscard]] std::set<Index> reachable() const { return reachable_from(initial_); }
  [[nodiscard]] std::set<Index> reachable_from(Index from) const;

 private:
  [[nodiscard]] static std::optional<Index> find(const std::vector<std::string>& names, std::string_view name) {
    const auto it = std::ranges::find(names, name);
    return it == names.end() ? std::nullopt : std::optional(static_cast<Index>(it - names.begin()));
  }

  std::vector<std::string> states_;
  std::vector<std::string> events_;
  std::vector<std::string> actions_;
  Index initial_;
  std::vector<Transition> transitions_;
};

/// The steps of a table as a state diagram of Mermaid: an arrow for each pair of states, with its events.
[[nodiscard]] std::string to_mermaid(const StateTable& table);
/// The table as Markdown: a row for each step; below each state what is ignored and postponed there.
[[nodiscard]] std::string to_markdown(const StateTable& table);

/// A StateTable whose names are enumerators, from 0 on without a gap: `name(e)` gives their names, and an empty one
/// past the last.
template <class State, class Event, class Action>
class TransitionTable {
 public:
  struct Step {
    State from;
    Event event;
    State to;
    Action action;
  };
  /// The rows of one state.
  class Rows {
   public:
    Rows(TransitionTable& table, State state) : table_(table), state_(state) {}
    Rows& on(Event event, State to, const std::vector<Action>& actions = {}) {
      StateTable::Transition out{TransitionKind::step, index(to), {}};
      for (const Action action : actions) out.actions.push_back(index(action));
      table_.put(state_, event, std::move(out));
      return *this;
    }
    Rows& on(std::initializer_list<Event> events, State to, const std::vector<Action>& actions = {}) {
      for (const Event event : events) on(event, to, actions);
      return *this;
    }
    Rows& ignore(std::initializer_list<Event> events) { return answer(events, TransitionKind::ignored); }
    Rows& postpone(std::initializer_list<Event> events) { return answer(events, TransitionKind::postponed); }
    /// Every pair that has no answer yet cannot come.
    Rows& else_impossible() {
      for (StateTable::Index event = 0; event < table_.core_.events().size(); ++event) {
        if (table_.core_.at(index(state_), event).kind == TransitionKind::undefined)
          table_.core_.set(index(state_), event, {TransitionKind::impossible, 0, {}});
      }
      return *this;
    }

   private:
    Rows& answer(std::initializer_list<Event> events, TransitionKind kind) {
      for (const Event event : events) table_.put(state_, event, {kind, 0, {}});
      return *this;
    }
    TransitionTable& table_;
    State state_;
  };

  explicit TransitionTable(State initial)
      : core_(names_of<State>(), names_of<Event>(), names_of<Action>(), index(initial)) {}

  [[nodiscard]] Rows in(State state) { return {*this, state}; }
  [[nodiscard]] const StateTable::Transition& at(State state, Event event) const {
    return core_.at(index(state), index(event));
  }
  [[nodiscard]] State initial() const { return static_cast<State>(core_.initial()); }
  [[nodiscard]] const StateTable& table() const { return core_; }

 private:
  template <class E>
  [[nodiscard]] static StateTable::Index index(E e) {
    return static_cast<StateTable::Index>(e);
  }
  template <class E>
  [[nodiscard]] static std::vector<std::string> names_of() {
    std::vector<std::string> out;
    for (std::size_t i = 0; i < StateTable::kMaxNames && !name(static_cast<E>(i)).empty(); ++i)
      out.emplace_back(name(static_cast<E>(i)));
    return out;
  }
  void put(State state, Event event, StateTable::Transition transition) {
    if (core_.at(index(state), index(event)).kind != TransitionKind::undefined)
      throw std::logic_error(std::string(name(state)) + " + " + std::string(name(event)) + " has two answers");
    core_.set(index(state), index(event), std::move(transition));
  }

  StateTable core_;
};

/// Runs tasks one at a time, in the order in which they were posted, on the thread that posts to it while it is idle.
class Strand {
 public:
  using Task = std::move_only_function<void()>;

  Strand() = default;
  Strand(const Strand&) = delete;
  Strand& operator=(const Strand&) = delete;
  /// Nothing is posted any more, and nothing runs.
  ~Strand() { (void)block_until_idle(); }

  /// Runs `task` here, after those before it; or leaves it to the thread that runs one now. A task that throws, which
  /// none should, keeps no other from its turn: the thread that runs them throws the first exception at the end.
  void post(Task task) {
    {
      const Lock lock(mutex_);
      tasks_.push_back(std::move(task));
      if (std::exchange(runs_, true)) return;
      runner_ = std::this_thread::get_id();
    }
    std::exception_ptr thrown;
    while (auto next = take()) {
      try {
        (*next)();
      } catch (...) {
        if (!thrown) thrown = std::current_exception();
      }
    }
    if (thrown) std::rethrow_exception(thrown);
    // Nothing of the strand is touched from here on: whoever waited for it to be idle may destroy it.
  }
  /// As post(), and returns when `task` has run, or throws what it has thrown; inside of a task it runs at once.
  template <class F>
  void run(F&& task) {
    if (is_runner()) {
      std::forward<F>(task)();
      return;
    }
    bool done = false;  // under mutex_
    std::exception_ptr thrown;
    post([this, &task, &done, &thrown] {
      try {
        task();
      } catch (...) {
        thrown = std::current_exception();
      }
      const Lock lock(mutex_);
      done = true;
      changed_.notify_all();
    });
    {
      const Lock lock(mutex_);
      while (!done) changed_.wait(mutex_);
    }
    if (thrown) std::rethrow_exception(thrown);
  }
  /// False: it still ran at `until`. Not inside of a task.
  [[nodiscard]] bool block_until_idle(std::optional<TimePoint> until = std::nullopt) {
    const Lock lock(mutex_);
    while (runs_) {
      if (!until) {
        changed_.wait(mutex_);
      } else if (!changed_.wait_until(mutex_, *until)) {
        return !runs_;
      }
    }
    return true;
  }

 private:
  [[nodiscard]] bool is_runner() const {
    const Lock lock(mutex_);
    return runs_ && runner_ == std::this_thread::get_id();
  }
  [[nodiscard]] std::optional<Task> take() {
    const Lock lock(mutex_);
    if (tasks_.empty()) {
      runs_ = false;
      runner_ = {};
      changed_.notify_all();
      return std::nullopt;
    }
    Task next = std::move(tasks_.front());
    tasks_.pop_front();
    return next;
  }

  mutable Mutex mutex_{"strand"};
  CondVar changed_;
  std::deque<Task> tasks_ GANTRY_GUARDED_BY(mutex_);
  bool runs_ GANTRY_GUARDED_BY(mutex_) = false;
  std::thread::id runner_ GANTRY_GUARDED_BY(mutex_);
};

/// Where one life cycle is in its table. `Facts` go with an event: what it is about, for the actions; a default one is
/// none.
template <class State, class Event, class Action, class Facts>
class StateMachine {
 public:
  using Table = TransitionTable<State, Event, Action>;
  using Step = typename Table::Step;
  /// Performs one action of a step; the machine is in `step.to` already.
  using Perform = std::function<void(const Step& step, Facts& facts)>;
  /// After the actions of a step that led to another state.
  using Changed = std::function<void(State from, State to)>;
  /// An event came that the table says is impossible. Nothing has changed.
  using Impossible = std::function<void(State state, Event event)>;
  static constexpr std::size_t kMaxPostponed = 256;

  /// `strand` and `table` outlive the machine; the machine outlives its last event. `begin`: another state than the
  /// table's initial one.
  StateMachine(Strand& strand, const Table& table, Perform perform, Changed changed = {}, Impossible impossible = {},
               std::optional<State> begin = std::nullopt)
      : strand_(strand),
        table_(table),
        perform_(std::move(perform)),
        changed_(std::move(changed)),
        impossible_(std::move(impossible)),
        state_(begin.value_or(table.initial())) {}
  StateMachine(const StateMachine&) = delete;
  StateMachine& operator=(const StateMachine&) = delete;

  void post(Event event, Facts facts = {}) {
    strand_.post([this, event, f = std::move(facts)]() mutable { handle(event, std::move(f)); });
  }
  /// In a task of the strand, and not inside of an action: at once.
  void handle(Event event, Facts facts) {
    std::deque<Pending> todo;
    todo.push_back({event, std::move(facts)});
    while (!todo.empty()) {
      Pending now = std::move(todo.front());
      todo.pop_front();
      take(std::move(now), todo);
    }
  }
  /// On the strand it is exact; elsewhere it may have changed already.
  [[nodiscard]] State state() const noexcept { return state_.load(std::memory_order_acquire); }

 private:
  struct Pending {
    Event event;
    Facts facts;
  };
  /// `todo`: what comes next; what was postponed comes before all else.
  void take(Pending now, std::deque<Pending>& todo) {
    const State from = state();
    const auto& answer = table_.at(from, now.event);
    if (answer.kind == TransitionKind::postponed) {
      if (postponed_.size() == kMaxPostponed) std::terminate();
      postponed_.push_back(std::move(now));
    } else if (answer.kind == TransitionKind::step) {
      const State to = static_cast<State>(answer.to);
      state_.store(to, std::memory_order_release);
      for (const auto action : answer.actions) perform_({from, now.event, to, static_cast<Action>(action)}, now.facts);
      if (from == to) return;
      if (changed_) changed_(from, to);
      todo.insert(todo.begin(), std::move_iterator(postponed_.begin()), std::move_iterator(postponed_.end()));
      postponed_.clear();
    } else if (answer.kind != TransitionKind::ignored && impossible_) {
      impossible_(from, now.event);
    }
  }

  Strand& strand_;
  const Table& table_;
  const Perform perform_;
  const Changed changed_;
  const Impossible impossible_;
  std::atomic<State> state_;
  std::vector<Pending> postponed_;  ///< on the strand
};

inline std::vector<std::string> StateTable::undefined() const {
  std::vector<std::string> out;
  for (Index state = 0; state < states_.size(); ++state) {
    for (Index event = 0; event < events_.size(); ++event) {
      if (at(state, event).kind == TransitionKind::undefined) out.push_back(states_[state] + " + " + events_[event]);
    }
  }
  return out;
}

inline std::set<StateTable::Index> StateTable::reachable_from(Index from) const {
  std::set<Index> out{from};
  std::deque<Index> todo{from};
  while (!todo.empty()) {
    const Index state = todo.front();
    todo.pop_front();
    for (Index event = 0; event < events_.size(); ++event) {
      const auto& answer = at(state, event);
      if (answer.kind == TransitionKind::step && out.insert(answer.to).second) todo.push_back(answer.to);
    }
  }
  return out;
}

inline Result<StateTable> StateTable::make(const Text& text) {
  const auto wrong = [](const std::string& what) { return fail(ErrorKind::invalid_params, what); };
  const auto check = [&](const std::vector<std::string>& names, const std::string& kind) -> Result<void> {
    if (names.size() > kMaxNames) return wrong("more than " + std::to_string(kMaxNames) + " names of a " + kind);
    std::set<std::string_view> seen;
    for (const auto& name : names) {
      if (name.empty()) return wrong("the name of a " + kind + " is empty");
      if (!seen.insert(name).second) return wrong(kind + " " + name + " stands there twice");
    }
    return {};
  };
  if (text.states.empty()) return wrong("there is no state");
  if (auto ok = check(text.states, "state"); !ok) return std::unexpected(ok.error());
  if (auto ok = check(text.events, "event"); !ok) return std::unexpected(ok.error());
  if (auto ok = check(text.actions, "action"); !ok) return std::unexpected(ok.error());
  StateTable out(text.states, text.events, text.actions, 0);
  std::set<Index> finals;
  for (const auto& name : text.final_states) {
    const auto state = out.state(name);
    if (!state) return wrong("final state " + name + " is no state");
    finals.insert(*state);
  }
  for (const auto& row : text.rows) {
    const std::string where = row.from + " + " + row.event;
    const auto from = out.state(row.from);
    const auto event = out.event(row.event);
    const auto to = out.state(row.to);
    if (!from) return wrong("row " + where + ": " + row.from + " is no state");
    if (!event) return wrong("row " + where + ": " + row.event + " is no event");
    if (!to) return wrong("row " + where + ": " + row.to + " is no state");
    if (finals.contains(*from)) return wrong("row " + where + ": nothing leaves the final state " + row.from);
    if (out.at(*from, *event).kind != TransitionKind::undefined) return wrong("two rows for " + where);
    Transition transition{TransitionKind::step, *to, {}};
    for (const auto& name : row.actions) {
      const auto action = find(out.actions_, name);
      if (!action) return wrong("row " + where + ": " + name + " is no action");
      transition.actions.push_back(*action);
    }
    out.set(*from, *event, std::move(transition));
  }
  const auto reached = out.reachable();
  for (Index state = 0; state < out.states_.size(); ++state) {
    if (!reached.contains(state)) return wrong("state " + out.states_[state] + " is never reached");
    const auto ends = out.reachable_from(state);
    if (!finals.empty() && std::ranges::none_of(ends, [&](Index end) { return finals.contains(end); }))
      return wrong("no final state can be reached from " + out.states_[state]);
  }
  return out;
}

inline std::string to_mermaid(const StateTable& table) {
  std::string out = "stateDiagram-v2\n    [*] --> " + table.states()[table.initial()] + "\n";
  for (StateTable::Index from = 0; from < table.states().size(); ++from) {
    std::map<StateTable::Index, std::string> arrows;
    for (StateTable::Index event = 0; event < table.events().size(); ++event) {
      const auto& answer = table.at(from, event);
      if (answer.kind != TransitionKind::step || answer.to == from) continue;
      auto& label = arrows[answer.to];
      label += (label.empty() ? "" : ", ") + table.events()[event];
    }
    for (const auto& [to, label] : arrows)
      out += "    " + table.states()[from] + " --> " + table.states()[to] + ": " + label + "\n";
  }
  return out;
}

inline std::string to_markdown(const StateTable& table) {
  std::string out = "| in | comes | then | and |\n|----|-------|------|-----|\n";
  for (StateTable::Index from = 0; from < table.states().size(); ++from) {
    std::string ignored;
    std::string postponed;
    for (StateTable::Index event = 0; event < table.events().size(); ++event) {
      const auto& answer = table.at(from, event);
      const std::string& name = table.events()[event];
      if (answer.kind == TransitionKind::ignored) ignored += (ignored.empty() ? "" : ", ") + name;
      if (answer.kind == TransitionKind::postponed) postponed += (postponed.empty() ? "" : ", ") + name;
      if (answer.kind != TransitionKind::step) continue;
      std::string actions;
      for (const auto action : answer.actions) actions += (actions.empty() ? "" : ", ") + table.actions()[action];
      out += "| " + table.states()[from] + " | " + name + " | " + table.states()[answer.to] + " | " + actions + " |\n";
    }
    if (!postponed.empty()) out += "| " + table.states()[from] + " | " + postponed + " | postponed | |\n";
    if (!ignored.empty()) out += "| " + table.states()[from] + " | " + ignored + " | ignored | |\n";
  }
  return out;
}

}  // namespace gantry
