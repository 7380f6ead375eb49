// SPDX-License-Identifier: Apache-2.0
//
// Resources and their templates, prompts, completion, and what clients are told of changes.
#include "tests/unit/mcp/support.hpp"

using namespace gantry;
using namespace gantry::host::mcp;
using namespace gantry::host::mcp::test;

namespace {

json resource(const std::string& name, json what) {
  json all{{"name", name}};
  all.update(what);
  return offered("svc." + name, "x-gantry-resource", std::move(all));
}
json prompt(const std::string& name, const std::string& completes = {}) {
  json what{{"name", name}};
  if (!completes.empty()) what["completes"] = completes;
  return offered(
      "svc." + name, "x-gantry-prompt", std::move(what),
      {{"params",
        {{{"name", "who"}, {"required", true}, {"description", "whom to greet"}, {"schema", {{"type", "string"}}}}}}});
}

json all() {
  return json::array(
      {resource("log", {{"uri", "svc:///log"}, {"mimeType", "text/plain"}, {"changes", "svc.log"}}),
       resource("note", {{"uriTemplate", "svc:///notes/{id}"}, {"changes", "svc.note"}, {"completes", "svc.complete"}}),
       resource("still", {{"uri", "svc:///still"}}), prompt("greet", "svc.complete"), prompt("plain"), tool("find")});
}
const json kContents = {{"contents", {{{"uri", "svc:///log"}, {"text", "x"}}}}};

}  // namespace

TEST_CASE("mcp: a template takes the URIs that it fits, and gives the variables decoded") {
  const auto values = [](const char* pattern, const char* uri) {
    return match_template(pattern, uri).value_or(json());
  };
  REQUIRE(values("a:///{x}", "a:///1") == json{{"x", "1"}});
  REQUIRE(values("a:///{x}/b/{y}", "a:///1/b/2%20%2F") == json{{"x", "1"}, {"y", "2 /"}});
  REQUIRE(values("a:{x}.txt", "a:n.txt") == json{{"x", "n"}});
  REQUIRE(values("a:///x", "a:///x") == json::object());
  REQUIRE(values("a:{x}.txt", "a:n.txt.txt") == json{{"x", "n.txt"}});
  REQUIRE(values("a:///{+x}", "a:///b/c%20d.cpp") == json{{"x", "b/c d.cpp"}});
  REQUIRE(values("a:///{+x}?y", "a:///b/c?y") == json{{"x", "b/c"}});
  REQUIRE_FALSE(match_template("a:///{+x}", "a:///b?c"));
  for (const char* uri :
       {"a:///", "a:///1/2", "b:///1", "a:///1?q", "a:///1#f", "a:///%", "a:///%zz", "a:///%ff", ""}) {
    CAPTURE(uri);
    REQUIRE_FALSE(match_template("a:///{x}", uri));
  }
  REQUIRE_FALSE(match_template("a:{x}.txt", "a:.txt"));
  REQUIRE_FALSE(match_template("a:{x}.txt", "a:n.txt.more"));
}

TEST_CASE("mcp: resources and templates are listed apart, each with what is known of it") {
  Talk t(all());
  const json resources = t.ask("resources/list", with_modern())["result"];
  REQUIRE(resources["resources"].size() == 2);
  REQUIRE(
      resources["resources"][0] ==
      json{{"uri", "svc:///log"}, {"name", "log"}, {"mimeType", "text/plain"}, {"description", "Summary of svc.log"}});
  REQUIRE(resources["ttlMs"].is_number_integer());
  const json templates = t.ask("resources/templates/list", with_modern())["result"]["resourceTemplates"];
  REQUIRE(templates.size() == 1);
  REQUIRE(templates[0]["uriTemplate"] == "svc:///notes/{id}");
}

TEST_CASE("mcp: a resource is read by its method, which gets the URI and the template's variables") {
  Talk t(all());
  t.request(1, "resources/read", with_modern({{"uri", "svc:///notes/a%20b"}}));
  json params = t.call_of("svc.note").params;
  params.erase("_meta");
  REQUIRE(params == json{{"uri", "svc:///notes/a%20b"}, {"id", "a b"}});
  t.answer("svc.note", kContents);
  const json result = t.take(1)["result"];
  REQUIRE(result["contents"] == kContents["contents"]);
  REQUIRE(result["ttlMs"] == 0);
  REQUIRE(result["cacheScope"] == "private");
  t.request(2, "resources/read", with_modern({{"uri", "svc:///log"}}));
  t.answer("svc.log", {{"text", "no contents"}});
  REQUIRE(t.take(2)["error"]["code"] == -32603);
}

