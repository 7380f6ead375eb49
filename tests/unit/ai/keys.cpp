// SPDX-License-Identifier: Apache-2.0
//
// Keys that a command prints: when it is run again, and what a refused key leads to.
#include <catch2/catch.hpp>

#include "tests/unit/ai/support.hpp"

using namespace gantry;
using namespace std::chrono_literals;
using ai_test::config;
using ai_test::data_of;
using ai_test::drain;
using ai_test::hello;
using ai_test::with_fallback;
using testing::TestHost;

namespace {

const fault::Reply kGood{fault::send(fault::response(200, fault::chat_answer("well")))};

fault::Reply refusal(int status = 401) {
  return {fault::send(fault::response(status, json{{"error", {{"message", "expired"}}}}))};
}

const fault::Reply kLate{fault::hold(), refusal().front()};

json with_command(const std::string& url) {
  json out = config(url);
  out["settings"]["providers"]["local"]["api_key_command"] = "the host runs it";
  return out;
}

// Answers with the texts in turn; one that is empty is a command that fails.
struct Command {
  Command(TestHost& host, std::vector<std::string> texts) {
    host.on_call("config.secret", [runs = runs, texts = std::move(texts)](const json& params, const auto& reply) {
      if (params != json{{"provider", "local"}}) return reply(fail(ErrorKind::not_found, "no such provider"));
      const std::string text = texts.at(static_cast<std::size_t>((*runs)++));
      if (text.empty()) return reply(fail(ErrorKind::unavailable, "exit status 3"));
      reply(CallAnswer{{{"secret", text}}, {}});
    });
  }
  std::shared_ptr<std::atomic<int>> runs = std::make_shared<std::atomic<int>>(0);
};

std::vector<std::string> keys_at(const fault::Server& server) {
  std::vector<std::string> keys;
  for (const auto& request : server.requests()) keys.push_back(request.headers.at("authorization"));
  return keys;
}

}  // namespace

TEST_CASE("ai keys: a refused key of a command is fetched anew, and the attempt made once more at once") {
  for (const int status : {401, 403}) {
    CAPTURE(status);
    fault::Server server({kGood, refusal(status), kGood});
    fault::Server fallback({kGood});
    TestHost host(ai_test::kPlugin, with_fallback(with_command(server.url()), fallback.url()));
    const Command command(host, {"k1", "k2"});
    REQUIRE(host.call("ai.chat", hello()));
    REQUIRE((*host.call("ai.chat", hello()))["model"] == "m");
    REQUIRE(host.call("ai.chat", hello()));
    REQUIRE(keys_at(server) == std::vector<std::string>{"Bearer k1", "Bearer k1", "Bearer k2", "Bearer k2"});
    REQUIRE(fallback.requests().empty());
    REQUIRE(*command.runs == 2);
    host.stop();
  }
}

TEST_CASE("ai keys: a stream whose key was refused is opened once more with the new one") {
  const fault::Reply stream{fault::send(fault::stream_head() + fault::event(fault::delta("well")) + fault::done())};
  fault::Server server({stream, refusal(), stream});
  TestHost host(ai_test::kPlugin, with_command(server.url()));
  const Command command(host, {"k1", "k2"});
  for (int i = 0; i < 2; ++i) {
    CAPTURE(i);
    const auto streamed = drain(host.open("ai.chat", hello(), 100));
    REQUIRE(streamed.result);
    REQUIRE(streamed.items.size() == 1);
  }
  REQUIRE(keys_at(server) == std::vector<std::string>{"Bearer k1", "Bearer k1", "Bearer k2"});
  host.stop();
}

TEST_CASE("ai keys: a new key that is refused too is told, and the next request fetches another") {
  fault::Server server({kGood, refusal(401), refusal(403), kGood});
  TestHost host(ai_test::kPlugin, with_command(server.url()));
  const Command command(host, {"k1", "k2", "k3"});
  REQUIRE(host.call("ai.chat", hello()));
  const auto refused = host.call("ai.chat", hello());
  REQUIRE(refused.error().kind == ErrorKind::upstream_failed);
  REQUIRE(data_of(refused.error())["status"] == 403);
  REQUIRE(host.call("ai.chat", hello()));
  REQUIRE(keys_at(server) == std::vector<std::string>{"Bearer k1", "Bearer k1", "Bearer k2", "Bearer k3"});
  host.stop();
}

