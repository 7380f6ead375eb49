// SPDX-License-Identifier: Apache-2.0
//
// gantry/testing.hpp: each end that a test has of its plugin's channels.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <gantry/testing.hpp>
#include <thread>

#include "tests/folders.hpp"

using namespace gantry;
using testing::Lane;
using testing::TestHost;

namespace {

const std::string kFaulty = gantry::folders::build() + "/tests/plugins/faulty.so";
const std::string kRelay = gantry::folders::build() + "/tests/plugins/lsp_shaped.so";
const std::string kSwap = gantry::folders::build() + "/tests/plugins/more/swap_overlap_1.so";

json relayed(const std::string& method, json params = json::object()) {
  return {{"method", method}, {"params", std::move(params)}};
}

/// What the host said to the messages of this kind, in order.
std::vector<int> said_to(const TestHost& host, gantry_kind kind) {
  std::vector<int> out;
  for (const auto& message : host.messages()) {
    if (message.kind == kind) out.push_back(message.sent);
  }
  return out;
}

std::string text_of(const Descriptor& from) {
  std::string text(100, '\0');
  const auto size = ::read(from.get(), text.data(), text.size());
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return text;
}

Descriptors pipe_with(const std::string& text) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  REQUIRE(::write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  ::close(ends[1]);
  Descriptors out;
  out.emplace_back(ends[0]);
  return out;
}

}  // namespace

TEST_CASE("testing: an end without credit stalls a stream and shows what has come and what may come") {
  TestHost host(kFaulty);
  auto stream = host.open("faulty.flood", {{"items", 10}}, 2);
  host.settle();
  REQUIRE(stream.waiting() == 2);
  REQUIRE(stream.credit_left() == 0);
  REQUIRE_FALSE(stream.answered());
  REQUIRE(host.open_calls() == 1);
  REQUIRE(said_to(host, GANTRY_ITEM) == std::vector<int>{GANTRY_OK, GANTRY_OK, GANTRY_FULL});
  stream.credit(20);
  REQUIRE(stream.result());
  REQUIRE(stream.waiting() == 10);
  REQUIRE(stream.credit_left() == 12);
  int read = 0;
  while (stream.next()) ++read;
  REQUIRE(read == 10);
  REQUIRE(host.open_calls() == 0);
  host.stop();
}

TEST_CASE("testing: an end that is filled tells the plugin so although it had credit") {
  TestHost host(kFaulty);
  host.pause();
  auto stream = host.open("faulty.flood", {{"items", 3}}, 100);
  stream.fill();
  host.resume();
  host.settle();
  REQUIRE(said_to(host, GANTRY_ITEM) == std::vector<int>{GANTRY_FULL});
  REQUIRE(stream.waiting() == 0);
  stream.credit(3);
  REQUIRE(stream.result());
  host.stop();
}

TEST_CASE("testing: nothing that is said to an end that is closed is heard") {
  TestHost host(kFaulty);
  auto stream = host.open("faulty.flood", {{"items", 10}}, 1);
  host.settle();
  stream.close();
  stream.credit(5);
  host.settle();
  REQUIRE(stream.waiting() == 1);
  REQUIRE_FALSE(stream.answered());
  REQUIRE(host.open_calls() == 0);
  REQUIRE(said_to(host, GANTRY_ITEM).back() == GANTRY_CLOSED);
  REQUIRE(said_to(host, GANTRY_RESPONSE) == std::vector<int>{GANTRY_CLOSED});
  host.stop();
}

TEST_CASE("testing: a call that was cancelled takes no more items") {
  TestHost host(kFaulty);
  auto stream = host.open("faulty.flood", {{"items", 10}}, 1);
  host.settle();
  stream.cancel();
  host.settle();
  REQUIRE(said_to(host, GANTRY_ITEM).back() == GANTRY_CLOSED);
  REQUIRE(stream.next());
  REQUIRE_FALSE(stream.next());
  host.stop();
}

TEST_CASE("testing: items go to the plugin by the credit that it gives") {
  TestHost host(kFaulty);
  auto stream = host.open("faulty.echo_stream", {{"grant", 2}}, 10);
  host.settle();
  REQUIRE(stream.granted() == 2);
  host.pause();
  REQUIRE(stream.try_send(1));
  REQUIRE(stream.try_send(2));
  REQUIRE_FALSE(stream.try_send(3));
  REQUIRE(host.mailbox() == 2);
  host.resume();
  stream.send(3);  // it grants one more for each
  stream.end();
  REQUIRE((*stream.result())["seen"] == 3);
  REQUIRE(*stream.next() == 1);
  host.stop();
}

