// SPDX-License-Identifier: Apache-2.0
//
// What is started again together: scopes in scopes, what ends meanwhile, and what does not.
#include "tests/unit/tasks/support.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
using namespace std::chrono_literals;

namespace {
constexpr auto kPermanent = TaskRestart::permanent;
constexpr auto kTransient = TaskRestart::transient;

/// Of a, b and c in a rest_for_one scope c is due to be started again when a fails; b does not hear that it is to end.
void fail_above_a_due_restart(Tree& t) {
  REQUIRE(t.tasks.open_scope("scope", {.strategy = Strategy::rest_for_one}));
  for (const char* const name : {"a", "b", "c"}) {
    (void)t.spawn(name, {.parent = "scope", .restart = kPermanent, .grace = 1h});
    t.runs(name, 1);
  }
  t.script.fail_now("c");
  t.reaches("c", "backing_off");
  eventually("a restart to be due", [&] { return !t.calm(); });
  t.script.deafen("b");
  t.script.fail_now("a");
  t.reaches("a", "backing_off");
}
void let_the_restart_go_on(Tree& t) {
  t.script.let_go("b");
  t.reaches("b", "backing_off");
  t.back_off();
  for (const char* const name : {"a", "b", "c"}) t.runs(name, 2);
}
}  // namespace

TEST_CASE("tasks: scopes in a one_for_all scope are started again with all that is in them, in the first order") {
  Tree t;
  REQUIRE(t.tasks.open_scope("outer", {.strategy = Strategy::one_for_all}));
  REQUIRE(t.tasks.open_scope("first", {.parent = "outer"}));
  (void)t.spawn("f", {.parent = "first", .restart = kTransient});
  (void)t.spawn("a", {.parent = "outer", .restart = kTransient});
  REQUIRE(t.tasks.open_scope("middle", {.parent = "outer"}));
  (void)t.spawn("m", {.parent = "middle", .restart = kTransient});
  REQUIRE(t.tasks.open_scope("deep", {.parent = "middle"}));
  auto d = t.spawn("d", {.parent = "deep", .restart = kTransient});
  auto once = t.spawn("once", {.parent = "deep"});
  REQUIRE(t.tasks.open_scope("empty", {.parent = "deep"}));
  REQUIRE(t.tasks.open_scope("temporary", {.parent = "outer", .restart = TaskRestart::temporary}));
  auto inside = t.spawn("inside", {.parent = "temporary", .restart = kPermanent});
  for (const char* const name : {"f", "a", "m", "d", "once", "inside"}) t.runs(name, 1);
  t.script.fail_now("a");
  for (const char* const name : {"a", "first", "f", "middle", "m", "deep", "d", "empty"})
    t.reaches(name, "backing_off");
  REQUIRE(once.wait().error().kind == ErrorKind::cancelled);
  REQUIRE(inside.wait().error().kind == ErrorKind::cancelled);
  t.reaches("temporary", "cancelled");
  t.tasks.set_limits(1, 300s);  // one after the other, so that their order shows
  t.back_off();
  for (const char* const name : {"f", "a", "m", "d"}) {
    CAPTURE(name);
    t.runs(name, 2);
    REQUIRE(t.record(name).restarts == (name[0] == 'a' ? 1 : 0));
    t.script.end_now(name);
  }
  REQUIRE(d.wait());
  for (const char* const name : {"first", "middle", "deep", "empty"}) {
    CAPTURE(name);
    REQUIRE(t.state(name) == "running");
  }
  t.script.end_now("late");
  REQUIRE(t.spawn("late", {.parent = "empty"}).wait());
}

