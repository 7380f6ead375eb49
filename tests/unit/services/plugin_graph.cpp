// SPDX-License-Identifier: Apache-2.0
//
// Plugins that need others: what is out of order, who starts and stops when, and who is started again with whom.
#include <csignal>

#include "host/plugins/library/version.hpp"
#include "tests/unit/support/plugin_set.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
using namespace std::chrono_literals;

namespace {

bool takes(const std::string& range, const std::string& version) {
  return VersionRange::parse(range)->holds(*parse_version(version));
}

/// Plugins that are never loaded, in a folder.
struct Folder {
  TempDir dir;
  void add(const std::string& name, const std::string& version, const json& needs) const {
    std::ofstream(dir.path() / (name + ".so")) << "";
    std::ofstream(dir.path() / (name + ".json"))
        << json{{"id", name},         {"version", version}, {"abi", {{"major", GANTRY_ABI_MAJOR}, {"minor", 0}}},
                {"services", {name}}, {"needs", needs},     {"methods", json::array()}};
  }
  [[nodiscard]] std::map<std::string, std::string> failures(const std::vector<PluginSpec>& configured = {}) const {
    std::map<std::string, std::string> out;
    for (const auto& spec : find_plugins(dir.path(), configured)) {
      if (!spec.failure.empty()) out[spec.name] = spec.failure;
    }
    return out;
  }
};

json need(const std::string& id, const std::string& version = "*") { return {{"id", id}, {"version", version}}; }

}  // namespace

TEST_CASE("graph: a version range takes what its comparators all take") {
  for (const auto& [range, in, out] :
       std::vector<std::tuple<std::string, std::string, std::string>>{{">=1.2", "1.2.0", "1.1.9"},
                                                                      {">=1.2 <2", "1.99.0", "2.0.0"},
                                                                      {">1", "1.0.1", "1.0.0"},
                                                                      {"<=2.1", "2.1.0-rc1", "2.1.1"},
                                                                      {"=1.2.3", "1.2.3", "1.2.4"},
                                                                      {"^1.2", "1.9", "2.0"},
                                                                      {"^1.2", "1.2", "1.1"},
                                                                      {"^0.3", "0.3.9", "0.4.0"},
                                                                      {"^0.0.3", "0.0.3", "0.0.4"}}) {
    INFO(range);
    REQUIRE(takes(range, in));
    REQUIRE_FALSE(takes(range, out));
  }
  REQUIRE(takes("*", "0.0.0"));
  REQUIRE(takes("", "7"));
  for (const std::string wrong : {"1.2", "~1", ">=", "^1.2.3.4", ">=1.x", ">= 1", "^99999999999"}) {
    CAPTURE(wrong);
    REQUIRE_FALSE(VersionRange::parse(wrong));
  }
  for (const std::string wrong : {"", "a", "1.", "1.2.3.4", "-1"}) {
    CAPTURE(wrong);
    REQUIRE_FALSE(parse_version(wrong));
  }
}

TEST_CASE("graph: what is missing, disabled or of another version is named with the whole path, others are in order") {
  Folder f;
  f.add("top", "1.0.0", json::array({need("middle")}));
  f.add("middle", "2.0.0", json::array({need("base", "^1.2")}));
  f.add("lonely", "1.0.0", json::array({need("nobody", ">=3")}));
  f.add("fine", "1.0.0", json::array({need("free")}));
  f.add("free", "0.1.0", json::array());
  SECTION("another version") {
    f.add("base", "1.1.0", json::array());
    REQUIRE(f.failures() == std::map<std::string, std::string>{
                                {"lonely", "lonely 1.0.0 -> nobody >=3: there is no plugin nobody"},
                                {"middle", "middle 2.0.0 -> base ^1.2: plugin base is 1.1.0"},
                                {"top", "top 1.0.0 -> middle 2.0.0 -> base ^1.2: plugin base is 1.1.0"}});
  }
  SECTION("a disabled one") {
    f.add("base", "1.2.0", json::array());
    PluginSpec off;
    off.name = "base";
    off.enabled = false;
    REQUIRE(f.failures({off})["top"] == "top 1.0.0 -> middle 2.0.0 -> base ^1.2: plugin base is disabled");
  }
  SECTION("a broken one") {
    std::ofstream(f.dir.path() / "base.so") << "";
    REQUIRE(f.failures()["top"].find("top 1.0.0 -> middle 2.0.0 -> base ^1.2: it has no manifest") == 0);
  }
  SECTION("the right version") {
    f.add("base", "1.2.0", json::array());
    REQUIRE(f.failures().size() == 1);
  }
}