TEST_CASE("testing: a paused plugin hears nothing until it goes on and then all of it in order") {
  TestHost host(kFaulty);
  for (int i = 0; i < 200; ++i) {
    CAPTURE(i);
    host.pause();
    auto waits = host.begin("faulty.seen_events");
    for (int n = 0; n < 20; ++n) std::this_thread::yield();
    REQUIRE(host.mailbox() == 1);
    host.resume();
    REQUIRE(waits.result());
  }
  host.pause();
  auto first = host.begin("faulty.never");
  auto second = host.begin("faulty.cancelled");
  first.cancel();
  host.publish("test.event", json::object());
  REQUIRE(host.mailbox() == 4);
  REQUIRE_THROWS_AS(host.settle(), std::runtime_error);
  host.resume();
  REQUIRE((*second.result())["count"] == 0);
  REQUIRE((*host.call("faulty.cancelled"))["count"] == 1);
  REQUIRE((*host.call("faulty.seen_events"))["topics"] == json{"test.event"});
  host.stop();
}

TEST_CASE("testing: events find their end full or closed or stalled until it opens") {
  TestHost host(kFaulty);
  host.fill(Lane::events);
  REQUIRE(host.call("faulty.flood_events", {{"events", 1}}));
  host.close(Lane::events);
  REQUIRE(host.call("faulty.flood_events", {{"events", 1}}));
  host.stall(Lane::events);
  REQUIRE(host.call("faulty.flood_events", {{"events", 2}}));
  REQUIRE(said_to(host, GANTRY_EVENT) == std::vector<int>{GANTRY_FULL, GANTRY_CLOSED, GANTRY_OK, GANTRY_OK});
  REQUIRE(host.events().empty());
  REQUIRE(host.waiting(Lane::events) == 2);
  host.open(Lane::events);
  REQUIRE(host.waiting(Lane::events) == 0);
  REQUIRE(host.event("faulty.flood").payload == json{{"i", 0}});
  REQUIRE(host.events().size() == 2);
  host.stop();
}

TEST_CASE("testing: the calls that a plugin makes find their end full or closed") {
  TestHost host(kRelay);
  host.fill(Lane::calls);
  REQUIRE(host.call("lsp_shaped.relay", relayed("other.do")).error().kind == ErrorKind::overloaded);
  host.close(Lane::calls);
  REQUIRE(host.call("lsp_shaped.relay", relayed("other.do")).error().kind == ErrorKind::unavailable);
  host.open(Lane::calls);
  REQUIRE(host.call("lsp_shaped.relay", relayed("other.do")).error().kind == ErrorKind::method_not_found);
  host.on_call("other.do", [](const json& params, const testing::Reply& reply) { reply(CallAnswer{params, {}}); });
  REQUIRE((*host.call("lsp_shaped.relay", relayed("other.do", {{"a", 1}})))["relayed"] == json{{"a", 1}});
  host.stop();
}

TEST_CASE("testing: a plugin's call that has stalled is looked at and answered by the test") {
  TestHost host(kRelay);
  host.stall(Lane::calls);
  auto outer = host.begin("lsp_shaped.ask", relayed("client.choose", {{"of", 2}}),
                          {.budget = std::chrono::seconds(3), .origin = 7, .traceparent = "00-1-2-01"});
  auto call = host.made("client.choose");
  REQUIRE(host.waiting(Lane::calls) == 1);
  REQUIRE(call.method() == "client.choose");
  REQUIRE(call.params() == json{{"of", 2}});
  REQUIRE(call.client() == 7);
  REQUIRE(call.traceparent() == "00-1-2-01");
  REQUIRE(call.budget() == std::chrono::seconds(3));
  REQUIRE_FALSE(call.is_stream());
  REQUIRE_FALSE(call.cancelled());
  REQUIRE_FALSE(outer.answered());
  host.pause();
  call.answer(json{{"chosen", 1}});
  call.answer(json{{"chosen", 2}});
  REQUIRE(host.mailbox() == 1);
  host.resume();
  REQUIRE((*outer.result())["relayed"] == json{{"chosen", 1}});
  REQUIRE(host.waiting(Lane::calls) == 0);

  auto another = host.begin("lsp_shaped.ask", relayed("client.choose"));
  auto cancelled = host.made("client.choose");
  another.cancel();
  host.settle();
  REQUIRE(cancelled.cancelled());
  cancelled.answer(fail(ErrorKind::cancelled, "as you wish"));
  REQUIRE(another.result().error().kind == ErrorKind::cancelled);

  auto held = host.begin("lsp_shaped.relay", relayed("other.do"));
  host.settle();
  REQUIRE_FALSE(held.answered());
  host.on_call("other.do", [](const json&, const testing::Reply& reply) { reply(CallAnswer{"late", {}}); });
  host.open(Lane::calls);
  REQUIRE((*held.result())["relayed"] == "late");
  host.stop();
}

