// SPDX-License-Identifier: Apache-2.0
//
// Life cycles as tables: what is wrong with a table that people write is said, and a machine does what its table says.
#include <gantry/state_machine.hpp>
#include <thread>

#include "tests/unit/support/threads.hpp"

using namespace gantry;

namespace {

enum class Gate : std::uint8_t { closed, open, broken };
enum class Push : std::uint8_t { push, pull, kick, knock };
enum class Sound : std::uint8_t { creak, bang };

[[nodiscard]] std::string_view name(Gate state) {
  constexpr std::array<std::string_view, 3> kNames{"closed", "open", "broken"};
  return static_cast<std::size_t>(state) < kNames.size() ? kNames[static_cast<std::size_t>(state)] : "";
}
[[nodiscard]] std::string_view name(Push event) {
  constexpr std::array<std::string_view, 4> kNames{"push", "pull", "kick", "knock"};
  return static_cast<std::size_t>(event) < kNames.size() ? kNames[static_cast<std::size_t>(event)] : "";
}
[[nodiscard]] std::string_view name(Sound action) {
  constexpr std::array<std::string_view, 2> kNames{"creak", "bang"};
  return static_cast<std::size_t>(action) < kNames.size() ? kNames[static_cast<std::size_t>(action)] : "";
}

using Table = TransitionTable<Gate, Push, Sound>;

[[nodiscard]] Table gate() {
  Table table(Gate::closed);
  table.in(Gate::closed)
      .on(Push::push, Gate::open, {Sound::creak})
      .on(Push::kick, Gate::broken, {Sound::creak, Sound::bang})
      .ignore({Push::pull})
      .postpone({Push::knock});
  table.in(Gate::open).on(Push::pull, Gate::closed).on(Push::knock, Gate::open, {Sound::bang}).else_impossible();
  table.in(Gate::broken).ignore({Push::push, Push::pull, Push::kick, Push::knock});
  return table;
}

[[nodiscard]] StateTable::Text turn() {
  return {.states = {"created", "planned", "done"},
          .events = {"plan", "finish"},
          .actions = {"tell"},
          .final_states = {"done"},
          .rows = {{"created", "plan", "planned", {"tell"}}, {"planned", "finish", "done", {}}}};
}

[[nodiscard]] std::string wrong_with(const std::function<void(StateTable::Text&)>& change) {
  auto text = turn();
  change(text);
  const auto made = StateTable::make(text);
  if (made) return {};
  REQUIRE(made.error().kind == ErrorKind::invalid_params);
  return made.error().message;
}

using Machine = StateMachine<Gate, Push, Sound, int>;

}  // namespace

TEST_CASE("state machine: a table that is written at run time answers as it says, and leaves the rest undefined") {
  const auto table = StateTable::make(turn());
  REQUIRE(table);
  const auto& step = table->at(*table->state("created"), *table->event("plan"));
  REQUIRE(step.kind == TransitionKind::step);
  REQUIRE(table->states()[step.to] == "planned");
  REQUIRE(step.actions.size() == 1);
  REQUIRE(table->undefined() ==
          std::vector<std::string>{"created + finish", "planned + plan", "done + plan", "done + finish"});
  REQUIRE_FALSE(table->state("nowhere"));
}

TEST_CASE("state machine: what is wrong with a table is said, with its row and name") {
  using Text = StateTable::Text;
  REQUIRE(wrong_with([](Text& t) { t.states.clear(); }) == "there is no state");
  REQUIRE(wrong_with([](Text& t) { t.states.emplace_back("done"); }) == "state done stands there twice");
  REQUIRE(wrong_with([](Text& t) { t.states.emplace_back(""); }) == "the name of a state is empty");
  REQUIRE(wrong_with([](Text& t) { t.rows[0].to = "plannd"; }) == "row created + plan: plannd is no state");
  REQUIRE(wrong_with([](Text& t) { t.rows[0].event = "plot"; }) == "row created + plot: plot is no event");
  REQUIRE(wrong_with([](Text& t) { t.rows[0].actions = {"sing"}; }) == "row created + plan: sing is no action");
  REQUIRE(wrong_with([](Text& t) { t.rows.push_back(t.rows[0]); }) == "two rows for created + plan");
  REQUIRE(wrong_with([](Text& t) { t.rows.push_back({"done", "plan", "created", {}}); }) ==
          "row done + plan: nothing leaves the final state done");
  REQUIRE(wrong_with([](Text& t) { t.states.emplace_back("lost"); }) == "state lost is never reached");
  REQUIRE(wrong_with([](Text& t) { t.rows.pop_back(), t.rows.push_back({"planned", "finish", "created", {}}); }) ==
          "no final state can be reached from created");
  REQUIRE(wrong_with([](Text& t) {
            t.states.emplace_back("stuck");
            t.rows.push_back({"created", "finish", "stuck", {}});
          }) == "no final state can be reached from stuck");
  REQUIRE(wrong_with([](Text& t) { t.states.resize(StateTable::kMaxNames + 1, "x"); }) ==
          "more than 256 names of a state");
}

TEST_CASE("state machine: a pair has one answer") {
  Table table = gate();
  REQUIRE_THROWS_AS(table.in(Gate::closed).ignore({Push::push}), std::logic_error);
  REQUIRE(table.table().undefined().empty());
  REQUIRE(table.at(Gate::open, Push::push).kind == TransitionKind::impossible);
}