TEST_CASE("tasks: in a rest_for_one scope the scopes after it are started again with it, those before it are left") {
  Tree t;
  REQUIRE(t.tasks.open_scope("outer", {.strategy = Strategy::rest_for_one}));
  REQUIRE(t.tasks.open_scope("before", {.parent = "outer"}));
  (void)t.spawn("x", {.parent = "before", .restart = kPermanent});
  (void)t.spawn("b", {.parent = "outer", .restart = kPermanent});
  REQUIRE(t.tasks.open_scope("after", {.parent = "outer"}));
  (void)t.spawn("y", {.parent = "after", .restart = kPermanent});
  for (const char* const name : {"x", "b", "y"}) t.runs(name, 1);
  t.script.fail_now("b");
  t.reaches("after", "backing_off");
  t.back_off();
  t.runs("b", 2);
  t.runs("y", 2);
  t.runs("x", 1);
}

TEST_CASE("tasks: a scope that gave up comes back with the scopes that are in it") {
  Tree t;
  REQUIRE(t.tasks.open_scope("outer", {.intensity = 0}));
  REQUIRE(t.tasks.open_scope("inner", {.parent = "outer"}));
  (void)t.spawn("x", {.parent = "inner", .restart = kPermanent});
  (void)t.spawn("b", {.parent = "outer", .restart = kPermanent});
  t.runs("x", 1);
  t.runs("b", 1);
  t.script.fail_now("b");
  t.reaches("outer", "backing_off");
  REQUIRE(t.state("inner") == "backing_off");
  t.back_off();
  t.runs("x", 2);
  t.runs("b", 2);
  REQUIRE(t.record("outer").restarts == 1);
  REQUIRE(t.record("inner").restarts == 0);
}

TEST_CASE("tasks: a scope that is being started again takes nothing new, and says why") {
  Tree t;
  REQUIRE(t.tasks.open_scope("outer", {.strategy = Strategy::one_for_all}));
  (void)t.spawn("a", {.parent = "outer", .restart = kPermanent});
  REQUIRE(t.tasks.open_scope("inner", {.parent = "outer"}));
  (void)t.spawn("x", {.parent = "inner", .restart = kPermanent, .grace = 1h});
  t.runs("a", 1);
  t.runs("x", 1);
  t.script.deafen("x");
  t.script.fail_now("a");
  t.reaches("a", "backing_off");
  const auto refused = [&](const std::string& parent) {
    const auto task = t.tasks.spawn("late", t.script.job("late"), {.parent = parent});
    const auto scope = t.tasks.open_scope("late", {.parent = parent});
    REQUIRE(!task);
    REQUIRE(!scope);
    REQUIRE(task.error().kind == ErrorKind::conflict);
    REQUIRE(scope.error().kind == ErrorKind::conflict);
    return task.error().message == parent + " is being started again; late was not started in it";
  };
  REQUIRE(refused("inner"));  // while it ends
  REQUIRE(refused("x"));
  REQUIRE(refused("a"));
  t.script.let_go("x");
  t.reaches("inner", "backing_off");
  REQUIRE(refused("inner"));  // and while it waits
  t.back_off();
  t.runs("x", 2);
  t.script.end_now("late");
  REQUIRE(t.spawn("late", {.parent = "inner"}).wait());
}

TEST_CASE("tasks: nothing of a one_for_all scope starts before all of it has ended, temporary ones included") {
  for (const bool in_scope : {false, true}) {
    CAPTURE(in_scope);
    Tree t;
    REQUIRE(t.tasks.open_scope("outer", {.strategy = Strategy::one_for_all}));
    REQUIRE(t.tasks.open_scope("inner", {.parent = "outer"}));
    (void)t.spawn("a", {.parent = "outer", .restart = kPermanent});
    (void)t.spawn("helper", {.parent = in_scope ? "inner" : "outer", .grace = 1h});
    (void)t.spawn("x", {.parent = "inner", .restart = kPermanent});
    for (const char* const name : {"a", "helper", "x"}) t.runs(name, 1);
    t.script.deafen("helper");
    t.script.fail_now("a");
    t.reaches("a", "backing_off");
    t.reaches("x", "backing_off");
    eventually("no restart to be due", [&] { return t.calm(); });
    t.script.let_go("helper");
    t.back_off();
    t.runs("a", 2);
    t.runs("x", 2);
    REQUIRE(t.state("helper") == "cancelled");
  }
}

