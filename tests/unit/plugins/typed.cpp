// SPDX-License-Identifier: Apache-2.0
//
// Typed handlers in a whole host, in its own process and in theirs; and what one declaration of a method serves.
#include "tests/unit/support/host.hpp"

#include "host/services/plugin_settings.hpp"
#include "tests/folders.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

const std::filesystem::path kPlugins = gantry::folders::build() + "/tests/plugins";

std::string diagnostics(const std::string& toml) {
  auto config = parse_config(toml, "g.toml");
  if (!config) return to_string(config.error());
  const auto plugins = plugins_of(*config, kPlugins);
  const auto checked = check_settings(std::move(*config), plugins);
  if (checked) return "";
  std::string text = to_string(checked.error());
  text.pop_back();  // the last end of line
  return text;
}

}  // namespace

TEST_CASE("plugins: typed handlers answer, refuse and stream") {
  TestDaemon t;
  REQUIRE(*t.call("typed.say", {{"text", "a"}, {"times", 2}}) == json{{"said", "aa"}});
  REQUIRE(t.call("typed.say", {{"text", "a"}, {"times", 11}}).error().message ==
          "/times must be an integer from 1 to 10, not 11");
  auto stream = t.begin("typed.count", {{"to", 2}}, 8);
  REQUIRE(*stream.recorder->wait() == json{{"said", "done"}});
  REQUIRE(stream.recorder->items() == std::vector<std::string>{R"({"n":0})", R"({"n":1})"});
}

TEST_CASE("plugins: a handler on the pool waits for credit while others answer, and hears that it is cancelled") {
  TestDaemon t;
  auto stream = t.begin("typed.pooled_count", {{"to", 1000}}, 1);
  REQUIRE(*t.call("typed.say", {{"text", "meanwhile"}}) == json{{"said", "meanwhile"}});
  stream.call->give_credit(2000);
  REQUIRE(*stream.recorder->wait() == json{{"said", "done"}});
  REQUIRE(stream.recorder->items().size() == 1000);
  auto waits = t.begin("typed.pooled_wait");
  REQUIRE(*t.call("typed.say", {{"text", "a"}}) == json{{"said", "a"}});
  waits.call->cancel();
  REQUIRE(waits.recorder->wait().error().kind == ErrorKind::cancelled);
}

TEST_CASE("plugins: a handler that spins hears that it is cancelled") {
  TestDaemon t;
  auto spins = t.begin("typed.spins", {{"text", "x"}});
  wait_for_log(t, "spins");
  spins.call->cancel();
  REQUIRE(*t.call("typed.say", {{"text", "a"}}) == json{{"said", "a"}});
}

TEST_CASE("plugins: coroutines answer, wait and are cancelled") {
  TestDaemon t({}, true);
  REQUIRE(*t.call("resumed.twice", {{"n", 21}}) == json{{"n", 42}});
  REQUIRE(*t.call("resumed.hops", {{"n", 5}}) == json{{"n", 5}});
  REQUIRE(*t.call("resumed.sleeps", {{"n", 1}}) == json{{"n", 1}});
  auto stream = t.begin("resumed.counts", {{"n", 600}}, 1);
  stream.call->give_credit(1000);
  REQUIRE(*stream.recorder->wait() == json{{"n", 600}});
  auto sleeps = t.begin("resumed.sleeps", {{"n", 1'000'000}});
  REQUIRE(*t.call("resumed.under_way") == json{{"n", 1}});
  sleeps.call->cancel();
  eventually("it to end", [&] { return *t.call("resumed.under_way") == json{{"n", 0}}; });
  (void)t.begin("resumed.sleeps", {{"n", 1'000'000}});  // the end of the host ends it
  REQUIRE(*t.call("resumed.under_way") == json{{"n", 1}});
}

