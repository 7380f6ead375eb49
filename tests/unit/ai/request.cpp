// SPDX-License-Identifier: Apache-2.0
//
// What a provider is sent, and the way there and back: members that are left out, compressed
// answers, proxies.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/unit/ai/support.hpp"

using namespace gantry;
using ai_test::config;
using ai_test::drain;
using ai_test::hello;
using Catch::Contains;
using fault::send;
using testing::TestHost;

namespace {

// What is sent for `params`, as a stream or not.
json sent(const std::string& method, const json& params, bool stream = false, const json& omit = json()) {
  const json answer = method == "ai.chat" ? fault::chat_answer("x") : fault::completion_answer("x");
  fault::Server server({{send(fault::response(200, answer))}});
  json settings = config(server.url());
  if (!omit.is_null()) settings["settings"]["providers"]["local"]["omit"] = omit;
  TestHost host(ai_test::kPlugin, settings);
  const auto result = stream ? drain(host.open(method, params, 9)).result : host.call(method, params);
  INFO((result ? "" : result.error().message));
  REQUIRE(result);
  host.stop();
  return server.requests().at(0).body();
}

json with(json params, const json& more) {
  params.update(more);
  return params;
}

std::string gzipped(const std::string& text) {
  const ai_test::Folder folder;
  folder.write("body", text);
  REQUIRE(std::system(("gzip " + (folder.path() / "body").string()).c_str()) == 0);
  std::ostringstream out;
  out << std::ifstream(folder.path() / "body.gz", std::ios::binary).rdbuf();
  return out.str();
}

class Environment {
 public:
  Environment(const std::string& proxy, const std::string& no_proxy) {
    REQUIRE(::setenv("http_proxy", proxy.c_str(), 1) == 0);
    REQUIRE(::setenv("no_proxy", no_proxy.c_str(), 1) == 0);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() {
    (void)::unsetenv("http_proxy");
    (void)::unsetenv("no_proxy");
  }
};

}  // namespace

TEST_CASE("ai request: a member that is null is left out") {
  const json nothing{{"temperature", nullptr}, {"stop", nullptr},  {"max_tokens", nullptr}, {"model", nullptr},
                     {"workspace", nullptr},   {"tools", nullptr}, {"stream", nullptr},     {"n", nullptr}};
  const json chat = sent("ai.chat", with(hello(), nothing));
  REQUIRE(chat == json{{"model", "upstream-name"}, {"messages", hello()["messages"]}, {"stream", false}});
  const json completion =
      sent("ai.complete",
           {{"prefix", "x"}, {"suffix", nullptr}, {"temperature", nullptr}, {"stop", nullptr}, {"language", nullptr}});
  REQUIRE(completion == json{{"model", "upstream-name"}, {"prompt", "x"}, {"max_tokens", 64}, {"stream", false}});
}

TEST_CASE("ai request: stop, temperature and stream: false are taken by both methods") {
  const json members{{"stop", {"\n\n", ";"}}, {"temperature", 0.5}, {"stream", false}};
  for (const bool stream : {false, true}) {
    CAPTURE(stream);
    for (const json& body : {sent("ai.chat", with(hello(), members), stream),
                             sent("ai.complete", with({{"prefix", "x"}}, members), stream)}) {
      CAPTURE(body);
      REQUIRE(body["stop"] == members["stop"]);
      REQUIRE(body["temperature"] == 0.5);
      REQUIRE(body.at("stream") == stream);
    }
  }
  REQUIRE(sent("ai.chat", with(hello(), {{"stream", true}, {"stop", "x"}}), true)["stop"] == "x");
  TestHost host(ai_test::kPlugin);
  for (const json& wrong : {json{{"stop", 3}}, json{{"stop", {1}}}, json{{"stream", "yes"}},
                            json{{"temperature", "hot"}}, json{{"stop", std::vector<std::string>(17, "x")}}}) {
    CAPTURE(wrong);
    for (const auto& [method, params] :
         {std::pair<std::string, json>{"ai.chat", hello()}, {"ai.complete", {{"prefix", ""}}}}) {
      CAPTURE(method, params);
      REQUIRE(host.call(method, with(params, wrong)).error().kind == ErrorKind::invalid_params);
    }
  }
  host.stop();
}

TEST_CASE("ai request: what a provider refuses can be switched off for it") {
  REQUIRE(sent("ai.chat", hello(), true)["stream_options"] == json{{"include_usage", true}});
  const json params = with(hello(), {{"temperature", 0.5}, {"max_tokens", 7}, {"seed", 1}});
  const json body = sent("ai.chat", params, true, {"stream_options", "temperature", "max_tokens"});
  REQUIRE(body == json{{"model", "upstream-name"}, {"messages", hello()["messages"]}, {"seed", 1}, {"stream", true}});
  // A server that cannot stream at all answers whole.
  REQUIRE(!sent("ai.chat", hello(), true, {"stream"}).contains("stream"));
}

TEST_CASE("ai request: stream_options goes along with streams only") {
  const json own{{"stream_options", {{"include_usage", false}}}};
  REQUIRE(sent("ai.chat", with(hello(), own), true)["stream_options"] == own["stream_options"]);
  REQUIRE(!sent("ai.chat", with(hello(), own)).contains("stream_options"));
}

TEST_CASE("ai request: the embedded model ends before a stop text") {
  const ai_test::Folder folder;
  std::string text;
  for (int i = 0; i < 40; ++i) text += "alpha beta gamma delta epsilon zeta\n";
  folder.write("a.txt", text);
  TestHost host(ai_test::kPlugin, {{"name", "ai"}, {"workspaces", {folder.name()}}});
  host.wait("the workspace to be learned", [&] {
    const auto events = host.events();
    return !events.empty() && events.back().payload.value("done", false);
  });
  const auto answer = [&](const json& stop) {
    const auto out = drain(host.open("ai.complete", {{"prefix", "alpha "}, {"stop", stop}}, 100));
    std::string items;
    for (const auto& item : out.items) items += item["text"].get<std::string>();
    REQUIRE((*out.result)["text"] == items);
    REQUIRE((*out.result)["finish_reason"] == "stop");
    return items;
  };
  REQUIRE_THAT(answer(nullptr), Contains("gamma delta"));
  REQUIRE(answer("a delta") == "beta gamm");
  REQUIRE(answer({"zeta", "ta g"}) == "be");
  REQUIRE_THAT(answer("gamma x"), Contains("gamma delta"));
  host.stop();
}

TEST_CASE("ai request: what a provider is sent is the caller's own text, its members in their order") {
  const std::string schema =
      R"({"type":"object","properties":{"reasoning":{"type":"string"},"answer":{"enum":["},{","\\\""]},"again":{}},"required":[]})";
  const std::string tools = R"([{"type":"function","function":{"name":"f","parameters":)" + schema + "}}]";
  const std::string format = R"({"type":"json_schema","json_schema":{"name":"r","schema":)" + schema + "}}";
  const std::string messages = R"([{"role":"user","content":"x","b":1.0,"a":12345678901234567890123}])";
  const std::string others =
      R"("tools":[1], "t\u006fols" : )" + tools + R"(,"z":{},"response_format":)" + format + R"(,"seed":-0.0)";
  fault::Server server({{send(fault::response(200, fault::chat_answer("x")))}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  const std::string params =
      R"({"_meta":{"a":"}"},"messages":)" + messages + R"(, "max_tokens":9,"n":null,)" + others + R"(,"model" : "m"})";
  REQUIRE(host.begin("ai.chat", json(), {.raw_params = params}).result());
  REQUIRE(server.requests().at(0).text == R"({"model":"upstream-name","messages":)" + messages +
                                              R"(,"max_tokens":9,"tools":)" + tools + R"(,"z":{},"response_format":)" +
                                              format + R"(,"seed":-0.0,"stream":false})");
  host.stop();
}

