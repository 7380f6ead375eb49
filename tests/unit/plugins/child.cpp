// SPDX-License-Identifier: Apache-2.0
//
// Plugins in processes of their own: the same plugins, the same promises.
#include <csignal>

#include "tests/unit/support/host.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

/// A daemon whose test plugins run in processes of their own.
struct ChildDaemon : TestDaemon {
  ChildDaemon()
      : TestDaemon([](Config& c) {
          for (const char* name : {"echo", "faulty", "busy", "hasty", "plain"})
            c.plugins[name].isolation = Isolation::child;
        }) {}
  [[nodiscard]] json entry(const std::string& name) {
    for (auto& plugin : *call("host.plugins")) {
      if (plugin["name"] == name) return plugin;
    }
    return nullptr;
  }
};

}  // namespace

TEST_CASE("child: a call is answered from another process, with its result or its error") {
  ChildDaemon t;
  REQUIRE(*t.call("echo.say", {{"a", 1}}) == json{{"a", 1}});
  const auto error = t.call("faulty.throws").error();
  REQUIRE(error.kind == ErrorKind::internal);
  REQUIRE(error.message == "faulty.throws failed: thrown on purpose");
  REQUIRE(t.entry("echo")["isolation"] == "child");
  REQUIRE(t.entry("echo")["runs_on"] == "child");
  REQUIRE(*t.call("plain.echo", {{"a", 1}}) == json{{"a", 1}});
}

TEST_CASE("child: a stream brings its items in order, within the credit, and then its answer") {
  ChildDaemon t;
  auto flood = t.begin("faulty.flood", {{"items", 20}}, 3);
  flood.recorder->wait_for_items(3);
  REQUIRE_FALSE(flood.recorder->done());
  flood.call->give_credit(100);
  REQUIRE((*flood.recorder->wait())["sent"] == 20);
  const auto items = flood.recorder->items();
  REQUIRE(items.size() == 20);
  for (std::size_t i = 0; i < items.size(); ++i) {
    CAPTURE(i);
    REQUIRE(json::parse(items[i])["i"] == i);
  }
  REQUIRE_FALSE(flood.recorder->item_after_answer());
}

TEST_CASE("child: a stream both ways") {
  ChildDaemon t;
  auto both = t.begin("faulty.echo_stream", {{"grant", 2}}, 100);
  both.recorder->wait_for_credit(2);
  for (int i = 0; i < 10; ++i) {
    eventually("credit", [&] { return both.call->send_item(json{{"i", i}}.dump()).has_value(); });
  }
  both.call->send_end();
  REQUIRE((*both.recorder->wait())["seen"] == 10);
  REQUIRE(both.recorder->items().size() == 10);
}

TEST_CASE("child: events reach it in order, and one that its handler never takes becomes a dead letter") {
  ChildDaemon t;
  REQUIRE(t.call("faulty.attempts", {{"key", ""}}));
  REQUIRE(t.daemon().bus().publish("to_faulty.a", R"({"failures":100})"));
  for (int i = 0; i < 200; ++i) REQUIRE(t.daemon().bus().publish("to_faulty.b", "{}"));
  eventually("all of them", [&] { return (*t.call("faulty.seen_events"))["topics"].size() == 200; });
  const auto dead = *t.call("events.dead");
  REQUIRE(dead["total"] == 1);
  REQUIRE(dead["items"][0]["topic"] == "to_faulty.a");
  REQUIRE(dead["items"][0]["attempts"] == 3);
  REQUIRE(dead["items"][0]["error"].get<std::string>().find("its handler failed") == 0);
}

TEST_CASE("child: what it publishes is published, what its manifest does not list is refused") {
  ChildDaemon t;
  auto heard = t.daemon().bus().subscribe({"**"}, [] {});
  REQUIRE(heard);
  REQUIRE((*t.call("faulty.flood_events", {{"events", 3}}))["published"] == 3);
  REQUIRE((*t.call("faulty.forbidden_event"))["refused"] == true);
  int seen = 0;
  while (auto next = heard->subscription->take()) {
    if (next->event.topic == "faulty.flood") ++seen;
    REQUIRE(next->event.topic != "host.fake");
  }
  REQUIRE(seen == 3);
}

TEST_CASE("child: one that is killed answers `plugin_died` with the signal, and the next call starts it again") {
  ChildDaemon t;
  auto open = t.begin("faulty.never");
  REQUIRE(t.call("faulty.attempts", {{"key", ""}}));
  const pid_t pid = t.entry("faulty")["pid"];
  REQUIRE(::kill(pid, SIGKILL) == 0);
  const auto error = open.recorder->wait().error();
  REQUIRE(error.kind == ErrorKind::plugin_died);
  REQUIRE(error.message.find("signal 9") != std::string::npos);
  REQUIRE(t.call("faulty.attempts", {{"key", ""}}));
  REQUIRE(t.entry("faulty")["pid"] != pid);
  REQUIRE(*t.call("echo.say", {{"a", 1}}) == json{{"a", 1}});  // nobody else has noticed
}

TEST_CASE("child: one that cannot be loaded, or refuses to start, is `failed` with the reason") {
  TestDaemon t([](Config& c) {
    c.plugins["faulty"].isolation = Isolation::child;
    c.plugins["faulty"].settings = {{"refuse_to_start", true}};
  });
  REQUIRE(t.call("faulty.attempts").error().message.find("told to refuse") != std::string::npos);
}

TEST_CASE("child: a host that stops leaves no process behind, also of one that hangs") {
  pid_t calm = 0;
  pid_t hung = 0;
  {
    ChildDaemon t;
    REQUIRE(t.call("echo.say"));
    auto hangs = t.begin("faulty.hangs");
    wait_for_log(t, "hangs in a call");
    calm = t.entry("echo")["pid"];
    hung = t.entry("faulty")["pid"];
    hangs.call->cancel();
  }
  REQUIRE(::kill(calm, 0) == -1);
  REQUIRE(::kill(hung, 0) == -1);
}