TEST_CASE("plugins: a coroutine waits for another plugin's answer, at the most until its own plugin ends") {
  TestDaemon t;
  REQUIRE(*t.call("resumed.asks", {{"method", "typed.shout"}}) == json{{"said", "asked!"}});
  REQUIRE(t.call("resumed.asks", {{"method", "typed.nothing"}}).error().kind == ErrorKind::invalid_params);
  auto asks = t.begin("resumed.asks", {{"method", "faulty.never"}});
  REQUIRE(*t.call("resumed.under_way") == json{{"n", 0}});
  REQUIRE(t.call("plugin.restart", {{"name", "resumed"}}));
  REQUIRE_FALSE(asks.recorder->wait());
  REQUIRE(*t.call("resumed.asks", {{"method", "typed.shout"}}) == json{{"said", "asked!"}});
}

TEST_CASE("plugins: a folder of its own is there when it starts, and nobody else's") {
  TestDaemon t;
  REQUIRE(t.call("typed.say", {{"text", "a"}}));
  const auto folder = t.dir() / "state" / "typed";
  REQUIRE(std::filesystem::is_directory(folder));
  REQUIRE(std::filesystem::status(folder).permissions() == std::filesystem::perms::owner_all);
}

TEST_CASE("discover: a typed method is described by its types, those that must be there first") {
  TestDaemon t;
  const auto document = t.call("rpc.discover");
  std::map<std::string, json> methods;
  for (const auto& method : (*document)["methods"]) methods[method["name"]] = method;
  const json& say = methods["typed.say"];
  REQUIRE(say["summary"] == "Says it");
  REQUIRE(say["params"].size() == 2);
  REQUIRE(say["params"][0] ==
          json{{"name", "text"},
               {"required", true},
               {"description", "what to say"},
               {"schema", {{"type", "string"}, {"maxLength", 1000}, {"description", "what to say"}}}});
  REQUIRE(say["params"][1]["required"] == false);
  REQUIRE(say["result"]["schema"]["required"] == json{"said"});
  REQUIRE(say["errors"] == json::parse(R"([{"code":-32007,"message":"not_found"}])"));
  REQUIRE(say["x-gantry-idempotent"] == true);
  REQUIRE(methods["typed.count"]["x-gantry-stream"] == true);
  REQUIRE(methods["typed.count"]["x-gantry-item"]["properties"].contains("n"));
}

TEST_CASE("settings: a plugin's are checked by what it says of them, with file, line, column and key") {
  REQUIRE(diagnostics("[plugins.typed.settings]\nending = \"?\"\nlimits = { most = 7 }\n").empty());
  REQUIRE(diagnostics("[plugins.typed.settings]\nendin = \"?\"\n") ==
          "g.toml:2:9: error: unknown key `endin` in [plugins.typed.settings]; did you mean `ending`?");
  REQUIRE(diagnostics("[plugins.typed]\nsettings = { ending = \"much\", words = [\"a\", 2] }\n") ==
          "g.toml:2:23: error: `plugins.typed.settings.ending` must be a string of at most 3 characters, not \"much\"\n"
          "g.toml:2:45: error: `plugins.typed.settings.words[1]` must be a string, not 2");
  REQUIRE(diagnostics("[plugins.typed.settings.limits]\nmost = 10001\n") ==
          "g.toml:2:8: error: `plugins.typed.settings.limits.most` must be an integer from 0 to 10000, not 10001");
}

TEST_CASE("settings: those of a plugin that says nothing of them, or is not there, are as they like") {
  REQUIRE(diagnostics("[plugins.echo.settings]\nanything = 1\n[plugins.nobody.settings]\nanything = 1\n").empty());
}

TEST_CASE("plugins: a handler that sends items ends when its plugin stops, though there is credit") {
  for (const auto isolation : {Isolation::in_line, Isolation::child}) {
    CAPTURE(isolation);
    TestDaemon t([&](Config& c) { c.plugins["typed"].isolation = isolation; });
    const auto stream = t.begin("typed.pooled_count", {{"to", 4'000'000'000U}}, 2'000'000'000U);
    stream.recorder->wait_for_items(1);
    REQUIRE(t.call("plugin.restart", {{"name", "typed"}}));
    REQUIRE_FALSE(stream.recorder->wait());
    REQUIRE(t.log_text().find("did not answer `stop`") == std::string::npos);
  }
}
