// SPDX-License-Identifier: Apache-2.0
//
// The plugin that was written for the first released header, whatever this host has become.
#include "tests/unit/support/host.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

TEST_CASE("abi: a plugin of version 1.0 answers, fails, posts and calls as it always did") {
  TestDaemon t;
  REQUIRE(*t.call("v1.echo", {{"a", 1}}) == json{{"a", 1}});
  const auto failed = t.call("v1.fail").error();
  REQUIRE(failed.kind == ErrorKind::conflict);
  REQUIRE(failed.message == "it was asked to");
  REQUIRE(json::parse(failed.data)["a"] == 1);
  REQUIRE(*t.call("v1.posted") == "later");
  REQUIRE(*t.call("v1.call", {{"through", "the host"}}) == json{{"through", "the host"}});
  REQUIRE(*t.call("v1.descriptor") == "with one");
  REQUIRE(*t.call("v1.who") == json{{"origins", true}, {"unknown extension", nullptr}});
  REQUIRE(t.log_text().find("v1 starts") != std::string::npos);
}

TEST_CASE("abi: its timers run on the host's clock", "[clock]") {
  TestDaemon t;
  const auto later = t.begin("v1.later");
  t.advance_to_next(std::chrono::milliseconds(1));
  REQUIRE(*later.recorder->wait() == "later");
}

TEST_CASE("abi: its streams run both ways, within their credits") {
  TestDaemon t;
  const auto out = t.begin("v1.stream", json::object(), 2);
  out.recorder->wait_for_items(2);
  REQUIRE_FALSE(out.recorder->done());
  out.call->give_credit(10);
  REQUIRE(*out.recorder->wait() == "streamed");
  REQUIRE(out.recorder->items().size() == 5);
  const auto both = t.begin("v1.both", json::object(), 10);
  both.recorder->wait_for_credit(10);
  REQUIRE(both.call->send_item(R"({"i":1})"));
  both.call->send_end();
  REQUIRE(*both.recorder->wait() == "both ended");
  REQUIRE(both.recorder->items() == std::vector<std::string>{R"({"i":1})"});
}

TEST_CASE("abi: it publishes, and is sent what it subscribes to, who has gone, and what is cancelled") {
  TestDaemon t;
  auto heard = t.daemon().bus().subscribe({"v1.*"}, [] {});
  REQUIRE(heard);
  REQUIRE(t.call("v1.publish"));
  std::optional<Delivery> event;
  eventually("its event", [&] { return static_cast<bool>(event = heard->subscription->take()); });
  REQUIRE(event->event.topic == "v1.said");
  REQUIRE(t.daemon().bus().publish("to_v1.a", "{}"));
  eventually("the event", [&] { return (*t.call("v1.seen"))["events"] == 1; });
  t.daemon().services().gone(77);
  eventually("who has gone", [&] { return (*t.call("v1.seen"))["gone"] == 1; });
  auto never = t.begin("v1.never");
  eventually("it waits", [&] { return *t.call("v1.cancelled") == false; });
  never.call->cancel();
  REQUIRE(never.recorder->wait().error().kind == ErrorKind::cancelled);
  eventually("the cancel", [&] { return (*t.call("v1.seen"))["cancels"] == 1; });
  REQUIRE(*t.call("v1.cancelled") == true);
}
