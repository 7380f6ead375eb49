// SPDX-License-Identifier: Apache-2.0
//
// Who holds a place at a provider, and who gives it back: pauses, fallbacks, and the other providers.
#include <catch2/catch.hpp>

#include "tests/unit/ai/support.hpp"

using namespace gantry;
using namespace std::chrono_literals;
using ai_test::config;
using ai_test::data_of;
using ai_test::hello;
using ai_test::wait_pause;
using ai_test::with_fallback;
using testing::TestHost;

namespace {

const fault::Reply kGood{fault::send(fault::response(200, fault::chat_answer("well")))};
const fault::Reply kSlow{fault::hold(), kGood.front()};

fault::Reply limited(int seconds) {
  return {fault::send(fault::response(429, json{{"error", {{"message", "slow down"}}}},
                                      "Retry-After: " + std::to_string(seconds) + "\r\n"))};
}

// One place at each provider.
json one_place(const std::string& url) { return config(url, {{"max_concurrent_ai_requests", 1}}); }

// Model "m" with the fallback "n" of another provider, and "alone", which shares the provider of "m" and has none.
json chain(const std::string& url, const std::string& fallback) {
  json out = with_fallback(one_place(url), fallback);
  out["settings"]["models"]["alone"] = {{"provider", "local"}};
  return out;
}

json to(const std::string& model) {
  json params = hello();
  params["model"] = model;
  return params;
}

json say(const std::string& text) { return {{"messages", {{{"role", "user"}, {"content", text}}}}}; }

std::vector<std::string> said_to(const fault::Server& server) {
  std::vector<std::string> texts;
  for (const auto& request : server.requests()) texts.push_back(request.body()["messages"][0]["content"]);
  return texts;
}

}  // namespace

TEST_CASE("ai limits: a request gives its permit back while it pauses, and waits in order for another") {
  fault::Server server({limited(2), kSlow, kSlow, kGood});
  TestHost host(ai_test::kPlugin, one_place(server.url()));
  auto first = host.begin("ai.chat", say("first"));
  wait_pause(host);
  auto second = host.begin("ai.chat", say("second"));
  server.wait_holding(1);
  auto third = host.begin("ai.chat", say("third"));
  host.settle();
  host.advance(2s);
  host.settle();
  REQUIRE(server.requests().size() == 2);
  server.release();
  REQUIRE(second.result());
  server.wait_holding(1);
  server.release();
  for (auto* call : {&third, &first}) REQUIRE(call->result());
  REQUIRE(said_to(server) == std::vector<std::string>{"first", "second", "third", "first"});
  REQUIRE(server.most_at_once() == 1);
  REQUIRE(host.pending_timers() == 0);
  host.stop();
}

TEST_CASE("ai limits: cancel while waiting for the permit after a pause leaves the queue, and loses no permit") {
  fault::Server server({limited(2), kSlow, kGood});
  TestHost host(ai_test::kPlugin, one_place(server.url()));
  auto first = host.begin("ai.chat", hello());
  wait_pause(host);
  auto second = host.begin("ai.chat", hello());
  server.wait_holding(1);
  host.advance(2s);
  host.settle();
  first.cancel();
  REQUIRE(first.result().error().kind == ErrorKind::cancelled);
  server.release();
  REQUIRE(second.result());
  REQUIRE(host.call("ai.chat", hello()));
  REQUIRE(server.requests().size() == 3);
  REQUIRE(server.most_at_once() == 1);
  host.stop();
}