TEST_CASE("graph: a circle is named from each of its plugins, and from those that lead into it") {
  Folder f;
  f.add("a", "1.0", json::array({need("b")}));
  f.add("b", "2.0", json::array({need("c")}));
  f.add("c", "3.0", json::array({need("a")}));
  f.add("outside", "1.0", json::array({need("b")}));
  f.add("self", "1.0", json::array({need("self")}));
  const std::string end = ": they need each other in a circle";
  REQUIRE(f.failures() ==
          std::map<std::string, std::string>{{"a", "a 1.0 -> b 2.0 -> c 3.0 -> a" + end},
                                             {"b", "b 2.0 -> c 3.0 -> a 1.0 -> b" + end},
                                             {"c", "c 3.0 -> a 1.0 -> b 2.0 -> c" + end},
                                             {"outside", "outside 1.0 -> b 2.0 -> c 3.0 -> a 1.0 -> b" + end},
                                             {"self", "self 1.0 -> self" + end}});
}

TEST_CASE("graph: words of the host are no plugin's, neither its id nor a service") {
  const auto wrong = [](const std::string& id, const std::string& service) {
    const json manifest{{"id", id},
                        {"version", "1.0.0"},
                        {"abi", {{"major", GANTRY_ABI_MAJOR}}},
                        {"services", {service}},
                        {"methods", json::array()}};
    const auto parsed = parse_manifest(manifest.dump());
    return parsed ? std::string() : parsed.error().message;
  };
  REQUIRE(wrong("weather", "weather") == "");
  for (const std::string word : {"host", "events", "rpc", "plugin", "process", "task", "trust", "config"}) {
    CAPTURE(word);
    REQUIRE(wrong(word, "weather").find("id must not be a word of the host's own") != std::string::npos);
    REQUIRE(wrong("weather", word).find("service \"" + word + "\" is the host's own") != std::string::npos);
  }
}

TEST_CASE("graph: a need with a range that is none makes the manifest wrong") {
  Folder f;
  f.add("a", "1.0", json::array({need("b", "about 2")}));
  REQUIRE(f.failures()["a"].find("needs b: ") != std::string::npos);
}

TEST_CASE("graph: calls to a plugin whose needs are not met are `unavailable` with the path") {
  PluginSet t({"middle", "top"}, Isolation::in_line);
  REQUIRE(t.entry("top")["state"] == "failed");
  const std::string why = "top 1.0.0 -> middle 1.0.0 -> base ^1: there is no plugin base";
  REQUIRE(t.entry("top")["reason"] == why);
  const auto error = t.call("top.pid").error();
  REQUIRE(error.kind == ErrorKind::unavailable);
  REQUIRE(error.message == "plugin top is out of order: " + why);
}

TEST_CASE("graph: a plugin starts after those that it needs, and stops before them") {
  for (const auto isolation : {Isolation::in_line, Isolation::child}) {
    CAPTURE(isolation);
    PluginSet t({"base", "middle", "top"}, isolation, [](Config& c) {
      for (const char* name : {"base", "middle", "top"}) c.plugins[name].settings = {{"diary", "%/diary"}};
    });
    REQUIRE(t.call("top.pid"));
    t.test().end();
    REQUIRE(t.lines("diary") == std::vector<std::string>{"base starts", "middle starts", "top starts", "top stops",
                                                         "middle stops", "base stops"});
  }
}

