// SPDX-License-Identifier: Apache-2.0
//
// A plugin that did not come with the host and asks for something waits until the user has agreed to it.
#include "tests/unit/trust/support.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

const json kTwo{"call:echo.*"};
const json kThree{"call:**", "network"};

[[nodiscard]] bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("trust: a plugin that asks for nothing runs") {
  WantingDaemon t(1);
  REQUIRE(t.call("wanting.build").value()["build"] == 1);
}

TEST_CASE("trust: a plugin that asks for something is disabled until it is trusted with it and runs at once then") {
  WantingDaemon t(2);
  const auto entry = t.entry();
  REQUIRE(entry["state"] == "disabled");
  REQUIRE(entry["reason"] ==
          "it asks for call:echo.*, which it was not trusted with: run `gantry trust --plugin wanting`");
  REQUIRE(entry["untrusted"] == kTwo);
  const auto refused = t.call("wanting.build").error();
  REQUIRE(refused.kind == ErrorKind::permission_denied);
  REQUIRE(has(refused.message, "plugin wanting waits for trust: it asks for call:echo.*"));
  REQUIRE(json::parse(refused.data)["grants"] == kTwo);
  const auto trusted = t.audit("trusted");
  const auto granted = t.audit("granted");
  REQUIRE(t.trust(kTwo));
  REQUIRE(t.call("wanting.build").value()["build"] == 2);
  REQUIRE(t.call("wanting.relays", {{"method", "echo.say"}, {"params", {{"a", 1}}}}).value()["a"] == 1);
  REQUIRE(next_event(*trusted) == json{{"plugin", "wanting"}, {"library", t.library().string()}, {"grants", kTwo}});
  REQUIRE(next_event(*granted) == json{{"plugin", "wanting"}, {"grants", kTwo}, {"by", "trust"}});
  REQUIRE(t.entry()["state"] == "ready");
}

TEST_CASE("trust: calls to a plugin that waits are counted and the first one is published with its trace") {
  WantingDaemon t(3);
  const auto audit = t.audit("refused");
  auto client = t.daemon.connect();
  const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  REQUIRE_FALSE(client.call("wanting.build", {{"_meta", {{"traceparent", "00-" + trace + "-00f067aa0ba902b7-01"}}}}));
  REQUIRE_FALSE(client.call("wanting.build", json::object()));
  REQUIRE(t.entry()["refusals"] == 2);
  REQUIRE(next_event(*audit) ==
          json{{"plugin", "wanting"}, {"grant", "call:**"}, {"wanted", "to run for wanting.build"}, {"trace", trace}});
  REQUIRE(next_event(*audit)["grant"] == "network");
  REQUIRE_FALSE(audit->take());
  REQUIRE(has(t.daemon.log_text(), "it lacks the grant network [trace " + trace + "]"));
}

TEST_CASE("trust: who trusts names all that is asked for and what has changed meanwhile is a conflict") {
  WantingDaemon t(3);
  REQUIRE(t.trust({"network"}).error().kind == ErrorKind::conflict);
  REQUIRE(t.trust(kTwo).error().kind == ErrorKind::conflict);
  REQUIRE(t.call("wanting.build").error().kind == ErrorKind::permission_denied);
  REQUIRE_FALSE(std::filesystem::exists(t.store()));
  REQUIRE(t.trust(kThree));
  REQUIRE(t.call("wanting.build"));
}

TEST_CASE("trust: a configuration that grants has decided and what came with the host needs no trust") {
  WantingDaemon t(3, [](Config& c) { c.plugins["wanting"].grants = std::vector<std::string>{"call:echo.*"}; });
  REQUIRE(t.call("wanting.build"));
  REQUIRE(t.trust(kThree).error().kind == ErrorKind::conflict);
  REQUIRE(t.call("trust.look", {{"plugin", "wanting"}}).value()["decided_by"] == "configuration");
  const auto bundled = t.call("trust.look", {{"plugin", "lsp_shaped"}}).value();
  REQUIRE(bundled["decided_by"] == "host");
  REQUIRE(bundled["untrusted"].empty());
}

TEST_CASE("trust: a new build that asks for more is refused and the old one goes on until it is trusted") {
  WantingDaemon t(2);
  REQUIRE(t.trust(kTwo));
  REQUIRE(t.call("wanting.build").value()["build"] == 2);
  const auto audit = t.audit("refused");
  t.put(3);
  const auto refused = t.call("plugin.reload", {{"name", "wanting"}}).error();
  REQUIRE(refused.kind == ErrorKind::permission_denied);
  REQUIRE(has(refused.message, "it asks for call:**, network, which it was not trusted with"));
  REQUIRE(next_event(*audit)["wanted"] == "to be reloaded");
  REQUIRE(t.call("wanting.build").value()["build"] == 2);
  // What is agreed to is the manifest that lies there now: it is put in place.
  REQUIRE(t.trust(kThree));
  REQUIRE(t.call("wanting.build").value()["build"] == 3);
}

TEST_CASE("trust: a build that asks for less than was trusted needs no word") {
  WantingDaemon t(3);
  REQUIRE(t.trust(kThree));
  REQUIRE(t.call("wanting.build").value()["build"] == 3);
  t.put(2);
  REQUIRE(t.call("plugin.reload", {{"name", "wanting"}}));
  REQUIRE(t.call("wanting.build").value()["build"] == 2);
}

TEST_CASE("trust: what is revoked stops at once and stays stopped") {
  WantingDaemon t(2);
  REQUIRE(t.trust(kTwo));
  REQUIRE(t.call("wanting.build"));
  const auto revoked = t.audit("revoked");
  REQUIRE(t.call("trust.revoke", {{"plugin", "wanting"}}));
  REQUIRE(next_event(*revoked) == json{{"plugin", "wanting"}});
  REQUIRE(t.entry()["state"] == "disabled");
  REQUIRE(t.entry()["runs_on"] == "");
  REQUIRE(t.call("wanting.build").error().kind == ErrorKind::permission_denied);
  REQUIRE(t.call("plugin.restart", {{"name", "wanting"}}).error().kind == ErrorKind::permission_denied);
  REQUIRE(t.call("trust.revoke", {{"plugin", "wanting"}}).error().kind == ErrorKind::not_found);
}

TEST_CASE("trust: no plugin may call the methods of trust whatever it is granted") {
  WantingDaemon t(3, [](Config& c) { c.plugins["wanting"].grants = std::vector<std::string>{"call:**"}; });
  REQUIRE(t.call("wanting.relays", {{"method", "host.status"}}));
  for (const char* method : {"trust.list", "trust.look", "trust.plugin", "trust.folder", "trust.revoke"}) {
    CAPTURE(method);
    const auto refused = t.call("wanting.relays", {{"method", method}, {"params", {{"plugin", "wanting"}}}}).error();
    REQUIRE(refused.kind == ErrorKind::permission_denied);
    REQUIRE(has(refused.message, "what is trusted is for people to decide"));
  }
  REQUIRE(t.entry()["refusals"] == 5);
}
