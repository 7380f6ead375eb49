// SPDX-License-Identifier: Apache-2.0
//
// Tools: their list, their calls, errors, progress, cancellation.
#include "tests/unit/mcp/support.hpp"

using namespace gantry;
using namespace gantry::host::mcp;
using namespace gantry::host::mcp::test;

TEST_CASE("mcp: a tool is listed with its schemas and hints, in the words of the revision") {
  const json what{
      {"title", "Find"}, {"description", "Finds"}, {"inputSchema", {{"properties", {{"q", {{"type", "string"}}}}}}}};
  for (const std::string version : {"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"}) {
    CAPTURE(version);
    Talk t(json::array({tool("find", what), offered("svc.hidden", "x-gantry-stream", true)}));
    t.initialize(version);
    const json tools = t.ask("tools/list")["result"]["tools"];
    REQUIRE(tools.size() == 1);
    REQUIRE(tools[0]["name"] == "find");
    REQUIRE(tools[0]["description"] == "Finds");
    REQUIRE(tools[0]["inputSchema"]["type"] == "object");
    REQUIRE(tools[0]["inputSchema"]["properties"]["q"]["type"] == "string");
    const bool structured = version >= "2025-06-18";
    REQUIRE(tools[0].contains("outputSchema") == structured);
    REQUIRE(tools[0].contains("title") == structured);
    REQUIRE(tools[0].contains("annotations") == (version >= "2025-03-26"));
  }
}

TEST_CASE("mcp: a long list comes in pages, and a cursor of another list is refused") {
  json methods = json::array();
  for (int i = 0; i < 450; ++i) methods.push_back(tool("t" + std::to_string(1000 + i)));
  Talk t(methods);
  t.initialize();
  std::set<std::string> names;
  json params = json::object();
  int pages = 0;
  while (true) {
    const json page = t.ask("tools/list", params)["result"];
    ++pages;
    REQUIRE(page["tools"].size() <= Catalog::kPage);
    for (const auto& entry : page["tools"]) names.insert(entry["name"].get<std::string>());
    if (!page.contains("nextCursor")) break;
    params["cursor"] = page["nextCursor"];
  }
  REQUIRE(pages == 3);
  REQUIRE(names.size() == 450);
  REQUIRE(t.ask("tools/list", {{"cursor", "200.nonsense"}})["error"]["code"] == -32602);
  REQUIRE(t.ask("tools/list", {{"cursor", 5}})["error"]["code"] == -32602);
  REQUIRE(t.ask("prompts/list", params)["error"]["code"] == -32602);
}

TEST_CASE("mcp: a tool's result is structured content, and the same JSON as text") {
  Talk t;
  t.initialize();
  t.request(1, "tools/call", {{"name", "find"}, {"arguments", {{"q", "x"}}}});
  json params = t.call_of("svc.find").params;
  params.erase("_meta");
  REQUIRE(params == json{{"q", "x"}});
  t.answer("svc.find", {{"found", {1, 2}}});
  const json result = t.take(1)["result"];
  REQUIRE(result["structuredContent"] == json{{"found", {1, 2}}});
  REQUIRE(result["content"].size() == 1);
  REQUIRE(json::parse(result["content"][0]["text"].get<std::string>()) == result["structuredContent"]);
  REQUIRE_FALSE(result.contains("isError"));

  Talk old;
  old.initialize("2025-03-26");
  old.request(1, "tools/call", {{"name", "find"}});
  old.answer("svc.find", {{"found", {1, 2}}});
  REQUIRE_FALSE(old.take(1)["result"].contains("structuredContent"));
}

TEST_CASE("mcp: arguments that are absent or null are none, others must be an object without _meta") {
  Talk t;
  for (const json& params : {json{{"name", "find"}}, json{{"name", "find"}, {"arguments", nullptr}},
                             json{{"name", "find"}, {"arguments", json::object()}}}) {
    t.request(1, "tools/call", with_modern(params));
    json got = t.call_of("svc.find").params;
    got.erase("_meta");
    REQUIRE(got == json::object());
    t.answer("svc.find", json::object());
    REQUIRE(t.take(1)["result"]["resultType"] == "complete");
  }
  for (const json& wrong : {json(1), json::array({1}), json{{"_meta", {{"timeout_ms", 1}}}}}) {
    REQUIRE(t.ask("tools/call", with_modern({{"name", "find"}, {"arguments", wrong}}))["error"]["code"] == -32602);
  }
  REQUIRE(t.ask("tools/call", with_modern())["error"]["code"] == -32602);
  REQUIRE(t.made.empty());
}

