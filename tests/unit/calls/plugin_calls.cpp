// SPDX-License-Identifier: Apache-2.0
//
// Calls that plugins make: to services of other plugins, of the host, of their own; with streams and descriptors.
#include "tests/unit/support/plugin_set.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {
[[nodiscard]] std::size_t open_calls(TestDaemon& t, const std::string& name) {
  for (auto& plugin : *t.call("host.plugins")) {
    if (plugin["name"] == name) return plugin["open_calls"];
  }
  return 0;
}
}  // namespace

TEST_CASE("calls: a plugin calls another, and hears its answer or its error") {
  TestDaemon t;
  REQUIRE(*t.call("lsp_shaped.relay", {{"method", "echo.say"}, {"params", {{"a", 1}}}}) ==
          json{{"relayed", {{"a", 1}}}});
  REQUIRE((*t.call("lsp_shaped.relay", {{"method", "host.status"}}))["relayed"]["ready"] == true);
  const auto failed = t.call("lsp_shaped.relay", {{"method", "faulty.throws"}}).error();
  REQUIRE(failed.kind == ErrorKind::internal);
  REQUIRE(failed.message == "faulty.throws failed: thrown on purpose");
  const auto none = t.call("lsp_shaped.relay", {{"method", "echo.sey"}}).error();
  REQUIRE(none.kind == ErrorKind::method_not_found);
  REQUIRE(none.message.find("echo.say") != std::string::npos);
}

TEST_CASE("calls: a plugin that calls itself is answered when its handler has returned") {
  TestDaemon t;
  REQUIRE(*t.call("lsp_shaped.relay", {{"method", "lsp_shaped.relay"}, {"params", {{"method", "echo.say"}}}}) ==
          json{{"relayed", {{"relayed", json::object()}}}});
}

TEST_CASE("calls: who is called sees the plugin as its caller") {
  TestDaemon t;
  const auto who = *t.call("lsp_shaped.relay", {{"method", "lsp_shaped.caller"}});
  REQUIRE(who["relayed"]["client"] == "plugin lsp_shaped");
  REQUIRE(who["relayed"]["origin"].get<std::uint64_t>() > 0);
}

TEST_CASE("calls: a cancel is passed on to whom the plugin has called") {
  TestDaemon t;
  auto relayed = t.begin("lsp_shaped.relay", {{"method", "faulty.never"}});
  eventually("the call behind it", [&] { return open_calls(t, "faulty") == 1; });
  relayed.call->cancel();
  REQUIRE(relayed.recorder->wait().error().kind == ErrorKind::cancelled);
  eventually("the far one's end", [&] { return open_calls(t, "lsp_shaped") == 0; });
}

TEST_CASE("calls: the deadline that the plugin gives holds for its call", "[clock]") {
  TestDaemon t;
  auto relayed = t.begin("lsp_shaped.relay", {{"method", "faulty.never"}, {"timeout_ms", 50}});
  eventually("the call behind it", [&] { return open_calls(t, "faulty") == 1; });
  t.advance_to_next(std::chrono::milliseconds(50));
  REQUIRE(relayed.recorder->wait().error().kind == ErrorKind::timeout);
}

TEST_CASE("calls: a stream both ways through a plugin keeps order, credits and its answer") {
  TestDaemon t;
  auto tunnel =
      t.begin("lsp_shaped.tunnel", {{"method", "faulty.echo_stream"}, {"params", {{"grant", 2}}}, {"credit", 3}}, 1000);
  for (int i = 0; i < 50; ++i) {
    eventually("credit", [&] { return tunnel.call->send_item(json{{"i", i}}.dump()).has_value(); });
  }
  tunnel.call->send_end();
  REQUIRE((*tunnel.recorder->wait())["tunnelled"]["seen"] == 50);
  const auto items = tunnel.recorder->items();
  REQUIRE(items.size() == 50);
  for (std::size_t i = 0; i < items.size(); ++i) {
    CAPTURE(i);
    REQUIRE(json::parse(items[i])["i"] == i);
  }
  REQUIRE_FALSE(tunnel.recorder->item_after_answer());
}

