// SPDX-License-Identifier: Apache-2.0
//
// How tasks end together: in which order they are told, what their owners hear, and what stays behind.
#include "tests/unit/tasks/support.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
using namespace std::chrono_literals;

namespace {
constexpr auto kPermanent = TaskRestart::permanent;
constexpr auto kTransient = TaskRestart::transient;

/// Notes when it is told to end.
struct Told {
  std::mutex mutex;
  std::vector<std::string> names;
  std::atomic<int> running{0};

  TaskJob job(const std::string& name) {
    return [this, name](TaskContext& context) -> Result<void> {
      const std::stop_callback told(context.token(), [&] {
        const std::lock_guard guard(mutex);
        names.push_back(name);
      });
      ++running;
      wait_until_cancelled(context.token());
      return {};
    };
  }
};
}  // namespace

TEST_CASE("tasks: those that end together are told in the reverse order of their start") {
  for (const bool by_stop : {true, false}) {
    CAPTURE(by_stop);
    Told told;
    Tree t;
    REQUIRE(t.tasks.open_scope("outer", {.strategy = Strategy::one_for_all}));
    (void)t.tasks.spawn("a", told.job("a"), {.parent = "outer", .restart = kPermanent});
    REQUIRE(t.tasks.open_scope("inner", {.parent = "outer"}));
    (void)t.tasks.spawn("b", told.job("b"), {.parent = "inner", .restart = kPermanent});
    (void)t.tasks.spawn("c", told.job("c"), {.parent = "inner"});
    (void)t.tasks.spawn("d", told.job("d"), {.parent = "outer", .restart = kPermanent});
    (void)t.spawn("cause", {.parent = "outer", .restart = kPermanent});
    eventually("all", [&] { return told.running == 4; });
    if (by_stop) {
      REQUIRE(t.tasks.stop(20s));
    } else {
      t.script.fail_now("cause");
      for (const char* const name : {"a", "b", "d", "cause"}) t.reaches(name, "backing_off");
      t.reaches("c", "cancelled");
    }
    REQUIRE(told.names == std::vector<std::string>{"d", "c", "b", "a"});
  }
}

TEST_CASE("tasks: one that is cancelled shows no error of an earlier run") {
  Tree t;
  for (const std::string name : {"waits", "runs"}) {
    CAPTURE(name);
    (void)t.spawn(name, {.restart = kTransient});
    t.runs(name, 1);
    t.script.fail_now(name);
    t.reaches(name, "backing_off");
    if (name == "runs") {
      t.back_off();
      t.runs(name, 2);
    }
    REQUIRE(t.record(name).error == name + " broke");
    REQUIRE(t.tasks.cancel(name));
    t.reaches(name, "cancelled");
    REQUIRE(t.record(name).error.empty());
  }
}

TEST_CASE("tasks: a stop ends what is being started again, and leaves no timer behind") {
  Tree t;
  REQUIRE(t.tasks.open_scope("outer", {.strategy = Strategy::one_for_all}));
  auto a = t.spawn("a", {.parent = "outer", .restart = kPermanent});
  REQUIRE(t.tasks.open_scope("inner", {.parent = "outer"}));
  auto x = t.spawn("x", {.parent = "inner", .restart = kPermanent});
  auto deaf = t.spawn("deaf", {.parent = "inner", .restart = kPermanent, .grace = 1h});
  auto alone = t.spawn("alone", {.restart = kPermanent});
  for (const char* const name : {"a", "x", "deaf", "alone"}) t.runs(name, 1);
  t.script.end_now("over");
  REQUIRE(t.spawn("over").wait());  // its record is to be cleaned up
  t.script.deafen("deaf");
  t.script.fail_now("a");
  t.script.fail_now("alone");
  for (const char* const name : {"a", "x", "alone"}) t.reaches(name, "backing_off");
  eventually("its timer", [&] { return !t.calm(); });
  bool ended = false;
  std::thread stopper([&] { ended = t.tasks.stop(20s); });
  REQUIRE(a.wait().error().kind == ErrorKind::cancelled);
  REQUIRE(x.wait().error().kind == ErrorKind::cancelled);
  REQUIRE(alone.wait().error().kind == ErrorKind::cancelled);
  t.script.let_go("deaf");
  stopper.join();
  REQUIRE(ended);
  REQUIRE(deaf.wait().error().kind == ErrorKind::cancelled);
  REQUIRE(t.state("outer") == "cancelled");
  REQUIRE(t.state("inner") == "cancelled");
  REQUIRE(!t.timers.next_in());
}

