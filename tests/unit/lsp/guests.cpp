// SPDX-License-Identifier: Apache-2.0
//
// Callers that share the server of editors.
#include "tests/unit/lsp/life.hpp"
#include "tests/unit/lsp/sharing.hpp"

using namespace lsp_test;

namespace {

/// An editor whose server callers share.
struct Shared {
  TempDir dir;
  std::string file = dir.write("a.fake", "on the disk");
  std::string uri = "file://" + file;
  TestHost host;
  EditorClient editor;

  explicit Shared(std::vector<std::string> options = {}, const json& lsp = json::object(),
                  const json& table = json::object())
      : host(kPlugin, config_of({{"fake", Asked::merged(fake_server(dir, std::move(options)), table)}}, dir,
                                json::object(), lsp)),
        editor(host, {{"server", "fake"}}) {
    editor.initialize(dir.path());
    (void)editor.ask("test/echo");
  }
  [[nodiscard]] json ask(const std::string& method, const json& params = json::object()) {
    return value_of(host.call("lsp.request", request(file, method, params)));
  }
  [[nodiscard]] std::string seen_by_callers() { return ask("textDocument/hover")["contents"]; }
  [[nodiscard]] std::string seen_by_editor() {
    return editor.ask("textDocument/hover", hover_of(uri))["result"]["contents"];
  }
  [[nodiscard]] json diagnostics(int wait_ms = 10'000) {
    return value_of(host.call("lsp.diagnostics", {{"uri", file}, {"wait_ms", wait_ms}}));
  }
  [[nodiscard]] std::size_t processes() const { return sent_to(dir, "initialize").size(); }
  [[nodiscard]] json servers() {
    json out = json::array();
    for (const auto& server : value_of(host.call("lsp.servers")).at("servers")) {
      if (server.contains("pid")) out.push_back(server);
    }
    return out;
  }
};

}  // namespace

TEST_CASE("guests: callers share the server that an editor of their root has") {
  Shared t;
  REQUIRE(t.seen_by_callers() == "on the disk");
  REQUIRE(t.ask("test/echo", {{"a", 1}}) == json{{"a", 1}});
  REQUIRE(t.processes() == 1);
  const auto servers = t.servers();
  REQUIRE(servers.size() == 1);
  REQUIRE(servers[0]["kind"] == "attached");
  json requests = json::array();
  for (const auto& user : servers[0]["used_by"]) requests.push_back(user["requests"]);
  REQUIRE(requests == json({1, 2}));  // of the editor, and of the caller
  REQUIRE(count(t.host, "lsp.server.started") == 1);
  t.host.stop();
}

TEST_CASE("guests: callers see the disk and the editor its own text, whoever asks") {
  Shared t;
  t.editor.open(t.uri, "unsaved");
  REQUIRE(t.seen_by_editor() == "unsaved");
  REQUIRE(t.seen_by_callers() == "on the disk");
  REQUIRE(t.seen_by_editor() == "unsaved");
  t.dir.write("a.fake", "another text");
  REQUIRE(t.seen_by_callers() == "another text");
  t.editor.notify("textDocument/didChange", changed(t.uri, 2, "still unsaved"));
  REQUIRE(t.seen_by_editor() == "still unsaved");
  REQUIRE(t.seen_by_callers() == "another text");
  REQUIRE(t.processes() == 1);
  t.host.stop();
}

