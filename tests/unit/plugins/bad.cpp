// SPDX-License-Identifier: Apache-2.0
//
// Plugins that do wrong: whatever one does, the host and every other client carry on. In a process of its own it may do
// anything; inside the host, what a host can outlive (docs/plugin-authors.md names the rest).
#include <csignal>
#include <cstdlib>

#include "tests/folders.hpp"
#include "tests/unit/support/rpc_client.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

/// A daemon with the bad plugin, and a client beside it that has a call of its own open.
struct BadDaemon {
  explicit BadDaemon(Isolation isolation, const std::function<void(Config&)>& change = {})
      : daemon(
            [&](Config& c) {
              c.plugins["bad"].path = gantry::folders::build() + "/tests/plugins/bad/bad.so";
              c.plugins["bad"].isolation = isolation;
              c.plugins["bad"].grants = std::vector<std::string>{"subscribe:to_bad.*"};
              c.supervisor.hung_seconds = 1;
              c.supervisor.intensity = 100;
              c.supervisor.backoff_initial_ms = 1;
              if (change) change(c);
            },
            true),
        beside(daemon.socket()) {
    beside.line(request(1, "plain.never"));
    check();
  }
  /// The other client and the other plugins are served; its open call has had no answer.
  void check() {
    beside.line(request(++next, "echo.say", {{"i", next}}));
    const auto answer = beside.answer();
    REQUIRE(answer["id"] == next);
    REQUIRE(answer["result"]["i"] == next);
    REQUIRE(daemon.call("host.status"));
  }
  [[nodiscard]] json entry() {
    for (auto& plugin : *daemon.call("host.plugins")) {
      if (plugin["name"] == "bad") return plugin;
    }
    return nullptr;
  }
  /// The plugin serves again.
  void recovers() {
    eventually("the plugin", [&] { return daemon.call("bad.fine").has_value(); });
  }
  TestDaemon daemon;
  Raw beside;
  int next = 1;
};

}  // namespace

TEST_CASE("bad: what ends its process ends nothing else, and it is there again") {
  for (const std::string how : {"segfault", "aborts", "exits", "overflows"}) {
    INFO(how);
    BadDaemon t(Isolation::child);
    const auto other = t.daemon.begin("bad.never");
    const auto error = t.daemon.call("bad." + how).error();
    REQUIRE(error.kind == ErrorKind::plugin_died);
    REQUIRE(other.recorder->wait().error().kind == ErrorKind::plugin_died);
    t.check();
    t.recovers();
    REQUIRE(t.entry()["restarts"] == 1);
  }
}

TEST_CASE("bad: one that allocates without end meets its limit") {
  BadDaemon t(Isolation::child, [](Config& c) { c.plugins["bad"].max_memory_mib = 1024; });
  REQUIRE(t.daemon.call("bad.allocates").error().kind == ErrorKind::plugin_died);
  t.check();
  t.recovers();
}

TEST_CASE("bad: what never comes back from a call is found, and replaced, wherever it runs") {
  for (const Isolation where : {Isolation::child, Isolation::in_line}) {
    for (const std::string how : {"spins", "deadlocks", "blocks"}) {
      // Inside the host its thread is lost, and would keep the test's process busy.
      if (where == Isolation::in_line && how == "spins") continue;
      INFO(how);
      BadDaemon t(where);
      REQUIRE(t.daemon.call("bad." + how).error().kind == ErrorKind::plugin_died);
      t.check();
      t.recovers();
      REQUIRE(t.entry()["evidence"]["reason"] == "hung in bad." + how + " for 1 s");
    }
  }
}

