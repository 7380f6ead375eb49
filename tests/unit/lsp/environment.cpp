// SPDX-License-Identifier: Apache-2.0
//
// What a language server gets of its editor's environment.
#include "plugins/lsp/environment.hpp"

#include <sys/stat.h>

#include "plugins/lsp/known_servers.hpp"
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;
using gantry::ErrorKind;
using gantry::lsp::Environment;
using gantry::lsp::ServerConfig;

namespace {

[[nodiscard]] json variable(EditorClient& editor, const std::string& name) {
  return editor.ask("test/variable", {{"name", name}})["result"];
}
void program(const TempDir& dir, const std::string& name) { ::chmod(dir.write(name, "").c_str(), 0755); }

/// A host that knows who calls.
struct Known {
  TempDir dir;
  TestHost host;

  explicit Known(const json& table = json::object()) : host(kPlugin, config_of({{"fake", table_of(dir, table)}}, dir)) {
    host.describe_origin(1, {{"client", "an editor"}, {"version", ""}, {"workspace", ""}});
    host.describe_origin(2, {{"client", "plugin other"}, {"version", ""}, {"workspace", ""}});
  }
  [[nodiscard]] static json table_of(const TempDir& dir, const json& more) {
    json out = fake_server(dir);
    out.update(more);
    return out;
  }
  [[nodiscard]] static json with(const json& environment) { return {{"server", "fake"}, {"environment", environment}}; }
};

}  // namespace

TEST_CASE("lsp environment: a server gets its editor's variables, those alone that its table names") {
  Known t({{"environment", {"VIRTUAL_ENV", "MINE", "ABSENT"}}});
  EditorClient editor(t.host, Known::with({{"VIRTUAL_ENV", "/a/venv"}, {"MINE", "of mine"}, {"LD_PRELOAD", "x.so"}}));
  (void)editor.initialize(t.dir.path());
  REQUIRE(variable(editor, "VIRTUAL_ENV") == "/a/venv");
  REQUIRE(variable(editor, "MINE") == "of mine");
  REQUIRE(variable(editor, "LD_PRELOAD").is_null());
  REQUIRE(variable(editor, "ABSENT").is_null());
  // The process that follows a crash has them, too.
  (void)editor.ask("test/crash");
  REQUIRE(variable(editor, "VIRTUAL_ENV") == "/a/venv");
  t.host.stop();
}

TEST_CASE("lsp environment: editors with different virtual environments have two processes, with the same they share") {
  Known t;
  const auto pid = [&](EditorClient& editor) {
    return editor.initialize(t.dir.path())["result"]["serverInfo"]["pid"].get<int>();
  };
  EditorClient a(t.host, Known::with({{"VIRTUAL_ENV", "/a"}})), b(t.host, Known::with({{"VIRTUAL_ENV", "/b"}})),
      c(t.host, Known::with({{"VIRTUAL_ENV", "/a"}, {"EDITOR", "another"}})), d(t.host, {{"server", "fake"}});
  const int of_a = pid(a);
  const int of_b = pid(b);
  REQUIRE(of_b != of_a);
  REQUIRE(pid(c) == of_a);
  const int of_d = pid(d);
  REQUIRE(of_d != of_a);
  REQUIRE(of_d != of_b);
  REQUIRE(variable(a, "VIRTUAL_ENV") == "/a");
  REQUIRE(variable(b, "VIRTUAL_ENV") == "/b");
  REQUIRE(variable(d, "VIRTUAL_ENV").is_null());
  t.host.stop();
}

TEST_CASE("lsp environment: who attaches is told what the server's table names") {
  Known t({{"environment", {"ONE", "TWO"}}});
  const auto names = [&](const json& params) { return value_of(t.host.call("lsp.environment", params))["names"]; };
  REQUIRE(names({{"server", "fake"}}) == json{"ONE", "TWO"});
  REQUIRE(names({{"language", "fake"}}) == json{"ONE", "TWO"});
  REQUIRE(names({{"language", "no such one"}}) == json(gantry::lsp::default_environment()));
  t.host.stop();
}

