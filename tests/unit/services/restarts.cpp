// SPDX-License-Identifier: Apache-2.0
//
// What follows the death of a plugin: it is started again, held back, quarantined, and released by hand.
#include <csignal>

#include "tests/unit/support/plugin_set.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
using namespace std::chrono_literals;

namespace {

void kill_it(PluginSet& t, const std::string& name) {
  const pid_t pid = t.entry(name)["pid"];
  REQUIRE(::kill(pid, SIGKILL) == 0);
  eventually("its death", [&] { return !t.entry(name).contains("pid"); });
}

}  // namespace

TEST_CASE("restarts: at once after the first death, after a back-off after the next, and quarantine after too many") {
  PluginSet t({"mortal"}, Isolation::child);
  auto heard = *t.daemon().bus().subscribe({"host.plugin.*"}, [] {});
  REQUIRE(t.call("mortal.pid"));
  kill_it(t, "mortal");
  REQUIRE(t.entry("mortal")["state"] == "known");
  REQUIRE(t.call("mortal.pid"));  // at once
  REQUIRE(t.entry("mortal")["restarts"] == 1);
  for (const auto most : {200ms, 400ms}) {
    CAPTURE(most);
    kill_it(t, "mortal");
    REQUIRE(t.entry("mortal")["state"] == "backing_off");
    const auto held = t.call("mortal.pid").error();
    REQUIRE(held.kind == ErrorKind::unavailable);
    REQUIRE(held.message.find("is backing off for") != std::string::npos);
    const auto left = std::chrono::milliseconds(json::parse(held.data)["retry_after_ms"]);
    REQUIRE(left <= most);
    REQUIRE(left >= most * 3 / 4);
    t.timers.advance(left);
    REQUIRE(t.call("mortal.pid"));
  }
  kill_it(t, "mortal");
  const auto entry = t.entry("mortal");
  REQUIRE(entry["state"] == "quarantined");
  REQUIRE(entry["restarts"] == 3);
  REQUIRE(entry["reason"].get<std::string>().find("it failed 4 times within 60 s, the last time: signal 9") == 0);
  REQUIRE(entry["evidence"]["signal"] == SIGKILL);
  REQUIRE(entry["evidence"]["restarts"] == 3);
  REQUIRE_FALSE(entry["evidence"].contains("core"));  // SIGKILL leaves none
  REQUIRE(entry["evidence"]["died_at"].get<std::string>().ends_with("Z"));
  t.timers.advance(1h);
  const auto refused = t.call("mortal.pid").error();
  REQUIRE(refused.kind == ErrorKind::unavailable);
  REQUIRE(refused.message.find("is quarantined: it failed 4 times") != std::string::npos);
  REQUIRE(refused.message.find("gantry plugin restart mortal") != std::string::npos);
  REQUIRE(t.call("echo.say"));
  std::vector<std::string> told;
  while (auto next = heard.subscription->take()) {
    if (json::parse(next->event.payload)["name"] == "mortal") told.push_back(next->event.topic.substr(12));
  }
  REQUIRE(told == std::vector<std::string>{"starting", "ready", "died", "starting", "ready", "died", "backing_off",
                                           "starting", "ready", "died", "backing_off", "starting", "ready", "died",
                                           "quarantined"});
}

TEST_CASE("restarts: deaths that lie further apart than the period lead to no back-off") {
  PluginSet t({"mortal"}, Isolation::child);
  for (int i = 0; i < 6; ++i) {
    CAPTURE(i);
    REQUIRE(t.call("mortal.pid"));
    kill_it(t, "mortal");
    REQUIRE(t.entry("mortal")["state"] == "known");
    t.timers.advance(61s);
  }
}

TEST_CASE("restarts: the evidence has the exit code and what the plugin said last") {
  PluginSet t({"mortal"}, Isolation::child);
  const auto error = t.call("mortal.dies_once", {{"file", t.file("deaths")}}).error();
  REQUIRE(error.kind == ErrorKind::plugin_died);
  const auto evidence = t.entry("mortal")["evidence"];
  REQUIRE(evidence["exit_code"] == 7);
  REQUIRE(evidence["calls"] == json{"mortal.dies_once"});
  REQUIRE_FALSE(evidence.contains("more_calls"));
  REQUIRE_FALSE(evidence.contains("signal"));
  REQUIRE(evidence["reason"] == "exit code 7");
  const auto lines = evidence["last_log"].get<std::vector<std::string>>();
  REQUIRE(std::find(lines.begin(), lines.end(), "its last words") != lines.end());
}

