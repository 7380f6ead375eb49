// SPDX-License-Identifier: Apache-2.0
#include <gantry/channel/oneshot.hpp>

#include "tests/unit/support/host.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {
struct Bench {
  TempDir dir;
  std::shared_ptr<Log> log = log_in(dir.path() / "log");
  ManualTimers timers;
  WorkerPool pool{8, 100, [](std::string_view) {}};
  EventBus bus{"epoch", 1000};
  TaskSupervisor tasks{pool, timers, bus, *log, {.max_running = 2}};

  [[nodiscard]] std::string state_of(const std::string& name) const {
    for (const auto& r : tasks.records()) {
      if (r.name == name) return std::string(task_state_name(r.state));
    }
    return "";
  }
  [[nodiscard]] std::string log_text() const {
    std::ifstream in(dir.path() / "log");
    return {std::istreambuf_iterator<char>(in), {}};
  }
};
}  // namespace

TEST_CASE(
    "tasks: a name runs once at a time, a second start is refused and says so, and it may run again after its end") {
  Bench b;
  auto [go, wait] = oneshot::channel<bool>();
  auto shared = std::make_shared<oneshot::Receiver<bool>>(std::move(wait));
  REQUIRE(b.tasks.spawn("job", [shared](TaskContext&) -> Result<void> {
    (void)shared->recv();
    return {};
  }));
  const auto second = b.tasks.spawn("job", [](TaskContext&) -> Result<void> { return {}; });
  REQUIRE(second.error().kind == ErrorKind::conflict);
  REQUIRE(b.log_text().find("background task job refused") != std::string::npos);
  (void)go.send(true);
  REQUIRE(b.tasks.block_until_idle(latest()));
  REQUIRE(b.state_of("job") == "completed");
  REQUIRE(b.tasks.spawn("job", [](TaskContext&) -> Result<void> { return {}; }));
  REQUIRE(b.tasks.block_until_idle(latest()));
  REQUIRE(b.tasks.records().size() == 2);
  REQUIRE(b.tasks.records()[0].runs == 2);
}

TEST_CASE("tasks: at most max_background_tasks run, the others wait in order") {
  std::atomic<int> running{0};  // these outlive the jobs
  std::atomic<int> most{0};
  std::latch two(2);
  std::latch go(1);
  Bench b;
  for (int i = 0; i < 6; ++i) {
    REQUIRE(b.tasks.spawn("job" + std::to_string(i), [&, i](TaskContext&) -> Result<void> {
      most = std::max(most.load(), ++running);
      if (i < 2) two.count_down();
      go.wait();
      --running;
      return {};
    }));
  }
  two.wait();
  REQUIRE(b.state_of("job5") == "queued");
  go.count_down();
  REQUIRE(b.tasks.block_until_idle(latest()));
  REQUIRE(b.state_of("job5") == "completed");
  REQUIRE(most == 2);
}

TEST_CASE("tasks: a failure and an exception are recorded, logged, published, and harm no other") {
  Bench b;
  auto events = *b.bus.subscribe({"host.task.failed"}, [] {});
  REQUIRE(b.tasks.spawn("fails", [](TaskContext&) -> Result<void> { return fail(ErrorKind::internal, "broken"); }));
  REQUIRE(b.tasks.spawn("throws", [](TaskContext&) -> Result<void> { throw std::runtime_error("boom"); }));
  REQUIRE(b.tasks.spawn("works", [](TaskContext&) -> Result<void> { return {}; }));
  REQUIRE(b.tasks.block_until_idle(latest()));
  REQUIRE(b.state_of("fails") == "failed");
  REQUIRE(b.state_of("throws") == "failed");
  REQUIRE(b.state_of("works") == "completed");
  REQUIRE_THAT(b.log_text(), Catch::Contains("background task throws failed: boom"));
  for (int i = 0; i < 2; ++i) REQUIRE(events.subscription->take());
}