TEST_CASE("mcp: a resource that there is not has the code of its era, whether the host or the method says so") {
  Talk t(all());
  t.initialize();
  const auto legacy = t.ask("resources/read", {{"uri", "svc:///none"}})["error"];
  REQUIRE(legacy["code"] == -32002);
  REQUIRE(legacy["data"]["uri"] == "svc:///none");
  REQUIRE(t.ask("resources/read", with_modern({{"uri", "svc:///none"}}))["error"]["code"] == -32602);
  t.request(1, "resources/read", {{"uri", "svc:///notes/7"}});
  t.fail_call("svc.note", ErrorKind::not_found, "note 7 does not exist");
  REQUIRE(t.take(1)["error"]["code"] == -32002);
  t.request(2, "resources/read", with_modern({{"uri", "svc:///notes/7"}}));
  t.fail_call("svc.note", ErrorKind::not_found, "note 7 does not exist");
  REQUIRE(t.take(2)["error"]["code"] == -32602);
  t.request(3, "resources/read", {{"uri", "svc:///notes/7"}});
  t.fail_call("svc.note", ErrorKind::timeout, "too slow");
  REQUIRE(t.take(3)["error"]["data"]["kind"] == "timeout");
  REQUIRE(t.ask("resources/read", with_modern({{"uri", 7}}))["error"]["code"] == -32602);
}

TEST_CASE("mcp: a prompt is listed with its arguments, and its method writes the messages") {
  Talk t(all());
  t.initialize();
  const json prompts = t.ask("prompts/list")["result"]["prompts"];
  REQUIRE(prompts.size() == 2);
  REQUIRE(prompts[0]["name"] == "greet");
  REQUIRE(prompts[0]["arguments"] ==
          json::array({{{"name", "who"}, {"required", true}, {"description", "whom to greet"}}}));
  t.request(1, "prompts/get", {{"name", "greet"}, {"arguments", {{"who", "Ada"}}}});
  REQUIRE(t.call_of("svc.greet").params["who"] == "Ada");
  const json messages = json::array({{{"role", "user"}, {"content", {{"type", "text"}, {"text", "Hello"}}}}});
  t.answer("svc.greet", {{"messages", messages}});
  REQUIRE(t.take(1)["result"] == json{{"messages", messages}});
  t.request(2, "prompts/get", {{"name", "greet"}});
  t.fail_call("svc.greet", ErrorKind::invalid_params, "who is missing");
  REQUIRE(t.take(2)["error"]["code"] == -32602);
  REQUIRE(t.ask("prompts/get", {{"name", "none"}})["error"]["code"] == -32602);
}

TEST_CASE("mcp: arguments of prompts and variables of templates are completed by the method that says so") {
  Talk t(all());
  t.initialize();
  const auto ref = [](const char* type, const char* key, const char* value) {
    return json{{"ref", {{"type", type}, {key, value}}},
                {"argument", {{"name", "who"}, {"value", "A"}}},
                {"context", {{"arguments", {{"where", "here"}}}}}};
  };
  t.request(1, "completion/complete", ref("ref/prompt", "name", "greet"));
  REQUIRE(t.call_of("svc.complete").params ==
          json{{"argument", "who"}, {"value", "A"}, {"others", {{"where", "here"}}}});
  t.answer("svc.complete", {{"values", {"Ada", "Alan"}}, {"total", 2}});
  REQUIRE(t.take(1)["result"]["completion"] == json{{"values", {"Ada", "Alan"}}, {"total", 2}});
  t.request(2, "completion/complete", ref("ref/resource", "uri", "svc:///notes/{id}"));
  t.answer("svc.complete", {{"values", std::vector<std::string>(150, "x")}});
  const json many = t.take(2)["result"]["completion"];
  REQUIRE(many["values"].size() == Methods::kMaxCompletions);
  REQUIRE(many["hasMore"] == true);
  REQUIRE(t.ask("completion/complete", ref("ref/prompt", "name", "plain"))["result"]["completion"]["values"] ==
          json::array());
  REQUIRE(t.ask("completion/complete", ref("ref/prompt", "name", "none"))["error"]["code"] == -32602);
  REQUIRE(t.ask("completion/complete", ref("ref/tool", "name", "find"))["error"]["code"] == -32602);
  t.request(3, "completion/complete", ref("ref/prompt", "name", "greet"));
  t.say_cancelled(3);
  REQUIRE(t.cancelled.size() == 1);
  REQUIRE(t.sent.empty());
}

TEST_CASE("mcp: resources/subscribe tells of its resource alone, until resources/unsubscribe") {
  Talk t(all());
  t.initialize();
  REQUIRE(t.ask("resources/subscribe", {{"uri", "svc:///none"}})["error"]["code"] == -32002);
  REQUIRE(t.ask("resources/subscribe", {{"uri", "svc:///log"}})["result"] == json::object());
  REQUIRE(t.topics.back() == json::array({"svc.log"}));
  const auto told = [&](const char* topic, const char* uri) {
    t.server.event(topic, {{"uri", uri}});
    const json message = t.take_method("notifications/resources/updated");
    return message.is_null() ? std::string() : message["params"]["uri"].get<std::string>();
  };
  REQUIRE(told("svc.log", "svc:///log") == "svc:///log");
  REQUIRE(told("svc.note", "svc:///notes/1").empty());
  REQUIRE(told("svc.other", "svc:///log").empty());  // not the topic of that resource
  REQUIRE(t.ask("resources/unsubscribe", {{"uri", "svc:///log"}})["result"] == json::object());
  REQUIRE(told("svc.log", "svc:///log").empty());
}