TEST_CASE("graph: of many callers of plugins that need one another each is served, and each plugin starts once") {
  PluginSet t({"base", "middle", "top"}, Isolation::in_line);
  std::vector<TestDaemon::Begun> calls;
  for (int i = 0; i < 20; ++i) {
    for (const char* method : {"base.pid", "top.pid", "middle.pid"}) calls.push_back(t.begin(method));
  }
  for (const auto& call : calls) {
    CAPTURE(&call - calls.data());
    REQUIRE(call.recorder->wait());
  }
  for (const char* name : {"base", "middle", "top"}) {
    CAPTURE(name);
    REQUIRE(t.entry(name)["restarts"] == 0);
  }
}

TEST_CASE("graph: those that need a plugin that died are started again after it, and only those") {
  PluginSet t({"base", "middle", "top", "mortal"}, Isolation::child, [](Config& c) {
    for (const char* name : {"base", "middle", "top"}) c.plugins[name].settings = {{"diary", "%/diary"}};
  });
  REQUIRE(t.call("mortal.pid"));
  REQUIRE(t.call("top.pid"));
  SECTION("the lowest") {
    REQUIRE(::kill(t.entry("base")["pid"], SIGKILL) == 0);
    eventually("all", [&] { return t.entry("top")["state"] == "ready" && t.entry("top")["restarts"] == 1; });
    REQUIRE(t.lines("diary") == std::vector<std::string>{"base starts", "middle starts", "top starts", "top stops",
                                                         "middle stops", "base starts", "middle starts", "top starts"});
  }
  SECTION("by hand") {
    REQUIRE(t.call("plugin.restart", {{"name", "middle"}}));
    REQUIRE(t.lines("diary") == std::vector<std::string>{"base starts", "middle starts", "top starts", "top stops",
                                                         "middle stops", "middle starts", "top starts"});
    REQUIRE(t.entry("base")["restarts"] == 0);
  }
  REQUIRE(t.entry("mortal")["restarts"] == 0);
}

TEST_CASE("graph: one that is being started when what it needs dies is started again with the next one") {
  PluginSet t({"base", "middle"}, Isolation::child, [](Config& c) {
    c.plugins["base"].settings = {{"diary", "%/diary"}};
    c.plugins["middle"].settings = {{"diary", "%/diary"}, {"start_file", "%/go"}};
  });
  const auto call = t.begin("middle.pid");
  eventually("its start", [&] { return t.lines("diary").size() == 2; });
  REQUIRE(::kill(t.entry("base")["pid"], SIGKILL) == 0);
  eventually("its death", [&] { return !t.entry("base").contains("pid"); });
  std::ofstream(t.file("go")) << "";
  eventually("both", [&] { return t.entry("base")["state"] == "ready" && t.entry("middle")["restarts"] == 1; });
  REQUIRE(call.recorder->wait());
  REQUIRE(t.call("middle.pid"));
  REQUIRE(t.lines("diary") ==
          std::vector<std::string>{"base starts", "middle starts", "middle stops", "base starts", "middle starts"});
}

TEST_CASE(
    "graph: when one is quarantined, those that need it are stopped and `failed` with its reason, until restart") {
  PluginSet t({"base", "middle", "top"}, Isolation::child, [](Config& c) { c.supervisor.intensity = 0; });
  REQUIRE(t.call("top.pid"));
  const pid_t top = t.entry("top")["pid"];
  REQUIRE(::kill(t.entry("base")["pid"], SIGKILL) == 0);
  eventually("the end of top", [&] { return ::kill(top, 0) != 0 && t.entry("top")["state"] == "failed"; });
  eventually("the end of middle", [&] { return t.entry("middle")["state"] == "failed"; });
  REQUIRE(t.entry("base")["state"] == "quarantined");
  REQUIRE(t.entry("top")["reason"].get<std::string>().find(
              "it needs middle, which is failed: it needs base, which is quarantined: it failed 1 time") == 0);
  const auto error = t.call("top.pid").error();
  REQUIRE(error.kind == ErrorKind::unavailable);
  REQUIRE(error.message.find("plugin top needs middle: plugin middle needs base: plugin base is quarantined") == 0);
  REQUIRE(t.call("plugin.restart", {{"name", "base"}}));
  REQUIRE(t.call("top.pid"));
  REQUIRE(t.entry("top")["state"] == "ready");
}
