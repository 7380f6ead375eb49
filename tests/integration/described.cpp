// SPDX-License-Identifier: Apache-2.0
//
// What a plugin says of its methods and settings, as it reaches people at a terminal.
#include "tests/folders.hpp"
#include "tests/integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

const std::string kTyped = "[plugins.typed]\npath = \"" + gantry::folders::build() + "/tests/plugins/typed.so\"\n";

}  // namespace

TEST_CASE("described: call --help says what a method takes, answers and sends") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", kTyped);
  (void)box.serve();
  const auto ran = box.run({"call", "typed.say", "--help"});
  INFO(ran.out << ran.err);
  REQUIRE(ran.code == 0);
  REQUIRE(ran.out.starts_with("typed.say: Says it\n"));
  for (const char* line : {"text   a string of at most 1000 characters; needed", "what to say",
                           "times  an integer from 1 to 10; default 1", "said", "not_found, and those of any call",
                           "gantry call typed.say text=TEXT"})
    REQUIRE(ran.out.find(line) != std::string::npos);
  const auto stream = box.run({"call", "typed.count", "-h"});
  REQUIRE(stream.out.find("\nitems\n  n  an integer from 0 to 4294967295") != std::string::npos);
  REQUIRE(stream.out.find("gantry call typed.count --stream") != std::string::npos);
  // Schemas that were written by hand, and the host's own.
  for (const char* method : {"ai.complete", "state.session.create", "events.subscribe", "host.status"}) {
    CAPTURE(method);
    const auto help = box.run({"call", method, "--help"});
    REQUIRE(help.code == 0);
    REQUIRE(help.out.starts_with(method));
    require_civil(help);
  }
}

TEST_CASE("described: call --help without a method is the command's, with an unknown one names the nearest") {
  Sandbox box;
  const auto own = box.run({"call", "--help"});
  REQUIRE(own.code == 0);
  REQUIRE(own.out.find("--timeout") != std::string::npos);
  (void)box.serve();
  const auto unknown = box.run({"call", "host.statsu", "--help"});
  REQUIRE(unknown.code == 1);
  REQUIRE(unknown.err.find("did you mean host.status?") != std::string::npos);
}

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
