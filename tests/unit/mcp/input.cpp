// SPDX-License-Identifier: Apache-2.0
//
// Methods that ask the client: by the result in 2026-07-28, by requests before.
#include "host/protocols/mcp/request_state.hpp"
#include "tests/unit/mcp/support.hpp"
#include "tests/unit/support/host.hpp"

using namespace gantry;
using namespace gantry::host::mcp;
using namespace gantry::host::mcp::test;

namespace {

const json kForm{{"method", "elicitation/create"}, {"params", {{"message", "Your name?"}}}};
const json kSample{{"method", "sampling/createMessage"}, {"params", {{"maxTokens", 5}}}};
const json kCapable{{"elicitation", json::object()}, {"sampling", json::object()}};

json asking(json questions, const std::string& state = {}) {
  json out{{"resultType", "input_required"}, {"inputRequests", std::move(questions)}};
  if (!state.empty()) out["requestState"] = state;
  return out;
}
json said(const std::string& text) { return {{"content", {{{"type", "text"}, {"text", text}}}}}; }
json content_tool() { return json::array({tool("ask", {{"content", true}})}); }

}  // namespace

TEST_CASE("mcp: a modern client gets the questions as its result, and its next request carries the answers") {
  Talk t(content_tool());
  t.request(1, "tools/call", with_modern({{"name", "ask"}, {"arguments", {{"n", 1}}}}, kCapable));
  REQUIRE(t.call_of("svc.ask").params["_meta"]["agent"] == json{{"capabilities", kCapable}});
  t.answer("svc.ask", asking({{"name", kForm}, {"greeting", kSample}}));
  const json result = t.take(1)["result"];
  REQUIRE(result["resultType"] == "input_required");
  REQUIRE(result["inputRequests"] == json{{"name", kForm}, {"greeting", kSample}});
  REQUIRE_FALSE(result.contains("requestState"));
  REQUIRE_FALSE(result.contains("ttlMs"));
  const json responses{{"name", {{"action", "accept"}, {"content", {{"name", "Ada"}}}}}};
  t.request(2, "tools/call",
            with_modern({{"name", "ask"}, {"arguments", {{"n", 1}}}, {"inputResponses", responses}}, kCapable));
  REQUIRE(t.call_of("svc.ask").params["_meta"]["agent"]["responses"] == responses);
  REQUIRE(t.call_of("svc.ask").params["n"] == 1);
  t.answer("svc.ask", said("Hello"));
  REQUIRE(t.take(2)["result"]["resultType"] == "complete");
  REQUIRE(t.ask("tools/call", with_modern({{"name", "ask"}, {"inputResponses", 5}}))["error"]["code"] == -32602);
}

TEST_CASE("mcp: a method's state comes back unchanged, for the same request alone, and for ten minutes") {
  Talk t(content_tool());
  const auto call = [&](json more) {
    json params{{"name", "ask"}, {"arguments", {{"n", 1}}}};
    params.update(more);
    const int id = ++t.last_id;
    t.request(id, "tools/call", with_modern(params, kCapable));
    return id;
  };
  const int first = call(json::object());
  t.answer("svc.ask", asking({{"name", kForm}}, "step \"1\"."));
  const std::string state = t.take(first)["result"]["requestState"];
  REQUIRE(state != "step \"1\".");
  (void)call({{"requestState", state}});
  REQUIRE(t.call_of("svc.ask").params["_meta"]["agent"]["state"] == "step \"1\".");
  t.answer("svc.ask", said("ok"));
  const auto refused = [&](const json& more) {
    const json response = t.take(call(more));
    return response.contains("error") && response["error"]["code"] == -32602;
  };
  std::string changed = state;
  changed.back() = changed.back() == '.' ? '!' : '.';
  REQUIRE(refused({{"requestState", changed}}));
  changed = state;
  changed.front() = changed.front() == '0' ? '1' : '0';
  REQUIRE(refused({{"requestState", changed}}));
  REQUIRE(refused({{"requestState", "step \"1\"."}}));
  REQUIRE(refused({{"requestState", ""}}));
  REQUIRE(refused({{"requestState", 7}}));
  REQUIRE(refused({{"requestState", state}, {"arguments", {{"n", 2}}}}));
  t.now += Seal::kLifetime - std::chrono::seconds(1);
  REQUIRE_FALSE(refused({{"requestState", state}}));
  t.answer("svc.ask", said("ok"));
  t.now += std::chrono::seconds(1);
  REQUIRE(refused({{"requestState", state}}));
  REQUIRE(t.made.empty());
}