TEST_CASE("state machine: a machine goes where its table says, and performs the actions in their order") {
  const Table table = gate();
  Strand strand;
  std::vector<std::string> heard;
  Machine machine(strand, table, [&](const Machine::Step& step, int& facts) {
    heard.push_back(std::string(name(step.action)) + " " + std::string(name(step.to)) + " " + std::to_string(facts));
  });
  machine.post(Push::pull, 1);
  REQUIRE(machine.state() == Gate::closed);
  machine.post(Push::kick, 2);
  REQUIRE(machine.state() == Gate::broken);
  machine.post(Push::push, 3);
  REQUIRE(heard == std::vector<std::string>{"creak broken 2", "bang broken 2"});
}

TEST_CASE("state machine: a postponed event comes after the next change of state, before all that was posted later") {
  const Table table = gate();
  Strand strand;
  std::vector<int> heard;
  Machine machine(strand, table, [&](const Machine::Step& step, int& facts) {
    if (step.event == Push::push) machine.post(Push::pull, 9);
    heard.push_back(facts);
  });
  machine.post(Push::knock, 1);
  machine.post(Push::knock, 2);
  REQUIRE(heard.empty());
  machine.post(Push::push, 3);  // whose action posts a pull
  REQUIRE(heard == std::vector<int>{3, 1, 2});
  REQUIRE(machine.state() == Gate::closed);
}

TEST_CASE("state machine: an event that cannot come is told, and changes nothing") {
  const Table table = gate();
  Strand strand;
  std::vector<std::pair<Gate, Push>> told;
  Machine machine(
      strand, table, [](const Machine::Step&, int&) {}, {},
      [&](Gate state, Push event) { told.emplace_back(state, event); }, Gate::open);
  machine.post(Push::kick);
  REQUIRE(machine.state() == Gate::open);
  REQUIRE(told == std::vector<std::pair<Gate, Push>>{{Gate::open, Push::kick}});
}

TEST_CASE("state machine: an event that an action posts is handled after the actions, though on the same thread") {
  const Table table = gate();
  Strand strand;
  std::string heard;
  Machine machine(strand, table, [&](const Machine::Step& step, int&) {
    heard += "(";
    if (step.event == Push::push) machine.post(Push::pull);
    if (step.event == Push::pull) heard += "never: pull has no action";
    heard += ")";
  });
  machine.post(Push::push);
  REQUIRE(heard == "()");
  REQUIRE(machine.state() == Gate::closed);
}

TEST_CASE("state machine: the tasks of a strand run one at a time and in order, whichever threads post them") {
  constexpr int kThreads = 4;
  constexpr int kTasks = 2000;
  Strand strand;
  std::atomic<int> inside{0};
  std::array<int, kThreads> last{};
  bool in_order = true;
  bool alone = true;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 1; i <= kTasks; ++i) {
        strand.post([&, thread, i] {
          alone = alone && inside.fetch_add(1) == 0;
          in_order = in_order && last[static_cast<std::size_t>(thread)] == i - 1;
          last[static_cast<std::size_t>(thread)] = i;
          inside.fetch_sub(1);
        });
      }
    });
  }
  for (auto& thread : threads) thread.join();
  REQUIRE(strand.block_until_idle());
  REQUIRE(alone);
  REQUIRE(in_order);
  REQUIRE(last == std::array<int, kThreads>{kTasks, kTasks, kTasks, kTasks});
}

TEST_CASE("state machine: run() returns when its task has run, and runs it at once inside of one") {
  Strand strand;
  std::thread other([&] {
    for (int i = 0; i < 1000; ++i) {
      int done = 0;
      strand.run([&] { done = 1; });
      if (done == 0) std::abort();
    }
  });
  for (int i = 0; i < 1000; ++i) {
    int inner = 0;
    strand.run([&] { strand.run([&] { inner = 1; }); });
    REQUIRE(inner == 1);
  }
  other.join();
}

TEST_CASE("state machine: a task that throws leaves the strand in order") {
  Strand strand;
  REQUIRE_THROWS_AS(strand.post([] { throw std::runtime_error("no"); }), std::runtime_error);
  bool ran = false;
  strand.post([&] { ran = true; });
  REQUIRE(ran);
}

TEST_CASE("state machine: a task that throws keeps none of those that wait behind it from its turn") {
  Strand strand;
  std::atomic<bool> entered{false};
  std::atomic<bool> queued{false};
  std::atomic<bool> ran{false};
  std::thread other([&] {
    while (!entered) std::this_thread::yield();
    strand.post([&] { ran = true; });
    queued = true;
    strand.run([] {});
  });
  REQUIRE_THROWS_AS(strand.post([&] {
    entered = true;
    while (!queued) std::this_thread::yield();
    throw std::runtime_error("no");
  }),
                    std::runtime_error);
  REQUIRE(ran);
  other.join();
}

TEST_CASE("state machine: the printer shows each step of a table, and what is ignored and postponed") {
  const Table table = gate();
  REQUIRE(to_mermaid(table.table()) ==
          "stateDiagram-v2\n    [*] --> closed\n    closed --> open: push\n    closed --> broken: kick\n"
          "    open --> closed: pull\n");
  REQUIRE(to_markdown(table.table()) ==
          "| in | comes | then | and |\n|----|-------|------|-----|\n"
          "| closed | push | open | creak |\n| closed | kick | broken | creak, bang |\n"
          "| closed | knock | postponed | |\n| closed | pull | ignored | |\n"
          "| open | pull | closed |  |\n| open | knock | open | bang |\n"
          "| broken | push, pull, kick, knock | ignored | |\n");
}