TEST_CASE("guests: a server of another root, of another name or that is not shared takes none") {
  TempDir dir, other;
  const auto file = dir.write("a.fake", "text");
  auto alone = fake_server(dir);
  const bool unshared = GENERATE(false, true);
  if (unshared) alone["share"] = "none";
  TestHost host(kPlugin, config_of({{"fake", alone}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(unshared ? dir.path() : other.path());
  REQUIRE(value_of(host.call("lsp.request", request(file, "textDocument/hover")))["contents"] == "text");
  REQUIRE(sent_to(dir, "initialize").size() == 2);
  REQUIRE(server_entry(host, "shared")["state"] == "ready");
  host.stop();
}

TEST_CASE(
    "guests: a part of the workspace with a root of its own is asked at the server that editors have for it all") {
  TempDir dir;
  std::filesystem::create_directories(dir / "part");
  (void)dir.write("part/fake.root", "");
  const auto file = dir.write("part/a.fake", "text");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  const auto ask = [&] { return value_of(host.call("lsp.request", request(file, "test/echo", {{"x", 1}}))); };
  EditorClient outer(host, {{"server", "fake"}}, 100'000, 1);
  outer.initialize(dir.path());
  REQUIRE(ask() == json{{"x", 1}});
  REQUIRE(sent_to(dir, "initialize").size() == 1);
  // That of an editor of the part alone is nearer.
  EditorClient inner(host, {{"server", "fake"}}, 100'000, 2);
  inner.initialize(dir / "part");
  REQUIRE(sent_to(dir, "initialize").size() == 2);
  std::filesystem::create_directories(dir / "part/more");
  (void)dir.write("part/more/fake.root", "");
  REQUIRE(value_of(host.call("lsp.request", request(dir.write("part/more/b.fake", "text"), "test/echo"))) ==
          json::object());
  for (const auto& server : value_of(host.call("lsp.servers")).at("servers")) {
    INFO(server.dump());
    if (server.contains("pid")) REQUIRE(server["used_by"].size() == 2);
  }
  REQUIRE(sent_to(dir, "initialize").size() == 2);
  host.stop();
}

TEST_CASE("guests: a server of editors around the workspace is not the workspace's") {
  TempDir home;
  std::filesystem::create_directories(home / "project");
  const auto file = home.write("project/a.fake", "text");
  auto config = config_of({{"fake", fake_server(home)}}, home);
  config["workspaces"] = json::array({home / "project"});
  TestHost host(kPlugin, config);
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(home.path());
  REQUIRE(value_of(host.call("lsp.request", request(file, "textDocument/hover")))["contents"] == "text");
  REQUIRE(sent_to(home, "initialize").size() == 2);
  host.stop();
}

TEST_CASE("guests: the server's settings and questions are the editor's, but for those of a caller's command") {
  Shared t;
  REQUIRE(t.seen_by_callers() == "on the disk");
  const int asked =
      t.editor.send("test/ask", {{"method", "workspace/configuration"}, {"params", {{"items", {{{"section", "x"}}}}}}});
  t.editor.raw({{"id", t.editor.said("workspace/configuration")["id"]}, {"result", {"of the editor"}}});
  REQUIRE(t.editor.answer(asked)["result"]["result"] == json{"of the editor"});
  // A caller was active last, and the editor's user is asked all the same.
  auto question = t.host.begin("lsp.request", request(t.file, "test/ask", {{"method", "window/showMessageRequest"}}));
  t.editor.raw({{"id", t.editor.said("window/showMessageRequest")["id"]}, {"result", {{"title", "yes"}}}});
  REQUIRE(value_of(question.result())["result"] == json{{"title", "yes"}});
  t.host.stop();
}

TEST_CASE("guests: an edit that a caller's command wants is not the editor's to apply") {
  TempDir edits;
  const auto edit = edits.write("edit.json", R"({"edit":{"changes":{}}})");
  Shared t({"--sends-edit", edit});
  auto answer = t.host.call("lsp.request", request(t.file, "workspace/executeCommand", {{"command", "x"}}));
  REQUIRE_FALSE(answer);  // the fake server says so when its edit is not applied
  for (const auto& message : t.editor.kept()) REQUIRE(message.value("method", "") != "workspace/applyEdit");
  t.host.stop();
}

TEST_CASE("guests: diagnostics are those of the disk, with the version, while the editor has another text") {
  Shared t({"--diagnose"});
  t.editor.open(t.uri, "bad unsaved");
  (void)t.editor.take([](const json& m) {
    return m.value("method", "") == "textDocument/publishDiagnostics" && !m["params"]["diagnostics"].empty();
  });
  const auto clean = t.diagnostics();
  REQUIRE(clean["diagnostics"].empty());
  t.dir.write("a.fake", "bad on the disk\nbad");
  const auto two = t.diagnostics();
  REQUIRE(two["freshness"] == "fresh");
  REQUIRE(two["diagnostics"].size() == 2);
  REQUIRE(t.seen_by_editor() == "bad unsaved");
  t.host.stop();
}

TEST_CASE("guests: diagnostics of a text that the server has already are found anew") {
  Shared t({"--diagnose"});
  t.dir.write("a.fake", "bad");
  t.editor.open(t.uri, "bad");
  (void)t.editor.said("textDocument/publishDiagnostics");
  const auto before = sent_to(t.dir, "textDocument/didChange").size();
  const auto found = t.diagnostics();
  REQUIRE(found["freshness"] == "fresh");
  REQUIRE(found["diagnostics"].size() == 1);
  REQUIRE(sent_to(t.dir, "textDocument/didChange").size() > before);
  t.host.stop();
}

TEST_CASE("guests: the server stays for callers when the last editor leaves, and for one that comes back") {
  Shared t;
  REQUIRE(t.seen_by_callers() == "on the disk");
  leave(t.editor);
  REQUIRE(t.seen_by_callers() == "on the disk");
  REQUIRE(
      t.ask("test/ask", {{"method", "workspace/configuration"}, {"params", {{"items", {json::object()}}}}})["result"]
          .is_array());
  EditorClient again(t.host, {{"server", "fake"}}, 100'000, 2);
  again.initialize(t.dir.path());
  again.open(t.uri, "unsaved");
  REQUIRE(again.ask("textDocument/hover", hover_of(t.uri))["result"]["contents"] == "unsaved");
  REQUIRE(t.processes() == 1);
  t.host.stop();
}

TEST_CASE("guests: a server that nobody asks any more ends when the last editor has left") {
  Shared t({}, {{"idle_stop_seconds", 60}});
  REQUIRE(t.seen_by_callers() == "on the disk");
  leave(t.editor);
  t.host.wait("the idle stop", [&] {
    t.host.advance(std::chrono::seconds(60));
    return t.servers().empty();
  });
  REQUIRE(sent_to(t.dir, "shutdown").size() == 1);
  REQUIRE(t.seen_by_callers() == "on the disk");
  REQUIRE(t.processes() == 2);
  t.host.stop();
}

TEST_CASE("guests: a crash hits editor and callers alike, and both go on with one process") {
  Shared t;
  t.editor.open(t.uri, "unsaved");
  REQUIRE(t.seen_by_callers() == "on the disk");
  const auto error = t.host.call("lsp.request", request(t.file, "test/crash")).error();
  REQUIRE(error.kind == ErrorKind::unavailable);
  REQUIRE(t.seen_by_callers() == "on the disk");
  REQUIRE(t.seen_by_editor() == "unsaved");
  REQUIRE(t.processes() == 2);
  REQUIRE(t.servers().size() == 1);
  t.host.stop();
}

TEST_CASE("guests: lsp.stop and lsp.restart count one process, and callers go on") {
  Shared t;
  REQUIRE(t.seen_by_callers() == "on the disk");
  REQUIRE(value_of(t.host.call("lsp.restart", {{"server", "fake"}}))["restarted"] == 1);
  REQUIRE(t.seen_by_callers() == "on the disk");
  REQUIRE(t.processes() == 2);
  REQUIRE(value_of(t.host.call("lsp.stop", {{"server", "fake"}}))["stopped"] == 1);
  require_stopped(t.host.call("lsp.request", request(t.file, "test/echo")).error());
  REQUIRE(value_of(t.host.call("lsp.restart", {{"server", "fake"}}))["restarted"] == 2);  // callers have one again
  REQUIRE(t.seen_by_callers() == "on the disk");
  t.host.stop();
}

TEST_CASE("guests: callers with a process of their own go over to an editor's when none of them asks") {
  TempDir dir;
  const auto file = dir.write("a.fake", "text");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  auto open = host.begin("lsp.request", request(file, "test/hang"));
  REQUIRE(value_of(host.call("lsp.request", request(file, "textDocument/hover")))["contents"] == "text");
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  (void)editor.ask("test/echo");
  REQUIRE(value_of(host.call("lsp.request", request(file, "textDocument/hover")))["contents"] == "text");
  REQUIRE(server_entry(host, "shared")["state"] == "ready");  // somebody waits for it
  REQUIRE(value_of(host.call("lsp.request", request(file, "test/release"))) == "released");
  REQUIRE(value_of(open.result()) == "late");
  REQUIRE(value_of(host.call("lsp.request", request(file, "textDocument/hover")))["contents"] == "text");
  REQUIRE(server_entry(host, "shared").is_null());
  REQUIRE(sent_to(dir, "initialize").size() == 2);
  REQUIRE(value_of(host.call("lsp.request", request(file, "test/echo"))) == json::object());
  host.stop();
}

TEST_CASE("guests: progress that began before a caller came is known to it") {
  Shared t;
  (void)t.editor.send("test/ask", {{"method", "window/workDoneProgress/create"}, {"params", {{"token", "index"}}}});
  t.editor.raw({{"id", t.editor.said("window/workDoneProgress/create")["id"]}, {"result", nullptr}});
  const auto progress = [&](const char* kind) {
    (void)t.editor.ask("test/notify", {{"method", "$/progress"},
                                       {"params", {{"token", "index"}, {"value", {{"kind", kind}, {"title", "x"}}}}}});
  };
  progress("begin");
  auto hanging = t.host.begin("lsp.request", request(t.file, "test/hang"));
  (void)t.ask("test/echo");
  t.host.advance(std::chrono::seconds(10));
  REQUIRE(hanging.result().error().message.find("still indexing") != std::string::npos);
  progress("end");
  auto again = t.host.begin("lsp.request", request(t.file, "test/hang"));
  (void)t.ask("test/echo");
  t.host.advance(std::chrono::seconds(10));
  REQUIRE(again.result().error().message.find("still indexing") == std::string::npos);
  t.host.stop();
}

TEST_CASE("guests: limits of editors do not hold for callers, nor do theirs for editors") {
  Shared t({}, {{"editor_max_concurrent_requests", 1}, {"editor_request_timeout_seconds", 1}});
  const int held = t.editor.send("test/hang");  // the one permit
  REQUIRE(t.seen_by_callers() == "on the disk");
  auto callers = t.host.begin("lsp.request", request(t.file, "test/hang"));
  t.host.wait("both", [&] { return sent_to(t.dir, "test/hang").size() == 2; });
  t.host.advance(std::chrono::seconds(2));
  REQUIRE(kind_of(t.editor.answer(held)) == "timeout");
  REQUIRE(t.ask("test/release") == "released");
  REQUIRE(value_of(callers.result()) == "late");
  t.host.stop();
}

TEST_CASE("guests: of two editors the one that was active last is asked, though callers have asked since") {
  Two t;
  const auto file = t.dir.write("a.fake", "text");
  (void)t.b.ask("test/echo");
  (void)t.a.ask("test/echo");
  (void)t.b.ask("test/echo");
  auto question = t.host.begin("lsp.request", request(file, "test/ask", {{"method", "window/showMessageRequest"}}));
  t.b.raw({{"id", t.b.said("window/showMessageRequest")["id"]}, {"result", {{"title", "of b"}}}});
  REQUIRE(value_of(question.result())["result"]["title"] == "of b");
  t.host.stop();
}

TEST_CASE("guests: at a reload of the plugin the editor keeps its server, and callers come back to it") {
  TempDir dir;
  const auto file = dir.write("a.fake", "on the disk");
  const auto uri = "file://" + file;
  const auto config = config_of({{"fake", fake_server(dir)}}, dir);
  const auto seen_by_callers = [&](TestHost& host) {
    return value_of(host.call("lsp.request", request(file, "textDocument/hover")))["contents"];
  };
  std::string given;
  std::uint64_t stream = 0;
  {
    TestHost host(kPlugin, config);
    EditorClient editor(host, {{"server", "fake"}});
    editor.initialize(dir.path());
    editor.open(uri, "unsaved");
    (void)editor.ask("test/echo");
    REQUIRE(seen_by_callers(host) == "on the disk");
    static_cast<gantry::testing::TestHost&>(host).stop();
    given = host.given().value();
    stream = host.given_streams().at(0);
  }
  TestHost next(kPlugin, config, given);
  auto editor = EditorClient::resumed(next, {{"server", "fake"}}, stream);
  REQUIRE(editor.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "unsaved");
  REQUIRE(seen_by_callers(next) == "on the disk");
  REQUIRE(editor.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "unsaved");
  next.stop();
}

TEST_CASE("guests: the workspace stays the server's when the last editor has left") {
  Shared t({"--capabilities", R"({"workspace":{"workspaceFolders":{"supported":true,"changeNotifications":true}}})"});
  REQUIRE(t.seen_by_callers() == "on the disk");
  leave(t.editor);
  REQUIRE(t.seen_by_callers() == "on the disk");
  REQUIRE(sent_to(t.dir, "workspace/didChangeWorkspaceFolders").empty());
  REQUIRE_FALSE(t.host.call("lsp.request", request(t.file, "test/crash")));
  REQUIRE(t.seen_by_callers() == "on the disk");
  t.host.stop();
}

TEST_CASE("guests: an editor beside callers alone changes its settings as if it were alone") {
  Shared t;
  REQUIRE(t.seen_by_callers() == "on the disk");
  for (const json& settings : {json{{"x", 1}}, json{{"x", 2}}, json()}) {
    t.editor.notify("workspace/didChangeConfiguration", {{"settings", settings}});
    (void)t.editor.ask("test/echo");
    REQUIRE(sent_to(t.dir, "workspace/didChangeConfiguration").back()["params"]["settings"] == settings);
  }
  t.editor.notify("workspace/didChangeConfiguration", {{"settings", nullptr}});  // as editors say that they be asked
  (void)t.editor.ask("test/echo");
  REQUIRE(sent_to(t.dir, "workspace/didChangeConfiguration").size() == 4);
  const json items{{"items", {{{"section", "x"}}}}};
  for (const int x : {1, 2}) {
    const int asked = t.editor.send("test/ask", {{"method", "workspace/configuration"}, {"params", items}});
    t.editor.raw({{"id", t.editor.said("workspace/configuration")["id"]}, {"result", {x}}});
    REQUIRE(t.editor.answer(asked)["result"]["result"] == json{x});
  }
  REQUIRE(t.seen_by_callers() == "on the disk");
  REQUIRE(t.processes() == 1);
  // One who comes when callers alone are left is asked anew.
  leave(t.editor);
  EditorClient next(t.host, {{"server", "fake"}}, 100'000, 2);
  next.initialize(t.dir.path());
  (void)next.ask("test/echo");
  REQUIRE(sent_to(t.dir, "workspace/didChangeConfiguration").size() == 5);
  REQUIRE(t.processes() == 1);
  t.host.stop();
}

TEST_CASE("guests: an editor that reads nothing beside callers ends at the bound, and callers go on") {
  TempDir dir;
  const auto file = dir.write("a.fake", "text");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient deaf(host, {{"server", "fake"}}, 1);
  deaf.initialize(dir.path());
  REQUIRE(host.call("lsp.request", request(file, "test/echo")));
  REQUIRE(host.call("lsp.request", request(file, "test/flood", {{"count", 70}, {"size", 1 << 20}})));
  REQUIRE(deaf.stream().result().error().kind == ErrorKind::overloaded);
  REQUIRE(host.call("lsp.request", request(file, "test/echo")));
  host.stop();
}
