// SPDX-License-Identifier: Apache-2.0
//
// A project's `.gantry.toml` in a whole host: what reaches plugins and language servers, and what does not before the
// user trusts it. Programs that must not run would leave a mark.
#include "host/config/sha256.hpp"
#include "tests/folders.hpp"
#include "tests/unit/trust/support.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

const std::string kFakeServer = gantry::folders::build() + "/tests/lsp_fake_server";

/// A host with language servers, and two projects.
class ProjectDaemon {
  TempDir dir_;

 public:
  explicit ProjectDaemon(const std::function<void(Config&)>& change = {})
      : mine(std::filesystem::canonical(dir_.path()) / "mine"),
        other(std::filesystem::canonical(dir_.path()) / "other"),
        daemon(
            [&](Config& c) {
              for (const auto& folder : {mine, other}) {
                std::filesystem::create_directory(folder);
                std::ofstream(folder / "a.fake") << "text";
                std::ofstream(folder / "fake.root") << "";
              }
              c.plugins["lsp"].path = gantry::folders::build() + "/plugins/lsp.so";
              c.plugins["lsp"].grants = std::vector<std::string>{"processes", "read:/", "write:workspace"};
              auto& server = c.lsp_servers["clangd"];  // by name only
              server.command = std::vector<std::string>{"sh", "-c", "exec " + kFakeServer + " --log $PWD/log"};
              server.languages = std::vector<std::string>{"fake"};
              server.extensions = std::vector<std::string>{".fake"};
              server.root_markers = std::vector<std::string>{"fake.root"};
              server.settings = {{"of", "the user"}};
              if (change) change(c);
            },
            true) {}

  void write(const std::filesystem::path& project, const std::string& text) const {
    std::ofstream(project / ".gantry.toml") << text;
  }
  /// A server's command that leaves a mark.
  [[nodiscard]] std::string marking(const std::string& mark) const {
    return "[lsp.servers.clangd]\ncommand = [\"sh\", \"-c\", \"touch " + mark + "; exec " + kFakeServer + "\"]\n";
  }
  [[nodiscard]] bool is_marked(const std::string& mark) const { return std::filesystem::exists(mine / mark); }
  void open(const std::filesystem::path& project) {
    auto client = daemon.connect();
    REQUIRE(client.call("host.hello", {{"client", "test"}, {"workspace", project.string()}}));
  }
  [[nodiscard]] Result<json> ask(const std::filesystem::path& project, const std::string& method,
                                 const json& params = json::object()) {
    return daemon.call("lsp.request", {{"uri", (project / "a.fake").string()}, {"method", method}, {"params", params}});
  }
  /// What the server of this project is answered when it asks for its configuration.
  [[nodiscard]] json settings(const std::filesystem::path& project) {
    const auto answer =
        ask(project, "test/ask", {{"method", "workspace/configuration"}, {"params", {{"items", {json::object()}}}}});
    if (!answer) FAIL(answer.error().message);
    return answer->at("result").at(0);
  }
  [[nodiscard]] json project() { return daemon.call("host.status").value().at("projects").at(0); }
  [[nodiscard]] Result<json> trust() {
    const auto look = daemon.call("trust.look", {{"folder", mine.string()}});
    if (!look) return look;
    return daemon.call("trust.folder", {{"path", mine.string()}, {"digest", look->at("digest")}});
  }

  const std::filesystem::path mine;
  const std::filesystem::path other;
  TestDaemon daemon;
};

}  // namespace

TEST_CASE("project config: a project's settings of clangd reach the server of that project alone") {
  ProjectDaemon t;
  t.write(t.mine, "[lsp.servers.clangd]\nsettings = { flags = ['-std=c++23'] }\n");
  t.open(t.mine);
  t.open(t.other);
  REQUIRE(t.settings(t.mine) == json{{"of", "the user"}, {"flags", {"-std=c++23"}}});
  REQUIRE(t.settings(t.other) == json{{"of", "the user"}});
  REQUIRE(t.project()["state"] == "in_force");
  REQUIRE(t.project()["keys"] == json{"lsp.servers.clangd.settings"});
}

