// SPDX-License-Identifier: Apache-2.0
//
// The lives of plugins' helper processes.
#include "tests/unit/processes/launcher_support.hpp"
#include "tests/unit/support/process.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

TEST_CASE("launcher: the descriptors that a plugin gets lead to its helper, in both modes") {
  KeeperDaemon t(GENERATE(true, false) ? as_child : std::function<void(Config&)>());
  const auto answer = t.spawn("echo", {"sh", "-c", "echo complaint >&2; exec cat"});
  REQUIRE(answer["warm"] == false);
  REQUIRE(answer["descriptors"] == 3);
  t.write("echo", "hello\nagain\n");
  REQUIRE(t.line("echo") == "hello");
  REQUIRE(t.line("echo") == "again");
  REQUIRE(t.line("echo", 2) == "complaint");
  t.write("echo", "");  // the end of its input
  REQUIRE(*t.wait("echo") == json{{"exit_code", 0}});
  REQUIRE(t.spawn("socket", {"cat"}, {{"stdio", "socket"}})["descriptors"] == 2);
  t.write("socket", "both ways\n");
  REQUIRE(t.line("socket", 0) == "both ways");
}

TEST_CASE("launcher: how a helper has ended is told to who waits, to who asks later, and as an event") {
  KeeperDaemon t;
  auto heard = *t.daemon().bus().subscribe({"host.process.*"}, [] {});
  (void)t.spawn("one", {"sh", "-c", "read line; exit 7"});
  const auto waits = t.begin("keeper.ask", {{"of", "process.wait"}, {"name", "one"}});
  t.write("one", "go\n");
  REQUIRE(*waits.recorder->wait() == json{{"exit_code", 7}});
  REQUIRE(*t.wait("one") == json{{"exit_code", 7}});
  const auto next = heard.subscription->take();
  REQUIRE(next);
  REQUIRE(next->event.topic == "host.process.exited");
  REQUIRE(json::parse(next->event.payload) == json{{"plugin", "keeper"}, {"name", "one"}, {"exit_code", 7}});
  (void)t.spawn("two", {"sh", "-c", "kill -SEGV $$"});
  REQUIRE(*t.wait("two") == json{{"signal", SIGSEGV}});
  REQUIRE(t.wait("three").error().kind == ErrorKind::not_found);
}

TEST_CASE("launcher: a helper's end is the end of all that it has started, also of what has left its group") {
  KeeperDaemon t;
  (void)t.spawn("a", kWithDaemon);
  const int daemon = t.number("a");
  const int main = t.number("a");
  REQUIRE(lives(daemon));
  REQUIRE(lives(main));
  int signal = 0;
  SECTION("killed") { signal = SIGKILL; }
  SECTION("asked to end") { signal = SIGTERM; }
  SECTION("killed by another") { REQUIRE(::kill(main, SIGKILL) == 0); }
  if (signal != 0) REQUIRE(t.ask("process.kill", {{"name", "a"}, {"signal", signal}}));
  REQUIRE(*t.wait("a") == json{{"signal", signal == 0 ? SIGKILL : signal}});
  REQUIRE_FALSE(lives(main));
  REQUIRE_FALSE(lives(daemon));
  REQUIRE(t.ask("process.list", json::object())->at("helpers").empty());
}

TEST_CASE("launcher: the same name and command is the same helper, another command is a conflict") {
  KeeperDaemon t;
  const auto first = t.spawn("a", {"cat"});
  const auto second = t.spawn("a", {"cat"});
  REQUIRE(first["warm"] == false);
  REQUIRE(second["warm"] == true);
  REQUIRE(second["pid"] == first["pid"]);
  REQUIRE(t.try_spawn("a", {"cat", "-n"}).error().kind == ErrorKind::conflict);
  REQUIRE(t.try_spawn("a", {"cat"}, {{"env", {{"A", "1"}}}}).error().kind == ErrorKind::conflict);
  REQUIRE(t.spawn("b", {"cat"})["pid"] != first["pid"]);
  const auto listed = t.ask("process.list", json::object())->at("helpers");
  REQUIRE(listed.size() == 2);
  REQUIRE(listed[0] == json{{"name", "a"}, {"argv", {"cat"}}, {"pid", first["pid"]}, {"claimed", true}});
}

TEST_CASE("launcher: a helper outlives the instance that asked for it, and is warm for the next one") {
  const bool child = GENERATE(true, false);
  KeeperDaemon t(child ? as_child : std::function<void(Config&)>());
  const json helper{"sh", "-c", "n=0; while read line; do n=$((n+1)); echo $n; done"};
  const auto first = t.spawn("counter", helper);
  t.write("counter", "x\n");
  REQUIRE(t.line("counter") == "1");
  REQUIRE(t.ask("process.note", {{"name", "counter"}, {"note", "zero"}}));
  REQUIRE(t.ask("process.note", {{"name", "counter"}, {"note", "one"}}));
  if (child) {
    REQUIRE(t.call("keeper.dies").error().kind == ErrorKind::plugin_died);
  } else {
    REQUIRE(t.call("plugin.restart", {{"name", "keeper"}}));
  }
  const auto second = t.spawn("counter", helper);
  REQUIRE(second["warm"] == true);
  // Inline a thread of the old one might still speak with it.
  REQUIRE(second.value("note", "") == (child ? "one" : ""));
  REQUIRE(second["pid"] == first["pid"]);
  t.write("counter", "x\n");
  REQUIRE(t.line("counter") == "2");
  REQUIRE(t.ask("process.note", {{"name", "nobody"}, {"note", "x"}}).error().kind == ErrorKind::not_found);
  const std::string most(Launcher::kMaxNote, 'x');
  REQUIRE(t.ask("process.note", {{"name", "counter"}, {"note", most}}));
  REQUIRE(t.ask("process.note", {{"name", "counter"}, {"note", most + "x"}}).error().kind == ErrorKind::invalid_params);
}

