// SPDX-License-Identifier: Apache-2.0
//
// Background tasks of plugins, in both modes.
#include <signal.h>

#include "tests/unit/services/swapping.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
using namespace std::chrono_literals;

namespace {

[[nodiscard]] json record(TestDaemon& t, const std::string& name) {
  for (auto& task : t.call("host.tasks").value()) {
    if (task["name"] == name) return task;
  }
  return nullptr;
}

/// Moves the clock from back-off to back-off until it holds.
template <class F>
void with_time(TestDaemon& t, F&& holds) {
  while (!holds()) {
    std::optional<Duration> next;
    eventually("a back-off, or the end", [&] {
      next = t.timers.next_in();
      return holds() || (next && *next <= 2s);
    });
    if (!holds()) t.timers.advance(*next);
  }
}

}  // namespace

TEST_CASE("plugin tasks: one of a plugin's methods runs in the background with its progress, and ends as it does") {
  TestDaemon t;
  REQUIRE(t.call("typed.task", {{"name", "hold"}, {"method", "typed.pooled_hold"}, {"params", {{"text", "x"}}}}));
  eventually("its progress", [&] { return record(t, "typed:hold").value("progress", "") == "runs"; });
  REQUIRE(record(t, "typed:hold")["state"] == "running");
  REQUIRE(record(t, "typed:hold")["parent"] == "plugin:typed");
  REQUIRE(t.call("typed.release"));
  eventually("its end", [&] { return record(t, "typed:hold")["state"] == "completed"; });
}

TEST_CASE("plugin tasks: one that is cancelled hears of it, whether a client or its plugin ends it") {
  TestDaemon t;
  for (const bool by_client : {true, false}) {
    CAPTURE(by_client);
    REQUIRE(t.call("typed.task", {{"name", "wait"}, {"method", "typed.pooled_wait"}}));
    eventually("its progress", [&] { return record(t, "typed:wait").value("progress", "") == "runs"; });
    const json ended{{"name", by_client ? "typed:wait" : "wait"}};
    REQUIRE(t.call(by_client ? "task.cancel" : "typed.end_task", ended));
    eventually("its end", [&] { return record(t, "typed:wait")["state"] == "cancelled"; });
  }
  REQUIRE(t.log_text().find("the wait has ended") != std::string::npos);
  REQUIRE(t.call("typed.end_task", {{"name", "wait"}}).error().kind == ErrorKind::not_found);
}

TEST_CASE("plugin tasks: one that fails is started again as it asks, and no more often than its scope allows") {
  TestDaemon t;
  REQUIRE(t.call("typed.task", {{"name", "once"}, {"method", "typed.pooled_fail"}, {"params", {{"fails", 1}}}}));
  eventually("its failure", [&] { return record(t, "typed:once")["state"] == "failed"; });
  REQUIRE(record(t, "typed:once")["error"] == "it fails");
  REQUIRE(t.call(
      "typed.task",
      {{"name", "again"}, {"method", "typed.pooled_fail"}, {"params", {{"fails", 3}}}, {"restart", "on_failure"}}));
  with_time(t, [&] { return record(t, "typed:again")["state"] == "completed"; });
  REQUIRE(record(t, "typed:again")["restarts"] == 2);
  REQUIRE(record(t, "typed:again")["progress"] == "run 4");
  REQUIRE(t.call(
      "typed.task",
      {{"name", "never"}, {"method", "typed.pooled_fail"}, {"params", {{"fails", 1000}}}, {"restart", "on_failure"}}));
  with_time(t, [&] { return record(t, "plugin:typed").value("state", "") == "failed"; });
  // The scope is made anew.
  REQUIRE(t.call("typed.task", {{"name", "after"}, {"method", "typed.pooled_say"}, {"params", {{"text", "x"}}}}));
  eventually("its end", [&] { return record(t, "typed:after")["state"] == "completed"; });
}

TEST_CASE("plugin tasks: one that outlasts its deadline is cancelled, and has failed") {
  TestDaemon t;
  REQUIRE(t.call("typed.task", {{"name", "long"}, {"method", "typed.pooled_wait"}, {"deadline_ms", 1500}}));
  eventually("its progress", [&] { return record(t, "typed:long").value("progress", "") == "runs"; });
  t.advance_to_next(1500ms);
  eventually("its end", [&] { return record(t, "typed:long")["state"] == "failed"; });
}

