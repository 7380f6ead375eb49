// SPDX-License-Identifier: Apache-2.0
//
// What a plugin may call, publish and hear is what its manifest asks for and the configuration grants.
#include "tests/unit/support/rpc_client.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

[[nodiscard]] json entry_of(TestDaemon& t, const std::string& name) {
  for (auto& plugin : *t.call("host.plugins")) {
    if (plugin["name"] == name) return plugin;
  }
  return nullptr;
}

[[nodiscard]] std::function<void(Config&)> granting(const std::string& plugin, const std::vector<std::string>& grants) {
  return [=](Config& c) { c.plugins[plugin].grants = grants; };
}

const json kRelay{{"method", "echo.say"}};

}  // namespace

TEST_CASE("grants: a plugin calls what it is granted and what is its own, the rest is `permission_denied` by name") {
  TestDaemon t(granting("lsp_shaped", {"call:echo.*"}));
  REQUIRE(t.call("lsp_shaped.relay", kRelay));
  REQUIRE(t.call("lsp_shaped.relay", {{"method", "lsp_shaped.caller"}}));
  const auto refused = t.call("lsp_shaped.relay", {{"method", "host.status"}}).error();
  REQUIRE(refused.kind == ErrorKind::permission_denied);
  REQUIRE(refused.message ==
          "plugin lsp_shaped lacks the grant call:host.status; add it to grants in [plugins.lsp_shaped], which is in "
          "force from the host's next start on");
  REQUIRE(json::parse(refused.data)["grant"] == "call:host.status");
}

TEST_CASE("grants: what came with the host has what it asks for unless the configuration says otherwise") {
  TestDaemon asks;
  REQUIRE(asks.call("lsp_shaped.relay", kRelay));
  TestDaemon none(granting("lsp_shaped", {}));
  REQUIRE(none.call("lsp_shaped.relay", kRelay).error().kind == ErrorKind::permission_denied);
}

TEST_CASE("grants: calling back to a client takes the grant `client`") {
  TestDaemon t(granting("lsp_shaped", {"call:**"}));
  Raw client(t.socket());
  client.line(request(1, "host.hello", {{"client", "asked"}, {"answers", true}}));
  REQUIRE(client.answer().contains("result"));
  client.line(request(2, "lsp_shaped.ask", {{"method", "window/ask"}}));
  const auto error = client.answer()["error"];
  REQUIRE(error["data"]["kind"] == "permission_denied");
  REQUIRE(error["data"]["grant"] == "client");
}

TEST_CASE("grants: topics of others are heard and published on only with a grant") {
  TestDaemon granted;
  REQUIRE(granted.call("v1.seen"));
  REQUIRE(granted.daemon().bus().publish("to_v1.a", "{}"));
  eventually("the event", [&] { return (*granted.call("v1.seen"))["events"] == 1; });
  TestDaemon refused(granting("v1", {}));
  REQUIRE(refused.call("v1.seen"));
  REQUIRE(refused.daemon().bus().publish("to_v1.a", "{}"));
  REQUIRE((*refused.call("v1.seen"))["events"] == 0);
  REQUIRE(
      refused.log_text().find("plugin v1 was refused its manifest's topics: it lacks the grant subscribe:to_v1.*") !=
      std::string::npos);
  // Its own need none.
  auto heard = refused.daemon().bus().subscribe({"v1.*"}, [] {});
  REQUIRE(refused.call("v1.publish"));
  eventually("its own event", [&] { return heard->subscription->take().has_value(); });
}

TEST_CASE("grants: each refusal is counted, the first of a kind is logged and published on host.audit.refused") {
  TestDaemon t(granting("lsp_shaped", {}));
  auto audit = t.daemon().bus().subscribe({"host.audit.**"}, [] {});
  REQUIRE(audit);
  for (int i = 0; i < 3; ++i) REQUIRE_FALSE(t.call("lsp_shaped.relay", kRelay));
  REQUIRE(entry_of(t, "lsp_shaped")["refusals"] == 3);
  const auto event = audit->subscription->take();
  REQUIRE(event);
  REQUIRE(event->event.topic == "host.audit.refused");
  REQUIRE(json::parse(event->event.payload) ==
          json{{"plugin", "lsp_shaped"}, {"grant", "call:echo.say"}, {"wanted", "echo.say"}});
  REQUIRE_FALSE(audit->subscription->take());
}
