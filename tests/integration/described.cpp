// SPDX-License-Identifier: Apache-2.0
//
// What a plugin says of its methods and settings, as it reaches people at a terminal.
#include "integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

constexpr const char* kTyped = "[plugins.typed]\npath = \"" GANTRY_BUILD_DIR "/tests/plugins/typed.so\"\n";

}  // namespace

TEST_CASE("described: wrong settings of a plugin are found by config check, and no host starts on them") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", std::string(kTyped) + "[plugins.typed.settings]\nendin = \"?\"\n");
  for (const auto& words : std::vector<std::vector<std::string>>{{"config", "check"}, {"config", "show"}, {"serve"}}) {
    const auto ran = box.run(words);
    INFO(ran.err);
    REQUIRE(ran.code == 1);
    REQUIRE(ran.err.find("gantry.toml:4:9: error: unknown key `endin` in [plugins.typed.settings]; did you mean "
                         "`ending`?") != std::string::npos);
  }
  box.write("config/gantry/gantry.toml", std::string(kTyped) + "[plugins.typed.settings]\nending = \"?\"\n");
  REQUIRE(box.run({"config", "check"}).code == 0);
  (void)box.serve();
  REQUIRE(json::parse(box.run({"call", "typed.ending"}).out) == json{{"said", "?"}});
  box.write("config/gantry/gantry.toml", std::string(kTyped) + "[plugins.typed.settings]\nending = \"much\"\n");
  const auto reloaded = box.run({"call", "config.reload"});
  REQUIRE(reloaded.code == 1);
  REQUIRE(reloaded.err.find("plugins.typed.settings.ending") != std::string::npos);
  REQUIRE(json::parse(box.run({"call", "typed.ending"}).out) == json{{"said", "?"}});
  box.write("config/gantry/gantry.toml", std::string(kTyped) + "[plugins.typed.settings]\nending = \"...\"\n");
  REQUIRE(box.run({"call", "config.reload"}).code == 0);
  REQUIRE(json::parse(box.run({"call", "typed.ending"}).out) == json{{"said", "..."}});
}
