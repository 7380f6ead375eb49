// SPDX-License-Identifier: Apache-2.0
//
// Concurrency, time and cancellation, with a clock that the test moves.
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
using testing::TestStream;

namespace {
const fault::Reply kSlow{fault::hold(), fault::send(fault::response(200, fault::chat_answer("at last")))};
}

TEST_CASE("ai limits: never more requests at once than max_concurrent_ai_requests, and each gets its turn") {
  fault::Server server({kSlow});
  TestHost host(ai_test::kPlugin, config(server.url(), {{"max_concurrent_ai_requests", 2}}));
  std::vector<TestStream> calls;
  for (int i = 0; i < 7; ++i) calls.push_back(host.begin("ai.chat", hello()));
  server.wait_holding(2);
  for (int i = 0; i < 7; ++i) server.release();
  for (auto& call : calls) {
    CAPTURE(&call - calls.data());
    REQUIRE(call.result());
  }
  REQUIRE(server.requests().size() == 7);
  REQUIRE(server.most_at_once() == 2);
  host.stop();
}

TEST_CASE("ai limits: the limit can be raised while requests wait") {
  fault::Server server({kSlow});
  TestHost host(ai_test::kPlugin, config(server.url(), {{"max_concurrent_ai_requests", 1}}));
  std::vector<TestStream> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(host.begin("ai.chat", hello()));
  server.wait_holding(1);
  host.reconfigure(config(server.url(), {{"max_concurrent_ai_requests", 3}}));
  server.wait_holding(3);
  for (int i = 0; i < 3; ++i) server.release();
  for (auto& call : calls) {
    CAPTURE(&call - calls.data());
    REQUIRE(call.result());
  }
  host.stop();
}

TEST_CASE("ai limits: a queue that is full answers overloaded with a time to come back") {
  fault::Server server({kSlow});
  TestHost host(ai_test::kPlugin, config(server.url(), {{"max_concurrent_ai_requests", 1}}));
  std::vector<TestStream> calls;
  for (int i = 0; i < 1 + 256; ++i) calls.push_back(host.begin("ai.chat", hello()));
  const auto refused = host.call("ai.chat", hello());
  REQUIRE(refused.error().kind == ErrorKind::overloaded);
  REQUIRE(data_of(refused.error())["retry_after_ms"] == 1000);
  host.stop();
  REQUIRE(server.requests().size() == 1);
}

TEST_CASE("ai limits: a provider that hangs before its headers is a time-out, and the connection is closed") {
  fault::Server server({kSlow});
  TestHost host(ai_test::kPlugin, config(server.url(), {{"ai_request_timeout_seconds", 30}}));
  auto call = host.begin("ai.chat", hello());
  server.wait_holding(1);
  host.advance(29999ms);
  REQUIRE(host.pending_timers() == 1);
  host.advance(1ms);
  const auto result = call.result();
  REQUIRE(result.error().kind == ErrorKind::timeout);
  REQUIRE(result.error().message.find("30 s") != std::string::npos);
  server.wait_disconnects(1);
  host.stop();
}

TEST_CASE("ai limits: waiting for a permit counts, and a request that times out there is never sent") {
  fault::Server server({kSlow});
  TestHost host(ai_test::kPlugin, config(server.url(), {{"max_concurrent_ai_requests", 1}}));
  auto first = host.begin("ai.chat", hello());
  server.wait_holding(1);
  auto second = host.begin("ai.chat", hello());
  host.settle();
  host.advance(30s);
  REQUIRE(first.result().error().kind == ErrorKind::timeout);
  REQUIRE(second.result().error().kind == ErrorKind::timeout);
  host.stop();
  REQUIRE(server.requests().size() == 1);
}

