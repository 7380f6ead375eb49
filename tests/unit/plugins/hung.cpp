// SPDX-License-Identifier: Apache-2.0
//
// A handler that does not return is found, and its plugin replaced.
#include <signal.h>

#include "host/plugins/inline/delivery_watch.hpp"
#include "tests/unit/support/host.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
using namespace std::chrono_literals;

namespace {

struct Watched {
  ManualTimers timers;
  std::vector<std::string> told;
  std::shared_ptr<DeliveryWatch> watch =
      std::make_shared<DeliveryWatch>(timers, 8s, [this](const std::string& what) { told.push_back(what); });
  /// The looks that are due now.
  int looks = 0;
  void pass(Duration time) {
    for (Duration left = time; left > 0s; left -= 1s) {
      if (const auto next = timers.next_in(); next && *next <= 1s) ++looks;
      timers.advance(1s);
    }
  }
};

void look_at_deliveries(Config& c) { c.supervisor.hung_seconds = 60; }

/// A call whose deadline is not reached while the clock runs on.
TestDaemon::Begun begin_without_deadline(TestDaemon& t, const std::string& method) {
  return t.begin(method, {{"key", ""}}, {}, std::chrono::hours(1'000'000));
}
/// Moves the clock on until a start has taken too long for this call.
void let_start_time_out(TestDaemon& t, const TestDaemon::Begun& begun) {
  eventually("the time-out of the start", [&] {
    t.timers.advance(ServiceManager::kStartTimeout);
    return begun.recorder->done();
  });
}

json entry_of(TestDaemon& t, const std::string& name) {
  for (auto& plugin : *t.call("host.plugins")) {
    if (plugin["name"] == name) return plugin;
  }
  return nullptr;
}

}  // namespace

TEST_CASE("hung: a delivery is told once, by its name, after the timeout and at most a quarter of it more") {
  Watched w;
  w.watch->enter("first");
  w.watch->leave();
  w.pass(1s);
  w.watch->enter("a.long_name_of_a_method_that_is_cut_off_after_so_many_characters_as_there_is_room_for");
  w.pass(7s);
  REQUIRE(w.told.empty());
  w.pass(3s);
  REQUIRE(w.told == std::vector<std::string>{"a.long_name_of_a_method_that_is_cut_off_after_so_many_characters"});
  w.pass(60s);
  REQUIRE(w.told.size() == 1);
}

TEST_CASE("hung: many deliveries that return are none, and a plugin that is idle wakes nobody") {
  Watched w;
  for (int i = 0; i < 100; ++i) {
    w.watch->enter("m");
    w.pass(1s);
    w.watch->leave();
  }
  REQUIRE(w.told.empty());
  w.pass(10s);
  REQUIRE_FALSE(w.timers.next_in());
  w.watch->enter("m");
  REQUIRE(w.timers.next_in());
}

TEST_CASE("hung: an inline plugin that hangs is abandoned and replaced, its calls get `plugin_died`") {
  for (const std::string name : {"faulty", "hasty"}) {
    CAPTURE(name);
    TestDaemon t(look_at_deliveries);
    auto hangs = t.begin(name + ".hangs", json::object(), {}, 1h);
    auto waits = t.begin(name + ".attempts", {{"key", ""}}, {}, 1h);
    wait_for_log(t, "hangs in a call");
    for (int i = 0; i < 5; ++i) t.timers.advance(15s);
    const auto error = hangs.recorder->wait().error();
    REQUIRE(error.kind == ErrorKind::plugin_died);
    REQUIRE(error.message == "plugin " + name + " died: hung in " + name + ".hangs for 60 s");
    REQUIRE(waits.recorder->wait().error().kind == ErrorKind::plugin_died);
    REQUIRE(t.call(name + ".attempts", {{"key", ""}}));
    REQUIRE(entry_of(t, name)["restarts"] == 1);
    REQUIRE(entry_of(t, name)["evidence"]["reason"] == "hung in " + name + ".hangs for 60 s");
    t.end();
    REQUIRE_FALSE(t.daemon().clean());
  }
}