TEST_CASE("calls: a slow stream waits for its caller, and ends when that has lost interest", "[clock]") {
  TestDaemon t;
  auto slow = t.begin("slow_stream.run", {{"items", 4}, {"every_ms", 10}}, 2);
  slow.recorder->wait_for_items(1);
  for (int i = 0; i < 4; ++i) t.advance_to_next(std::chrono::milliseconds(10));
  REQUIRE(slow.recorder->items().size() == 2);
  REQUIRE_FALSE(slow.recorder->done());
  slow.call->give_credit(10);
  REQUIRE((*slow.recorder->wait())["counted"] == 4);
  REQUIRE(slow.recorder->items().size() == 4);
}

TEST_CASE("calls: descriptors go with a call and with its answer") {
  TestDaemon t;
  REQUIRE(*t.call("lsp_shaped.fetch", {{"text", "through a pipe"}}) == json{"through a pipe"});
  REQUIRE(*t.call("lsp_shaped.hand_out", {{"method", "lsp_shaped.read"}, {"count", 3}}) == json{"0", "1", "2"});
  REQUIRE(t.call("lsp_shaped.hand_out", {{"method", "lsp_shaped.read"}, {"count", 17}}).error().kind ==
          ErrorKind::invalid_params);
}

TEST_CASE("calls: descriptors that nobody takes are closed") {
  TestDaemon t;
  REQUIRE(t.call("lsp_shaped.hand_out", {{"method", "echo.say"}, {"count", 4}}));
  const auto before = *t.call("lsp_shaped.count_descriptors");
  for (int i = 0; i < 5; ++i) {
    REQUIRE(t.call("lsp_shaped.hand_out", {{"method", "echo.say"}, {"count", 4}}));
    REQUIRE(t.call("lsp_shaped.relay", {{"method", "lsp_shaped.pipe"}}));
  }
  // A few are others', who open and close some meanwhile; a leak would leave 20 and more.
  eventually("all are closed", [&] {
    const auto now = *t.call("lsp_shaped.count_descriptors");
    return now["open"].get<int>() <= before["open"].get<int>() + 4;
  });
}

TEST_CASE("calls: a malformed one is refused, and says how") {
  TestDaemon t;
  const auto said = *t.call("lsp_shaped.malformed");
  for (const char* what : {"no own id", "no method", "long method", "no object", "no json", "id in use"}) {
    INFO(what);
    REQUIRE(said[what] == GANTRY_INVALID);
  }
  REQUIRE(said["fine"] == GANTRY_OK);
  REQUIRE(said["cancel"] == GANTRY_OK);
  REQUIRE(said["cancelled twice"] == GANTRY_CLOSED);
  REQUIRE(said["credit for none"] == GANTRY_CLOSED);
}

TEST_CASE("calls: a plugin has so many calls open at most, and all end with it") {
  TestDaemon t([](Config& c) { c.host.max_calls_per_service = 4096; });
  REQUIRE((*t.call("lsp_shaped.many", {{"count", 1100}}))["taken"] == 1024);
  eventually("they arrive", [&] { return open_calls(t, "faulty") == 1024; });
  REQUIRE(t.call("echo.say"));
}

TEST_CASE("calls: an answer over the limit is `too_large`, with the limit, and one at the limit is whole") {
  for (const auto isolation : {Isolation::in_line, Isolation::child}) {
    PluginSet t({"meddler"}, isolation, [](Config& c) { c.host.max_message_bytes = 100'000; });
    const auto whole = t.call("meddler.big", {{"bytes", 100'000 - 2}});  // and its quotes
    REQUIRE(whole);
    REQUIRE(whole->get<std::string>().size() == 100'000 - 2);
    for (const std::size_t bytes : {std::size_t{100'000 - 1}, std::size_t{10'000'000}}) {
      const auto over = t.call("meddler.big", {{"bytes", bytes}});
      REQUIRE_FALSE(over);
      REQUIRE(over.error().kind == ErrorKind::too_large);
      INFO(over.error().message);
      REQUIRE(over.error().message.find("a message may have 100000 (host.max_message_bytes)") != std::string::npos);
      REQUIRE(json::parse(over.error().data)["limit"] == 100'000);
    }
    REQUIRE(t.call("meddler.pid"));
  }
}
