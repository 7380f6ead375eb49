// Runs the plugin without a host (gantry/testing.hpp).
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#include <gantry/testing.hpp>

using gantry::json;

TEST_CASE("it greets with what it is told") {
  gantry::testing::TestHost host(PLUGIN_FILE);
  REQUIRE(host.started() == 0);
  const auto greeted = host.call("plugin_name.greet", {{"who", "Ada"}});
  REQUIRE(greeted);
  REQUIRE(*greeted == json{{"hello", {{"who", "Ada"}}}});
  host.stop();
}
