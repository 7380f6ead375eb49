// SPDX-License-Identifier: Apache-2.0
//
// The public conformance suite of MCP (npm @modelcontextprotocol/conformance) against `gantry mcp`, with the plugin
// `conformance` (tests/plugins) that has what the suite calls. The suite speaks HTTP: tests/npm/mcp_bridge.js moves the
// messages. What is about HTTP itself is named here and fails; everything else that a revision requires passes. And the
// official inspector, which speaks stdio.
#include <map>
#include <regex>

#include "tests/folders.hpp"
#include "tests/integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

const std::string kModules = gantry::folders::build() + "/npm/node_modules/";
/// The failed checks of each scenario.
using Outcome = std::map<std::string, std::set<std::string>>;

std::string node() {
  for (const char* cpu : {"x64", "arm64"}) {
    auto path = kModules + "node-linux-" + cpu + "/bin/node";
    if (fs::exists(path)) return path;
  }
  FAIL("tests/npm has brought no node for this processor");
  return {};
}

/// Extensions and what is not scored, because it is about HTTP or younger than the revision.
bool is_scored(const std::string& scenario) {
  static const std::set<std::string> others{"http-header-validation", "http-custom-header-server-validation",
                                            "server-session-lifecycle", "server-sse-polling"};
  return !scenario.starts_with("tasks-") && !others.contains(scenario);
}

Outcome read_outcome(const fs::path& folder) {
  Outcome out;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name =
        std::regex_replace(entry.path().filename().string(), std::regex("^server-|-\\d{4}-\\d{2}-\\d{2}T.*$"), "");
    if (!is_scored(name)) continue;
    auto& failed = out[name];
    std::ifstream in(entry.path() / "checks.json");
    for (const auto& check : json::parse(in)) {
      if (check["status"] == "FAILURE") failed.insert(check["id"].get<std::string>());
    }
  }
  return out;
}

const std::string kTable =
    "[plugins.conformance]\npath = \"" + gantry::folders::build() + "/tests/plugins/conformance.so\"\n";

Outcome run_suite(const std::string& revision) {
  Sandbox box;
  box.write("config/gantry/gantry.toml", kTable);
  (void)box.serve();
  const std::vector<std::string> agent{box.program, "--socket", box.socket().string(), "mcp"};
  box.program = node();
  box.names_socket = false;
  std::array<int, 2> input{};
  REQUIRE(::pipe2(input.data(), O_CLOEXEC) == 0);  // the bridge lives as long as its input
  std::vector<std::string> words{gantry::folders::source() + "/tests/npm/mcp_bridge.js"};
  words.insert(words.end(), agent.begin(), agent.end());
  const pid_t bridge = box.spawn(words, box.dir() / "bridge.out", box.dir() / "bridge.err", input[0]);
  ::close(input[0]);
  box.wait_for_text("bridge.out", "}");
  const int port = json::parse(box.read("bridge.out"))["port"];
  const auto ran =
      box.run({kModules + "@modelcontextprotocol/conformance/dist/index.js", "server", "--requirements", revision,
               "--url", "http://127.0.0.1:" + std::to_string(port) + "/mcp", "-o", (box.dir() / "checks").string()});
  ::close(input[1]);
  ::waitpid(bridge, nullptr, 0);
  INFO(ran.out << ran.err << box.read("bridge.err"));
  REQUIRE(fs::exists(box.dir() / "checks"));
  return read_outcome(box.dir() / "checks");
}

void require_passed(Outcome outcome, std::size_t scenarios, const Outcome& about_http) {
  for (const auto& [scenario, checks] : about_http) {
    CAPTURE(scenario);
    REQUIRE(outcome[scenario] == checks);
    outcome[scenario].clear();
  }
  REQUIRE(outcome.size() == scenarios);
  for (const auto& [scenario, failed] : outcome) {
    CAPTURE(scenario);
    REQUIRE(failed == std::set<std::string>{});
  }
}

}  // namespace

// One more than is required: the schema of JSON Schema 2020-12, which is pending in both.
TEST_CASE("mcp conformance: 2026-07-28 passes what it requires, except for two checks of HTTP headers") {
  require_passed(run_suite("2026-07-28"), 38,
                 {{"dns-rebinding-protection", {"localhost-host-rebinding-rejected"}},
                  {"server-stateless", {"sep-2575-http-server-header-mismatch-400"}}});
}

TEST_CASE("mcp conformance: 2025-11-25 passes what it requires, except for one check of HTTP headers") {
  require_passed(run_suite("2025-11-25"), 31, {{"dns-rebinding-protection", {"localhost-host-rebinding-rejected"}}});
}

TEST_CASE("mcp inspector: its command line lists and calls tools, and reads resources and prompts, in both eras") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", kTable);
  (void)box.serve();
  const std::vector<std::string> agent{"--", box.program, "--socket", box.socket().string(), "mcp"};
  box.program = node();
  box.names_socket = false;
  for (const std::string era : {"legacy", "modern"}) {
    CAPTURE(era);
    const auto inspect = [&](const std::vector<std::string>& what) {
      std::vector<std::string> words{kModules + ".bin/mcp-inspector", "--cli", "--protocol-era", era, "--method"};
      words.insert(words.end(), what.begin(), what.end());
      words.insert(words.end(), agent.begin(), agent.end());
      const auto ran = box.run(words);
      INFO(ran.out << ran.err);
      REQUIRE(ran.code == 0);
      return json::parse(ran.out);
    };
    std::set<std::string> names;
    for (const auto& tool : inspect({"tools/list"})["tools"]) names.insert(tool["name"].get<std::string>());
    REQUIRE(names.contains("test_simple_text"));
    REQUIRE(names.contains("ai_models"));
    REQUIRE(inspect({"tools/call", "--tool-name", "test_simple_text"})["content"][0]["text"] ==
            "This is a simple text response for testing.");
    REQUIRE(inspect({"resources/read", "--uri", "test://static-text"})["contents"][0]["mimeType"] == "text/plain");
    REQUIRE(inspect({"prompts/list"})["prompts"].size() == 5);
  }
}