TEST_CASE("testing: a stream that a plugin opens has both its directions in the test") {
  TestHost host(kRelay);
  host.stall(Lane::calls);
  json params = relayed("far.away");
  params["credit"] = 2;
  auto near = host.open("lsp_shaped.tunnel", params, 10);
  auto far = host.made("far.away");
  REQUIRE(far.is_stream());
  REQUIRE(far.granted() == 2);
  far.send("down");
  REQUIRE(*near.next() == "down");
  host.settle();
  REQUIRE(far.granted() == 2);  // it has granted one more for that
  REQUIRE(near.granted() == 0);
  far.credit(1);
  near.send("up");
  REQUIRE(*far.next() == "up");
  REQUIRE(far.credit_left() == 0);
  near.end();
  host.settle();
  REQUIRE(far.ended());
  REQUIRE_FALSE(far.next());
  far.answer("over");
  REQUIRE((*near.result())["tunnelled"] == "over");
  host.stop();
}

TEST_CASE("testing: posts that have stalled wait and those that are refused are the plugin's to keep") {
  TestHost host(gantry::folders::build() + "/tests/plugins/typed.so");
  host.stall(Lane::posts);
  auto later = host.begin("typed.later", {{"text", "a"}});
  host.settle();
  REQUIRE_FALSE(later.answered());
  REQUIRE(host.waiting(Lane::posts) == 1);
  host.open(Lane::posts);
  REQUIRE(later.result());
  host.close(Lane::posts);
  // Refused, the task dies, and the call with it.
  REQUIRE(host.call("typed.later", {{"text", "a"}}).error().kind == ErrorKind::internal);
  host.open(Lane::posts);
  host.stop();
}

TEST_CASE("testing: timers that have stalled do not run when their time has come") {
  TestHost host(kFaulty);
  host.stall(Lane::timers);
  auto late = host.begin("faulty.late", {{"delay_ms", 10}});
  host.settle();
  REQUIRE(host.waiting(Lane::timers) == 1);
  host.advance(std::chrono::seconds(1));
  REQUIRE_FALSE(late.answered());
  host.open(Lane::timers);
  host.advance(std::chrono::seconds(0));
  REQUIRE(late.answered());
  host.fill(Lane::timers);
  // Without a timer the call is dropped.
  REQUIRE(host.call("faulty.late", {{"delay_ms", 10}}).error().kind == ErrorKind::internal);
  host.stop();
}

TEST_CASE("testing: everything that a plugin sends is kept in order with what it was told") {
  TestHost host(kFaulty);
  REQUIRE(host.call("faulty.progresses"));
  REQUIRE(host.call("faulty.flood_events", {{"events", 1}}));
  REQUIRE(host.call("faulty.garbage").error().kind == ErrorKind::internal);
  std::vector<gantry_kind> kinds;
  for (const auto& message : host.messages()) kinds.push_back(message.kind);
  REQUIRE(kinds ==
          std::vector<gantry_kind>{GANTRY_PROGRESS, GANTRY_RESPONSE, GANTRY_EVENT, GANTRY_RESPONSE, GANTRY_RESPONSE});
  REQUIRE(host.messages()[0].payload["message"] == "half way");
  REQUIRE(host.messages()[2].topic == "faulty.flood");
  REQUIRE(host.messages()[0].id == host.messages()[1].id);
  host.stop();
}

TEST_CASE("testing: what a plugin sends wrongly is refused as a host refuses it") {
  TestHost host(kRelay);
  host.stall(Lane::calls);
  const auto said = *host.call("lsp_shaped.malformed");
  for (const char* what : {"no own id", "no method", "no object", "no json", "id in use"}) {
    INFO(what);
    REQUIRE(said[what] == GANTRY_INVALID);
  }
  REQUIRE(said["cancel"] == GANTRY_OK);
  REQUIRE(said["cancelled twice"] == GANTRY_CLOSED);
  REQUIRE(said["credit for none"] == GANTRY_CLOSED);
  host.stop();
}

