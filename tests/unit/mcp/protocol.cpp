// SPDX-License-Identifier: Apache-2.0
//
// The eras and their revisions, ids, batches, wrong messages.
#include "tests/unit/mcp/support.hpp"

using namespace gantry;
using namespace gantry::host::mcp;
using namespace gantry::host::mcp::test;

namespace {

int code_of(const json& response) { return response.at("error").at("code"); }

}  // namespace

TEST_CASE("mcp: server/discover names the modern revision, what the server can do, and how long that is fresh") {
  Talk t;
  const json found = t.ask("server/discover", with_modern())["result"];
  REQUIRE(found["supportedVersions"] == json::array({"2026-07-28"}));
  REQUIRE(found["resultType"] == "complete");
  REQUIRE(found["capabilities"]["tools"]["listChanged"] == true);
  REQUIRE(found["capabilities"].contains("prompts"));
  REQUIRE(found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "gantry");
  REQUIRE(found["ttlMs"].get<int>() >= 0);
  REQUIRE(found["cacheScope"] == "private");
}

TEST_CASE("mcp: a modern request without its revision, or without the client's capabilities, is -32602") {
  Talk t;
  json meta = modern();
  meta.erase("io.modelcontextprotocol/protocolVersion");
  REQUIRE(code_of(t.ask("tools/list", {{"_meta", meta}})) == -32602);
  meta = modern();
  meta.erase("io.modelcontextprotocol/clientCapabilities");
  REQUIRE(code_of(t.ask("tools/list", {{"_meta", meta}})) == -32602);
  REQUIRE(code_of(t.ask("tools/list")) == -32602);
  REQUIRE(code_of(t.ask("server/discover")) == -32602);
  REQUIRE(code_of(t.ask("tools/list", with_modern(json::object(), json::object(),
                                                  {{"io.modelcontextprotocol/logLevel", "loud"}}))) == -32602);
  REQUIRE(t.ask("tools/list", with_modern())["result"].contains("tools"));
}

TEST_CASE("mcp: a revision that the server does not speak is -32022 with those that it speaks") {
  Talk t;
  json meta = modern();
  meta["io.modelcontextprotocol/protocolVersion"] = "2031-01-01";
  const json error = t.ask("tools/list", {{"_meta", meta}})["error"];
  REQUIRE(error["code"] == -32022);
  REQUIRE(error["data"] == json{{"supported", {"2026-07-28"}}, {"requested", "2031-01-01"}});
}

TEST_CASE("mcp: initialize is answered with the revision that the client asks for, else with the newest legacy one") {
  for (const std::string version : {"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"}) {
    Talk t;
    t.initialize(version);
    REQUIRE(t.opened["protocolVersion"] == version);
    REQUIRE(t.opened["serverInfo"]["name"] == "gantry");
    REQUIRE(t.opened["capabilities"].contains("completions") == (version != "2024-11-05"));
    REQUIRE_FALSE(t.opened.contains("resultType"));
  }
  for (const std::string version : {"2026-07-28", "1.0"}) {
    Talk t;
    t.initialize(version);
    REQUIRE(t.opened["protocolVersion"] == "2025-11-25");
  }
}

TEST_CASE("mcp: initialize needs a revision and capabilities, and works once") {
  Talk t;
  REQUIRE(code_of(t.ask("initialize", {{"capabilities", json::object()}})) == -32602);
  REQUIRE(code_of(t.ask("initialize", {{"protocolVersion", "2025-11-25"}})) == -32602);
  t.initialize();
  REQUIRE(code_of(t.ask("initialize", {{"protocolVersion", "2025-11-25"}, {"capabilities", json::object()}})) ==
          -32600);
}

TEST_CASE("mcp: ping is answered before and after initialize, and no longer exists for modern requests") {
  Talk t;
  REQUIRE(t.ask("ping")["result"] == json::object());
  t.initialize();
  REQUIRE(t.ask("ping")["result"] == json::object());
  REQUIRE(code_of(t.ask("ping", with_modern())) == -32601);
}

TEST_CASE("mcp: each era has its own methods") {
  Talk t;
  for (const char* gone : {"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"}) {
    CAPTURE(gone);
    REQUIRE(code_of(t.ask(gone, with_modern())) == -32601);
  }
  t.initialize();
  for (const char* later : {"server/discover", "subscriptions/listen", "tools/erase"}) {
    CAPTURE(later);
    REQUIRE(code_of(t.ask(later)) == -32601);
  }
}

TEST_CASE("mcp: one connection serves both eras, each request by what it says") {
  Talk t;
  t.initialize();
  REQUIRE(t.ask("tools/list", with_modern())["result"]["resultType"] == "complete");
  REQUIRE_FALSE(t.ask("tools/list")["result"].contains("resultType"));
}