TEST_CASE("lsp environment: a plugin may give none, and what no process can have is refused") {
  Known t;
  const auto refused = [&](const json& environment, std::uint64_t origin) {
    EditorClient editor(t.host, Known::with(environment), 100'000, origin);
    return editor.stream().result().error().kind;
  };
  REQUIRE(refused({{"PATH", "/mine"}}, 2) == ErrorKind::permission_denied);
  REQUIRE(refused({{"PATH", "/mine"}}, 77) == ErrorKind::permission_denied);  // nobody knows who that is
  for (const auto& wrong : {json{{"A", 1}}, json{{"", "x"}}, json{{"A=B", "x"}}, json{{"A", std::string("x\0y", 3)}}})
    REQUIRE(refused(wrong, 1) == ErrorKind::invalid_params);
  REQUIRE(refused({{"A", std::string(gantry::lsp::kMaxEnvironmentBytes, 'x')}}, 1) == ErrorKind::too_large);
  json many = json::object();
  for (std::size_t i = 0; i <= gantry::lsp::kMaxEnvironmentVariables; ++i) many["V" + std::to_string(i)] = "";
  REQUIRE(refused(many, 1) == ErrorKind::too_large);
  t.host.stop();
}

TEST_CASE("lsp environment: a program is found on the editor's PATH, else on the host's") {
  TempDir dir;
  program(dir, "bin/gopls");
  program(dir, "bin/clangd-14");
  const Environment here{{"PATH", dir / "bin"}, {"GOFLAGS", "-x"}};
  ServerConfig server;
  server.command = {"gopls", "-v"};
  server.environment = {"PATH", "GOFLAGS"};
  REQUIRE(fitting(here, server) == here);
  server.command = {"another"};
  REQUIRE(fitting(here, server) == Environment{{"GOFLAGS", "-x"}});
  server.command = {"/opt/another"};
  REQUIRE(fitting(here, server) == here);
  // One that was only found is whichever program this PATH has; a configured one is not changed.
  ServerConfig found = gantry::lsp::config_of(*gantry::lsp::known_server("gopls"));
  found.command = {"no such program"};
  found.built_in = true;
  REQUIRE(fitting(here, found) == here);
  REQUIRE(found.command.front() == "gopls");
  program(dir, "bin/zls");
  const auto zig = gantry::lsp::server_on_path(here, {}, {}, "zig");
  REQUIRE(zig);
  ServerConfig runs = *zig;
  runs.runs_project_code = false;
  REQUIRE(fitting(here, runs) == here);
  REQUIRE(runs.command.front() == "zls");
  REQUIRE(runs.runs_project_code);  // as a built-in server's does, whoever's PATH has the program

  const auto on_path = [&](const std::optional<std::string>& name, const std::optional<std::string>& language,
                           const gantry::lsp::Servers& configured = {}) {
    const auto one = gantry::lsp::server_on_path(here, configured, name, language);
    return one ? one->name : "";
  };
  REQUIRE(on_path("gopls", {}) == "gopls");
  REQUIRE(on_path({}, "go") == "gopls");
  REQUIRE(on_path({}, "rust").empty());
  REQUIRE(on_path({}, {}).empty());
  gantry::lsp::Servers configured;
  configured.disabled.insert("gopls");
  REQUIRE(on_path("gopls", {}, configured).empty());
  REQUIRE_FALSE(gantry::lsp::server_on_path({}, {}, "gopls", {}));
}

TEST_CASE("lsp environment: a table names variables, and nothing else") {
  const auto parsed = [](const json& environment) {
    gantry::PluginConfig config;
    config.settings = {{"servers", {{"mine", {{"command", "x"}, {"languages", {"x"}}, {"environment", environment}}}}}};
    return gantry::lsp::parse_settings(config);
  };
  REQUIRE(parsed({"A", "B"})->named("mine")->environment == std::vector<std::string>{"A", "B"});
  REQUIRE(parsed(json::array())->named("mine")->environment.empty());
  REQUIRE(parsed({"A=B"}).error().message.find("environment") != std::string::npos);
  REQUIRE_FALSE(parsed({""}));
  REQUIRE_FALSE(parsed(std::vector<std::string>(65, "A")));
}
