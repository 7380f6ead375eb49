// SPDX-License-Identifier: Apache-2.0
//
// gantry/app_state.hpp in a plugin, with the real project state behind it.
#include "tests/unit/support/plugin_set.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

void with_state(Config& c) {
  for (const char* name : {"project_state", "ai"})
    c.plugins[name].path = gantry::folders::build() + "/plugins/" + name + ".so";
  c.plugins["project_state"].grants = {"call:host.metrics", "publish:metrics.**", "subscribe:turn.**"};
  c.plugins["ai"].grants = {"network", "read:workspace"};
}

}  // namespace

TEST_CASE("app state: a preference is absent until it is set, and is of the type that it is asked for as") {
  for (const auto isolation : {Isolation::in_line, Isolation::child}) {
    CAPTURE(isolation);
    PluginSet t({"stateful"}, isolation, &with_state);
    REQUIRE(*t.call("stateful.wraps") == json{{"wraps", "never set"}});
    REQUIRE(t.call("stateful.set_wrap", {{"on", false}}));
    REQUIRE(*t.call("stateful.wraps") == json{{"wraps", false}});
    REQUIRE(t.call("stateful.set_wrap", {{"on", true}, {"later", true}}));
    REQUIRE(t.call("state.flush"));
    REQUIRE(*t.call("stateful.wraps") == json{{"wraps", true}});
    REQUIRE(t.call("state.settings.set", {{"key", "word_wrap"}, {"value", "yes"}, {"retype", true}}));
    REQUIRE(t.call("stateful.wraps").error().kind == ErrorKind::invalid_params);
    REQUIRE(t.call("stateful.set_wrap").error().kind == ErrorKind::conflict);
  }
}

TEST_CASE(
    "app state: updates of a session at once are each done once, and one that its updater refuses writes nothing") {
  PluginSet t({"stateful"}, Isolation::in_line, &with_state);
  const std::string id = (*t.call("state.session.create", {{"name", "n"}}))["session"]["id"];
  std::vector<TestDaemon::Begun> begun;
  for (int i = 0; i < 4; ++i) begun.push_back(t.begin("stateful.review", {{"session", id}, {"by", "ann"}}));
  for (auto& one : begun) REQUIRE(one.recorder->wait());
  const auto attributes = [&] { return (*t.call("state.session.get", {{"id", id}}))["session"]["attributes"]; };
  REQUIRE(attributes() == json{{"review", {{"files", 4}, {"reviewer", "ann"}}}});
  REQUIRE(t.call("stateful.review", {{"session", id}}).error().message.find("who?") != std::string::npos);
  REQUIRE(attributes()["review"]["files"] == 4);
  REQUIRE(t.call("stateful.review", {{"session", "none"}, {"by", "x"}}).error().kind == ErrorKind::not_found);
}

TEST_CASE("app state: a service is called by its name, and started by that") {
  PluginSet t({"stateful"}, Isolation::in_line, &with_state);
  REQUIRE(t.entry("ai")["state"] == "known");
  REQUIRE(t.call("stateful.models")->contains("models"));
  REQUIRE(t.entry("ai")["state"] == "ready");
}