TEST_CASE("tasks: a running job learns of its cancel, a queued one never starts") {
  std::atomic<bool> started{false};
  Bench b;
  for (const char* name : {"one", "two"}) {
    CAPTURE(name);
    REQUIRE(b.tasks.spawn(name, [](TaskContext& c) -> Result<void> {
      wait_until_cancelled(c.token());
      return {};
    }));
  }
  REQUIRE(b.tasks.spawn("queued", [&](TaskContext&) -> Result<void> {
    started = true;
    return {};
  }));
  REQUIRE(b.tasks.cancel("queued"));
  REQUIRE(b.tasks.cancel("one"));
  REQUIRE(b.tasks.cancel("two"));
  REQUIRE(b.tasks.block_until_idle(latest()));
  for (const char* name : {"one", "two", "queued"}) {
    CAPTURE(name);
    REQUIRE(b.state_of(name) == "cancelled");
  }
  REQUIRE(!started);
  REQUIRE(b.tasks.cancel("nobody").error().kind == ErrorKind::not_found);
}

TEST_CASE("tasks: records are cleaned up after the interval, and no timer runs when there is nothing to clean") {
  Bench b;
  REQUIRE(!b.timers.next_in());
  REQUIRE(b.tasks.spawn("job", [](TaskContext&) -> Result<void> { return {}; }));
  REQUIRE(b.tasks.block_until_idle(latest()));
  b.timers.advance(std::chrono::seconds(299));
  REQUIRE(b.state_of("job") == "completed");
  b.timers.advance(std::chrono::seconds(1));
  REQUIRE(b.tasks.records().empty());
  REQUIRE(!b.timers.next_in());
}

TEST_CASE("tasks: task.cancel and host.tasks steer and show them") {
  TestDaemon t;
  REQUIRE(t.daemon().tasks().spawn("job", [](TaskContext& context) -> Result<void> {
    context.progress("half way");
    wait_until_cancelled(context.token());
    return {};
  }));
  const auto record = [&] {
    const auto tasks = t.call("host.tasks");
    for (const auto& task : *tasks) {
      if (task["name"] == "job") return task;
    }
    return json();
  };
  eventually("its progress", [&] { return record().value("progress", "") == "half way"; });
  REQUIRE(record()["state"] == "running");
  REQUIRE(t.call("task.cancel", {{"name", "nobody"}}).error().kind == ErrorKind::not_found);
  REQUIRE(t.call("task.cancel").error().kind == ErrorKind::invalid_params);
  REQUIRE(t.call("task.cancel", {{"name", "job"}}));
  REQUIRE(t.daemon().tasks().block_until_idle(latest()));
  REQUIRE(record()["state"] == "cancelled");
}

TEST_CASE("tasks: those that wait and the records of those that ended are bounded") {
  std::latch go(1);
  Bench b;
  const auto wait = [&](TaskContext&) -> Result<void> {
    go.wait();
    return {};
  };
  for (std::size_t i = 0; i < TaskSupervisor::kMaxQueued + 2; ++i)
    REQUIRE(b.tasks.spawn("t" + std::to_string(i), wait));
  REQUIRE(b.tasks.spawn("one more", wait).error().kind == ErrorKind::overloaded);
  go.count_down();
  REQUIRE(b.tasks.block_until_idle(latest()));
  REQUIRE(b.state_of("t" + std::to_string(TaskSupervisor::kMaxQueued + 1)) == "completed");
  REQUIRE(b.tasks.spawn("another", wait));
  REQUIRE(b.tasks.stop(std::chrono::seconds(20)));
  REQUIRE(b.tasks.records().size() <= TaskSupervisor::kMaxHistory);
}

TEST_CASE("tasks: stopping tells those that run, waits for them, and starts nothing more") {
  std::atomic<int> started{0};
  std::latch two(2);
  Bench b;
  for (int i = 0; i < 4; ++i) {
    REQUIRE(b.tasks.spawn("t" + std::to_string(i), [&](TaskContext& context) -> Result<void> {
      if (++started <= 2) two.count_down();
      wait_until_cancelled(context.token());
      return {};
    }));
  }
  two.wait();
  REQUIRE(b.tasks.stop(std::chrono::seconds(20)));
  REQUIRE(started == 2);
  REQUIRE(b.tasks.spawn("late", [](TaskContext&) -> Result<void> { return {}; }).error().kind ==
          ErrorKind::unavailable);
}