TEST_CASE("mcp: ids are strings or integers, and come back as they were") {
  Talk t;
  t.initialize();
  for (const json& id : {json(0), json(-7), json("x"), json(""), json("1"), json(9007199254740993)}) {
    t.request(id, "ping");
    REQUIRE(t.take(id)["result"] == json::object());
  }
  for (const char* id : {"null", "1.5", "1e3", "true", "{}", "[1]"}) {
    CAPTURE(id);
    t.say_text(std::string(R"({"jsonrpc":"2.0","method":"ping","id":)") + id + "}");
    REQUIRE(t.sent.size() == 1);
    REQUIRE(code_of(t.sent.front()) == -32600);
    REQUIRE_FALSE(t.sent.front().contains("id"));
    t.sent.clear();
  }
}

TEST_CASE("mcp: an id that is in use is refused, and is free again after the response") {
  Talk t;
  t.initialize();
  t.request(1, "tools/call", {{"name", "find"}});
  t.request(1, "ping");
  REQUIRE(code_of(t.take(1)) == -32600);
  t.answer("svc.find", json::object());
  REQUIRE(t.take(1)["result"].contains("content"));
  t.request(1, "ping");
  REQUIRE(t.take(1)["result"] == json::object());
}

TEST_CASE("mcp: more requests than the bound are refused, and the others are still answered") {
  Talk t;
  t.initialize();
  (void)t.ask("tools/list");
  for (std::size_t i = 0; i < Requests::kMaxOpen; ++i) t.request(i, "tools/call", {{"name", "find"}});
  t.request("more", "ping");
  REQUIRE(t.take("more")["error"]["data"]["kind"] == "overloaded");
  for (std::size_t i = 0; i < Requests::kMaxOpen; ++i) t.answer("svc.find", json::object());
  REQUIRE(t.sent.size() == Requests::kMaxOpen);
  REQUIRE(t.ask("ping")["result"] == json::object());
}

TEST_CASE("mcp: batches exist in 2025-03-26, and their responses leave together") {
  const json batch =
      json::array({{{"jsonrpc", "2.0"}, {"id", 1}, {"method", "ping"}},
                   {{"jsonrpc", "2.0"}, {"id", 2}, {"method", "tools/call"}, {"params", {{"name", "find"}}}},
                   {{"jsonrpc", "2.0"}, {"id", 3}, {"method", "no/such"}},
                   {{"jsonrpc", "2.0"}, {"method", "notifications/progress"}}});
  Talk t;
  t.initialize("2025-03-26");
  t.say(batch);
  REQUIRE(t.sent.empty());
  t.answer("svc.find", {{"n", 1}});
  REQUIRE(t.sent.size() == 1);
  REQUIRE(t.sent.front().is_array());
  REQUIRE(t.sent.front().size() == 3);
  t.sent.clear();
  t.say(json::array({{{"jsonrpc", "2.0"}, {"method", "notifications/initialized"}}}));
  REQUIRE(t.sent.empty());

  Talk later;
  later.initialize("2025-06-18");
  later.say(batch);
  REQUIRE(later.sent.size() == 1);
  REQUIRE(code_of(later.sent.front()) == -32600);
  REQUIRE(later.made.empty());
}

TEST_CASE("mcp: a batch goes without the response of a request that was cancelled") {
  Talk t;
  t.initialize("2025-03-26");
  t.say(json::array({{{"jsonrpc", "2.0"}, {"id", 1}, {"method", "ping"}},
                     {{"jsonrpc", "2.0"}, {"id", 2}, {"method", "tools/call"}, {"params", {{"name", "find"}}}}}));
  t.say_cancelled(2);
  REQUIRE(t.sent.size() == 1);
  REQUIRE(t.sent.front().size() == 1);
  REQUIRE(t.sent.front()[0]["id"] == 1);
}

TEST_CASE("mcp: wrong messages are answered with an error, and the session goes on") {
  Talk t({}, {.message = 10'000, .depth = 20, .batch = 10});
  t.initialize();
  const auto refused = [&](const std::string& text, int code) {
    CAPTURE(text);
    t.say_text(text);
    REQUIRE(t.sent.size() == 1);
    REQUIRE(code_of(t.sent.front()) == code);
    t.sent.clear();
    REQUIRE(t.ask("ping")["result"] == json::object());
  };
  refused("garbage", -32700);
  refused("{\"jsonrpc\":\"2.0\",\"id\":1", -32700);
  refused("\"\xff\"", -32700);
  refused(R"({"id":1,"method":"ping"})", -32600);
  refused(R"({"jsonrpc":"2.0","id":1})", -32600);
  refused(R"({"jsonrpc":"2.0","id":1,"method":"ping","params":[1]})", -32602);
  refused(R"({"jsonrpc":"2.0","id":1,"method":"ping","params":)" + std::string(30, '[') + std::string(30, ']') + "}",
          -32600);
  t.server.refuse_too_long();
  REQUIRE(code_of(t.sent.front()) == -32600);
  t.sent.clear();
  // Nobody is answered for what is a response, or a notification that nobody knows.
  t.say_text(R"({"jsonrpc":"2.0","id":"g9","result":{}})");
  t.say_text(R"({"jsonrpc":"2.0","method":"notifications/unknown","params":{}})");
  t.say_text(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":77}})");
  t.say_text(R"({"jsonrpc":"2.0","method":"notifications/cancelled"})");
  REQUIRE(t.sent.empty());
}