TEST_CASE("bad: who throws, answers twice, never, late or for others harms nobody, in either place") {
  for (const Isolation where : {Isolation::child, Isolation::in_line}) {
    CAPTURE(where);
    BadDaemon t(where);
    REQUIRE(t.daemon.call("bad.throws").error().kind == ErrorKind::internal);
    REQUIRE(t.daemon.call("bad.throws_a_number").error().kind == ErrorKind::internal);
    const auto twice = t.daemon.begin("bad.answers_twice");
    REQUIRE(*twice.recorder->wait() == "first");
    const auto never = t.daemon.begin("bad.never");
    eventually("the call", [&] { return *t.daemon.call("bad.holds") == 1; });
    never.call->cancel();
    REQUIRE(never.recorder->wait().error().kind == ErrorKind::cancelled);
    REQUIRE((*t.daemon.call("bad.late"))["answered"] == 1);
    const auto others = *t.daemon.call("bad.others");
    REQUIRE_FALSE(others.contains("taken"));
    REQUIRE(others["own bit"] < 0);
    REQUIRE(t.daemon.daemon().bus().publish("to_bad.a", "{}"));
    t.check();
    REQUIRE(never.recorder->answers() == 1);
    REQUIRE(twice.recorder->answers() == 1);
    REQUIRE(*t.daemon.call("bad.fine") == "fine");
    REQUIRE(t.entry()["restarts"] == 0);
  }
}

TEST_CASE("bad: garbage is refused message by message, and nothing of it reaches anybody") {
  for (const Isolation where : {Isolation::child, Isolation::in_line}) {
    BadDaemon t(where, [](Config& c) { c.supervisor.hung_seconds = 600; });  // a busy machine lets it wait
    const auto answer = t.daemon.call("bad.garbage");
    INFO((answer ? "" : answer.error().message));
    REQUIRE(answer);
    const auto& said = *answer;
    REQUIRE(said.size() > 15);
    for (const auto& status : said) {
      CAPTURE(status);
      REQUIRE(status.get<int>() < 0);
    }
    t.check();
    REQUIRE(*t.daemon.call("bad.fine") == "fine");
    REQUIRE(t.entry()["restarts"] == 0);
  }
}

TEST_CASE("bad: a flood of everything ends, and the others are served meanwhile") {
  for (const Isolation where : {Isolation::child, Isolation::in_line}) {
    // Its own calls are never answered: they must not hold every permit that its service has.
    BadDaemon t(where, [](Config& c) {
      c.supervisor.hung_seconds = 600;
      c.host.max_calls_per_service = 4096;
    });
    const auto flood = t.daemon.begin("bad.floods");
    for (int i = 0; i < 20; ++i) t.check();
    (void)flood.recorder->wait();  // it may have been ended for what it did
    t.check();
    t.recovers();
  }
}

TEST_CASE("bad: it cannot fork, with or without the grant: the host starts helpers for it") {
  for (const auto& grants : {std::vector<std::string>{}, {"processes"}}) {
    CAPTURE(grants);
    BadDaemon t(Isolation::child, [&](Config& c) { c.plugins["bad"].grants = grants; });
    REQUIRE((*t.daemon.call("bad.forks"))["pid"] == -1);
    t.check();
    REQUIRE(*t.daemon.call("bad.fine") == "fine");
  }
}

TEST_CASE("bad: one that closes what is not its own loses its process, and nothing else is lost") {
  BadDaemon t(Isolation::child);
  REQUIRE(t.daemon.call("bad.closes").error().kind == ErrorKind::plugin_died);
  t.check();
  t.recovers();
}

TEST_CASE("bad: threads that it leaves behind do not outlive its process") {
  BadDaemon t(Isolation::child);
  REQUIRE(t.daemon.call("bad.leaves_threads"));
  const pid_t pid = t.entry()["pid"];
  REQUIRE(t.daemon.call("plugin.restart", {{"name", "bad"}}));
  eventually("its end", [&] { return ::kill(pid, 0) != 0; });
  t.check();
  t.recovers();
}

TEST_CASE("bad: one that crashes on every third load serves between its crashes") {
  BadDaemon t(Isolation::child, [](Config& c) { c.plugins["bad"].settings = {{"third", true}}; });
  for (int i = 0; i < 5; ++i) {
    CAPTURE(i);
    t.recovers();
    REQUIRE(t.daemon.call("bad.exits").error().kind == ErrorKind::plugin_died);
    t.check();
  }
  REQUIRE(t.entry()["restarts"].get<int>() >= 5);
}