TEST_CASE("project config: a project's command does not run before it is trusted and runs then") {
  ProjectDaemon t;
  t.write(t.mine, t.marking("mark"));
  t.open(t.mine);
  REQUIRE(t.ask(t.mine, "test/echo"));
  REQUIRE_FALSE(t.is_marked("mark"));
  REQUIRE(t.project()["state"] == "waiting");
  REQUIRE(t.project()["waiting"] == json{"lsp.servers.clangd.command"});
  REQUIRE(t.daemon.log_text().find("run `gantry trust " + t.mine.string() + "`") != std::string::npos);
  auto audit = t.daemon.daemon().bus().subscribe({"host.audit.*"}, [] {});
  REQUIRE(t.trust());
  const auto trusted = next_event(*audit->subscription);
  REQUIRE(trusted["folder"] == t.mine.string());
  REQUIRE(next_event(*audit->subscription) ==
          json{{"folder", t.mine.string()}, {"keys", {"lsp.servers.clangd.command"}}, {"by", "trust"}});
  eventually("the project's server", [&] { return t.ask(t.mine, "test/echo") && t.is_marked("mark"); });
}

TEST_CASE("project config: a file that was replaced after it was trusted is not trusted any more") {
  ProjectDaemon t;
  t.write(t.mine, t.marking("agreed"));
  REQUIRE(t.trust());  // before it is opened
  t.write(t.mine, t.marking("smuggled"));
  t.open(t.mine);
  REQUIRE(t.ask(t.mine, "test/echo"));
  REQUIRE_FALSE(t.is_marked("smuggled"));
  REQUIRE_FALSE(t.is_marked("agreed"));
  REQUIRE(t.project()["state"] == "waiting");
  // Byte by byte what was agreed to, it is trusted again: seen when the workspace is opened again.
  t.write(t.mine, t.marking("agreed"));
  t.open(t.mine);
  REQUIRE(t.project()["trusted"] == true);
  eventually("the project's server", [&] { return t.ask(t.mine, "test/echo") && t.is_marked("agreed"); });
}

TEST_CASE("project config: an edit of the file, its replacement and its removal are noticed, and nothing else is") {
  ProjectDaemon t;
  auto told = t.daemon.daemon().bus().subscribe({"host.workspace.config"}, [] {});
  const auto state_is = [&](const std::string& state) {
    const auto event = next_event(*told->subscription);
    REQUIRE(event["workspace"] == t.mine.string());
    REQUIRE(event["state"] == state);
  };
  t.open(t.mine);
  t.write(t.mine, "[lsp.servers.clangd]\nsettings = { of = 'an edit' }\n");
  state_is("in_force");
  eventually("the edit", [&] { return t.settings(t.mine) == json{{"of", "an edit"}}; });
  t.write(t.mine, "[lsp.servers.clangd]\nsettings = 1\n");
  state_is("wrong");
  // As editors save: another file takes its name.
  std::ofstream(t.mine / "new") << "[lsp.servers.clangd]\nsettings = { of = 'a replacement' }\n";
  std::filesystem::rename(t.mine / "new", t.mine / ".gantry.toml");
  state_is("in_force");
  eventually("the replacement", [&] { return t.settings(t.mine) == json{{"of", "a replacement"}}; });
  // What needs trust waits for it.
  t.write(t.mine, t.marking("mark"));
  state_is("waiting");
  std::filesystem::remove(t.mine / ".gantry.toml");
  state_is("none");
  eventually("the removal", [&] { return t.settings(t.mine) == json{{"of", "the user"}}; });
  REQUIRE_FALSE(t.is_marked("mark"));
}

TEST_CASE("project config: a file that is replaced between the look and the yes is a conflict") {
  ProjectDaemon t;
  t.write(t.mine, t.marking("seen"));
  t.open(t.mine);
  const auto seen = t.daemon.call("trust.look", {{"folder", t.mine.string()}}).value();
  REQUIRE(seen["keys"][0]["key"] == "lsp.servers.clangd.command");
  REQUIRE(seen["keys"][0]["safe"] == false);
  t.write(t.mine, t.marking("smuggled"));
  const auto refused = t.daemon.call("trust.folder", {{"path", t.mine.string()}, {"digest", seen["digest"]}});
  REQUIRE(refused.error().kind == ErrorKind::conflict);
  REQUIRE(t.project()["trusted"] == false);
  REQUIRE(t.daemon.call("trust.list").value()["folders"].empty());
}

