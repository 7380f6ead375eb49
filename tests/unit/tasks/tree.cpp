// SPDX-License-Identifier: Apache-2.0
//
// The supervisor's tree: scopes, children, restarts, deadlines, grace.
#include "tests/unit/tasks/support.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
using namespace std::chrono_literals;

TEST_CASE("tasks: a handle waits for the end and its result, or cancels") {
  Tree t;
  auto good = t.spawn("good");
  auto bad = t.spawn("bad");
  auto endless = t.spawn("endless");
  t.script.end_now("good");
  t.script.fail_now("bad");
  REQUIRE(good.wait());
  REQUIRE(bad.wait().error().message == "bad broke");
  REQUIRE(endless.wait({.until = std::chrono::steady_clock::now() + 1ms, .token = {}}).error().kind ==
          ErrorKind::timeout);
  REQUIRE(endless.cancel());
  REQUIRE(endless.wait().error().kind == ErrorKind::cancelled);
  REQUIRE(endless.cancel().error().kind == ErrorKind::not_found);
}

TEST_CASE("tasks: what a task started is cancelled when it ends, and its own end is told after theirs") {
  Tree t;
  std::atomic<bool> child_ended{false};
  std::latch go(1);
  std::atomic<bool> ended_first{false};
  auto parent = *t.tasks.spawn("parent", [&](TaskContext& context) -> Result<void> {
    const auto child = context.spawn("child", [&](TaskContext& inner) -> Result<void> {
      wait_until_cancelled(inner.token());
      go.wait();
      child_ended = true;
      return {};
    });
    return child ? Result<void>() : std::unexpected(child.error());
  });
  t.reaches("parent", "ending");
  REQUIRE(t.record("child").parent == "parent");
  REQUIRE(t.tasks.spawn("late", t.script.job("late"), {.parent = "parent"}).error().kind == ErrorKind::conflict);
  go.count_down();
  const auto end = parent.wait();
  ended_first = child_ended.load();
  REQUIRE(end);
  REQUIRE(ended_first);
  REQUIRE(t.state("child") == "cancelled");
  REQUIRE(t.state("parent") == "completed");
}

TEST_CASE("tasks: a scope that is cancelled ends all that is in it, scopes and queued ones included") {
  Tree t;
  REQUIRE(t.tasks.open_scope("outer"));
  REQUIRE(t.tasks.open_scope("inner", {.parent = "outer"}));
  REQUIRE(t.tasks.open_scope("inner").error().kind == ErrorKind::conflict);
  REQUIRE(t.tasks.spawn("x", t.script.job("x"), {.parent = "nowhere"}).error().kind == ErrorKind::not_found);
  auto a = t.spawn("a", {.parent = "outer"});
  auto b = t.spawn("b", {.parent = "inner", .restart = TaskRestart::permanent});
  auto other = t.spawn("other");
  t.runs("a", 1);
  t.runs("b", 1);
  const auto tree = t.tasks.records();
  REQUIRE(tree[0].name == "outer");
  REQUIRE(tree[1].name == "inner");
  REQUIRE(tree[2].name == "b");
  REQUIRE(tree[3].name == "a");
  REQUIRE(t.tasks.cancel("outer"));
  REQUIRE(a.wait().error().kind == ErrorKind::cancelled);
  REQUIRE(b.wait().error().kind == ErrorKind::cancelled);
  t.reaches("outer", "cancelled");
  REQUIRE(t.state("inner") == "cancelled");
  REQUIRE(t.state("other") == "running");
}