TEST_CASE("restarts: the evidence names the calls that were open, the oldest first and of many not all") {
  PluginSet t({"mortal"}, Isolation::child);
  auto heard = *t.daemon().bus().subscribe({"host.plugin.died"}, [] {});
  REQUIRE(t.call("mortal.pid"));
  std::vector<TestDaemon::Begun> open;
  for (int i = 0; i < 10; ++i) open.push_back(t.begin("mortal.never"));
  eventually("all of them", [&] { return t.entry("mortal")["open_calls"] == 10; });
  const auto last = t.begin("mortal.dies_once", {{"file", t.file("deaths")}});
  REQUIRE(last.recorder->wait().error().kind == ErrorKind::plugin_died);
  const auto evidence = t.entry("mortal")["evidence"];
  REQUIRE(evidence["calls"] == json(std::vector<std::string>(8, "mortal.never")));
  REQUIRE(evidence["more_calls"] == 3);
  REQUIRE(json::parse(heard.subscription->take()->event.payload)["more_calls"] == 3);
}

TEST_CASE("restarts: the evidence says what the kernel does with a core file, not its pattern alone") {
  REQUIRE(core_text("|/usr/lib/systemd/systemd-coredump %P %u", true, "/state/a")
              .starts_with("the kernel gives it to /usr/lib/systemd/systemd-coredump; `coredumpctl`"));
  REQUIRE(core_text("|/usr/bin/apport", false, "/state/a").find("gives it to /usr/bin/apport,") != std::string::npos);
  REQUIRE(core_text("core", true, "/state/a").starts_with("none is written: RLIMIT_CORE is 0"));
  REQUIRE(core_text("core", false, "/state/a").ends_with("\"core\" says, in /state/a"));
  REQUIRE(core_text("/cores/%p", false, "/state/a").ends_with("says, if the plugin may write there"));
  PluginSet t({"mortal"}, Isolation::child);
  REQUIRE(t.call("mortal.pid"));
  kill_it(t, "mortal");
  REQUIRE_FALSE(t.entry("mortal")["evidence"].contains("core"));
  REQUIRE_FALSE(Death{.reason = {}, .signal = SIGSEGV}.details()["core"].get<std::string>().empty());
}

TEST_CASE("restarts: what held the last instance to its grants is shown while none runs") {
  PluginSet t({"mortal"}, Isolation::child);
  REQUIRE(t.entry("mortal")["enforced"].empty());
  REQUIRE(t.call("mortal.pid"));
  const auto enforced = t.entry("mortal")["enforced"];
  REQUIRE_FALSE(enforced.empty());
  kill_it(t, "mortal");
  REQUIRE(t.entry("mortal")["enforced"] == enforced);
}

TEST_CASE("restarts: an idempotent call outlives two deaths and waits for the back-off, another one outlives none") {
  PluginSet t({"mortal"}, Isolation::child, [](Config& c) { c.supervisor.backoff_initial_ms = 5000; });
  auto call = t.begin("mortal.dies", {{"file", t.file("deaths")}, {"times", 2}, {"signal", SIGSEGV}});
  while (!call.recorder->done()) t.advance_to_next_or(5s, [&] { return call.recorder->done(); });
  REQUIRE(call.recorder->wait());
  REQUIRE(t.entry("mortal")["restarts"] == 2);
  const auto error = t.call("mortal.dies_once", {{"file", t.file("other")}, {"signal", SIGSEGV}}).error();
  REQUIRE(error.kind == ErrorKind::plugin_died);
  REQUIRE(error.message.find("signal 11") != std::string::npos);
}

TEST_CASE("restarts: one with an activation of its own is started again without being called") {
  PluginSet t({"eager"}, Isolation::child);
  eventually("its start", [&] { return t.entry("eager")["state"] == "ready"; });
  REQUIRE(::kill(t.entry("eager")["pid"], SIGKILL) == 0);
  eventually("its next start",
             [&] { return t.entry("eager")["restarts"] == 1 && t.entry("eager")["state"] == "ready"; });
  REQUIRE(::kill(t.entry("eager")["pid"], SIGKILL) == 0);
  eventually("its back-off", [&] { return t.entry("eager")["state"] == "backing_off"; });
  t.advance_to_next(200ms);
  eventually("its third", [&] { return t.entry("eager")["restarts"] == 2 && t.entry("eager")["state"] == "ready"; });
}

TEST_CASE("restarts: one that fails to start is held back as one that died, inline as well") {
  for (const auto isolation : {Isolation::in_line, Isolation::child}) {
    CAPTURE(isolation);
    PluginSet t({"mortal"}, isolation, [](Config& c) { c.plugins["mortal"].settings = {{"refuse", true}}; });
    REQUIRE(t.call("mortal.pid").error().message.find("told to refuse") != std::string::npos);
    REQUIRE(t.entry("mortal")["state"] == "failed");
    REQUIRE(t.call("mortal.pid").error().message.find("told to refuse") != std::string::npos);
    for (int i = 0; i < 2; ++i) {
      REQUIRE(t.entry("mortal")["state"] == "backing_off");
      t.timers.advance(1s);
      REQUIRE(t.call("mortal.pid").error().message.find("could not be started") != std::string::npos);
    }
    REQUIRE(t.entry("mortal")["state"] == "quarantined");
    REQUIRE(t.entry("mortal")["reason"].get<std::string>().find("told to refuse") != std::string::npos);
  }
}