TEST_CASE("tasks: a stop waits for an end that is still being told") {
  std::latch telling(1);
  std::latch go(1);
  Tree t;
  auto events = *t.bus.subscribe({"host.task.completed"}, [&] {
    telling.count_down();
    go.wait();
  });
  (void)t.spawn("job");
  t.runs("job", 1);
  t.script.end_now("job");
  telling.wait();
  const bool early = t.tasks.stop(1ms);
  go.count_down();
  REQUIRE(!early);
  REQUIRE(t.tasks.stop(20s));
}

TEST_CASE("tasks: a stop that leaves one abandoned says so") {
  Tree t;
  auto stuck = t.spawn("stuck", {.grace = 2s});
  t.runs("stuck", 1);
  t.script.deafen("stuck");
  REQUIRE(stuck.cancel());
  t.timers.advance(2s);
  REQUIRE(stuck.wait().error().kind == ErrorKind::timeout);
  REQUIRE(!t.tasks.stop(20s));
  t.script.let_go("stuck");
  eventually("its return", [&] { return t.tasks.counts().abandoned == 0; });
  REQUIRE(t.tasks.stop(20s));
}

TEST_CASE("tasks: a task whose own tasks fail too often is told to end, and has failed") {
  std::atomic<int> runs{0};
  Tree t;
  auto parent = *t.tasks.spawn("parent",
                               [&](TaskContext& context) -> Result<void> {
                                 const auto child =
                                     context.spawn("child", t.script.job("child"), {.restart = kPermanent});
                                 ++runs;
                                 wait_until_cancelled(context.token());
                                 return child ? Result<void>() : std::unexpected(child.error());
                               },
                               {.restart = kTransient});
  for (int i = 1; i <= 3; ++i) {
    t.runs("child", i);
    t.script.fail_now("child");
    t.reaches("child", "backing_off");
    t.back_off();
  }
  t.runs("child", 4);
  t.script.fail_now("child");
  t.reaches("parent", "backing_off");
  REQUIRE(t.record("parent").error.find("more than 3 restarts") == 0);
  REQUIRE(t.state("child") == "failed");
  t.back_off();
  eventually("its second run", [&] { return runs == 2; });
  // The restarts of the first run are not counted in the second.
  t.runs("child", 5);
  t.script.fail_now("child");
  t.reaches("child", "backing_off");
  REQUIRE(parent.cancel());
  REQUIRE(parent.wait().error().kind == ErrorKind::cancelled);
}

TEST_CASE("tasks: the owner of a task whose own tasks failed too often hears of that, whatever its job returned") {
  Tree t;
  auto parent = *t.tasks.spawn("parent", [&](TaskContext& context) -> Result<void> {
    const auto child = context.spawn("child", [](TaskContext&) { return fail(ErrorKind::internal, "broken"); },
                                     {.restart = kPermanent});
    wait_until_cancelled(context.token());
    return child ? Result<void>() : std::unexpected(child.error());
  });
  for (int i = 0; i < 3; ++i) t.back_off();
  REQUIRE(parent.wait().error().message.find("more than 3 restarts") == 0);
  REQUIRE(t.state("parent") == "failed");
}