TEST_CASE("tasks: a scope that gave up starts nothing before all of it has ended") {
  Tree t;
  REQUIRE(t.tasks.open_scope("scope", {.intensity = 0}));
  (void)t.spawn("helper", {.parent = "scope", .grace = 1h});
  for (const char* const name : {"a", "b"}) (void)t.spawn(name, {.parent = "scope", .restart = kPermanent});
  for (const char* const name : {"helper", "a", "b"}) t.runs(name, 1);
  t.script.deafen("helper");
  t.script.fail_now("b");
  t.reaches("b", "backing_off");
  t.reaches("a", "backing_off");
  REQUIRE(t.state("scope") == "running");
  eventually("no restart to be due", [&] { return t.calm(); });
  t.script.let_go("helper");
  t.back_off();
  t.runs("a", 2);
  t.runs("b", 2);
}

TEST_CASE("tasks: in a one_for_one scope one that ends slowly keeps no other from its restart") {
  Tree t;
  REQUIRE(t.tasks.open_scope("scope"));
  (void)t.spawn("deaf", {.parent = "scope", .grace = 1h});
  (void)t.spawn("b", {.parent = "scope", .restart = kPermanent});
  t.runs("deaf", 1);
  t.runs("b", 1);
  t.script.deafen("deaf");
  REQUIRE(t.tasks.cancel("deaf"));
  t.script.fail_now("b");
  t.back_off();
  t.runs("b", 2);
  REQUIRE(t.state("deaf") == "running");
}

TEST_CASE("tasks: a task that is ended for a restart has its own tasks ended at once, and may wait for them") {
  std::atomic<int> ended{0};
  Tree t;
  REQUIRE(t.tasks.open_scope("scope", {.strategy = Strategy::one_for_all}));
  (void)t.spawn("a", {.parent = "scope", .restart = kPermanent});
  (void)t.tasks.spawn("waits",
                      [&](TaskContext& context) -> Result<void> {
                        auto child = context.spawn("child", t.script.job("child"));
                        if (child) (void)child->wait();
                        ++ended;
                        return {};
                      },
                      {.parent = "scope", .restart = kPermanent, .grace = 1h});
  t.runs("a", 1);
  t.runs("child", 1);
  t.script.fail_now("a");
  t.reaches("waits", "backing_off");
  REQUIRE(ended == 1);
  t.back_off();
  t.runs("a", 2);
  t.runs("child", 2);
}

TEST_CASE("tasks: a restart exactly one period ago still counts, as in Erlang/OTP, an older one does not") {
  for (const auto late : {0ns, 1ns}) {
    CAPTURE(late);
    Tree t;
    REQUIRE(t.tasks.open_scope("scope", {.restart = TaskRestart::temporary, .intensity = 1, .period = 10s}));
    (void)t.spawn("job", {.parent = "scope", .restart = kPermanent});
    t.runs("job", 1);
    const auto first = t.timers.now();
    t.script.fail_now("job");
    t.back_off();
    t.runs("job", 2);
    t.timers.advance(first + 10s + late - t.timers.now());
    t.script.fail_now("job");
    t.reaches("job", late == 0ns ? "failed" : "backing_off");
  }
}

TEST_CASE("tasks: a failure further up calls off a restart that was due, until all have ended") {
  Tree t;
  fail_above_a_due_restart(t);
  eventually("no restart to be due", [&] { return t.calm(); });
  let_the_restart_go_on(t);
}

TEST_CASE("tasks: a restart that was called off too late starts nothing") {
  Tree t(true);
  fail_above_a_due_restart(t);
  t.timers.advance(30s);
  REQUIRE(t.state("a") == "backing_off");
  REQUIRE(t.state("c") == "backing_off");
  let_the_restart_go_on(t);
}

