// SPDX-License-Identifier: Apache-2.0
//
// Streams against a real server: items as they come, and nothing cut short reported as success.
#include <catch2/catch.hpp>

#include "plugins/ai/gathered_message.hpp"
#include "tests/unit/ai/support.hpp"

using namespace gantry;
using namespace std::chrono_literals;
using ai_test::config;
using ai_test::data_of;
using ai_test::drain;
using ai_test::hello;
using ai_test::Streamed;
using ai_test::with_fallback;
using fault::send;
using testing::TestHost;

namespace {

// One stream with one reply.
Streamed streamed(fault::Reply reply, std::size_t requests = 1) {
  fault::Server server({std::move(reply)});
  TestHost host(ai_test::kPlugin, config(server.url()));
  auto out = drain(host.open("ai.chat", hello(), 100));
  REQUIRE(server.requests().size() == requests);
  host.stop();
  return out;
}

}  // namespace

TEST_CASE("ai stream: items come while the provider still writes, and the answer gathers them") {
  fault::Server server(
      {{send(fault::stream_head() + fault::event(fault::delta("Hel"))), fault::hold(),
        send(fault::event(fault::delta("lo")) + fault::event(fault::delta_end()) +
             fault::event({{"choices", json::array()}, {"usage", {{"total_tokens", 9}}}}) + fault::done())}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  auto stream = host.open("ai.chat", hello(), 100);
  REQUIRE(*stream.next() == json{{"delta", {{"content", "Hel"}}}});
  server.release();
  REQUIRE(*stream.next() == json{{"delta", {{"content", "lo"}}}});
  REQUIRE((*stream.next())["finish_reason"] == "stop");
  REQUIRE(!stream.next());
  const auto result = stream.result();
  REQUIRE(result);
  REQUIRE((*result)["message"]["content"] == "Hello");
  REQUIRE((*result)["usage"]["total_tokens"] == 9);
  REQUIRE((*result)["finish_reason"] == "stop");
  REQUIRE(server.requests().at(0).body()["stream"] == true);
  host.stop();
}

TEST_CASE("ai stream: completions come as pieces of text") {
  fault::Server server({{send(fault::stream_head() + fault::event(fault::piece("x")) +
                              fault::event(fault::piece(" + y", "length")) + fault::done())}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  const auto out = drain(host.open("ai.complete", {{"prefix", "return "}}, 100));
  REQUIRE(out.items == std::vector<json>{{{"text", "x"}}, {{"text", " + y"}}});
  REQUIRE((*out.result)["text"] == "x + y");
  REQUIRE((*out.result)["finish_reason"] == "length");
  host.stop();
}

TEST_CASE("ai stream: a null first delta, comments and CR line ends are tolerated") {
  const json first{
      {"choices", {{{"delta", {{"role", "assistant"}, {"content", nullptr}}}, {"finish_reason", nullptr}}}}};
  const auto out = streamed({send(fault::stream_head() + ":\n\n: ping\r\rdata: " + first.dump() + "\r\r" +
                                  fault::event(fault::delta("ok")) + fault::event(fault::delta_end()))});
  REQUIRE(out.result);
  REQUIRE((*out.result)["message"] == json{{"role", "assistant"}, {"content", "ok"}});
  REQUIRE(out.items.front() == json{{"delta", {{"content", "ok"}}}});
}

TEST_CASE("ai stream: a finish_reason is a terminator, the DONE event is not needed") {
  const auto out =
      streamed({send(fault::stream_head() + fault::event(fault::delta("ok")) + fault::event(fault::delta_end()))});
  REQUIRE(out.result);
}

TEST_CASE("ai stream: the DONE event ends it although the server keeps the connection open") {
  const auto out =
      streamed({send(fault::stream_head() + fault::event(fault::delta("ok")) + fault::done()), fault::hold()});
  REQUIRE(out.result);
  REQUIRE((*out.result)["finish_reason"].is_null());
}

TEST_CASE("ai stream: a finish_reason ends it although nothing follows, after a moment that is left for usage") {
  const json usage{{"choices", json::array()}, {"usage", {{"total_tokens", 9}}}};
  fault::Server server(
      {{send(fault::stream_head() + fault::event(fault::delta("ok")) + fault::event(fault::delta_end())), fault::hold(),
        send(fault::event(usage) + ": ping\n\n"), fault::hold()}});
  const auto ask = [&](TestHost& host, bool stream) {
    return stream ? host.open("ai.chat", hello(), 100) : host.begin("ai.chat", hello());
  };
  std::size_t asked = 0;
  for (const bool stream : {true, false}) {
    TestHost host(ai_test::kPlugin, config(server.url()));
    auto call = ask(host, stream);
    // The request's own time, and the moment.
    host.wait("the moment for usage", [&] { return host.pending_timers() == 2; });
    server.release();
    server.wait_holding(1);
    host.advance(1499ms);
    REQUIRE(host.pending_timers() == 2);
    host.advance(1ms);
    const auto out = drain(std::move(call));
    INFO((out.result ? "" : out.result.error().message));
    REQUIRE(out.result);
    REQUIRE((*out.result)["message"]["content"] == "ok");
    REQUIRE((*out.result)["finish_reason"] == "stop");
    server.wait_disconnects(++asked);
    host.stop();
  }
}

TEST_CASE("ai stream: usage that comes within the moment is in the answer") {
  const json usage{{"choices", json::array()}, {"usage", {{"total_tokens", 9}}}};
  fault::Server server(
      {{send(fault::stream_head() + fault::event(fault::delta_end())), fault::hold(), send(fault::event(usage))}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  auto stream = host.open("ai.chat", hello(), 100);
  host.wait("the moment for usage", [&] { return host.pending_timers() == 2; });
  server.release();
  const auto result = stream.result();
  REQUIRE(result);
  REQUIRE((*result)["usage"]["total_tokens"] == 9);
  REQUIRE(host.pending_timers() == 0);
  host.stop();
}

TEST_CASE("ai stream: a complete one whose time has passed has not failed") {
  fault::Server server(
      {{send(fault::stream_head() + fault::event(fault::delta("ok")) + fault::event(fault::delta_end())),
        fault::hold()}});
  TestHost host(ai_test::kPlugin, config(server.url(), {{"ai_request_timeout_seconds", 1}}));
  for (const Duration deadline : {Duration(-1), Duration(500ms)}) {
    auto call = host.begin("ai.chat", hello(), deadline);
    host.wait("the moment for usage", [&] { return host.pending_timers() == 2; });
    host.advance(1s);
    const auto result = call.result();
    INFO((result ? "" : result.error().message));
    REQUIRE(result);
    REQUIRE((*result)["message"]["content"] == "ok");
  }
  host.stop();
}

TEST_CASE("ai stream: one that ends without a terminator has failed, however clean the end") {
  const auto out = streamed({send(fault::stream_head() + fault::event(fault::delta("half")))});
  REQUIRE(out.items.size() == 1);
  REQUIRE(!out.result);
  REQUIRE(out.result.error().kind == ErrorKind::upstream_failed);
  REQUIRE(out.result.error().message.find("cut its answer short") != std::string::npos);
}

TEST_CASE("ai stream: a connection that breaks in the middle has failed, and is not tried again") {
  fault::Server server(
      {{send(fault::stream_head() + fault::event(fault::delta("half"))), fault::hold(), fault::reset()}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  auto stream = host.open("ai.chat", hello(), 100);
  REQUIRE((*stream.next())["delta"]["content"] == "half");
  server.release();
  const auto result = stream.result();
  REQUIRE(!result);
  REQUIRE(result.error().kind == ErrorKind::upstream_failed);
  REQUIRE(data_of(result.error())["attempts"] == 1);
  host.stop();
}

TEST_CASE("ai stream: malformed events are a failure") {
  for (const char* bad : {"data: {\"choices\": [\n\n", "data: 17\n\n", "data: \xFF\xFE{}\n\n"}) {
    CAPTURE(bad);
    const auto out = streamed({send(fault::stream_head() + fault::event(fault::delta("a")) + bad +
                                    fault::event(fault::delta_end()) + fault::done())});
    REQUIRE(!out.result);
    REQUIRE(out.result.error().kind == ErrorKind::upstream_failed);
    REQUIRE(out.result.error().message.find("no JSON object") != std::string::npos);
  }
}

TEST_CASE("ai stream: an error inside a stream is told with the provider's words") {
  const json error{{"error", {{"message", "engine died"}, {"code", 500}}}};
  for (const std::string& text : {fault::event(error), "event: error\n" + fault::event(error)}) {
    CAPTURE(text);
    const auto out = streamed({send(fault::stream_head() + fault::event(fault::delta("a")) + text + fault::done())});
    REQUIRE(!out.result);
    REQUIRE(out.result.error().message.find("engine died") != std::string::npos);
  }
}

TEST_CASE("ai stream: a character that is split between reads arrives whole") {
  const std::string text = fault::event(fault::delta("caf\xC3\xA9"));
  const std::size_t half = text.find('\xC3') + 1;
  fault::Server server({{send(fault::stream_head() + fault::event(fault::delta("a")) + text.substr(0, half)),
                         fault::hold(), send(text.substr(half) + fault::event(fault::delta_end()))}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  auto stream = host.open("ai.chat", hello(), 100);
  REQUIRE((*stream.next())["delta"]["content"] == "a");
  server.release();
  REQUIRE((*stream.next())["delta"]["content"] == "caf\xC3\xA9");
  REQUIRE((*drain(stream).result)["message"]["content"] == "acaf\xC3\xA9");
  host.stop();
}

TEST_CASE("ai stream: a line over a mebibyte is a failure, not a memory") {
  const auto out = streamed({send(fault::stream_head() + "data: " + std::string((1U << 20U) + 10, 'x'))});
  REQUIRE(!out.result);
  REQUIRE(out.result.error().message.find("longer than 1 MiB") != std::string::npos);
}

TEST_CASE("ai stream: an answer is as long as what it says, not as its bytes on the wire") {
  const std::string frame = ": " + std::string(900'000, 'f') + "\n\n";
  fault::Reply reply{send(fault::stream_head())};
  for (int i = 0; i < 20; ++i) reply.push_back(send(frame));
  reply.push_back(send(fault::event(fault::delta("ok")) + fault::event(fault::delta_end()) + fault::done()));
  const auto out = streamed(std::move(reply));
  INFO((out.result ? "" : out.result.error().message));
  REQUIRE(out.result);
  REQUIRE((*out.result)["message"]["content"] == "ok");
}

TEST_CASE("ai stream: what an answer adds up to is bounded") {
  const json many{{"content", "x"}, {"many", std::vector<int>(100'000)}};
  const std::string text = fault::event({{"choices", {{{"delta", many}, {"finish_reason", nullptr}}}}});
  fault::Reply reply{send(fault::stream_head())};
  for (int i = 0; i < 7; ++i) reply.push_back(send(text));
  const auto out = streamed(std::move(reply));
  REQUIRE(out.result.error().message.find("too large: over 16 MiB") != std::string::npos);
}

TEST_CASE("ai stream: what is kept of each member counts, what is said again counts once") {
  const std::string much(100'000, 'x');
  const json call{{"index", 0}, {"function", {{"name", "f"}, {"arguments", much}}}};
  const auto size_of_two = [](const json& delta) {
    ai::GatheredMessage message;
    message.add(delta);
    message.add(delta);
    return message.size();
  };
  const json entry{{"text", much}};
  for (const json& delta : {json{{"content", much}}, json{{"reasoning", much}},
                            json{{"tool_calls", json::array({call})}}, json{{"details", json::array({entry})}}}) {
    CAPTURE(delta);
    REQUIRE(size_of_two(delta) >= 2 * much.size());
    REQUIRE(size_of_two(delta) < 2 * much.size() + 1000);
  }
  REQUIRE(size_of_two({{"id", much}}) >= much.size());
  REQUIRE(size_of_two({{"id", much}}) < much.size() + 1000);
}

TEST_CASE("ai stream: what breaks before the first token is tried again, later it is not") {
  const json role{{"choices", {{{"delta", {{"role", "assistant"}, {"content", ""}}}, {"finish_reason", nullptr}}}}};
  fault::Server server({{send(fault::stream_head() + fault::event(role))},
                        {fault::reset()},
                        {send(fault::stream_head() + fault::event(fault::delta("ok")) + fault::done())}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  auto stream = host.open("ai.chat", hello(), 100);
  ai_test::wait_pause(host);
  host.advance(500ms);
  server.wait_requests(2);
  ai_test::wait_pause(host);
  host.advance(1s);
  REQUIRE((*stream.next())["delta"]["content"] == "ok");
  REQUIRE(drain(stream).result);
  host.stop();
}

TEST_CASE("ai stream: a fallback stands in before the first item, never after it") {
  fault::Server second({{send(fault::stream_head() + fault::event(fault::delta("second")) + fault::done())}});
  const auto both = [&](const std::string& url) { return with_fallback(config(url, json::object(), 0), second.url()); };
  fault::Server late({{send(fault::stream_head() + fault::event(fault::delta("half")))}});
  TestHost one(ai_test::kPlugin, both(late.url()));
  const auto failed = drain(one.open("ai.chat", hello(), 100));
  REQUIRE(!failed.result);
  REQUIRE(failed.items.size() == 1);
  REQUIRE(second.requests().empty());
  one.stop();

  fault::Server early({{send(fault::response(500, json{{"error", "no"}}))}});
  TestHost two(ai_test::kPlugin, both(early.url()));
  const auto saved = drain(two.open("ai.chat", hello(), 100));
  REQUIRE(saved.result);
  REQUIRE((*saved.result)["model"] == "n");
  two.stop();
}

TEST_CASE("ai stream: a server that answers at once instead is understood") {
  const auto out = streamed({send(fault::response(200, fault::chat_answer("all at once")))});
  REQUIRE(out.result);
  REQUIRE(out.items.size() == 1);
  REQUIRE(out.items.front()["delta"]["content"] == "all at once");
}

TEST_CASE("ai stream: pieces of a tool call are passed on and joined") {
  const auto call = [](const json& function, bool first) {
    json piece{{"index", 0}, {"function", function}};
    if (first) piece["id"] = "call_1";
    return fault::event({{"choices", {{{"delta", {{"tool_calls", {piece}}}}, {"finish_reason", nullptr}}}}});
  };
  const auto out = streamed({send(fault::stream_head() + call({{"name", "f"}, {"arguments", "{\"a\""}}, true) +
                                  call({{"arguments", ":1}"}}, false) + fault::event(fault::delta_end("tool_calls")))});
  REQUIRE(out.result);
  REQUIRE(out.items.size() == 3);
  const json& message = (*out.result)["message"];
  REQUIRE(message["tool_calls"].size() == 1);
  REQUIRE(message["tool_calls"][0] ==
          json{{"id", "call_1"}, {"function", {{"name", "f"}, {"arguments", "{\"a\":1}"}}}});
  REQUIRE(message["content"].is_null());
}

TEST_CASE("ai stream: logprobs are in the items, and in an answer that comes whole") {
  const auto logprobs = [](std::vector<std::string> tokens) {
    json content = json::array();
    for (const auto& token : tokens) content.push_back({{"token", token}, {"logprob", -0.25}, {"bytes", nullptr}});
    return json{{"content", content}, {"refusal", nullptr}};
  };
  const auto event = [](const std::string& text, const json& lp) {
    json chunk = fault::delta(text);
    chunk["choices"][0]["logprobs"] = lp;
    return fault::event(chunk);
  };
  json whole = fault::chat_answer("yes sir");
  whole["choices"][0]["logprobs"] = logprobs({"yes", " sir"});
  const std::string nothing = event("", {{"content", json::array()}, {"refusal", nullptr}});
  const std::string events = fault::stream_head() + nothing + event("yes", logprobs({"yes"})) +
                             event(" sir", logprobs({" sir"})) + fault::event(fault::delta_end()) + fault::done();
  fault::Server server({{send(fault::response(200, whole))}, {send(fault::response(200, whole))}, {send(events)}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  REQUIRE((*host.call("ai.chat", hello()))["logprobs"] == logprobs({"yes", " sir"}));
  REQUIRE(drain(host.open("ai.chat", hello(), 9)).items.at(0)["logprobs"] == logprobs({"yes", " sir"}));
  const auto stream = drain(host.open("ai.chat", hello(), 9));
  REQUIRE(stream.items.size() == 3);
  REQUIRE(stream.items[0] == json{{"delta", {{"content", "yes"}}}, {"logprobs", logprobs({"yes"})}});
  REQUIRE(stream.items[1]["logprobs"] == logprobs({" sir"}));
  REQUIRE(!stream.items[2].contains("logprobs"));
  REQUIRE(!stream.result->contains("logprobs"));
  // A stream that nobody has asked for.
  const auto joined = host.call("ai.chat", hello());
  REQUIRE((*joined)["logprobs"]["content"] == logprobs({"yes", " sir"})["content"]);
  host.stop();
}

TEST_CASE("ai stream: a caller that gives no credit loses nothing and is not run over") {
  std::string text = fault::stream_head();
  std::string expected;
  for (int i = 0; i < 3000; ++i) {
    const std::string word = std::to_string(i) + " ";
    text += fault::event(fault::delta(word));
    expected += word;
  }
  text += fault::event(fault::delta_end()) + fault::done();
  fault::Server server({{send(text)}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  auto stream = host.open("ai.chat", hello(), 1);
  std::string seen;
  while (const auto item = stream.next()) {
    if (item->at("delta").contains("content")) seen += (*item)["delta"]["content"].get<std::string>();
    stream.credit(1);
  }
  REQUIRE(stream.result());
  REQUIRE(seen == expected);
  REQUIRE((*stream.result())["message"]["content"] == expected);
  host.stop();
}