TEST_CASE("tasks: a scope that is ending takes nothing new") {
  for (const bool by_cancel : {true, false}) {
    CAPTURE(by_cancel);
    Tree t;
    REQUIRE(t.tasks.open_scope("scope", {.restart = TaskRestart::temporary, .intensity = 0}));
    auto deaf = t.spawn("deaf", {.parent = "scope", .grace = 1h});
    auto bad = t.spawn("bad", {.parent = "scope", .restart = kPermanent});
    t.runs("deaf", 1);
    t.runs("bad", 1);
    t.script.deafen("deaf");
    if (by_cancel) {
      REQUIRE(t.tasks.cancel("scope"));
    } else {
      t.script.fail_now("bad");
    }
    REQUIRE(!bad.wait());
    const auto late = t.tasks.spawn("late", t.script.job("late"), {.parent = "scope"});
    REQUIRE(late.error().message == "scope is ending; late was not started in it");
    REQUIRE(t.tasks.open_scope("late", {.parent = "scope"}).error().kind == ErrorKind::conflict);
    t.script.let_go("deaf");
    REQUIRE(deaf.wait().error().kind == ErrorKind::cancelled);
    t.reaches("scope", by_cancel ? "cancelled" : "failed");
  }
}

TEST_CASE("tasks: one that has ended leaves no timer of its deadline, its grace or its own tasks behind") {
  std::latch go(1);
  Tree t;
  auto parent = *t.tasks.spawn("parent", [&](TaskContext& context) -> Result<void> {
    const auto child = context.spawn("child", t.script.job("child"), {.restart = kPermanent});
    go.wait();
    return child ? Result<void>() : std::unexpected(child.error());
  });
  t.runs("child", 1);
  t.script.fail_now("child");
  t.reaches("child", "backing_off");
  eventually("its restart to be due", [&] { return !t.calm(); });
  go.count_down();
  REQUIRE(parent.wait());
  REQUIRE(t.tasks.open_scope("scope"));
  auto job = t.spawn("job", {.parent = "scope", .restart = kPermanent});
  t.runs("job", 1);
  t.script.fail_now("job");
  t.reaches("job", "backing_off");
  REQUIRE(t.tasks.cancel("scope"));
  REQUIRE(job.wait().error().kind == ErrorKind::cancelled);
  auto timed = t.spawn("timed", {.deadline = 10s});
  auto told = t.spawn("told", {.grace = 20s});
  t.runs("timed", 1);
  t.runs("told", 1);
  t.script.end_now("timed");
  REQUIRE(timed.wait());
  REQUIRE(told.cancel());
  REQUIRE(told.wait().error().kind == ErrorKind::cancelled);
  eventually("no restart to be due", [&] { return t.calm(); });
}

TEST_CASE("tasks: a timer of an earlier run that comes too late does nothing to the next one") {
  Tree t(true);
  REQUIRE(t.tasks.open_scope("scope", {.strategy = Strategy::one_for_all}));
  (void)t.spawn("a", {.parent = "scope", .restart = kPermanent});
  (void)t.spawn("b", {.parent = "scope", .restart = kPermanent, .deadline = 10s, .grace = 5s});
  t.runs("a", 1);
  t.runs("b", 1);
  t.script.fail_now("a");  // b is told to end: a timer for its grace
  t.reaches("b", "backing_off");
  t.reaches("a", "backing_off");
  t.back_off();
  t.runs("b", 2);
  t.script.deafen("b");
  t.timers.advance(9900ms);  // the first run's grace and deadline
  REQUIRE(t.state("b") == "running");
  REQUIRE(t.tasks.counts().abandoned == 0);
  t.script.let_go("b");
  std::this_thread::yield();
  REQUIRE(t.state("b") == "running");
}

TEST_CASE("tasks: a raised limit lets those that wait start") {
  Tree t;
  t.tasks.set_limits(1, 300s);
  (void)t.spawn("a");
  (void)t.spawn("b");
  t.runs("a", 1);
  REQUIRE(t.state("b") == "queued");
  t.tasks.set_limits(2, 300s);
  t.runs("b", 1);
}