TEST_CASE("tasks: a restart that is due in a scope is called off when the scope itself is ended for one") {
  Tree t;
  REQUIRE(t.tasks.open_scope("outer", {.strategy = Strategy::one_for_all}));
  (void)t.spawn("a", {.parent = "outer", .restart = kPermanent});
  (void)t.spawn("deaf", {.parent = "outer", .restart = kPermanent, .grace = 1h});
  REQUIRE(t.tasks.open_scope("inner", {.parent = "outer"}));
  (void)t.spawn("x", {.parent = "inner", .restart = kPermanent});
  for (const char* const name : {"a", "deaf", "x"}) t.runs(name, 1);
  t.script.fail_now("x");
  t.reaches("x", "backing_off");
  eventually("a restart to be due", [&] { return !t.calm(); });
  t.script.deafen("deaf");
  t.script.fail_now("a");
  t.reaches("inner", "backing_off");
  eventually("no restart to be due", [&] { return t.calm(); });
  t.script.let_go("deaf");
  t.reaches("deaf", "backing_off");
  t.back_off();
  for (const char* const name : {"a", "deaf", "x"}) t.runs(name, 2);
}

TEST_CASE("tasks: a cancel ends a scope that is being started again, and the others start without it") {
  Tree t;
  REQUIRE(t.tasks.open_scope("outer", {.strategy = Strategy::one_for_all}));
  (void)t.spawn("a", {.parent = "outer", .restart = kPermanent});
  REQUIRE(t.tasks.open_scope("inner", {.parent = "outer"}));
  auto x = t.spawn("x", {.parent = "inner", .restart = kPermanent});
  auto y = t.spawn("y", {.parent = "inner", .restart = kPermanent});
  auto deaf = t.spawn("deaf", {.parent = "inner", .restart = kPermanent, .grace = 1h});
  for (const char* const name : {"a", "x", "y", "deaf"}) t.runs(name, 1);
  t.script.deafen("deaf");
  t.script.fail_now("a");
  t.reaches("x", "backing_off");
  t.reaches("y", "backing_off");
  REQUIRE(t.tasks.cancel("x"));  // one of it
  REQUIRE(x.wait().error().kind == ErrorKind::cancelled);
  REQUIRE(t.tasks.cancel("inner"));
  REQUIRE(y.wait().error().kind == ErrorKind::cancelled);
  REQUIRE(t.state("inner") == "running");
  eventually("no restart to be due", [&] { return t.calm(); });
  t.script.let_go("deaf");
  REQUIRE(deaf.wait().error().kind == ErrorKind::cancelled);
  t.reaches("inner", "cancelled");
  t.back_off();
  t.runs("a", 2);
  // And one that waits already.
  REQUIRE(t.tasks.open_scope("inner", {.parent = "outer"}));
  auto z = t.spawn("z", {.parent = "inner", .restart = kPermanent});
  t.runs("z", 1);
  t.script.fail_now("a");
  t.reaches("inner", "backing_off");
  REQUIRE(t.tasks.cancel("inner"));
  REQUIRE(z.wait().error().kind == ErrorKind::cancelled);
  REQUIRE(t.state("inner") == "cancelled");
  t.back_off();
  t.runs("a", 3);
}

TEST_CASE("tasks: what fails while it is ended for a restart is no restart of its own scope") {
  std::atomic<int> runs{0};
  Tree t;
  REQUIRE(t.tasks.open_scope("outer", {.strategy = Strategy::one_for_all}));
  (void)t.spawn("a", {.parent = "outer", .restart = kPermanent});
  REQUIRE(t.tasks.open_scope("inner", {.parent = "outer", .intensity = 0}));
  (void)t.tasks.spawn("sore",
                      [&](TaskContext& context) -> Result<void> {
                        ++runs;
                        wait_until_cancelled(context.token());
                        return fail(ErrorKind::internal, "it was ended");
                      },
                      {.parent = "inner", .restart = kPermanent});
  t.runs("a", 1);
  eventually("its run", [&] { return runs == 1; });
  t.script.fail_now("a");
  t.reaches("inner", "backing_off");
  t.back_off();
  eventually("its second", [&] { return runs == 2; });
  REQUIRE(t.record("inner").restarts == 0);
  REQUIRE(t.log_text().find("gave up") == std::string::npos);
  REQUIRE(t.tasks.stop(20s));
}