TEST_CASE("ai keys: a key that was fetched for the attempt itself is not fetched again when it is refused") {
  fault::Server server({refusal()});
  TestHost host(ai_test::kPlugin, with_command(server.url()));
  const Command command(host, {"k1"});
  REQUIRE(data_of(host.call("ai.chat", hello()).error())["status"] == 401);
  REQUIRE(server.requests().size() == 1);
  REQUIRE(*command.runs == 1);
  host.stop();
}

TEST_CASE("ai keys: when the command prints the refused key again, the refusal is told and the key not sent again") {
  fault::Server server({kGood, refusal(403)});
  TestHost host(ai_test::kPlugin, with_command(server.url()));
  const Command command(host, {"k1", "k1"});
  REQUIRE(host.call("ai.chat", hello()));
  REQUIRE(data_of(host.call("ai.chat", hello()).error())["status"] == 403);
  REQUIRE(server.requests().size() == 2);
  REQUIRE(*command.runs == 2);
  host.stop();
}

TEST_CASE("ai keys: when the command fails after a refusal, both are told") {
  fault::Server server({kGood, refusal()});
  TestHost host(ai_test::kPlugin, with_command(server.url()));
  const Command command(host, {"k1", ""});
  REQUIRE(host.call("ai.chat", hello()));
  const auto refused = host.call("ai.chat", hello());
  REQUIRE(data_of(refused.error())["status"] == 401);
  REQUIRE(refused.error().message.ends_with("answered 401: expired; its key cannot be fetched anew: exit status 3"));
  host.stop();
}

TEST_CASE("ai keys: requests that are refused with the same key run the command once, also when it fails") {
  for (const char* second : {"k2", "k1", ""}) {
    CAPTURE(second);
    fault::Server server({kGood, kLate, kLate, kLate, kLate, kGood});
    TestHost host(ai_test::kPlugin, with_command(server.url()));
    const Command command(host, {"k1", second});
    REQUIRE(host.call("ai.chat", hello()));
    std::vector<testing::TestStream> calls;
    for (int i = 0; i < 4; ++i) calls.push_back(host.begin("ai.chat", hello()));
    server.wait_holding(4);
    for (int i = 0; i < 4; ++i) server.release();
    const bool renewed = std::string(second) == "k2";
    for (auto& call : calls) {
      CAPTURE(&call - calls.data());
      REQUIRE(call.result().has_value() == renewed);
    }
    REQUIRE(*command.runs == 2);
    REQUIRE(server.requests().size() == (renewed ? 9 : 5));
    host.stop();
  }
}

TEST_CASE("ai keys: a request whose key is fetched anew has its own time, and can be cancelled") {
  fault::Server server({kGood, kLate});
  TestHost host(ai_test::kPlugin, with_command(server.url()));
  const Command command(host, {"k1"});
  REQUIRE(host.call("ai.chat", hello()));
  auto call = host.begin("ai.chat", hello());
  auto other = host.begin("ai.chat", hello());
  server.wait_holding(2);
  host.stall(testing::Lane::calls);
  for (int i = 0; i < 2; ++i) server.release();
  (void)host.made("config.secret");
  other.cancel();
  REQUIRE(other.result().error().kind == ErrorKind::cancelled);
  host.advance(30s);
  REQUIRE(call.result().error().kind == ErrorKind::timeout);
  REQUIRE(server.requests().size() == 3);
  host.stop();
}

TEST_CASE("ai keys: a configuration that is read anew drops the keys that are kept") {
  fault::Server server({kGood});
  TestHost host(ai_test::kPlugin, with_command(server.url()));
  const Command command(host, {"k1", "k2"});
  REQUIRE(host.call("ai.chat", hello()));
  host.reconfigure(with_command(server.url()));
  REQUIRE(host.call("ai.chat", hello()));
  REQUIRE(keys_at(server) == std::vector<std::string>{"Bearer k1", "Bearer k2"});
  host.stop();
}
