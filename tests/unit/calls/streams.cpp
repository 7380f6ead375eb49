// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/support/host.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

TEST_CASE("stream: never more items than credit, all items in order, then the answer") {
  TestDaemon t;
  auto [recorder, call] = t.begin("faulty.flood", {{"items", 100}}, 3);
  recorder->wait_for_items(3);
  REQUIRE(t.call("echo.say"));
  REQUIRE(recorder->items().size() == 3);
  REQUIRE(!recorder->done());
  call->give_credit(2);
  recorder->wait_for_items(5);
  call->give_credit(1000);
  REQUIRE((*recorder->wait())["sent"] == 100);
  const auto items = recorder->items();
  REQUIRE(items.size() == 100);
  for (std::size_t i = 0; i < items.size(); ++i) {
    CAPTURE(i);
    REQUIRE(json::parse(items[i])["i"] == i);
  }
  REQUIRE(!recorder->item_after_answer());
}

TEST_CASE("stream: a flood waits in a bounded outbox while there is no credit") {
  TestDaemon t;
  auto [recorder, call] = t.begin("faulty.flood", {{"items", 5000}}, 0);
  REQUIRE(t.call("faulty.attempts", {{"key", "x"}}));
  REQUIRE(recorder->items().empty());
  std::uint32_t total = 0;
  while (!recorder->done()) {
    call->give_credit(100);
    total += 100;
    eventually("items or the end",
               [&] { return recorder->items().size() >= std::min<std::size_t>(total, 5000) || recorder->done(); });
  }
  REQUIRE((*recorder->wait())["sent"] == 5000);
  REQUIRE(recorder->items().size() == 5000);
}

TEST_CASE("stream: both directions, each within its credit, until each side ends its own") {
  TestDaemon t;
  auto [recorder, call] = t.begin("faulty.echo_stream", {{"grant", 2}}, 100);
  recorder->wait_for_credit(2);
  REQUIRE(call->send_item("1"));
  REQUIRE(call->send_item("2"));
  recorder->wait_for_items(2);
  recorder->wait_for_credit(4);
  REQUIRE(call->send_item("3"));
  call->send_end();
  REQUIRE((*recorder->wait())["seen"] == 3);
  REQUIRE(recorder->items() == std::vector<std::string>{"1", "2", "3"});
}

TEST_CASE("stream: an item beyond the callee's credit is refused") {
  TestDaemon t;
  auto [recorder, call] = t.begin("faulty.echo_stream", {{"grant", 0}}, 100);
  REQUIRE(t.call("faulty.attempts", {{"key", "x"}}));
  const auto sent = call->send_item("1");
  REQUIRE(!sent);
  REQUIRE(sent.error().kind == ErrorKind::overloaded);
  call->cancel();
}

TEST_CASE("stream: an attach stream takes no permit and has no deadline") {
  TestDaemon t([](Config& c) {
    c.host.max_calls_per_service = 1;
    c.host.default_call_timeout_seconds = 1;
  });
  auto a = t.begin("faulty.echo_stream", {{"grant", 1}}, 10);
  auto b = t.begin("faulty.echo_stream", {{"grant", 1}}, 10, std::chrono::seconds(1));  // not even one that it names
  REQUIRE(t.call("faulty.attempts", {{"key", "x"}}));
  t.timers.advance(std::chrono::hours(2));
  REQUIRE(!a.recorder->done());
  REQUIRE(!b.recorder->done());
  a.call->send_end();
  b.call->send_end();
  REQUIRE(a.recorder->wait());
  REQUIRE(b.recorder->wait());
}

TEST_CASE("stream: a method that is no stream cannot be opened as one, and the other way round") {
  TestDaemon t;
  REQUIRE(t.begin("faulty.attempts", {{"key", "x"}}, 1).recorder->wait().error().kind == ErrorKind::invalid_params);
  REQUIRE(t.begin("host.status", json::object(), 1).recorder->wait().error().kind == ErrorKind::invalid_params);
  REQUIRE(t.call("faulty.echo_stream").error().kind == ErrorKind::invalid_params);
}

TEST_CASE("stream: one that names no deadline has none, and one that names one is ended by it") {
  TestDaemon t([](Config& c) { c.host.default_call_timeout_seconds = 1; });
  auto endless = t.begin("faulty.never", json::object(), 1);
  auto hasty = t.begin("faulty.never", json::object(), 1, std::chrono::seconds(2));
  t.timers.advance(std::chrono::hours(1));
  REQUIRE(hasty.recorder->wait().error().kind == ErrorKind::timeout);
  REQUIRE(!endless.recorder->done());
  endless.call->cancel();
}

namespace {

/// A daemon whose plugin "faulty" does not start before it may.
struct SlowStart {
  TempDir files;
  std::string file = (files.path() / "go").string();
  TestDaemon t{[this](Config& c) { c.plugins["faulty"].settings = {{"start_file", file}}; }};
  void go() const { std::ofstream out(file); }
};

}  // namespace

TEST_CASE("stream: credit and an end that come while the plugin starts reach it, and an item is refused") {
  SlowStart s;
  auto flood = s.t.begin("faulty.flood", {{"items", 5}}, 1);
  auto echo = s.t.begin("faulty.echo_stream", {{"grant", 1}}, 1);
  flood.call->give_credit(1);
  flood.call->give_credit(1);
  REQUIRE(echo.call->send_item("1").error().kind == ErrorKind::overloaded);
  echo.call->send_end();
  s.go();
  REQUIRE((*echo.recorder->wait())["seen"] == 0);
  REQUIRE(s.t.call("faulty.cancelled"));
  REQUIRE(flood.recorder->items().size() == 3);
  flood.call->cancel();
}

TEST_CASE("stream: credit that adds up to more than can be counted is as much as can be counted") {
  SlowStart s;
  auto [recorder, call] = s.t.begin("faulty.flood", {{"items", 100}}, 2);
  call->give_credit(0xFFFFFFFF);
  s.go();
  REQUIRE((*recorder->wait())["sent"] == 100);
}

TEST_CASE("stream: a call that is cancelled while its plugin starts never reaches the handler") {
  SlowStart s;
  auto [recorder, call] = s.t.begin("faulty.fail_times_once", {{"key", "x"}, {"times", 0}});
  call->cancel();
  REQUIRE(recorder->wait().error().kind == ErrorKind::cancelled);
  s.go();
  REQUIRE((*s.t.call("faulty.attempts", {{"key", "x"}}))["attempts"] == 0);
}

TEST_CASE("stream: what is sent after the answer crosses it on its way, and is no mistake") {
  TestDaemon t;
  auto [recorder, call] = t.begin("faulty.echo_stream", {{"grant", 0}}, 10);
  call->cancel();
  REQUIRE(!recorder->wait());
  REQUIRE(call->send_item("1"));
}

TEST_CASE("stream: credit for a call that is no stream lets no item through") {
  TestDaemon t;
  auto [recorder, call] = t.begin("plain.item");
  REQUIRE(t.call("plain.echo"));  // answered after it: the call is with the plugin
  call->give_credit(1);
  REQUIRE(t.call("plain.echo"));
  REQUIRE(recorder->items().empty());
  call->cancel();
}

TEST_CASE("stream: a plugin may end its items before it answers") {
  TestDaemon t;
  REQUIRE(t.call("plain.echo"));  // it has started: credit reaches it by itself
  auto [recorder, call] = t.begin("plain.items", json::object(), 0);
  call->give_credit(1);
  recorder->wait_for_item_end();
  REQUIRE(recorder->items() == std::vector<std::string>{"1"});
  REQUIRE(!recorder->done());
  call->cancel();
}