TEST_CASE("tasks: a scope that has given up when its parent starts it again anyhow is not counted as a restart") {
  Tree t;
  REQUIRE(t.tasks.open_scope("outer", {.strategy = Strategy::one_for_all, .intensity = 1}));
  (void)t.spawn("a", {.parent = "outer", .restart = kPermanent});
  REQUIRE(t.tasks.open_scope("inner", {.parent = "outer", .intensity = 0}));
  (void)t.spawn("x", {.parent = "inner", .restart = kPermanent});
  (void)t.spawn("deaf", {.parent = "inner", .restart = kPermanent, .grace = 1h});
  for (const char* const name : {"a", "x", "deaf"}) t.runs(name, 1);
  t.script.deafen("deaf");
  t.script.fail_now("x");
  t.reaches("x", "backing_off");
  wait_for_log(t, "scope inner gave up");
  t.script.fail_now("a");
  t.reaches("a", "backing_off");
  t.script.let_go("deaf");
  t.reaches("inner", "backing_off");
  t.back_off();
  for (const char* const name : {"a", "x", "deaf"}) t.runs(name, 2);
  REQUIRE(t.record("inner").restarts == 0);
  REQUIRE(t.log_text().find("scope outer gave up") == std::string::npos);
}

TEST_CASE("tasks: one that is abandoned while its scope is ended for a restart stays out of it: the others come back") {
  Tree t;
  REQUIRE(t.tasks.open_scope("outer", {.strategy = Strategy::one_for_all}));
  (void)t.spawn("a", {.parent = "outer", .restart = kPermanent});
  REQUIRE(t.tasks.open_scope("inner", {.parent = "outer"}));
  (void)t.spawn("x", {.parent = "inner", .restart = kPermanent});
  auto stuck = t.spawn("stuck", {.parent = "inner", .restart = kPermanent, .grace = 2s});
  for (const char* const name : {"a", "x", "stuck"}) t.runs(name, 1);
  t.script.deafen("stuck");
  t.script.fail_now("a");
  t.reaches("x", "backing_off");
  t.reaches("a", "backing_off");
  t.timers.advance(2s);
  REQUIRE(stuck.wait().error().kind == ErrorKind::timeout);
  t.reaches("inner", "backing_off");
  t.back_off();
  t.runs("a", 2);
  t.runs("x", 2);
  REQUIRE(t.state("stuck") == "abandoned");
  t.script.let_go("stuck");
  eventually("its return", [&] { return t.tasks.counts().abandoned == 0; });
}

TEST_CASE("tasks: a deadline that passes while a task is ended for a restart is over with that run") {
  Tree t;
  REQUIRE(t.tasks.open_scope("scope", {.strategy = Strategy::one_for_all}));
  (void)t.spawn("a", {.parent = "scope", .restart = kPermanent});
  (void)t.spawn("timed", {.parent = "scope", .restart = kTransient, .deadline = 10s, .grace = 1h});
  t.runs("a", 1);
  t.runs("timed", 1);
  t.script.deafen("timed");
  t.script.fail_now("a");
  t.reaches("a", "backing_off");
  t.timers.advance(10s);
  t.script.let_go("timed");
  t.reaches("timed", "backing_off");
  t.back_off();
  t.runs("timed", 2);
  t.timers.advance(9s);
  REQUIRE(t.state("timed") == "running");
  t.script.end_now("timed");
  t.reaches("timed", "completed");
  REQUIRE(t.record("timed").restarts == 0);
}