TEST_CASE("mcp: what fails in the host is a result with isError, the kind and the reason") {
  Talk t;
  t.initialize();
  t.request(1, "tools/call", {{"name", "find"}});
  t.fail_call("svc.find", ErrorKind::not_found, "note 7 does not exist", R"({"note":7})");
  const json result = t.take(1)["result"];
  REQUIRE(result["isError"] == true);
  REQUIRE(result["content"][0]["text"] == "not_found: note 7 does not exist");
  REQUIRE(result["_meta"]["io.gantry/error"] ==
          json{{"kind", "not_found"}, {"message", "note 7 does not exist"}, {"note", 7}});
  REQUIRE_FALSE(result.contains("structuredContent"));
  t.request(2, "tools/call", {{"name", "find"}});
  t.answer("svc.find", json::array({1}));
  REQUIRE(t.take(2)["result"]["isError"] == true);
}

TEST_CASE("mcp: an unknown tool is -32602, after the catalog was read once more") {
  Talk t;
  t.initialize();
  (void)t.ask("tools/list");
  REQUIRE(t.ask("tools/call", {{"name", "fetch"}})["error"]["code"] == -32602);
  t.offers.push_back(tool("fetch"));
  t.request(1, "tools/call", {{"name", "fetch"}});
  t.answer("svc.fetch", json::object());
  REQUIRE(t.take(1)["result"].contains("content"));
}

TEST_CASE("mcp: requests that wait for the catalog share its error, and the next one reads it again") {
  Talk t;
  t.holds_catalog = true;
  t.initialize();
  t.request(1, "tools/list");
  t.request(2, "tools/call", {{"name", "find"}});
  t.fail_call("rpc.discover", ErrorKind::overloaded, "too much");
  REQUIRE(t.take(1)["error"]["data"]["kind"] == "overloaded");
  REQUIRE(t.take(2)["error"]["code"] == -32603);
  t.holds_catalog = false;
  t.settle();
  REQUIRE(t.ask("tools/list")["result"]["tools"].size() == 1);
}

TEST_CASE("mcp: a cancelled call is cancelled in the host, and nothing more is sent for it") {
  Talk t;
  t.initialize();
  t.request("a", "tools/call", {{"name", "find"}, {"_meta", {{"progressToken", 5}}}});
  const auto key = t.call_of("svc.find").key;
  t.say_cancelled("b");
  REQUIRE(t.cancelled.empty());
  t.say_cancelled("a");
  REQUIRE(t.cancelled == std::vector{key});
  t.server.progress(key, "late", 50);
  t.answer(key, {{"late", true}});
  REQUIRE(t.sent.empty());
}

TEST_CASE("mcp: a request that is cancelled while it waits for the catalog is not served") {
  Talk t;
  t.holds_catalog = true;
  t.initialize();
  t.request(1, "tools/call", {{"name", "find"}});
  t.say_cancelled(1);
  t.holds_catalog = false;
  t.settle();
  REQUIRE(t.sent.empty());
  REQUIRE(t.made.empty());
}

TEST_CASE("mcp: progress goes to the token of its request, and always rises") {
  Talk t;
  t.initialize();
  t.request(1, "tools/call", {{"name", "find"}, {"_meta", {{"progressToken", "p"}}}});
  const auto key = t.call_of("svc.find").key;
  t.server.progress(key, "begins", 0);
  t.server.progress(key, "half", 50);
  t.server.progress(key, "", 50);
  t.server.progress(key, "more", std::nullopt);
  t.server.progress(key, "done", 100);
  double before = -1;
  for (int i = 0; i < 5; ++i) {
    const json params = t.take_method("notifications/progress")["params"];
    REQUIRE(params["progressToken"] == "p");
    REQUIRE(params["progress"].get<double>() > before);
    before = params["progress"];
    if (i == 1)
      REQUIRE(params == json{{"progressToken", "p"}, {"progress", 50.0}, {"total", 100}, {"message", "half"}});
  }
  REQUIRE(t.belongs.back() == "1");
  t.answer("svc.find", json::object());
  t.server.progress(key, "late", 100);
  t.request(2, "tools/call", {{"name", "find"}});
  t.server.progress(t.call_of("svc.find").key, "nobody asked", 1);
  REQUIRE(t.take_method("notifications/progress").is_null());
}