TEST_CASE("ai request: compressed answers are read, and asked for where they come whole") {
  const std::string headers = "Content-Encoding: gzip\r\n";
  const std::string events = fault::event(fault::delta("unpacked")) + fault::event(fault::delta_end()) + fault::done();
  fault::Server server({{send(fault::response(200, gzipped(fault::chat_answer("unpacked").dump()), headers))},
                        {send(fault::response(200, gzipped(events), headers))},
                        {send(fault::response(400, gzipped(R"({"error":"packed words"})"), headers))}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  REQUIRE((*host.call("ai.chat", hello()))["message"]["content"] == "unpacked");
  REQUIRE((*drain(host.open("ai.chat", hello(), 9)).result)["message"]["content"] == "unpacked");
  REQUIRE_THAT(host.call("ai.chat", hello()).error().message, Contains("packed words"));
  const auto requests = server.requests();
  REQUIRE_THAT(requests.at(0).headers.at("accept-encoding"), Contains("gzip"));
  REQUIRE(requests.at(1).headers.at("accept-encoding") == "identity");
  host.stop();
}

TEST_CASE("ai request: an answer is bounded by what it is unpacked") {
  const std::string bomb = gzipped("{\"x\":\"" + std::string(20U << 20U, ' ') + "\"}");
  REQUIRE(bomb.size() < (1U << 20U));
  fault::Server server({{send(fault::response(200, bomb, "Content-Encoding: gzip\r\n"))}});
  TestHost host(ai_test::kPlugin, config(server.url()));
  REQUIRE_THAT(host.call("ai.chat", hello()).error().message, Contains("too large: over 16 MiB"));
  host.stop();
}

TEST_CASE("ai request: proxies are used by curl's rules, for addresses of this machine too") {
  const fault::Reply answer{send(fault::response(200, fault::chat_answer("x")))};
  fault::Server proxy({answer});
  fault::Server direct({answer});
  const auto ask = [&](const std::string& url) {
    TestHost host(ai_test::kPlugin, config(url, json::object(), 0));
    const auto result = host.call("ai.chat", hello());
    host.stop();
    return result.has_value();
  };
  const Environment environment(proxy.url(), "10.0.0.0/8,.example.org");
  REQUIRE(ask(direct.url()));
  REQUIRE(ask("http://127.0.0.1.example.net/v1"));
  REQUIRE(proxy.requests().at(0).line == "POST " + direct.url() + "/chat/completions HTTP/1.1");
  REQUIRE(proxy.requests().at(1).line == "POST http://127.0.0.1.example.net/v1/chat/completions HTTP/1.1");
  REQUIRE(direct.requests().empty());
  const Environment exempt(proxy.url(), "localhost,127.0.0.0/8");
  REQUIRE(ask(direct.url()));
  REQUIRE(direct.requests().size() == 1);
  REQUIRE(proxy.requests().size() == 2);
}
