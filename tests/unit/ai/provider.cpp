// SPDX-License-Identifier: Apache-2.0
//
// Calls that are no streams, against a real server: what is sent, what counts as an answer, what is tried again.
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

TEST_CASE("ai.chat: sends what it was given and returns the provider's message") {
  fault::Server server({{fault::send(fault::response(200, fault::chat_answer("hi there")))}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  json params = hello();
  params["temperature"] = 0.5;
  params["tools"] = {{{"type", "function"}}};
  params["max_tokens"] = 7;
  const auto result = host.call("ai.chat", params);
  REQUIRE(result);
  REQUIRE((*result)["message"] == json{{"role", "assistant"}, {"content", "hi there"}});
  REQUIRE((*result)["model"] == "m");
  REQUIRE((*result)["finish_reason"] == "stop");
  REQUIRE((*result)["usage"]["total_tokens"] == 5);
  const auto request = server.requests().at(0);
  REQUIRE(request.line == "POST /v1/chat/completions HTTP/1.1");
  const json body = request.body();
  REQUIRE(body["model"] == "upstream-name");
  REQUIRE(body["messages"] == params["messages"]);
  REQUIRE(body["temperature"] == 0.5);
  REQUIRE(body["tools"] == params["tools"]);
  REQUIRE(body["max_tokens"] == 7);
  REQUIRE(body["stream"] == false);
  host.stop();
}

TEST_CASE("ai.complete: sends prefix and suffix and returns the text") {
  fault::Server server({{fault::send(fault::response(200, fault::completion_answer("x + y;")))}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  const auto result = host.call("ai.complete", {{"prefix", "return "}, {"suffix", "\n}"}, {"language", "cpp"}});
  REQUIRE(result);
  REQUIRE((*result)["text"] == "x + y;");
  const auto request = server.requests().at(0);
  REQUIRE(request.line == "POST /v1/completions HTTP/1.1");
  REQUIRE(request.body()["prompt"] == "return ");
  REQUIRE(request.body()["suffix"] == "\n}");
  host.stop();
}

TEST_CASE("ai provider: 429 is tried again after exactly what Retry-After asks for") {
  fault::Server server(
      {{fault::send(fault::response(429, json{{"error", {{"message", "slow down"}}}}, "Retry-After: 2\r\n"))},
       {fault::send(fault::response(200, fault::chat_answer("ok")))}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  auto call = host.begin("ai.chat", hello());
  wait_pause(host);
  host.advance(1999ms);
  REQUIRE(host.pending_timers() == 2);
  REQUIRE(server.requests().size() == 1);
  host.advance(1ms);
  REQUIRE(call.result());
  REQUIRE(server.requests().size() == 2);
  host.stop();
}

TEST_CASE("ai provider: after a 500 the pauses double, and then the answer counts") {
  const fault::Reply broken{fault::send(fault::response(500, json{{"error", "oops"}}))};
  fault::Server server({broken, broken, {fault::send(fault::response(200, fault::chat_answer("ok")))}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  auto call = host.begin("ai.chat", hello());
  wait_pause(host);
  host.advance(374ms);  // a pause of 500 ms, shortened by at most a quarter
  REQUIRE(host.pending_timers() == 2);
  host.advance(126ms);
  server.wait_requests(2);
  wait_pause(host);
  host.advance(624ms);  // 1 s, likewise, and it began 375 ms after the start at the soonest
  REQUIRE(host.pending_timers() == 2);
  host.advance(376ms);
  REQUIRE(call.result());
  REQUIRE(server.requests().size() == 3);
  host.stop();
}

TEST_CASE("ai provider: 500 for ever is given up after max_retries, with the provider's own words") {
  fault::Server server({{fault::send(fault::response(500, json{{"error", {{"message", "the GPU is on fire"}}}}))}});
  TestHost host(ai_test::kPlugin, config(server.url(), json::object(), 3));
  auto call = host.begin("ai.chat", hello());
  std::size_t attempt = 0;
  for (const auto pause : {500ms, 1000ms, 2000ms}) {
    server.wait_requests(++attempt);
    wait_pause(host);
    host.advance(pause);
  }
  const auto result = call.result();
  REQUIRE(!result);
  REQUIRE(result.error().kind == ErrorKind::upstream_failed);
  REQUIRE(result.error().message.find("the GPU is on fire") != std::string::npos);
  REQUIRE(data_of(result.error())["attempts"] == 4);
  REQUIRE(data_of(result.error())["status"] == 500);
  REQUIRE(server.requests().size() == 4);
  host.stop();
}

TEST_CASE("ai provider: a Retry-After beyond the deadline is not waited for") {
  fault::Server server({{fault::send(fault::response(429, json{{"error", "later"}}, "Retry-After: 50\r\n"))}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  const auto result = host.call("ai.chat", hello());
  REQUIRE(!result);
  REQUIRE(result.error().kind == ErrorKind::upstream_failed);
  REQUIRE(data_of(result.error())["retry_after_ms"] == 50000);
  REQUIRE(server.requests().size() == 1);
  host.stop();
}

TEST_CASE("ai provider: a refused connection is tried again, then told as such") {
  TestHost host(ai_test::kPlugin, config("http://127.0.0.1:" + std::to_string(fault::refused_port()) + "/v1", {}, 1));
  auto call = host.begin("ai.chat", hello());
  wait_pause(host);
  host.advance(500ms);
  const auto result = call.result();
  REQUIRE(!result);
  REQUIRE(result.error().kind == ErrorKind::upstream_failed);
  REQUIRE(result.error().message.find("cannot be reached") != std::string::npos);
  REQUIRE(data_of(result.error())["attempts"] == 2);
  host.stop();
}

TEST_CASE("ai provider: statuses that cannot get better are not tried again") {
  for (const int status : {400, 401, 403, 404, 413}) {
    CAPTURE(status);
    fault::Server server({{fault::send(fault::response(status, json{{"error", {{"message", "no such thing"}}}}))}});
    TestHost host(ai_test::kPlugin, config(server.url()));
    const auto result = host.call("ai.chat", hello());
    REQUIRE(!result);
    REQUIRE(result.error().kind == ErrorKind::upstream_failed);
    REQUIRE(result.error().message.find(std::to_string(status) + ": no such thing") != std::string::npos);
    REQUIRE(server.requests().size() == 1);
    host.stop();
  }
}

TEST_CASE("ai provider: an answer that was cut short is never a success, and is not asked for twice") {
  const std::string whole = fault::response(200, fault::chat_answer("all of it"));
  SECTION("in the middle of the body") {
    fault::Server server({{fault::send(whole.substr(0, whole.size() - 20))}});
    TestHost host(ai_test::kPlugin, config(server.url()));
    const auto result = host.call("ai.chat", hello());
    REQUIRE(result.error().kind == ErrorKind::upstream_failed);
    REQUIRE(result.error().message.find("cut its answer short") != std::string::npos);
    REQUIRE(server.requests().size() == 1);
    host.stop();
  }
  SECTION("before the body: tried again") {
    fault::Server server({{fault::send(whole.substr(0, whole.find("\r\n\r\n") + 4))}, {fault::send(whole)}});
    TestHost host(ai_test::kPlugin, config(server.url()));
    auto call = host.begin("ai.chat", hello());
    wait_pause(host);
    host.advance(500ms);
    REQUIRE(call.result());
    host.stop();
  }
}

TEST_CASE("ai provider: what is no answer is told for what it is") {
  const std::pair<std::string, std::string> bodies[] = {{"<html>hello</html>", "an HTML page: <html>hello</html>"},
                                                        {R"({"error":{"message":"overloaded"}})", "overloaded"},
                                                        {R"({"object":"list"})", "no choices"},
                                                        {R"({"detail":"Not Found"})", "no choices: Not Found"},
                                                        {"Ollama is running", "Ollama is running"},
                                                        {"", "its body is empty"}};
  for (const auto& [body, words] : bodies) {
    CAPTURE(body, words);
    fault::Server server({{fault::send(fault::response(200, body))}});
    TestHost host(ai_test::kPlugin, config(server.url()));
    const auto result = host.call("ai.chat", hello());
    REQUIRE(result.error().kind == ErrorKind::upstream_failed);
    REQUIRE(result.error().message.find(words) != std::string::npos);
    host.stop();
  }
}

TEST_CASE("ai provider: a redirect is not followed, so the key goes nowhere else") {
  fault::Server other({{fault::send(fault::response(200, fault::chat_answer("stolen")))}});
  fault::Server server({{fault::send(fault::response(302, std::string("{}"), "Location: " + other.url() + "\r\n"))}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  const auto result = host.call("ai.chat", hello());
  REQUIRE(result.error().message.find("a redirect, which is not followed") != std::string::npos);
  REQUIRE(other.requests().empty());
  host.stop();
}

TEST_CASE("ai provider: the key is sent, and appears in no error and no log line") {
  const std::string canary = "sk-canary-1234567890";
  REQUIRE(::setenv("GANTRY_TEST_CANARY", canary.c_str(), 1) == 0);
  fault::Server server(
      {{fault::send(fault::response(401, json{{"error", {{"message", "bad key " + canary + "!"}}}}))}});
  json with_key = config(server.url());
  with_key["settings"]["providers"]["local"]["api_key_env"] = "GANTRY_TEST_CANARY";
  TestHost host(ai_test::kPlugin, with_key);
  const auto result = host.call("ai.chat", hello());
  REQUIRE(server.requests().at(0).headers["authorization"] == "Bearer " + canary);
  REQUIRE(result.error().message.find("bad key [key]!") != std::string::npos);
  REQUIRE(result.error().data.find(canary) == std::string::npos);
  REQUIRE(host.log().find(canary) == std::string::npos);
  REQUIRE(::unsetenv("GANTRY_TEST_CANARY") == 0);
  REQUIRE(host.call("ai.chat", hello()).error().kind == ErrorKind::unavailable);
  const auto models = host.call("ai.models");
  for (const auto& model : (*models)["models"]) {
    CAPTURE(model);
    REQUIRE(model["ready"] == (model["name"] == "embedded"));
  }
  host.stop();
}

TEST_CASE("ai provider: a failing model is stood in for by its fallback") {
  fault::Server first({{fault::send(fault::response(404, json{{"error", "no such model"}}))}});
  fault::Server second({{fault::send(fault::response(200, fault::chat_answer("from the second")))}});
  TestHost host(ai_test::kPlugin, with_fallback(config(first.url()), second.url()));
  const auto result = host.call("ai.chat", hello());
  REQUIRE(result);
  REQUIRE((*result)["model"] == "n");
  REQUIRE(second.requests().at(0).body()["model"] == "n");
  host.stop();
}

TEST_CASE("ai provider: when all fallbacks fail, the first failure is told, and the last") {
  fault::Server first({{fault::send(fault::response(404, json{{"error", "first words"}}))}});
  fault::Server second({{fault::send(fault::response(403, json{{"error", "second words"}}))}});
  TestHost host(ai_test::kPlugin, with_fallback(config(first.url()), second.url()));
  const auto result = host.call("ai.chat", hello());
  REQUIRE(!result);
  REQUIRE(data_of(result.error())["status"] == 404);
  REQUIRE(result.error().message.find("first words") != std::string::npos);
  REQUIRE(result.error().message.find("second words") != std::string::npos);
  host.stop();
}

TEST_CASE("ai: bad params are refused with what is wrong") {
  TestHost host(ai_test::kPlugin);
  const auto refused = [&](const char* method, const json& params, const char* words) {
    const auto result = host.call(method, params);
    REQUIRE(!result);
    INFO(result.error().message);
    REQUIRE(result.error().kind == ErrorKind::invalid_params);
    REQUIRE(result.error().message.find(words) != std::string::npos);
  };
  refused("ai.complete", json::object(), "prefix is missing");
  refused("ai.complete", {{"prefix", 1}}, "prefix must be a string");
  refused("ai.complete", {{"prefix", ""}, {"max_tokens", 0}}, "max_tokens must be");
  refused("ai.complete", {{"prefix", ""}, {"sufix", ""}}, "did you mean \"suffix\"?");
  refused("ai.chat", json::object(), "messages is missing");
  refused("ai.chat", {{"messages", json::array()}}, "messages is empty");
  refused("ai.chat", {{"messages", {{{"content", "x"}}}}}, "messages[0].role");
  refused("ai.chat", {{"messages", {{{"role", "user"}, {"content", 3}}}}}, "messages[0].content");
  json chat = hello();
  chat["stream"] = true;
  refused("ai.chat", chat, "_meta.stream");
  chat = hello();
  chat["n"] = 2;
  refused("ai.chat", chat, "n must be 1");
  chat = hello();
  chat["model"] = "embeded";
  REQUIRE(host.call("ai.chat", chat).error().kind == ErrorKind::not_found);
  REQUIRE(host.call("ai.embed").error().kind == ErrorKind::method_not_found);
  host.stop();
}