TEST_CASE("mcp: one resource more than the bound is not subscribed to, and the topic of all is followed once") {
  Talk t(all());
  t.initialize();
  t.holds_events = true;
  const auto uri = [](std::size_t i) { return json{{"uri", "svc:///notes/" + std::to_string(i)}}; };
  for (std::size_t i = 0; i < Subscriptions::kMaxUris - 1; ++i) t.request(i, "resources/subscribe", uri(i));
  t.holds_events = false;
  t.settle();
  REQUIRE(t.sent.size() == Subscriptions::kMaxUris - 1);
  REQUIRE(t.topics == std::vector{json{"host.plugin.*", "host.config.reloaded"}, json{"svc.note"}});
  REQUIRE(t.ask("resources/subscribe", uri(1000))["result"] == json::object());
  REQUIRE(t.ask("resources/subscribe", uri(1001))["error"]["data"]["kind"] == "overloaded");
  REQUIRE(t.ask("resources/subscribe", uri(1000))["result"] == json::object());
  (void)t.ask("resources/unsubscribe", uri(3));
  REQUIRE(t.ask("resources/subscribe", uri(1001))["result"] == json::object());
}

TEST_CASE("mcp: subscriptions/listen is acknowledged first, tagged, and tells what it was asked for alone") {
  Talk t(all());
  t.holds_events = true;
  t.request("sub", "subscriptions/listen",
            with_modern({{"notifications",
                          {{"toolsListChanged", true},
                           {"resourceSubscriptions", {"svc:///log", "svc:///still", "svc:///none"}}}}}));
  t.server.event("svc.log", {{"uri", "svc:///log"}});
  REQUIRE(t.sent.empty());  // nothing before the host has subscribed
  t.holds_events = false;
  t.settle();
  const json ack = t.take_method("notifications/subscriptions/acknowledged");
  REQUIRE(ack["params"] ==
          json{{"_meta", {{"io.modelcontextprotocol/subscriptionId", "sub"}}},
               {"notifications", {{"toolsListChanged", true}, {"resourceSubscriptions", {"svc:///log"}}}}});
  REQUIRE(t.belongs.back() == "\"sub\"");
  t.server.event("svc.log", {{"uri", "svc:///log"}});
  REQUIRE(t.take_method("notifications/resources/updated")["params"] ==
          json{{"_meta", {{"io.modelcontextprotocol/subscriptionId", "sub"}}}, {"uri", "svc:///log"}});
  t.offers.push_back(tool("late"));
  t.offers.push_back(prompt("late"));
  t.server.event("host.config.reloaded", json::object());
  t.settle();
  REQUIRE(
      t.take_method("notifications/tools/list_changed")["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] ==
      "sub");
  REQUIRE(t.sent.empty());
  REQUIRE_FALSE(t.server.busy());
}

TEST_CASE("mcp: a subscription ends with its cancellation without a word, or by the server with a result") {
  Talk t(all());
  const json filter = with_modern({{"notifications", {{"promptsListChanged", true}}}});
  t.request(1, "subscriptions/listen", filter);
  t.request(2, "subscriptions/listen", filter);
  t.sent.clear();
  t.say_cancelled(1);
  t.offers.push_back(prompt("late"));
  t.server.event("host.plugin.ready", json::object());
  t.settle();
  REQUIRE(t.sent.size() == 1);
  REQUIRE(t.take_method(
              "notifications/prompts/list_changed")["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == 2);
  t.server.end();
  REQUIRE(t.sent.size() == 1);
  const json result = t.take(2)["result"];
  REQUIRE(result["resultType"] == "complete");
  REQUIRE(result["_meta"]["io.modelcontextprotocol/subscriptionId"] == 2);
}

TEST_CASE("mcp: a subscription that is cancelled before the host has subscribed is forgotten") {
  Talk t(all());
  t.holds_events = true;
  const auto listen = [&](const json& id, const char* uri) {
    t.request(id, "subscriptions/listen", with_modern({{"notifications", {{"resourceSubscriptions", {uri}}}}}));
  };
  (void)t.ask("tools/list", with_modern());
  listen(1, "svc:///log");
  listen(2, "svc:///notes/1");
  t.say_cancelled(1);
  t.say_cancelled(2);
  t.holds_events = false;
  t.settle();
  REQUIRE(t.sent.empty());
  REQUIRE(t.topics.back() == json::array({"svc.log"}));
  REQUIRE(t.server.busy() == false);
}

TEST_CASE("mcp: a wrong filter is refused, and so is one subscription more than the bound") {
  Talk t(all());
  REQUIRE(t.ask("subscriptions/listen", with_modern())["error"]["code"] == -32602);
  REQUIRE(t.ask("subscriptions/listen",
                with_modern({{"notifications", {{"resourceSubscriptions", "x"}}}}))["error"]["code"] == -32602);
  const json filter = with_modern({{"notifications", {{"toolsListChanged", true}}}});
  for (std::size_t i = 0; i < Subscriptions::kMaxListens; ++i) t.request(i, "subscriptions/listen", filter);
  REQUIRE(t.ask("subscriptions/listen", filter)["error"]["data"]["kind"] == "overloaded");
}