TEST_CASE("tasks: scopes are bounded, and one that has ended makes room") {
  Tree t;
  for (std::size_t i = 0; i < TaskSupervisor::kMaxScopes; ++i) {
    CAPTURE(i);
    REQUIRE(t.tasks.open_scope("s" + std::to_string(i)));
  }
  REQUIRE(t.tasks.open_scope("more").error().kind == ErrorKind::overloaded);
  REQUIRE(t.tasks.cancel("s0"));
  REQUIRE(t.tasks.open_scope("more"));
}

TEST_CASE("tasks: one that the pool does not take has failed, and gives back its place") {
  Tree t;
  REQUIRE(t.pool.stop());
  auto job = t.spawn("job");
  REQUIRE(job.wait().error().kind == ErrorKind::unavailable);
  REQUIRE(t.state("job") == "failed");
  REQUIRE(t.tasks.counts().running == 0);
}

TEST_CASE("tasks: the last step ends with its job, and of the slow ones the newest are kept") {
  Tree t;
  auto job = *t.tasks.spawn("job", [&](TaskContext& context) -> Result<void> {
    for (std::size_t i = 0; i <= TaskContext::kSlowSteps; ++i) {
      context.step(std::to_string(i));
      t.timers.advance(2s);
    }
    context.step("not slow");
    t.timers.advance(TaskContext::kSlow);
    context.step("last");
    t.timers.advance(2s);
    return {};
  });
  REQUIRE(job.wait());
  const auto steps = t.record("job").slow_steps;
  REQUIRE(steps.size() == TaskContext::kSlowSteps);
  REQUIRE(steps.front().name == "2");
  REQUIRE(steps.back().name == "last");
  REQUIRE(steps[steps.size() - 2].name == std::to_string(TaskContext::kSlowSteps));
}

TEST_CASE("tasks: what a scope that gave up for good had kept is failed if it failed, and cancelled if it did not") {
  Tree t;
  REQUIRE(t.tasks.open_scope("outer", {.restart = TaskRestart::temporary, .intensity = 0}));
  REQUIRE(t.tasks.open_scope("inner", {.parent = "outer", .intensity = 0}));
  auto job = t.spawn("job", {.parent = "inner", .restart = kPermanent});
  auto mate = t.spawn("mate", {.parent = "inner", .restart = kPermanent});
  REQUIRE(t.tasks.open_scope("deep", {.parent = "inner"}));
  auto below = t.spawn("below", {.parent = "deep", .restart = kPermanent});
  for (const char* const name : {"job", "mate", "below"}) t.runs(name, 1);
  t.script.fail_now("job");
  REQUIRE(job.wait().error().message == "job broke");
  REQUIRE(mate.wait().error().kind == ErrorKind::cancelled);
  REQUIRE(below.wait().error().kind == ErrorKind::cancelled);
  t.reaches("outer", "failed");
  REQUIRE(t.state("job") == "failed");
  REQUIRE(t.state("inner") == "failed");
  REQUIRE(t.state("mate") == "cancelled");
  REQUIRE(t.state("below") == "cancelled");
  REQUIRE(t.state("deep") == "cancelled");
  REQUIRE(t.record("outer").error.find("the last of inner") != std::string::npos);
  t.script.end_now("mate");
  REQUIRE(t.spawn("mate").wait());
}

TEST_CASE("tasks: those that wait to be started again count among those that wait") {
  Tree t;
  REQUIRE(t.tasks.open_scope("s", {.intensity = 100'000}));
  const auto fails = [](TaskContext&) -> Result<void> { return fail(ErrorKind::internal, "broke"); };
  const auto name = [](std::size_t i) { return "t" + std::to_string(i); };
  for (std::size_t i = 0; i < TaskSupervisor::kMaxQueued; ++i) {
    REQUIRE(t.tasks.spawn(name(i), fails, {.parent = "s", .restart = kPermanent}));
    t.reaches(name(i), "backing_off");
  }
  eventually("the last one's place", [&] { return t.tasks.counts().running == 0; });
  REQUIRE(t.tasks.spawn("more", fails).error().kind == ErrorKind::overloaded);
  REQUIRE(t.tasks.cancel("t0"));
  REQUIRE(t.tasks.spawn("more", fails));
}