TEST_CASE("launcher: a helper that no instance claims is ended after a minute, one that is claimed again is not") {
  KeeperDaemon t(as_child);
  (void)t.spawn("left", {"sleep", "1000"});
  const auto kept = t.spawn("kept", {"sleep", "1000"});
  REQUIRE(t.call("keeper.dies").error().kind == ErrorKind::plugin_died);
  eventually("the timers", [&] {
    const auto next = t.timers.next_in();
    return next && *next <= Launcher::kUnclaimed;
  });
  REQUIRE(t.spawn("kept", {"sleep", "1000"})["warm"] == true);
  t.timers.advance(Launcher::kUnclaimed - std::chrono::seconds(1));
  REQUIRE(t.ask("process.list", json::object())->at("helpers").size() == 2);
  t.timers.advance(std::chrono::seconds(1));
  REQUIRE(*t.wait("left") == json{{"signal", SIGKILL}});
  t.timers.advance(Launcher::kUnclaimed);
  REQUIRE(lives(kept["pid"]));
}

TEST_CASE("launcher: a host that stops leaves no helper, and a plugin that stops may still end its own") {
  int daemon = 0;
  int main = 0;
  {
    KeeperDaemon t(as_child);
    (void)t.spawn("a", kWithDaemon);
    daemon = t.number("a");
    main = t.number("a");
    t.end();
    REQUIRE_FALSE(lives(daemon));
    REQUIRE_FALSE(lives(main));
    REQUIRE(t.daemon().clean());
    REQUIRE(t.call("host.status").error().kind == ErrorKind::unavailable);
    REQUIRE(t.call("process.list").error().kind == ErrorKind::permission_denied);  // not refused for the stopping
  }
}

TEST_CASE("launcher: a plugin has so many helpers and no more, and so have all together") {
  LauncherAlone t({.per_plugin = 2, .in_all = 3});
  t.launcher().join(1, "one", false);
  t.launcher().join(2, "two", false);
  const auto call = [&](OriginId plugin, const char* method, const json& params) {
    const auto recorder = std::make_shared<Recorder>();
    t.call(plugin, method, params, recorder);
    return recorder->wait();
  };
  const auto spawn = [&](OriginId plugin, const char* name) {
    return call(plugin, "process.spawn", {{"name", name}, {"argv", {"sleep", "1000"}}});
  };
  REQUIRE(spawn(1, "a"));
  REQUIRE(spawn(1, "b"));
  const auto refused = spawn(1, "c");
  REQUIRE(refused.error().kind == ErrorKind::overloaded);
  REQUIRE(refused.error().message.find("a plugin may have 2, all together 3") != std::string::npos);
  REQUIRE(spawn(2, "a"));
  REQUIRE(spawn(2, "b").error().kind == ErrorKind::overloaded);
  REQUIRE(spawn(1, "a"));  // warm
  REQUIRE(call(1, "process.kill", {{"name", "a"}}));
  REQUIRE(call(1, "process.wait", {{"name", "a"}}));
  REQUIRE(spawn(1, "c"));
}

TEST_CASE("launcher: who waits for a helper's end gives up with the deadline, or when it leaves") {
  LauncherAlone t;
  t.launcher().join(1, "one", false);
  const auto spawned = std::make_shared<Recorder>();
  t.call(1, "process.spawn", {{"name", "a"}, {"argv", {"sleep", "1000"}}}, spawned);
  REQUIRE(spawned->wait());
  CallRequest request;
  request.method = "process.wait";
  request.params = R"({"name": "a"})";
  request.origin = 1;
  const auto for_ever = std::make_shared<Recorder>();
  t.launcher().call(request, for_ever);
  request.deadline = Deadline(std::chrono::steady_clock::now());
  const auto late = std::make_shared<Recorder>();
  t.launcher().call(request, late);
  REQUIRE(late->wait().error().kind == ErrorKind::timeout);
  REQUIRE_FALSE(for_ever->done());
  t.launcher().leave(1);
  REQUIRE(for_ever->wait().error().kind == ErrorKind::cancelled);
}

TEST_CASE("launcher: a program that cannot be started is an error that says why") {
  KeeperDaemon t;
  const auto missing = t.try_spawn("a", {"no-such-program"});
  REQUIRE(missing.error().kind == ErrorKind::not_found);
  REQUIRE(missing.error().message.starts_with(
      "no-such-program cannot be started: No such file or directory; the host's PATH was searched"));
  REQUIRE(t.try_spawn("a", {"cat"}, {{"cwd", "/no/such/folder"}}).error().kind == ErrorKind::invalid_params);
  for (const json& wrong : {json{{"cwd", "here"}}, json{{"read", {"here"}}}, json{{"stdio", "none"}},
                            json{{"reads", {"/"}}}, json{{"env", {{"A", 1}}}}, json{{"max_memory_mib", 1}}}) {
    CAPTURE(wrong);
    REQUIRE(t.try_spawn("a", {"cat"}, wrong).error().kind == ErrorKind::invalid_params);
  }
  REQUIRE(t.try_spawn("a", json::array()).error().kind == ErrorKind::invalid_params);
  REQUIRE(t.try_spawn("a", {"true", std::string(Helper::kMaxRequest, 'x')}).error().kind == ErrorKind::too_large);
  REQUIRE(t.spawn("a", {"cat"})["warm"] == false);
}