TEST_CASE("tasks: temporary ones are never started again, transient ones when they failed, permanent ones always") {
  Tree t;
  for (const auto& [name, restart] :
       {std::pair{"temporary", TaskRestart::temporary}, std::pair{"transient", TaskRestart::transient},
        std::pair{"permanent", TaskRestart::permanent}}) {
    CAPTURE(name, restart);
    REQUIRE(t.tasks.open_scope(std::string("of-") + name));
    auto handle = t.spawn(name, {.parent = std::string("of-") + name, .restart = restart});
    t.runs(name, 1);
    t.script.fail_now(name);
    if (restart == TaskRestart::temporary) {
      REQUIRE(handle.wait().error().message == "temporary broke");
      REQUIRE(t.record(name).restarts == 0);
      continue;
    }
    t.reaches(name, "backing_off");
    REQUIRE(t.record(name).error == std::string(name) + " broke");
    t.back_off();
    t.runs(name, 2);
    REQUIRE(t.record(name).restarts == 1);
    t.script.end_now(name);
    if (restart == TaskRestart::transient) {
      REQUIRE(handle.wait());
      continue;
    }
    t.back_off();
    t.runs(name, 3);
    REQUIRE(handle.cancel());  // a cancel is final
    REQUIRE(handle.wait().error().kind == ErrorKind::cancelled);
  }
  wait_for_log(t, "background task transient restarts: transient broke");
}

TEST_CASE("tasks: the delay before a restart doubles, is shortened by jitter at most, and saturates") {
  Tree t;
  REQUIRE(t.tasks.open_scope("scope", {.intensity = 100, .period = std::chrono::hours(10)}));
  (void)t.spawn("job", {.parent = "scope", .restart = TaskRestart::permanent});
  Duration most = 200ms;
  for (int i = 1; i <= 10; ++i) {
    CAPTURE(i);
    t.runs("job", i);
    t.script.fail_now("job");
    t.reaches("job", "backing_off");
    eventually("its timer", [&] { return t.timers.next_in().has_value(); });
    const Duration delay = *t.timers.next_in();
    REQUIRE(delay <= most);
    REQUIRE(delay >= most * 3 / 4 - 1ms);
    t.timers.advance(delay);
    most = std::min<Duration>(most * 2, 30s);
  }
}

TEST_CASE("tasks: one_for_all ends and starts all again in their first order, rest_for_one those after it") {
  for (const auto strategy : {Strategy::one_for_one, Strategy::rest_for_one, Strategy::one_for_all}) {
    CAPTURE(strategy);
    Tree t;
    REQUIRE(t.tasks.open_scope("scope", {.strategy = strategy}));
    for (const char* const name : {"a", "b", "c"}) {
      (void)t.spawn(name, {.parent = "scope", .restart = TaskRestart::permanent});
      t.runs(name, 1);
    }
    auto helper = t.spawn("helper", {.parent = "scope"});
    t.runs("helper", 1);
    t.script.fail_now("b");
    t.reaches("b", "backing_off");
    if (strategy == Strategy::one_for_all) t.reaches("a", "backing_off");
    if (strategy != Strategy::one_for_one) t.reaches("c", "backing_off");
    // A temporary one is ended with the others, and stays so.
    if (strategy != Strategy::one_for_one) REQUIRE(helper.wait().error().kind == ErrorKind::cancelled);
    t.back_off();
    t.runs("b", 2);
    t.runs("a", strategy == Strategy::one_for_all ? 2 : 1);
    t.runs("c", strategy == Strategy::one_for_one ? 1 : 2);
    REQUIRE(t.state("helper") == (strategy == Strategy::one_for_one ? "running" : "cancelled"));
    REQUIRE(t.record("b").restarts == 1);
    REQUIRE(t.record("a").restarts == 0);
  }
}

TEST_CASE(
    "tasks: a scope with too many restarts in its period gives up, and is started again as a whole by its parent") {
  Tree t;
  REQUIRE(t.tasks.open_scope("outer", {.intensity = 1}));
  REQUIRE(t.tasks.open_scope("inner", {.parent = "outer", .intensity = 2}));
  auto job = t.spawn("job", {.parent = "inner", .restart = TaskRestart::permanent});
  (void)t.spawn("mate", {.parent = "inner", .restart = TaskRestart::permanent});
  t.runs("mate", 1);
  int runs = 0;
  const auto fail_until_inner_gives_up = [&] {
    for (int i = 0; i < 2; ++i) {
      t.runs("job", ++runs);
      t.script.fail_now("job");
      t.reaches("job", "backing_off");
      t.back_off();
    }
    t.runs("job", ++runs);
    t.script.fail_now("job");
  };
  fail_until_inner_gives_up();
  t.reaches("inner", "backing_off");
  REQUIRE(t.state("mate") == "backing_off");
  wait_for_log(t, "scope inner gave up: more than 2 restarts");
  t.back_off();
  t.runs("mate", 2);
  REQUIRE(t.record("inner").restarts == 1);
  // The second time is one too many for the outer one, and that for the root is the first.
  fail_until_inner_gives_up();
  t.reaches("outer", "backing_off");
  t.back_off();
  t.runs("job", ++runs);
  REQUIRE(t.tasks.cancel("outer"));
  REQUIRE(job.wait().error().kind == ErrorKind::cancelled);
}