TEST_CASE("testing: descriptors go with calls and with answers both ways") {
  TestHost host(kRelay);
  REQUIRE(*host.begin("lsp_shaped.read", json::object(), {.descriptors = pipe_with("in")}).result() == json{"in"});
  auto piped = host.begin("lsp_shaped.pipe", {{"text", "out"}});
  REQUIRE(piped.result());
  const auto came = piped.take_descriptors();
  REQUIRE(came.size() == 1);
  REQUIRE(text_of(came[0]) == "out");

  host.stall(Lane::calls);
  auto hands_out = host.begin("lsp_shaped.hand_out", {{"method", "other.take"}, {"count", 2}});
  auto taken = host.made("other.take");
  const auto with_it = taken.take_descriptors();
  REQUIRE(with_it.size() == 2);
  REQUIRE(text_of(with_it[1]) == "1");
  taken.answer("thanks");
  REQUIRE(*hands_out.result() == "thanks");

  auto fetch = host.begin("lsp_shaped.fetch", {{"text", "x"}});
  host.made("lsp_shaped.pipe").answer(CallAnswer{json::object(), pipe_with("far")});
  REQUIRE(*fetch.result() == json{"far"});
  host.stop();
}

TEST_CASE("testing: an instance is given what the one before has handed over and gives on its own") {
  TestHost first(kSwap);
  REQUIRE((*first.call("swap.count"))["count"] == 1);
  REQUIRE_FALSE(first.given());
  first.stop();
  REQUIRE(first.given()->starts_with(std::string("\0\xff", 2)));
  TestHost next(kSwap, json::object(), testing::Time::manual, first.given());
  REQUIRE((*next.call("swap.count"))["count"] == 2);
  next.stop();
}

TEST_CASE("testing: a stream that an instance has given is resumed by the next one") {
  TestHost first(kSwap);
  auto stream = first.open("swap.echo", json::object(), 1);
  stream.send(1);
  stream.send(2);
  REQUIRE((*stream.next())["item"] == 1);
  first.stop();
  REQUIRE(first.given_streams() == std::vector<std::uint64_t>{stream.id()});
  TestHost next(kSwap, json::object(), testing::Time::manual, first.given());
  auto resumed = next.begin("swap.echo", json::object(), {.credit = 10, .resumes = stream.id()});
  REQUIRE((*resumed.next())["item"] == 2);  // it has waited for credit
  resumed.end();
  REQUIRE((*resumed.result())["seen"] == 2);
  next.stop();
}

TEST_CASE("testing: a call that a plugin drops because it stops was not answered by a mistake") {
  TestHost host(kFaulty);
  auto drops = host.begin("faulty.drops");
  auto never = host.begin("faulty.never");
  auto stream = host.open("faulty.echo_stream", {{"grant", 1}}, 10);
  auto late = host.begin("faulty.late", {{"delay_ms", 100'000}});  // its timer holds the call, and dies with the plugin
  host.settle();
  host.stop();
  REQUIRE(drops.result().error().kind == ErrorKind::internal);
  for (auto* left : {&never, &stream, &late}) {
    REQUIRE(left->result().error().kind == ErrorKind::plugin_died);
    REQUIRE(left->result().error().message.find("stopped before it answered") != std::string::npos);
  }
}

TEST_CASE("testing: what a plugin calls in its start is answered by what was set up before") {
  const json config{{"settings", {{"call_in_start", "other.first"}}}};
  TestHost answered(kFaulty, config, testing::Time::manual, {}, [](TestHost& host) {
    host.on_call("other.first",
                 [](const json&, const testing::Reply& reply) { reply(CallAnswer{json{{"a", 1}}, {}}); });
  });
  REQUIRE(answered.started() == 0);
  answered.wait("the answer",
                [&] { return answered.log().find(R"(in its start it was answered {"a":1})") != std::string::npos; });
  TestHost held(kFaulty, config, testing::Time::manual, {}, [](TestHost& host) { host.stall(Lane::calls); });
  held.made("other.first").answer(json(2));
  held.settle();
  REQUIRE(held.log().find("in its start it was answered 2") != std::string::npos);
}

TEST_CASE("testing: a plugin that has refused to start answers no call and an empty configuration is none") {
  TestHost host(kFaulty, {{"settings", {{"refuse_to_start", true}}}});
  REQUIRE(host.started() != 0);
  TestHost broken(kFaulty, json::array());
  REQUIRE(broken.started() != 0);
  REQUIRE(broken.call("faulty.attempts", {{"key", ""}}).error().message == "the plugin has not started");
  TestHost empty(kFaulty, {});
  REQUIRE(empty.started() == 0);
}