TEST_CASE("mcp: the items of a tool that logs are log messages from the severity on that the client wants") {
  Talk t(json::array({tool("find", {{"logs", true}})}));
  t.initialize();
  REQUIRE(t.ask("logging/setLevel", {{"level", "loud"}})["error"]["code"] == -32602);
  REQUIRE(t.ask("logging/setLevel", {{"level", "warning"}})["result"] == json::object());
  t.request(1, "tools/call", {{"name", "find"}});
  REQUIRE(t.call_of("svc.find").params["_meta"].contains("stream"));
  const auto key = t.call_of("svc.find").key;
  t.server.item(key, R"({"level":"info","data":"quiet"})");
  t.server.item(key, R"({"level":"error","data":{"n":1},"logger":"l"})");
  REQUIRE(t.sent.size() == 1);
  REQUIRE(t.take_method("notifications/message")["params"] ==
          json{{"level", "error"}, {"data", {{"n", 1}}}, {"logger", "l"}});
  t.answer("svc.find", json::object());
  // A modern request names the level itself, or gets none.
  t.request(2, "tools/call", with_modern({{"name", "find"}}));
  REQUIRE_FALSE(t.call_of("svc.find").params["_meta"].contains("stream"));
  t.answer("svc.find", json::object());
  t.request(3, "tools/call",
            with_modern({{"name", "find"}}, json::object(), {{"io.modelcontextprotocol/logLevel", "info"}}));
  t.server.item(t.call_of("svc.find").key, R"({"level":"info","data":"heard"})");
  REQUIRE(t.take_method("notifications/message")["params"]["data"] == "heard");
}

TEST_CASE("mcp: a client's trace goes on to the method, and members of _meta that are the host's own are not taken") {
  Talk t;
  const std::string trace = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
  t.request(1, "tools/call",
            with_modern({{"name", "find"}}, json::object(),
                        {{"traceparent", trace}, {"stream", true}, {"timeout_ms", "x"}, {"idempotency_key", 5}}));
  const json meta = t.call_of("svc.find").params["_meta"];
  REQUIRE(meta["traceparent"] == trace);
  REQUIRE(meta.size() == 2);  // and `agent`
  t.answer("svc.find", json::object());
  REQUIRE(t.take(1)["result"].contains("content"));
}

TEST_CASE("mcp: a tool that writes content itself is passed on as it is") {
  Talk t(json::array({tool("find", {{"content", true}})}));
  const json image = json::array({{{"type", "image"}, {"data", "aGk="}, {"mimeType", "image/png"}}});
  t.request(1, "tools/call", with_modern({{"name", "find"}}));
  t.answer("svc.find", {{"content", image}, {"_meta", {{"own", 1}}}});
  const json result = t.take(1)["result"];
  REQUIRE(result["content"] == image);
  REQUIRE(result["resultType"] == "complete");
  REQUIRE(result["_meta"]["own"] == 1);
  REQUIRE(result["_meta"].contains("io.modelcontextprotocol/serverInfo"));
  t.request(3, "tools/call", with_modern({{"name", "find"}}));
  t.answer("svc.find", {{"content", image}, {"_meta", 5}});
  REQUIRE(t.take(3)["result"]["content"] == image);
  t.request(2, "tools/call", with_modern({{"name", "find"}}));
  t.answer("svc.find", {{"contents", image}});
  REQUIRE(t.take(2)["result"]["isError"] == true);
}

TEST_CASE("mcp: a client is told that lists have changed, once it is initialized, and only of those that have") {
  Talk t;
  t.say({{"jsonrpc", "2.0"},
         {"id", 1},
         {"method", "initialize"},
         {"params", {{"protocolVersion", "2025-11-25"}, {"capabilities", json::object()}}}});
  (void)t.take(1);
  const auto changed = [&] {
    t.server.event("host.plugin.ready", {{"name", "x"}});
    t.settle();
    return !t.take_method("notifications/tools/list_changed").is_null();
  };
  REQUIRE(t.topics.front() == json::array({"host.plugin.*", "host.config.reloaded"}));
  t.offers.push_back(tool("early"));
  REQUIRE_FALSE(changed());
  t.say({{"jsonrpc", "2.0"}, {"method", "notifications/initialized"}});
  REQUIRE_FALSE(changed());
  t.offers.push_back(tool("late"));
  REQUIRE(changed());
  REQUIRE(t.sent.empty());
  REQUIRE(t.ask("tools/list")["result"]["tools"].size() == 3);
}

TEST_CASE("mcp: an event during the reading of the catalog has it read again") {
  Talk t;
  t.initialize();
  (void)t.ask("tools/list");
  t.holds_catalog = true;
  t.server.event("host.plugin.ready", json::object());
  t.server.event("host.plugin.stopped", json::object());
  t.server.event("host.plugin.ready", json::object());
  REQUIRE(t.made.size() == 1);
  t.answer("rpc.discover", {{"methods", t.offers}});
  t.offers.push_back(tool("late"));
  t.answer("rpc.discover", {{"methods", t.offers}});
  REQUIRE(t.made.empty());
  REQUIRE(t.take_method("notifications/tools/list_changed")["jsonrpc"] == "2.0");
}
