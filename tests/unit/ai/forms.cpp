// SPDX-License-Identifier: Apache-2.0
//
// The forms in which servers answer: nothing that is cut short is success, nothing that is whole is
// a failure. Each comes from a public report.
#include <catch2/catch.hpp>

#include "tests/unit/ai/support.hpp"

using namespace gantry;
using ai_test::config;
using ai_test::drain;
using ai_test::hello;
using ai_test::Streamed;
using Catch::Contains;
using fault::event;
using fault::send;
using testing::TestHost;

namespace {

json chunk(const json& delta, const json& finish = nullptr) {
  return {{"choices", {{{"index", 0}, {"delta", delta}, {"finish_reason", finish}}}}};
}
json word(const std::string& text, const json& finish = nullptr) { return chunk({{"content", text}}, finish); }
const json kEnd = chunk(json::object(), "stop");

// What a server that sends `bytes` as an event stream, once, is taken for. A second request would
// be a failure.
Streamed streamed(const std::string& bytes, const std::string& method = "ai.chat") {
  fault::Server server({{send(fault::stream_head() + bytes)}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  auto out = drain(host.open(method, method == "ai.chat" ? hello() : json{{"prefix", "x"}}, 100));
  REQUIRE(server.requests().size() == 1);
  host.stop();
  return out;
}

std::string text_of(const Streamed& out) {
  INFO((out.result ? "" : out.result.error().message));
  REQUIRE(out.result);
  std::string items;
  for (const auto& item : out.items) items += item["delta"].value("content", "");
  REQUIRE((*out.result)["message"]["content"] == items);
  return items;
}

void failed(const Streamed& out, const std::string& words) {
  REQUIRE(!out.result);
  REQUIRE(out.result.error().kind == ErrorKind::upstream_failed);
  REQUIRE_THAT(out.result.error().message, Contains(words));
  REQUIRE_THAT(out.result.error().message, Contains("/v1/chat/completions"));
}

// The tool calls that the pieces add up to.
json calls_of(const std::vector<json>& pieces) {
  std::string bytes;
  for (const auto& piece : pieces) bytes += event(chunk({{"tool_calls", {piece}}}));
  const auto out = streamed(bytes + event(chunk(json::object(), "tool_calls")) + fault::done());
  REQUIRE(out.result);
  return (*out.result)["message"]["tool_calls"];
}
json call(const std::string& id, const std::string& name, const std::string& arguments) {
  return {{"id", id}, {"function", {{"name", name}, {"arguments", arguments}}}};
}
json at(json piece, int index) {
  piece["index"] = index;
  return piece;
}
json more(const std::string& arguments) { return {{"function", {{"arguments", arguments}}}}; }

}  // namespace

TEST_CASE("ai forms: an empty or \"null\" finish_reason ends nothing") {
  for (const json& none : {json(""), json("null"), json("None"), json(false)}) {
    CAPTURE(none);
    const auto cut = streamed(event(word("one ", none)) + event(word("two", none)));
    REQUIRE(!cut.result);
    REQUIRE(cut.items == std::vector<json>{{{"delta", {{"content", "one "}}}}, {{"delta", {{"content", "two"}}}}});
    const auto whole = streamed(event(word("one", none)) + event(kEnd) + event(word("", none)) + fault::done());
    REQUIRE((*whole.result)["finish_reason"] == "stop");
    const json piece = fault::piece("a", none);
    REQUIRE(!streamed(event(piece), "ai.complete").result);
  }
}

TEST_CASE("ai forms: a finish_reason that says error is a failure") {
  failed(streamed(event(word("half")) + event(chunk(json::object(), "error")) + fault::done()),
         "finish_reason \"error\"");
  json told = chunk(json::object(), "error");
  told["choices"][0]["error"] = {{"message", "engine died"}};
  failed(streamed(event(word("half")) + event(told) + fault::done()), "engine died");
}

TEST_CASE("ai forms: whole JSON is the answer, whatever its Content-Type and whatever is glued to it") {
  const std::string body = fault::chat_answer("all of it").dump(2);
  for (const std::string type : {"text/plain", "application/octet-stream", "text/event-stream", "text/html"}) {
    CAPTURE(type);
    const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: " + type + "\r\nConnection: close\r\n\r\n";
    for (const std::string& bytes : {body, "\xEF\xBB\xBF\r\n " + body, body + "\n\ndata: [DONE]\n\n"}) {
      CAPTURE(bytes);
      fault::Server server({{send(head + bytes)}});
      TestHost host(ai_test::kPlugin, config(server.url()));
      REQUIRE(text_of(drain(host.open("ai.chat", hello(), 100))) == "all of it");
      REQUIRE((*host.call("ai.chat", hello()))["message"]["content"] == "all of it");
      host.stop();
    }
  }
  REQUIRE(text_of(streamed(event(fault::chat_answer("all of it")) + fault::done())) == "all of it");
}

TEST_CASE("ai forms: a stream that was not asked for is the answer, too") {
  fault::Server server({{send(fault::stream_head() + event(word("all ")) + event(word("of it")) + event(kEnd))}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  REQUIRE((*host.call("ai.chat", hello()))["message"]["content"] == "all of it");
  host.stop();
}

TEST_CASE("ai forms: a whole answer may have no finish_reason") {
  for (const json& none : {json(), json(""), json("null")}) {
    CAPTURE(none);
    json answer = fault::chat_answer("done");
    answer["choices"][0]["finish_reason"] = none;
    fault::Server server({{send(fault::response(200, answer))}});
    TestHost host(ai_test::kPlugin, config(server.url()));
    const auto result = host.call("ai.chat", hello());
    REQUIRE((*result)["message"]["content"] == "done");
    REQUIRE((*result)["finish_reason"].is_null());
    host.stop();
  }
}

TEST_CASE("ai forms: DONE after no event is no answer, and is asked for once") {
  failed(streamed(fault::done()), "ended its stream without an answer");
  failed(streamed(event(chunk({{"role", "assistant"}, {"content", ""}})) + fault::done()), "without an answer");
  failed(streamed(event({{"detail", "engine is dead"}}) + fault::done()), "engine is dead");
}

TEST_CASE("ai forms: a web page is told as one, once, with its title and the address that was asked") {
  const std::string page = "<!DOCTYPE html>\n<html><head><title>Welcome to\n Example</title></head></html>";
  for (const int status : {200, 404}) {
    CAPTURE(status);
    fault::Server server({{send(fault::response(status, page))}});
    TestHost host(ai_test::kPlugin, config(server.url()));
    for (const bool stream : {false, true}) {
      CAPTURE(stream);
      const auto out = stream ? drain(host.open("ai.chat", hello(), 9)) : Streamed{{}, host.call("ai.chat", hello())};
      failed(out, "an HTML page titled \"Welcome to Example\"");
      REQUIRE_THAT(out.result.error().message, Contains(server.url() + "/chat/completions"));
    }
    REQUIRE(server.requests().size() == 2);
    host.stop();
  }
}

TEST_CASE("ai forms: an error without a frame under 200 is told once with the server's words") {
  const std::string error = R"({"error":{"code":400,"message":"exceeds the available context size"}})";
  for (const std::string& bytes :
       {error, error + "\n\ndata: [DONE]\n\n", "error: " + error + "\n\n", "error: " + error + "\n\ndata: [DONE]\n\n",
        "event: error\ndata: " + error + "\n\n", "data: " + error + "\n\n", ": ping\n\n" + error + "\n",
        std::string(R"(data: {"object":"error","message":"exceeds the available context size"})") + "\n\n",
        std::string("exceeds the available context size\n"),
        std::string("data: error: exceeds the available context size\n\n"), "[" + error + "]"}) {
    INFO(bytes);
    failed(streamed(bytes), "context size");
    if (!bytes.starts_with('{') && !bytes.starts_with('['))
      failed(streamed(event(word("half")) + bytes), "context size");
  }
}

TEST_CASE("ai forms: parallel tool calls that share an index but not an id are two") {
  const json two{call("a", "write", R"({"path":"one"})"), call("b", "write", R"({"path":"two"})")};
  REQUIRE(calls_of({at(two[0], 0), at(two[1], 0)}) == two);
  REQUIRE(calls_of({two[0], two[1]}) == two);
  REQUIRE(calls_of({at(call("a", "write", R"({"path")"), 0), at(more(R"(:"one"})"), 0),
                    at(call("b", "write", R"({"path":)"), 0), at(more(R"("two"})"), 0)}) == two);
  REQUIRE(calls_of({at(call("a", "write", R"({"path")"), 0), at(call("b", "write", R"({"path":)"), 1),
                    at(more(R"("two"})"), 1), at(more(R"(:"one"})"), 0)}) == two);
  // Without ids the name tells, and the same name once the arguments before it are whole.
  const auto unnamed = [](const std::string& name, const std::string& arguments) {
    return json{{"index", 0}, {"function", {{"name", name}, {"arguments", arguments}}}};
  };
  const json bare{{{"function", {{"name", "f"}, {"arguments", "{}"}}}},
                  {{"function", {{"name", "g"}, {"arguments", "{}"}}}}};
  REQUIRE(calls_of({unnamed("f", "{}"), unnamed("g", "{}")}) == bare);
  REQUIRE(calls_of({unnamed("f", "{}"), unnamed("f", "{}")}).size() == 2);
  REQUIRE(calls_of({unnamed("f", "{\"a\""), unnamed("f", ":1}")}).size() == 1);
}

TEST_CASE("ai forms: a tool call's name or id may come after its first piece") {
  const json whole = json::array({call("a", "f", "{}")});
  REQUIRE(calls_of({at(more(""), 0), at(call("a", "f", "{}"), 0)}) == whole);
  REQUIRE(calls_of({at({{"id", "a"}}, 0), at({{"function", {{"name", "f"}}}}, 0), at(more("{}"), 0)}) == whole);
  REQUIRE(calls_of({at(call("a", "f", ""), 0), at(call("a", "f", "{}"), 0)}) == whole);
  REQUIRE(calls_of({call("a", "f", ""), more("{"), more("}")}) == whole);
  REQUIRE(calls_of({at({{"id", "a"}, {"function", {{"name", "f"}, {"arguments", json::object()}}}}, 0)}) == whole);
}

TEST_CASE("ai forms: what deltas hold besides content and tool calls is joined, not replaced") {
  const auto out = streamed(event(chunk({{"function_call", {{"name", "f"}, {"arguments", "{\"a\""}}}})) +
                            event(chunk({{"function_call", {{"arguments", ":1}"}}}})) +
                            event(chunk({{"reasoning_details", {{{"index", 0}, {"text", "th"}}}}})) +
                            event(chunk({{"reasoning_details", {{{"index", 0}, {"text", "ink"}}}}})) +
                            event(chunk({{"refusal", "no"}})) + event(chunk({{"refusal", "pe"}})) + event(kEnd));
  const json& message = (*out.result)["message"];
  REQUIRE(message["function_call"] == json{{"name", "f"}, {"arguments", "{\"a\":1}"}});
  REQUIRE(message["reasoning_details"][0]["text"] == "think");
  REQUIRE(message["refusal"] == "nope");
}

TEST_CASE("ai forms: content may be an array of parts") {
  const json parts{
      {{"type", "text"}, {"text", "he"}}, {{"type", "image"}, {"url", "x"}}, {{"type", "text"}, {"text", "y"}}};
  const auto out = streamed(event(chunk({{"content", parts}})) + event(kEnd));
  REQUIRE(text_of(out) == "hey");
  REQUIRE((*out.result)["message"]["content_parts"] == json{{{"type", "image"}, {"url", "x"}}});
  json answer = fault::chat_answer("");
  answer["choices"][0]["message"]["content"] = parts;
  REQUIRE(text_of(streamed(answer.dump())) == "hey");
}

TEST_CASE("ai forms: bad bytes, half characters, NaN and keep-alives do not end a stream") {
  const auto raw = [](const std::string& content, const std::string& rest = "") {
    return R"(data: {"choices":[{"index":0,"delta":{"content":")" + content + R"("})" + rest + "}]}\n\n";
  };
  const std::string end = event(kEnd) + "data: [DONE] \n\n";
  REQUIRE(text_of(streamed(raw("a\xFF"
                               "b") +
                           end)) ==
          "a\xEF\xBF\xBD"
          "b");
  REQUIRE(text_of(streamed(raw("caf\xC3") + raw("x") + end)) == "caf\xEF\xBF\xBDx");
  REQUIRE(text_of(streamed(raw("a\\ud83d") + raw("\\ude00b") + end)) ==
          "a\xF0\x9F\x98\x80"
          "b");
  REQUIRE(text_of(streamed(raw("a\\ud83d b\\ude00\\ud83d\\ude00") + end)) ==
          "a\xEF\xBF\xBD b\xEF\xBF\xBD\xF0\x9F\x98\x80");
  REQUIRE(text_of(streamed(raw("NaN", R"(,"logprobs":[NaN,-Infinity,Infinity])") + end)) == "NaN");
  REQUIRE(text_of(streamed("event: keepalive\ndata: ping\n\n" + raw("a") + "event: ping\ndata: {}\n\n" + end)) == "a");
  json answer = fault::chat_answer("x");
  std::string body = answer.dump();
  body.replace(body.find("\"x\""), 3, "\"x\xC3\\ud83d\"");
  REQUIRE(text_of(streamed(body)) == "x\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST_CASE("ai forms: half a text is never mended into a whole one") {
  failed(streamed(event(word("a")) + "data: {\"choices\":[{\"delta\":{\"content\":\"b\n\n" + event(kEnd)),
         "no JSON object");
  failed(streamed(event(word("a")) + R"(data: {"choices":[{"delta":{"content":"b"},"finish_reason":"sto)"), "cut its");
  failed(streamed(R"({"choices":[{"message":{"content":"b"},"finish_reason":"stop"}])"), "no JSON object");
}

TEST_CASE("ai forms: an answer that is nested too deep is refused, for whoever walks it needs stack for each level") {
  const auto nested = [](std::size_t levels) {
    return R"({"choices":[{"message":{"content":"a","x":)" + std::string(levels, '[') + std::string(levels, ']') +
           "}}]}";
  };
  REQUIRE(text_of(streamed(nested(100))) == "a");
  failed(streamed(nested(200'000)), "no JSON object");
  failed(streamed("data: " + nested(200'000) + "\n\n"), "no JSON object");
}

TEST_CASE("ai forms: an event that the end of the bytes finishes counts when it is whole") {
  const std::string end = event(kEnd);
  REQUIRE(text_of(streamed(event(word("a")) + end.substr(0, end.size() - 2))) == "a");
  REQUIRE(text_of(streamed(event(word("a")) + end.substr(0, end.size() - 1))) == "a");
}

TEST_CASE("ai forms: after the answer is whole nothing makes it a failure but an error that is told") {
  REQUIRE(text_of(streamed(event(word("a")) + event(kEnd) + "data: garbage\n\n")) == "a");
  failed(streamed(event(word("a")) + event(kEnd) + event({{"error", {{"message", "too late"}}}})), "too late");
}

TEST_CASE("ai forms: of several choices the one that came first is read") {
  const auto choice = [](int index, const std::string& text) {
    return json{{"index", index}, {"delta", {{"content", text}}}};
  };
  REQUIRE(text_of(streamed(event({{"choices", {choice(1, "a"), choice(0, "x")}}}) +
                           event({{"choices", {choice(0, "y"), choice(1, "b")}}}) + fault::done())) == "ab");
}
