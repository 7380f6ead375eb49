// Runs the plugin without a host (gantry/testing.hpp).
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#include <gantry/testing.hpp>

using gantry::json;

TEST_CASE("it greets as its settings say") {
  gantry::testing::TestHost host(PLUGIN_FILE, {{"settings", {{"greeting", "Good morning"}}}});
  REQUIRE(host.started() == 0);
  const auto greeted = host.call("plugin_name.greet", {{"who", "Ada"}});
  REQUIRE(greeted);
  REQUIRE(*greeted == json{{"text", "Good morning, Ada!"}});
  host.stop();
}

TEST_CASE("it refuses what it was not made for") {
  gantry::testing::TestHost host(PLUGIN_FILE);
  REQUIRE(host.call("plugin_name.greet", {{"who", ""}}).error().kind == gantry::ErrorKind::invalid_params);
  REQUIRE(host.call("plugin_name.greet", {{"whom", "Ada"}}).error().kind == gantry::ErrorKind::invalid_params);
  host.stop();
}
