// SPDX-License-Identifier: Apache-2.0
//
// `gantry plugin ...` as people type it.
#include "tests/folders.hpp"
#include "tests/integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void with_mortal(Sandbox& box, const std::string& more = {}, const std::string& isolation = "child") {
  box.write("config/gantry/gantry.toml", "[plugins.mortal]\npath = \"" + gantry::folders::build() +
                                             "/tests/plugins/more/mortal.so\"\nisolation = \"" + isolation +
                                             "\"\ngrants = [\"write:" + box.dir().string() + "\"]\n" + more);
}

json mortal(Sandbox& box) {
  for (auto& plugin : *box.connect().call("host.plugins", json::object(), std::chrono::seconds(5))) {
    if (plugin["name"] == "mortal") return plugin;
  }
  return nullptr;
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
  REQUIRE(has(list.out, ", with calls open: mortal.dies_once\n      core file: "));
  REQUIRE(has(list.out, "| its last words"));
  const auto as_json = json::parse(box.run({"plugin", "list", "--json"}).out);
  REQUIRE(std::any_of(as_json.begin(), as_json.end(), [](const json& p) {
    return p["name"] == "mortal" && p["state"] == "quarantined" && p["evidence"]["signal"] == 11;
  }));
  const auto restart = box.run({"plugin", "restart", "mortal"});
  REQUIRE(restart.code == 0);
  REQUIRE(restart.out == "mortal 1.0.0 is ready\n");
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

TEST_CASE(
    "plugin commands: an inline plugin that ends the host is held back at the next start, until it is restarted") {
  Sandbox box;
  const auto deaths = (box.dir() / "deaths").string();
  std::string blame;
  SECTION("while it starts") {
    with_mortal(box, "settings = { in_start = { file = \"" + deaths + "\", times = 1, signal = 6 } }\n", "inline");
    blame = "it was being started when the host with pid ";
  }
  SECTION("while it is called") {
    with_mortal(box, "", "inline");
    blame = "it was being called when the host with pid ";
  }
  const pid_t first = box.serve();
  REQUIRE(box.run({"call", "--no-start", "mortal.dies_once", "file=" + deaths, "signal:=6"}).code == 1);
  REQUIRE(box.wait(first) != 0);
  for (int i = 0; i < 2; ++i) {  // also by a host after the next
    CAPTURE(i);
    const pid_t next = box.serve();
    REQUIRE(mortal(box)["state"] == "quarantined");
    REQUIRE(mortal(box)["reason"].get<std::string>().find(blame + std::to_string(first) + " died") == 0);
    REQUIRE(box.run({"call", "mortal.pid"}).err.find(blame) != std::string::npos);
    if (i == 1) REQUIRE(box.run({"plugin", "restart", "mortal"}).code == 0);
    REQUIRE(box.run({"stop"}).code == 0);
    REQUIRE(box.wait(next) == 0);
  }
  (void)box.serve();
  REQUIRE(box.run({"call", "mortal.pid"}).code == 0);
}

TEST_CASE(
    "plugin commands: a plugin that comes while the host runs is found by its reload and by one of the configuration") {
  Sandbox box;
  const fs::path built = gantry::folders::build() + "/tests/plugins";
  const auto folder = box.dir() / "plugins";
  fs::create_directory(folder);
  const auto put = [&](const fs::path& from, const std::string& name) {
    for (const char* kind : {".json", ".so"}) fs::copy_file(from.string() + kind, folder / (name + kind));
  };
  put(built / "echo", "echo");
  box.environment = {"GANTRY_PLUGIN_DIR=" + folder.string()};
  box.write("config/gantry/gantry.toml", "");
  (void)box.serve();
  REQUIRE(box.run({"call", "plain.hello"}).code == 1);
  REQUIRE(has(box.run({"plugin", "reload", "plain"}).err, "no plugin is named plain"));

  put(built / "plain", "plain");
  REQUIRE(box.run({"plugin", "reload", "plain"}).out == "plain 1.0.0 is ready\n");
  REQUIRE(has(box.run({"plugin", "list"}).out, "plain          1.0.0    ready "));
  REQUIRE(has(box.run({"call", "rpc.discover"}).out, "\"plain."));

  // Another one, by a table of its own, and one that would take from a plugin that is there.
  with_mortal(box);
  put(built / "echo", "another");
  const auto reloaded = json::parse(box.run({"call", "config.reload"}).out);
  INFO(reloaded.dump());
  REQUIRE(reloaded["plugins"] == json{"another", "mortal"});
  REQUIRE(reloaded["restart"].empty());
  REQUIRE(std::ranges::find(reloaded["live"], json("plugins.mortal")) != reloaded["live"].end());
  REQUIRE(box.run({"call", "mortal.pid"}).code == 0);
  REQUIRE(mortal(box)["isolation"] == "child");
  REQUIRE(has(box.run({"plugin", "list"}).out, "plugin echo could not run any more: it offers the service echo"));
  REQUIRE(box.run({"call", "echo.say"}).code == 0);
  const auto again = json::parse(box.run({"call", "config.reload"}).out);
  REQUIRE(again == json{{"live", json::array()}, {"restart", json::array()}});
}

TEST_CASE("plugin commands: a table of a plugin that is nowhere keeps no host from its start") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", "[plugins.nowhere]\nisolation = \"child\"\n");
  (void)box.serve();
  REQUIRE(has(box.run({"plugin", "list"}).out, "no such plugin: it is not in "));
}

TEST_CASE("plugin commands: a host that watches reloads also a plugin that has come while it ran") {
  Sandbox box;
  const auto folder = box.dir() / "plugins";
  fs::create_directory(folder);
  const auto put = [&](const std::string& build) {
    for (const char* kind : {".json", ".so"}) {
      fs::copy_file(gantry::folders::build() + "/tests/plugins/more/" + build + kind, folder / "new",
                    fs::copy_options::overwrite_existing);
      fs::rename(folder / "new", folder / (std::string("swap") + kind));
    }
  };
  box.environment = {"GANTRY_PLUGIN_DIR=" + folder.string()};
  (void)box.serve({"--watch"});
  put("swap_overlap_1");
  REQUIRE(box.run({"plugin", "reload", "swap"}).out == "swap 1.0.0 is ready\n");
  put("swap_overlap_2");
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!has(box.run({"plugin", "list"}).out, "swap           2.0.0    ready")) {
    REQUIRE(std::chrono::steady_clock::now() < until);
  }
}

TEST_CASE("plugin commands: what a plugin said reaches a terminal without control characters, by every command") {
  Sandbox box;
  const std::string deaths = (box.dir() / "deaths").string();
  with_mortal(box, "settings = { in_start = { file = \"" + deaths +
                       "\", times = 9, says = \"\\u001b]0;OWNED\\u0007\\u001b[2Jall is well\" } }\n");
  (void)box.serve();
  const auto call = box.run({"call", "mortal.pid"});
  INFO(call.err);
  REQUIRE(has(call.err, "all is well"));  // in JSON, which escapes it
  for (const auto& words : std::vector<std::vector<std::string>>{{"plugin", "list"},
                                                                 {"status"},
                                                                 {"doctor"},
                                                                 {"plugin", "restart", "mortal"},
                                                                 {"plugin", "reload", "mortal"}}) {
    const auto ran = box.run(words);
    INFO(words.front() << ": " << ran.out << ran.err);
    REQUIRE(has(ran.out + ran.err, "\\x1b[2Jall is well"));
    REQUIRE(!has(ran.out + ran.err, "\x1b"));
  }
}