TEST_CASE("tasks: restarts that lie further apart than the period do not count: the root gives up and lives on") {
  Tree t;
  auto job = t.spawn("job", {.restart = TaskRestart::permanent});
  auto other = t.spawn("other");
  for (int i = 1; i <= 6; ++i) {
    t.runs("job", i);
    t.script.fail_now("job");
    t.reaches("job", "backing_off");
    t.back_off();
    t.timers.advance(25s);  // three in sixty seconds are allowed
  }
  for (int i = 7; i <= 9; ++i) {
    CAPTURE(i);
    t.runs("job", i);
    t.script.fail_now("job");
    if (t.state("job") == "failed") break;
    eventually("its end or a back-off", [&] { return t.state("job") != "running"; });
    if (t.state("job") == "failed") break;
    t.back_off();
  }
  REQUIRE(job.wait().error().message == "job broke");
  REQUIRE(other.wait().error().kind == ErrorKind::cancelled);
  wait_for_log(t, "scope root gave up");
  // It counts anew.
  auto later = t.spawn("later", {.restart = TaskRestart::transient});
  t.runs("later", 1);
  t.script.fail_now("later");
  t.reaches("later", "backing_off");
  t.back_off();
  t.runs("later", 2);
  t.script.end_now("later");
  REQUIRE(later.wait());
}

TEST_CASE("tasks: a run that passes its deadline is told to end, and has failed") {
  Tree t;
  auto job = t.spawn("job", {.deadline = 10s});
  t.runs("job", 1);
  t.timers.advance(9s);
  REQUIRE(t.state("job") == "running");
  t.timers.advance(1s);
  REQUIRE(job.wait().error().kind == ErrorKind::timeout);
  REQUIRE(t.state("job") == "failed");
}

TEST_CASE(
    "tasks: one that does not end within its grace is abandoned: its name and place are free, and its return is "
    "noticed") {
  std::latch go(1);
  Tree t;
  t.tasks.set_limits(1, 300s);
  auto stuck = *t.tasks.spawn("stuck",
                              [&](TaskContext&) -> Result<void> {
                                go.wait();
                                return {};
                              },
                              {.restart = TaskRestart::permanent, .grace = 2s});
  t.reaches("stuck", "running");
  REQUIRE(stuck.cancel());
  t.timers.advance(2s);
  REQUIRE(stuck.wait().error().kind == ErrorKind::timeout);
  REQUIRE(t.state("stuck") == "abandoned");
  REQUIRE(t.tasks.counts().abandoned == 1);
  auto next = t.spawn("stuck");
  t.runs("stuck", 1);
  t.script.end_now("stuck");
  REQUIRE(next.wait());
  go.count_down();
  eventually("its return", [&] { return t.tasks.counts().abandoned == 0; });
  wait_for_log(t, "stuck came back");
}

TEST_CASE("tasks: progress and slow steps are seen while it runs and kept in its record") {
  std::latch slow_begun(1);
  std::latch slow_ends(1);
  std::latch last_begun(1);
  std::latch last_ends(1);
  Tree t;
  auto job = *t.tasks.spawn("job", [&](TaskContext& context) -> Result<void> {
    context.progress("half");
    context.step("quick");
    context.step("slow");
    slow_begun.count_down();
    slow_ends.wait();
    context.step("last");
    last_begun.count_down();
    last_ends.wait();
    return {};
  });
  slow_begun.wait();
  t.timers.advance(3s);
  slow_ends.count_down();
  last_begun.wait();
  const auto live = t.record("job");
  REQUIRE(live.progress == "half");
  REQUIRE(live.slow_steps.size() == 1);
  REQUIRE(live.slow_steps[0].name == "slow");
  REQUIRE(live.slow_steps[0].took == 3s);
  last_ends.count_down();
  REQUIRE(job.wait());
  REQUIRE(t.record("job").slow_steps.size() == 1);
  wait_for_log(t, "background task job: step slow took 3000 ms");
}

