// SPDX-License-Identifier: Apache-2.0
//
// Tasks that do not end when they are told: how many may be left behind, and who waits for them.
#include "tests/unit/tasks/support.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
using namespace std::chrono_literals;

namespace {
/// As many abandoned tasks as there may be: stuck0 and so on.
struct Abandoned : Tree {
  static constexpr auto kMost = TaskSupervisor::kMaxAbandoned;
  Abandoned() {
    // More of them than the pool has threads: each is replaced.
    for (std::size_t i = 0; i < kMost; ++i)
      REQUIRE(abandon("stuck" + std::to_string(i)).wait().error().kind == ErrorKind::timeout);
    REQUIRE(tasks.counts().abandoned == kMost);
  }
  TaskHandle abandon(const std::string& name) {
    script.deafen(name);
    auto stuck = spawn(name, {.grace = 2s});
    runs(name, 1);
    REQUIRE(stuck.cancel());
    timers.advance(2s);
    return stuck;
  }
};
}  // namespace

TEST_CASE("tasks: when too many are abandoned, the next keeps its place and its name until it returns") {
  Abandoned t;
  constexpr auto kMost = Abandoned::kMost;
  auto last = t.abandon("last");
  wait_for_log(t, "background task last does not end");
  REQUIRE(t.state("last") == "running");
  REQUIRE(t.tasks.counts().abandoned == kMost);
  REQUIRE(t.tasks.counts().running == 1);
  REQUIRE(t.tasks.spawn("last", t.script.job("last")).error().kind == ErrorKind::conflict);
  t.script.let_go("last");
  REQUIRE(last.wait().error().kind == ErrorKind::cancelled);
  REQUIRE(t.state("last") == "cancelled");
  for (std::size_t i = 0; i < kMost; ++i) t.script.let_go("stuck" + std::to_string(i));
  eventually("the others' return, and that the last one's place is free", [&] {
    const auto counts = t.tasks.counts();
    return counts.abandoned == 0 && counts.running == 0;
  });
}

TEST_CASE("tasks: one for whom there was no place among the abandoned gets it when another has come back") {
  Abandoned t;
  auto last = t.abandon("last");
  t.timers.advance(2s);
  REQUIRE(t.state("last") == "running");
  t.script.let_go("stuck0");
  eventually("a return", [&] { return t.tasks.counts().abandoned == Abandoned::kMost - 1; });
  t.timers.advance(2s);
  REQUIRE(last.wait().error().kind == ErrorKind::timeout);
  REQUIRE(t.state("last") == "abandoned");
  REQUIRE(t.tasks.counts().abandoned == Abandoned::kMost);
  const std::string told = "background task last does not end";
  wait_for_log(t, told);
  const auto log = t.log_text();
  REQUIRE(log.find(told, log.find(told) + 1) == std::string::npos);  // once, however often it was looked at
}

TEST_CASE("tasks: a supervisor that is destroyed waits for what it has abandoned") {
  /// Says when a timer is cancelled: the stopping has begun.
  struct Watched final : Timers {
    ManualTimers& timers;
    Script& script;
    Watched(ManualTimers& t, Script& s) : timers(t), script(s) {}
    [[nodiscard]] TimePoint now() const override { return timers.now(); }
    TimerKey at(TimePoint when, Callback callback) override { return timers.at(when, std::move(callback)); }
    bool cancel(TimerKey key) override {
      if (stopping) script.let_all_go();
      return timers.cancel(key);
    }
    std::atomic<bool> stopping{false};
  };
  Tree t;
  Watched timers(t.timers, t.script);
  t.script.deafen("job");
  std::atomic<bool> back{false};
  {
    TaskSupervisor tasks(t.pool, timers, t.bus, *t.log, {.max_running = 8});
    auto job = tasks.spawn("job",
                           [&, run = t.script.job("job")](TaskContext& context) mutable {
                             auto result = run(context);
                             back = true;
                             return result;
                           },
                           {.grace = 2s});
    REQUIRE(job);
    eventually("its start", [&] { return t.script.starts("job") == 1; });
    REQUIRE(job->cancel());
    t.timers.advance(2s);
    REQUIRE(job->wait().error().kind == ErrorKind::timeout);
    timers.stopping = true;
  }
  REQUIRE(back);
}