TEST_CASE("hung: an inline plugin whose start hangs has failed after its time and everybody else is served") {
  struct Case {
    std::string name, method, where;
  };
  for (const auto& [plugin, method, point] :
       {Case{"faulty", "faulty.fail_times_once", "start"}, Case{"hasty", "hasty.fail_times_once", "start"},
        Case{"plain", "plain.echo", "create"}}) {
    const std::string name = plugin;
    const std::string where = point;
    INFO(name);
    ::setenv("GANTRY_TEST_HANG", where.c_str(), 1);  // for who has no settings
    TestDaemon t([&](Config& c) { c.plugins[name].settings = {{"hang", where}}; });
    const auto first = begin_without_deadline(t, method);
    const auto second = begin_without_deadline(t, method);
    wait_for_log(t, "hangs in " + where);
    REQUIRE(t.call("echo.say", {{"a", 1}}));
    REQUIRE(entry_of(t, name)["state"] == "starting");
    let_start_time_out(t, first);
    const auto error = first.recorder->wait().error();
    REQUIRE(error.kind == ErrorKind::unavailable);
    REQUIRE(error.message.find("it did not start within 30 s; its thread is abandoned") != std::string::npos);
    REQUIRE(second.recorder->wait().error().kind == ErrorKind::unavailable);
    REQUIRE(first.recorder->answers() == 1);
    if (name != "plain") REQUIRE(entry_of(t, name)["state"] == "failed");  // that one starts by itself
    REQUIRE(t.call("echo.say", {{"a", 1}}));
    ::unsetenv("GANTRY_TEST_HANG");
    t.end();
    REQUIRE_FALSE(t.daemon().clean());
  }
}

TEST_CASE("hung: a start that returns too late is not used and the next one serves") {
  const TempDir dir;
  const auto file = dir.path() / "go";
  TestDaemon t([&](Config& c) { c.plugins["faulty"].settings = {{"start_file", file.string()}}; });
  const auto waits = begin_without_deadline(t, "faulty.fail_times_once");
  wait_for_log(t, "blocks until");
  let_start_time_out(t, waits);
  REQUIRE(waits.recorder->wait().error().kind == ErrorKind::unavailable);
  std::ofstream(file) << "go";
  for (int i = 0; i < 3; ++i) REQUIRE(t.call("faulty.attempts", {{"key", ""}}));
  REQUIRE(entry_of(t, "faulty")["restarts"] == 1);
  // The one before goes on with what it has: the same process, and nobody's plugin.
  REQUIRE(t.call("plugin.restart", {{"name", "faulty"}}));
  REQUIRE(t.call("faulty.attempts", {{"key", ""}}));
}

TEST_CASE("hung: starts that hang again and again are quarantined before they have all the threads") {
  TestDaemon t([](Config& c) {
    c.plugins["faulty"].settings = {{"hang", "start"}};
    c.supervisor.period_seconds = 1;
  });
  for (int i = 0; i < ServiceManager::kMaxAbandoned; ++i) {
    let_start_time_out(t, begin_without_deadline(t, "faulty.fail_times_once"));
  }
  REQUIRE(entry_of(t, "faulty")["state"] == "quarantined");
  const auto error = t.call("faulty.attempts", {{"key", ""}}).error();
  REQUIRE(error.message.find("4 instances of it hang") != std::string::npos);
}

TEST_CASE("hung: a new build whose start hangs leaves the one before it in its place") {
  const TempDir dir;
  const auto file = dir.path() / "go";
  std::ofstream(file) << "go";
  TestDaemon t([&](Config& c) { c.plugins["faulty"].settings = {{"start_file", file.string()}}; });
  REQUIRE_FALSE(t.call("faulty.fail_times_once", {{"key", "kept"}, {"times", 1}}));
  std::filesystem::remove(file);
  const auto reload = t.begin("plugin.reload", {{"name", "faulty"}});
  const auto count = [&] {
    const auto log = t.log_text();
    std::size_t times = 0;
    for (auto at = log.find("blocks until"); at != std::string::npos; at = log.find("blocks until", at + 1)) ++times;
    return times;
  };
  eventually("the new build", [&] { return count() == 2; });
  let_start_time_out(t, reload);
  const auto error = reload.recorder->wait().error();
  REQUIRE(error.message.find("it did not start within 30 s") != std::string::npos);
  REQUIRE(error.message.find("the build before it goes on") != std::string::npos);
  REQUIRE((*t.call("faulty.attempts", {{"key", "kept"}}))["attempts"] == 1);
  std::ofstream(file) << "go";
  for (int i = 0; i < 3; ++i) REQUIRE(t.call("plugin.restart", {{"name", "faulty"}}));
  REQUIRE((*t.call("faulty.attempts", {{"key", "kept"}}))["attempts"] == 0);
}