TEST_CASE("ai limits: a stream has the time-out to its first item, then between items") {
  fault::Server server({{fault::send(fault::stream_head()), fault::hold(), fault::send(fault::event(fault::delta("a"))),
                         fault::hold(), fault::send(fault::event(fault::delta("b"))), fault::hold()}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  auto stream = host.open("ai.chat", hello(), 100);
  server.wait_holding(1);
  host.advance(29s);
  server.release();
  REQUIRE(stream.next());
  host.settle();      // the time of an item is when the plugin has handed it over
  host.advance(29s);  // 58 s in all
  server.release();
  REQUIRE(stream.next());
  host.settle();
  server.wait_holding(1);
  host.advance(29999ms);
  REQUIRE(host.pending_timers() == 1);
  host.advance(1ms);
  REQUIRE(!stream.next());
  REQUIRE(stream.result().error().kind == ErrorKind::timeout);
  REQUIRE(data_of(stream.result().error())["delivered"] == 2);
  server.wait_disconnects(1);
  host.stop();
}

TEST_CASE("ai limits: a silent model that has a successor has two thirds of the time of a whole answer") {
  fault::Server silent({kSlow});
  fault::Server good({{fault::send(fault::response(200, fault::chat_answer("stood in")))}});
  TestHost host(ai_test::kPlugin, with_fallback(config(silent.url()), good.url()));
  auto call = host.begin("ai.chat", hello());
  silent.wait_holding(1);
  host.advance(19999ms);
  REQUIRE(host.open_calls() == 1);
  REQUIRE(good.requests().empty());
  host.advance(1ms);
  const auto result = call.result();
  REQUIRE(result);
  REQUIRE((*result)["message"]["content"] == "stood in");
  REQUIRE((*result)["model"] == "n");
  silent.wait_disconnects(1);
  REQUIRE(host.pending_timers() == 0);
  host.stop();
}

TEST_CASE("ai limits: a stream has the whole time to its first item with each model of the chain") {
  fault::Server silent({{fault::send(fault::stream_head()), fault::hold()}});
  fault::Server good(
      {{fault::hold(), fault::send(fault::stream_head() + fault::event(fault::delta("stood in")) + fault::done())}});
  TestHost host(ai_test::kPlugin, with_fallback(config(silent.url()), good.url()));
  auto stream = host.open("ai.chat", hello(), 100);
  silent.wait_holding(1);
  host.advance(29999ms);
  REQUIRE(good.requests().empty());
  host.advance(1ms);
  good.wait_holding(1);
  host.advance(29s);
  good.release();
  REQUIRE((*stream.next())["delta"]["content"] == "stood in");
  REQUIRE(stream.result());
  host.stop();
}

TEST_CASE("ai limits: the deadline of a stream is shared among the models of the chain") {
  fault::Server silent({kSlow});
  fault::Server good({{fault::send(fault::stream_head() + fault::event(fault::delta("stood in")) + fault::done())}});
  TestHost host(ai_test::kPlugin, with_fallback(config(silent.url()), good.url()));
  auto stream = host.open("ai.chat", hello(), 100, 9s);
  silent.wait_holding(1);
  host.advance(6s);
  REQUIRE(stream.result());
  host.stop();
}

TEST_CASE("ai limits: a stream that has delivered does not go on to another model") {
  fault::Server half({{fault::send(fault::stream_head() + fault::event(fault::delta("half"))), fault::hold()}});
  fault::Server good({{fault::send(fault::stream_head() + fault::event(fault::delta("other")) + fault::done())}});
  TestHost host(ai_test::kPlugin, with_fallback(config(half.url()), good.url()));
  auto stream = host.open("ai.chat", hello(), 100);
  REQUIRE(stream.next());
  host.settle();
  host.advance(30s);
  REQUIRE(stream.result().error().kind == ErrorKind::timeout);
  REQUIRE(good.requests().empty());
  host.stop();
}

TEST_CASE("ai limits: when all models are silent the time-out is the call's, and names both") {
  fault::Server one({kSlow});
  fault::Server two({kSlow});
  TestHost host(ai_test::kPlugin, with_fallback(config(one.url()), two.url()));
  auto call = host.begin("ai.chat", hello());
  one.wait_holding(1);
  host.advance(20s);
  two.wait_holding(1);
  host.advance(10s);
  const auto result = call.result();
  REQUIRE(result.error().kind == ErrorKind::timeout);
  REQUIRE(data_of(result.error())["attempts"] == 2);
  for (const char* name : {"\"m\"", "\"n\""}) {
    CAPTURE(name);
    REQUIRE(result.error().message.find(name) != std::string::npos);
  }
  two.wait_disconnects(1);
  host.stop();
}

TEST_CASE("ai limits: comments do not keep a stream alive") {
  fault::Server server({{fault::send(fault::stream_head()), fault::hold(), fault::send(":\n\n"), fault::hold()}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  auto stream = host.open("ai.chat", hello(), 100);
  server.wait_holding(1);
  host.advance(20s);
  server.release();
  server.wait_holding(1);
  host.advance(10s);
  REQUIRE(stream.result().error().kind == ErrorKind::timeout);
  host.stop();
}

TEST_CASE("ai limits: a caller that stops reading does not hold its permit for ever") {
  std::string text = fault::stream_head();
  for (int i = 0; i < 1000; ++i) text += fault::event(fault::delta("word "));
  fault::Server server({{fault::send(text), fault::hold()}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  auto stream = host.open("ai.chat", hello(), 1);
  REQUIRE(stream.next());
  server.wait_holding(1);
  // Each of these goes through the worker and back, and takes a channel full of the stream's items along: more than
  // enough to fill the outbox.
  for (int i = 0; i < 30; ++i) REQUIRE(host.call("ai.complete", {{"prefix", "a b a "}, {"model", "embedded"}}));
  host.advance(30s);
  const auto result = stream.result();
  REQUIRE(result.error().kind == ErrorKind::timeout);
  REQUIRE(result.error().message.find("the caller") != std::string::npos);
  server.wait_disconnects(1);
  host.stop();
}

TEST_CASE("ai limits: the call's own deadline holds when it is nearer") {
  fault::Server server({kSlow});
  TestHost host(ai_test::kPlugin, config(server.url()));
  auto call = host.begin("ai.chat", hello(), 5s);
  server.wait_holding(1);
  host.advance(5s);
  REQUIRE(call.result().error().kind == ErrorKind::timeout);
  host.stop();
}

TEST_CASE("ai limits: cancel closes the connection to the provider") {
  fault::Server server({kSlow});
  TestHost host(ai_test::kPlugin, config(server.url()));
  auto call = host.begin("ai.chat", hello());
  server.wait_holding(1);
  call.cancel();
  REQUIRE(call.result().error().kind == ErrorKind::cancelled);
  server.wait_disconnects(1);
  REQUIRE(host.pending_timers() == 0);
  host.stop();
}

TEST_CASE("ai limits: cancel in the middle of a stream closes the connection") {
  fault::Server server({{fault::send(fault::stream_head() + fault::event(fault::delta("a"))), fault::hold()}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  auto stream = host.open("ai.chat", hello(), 100);
  REQUIRE(stream.next());
  stream.cancel();
  REQUIRE(stream.result().error().kind == ErrorKind::cancelled);
  server.wait_disconnects(1);
  host.stop();
}

TEST_CASE("ai limits: cancel during the pause before a retry ends it, and gives the permit back") {
  fault::Server server({{fault::send(fault::response(500, json{{"error", "no"}}))},
                        {fault::send(fault::response(200, fault::chat_answer("next")))}});
  TestHost host(ai_test::kPlugin, config(server.url(), {{"max_concurrent_ai_requests", 1}}));
  auto first = host.begin("ai.chat", hello());
  wait_pause(host);
  first.cancel();
  REQUIRE(first.result().error().kind == ErrorKind::cancelled);
  REQUIRE(host.call("ai.chat", hello()));
  host.advance(60s);
  REQUIRE(server.requests().size() == 2);
  host.stop();
}

TEST_CASE("ai limits: cancel while waiting for a permit leaves the queue") {
  fault::Server server({kSlow});
  TestHost host(ai_test::kPlugin, config(server.url(), {{"max_concurrent_ai_requests", 1}}));
  auto first = host.begin("ai.chat", hello());
  server.wait_holding(1);
  auto second = host.begin("ai.chat", hello());
  second.cancel();
  REQUIRE(second.result().error().kind == ErrorKind::cancelled);
  server.release();
  REQUIRE(first.result());
  host.stop();
  REQUIRE(server.requests().size() == 1);
}

TEST_CASE("ai limits: a client that has left frees what was its own, and only that") {
  fault::Server server({kSlow});
  TestHost host(ai_test::kPlugin, config(server.url(), {{"max_concurrent_ai_requests", 2}}));
  auto leaver = host.begin("ai.chat", hello(), Duration(-1), 7);
  server.wait_holding(1);
  auto stayer = host.begin("ai.chat", hello(), Duration(-1), 8);
  server.wait_holding(2);
  host.gone(7);
  REQUIRE(leaver.result().error().kind == ErrorKind::cancelled);
  server.wait_disconnects(1);
  server.release();
  REQUIRE(stayer.result());
  host.stop();
}

TEST_CASE("ai limits: stopping answers everything that is open") {
  fault::Server server({kSlow});
  TestHost host(ai_test::kPlugin, config(server.url(), {{"max_concurrent_ai_requests", 1}}));
  auto running = host.begin("ai.chat", hello());
  server.wait_holding(1);
  auto waiting = host.begin("ai.chat", hello());
  host.stop();
  REQUIRE(running.result().error().kind == ErrorKind::cancelled);
  REQUIRE(waiting.result().error().kind == ErrorKind::cancelled);
  server.wait_disconnects(1);
}

TEST_CASE("ai limits: a plugin that is destroyed without being stopped leaves no call unanswered") {
  fault::Server server({kSlow});
  TestHost host(ai_test::kPlugin, config(server.url(), {{"max_concurrent_ai_requests", 1}}));
  auto running = host.begin("ai.chat", hello());
  server.wait_holding(1);
  auto waiting = host.begin("ai.chat", hello());
  host.settle();
  host.destroy();
  REQUIRE(running.result().error().kind == ErrorKind::cancelled);
  REQUIRE(waiting.result().error().kind == ErrorKind::cancelled);
}

TEST_CASE("ai limits: a new time-out holds for the requests that come after it") {
  fault::Server server({kSlow});
  TestHost host(ai_test::kPlugin, config(server.url()));
  host.reconfigure(config(server.url(), {{"ai_request_timeout_seconds", 5}}));
  auto call = host.begin("ai.chat", hello());
  server.wait_holding(1);
  host.advance(4999ms);
  REQUIRE(host.pending_timers() == 1);
  host.advance(1ms);
  REQUIRE(call.result().error().kind == ErrorKind::timeout);
  host.stop();
}

TEST_CASE("ai limits: a bad configuration at run time leaves the one before in force") {
  fault::Server server({{fault::send(fault::response(200, fault::chat_answer("still here")))}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  json bad = config(server.url());
  bad["settings"]["default_model"] = "nobody";
  host.reconfigure(bad);
  REQUIRE(host.log().find("ai.default_model") != std::string::npos);
  REQUIRE(host.call("ai.chat", hello()));
  host.stop();
}
