// SPDX-License-Identifier: Apache-2.0
//
// Messages with random mistakes: each is survived, and the next right request is answered.
#include <random>

#include "tests/unit/mcp/support.hpp"

using namespace gantry;
using namespace gantry::host::mcp;
using namespace gantry::host::mcp::test;

namespace {

/// A value of another kind, or none, in one place of the document.
void break_one(json& value, std::mt19937& random) {
  static const std::array<json, 9> kOthers{json(),    json(true),    json(-1),       json(1.5),         json(""),
                                           json("x"), json::array(), json::object(), json{{"_meta", 5}}};
  const auto pick = [&](std::size_t count) { return std::uniform_int_distribution<std::size_t>(0, count - 1)(random); };
  if (!value.is_structured() || value.empty() || pick(4) == 0) {
    value = kOthers[pick(kOthers.size())];
    return;
  }
  auto at = value.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(pick(value.size())));
  if (pick(5) == 0) {
    value.erase(at);
  } else {
    break_one(*at, random);
  }
}

std::vector<json> right_messages() {
  const auto request = [](const char* method, json params) {
    return json{{"jsonrpc", "2.0"}, {"id", 1}, {"method", method}, {"params", std::move(params)}};
  };
  return {
      request("initialize", {{"protocolVersion", "2025-03-26"}, {"capabilities", {{"elicitation", json::object()}}}}),
      request("tools/list", with_modern({{"cursor", "1.x"}})),
      request("tools/call", with_modern({{"name", "ask"}, {"arguments", {{"n", {1, 2}}}}},
                                        {{"elicitation", json::object()}}, {{"progressToken", 3}})),
      request("tools/call", {{"name", "ask"}, {"inputResponses", {{"a", json::object()}}}, {"requestState", "s"}}),
      request("resources/read", with_modern({{"uri", "svc:///log"}})),
      request("prompts/get", with_modern({{"name", "greet"}, {"arguments", {{"who", "x"}}}})),
      request("completion/complete", with_modern({{"ref", {{"type", "ref/prompt"}, {"name", "greet"}}},
                                                  {"argument", {{"name", "who"}, {"value", "A"}}},
                                                  {"context", {{"arguments", json::object()}}}})),
      request(
          "subscriptions/listen",
          with_modern({{"notifications", {{"resourceSubscriptions", {"svc:///log"}}, {"toolsListChanged", true}}}})),
      request("logging/setLevel", {{"level", "info"}}),
      request("resources/subscribe", {{"uri", "svc:///log"}}),
      {{"jsonrpc", "2.0"}, {"method", "notifications/cancelled"}, {"params", {{"requestId", 1}}}},
      {{"jsonrpc", "2.0"}, {"id", "g1"}, {"result", {{"action", "accept"}}}},
      {{"jsonrpc", "2.0"}, {"id", "g1"}, {"error", {{"code", 1}, {"message", "no"}}}},
      json::array({request("ping", json::object()), request("ping", json::object())})};
}

std::vector<json> right_answers() {
  return {{{"content", json::array()}},
          {{"resultType", "input_required"},
           {"inputRequests", {{"a", {{"method", "elicitation/create"}, {"params", {{"message", "m"}}}}}}},
           {"requestState", "s"}},
          {{"contents", json::array()}, {"_meta", {{"x", 1}}}},
          {{"messages", json::array()}},
          {{"values", {"a"}}, {"total", 1}}};
}

}  // namespace

TEST_CASE("mcp: messages and answers with random mistakes are survived, and requests are answered as before") {
  const auto seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const auto pick = [&](const std::vector<json>& from) {
    return from[std::uniform_int_distribution<std::size_t>(0, from.size() - 1)(random)];
  };
  const auto messages = right_messages();
  const auto answers = right_answers();
  for (int round = 0; round < 40; ++round) {
    Talk t(json::array(
        {tool("ask", {{"content", true}, {"logs", true}}),
         offered("svc.log", "x-gantry-resource", {{"name", "log"}, {"uri", "svc:///log"}, {"changes", "svc.changed"}}),
         offered("svc.greet", "x-gantry-prompt", {{"name", "greet"}, {"completes", "svc.complete"}})}));
    for (int i = 0; i < 60; ++i) {
      json message = pick(messages);
      if (random() % 2 == 0) break_one(message, random);
      t.say(message);
      if (!t.made.empty()) {
        const auto key = t.made.front().key;
        t.server.progress(key, "x", 1);
        t.server.item(key, pick(answers).dump());
        json answer = pick(answers);
        if (random() % 2 == 0) break_one(answer, random);
        t.made.erase(t.made.begin());
        t.answer(key, answer);
      }
      t.server.event("svc.changed", pick(answers));
    }
    t.sent.clear();
    t.request("last", "tools/list", with_modern());
    REQUIRE(t.take("last")["result"]["tools"].size() == 1);
  }
}
