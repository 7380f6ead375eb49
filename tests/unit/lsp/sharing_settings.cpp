// SPDX-License-Identifier: Apache-2.0
//
// The settings of a server's table under those of its editors: docs/lsp.md, plugins/lsp/attach_settings.cpp.
#include "tests/unit/lsp/sharing.hpp"

using namespace lsp_test;

namespace {

const json kProjects{{"x", {{"of", "project"}, {"deep", {{"a", 1}, {"b", 2}}}}}, {"y", "project"}};

/// A folder whose project, or else the user, has settings for the server `fake`.
struct Configured {
  TempDir dir;
  json table;

  explicit Configured(std::vector<std::string> options = {}, const std::string& share = "same")
      : table(fake_server(dir, std::move(options))) {
    table["share"] = share;
  }
  /// The host merges the user's and the project's tables, and leaves out what is not trusted.
  [[nodiscard]] json with_project(const json& settings) const { return with_projects({{dir.path(), settings}}); }
  [[nodiscard]] json with_projects(const std::map<std::string, json>& projects) const {
    json out = config_of({{"fake", table}}, dir);
    out["workspaces"] = json::array();
    for (const auto& [folder, settings] : projects) {
      json own = table;
      own["settings"] = settings;
      out["workspaces"].push_back(folder);
      out["workspace_settings"][folder]["servers"]["fake"] = std::move(own);
    }
    return out;
  }
  [[nodiscard]] json with_users(const json& settings) const {
    json own = table;
    own["settings"] = settings;
    return config_of({{"fake", std::move(own)}}, dir);
  }
  /// The settings that the server was told, in order.
  [[nodiscard]] std::vector<json> told() const {
    std::vector<json> out;
    for (const auto& message : sent_to(dir, "workspace/didChangeConfiguration"))
      out.push_back(message["params"]["settings"]);
    return out;
  }
};

[[nodiscard]] json items(const std::vector<std::string>& sections) {
  json out{{"items", json::array()}};
  for (const auto& section : sections) out["items"].push_back({{"section", section}});
  return out;
}

/// What the server gets when it asks an editor that answers so.
[[nodiscard]] json configured(EditorClient& editor, const json& params, const json& answer) {
  const int asked = editor.send("test/ask", {{"method", "workspace/configuration"}, {"params", params}});
  editor.raw({{"id", editor.said("workspace/configuration")["id"]}, {"result", answer}});
  return editor.answer(asked)["result"]["result"];
}

void tell(EditorClient& editor, const json& settings) {
  editor.notify("workspace/didChangeConfiguration", {{"settings", settings}});
  REQUIRE(editor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
}

const json kNotAsked{{"workspace", {{"configuration", false}}}};

}  // namespace

TEST_CASE("settings: what an editor answers lies over the project's settings or the user's, member by member") {
  const auto [share, users] = GENERATE(table<std::string, bool>({{"same", false}, {"same", true}, {"none", false}}));
  Configured t({}, share);
  TestHost host(kPlugin, users ? t.with_users(kProjects) : t.with_project(kProjects));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(t.dir.path());
  const json x{{"of", "editor"}, {"deep", {{"b", 3}, {"a", nullptr}}}, {"own", true}};
  const json wanted{{"of", "editor"}, {"deep", {{"a", 1}, {"b", 3}}}, {"own", true}};
  REQUIRE(configured(editor, items({"x", "y", "x.deep", "z"}), {x, nullptr, 7, nullptr}) ==
          json{wanted, "project", 7, nullptr});
  REQUIRE(configured(editor, items({"x.of", "x"}), nullptr) == json{"project", kProjects["x"]});
  REQUIRE(configured(editor, items({"x.of", "y"}), {"editor"}) == json{"editor", "project"});
  REQUIRE(configured(editor, items({""}), {{{"y", json::array()}}}) ==
          json::array({{{"x", kProjects["x"]}, {"y", json::array()}}}));
  REQUIRE(configured(editor, items({"x.deep"}), json::array({json::array()})) == json::array({kProjects["x"]["deep"]}));
  host.stop();
}

TEST_CASE("settings: an error of the editor is the server's answer") {
  Configured t;
  TestHost host(kPlugin, t.with_project(kProjects));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(t.dir.path());
  const int asked = editor.send("test/ask", {{"method", "workspace/configuration"}, {"params", items({"x"})}});
  editor.raw({{"id", editor.said("workspace/configuration")["id"]}, {"error", {{"code", -1}, {"message", "no"}}}});
  REQUIRE(editor.answer(asked)["result"]["error"]["message"] == "no");
  host.stop();
}

TEST_CASE("settings: what an editor tells lies over the table, which the server is told first") {
  const std::string share = GENERATE("same", "none");
  Configured t({}, share);
  TestHost host(kPlugin, t.with_project(kProjects));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(t.dir.path());
  REQUIRE(editor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  REQUIRE(t.told() == std::vector<json>{kProjects});
  const auto messages = sent_to(t.dir);
  REQUIRE(messages.at(1)["method"] == "initialized");
  REQUIRE(messages.at(2)["method"] == "workspace/didChangeConfiguration");
  json over = kProjects;
  over["y"] = "editor";
  tell(editor, {{"y", "editor"}});
  REQUIRE(t.told().back() == over);
  for (const auto& none : {json(), json(json::object()), json(json::array())}) {
    tell(editor, none);
    REQUIRE(t.told().back() == kProjects);
  }
  REQUIRE(t.told().size() == 5);
  host.stop();
}

TEST_CASE("settings: an editor that is not asked has the project's settings under those that it has told") {
  Configured t;
  TestHost host(kPlugin, t.with_project(kProjects));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(t.dir.path(), kNotAsked);
  const auto asked = [&] {
    return editor.ask("test/ask",
                      {{"method", "workspace/configuration"}, {"params", items({"x.deep", "y"})}})["result"]["result"];
  };
  REQUIRE(asked() == json{{{"a", 1}, {"b", 2}}, "project"});
  tell(editor, {{"x", {{"deep", {{"b", 3}}}}}});
  REQUIRE(asked() == json{{{"a", 1}, {"b", 3}}, "project"});
  host.stop();
}

TEST_CASE("settings: without a table what an editor says passes with its bytes, and the server is told nothing else") {
  Configured t;
  TestHost host(kPlugin, t.with_project(json::object()));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(t.dir.path());
  const std::string told =
      R"({"jsonrpc":"2.0", "method":"workspace/didChangeConfiguration","params":{"settings":{"b":1.0e0,"a":[ ]}}})";
  editor.stream().send_text(told);
  const int asked = editor.send("test/ask", {{"method", "workspace/configuration"}, {"params", items({"x"})}});
  const std::string id = editor.said("workspace/configuration")["id"].dump();
  editor.stream().send_text(R"({"jsonrpc":"2.0", "id":)" + id + R"(,"result":[ {"b":1.0e0, "a":null}]})");
  (void)editor.answer(asked);
  std::ifstream log(t.dir.log());
  const std::string text{std::istreambuf_iterator<char>(log), {}};
  REQUIRE(text.find(told + "\n") != std::string::npos);
  REQUIRE(text.find(R"("result":[ {"b":1.0e0, "a":null}]})") != std::string::npos);
  REQUIRE(t.told().size() == 1);
  host.stop();
}

TEST_CASE("settings: the member of the server's name lies under the editor's initializationOptions") {
  const std::string share = GENERATE("same", "none");
  Configured t({}, share);
  TestHost host(kPlugin, t.with_project({{"fake", {{"flags", 1}, {"more", 2}}}}));
  EditorClient editor(host, {{"server", "fake"}});
  (void)editor.ask("initialize", {{"rootUri", "file://" + t.dir.path()},
                                  {"initializationOptions", {{"flags", "editor"}}},
                                  {"capabilities", all_capabilities()}});
  REQUIRE(sent_to(t.dir, "initialize").at(0)["params"]["initializationOptions"] ==
          json{{"flags", "editor"}, {"more", 2}});
  host.stop();
}

TEST_CASE("settings: an edit of the project's file reaches a server that editors share, and they go on sharing it") {
  Configured t;
  TestHost host(kPlugin, t.with_project(kProjects));
  EditorClient a(host, {{"server", "fake"}}, 100'000, 1), b(host, {{"server", "fake"}}, 100'000, 2);
  a.initialize(t.dir.path(), kNotAsked);
  b.initialize(t.dir.path(), kNotAsked);
  REQUIRE(b.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  REQUIRE(t.told() == std::vector<json>{kProjects});
  const auto asked = [&](EditorClient& editor) {
    return editor.ask("test/ask",
                      {{"method", "workspace/configuration"}, {"params", items({"y"})}})["result"]["result"];
  };
  REQUIRE(asked(a) == json{"project"});
  host.reconfigure(t.with_project({{"y", "edited"}}));
  REQUIRE(asked(b) == json{"edited"});
  REQUIRE(t.told() == std::vector<json>{kProjects, {{"y", "edited"}}});
  host.reconfigure(t.with_project({{"y", "edited"}}));  // nothing has changed
  REQUIRE(asked(a) == json{"edited"});
  REQUIRE(t.told().size() == 2);
  EditorClient late(host, {{"server", "fake"}}, 100'000, 3);
  late.initialize(t.dir.path(), kNotAsked);
  REQUIRE(asked(late) == json{"edited"});
  REQUIRE(attached(host) == 1);
  REQUIRE(sent_to(t.dir, "initialize").size() == 1);
  host.stop();
}

TEST_CASE("settings: those of a project that is not trusted any more are taken back") {
  Configured t;
  TestHost host(kPlugin, t.with_project(kProjects));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(t.dir.path());
  REQUIRE(configured(editor, items({"y"}), json::array({nullptr})) == json{"project"});
  host.reconfigure(config_of({{"fake", t.table}}, t.dir));
  REQUIRE(configured(editor, items({"y"}), json::array({nullptr})) == json::array({nullptr}));
  REQUIRE(t.told() == std::vector<json>{kProjects, json::object()});
  tell(editor, {{"own", 1}});
  REQUIRE(t.told().back() == json{{"own", 1}});
  host.reconfigure(t.with_project(kProjects));
  REQUIRE(editor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  REQUIRE(t.told().back() == json{{"own", 1}, {"x", kProjects["x"]}, {"y", "project"}});
  host.stop();
}

TEST_CASE("settings: those of the project hold in whose folder the server runs") {
  Configured t;
  const std::string one = t.dir / "one", two = t.dir / "two";
  for (const auto& folder : {one, two, t.dir / "other"}) std::filesystem::create_directories(folder);
  TestHost host(kPlugin, t.with_projects({{one, {{"y", "one"}}}, {two, {{"y", "two"}}}}));
  const std::string name = GENERATE("one", "two", "other");
  EditorClient editor(host, {{"server", "fake"}, {"cwd", one}});
  editor.initialize(t.dir / name);
  const json wanted = name == "other" ? json() : json(name);
  REQUIRE(configured(editor, items({"y"}), json::array({nullptr})) == json::array({wanted}));
  host.stop();
}

TEST_CASE("settings: editors are compared by what they say themselves") {
  Configured t;
  TestHost host(kPlugin, t.with_project(kProjects));
  EditorClient a(host, {{"server", "fake"}}, 100'000, 1), b(host, {{"server", "fake"}}, 100'000, 2);
  a.initialize(t.dir.path());
  b.initialize(t.dir.path());
  REQUIRE(b.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  const bool same = GENERATE(true, false);
  SECTION("by their answers") {
    const int asked = a.send("test/ask", {{"method", "workspace/configuration"}, {"params", items({"y"})}});
    a.raw({{"id", a.said("workspace/configuration")["id"]}, {"result", {nullptr}}});
    REQUIRE(a.answer(asked)["result"]["result"] == json{"project"});
    b.raw({{"id", b.said("workspace/configuration")["id"]}, {"result", {same ? json() : json("project")}}});
  }
  SECTION("by what they tell") {
    tell(a, json::object());
    b.notify("workspace/didChangeConfiguration", {{"settings", same ? json() : json{{"y", "project"}}}});
  }
  if (!same) host.wait("two servers", [&] { return attached(host) == 2; });
  REQUIRE(b.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  REQUIRE(attached(host) == (same ? 1 : 2));
  host.stop();
}

TEST_CASE("settings: a server that is started again is told what is in force by then") {
  Configured t;
  TestHost host(kPlugin, t.with_project(kProjects));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(t.dir.path());
  const bool told = GENERATE(true, false);
  REQUIRE(editor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  if (told) tell(editor, {{"own", 1}});
  const auto before = t.told().size();
  REQUIRE(value_of(host.call("lsp.stop", {{"server", "fake"}}))["stopped"] == 1);
  host.reconfigure(t.with_project({{"y", "edited"}}));
  REQUIRE(value_of(host.call("lsp.restart", {{"server", "fake"}}))["restarted"] == 1);
  REQUIRE(editor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  REQUIRE(t.told().size() == before + 1);
  REQUIRE(t.told().back() == (told ? json{{"own", 1}, {"y", "edited"}} : json{{"y", "edited"}}));
  host.stop();
}

// The server does not outlive it here; in tests/integration/lsp_reload.cpp it does.
TEST_CASE("settings: those of the project hold after a reload of the plugin, as they are by then") {
  Configured t;
  std::string given;
  std::vector<std::uint64_t> streams;
  {
    TestHost host(kPlugin, t.with_project(kProjects));
    EditorClient editor(host, {{"server", "fake"}});
    editor.initialize(t.dir.path());
    REQUIRE(editor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
    static_cast<gantry::testing::TestHost&>(host).stop();  // and the next instance comes
    given = host.given().value();
    streams = host.given_streams();
  }
  const bool edited = GENERATE(false, true);
  const json now = edited ? json{{"y", "edited"}} : kProjects;
  TestHost next(kPlugin, t.with_project(now), given);
  auto editor = EditorClient::resumed(next, {{"server", "fake"}}, streams.at(0));
  REQUIRE(configured(editor, items({"y"}), json::array({nullptr})) == json::array({now["y"]}));
  REQUIRE(t.told() == std::vector<json>{kProjects, now});
  next.stop();
}