TEST_CASE("project config: what is revoked is the user's again at once") {
  ProjectDaemon t;
  t.write(t.mine, "[lsp.servers.clangd]\ncommand = ['" + kFakeServer + "']\nsettings = { of = 'the project' }\n");
  REQUIRE(t.trust());
  t.open(t.mine);
  REQUIRE(t.project()["state"] == "in_force");
  REQUIRE(t.daemon.call("trust.revoke", {{"folder", t.mine.string()}}));
  REQUIRE(t.project()["state"] == "waiting");
  REQUIRE(t.settings(t.mine) == json{{"of", "the project"}});  // which is safe
  REQUIRE(t.daemon.call("trust.revoke", {{"folder", t.mine.string()}}).error().kind == ErrorKind::not_found);
}

TEST_CASE("project config: an error stops nothing and is logged and published and shown") {
  ProjectDaemon t;
  auto told = t.daemon.daemon().bus().subscribe({"host.workspace.config"}, [] {});
  t.write(t.mine, "[lsp.servers.clangd]\nsettings = 1\n");
  t.open(t.mine);
  REQUIRE(t.settings(t.mine) == json{{"of", "the user"}});
  const std::string error =
      t.mine.string() + "/.gantry.toml:2:12: error: `lsp.servers.clangd.settings` must be a table";
  REQUIRE(t.project()["state"] == "wrong");
  REQUIRE(t.project()["errors"][0].get<std::string>().starts_with(error));
  REQUIRE(next_event(*told->subscription) == t.project());
  REQUIRE(t.daemon.log_text().find(error) != std::string::npos);
  REQUIRE(t.trust().error().kind == ErrorKind::invalid_params);
}

TEST_CASE("project config: a plugin's own settings are given to it for a trusted project alone") {
  const TempDir dir;
  const auto folder = std::filesystem::canonical(dir.path()).string();
  std::ofstream(dir.path() / ".gantry.toml") << "[plugins.wanting]\nsettings = { mine = true }\n";
  WantingDaemon t(1, [](Config& c) { c.plugins["wanting"].settings = {{"users", true}}; });
  auto client = t.daemon.connect();
  REQUIRE(client.call("host.hello", {{"client", "test"}, {"workspace", folder}}));
  const auto there = [&] { return t.call("wanting.settings", {{"path", folder + "/a/b"}}).value(); };
  REQUIRE(there() == json{{"users", true}});
  const auto look = t.call("trust.look", {{"folder", folder}}).value();
  REQUIRE(t.call("trust.folder", {{"path", folder}, {"digest", look["digest"]}}));
  eventually("the project's settings", [&] { return there() == json{{"users", true}, {"mine", true}}; });
  REQUIRE(t.call("wanting.settings", {{"path", folder + "else"}}).value() == json{{"users", true}});
}

TEST_CASE("project config: a server that runs code of the project waits until its folder is trusted") {
  ProjectDaemon t([](Config& c) { c.lsp_servers["clangd"].runs_project_code = true; });
  t.open(t.mine);
  t.open(t.other);
  const auto refused = t.ask(t.mine, "test/echo").error();
  REQUIRE(refused.kind == ErrorKind::permission_denied);
  REQUIRE(refused.message == "clangd runs code of the project that it serves, and " + t.mine.string() +
                                 " is not trusted: run `gantry trust " + t.mine.string() + "`");
  REQUIRE(t.trust());  // without a file of its own
  eventually("the server", [&] { return t.ask(t.mine, "test/echo").has_value(); });
  REQUIRE(t.ask(t.other, "test/echo").error().kind == ErrorKind::permission_denied);
  // Trust is bound to there being no file.
  t.write(t.mine, "[lsp.servers.clangd]\nsettings = { flags = [] }\n");
  t.open(t.mine);
  eventually("the end of trust", [&] { return !t.ask(t.mine, "test/echo"); });
}