TEST_CASE("tasks: each change is an event") {
  Tree t;
  auto events = *t.bus.subscribe({"host.task.*"}, [] {});
  REQUIRE(t.tasks.open_scope("scope"));
  auto job = t.spawn("job", {.parent = "scope", .restart = TaskRestart::transient});
  t.runs("job", 1);
  REQUIRE(!t.tasks.spawn("job", t.script.job("job")));
  t.script.fail_now("job");
  eventually("its restart to be told", [&] { return t.bus.counts().published == 3; });
  t.back_off();
  t.runs("job", 2);
  t.script.end_now("job");
  REQUIRE(job.wait());
  REQUIRE(t.tasks.stop(20s));
  std::vector<std::string> topics;
  while (const auto next = events.subscription->take()) {
    topics.push_back(next->event.topic.substr(10));
    const auto said = json::parse(next->event.payload);
    REQUIRE(said["name"] == (topics.back() == "cancelled" ? "scope" : "job"));
    if (topics.back() == "completed")
      REQUIRE(said == json{{"name", "job"}, {"state", "completed"}, {"parent", "scope"}, {"error", "job broke"}});
  }
  REQUIRE(topics == std::vector<std::string>{"started", "refused", "restarts", "started", "completed", "cancelled"});
}

TEST_CASE("tasks: under random failures, cancels and stops nothing is left, and no name runs twice at once") {
  const char* const wanted = std::getenv("GANTRY_SEED");
  const auto seed = wanted != nullptr ? static_cast<unsigned>(std::atoi(wanted)) : std::random_device()();
  INFO("GANTRY_SEED=" << seed);
  std::mt19937 random(seed);
  std::map<std::string, std::atomic<int>> inside;
  for (const char* const name : {"a", "b", "c", "d", "e", "f"}) inside[name] = 0;
  std::atomic<int> twice{0};
  for (int round = 0; round < 20; ++round) {
    Tree t;
    REQUIRE(t.tasks.open_scope("s1", {.strategy = static_cast<Strategy>(random() % 3), .intensity = 2}));
    REQUIRE(t.tasks.open_scope("s2", {.parent = "s1", .strategy = static_cast<Strategy>(random() % 3)}));
    for (int i = 0; i < 60; ++i) {
      const std::string name(1, static_cast<char>('a' + random() % 6));
      const unsigned what = random();
      TaskOptions options;
      options.parent = std::array{"", "s1", "s2"}[what % 3];
      options.restart = static_cast<TaskRestart>(what / 3 % 3);
      options.grace = std::chrono::hours(1);
      (void)t.tasks.spawn(
          name,
          [&, name, what](TaskContext& context) -> Result<void> {
            if (inside[name].fetch_add(1) != 0) ++twice;
            for (unsigned turns = what % 500; turns != 0 && !context.cancelled(); --turns) std::this_thread::yield();
            inside[name].fetch_sub(1);
            return what % 2 == 0 ? Result<void>() : fail(ErrorKind::internal, "no");
          },
          std::move(options));
      if (random() % 8 == 0) (void)t.tasks.cancel(name);
      if (random() % 20 == 0) (void)t.tasks.cancel(random() % 2 == 0 ? "s1" : "s2");
      if (random() % 20 == 0) (void)t.tasks.open_scope("s1");
      if (const auto next = t.timers.next_in(); next && *next <= 30s && random() % 2 == 0) t.timers.advance(*next);
    }
    REQUIRE(t.tasks.stop(20s));
    REQUIRE(t.tasks.counts().running == 0);
    for (const auto& r : t.tasks.records()) {
      CAPTURE(r.name);
      REQUIRE(r.ended_at != TimePoint());
    }
  }
  REQUIRE(twice == 0);
}