TEST_CASE("hung: a host stops within its budget while a start hangs") {
  TestDaemon t([](Config& c) {
    c.plugins["faulty"].settings = {{"hang", "start"}};
    c.host.stop_budget_seconds = 1;
  });
  const auto waits = begin_without_deadline(t, "faulty.fail_times_once");
  wait_for_log(t, "hangs in start");
  t.end();
  REQUIRE_FALSE(waits.recorder->wait());
  REQUIRE(waits.recorder->answers() == 1);
  REQUIRE_FALSE(t.daemon().clean());
}

TEST_CASE("hung: a process that stands still as a whole is found while calls are open, killed and replaced") {
  TestDaemon t([](Config& c) {
    look_at_deliveries(c);
    c.plugins["faulty"].isolation = Isolation::child;
  });
  REQUIRE(t.call("faulty.attempts", {{"key", ""}}));
  const int pid = entry_of(t, "faulty")["pid"];
  REQUIRE(::kill(pid, SIGSTOP) == 0);
  eventually("it to stand still", [&] { return state_of(pid) == 'T'; });
  // The clock runs ahead: a ping has half a second of real time to be answered.
  auto waits = t.begin("faulty.attempts", {{"key", ""}}, {}, std::chrono::hours(100'000));
  while (!waits.recorder->done()) {
    std::optional<Duration> next;
    eventually("a look, or the end", [&] {
      next = t.timers.next_in();
      return waits.recorder->done() || (next && *next <= 60s);
    });
    if (!waits.recorder->done()) t.timers.advance(*next);
  }
  const auto error = waits.recorder->wait().error();
  REQUIRE(error.kind == ErrorKind::plugin_died);
  REQUIRE(error.message.find("stands still: its process has said nothing for 60 s") != std::string::npos);
  REQUIRE(t.call("faulty.attempts", {{"key", ""}}));
}

TEST_CASE("hung: a process that is slow and answers is none that stands still") {
  TestDaemon t([](Config& c) {
    look_at_deliveries(c);
    c.plugins["typed"].isolation = Isolation::child;
  });
  auto waits = t.begin("typed.pooled_wait", json::object(), {}, 1h);
  eventually("the call", [&] { return entry_of(t, "typed")["open_calls"] == 1; });
  for (int i = 0; i < 10; ++i) {
    CAPTURE(i);
    eventually("the next look", [&] { return t.timers.next_in() && *t.timers.next_in() <= 60s; });
    t.timers.advance(60s);
    REQUIRE(entry_of(t, "typed")["restarts"] == 0);
    REQUIRE(t.call("typed.say", {{"text", "x"}}));
  }
  REQUIRE_FALSE(waits.recorder->done());
  waits.call->cancel();
}

TEST_CASE("hung: an inline plugin that hangs again and again is quarantined before it has all the threads") {
  TestDaemon t([](Config& c) {
    look_at_deliveries(c);
    c.supervisor.period_seconds = 1;
  });
  for (int i = 0; i < ServiceManager::kMaxAbandoned; ++i) {
    CAPTURE(i);
    auto hangs = t.begin("faulty.hangs", json::object(), {}, 1h);
    eventually("its start", [&] { return entry_of(t, "faulty")["open_calls"] == 1; });
    eventually("it", [&] {
      t.timers.advance(15s);
      return hangs.recorder->done();
    });
  }
  REQUIRE(entry_of(t, "faulty")["state"] == "quarantined");
  REQUIRE(t.call("faulty.attempts", {{"key", ""}}).error().message.find("4 instances of it hang") != std::string::npos);
}

TEST_CASE("hung: a child that hangs is killed, and the death says in what") {
  TestDaemon t(
      [](Config& c) {
        c.plugins["faulty"].isolation = Isolation::child;
        c.supervisor.hung_seconds = 1;
      },
      true);
  auto hangs = t.begin("faulty.hangs");
  const auto error = hangs.recorder->wait().error();
  REQUIRE(error.kind == ErrorKind::plugin_died);
  REQUIRE(error.message == "plugin faulty died: hung in faulty.hangs for 1 s");
  REQUIRE(entry_of(t, "faulty")["evidence"]["reason"] == "hung in faulty.hangs for 1 s");
  REQUIRE(t.call("faulty.attempts", {{"key", ""}}));
}

TEST_CASE("hung: with hung_seconds = 0 nobody looks") {
  TestDaemon t;  // that is how it sets it up
  auto blocks = t.begin("faulty.blocks", {{"file", (t.dir() / "go").string()}}, {}, 1h);
  wait_for_log(t, "blocks until");
  for (int i = 0; i < 20; ++i) t.timers.advance(15s);
  REQUIRE_FALSE(blocks.recorder->done());
  std::ofstream(t.dir() / "go") << "go";
  REQUIRE(blocks.recorder->wait());
}
