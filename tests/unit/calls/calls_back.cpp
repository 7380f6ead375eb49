// SPDX-License-Identifier: Apache-2.0
//
// Calls that plugins make back to the client that has called them.
#include "tests/unit/support/rpc_client.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {
/// A client that has said whether it answers, and has called lsp_shaped.ask.
struct Asked : Raw {
  Asked(TestDaemon& t, const json& ask, bool answers = true) : Raw(t.socket()) {
    line(request(1, "host.hello", {{"client", "asked"}, {"answers", answers}}));
    REQUIRE(answer().contains("result"));
    line(request(2, "lsp_shaped.ask", ask));
  }
  /// The host's question.
  json question() {
    auto message = receive();
    REQUIRE(message["method"] == "window/ask");
    return message;
  }
};
const json kAsk{{"method", "window/ask"}, {"params", {{"q", "go on?"}}}};
}  // namespace

TEST_CASE("calls back: a plugin asks the client that called, and has its answer") {
  TestDaemon t;
  Asked client(t, kAsk);
  const auto question = client.question();
  REQUIRE(question["params"] == json{{"q", "go on?"}});
  client.line({{"jsonrpc", "2.0"}, {"id", question["id"]}, {"result", "yes"}});
  REQUIRE(client.answer()["result"] == json{{"relayed", "yes"}});
}

TEST_CASE("calls back: a client's error is the plugin's, with its kind where there is one") {
  TestDaemon t;
  Asked client(t, kAsk);
  auto question = client.question();
  client.line({{"jsonrpc", "2.0"}, {"id", question["id"]}, {"error", {{"code", -32601}, {"message", "no such"}}}});
  REQUIRE(client.answer()["error"]["data"]["kind"] == "method_not_found");
  client.line(request(3, "lsp_shaped.ask", kAsk));
  question = client.question();
  client.line({{"jsonrpc", "2.0"}, {"id", question["id"]}, {"error", {{"code", 7}, {"message", "my own"}}}});
  const auto error = client.answer()["error"];
  REQUIRE(error["data"]["kind"] == "upstream_failed");
  REQUIRE(error["message"] == "my own");
}

TEST_CASE("calls back: a client that has not said that it answers is not asked") {
  TestDaemon t;
  Asked client(t, kAsk, false);
  const auto error = client.answer()["error"];
  REQUIRE(error["data"]["kind"] == "method_not_found");
  REQUIRE(error["message"].get<std::string>().find("host.hello") != std::string::npos);
}

TEST_CASE("calls back: a client that leaves answers `unavailable`") {
  TestDaemon t;
  {
    Asked client(t, kAsk);
    (void)client.question();
  }
  eventually("its end", [&] {
    for (auto& plugin : *t.call("host.plugins")) {
      if (plugin["name"] == "lsp_shaped") return plugin["open_calls"] == 0;
    }
    return false;
  });
}

TEST_CASE("calls back: a question that nobody waits for any more is taken back") {
  TestDaemon t;
  Asked client(t, kAsk);
  const auto question = client.question();
  client.line({{"jsonrpc", "2.0"}, {"method", "$/cancelRequest"}, {"params", {{"id", 2}}}});
  bool taken_back = false;
  bool answered = false;
  while (!taken_back || !answered) {
    const auto message = client.receive();
    REQUIRE_FALSE(message.is_null());
    if (message.value("method", "") == "$/cancelRequest") {
      REQUIRE(message["params"]["id"] == question["id"]);
      taken_back = true;
    } else {
      REQUIRE(message["error"]["data"]["kind"] == "cancelled");
      answered = true;
    }
  }
  // An answer that comes late finds nobody.
  client.line({{"jsonrpc", "2.0"}, {"id", question["id"]}, {"result", "late"}});
  client.line(request(4, "echo.say"));
  REQUIRE(client.answer()["id"] == 4);
}

TEST_CASE("calls back: a question has the deadline of the call that led to it", "[clock]") {
  TestDaemon t;
  Asked client(t, {{"method", "window/ask"}, {"timeout_ms", 50}});
  (void)client.question();
  t.advance_to_next(std::chrono::milliseconds(50));
  REQUIRE(client.receive()["method"] == "$/cancelRequest");
  REQUIRE(client.answer()["error"]["data"]["kind"] == "timeout");
}

TEST_CASE("calls back: so many questions are open at most") {
  TestDaemon t([](Config& c) { c.host.max_calls_per_service = 200; });
  Asked client(t, kAsk);
  (void)client.question();
  for (int i = 0; i < 64; ++i) client.line(request(10 + i, "lsp_shaped.ask", kAsk));
  json last;
  int questions = 1;
  while (last.is_null()) {
    auto message = client.receive();
    if (message.value("method", "") == "window/ask") {
      ++questions;
    } else {
      last = std::move(message);
    }
  }
  REQUIRE(questions == 64);
  REQUIRE(last["error"]["data"]["kind"] == "overloaded");
}

TEST_CASE("calls back: who was called by a plugin cannot ask back") {
  TestDaemon t;
  const auto error = t.call("lsp_shaped.relay", {{"method", "lsp_shaped.ask"}, {"params", kAsk}}).error();
  REQUIRE(error.kind == ErrorKind::method_not_found);
}
