// SPDX-License-Identifier: Apache-2.0
//
// `gantry plugin ...` as people type it.
#include "integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void with_mortal(Sandbox& box, const std::string& more = {}) {
  box.write("config/gantry/gantry.toml", "[plugins.mortal]\npath = \"" GANTRY_BUILD_DIR
                                         "/tests/plugins/more/mortal.so\"\nisolation = \"child\"\n" +
                                             more);
}

}  // namespace

TEST_CASE("plugin commands: list shows each plugin, and of one that is quarantined why, and restart releases it") {
  Sandbox box;
  with_mortal(box, "[supervisor]\nintensity = 0\n");
  (void)box.serve();
  const auto died = box.run({"call", "mortal.dies_once", "file=" + (box.dir() / "deaths").string(), "signal:=11"});
  REQUIRE(died.code == 1);
  const auto list = box.run({"plugin", "list"});
  REQUIRE(list.code == 0);
  INFO(list.out);
  REQUIRE(has(list.out, "mortal         1.0.0    quarantined  child   it failed 1 time within 60 s"));
  REQUIRE(has(list.out, "| its last words"));
  const auto as_json = json::parse(box.run({"plugin", "list", "--json"}).out);
  REQUIRE(std::any_of(as_json.begin(), as_json.end(), [](const json& p) {
    return p["name"] == "mortal" && p["state"] == "quarantined" && p["evidence"]["signal"] == 11;
  }));
  const auto restart = box.run({"plugin", "restart", "mortal"});
  REQUIRE(restart.code == 0);
  REQUIRE(restart.out == "mortal is ready\n");
  REQUIRE(box.run({"call", "mortal.pid"}).code == 0);
}

TEST_CASE("plugin commands: restart of a plugin that is not there says so, and starts no host") {
  Sandbox box;
  REQUIRE(box.run({"plugin", "restart", "mortal"}).code == 1);
  REQUIRE_FALSE(box.host_pid());
  with_mortal(box);
  (void)box.serve();
  const auto unknown = box.run({"plugin", "restart", "mortel"});
  REQUIRE(unknown.code == 1);
  REQUIRE(has(unknown.err, "no plugin is named mortel; did you mean mortal?"));
}
