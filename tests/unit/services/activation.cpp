// SPDX-License-Identifier: Apache-2.0
//
// Plugins that start by an event, or when a document of their language is opened.
#include "tests/unit/support/plugin_set.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

const std::vector<Isolation> kIsolations{Isolation::in_line, Isolation::child};

[[nodiscard]] std::string state(PluginSet& t, const std::string& plugin) { return t.entry(plugin)["state"]; }

void publish(PluginSet& t, const std::string& topic, int n) {
  REQUIRE(t.daemon().bus().publish(topic, json{{"n", n}}.dump()));
}

/// The numbers of the events that the plugin has been given.
[[nodiscard]] std::vector<int> seen(PluginSet& t, const std::string& plugin) {
  std::vector<int> out;
  for (const auto& event : t.call(plugin + ".seen").value()) out.push_back(event["payload"]["n"]);
  return out;
}

}  // namespace

TEST_CASE("activation: the first event on a plugin's topic starts it, and neither it nor a later one is lost") {
  for (const auto isolation : kIsolations) {
    CAPTURE(isolation);
    PluginSet t({"by_event"}, isolation);
    publish(t, "climate.hot", 0);
    publish(t, "weather.of.old", 1);  // it has subscribed to this, and is not started by it
    REQUIRE(state(t, "by_event") == "known");
    for (int n = 2; n <= 50; ++n) publish(t, "weather.rain", n);
    eventually("the plugin to run", [&] { return state(t, "by_event") == "ready"; });
    publish(t, "weather.of.old", 51);
    eventually("all of them", [&] { return seen(t, "by_event").size() == 50; });
    const auto numbers = seen(t, "by_event");
    for (int n = 2; n <= 51; ++n) {
      CAPTURE(n);
      REQUIRE(numbers[static_cast<std::size_t>(n - 2)] == n);
    }
  }
}

TEST_CASE("activation: a plugin that runs already is not given events from before its start") {
  PluginSet t({"by_event"}, Isolation::in_line);
  REQUIRE(seen(t, "by_event").empty());
  publish(t, "weather.rain", 1);
  eventually("the event", [&] { return seen(t, "by_event") == std::vector<int>{1}; });
  REQUIRE(t.call("plugin.restart", {{"name", "by_event"}}));
  publish(t, "weather.rain", 2);
  eventually("the event", [&] { return seen(t, "by_event") == std::vector<int>{2}; });
}

TEST_CASE("activation: a topic that is not granted starts nobody, and the refusal is told") {
  PluginSet t({"by_event"}, Isolation::in_line, [](Config& c) { c.plugins["by_event"].grants = {"publish:x"}; });
  publish(t, "weather.rain", 1);
  REQUIRE(t.test().log_text().find("it lacks the grant subscribe:weather.*") != std::string::npos);
  REQUIRE(t.entry("by_event")["refusals"] != 0);
  REQUIRE(state(t, "by_event") == "known");
}

TEST_CASE("activation: the first document of a language starts those that wait for it, which are given nothing") {
  for (const auto isolation : kIsolations) {
    CAPTURE(isolation);
    PluginSet t({"by_language"}, isolation);
    publish(t, "lsp.language.python", 1);
    REQUIRE(state(t, "by_language") == "known");
    publish(t, "lsp.language.rust", 2);
    eventually("the plugin to run", [&] { return state(t, "by_language") == "ready"; });
    REQUIRE(seen(t, "by_language").empty());
  }
}

TEST_CASE("activation: nothing is started by an event while the host stops") {
  PluginSet t({"by_event"}, Isolation::in_line);
  t.test().end();
  REQUIRE(t.test().log_text().find("by_event is starting") == std::string::npos);
}

TEST_CASE("activation: what the host starts is started after all when the start of what it needs has failed at first") {
  PluginSet t({"base", "keen"}, Isolation::child, [](Config& c) {
    c.plugins["base"].settings = {{"in_start", {{"file", "%/starts"}, {"times", 1}}}};
    c.plugins["base"].restart = Restart::never;
  });
  eventually("the failure", [&] { return state(t, "base") == "failed" && state(t, "keen") == "failed"; });
  REQUIRE(t.call("plugin.restart", {{"name", "base"}}));
  eventually("keen to run", [&] { return state(t, "keen") == "ready"; });
}

TEST_CASE("activation: what a plugin needs that the host starts is started again like that plugin itself") {
  for (const std::string plugin : {"base", "middle"}) {
    CAPTURE(plugin);
    PluginSet t({"base", "middle", "keenest"}, Isolation::child,
                [&](Config& c) { c.plugins[plugin].settings = {{"in_start", {{"file", "%/starts"}, {"times", 1}}}}; });
    eventually("keenest to run", [&] { return state(t, "keenest") == "ready"; });
    REQUIRE(t.entry(plugin)["restarts"] == 1);
  }
}

TEST_CASE("activation: what the host starts waits for what it needs to come back by itself") {
  PluginSet t({"eager", "keener"}, Isolation::child,
              [](Config& c) { c.plugins["eager"].settings = {{"in_start", {{"file", "%/starts"}, {"times", 1}}}}; });
  eventually("keener to run", [&] { return state(t, "keener") == "ready"; });
  REQUIRE(t.entry("eager")["restarts"] == 1);
}
