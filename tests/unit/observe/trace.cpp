// SPDX-License-Identifier: Apache-2.0
//
// A client's traceparent goes with its call, through plugins to those whom they call, and into the helpers that they
// have started.
#include "host/observe/trace.hpp"

#include "tests/unit/processes/launcher_support.hpp"
#include "tests/unit/trust/support.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

const std::string kTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

[[nodiscard]] json traced(json params = json::object()) {
  params["_meta"] = {{"traceparent", kTrace}};
  return params;
}

[[nodiscard]] std::function<void(Config&)> wanting_as(Isolation isolation) {
  return [isolation](Config& c) {
    c.plugins["wanting"].isolation = isolation;
    c.plugins["wanting"].grants = std::vector<std::string>{"call:**"};
  };
}

}  // namespace

TEST_CASE("trace: a client's traceparent is seen by the plugin and by the plugin that it calls in both modes") {
  for (const auto isolation : {Isolation::in_line, Isolation::child}) {
    CAPTURE(isolation);
    WantingDaemon t(3, wanting_as(isolation));
    auto client = t.daemon.connect();
    REQUIRE(client.call("wanting.traced", traced()).value()["traceparent"] == kTrace);
    REQUIRE(client.call("wanting.relays", traced({{"method", "faulty.meta"}})).value()["traceparent"] == kTrace);
    REQUIRE(client.call("wanting.relays", {{"method", "faulty.meta"}}).value()["traceparent"] == "");
  }
}

TEST_CASE("trace: a helper finds the traceparent of the call that had it started in its environment") {
  for (const bool child : {false, true}) {
    INFO((child ? "child" : "inline"));
    KeeperDaemon t(child ? as_child : [](Config&) {});
    auto client = t.connect();
    const json prints{"sh", "-c", "echo \"<$TRACEPARENT>\""};
    REQUIRE(client.call("keeper.spawn", traced({{"name", "traced"}, {"argv", prints}})));
    REQUIRE(t.line("traced") == "<" + kTrace + ">");
    REQUIRE(client.call("keeper.spawn", {{"name", "plain"}, {"argv", prints}}));
    REQUIRE(t.line("plain") == "<>");
  }
}

TEST_CASE("trace: a refusal tells the trace of its call and nothing that only looks like one") {
  WantingDaemon t(3, [](Config& c) { c.plugins["wanting"].grants = std::vector<std::string>{}; });
  const auto audit = t.audit("refused");
  auto client = t.daemon.connect();
  REQUIRE_FALSE(client.call("wanting.relays", traced({{"method", "echo.say"}})));
  REQUIRE(next_event(*audit)["trace"] == kTrace.substr(3, 32));
  REQUIRE(t.daemon.log_text().find("it lacks the grant call:echo.say [trace " + kTrace.substr(3, 32) + "]") !=
          std::string::npos);
  json forged = traced({{"method", "echo.other"}});
  forged["_meta"]["traceparent"] = "00-a line\nof my own";
  REQUIRE_FALSE(client.call("wanting.relays", forged));
  REQUIRE_FALSE(next_event(*audit).contains("trace"));
}

TEST_CASE("trace: a traceparent has the shape that W3C gives it") {
  REQUIRE(trace_id(kTrace) == kTrace.substr(3, 32));
  REQUIRE(trace_id("cc" + kTrace.substr(2) + "-of a later version") == kTrace.substr(3, 32));
  for (const auto& text : {std::string(), kTrace.substr(1), kTrace.substr(0, 54), kTrace + "x", "0" + kTrace,
                           std::string(55, '-'), std::string(55, 'a'), "00-4BF9" + kTrace.substr(7)}) {
    INFO(text);
    REQUIRE(trace_id(text).empty());
  }
}