TEST_CASE("ai limits: waiting for the permit after a pause counts, and the time-out says so") {
  fault::Server server({limited(20), kSlow, kGood});
  TestHost host(ai_test::kPlugin, one_place(server.url()));
  auto first = host.begin("ai.chat", hello());
  wait_pause(host);
  host.advance(10s);
  auto second = host.begin("ai.chat", hello());
  server.wait_holding(1);
  host.advance(19999ms);
  host.settle();
  REQUIRE(host.open_calls() == 2);
  host.advance(1ms);
  const auto result = first.result();
  REQUIRE(result.error().kind == ErrorKind::timeout);
  REQUIRE(result.error().message.find("was busy with other requests") != std::string::npos);
  REQUIRE(data_of(result.error())["attempts"] == 1);
  server.release();
  REQUIRE(second.result());
  REQUIRE(host.call("ai.chat", hello()));
  host.stop();
}

TEST_CASE("ai limits: the fallback stands in for a model that is still busy after a pause") {
  fault::Server busy({limited(5), kSlow, kGood});
  fault::Server other({kSlow});
  TestHost host(ai_test::kPlugin, chain(busy.url(), other.url()));
  auto first = host.begin("ai.chat", hello());
  wait_pause(host);
  auto second = host.begin("ai.chat", to("alone"));
  busy.wait_holding(1);
  host.advance(19999ms);
  host.settle();
  REQUIRE(other.requests().empty());
  host.advance(1ms);
  other.wait_holding(1);
  // The place that comes free is not for the first any more.
  busy.release();
  REQUIRE(second.result());
  REQUIRE(host.call("ai.chat", to("alone")));
  other.release();
  REQUIRE((*first.result())["model"] == "n");
  REQUIRE(busy.requests().size() == 3);
  REQUIRE(other.requests().size() == 1);
  host.stop();
}

TEST_CASE("ai limits: a provider that hangs holds up no other, nor the embedded model") {
  fault::Server hung({kSlow});
  fault::Server good({kGood});
  TestHost host(ai_test::kPlugin, chain(hung.url(), good.url()));
  [[maybe_unused]] auto call = host.begin("ai.chat", hello());
  hung.wait_holding(1);
  [[maybe_unused]] auto waiting = host.begin("ai.chat", to("alone"));
  REQUIRE(host.call("ai.chat", to("n")));
  REQUIRE(host.call("ai.complete", {{"prefix", "a b a "}, {"model", "embedded"}}));
  REQUIRE(hung.requests().size() == 1);
  host.stop();
}

TEST_CASE("ai limits: a request that goes on to its fallback gives the place at the first provider back") {
  fault::Server first({{fault::send(fault::response(404, json{{"error", "no such model"}}))}, kGood});
  fault::Server second({kSlow});
  TestHost host(ai_test::kPlugin, chain(first.url(), second.url()));
  auto holder = host.begin("ai.chat", to("n"));
  second.wait_holding(1);
  auto call = host.begin("ai.chat", hello());
  REQUIRE(host.call("ai.chat", to("alone")));
  REQUIRE(host.open_calls() == 2);
  for (auto* one : {&holder, &call}) {
    second.wait_holding(1);
    second.release();
    REQUIRE(one->result());
  }
  REQUIRE(second.most_at_once() == 1);
  host.stop();
}

TEST_CASE("ai limits: a fallback stands in also for a provider that has no place in time, or no room to wait") {
  fault::Server hung({kSlow});
  fault::Server good({kGood});
  TestHost host(ai_test::kPlugin, chain(hung.url(), good.url()));
  std::vector<testing::TestStream> calls;
  calls.push_back(host.begin("ai.chat", to("alone"), 60s));
  hung.wait_holding(1);
  auto call = host.begin("ai.chat", hello());
  host.settle();
  host.advance(19999ms);
  host.settle();
  REQUIRE(good.requests().empty());
  host.advance(1ms);
  REQUIRE((*call.result())["model"] == "n");
  for (int i = 0; i < 256; ++i) calls.push_back(host.begin("ai.chat", to("alone")));
  REQUIRE((*host.call("ai.chat", hello()))["model"] == "n");
  REQUIRE(host.call("ai.chat", to("alone")).error().kind == ErrorKind::overloaded);
  host.stop();
}