TEST_CASE("mcp: processes with one state folder share the key, which nobody else can read") {
  gantry::host::test::TempDir folder;
  const auto key = shared_key(folder.path());
  REQUIRE(key);
  REQUIRE(key->size() == 64);
  REQUIRE(shared_key(folder.path()) == key);
  REQUIRE(std::filesystem::status(folder.path() / "mcp.key").permissions() ==
          (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
  const auto clock = [] { return std::chrono::system_clock::time_point(); };
  const Seal here(*key, clock);
  REQUIRE(Seal(*key, clock).opened(here.sealed("state", "request"), "request") == "state");
  REQUIRE_FALSE(Seal(random_key(), clock).opened(here.sealed("state", "request"), "request"));
}

TEST_CASE("mcp: a key that others can read, or that is none, is not taken") {
  gantry::host::test::TempDir folder;
  const auto file = folder.path() / "mcp.key";
  REQUIRE(shared_key(folder.path()));
  std::filesystem::permissions(file, std::filesystem::perms::group_read, std::filesystem::perm_options::add);
  REQUIRE_FALSE(shared_key(folder.path()));
  std::filesystem::remove(file);
  std::ofstream(file) << "short";
  std::filesystem::permissions(file, std::filesystem::perms::owner_all);
  REQUIRE_FALSE(shared_key(folder.path()));
  REQUIRE_FALSE(shared_key(folder.path() / "missing"));
}

TEST_CASE("mcp: a client is not asked for what it has not declared") {
  Talk t(content_tool());
  t.request(1, "tools/call", with_modern({{"name", "ask"}}, {{"elicitation", json::object()}}));
  t.answer("svc.ask", asking({{"name", kForm}, {"greeting", kSample}}));
  const json error = t.take(1)["error"];
  REQUIRE(error["code"] == -32021);
  REQUIRE(error["data"]["requiredCapabilities"] == json{{"sampling", json::object()}});
  t.initialize();
  t.request(2, "tools/call", {{"name", "ask"}});
  t.answer("svc.ask", asking({{"name", kForm}}));
  const json result = t.take(2)["result"];
  REQUIRE(result["isError"] == true);
  REQUIRE(result["_meta"]["io.gantry/error"]["kind"] == "unavailable");
  REQUIRE(t.sent.empty());
}

TEST_CASE("mcp: which capability a question needs depends on its kind") {
  const auto missing = [](const json& question, const json& capabilities) {
    const auto out = lacking(question, capabilities);
    REQUIRE(out);
    return out->value_or(json());
  };
  const json url{{"method", "elicitation/create"}, {"params", {{"mode", "url"}}}};
  const json with_tools{{"method", "sampling/createMessage"}, {"params", {{"tools", json::array()}}}};
  const json roots{{"method", "roots/list"}};
  REQUIRE(missing(kForm, kCapable).is_null());
  REQUIRE(missing(kForm, {{"elicitation", {{"form", json::object()}}}}).is_null());
  REQUIRE(missing(kForm, {{"elicitation", {{"url", json::object()}}}}) ==
          json{{"elicitation", {{"form", json::object()}}}});
  REQUIRE(missing(url, kCapable) == json{{"elicitation", {{"url", json::object()}}}});
  REQUIRE(missing(url, {{"elicitation", {{"url", json::object()}}}}).is_null());
  REQUIRE(missing(with_tools, kCapable) == json{{"sampling", {{"tools", json::object()}}}});
  REQUIRE(missing(roots, kCapable) == json{{"roots", json::object()}});
  REQUIRE(missing(roots, {{"roots", json::object()}}).is_null());
  for (const json& wrong : {json(1), json::object(), json{{"method", "tools/call"}}, json{{"method", 5}},
                            json{{"method", "roots/list"}, {"params", 5}}})
    REQUIRE_FALSE(lacking(wrong, kCapable));
}

TEST_CASE("mcp: a legacy client is asked by requests, and the method is called again with the answers") {
  Talk t(content_tool());
  t.initialize("2025-11-25", kCapable);
  t.request(1, "tools/call", {{"name", "ask"}, {"arguments", {{"n", 1}}}});
  t.answer("svc.ask", asking({{"name", kForm}, {"greeting", kSample}}, "begun"));
  const json elicitation = t.take_method("elicitation/create");
  const json sampling = t.take_method("sampling/createMessage");
  REQUIRE(elicitation["params"] == kForm["params"]);
  REQUIRE(elicitation["id"] != sampling["id"]);
  REQUIRE(t.belongs.back() == "1");
  t.say({{"jsonrpc", "2.0"}, {"id", elicitation["id"]}, {"result", {{"action", "decline"}}}});
  REQUIRE(t.made.empty());
  t.say({{"jsonrpc", "2.0"}, {"id", sampling["id"]}, {"result", {{"role", "assistant"}}}});
  t.say({{"jsonrpc", "2.0"}, {"id", sampling["id"]}, {"result", {{"role", "again"}}}});
  const json agent = t.call_of("svc.ask").params["_meta"]["agent"];
  REQUIRE(agent["responses"] == json{{"name", {{"action", "decline"}}}, {"greeting", {{"role", "assistant"}}}});
  REQUIRE(agent["state"] == "begun");
  REQUIRE(t.call_of("svc.ask").params["n"] == 1);
  t.answer("svc.ask", said("done"));
  REQUIRE(t.take(1)["result"]["content"][0]["text"] == "done");
}

TEST_CASE("mcp: a client's error ends the call, and its other questions are withdrawn") {
  Talk t(content_tool());
  t.initialize("2025-11-25", kCapable);
  t.request(1, "tools/call", {{"name", "ask"}});
  t.answer("svc.ask", asking({{"a", kForm}, {"b", kForm}}));
  const json first = t.take_method("elicitation/create");
  const json second = t.take_method("elicitation/create");
  t.say({{"jsonrpc", "2.0"}, {"id", first["id"]}, {"error", {{"code", -1}, {"message", "no screen"}}}});
  REQUIRE(t.take_method("notifications/cancelled")["params"]["requestId"] == second["id"]);
  const json result = t.take(1)["result"];
  REQUIRE(result["isError"] == true);
  REQUIRE(result["content"][0]["text"] == "upstream_failed: the client could not answer: no screen");
  t.say({{"jsonrpc", "2.0"}, {"id", second["id"]}, {"result", {{"action", "accept"}}}});
  REQUIRE(t.made.empty());
}

TEST_CASE("mcp: a cancelled request withdraws its questions") {
  Talk t(content_tool());
  t.initialize("2025-11-25", kCapable);
  t.request(1, "tools/call", {{"name", "ask"}});
  t.answer("svc.ask", asking({{"a", kForm}}));
  const json question = t.take_method("elicitation/create");
  t.say_cancelled(1);
  REQUIRE(t.take_method("notifications/cancelled")["params"]["requestId"] == question["id"]);
  t.say({{"jsonrpc", "2.0"}, {"id", question["id"]}, {"result", {{"action", "accept"}}}});
  REQUIRE(t.made.empty());
  REQUIRE(t.sent.empty());
}

TEST_CASE("mcp: a method that asks without end, for too much or for nonsense fails") {
  Talk t(content_tool());
  t.initialize("2025-11-25", kCapable);
  t.request(1, "tools/call", {{"name", "ask"}});
  for (int round = 0; round < Invocations::kMaxRounds; ++round) {
    t.answer("svc.ask", asking({{"a", kForm}}));
    t.say({{"jsonrpc", "2.0"}, {"id", t.take_method("elicitation/create")["id"]}, {"result", json::object()}});
  }
  t.answer("svc.ask", asking({{"a", kForm}}));
  REQUIRE(t.take(1)["result"]["isError"] == true);
  json many = json::object();
  for (std::size_t i = 0; i <= Invocations::kMaxQuestions; ++i) many["q" + std::to_string(i)] = kForm;
  for (const json& wrong : {json(many), json(7), json{{"a", {{"method", "tools/call"}}}}}) {
    t.request(2, "tools/call", {{"name", "ask"}});
    t.answer("svc.ask", asking(wrong));
    REQUIRE(t.take(2)["result"]["_meta"]["io.gantry/error"]["kind"] == "internal");
  }
  t.request(3, "tools/call", with_modern({{"name", "ask"}}));
  t.answer("svc.ask", {{"resultType", "input_required"}});
  REQUIRE(t.take(3)["result"]["isError"] == true);
  REQUIRE(t.sent.empty());
}

TEST_CASE("mcp: prompts and resources ask like tools") {
  Talk t(json::array({offered("svc.greet", "x-gantry-prompt", {{"name", "greet"}}),
                      offered("svc.log", "x-gantry-resource", {{"name", "log"}, {"uri", "svc:///log"}})}));
  t.request(1, "prompts/get", with_modern({{"name", "greet"}}, kCapable));
  t.answer("svc.greet", asking({{"name", kForm}}, "s"));
  REQUIRE(t.take(1)["result"]["resultType"] == "input_required");
  t.request(2, "resources/read", with_modern({{"uri", "svc:///log"}}, kCapable));
  t.answer("svc.log", asking({{"name", kForm}}, "s"));
  const json result = t.take(2)["result"];
  REQUIRE(result["resultType"] == "input_required");
  // A state of one request is not of another.
  t.request(3, "prompts/get", with_modern({{"name", "greet"}, {"requestState", result["requestState"]}}, kCapable));
  REQUIRE(t.take(3)["error"]["code"] == -32602);
}