TEST_CASE("plugin tasks: what is no task of the plugin's own is refused with the reason") {
  TestDaemon t;
  const auto refused = [&](const json& params) { return t.call("typed.task", params).error(); };
  REQUIRE(t.call("typed.task", {{"name", "hold"}, {"method", "typed.pooled_hold"}, {"params", {{"text", "x"}}}}));
  REQUIRE(refused({{"name", "hold"}, {"method", "typed.pooled_hold"}, {"params", {{"text", "x"}}}}).kind ==
          ErrorKind::conflict);
  REQUIRE(refused({{"name", "x"}, {"method", "echo.say"}}).kind == ErrorKind::permission_denied);
  REQUIRE(refused({{"name", "x"}, {"method", "typed.nonsense"}}).kind == ErrorKind::method_not_found);
  REQUIRE(refused({{"name", "x y"}, {"method", "typed.say"}}).message.find("one word") != std::string::npos);
  auto client = t.connect();
  const json say{{"name", "x"}, {"method", "typed.say"}};
  REQUIRE(client.call("task.run", say).error().kind == ErrorKind::permission_denied);
  REQUIRE(client.call("task.stop", {{"name", "hold"}}).error().kind == ErrorKind::permission_denied);
  REQUIRE(t.call("typed.release"));
}

TEST_CASE("plugin tasks: only a name that runs already is refused, in words for who asked, and is no warning") {
  TestDaemon t;
  auto heard = *t.daemon().bus().subscribe({"host.task.refused"}, [] {});
  const auto hold = [&](const char* name) {
    return t.call("typed.task", {{"name", name}, {"method", "typed.pooled_hold"}, {"params", {{"text", "x"}}}});
  };
  REQUIRE(hold("one"));
  REQUIRE(hold("two"));
  REQUIRE_FALSE(heard.subscription->take());
  const auto refused = hold("two").error();
  REQUIRE(refused.kind == ErrorKind::conflict);
  REQUIRE(refused.message.find("task typed:two runs already; a name runs once at a time") != std::string::npos);
  REQUIRE(json::parse(heard.subscription->take()->event.payload)["name"] == "typed:two");
  std::istringstream lines(t.log_text());
  std::string told;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("typed:two refused") != std::string::npos) told = line;
  }
  INFO(told);
  REQUIRE(told.find("INFO") != std::string::npos);
  REQUIRE(t.call("typed.release"));
}

TEST_CASE("tasks of a plugin: a reload does not wait for one, and it goes on with the new build") {
  for (const auto& kind : kKinds) {
    INFO(kind.mode << (kind.isolation == Isolation::child ? " child" : " inline"));
    Swapping t(kind);
    REQUIRE(t.set.call("swap.begin_work"));
    const auto runs_in = [&](const std::string& build) {
      return record(t.set.test(), "swap:work").value("progress", "").starts_with(build);
    };
    eventually("its progress", [&] { return runs_in("build 1, 10 %"); });
    t.put_of_mode("2");
    REQUIRE(t.reload());
    with_time(t.set.test(), [&] { return runs_in("build 2, 20 %"); });
    // As often as one likes: it has done nothing wrong.
    for (int i = 0; i < 5; ++i) {
      const std::string build = i % 2 == 0 ? "1" : "2";
      t.put_of_mode(build);
      REQUIRE(t.reload());
      with_time(t.set.test(), [&] { return runs_in("build " + build); });
    }
    REQUIRE(record(t.set.test(), "swap:work")["restarts"] == 0);
  }
}

TEST_CASE("tasks of a plugin: one whose plugin was killed goes on with the next instance") {
  Swapping t({"overlap", Isolation::child});
  REQUIRE(t.set.call("swap.begin_work"));
  const auto restarts = [&] { return record(t.set.test(), "swap:work").value("restarts", 0); };
  eventually("its progress", [&] { return record(t.set.test(), "swap:work").contains("progress"); });
  REQUIRE(::kill(t.set.entry("swap")["pid"].get<int>(), SIGKILL) == 0);
  with_time(t.set.test(), [&] {
    return restarts() == 1 && record(t.set.test(), "swap:work").value("progress", "") == "build 1, 10 %";
  });
}