TEST_CASE("restarts: a process that ends while it starts is seen with its signal, and counts") {
  PluginSet t({"mortal"}, Isolation::child, [](Config& c) {
    c.plugins["mortal"].settings = {{"in_start", {{"file", "%/starts"}, {"times", 1}, {"signal", SIGSEGV}}}};
  });
  REQUIRE(t.call("mortal.pid").error().message.find("signal 11") != std::string::npos);
  REQUIRE(t.entry("mortal")["evidence"]["signal"] == SIGSEGV);
  REQUIRE(t.call("mortal.pid"));
  REQUIRE(t.entry("mortal")["restarts"] == 1);
}

TEST_CASE("restarts: `restart = \"never\"` leaves one that died as it is, until it is restarted by hand") {
  PluginSet t({"mortal"}, Isolation::child, [](Config& c) { c.plugins["mortal"].restart = Restart::never; });
  REQUIRE(t.call("mortal.pid"));
  kill_it(t, "mortal");
  REQUIRE(t.entry("mortal")["state"] == "failed");
  const auto refused = t.call("mortal.pid").error();
  REQUIRE(refused.kind == ErrorKind::unavailable);
  REQUIRE(refused.message.find("not to be restarted: signal 9") != std::string::npos);
  REQUIRE(t.call("plugin.restart", {{"name", "mortal"}}));
  REQUIRE(t.call("mortal.pid"));
}

TEST_CASE("restarts: plugin.restart stops one that runs and starts it, and calls that come meanwhile wait") {
  for (const auto isolation : {Isolation::in_line, Isolation::child}) {
    CAPTURE(isolation);
    PluginSet t({"mortal"}, isolation, [](Config& c) { c.plugins["mortal"].settings = {{"diary", "%/diary"}}; });
    REQUIRE(t.call("mortal.pid"));
    auto open = t.begin("mortal.never");
    eventually("the call", [&] { return t.entry("mortal")["open_calls"] == 1; });
    auto restart = t.begin("plugin.restart", {{"name", "mortal"}});
    REQUIRE_FALSE(open.recorder->wait());
    REQUIRE(t.call("mortal.pid"));
    REQUIRE((*restart.recorder->wait())["restarts"] == 1);
    REQUIRE(t.lines("diary") == std::vector<std::string>{"mortal starts", "mortal stops", "mortal starts"});
    REQUIRE(t.entry("mortal")["state"] == "ready");
  }
}

TEST_CASE("restarts: a call that is open when its plugin is stopped gets `plugin_died` whatever it says in its end") {
  for (const auto isolation : {Isolation::in_line, Isolation::child}) {
    CAPTURE(isolation);
    TestDaemon t([&](Config& c) {
      for (const char* name : {"faulty", "plain"}) c.plugins[name].isolation = isolation;
    });
    const auto dropped = t.begin("faulty.never");
    const auto held = t.begin("faulty.echo_stream", {{"grant", 1}}, 10);
    const auto answered_in_destroy = t.begin("plain.never");
    held.recorder->wait_for_credit();
    REQUIRE(t.call("plain.echo"));
    for (const char* name : {"faulty", "plain"}) {
      CAPTURE(name);
      REQUIRE(t.call("plugin.restart", {{"name", name}}));
    }
    for (const auto* begun : {&dropped, &held, &answered_in_destroy}) {
      const auto result = begun->recorder->wait();
      REQUIRE_FALSE(result);
      REQUIRE(result.error().kind == ErrorKind::plugin_died);
      REQUIRE(result.error().message.find("stopped before it answered") != std::string::npos);
      REQUIRE(begun->recorder->answers() == 1);
    }
  }
}

TEST_CASE("restarts: plugin.restart lifts a quarantine, starts one that never ran, and knows its plugins") {
  PluginSet t({"mortal"}, Isolation::child, [](Config& c) { c.supervisor.intensity = 0; });
  REQUIRE(t.call("plugin.restart", {{"name", "mortal"}}));
  REQUIRE(t.entry("mortal")["restarts"] == 0);
  kill_it(t, "mortal");
  REQUIRE(t.entry("mortal")["state"] == "quarantined");
  REQUIRE(t.call("plugin.restart", {{"name", "mortal"}}));
  REQUIRE(t.call("mortal.pid"));
  REQUIRE(t.entry("mortal")["state"] == "ready");
  REQUIRE_FALSE(t.entry("mortal").contains("reason"));
  const auto unknown = t.call("plugin.restart", {{"name", "mortel"}}).error();
  REQUIRE(unknown.kind == ErrorKind::not_found);
  REQUIRE(unknown.message.find("did you mean mortal?") != std::string::npos);
  REQUIRE(t.call("plugin.restart").error().kind == ErrorKind::invalid_params);
}
