// SPDX-License-Identifier: Apache-2.0
//
// lsp.stop: a server that is stopped, and stays so until lsp.restart, for callers and for editors.
#include "tests/unit/lsp/life.hpp"

using namespace lsp_test;

TEST_CASE("lsp.stop: a server ends by shutdown and exit in every root and stays stopped until lsp.restart") {
  Asked t;
  TempDir other;
  other.write("fake.root", "");
  const auto there = other.write("b.fake", "text");
  REQUIRE(t.host.call("lsp.request", request(there, "test/echo")));
  const int pid = server_entry(t.host, "shared")["pid"];
  REQUIRE(value_of(t.host.call("lsp.stop", {{"server", "fake"}})) == json{{"server", "fake"}, {"stopped", 2}});
  // At once, also for a root that had none.
  TempDir third;
  third.write("fake.root", "");
  for (const auto& file : {t.file, there, third.write("c.fake", "text")}) {
    require_stopped(t.host.call("lsp.request", request(file, "test/echo")).error());
    require_stopped(t.host.call("lsp.diagnostics", {{"uri", file}}).error());
  }
  require_clean_exits(t.host, 2);
  REQUIRE_FALSE(alive(pid));
  REQUIRE(sent_to(t.dir, "shutdown").size() == 2);
  REQUIRE(sent_to(t.dir, "exit").size() == 2);
  const auto entry = wait_for_state(t.host, "shared", "stopped");
  REQUIRE_FALSE(entry.contains("pid"));
  REQUIRE(value_of(t.host.call("lsp.stop", {{"server", "fake"}}))["stopped"] == 0);
  t.host.advance(std::chrono::minutes(10));
  require_stopped(t.host.call("lsp.request", request(t.file, "test/echo")).error());
  REQUIRE(sent_to(t.dir, "initialize").size() == 2);

  REQUIRE(t.host.call("lsp.restart", {{"server", "fake"}}));
  REQUIRE(t.ask("test/echo", {{"x", 1}})["x"] == 1);
  REQUIRE(t.ask("textDocument/hover")["contents"] == "text");  // the next process knows nothing of the first
}

TEST_CASE("lsp.stop: a server without a process is stopped too and an unknown one is not found") {
  TempDir dir;
  const auto file = dir.write("a.fake", "text");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  REQUIRE(host.call("lsp.stop", {{"server", "fak"}}).error().kind == ErrorKind::not_found);
  REQUIRE(value_of(host.call("lsp.stop", {{"server", "fake"}}))["stopped"] == 0);
  for (const auto& server : value_of(host.call("lsp.servers"))["servers"])
    REQUIRE((server["name"] != "fake" || server["state"] == "stopped"));
  require_stopped(host.call("lsp.request", request(file, "test/echo")).error());
  REQUIRE(sent_to(dir).empty());
  REQUIRE(value_of(host.call("lsp.restart", {{"server", "fake"}}))["restarted"] == 0);
  REQUIRE(host.call("lsp.request", request(file, "test/echo")));
  host.stop();
}

TEST_CASE("lsp.stop: what waits for a server that starts is refused at once and the server is sent exit") {
  TempDir dir;
  const auto file = dir.write("a.fake", "text");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--hang-initialize"})}}, dir));
  auto call = host.begin("lsp.request", request(file, "test/echo"));
  host.wait("initialize", [&] { return sent_to(dir, "initialize").size() == 1; });
  REQUIRE(value_of(host.call("lsp.stop", {{"server", "fake"}}))["stopped"] == 1);
  require_stopped(call.result().error());
  wait_for_state(host, "shared", "stopped");
  require_clean_exits(host, 1);
  REQUIRE(sent_to(dir, "shutdown").empty());
  host.stop();
}

TEST_CASE("lsp.stop: a server that does not exit is killed after its grace, and a call in flight says why it failed") {
  TempDir dir;
  const auto file = dir.write("a.fake", "text");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--ignore-exit"})}}, dir));
  auto call = host.begin("lsp.request", request(file, "test/hang"));
  host.wait("the call", [&] { return sent_to(dir, "test/hang").size() == 1; });
  const int pid = server_entry(host, "shared")["pid"];
  REQUIRE(host.call("lsp.stop", {{"server", "fake"}}));
  host.wait("shutdown", [&] { return sent_to(dir, "shutdown").size() == 1; });
  REQUIRE(server_entry(host, "shared")["state"] == "stopping");
  REQUIRE(alive(pid));
  host.advance(std::chrono::seconds(2));
  require_stopped(call.result().error());
  wait_for_state(host, "shared", "stopped");
  REQUIRE_FALSE(alive(pid));
  host.stop();
}

TEST_CASE("lsp.stop: lsp.restart before the process has ended lets the next one follow") {
  TempDir dir;
  const auto file = dir.write("a.fake", "text");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--ignore-exit"})}}, dir));
  REQUIRE(host.call("lsp.request", request(file, "test/echo")));
  REQUIRE(host.call("lsp.stop", {{"server", "fake"}}));
  REQUIRE(host.call("lsp.restart", {{"server", "fake"}}));
  auto call = host.begin("lsp.request", request(file, "test/echo", {{"x", 1}}));
  host.advance(std::chrono::seconds(2));
  REQUIRE(value_of(call.result())["x"] == 1);
  REQUIRE(sent_to(dir, "initialize").size() == 2);
  stop_stubborn(host);
}

TEST_CASE("lsp.stop: a server that waits for its next start after crashes does not start any more") {
  Asked t;
  for (std::size_t crash = 1; crash <= 2; ++crash) {
    REQUIRE_FALSE(t.host.call("lsp.request", request(t.file, "test/crash")));
    t.host.wait("the restart", [&] { return count(t.host, "lsp.server.restarting") == crash; });
  }
  REQUIRE(server_entry(t.host, "shared")["state"] == "backing_off");
  REQUIRE(t.host.call("lsp.stop", {{"server", "fake"}}));
  REQUIRE(server_entry(t.host, "shared")["state"] == "stopped");
  t.host.advance(std::chrono::minutes(1));
  REQUIRE(server_entry(t.host, "shared")["state"] == "stopped");
  REQUIRE(t.host.call("lsp.restart", {{"server", "fake"}}));
  REQUIRE(server_entry(t.host, "shared")["state"] == "not_started");
  REQUIRE(t.ask("test/echo", {{"x", 1}})["x"] == 1);
}

TEST_CASE("lsp.stop: an editor keeps its session, its requests are refused and after lsp.restart all is open again") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  editor.open("file:///a.fake", "old", "fake", 1);
  const int hangs = editor.send("test/hang");
  (void)editor.ask("test/echo");
  REQUIRE(value_of(host.call("lsp.stop", {{"server", "fake"}}))["stopped"] == 1);
  const auto told = editor.said("window/showMessage")["params"];
  REQUIRE(told["type"] == 2);
  REQUIRE(told["message"].get<std::string>().find("gantry call lsp.restart server=fake") != std::string::npos);
  const auto lost = editor.answer(hangs);
  REQUIRE(kind_of(lost) == "unavailable");
  REQUIRE(lost["error"]["message"].get<std::string>().find("lsp.restart") != std::string::npos);
  wait_for_state(host, "attached", "stopped");
  require_clean_exits(host, 1);

  // Whatever the editor says meanwhile, more than it has credit for.
  for (int i = 2; i <= 400; ++i) {
    editor.notify("textDocument/didChange", {{"textDocument", {{"uri", "file:///a.fake"}, {"version", i}}},
                                             {"contentChanges", {{{"text", "text " + std::to_string(i)}}}}});
  }
  editor.open("file:///b.fake", "new", "fake", 7);
  const auto refused = editor.ask("textDocument/hover", {{"textDocument", {{"uri", "file:///a.fake"}}}});
  REQUIRE(refused["error"]["code"] == -32803);
  REQUIRE(refused["error"]["message"].get<std::string>().find("lsp.restart") != std::string::npos);
  REQUIRE(sent_to(dir, "initialize").size() == 1);
  for (const auto& kept : editor.kept()) REQUIRE(kept.value("method", "") != "window/showMessage");  // once

  REQUIRE(value_of(host.call("lsp.restart", {{"server", "fake"}}))["restarted"] == 1);
  const auto hover = editor.ask("textDocument/hover", {{"textDocument", {{"uri", "file:///a.fake"}}}});
  REQUIRE(hover["result"]["contents"] == "text 400");
  REQUIRE(hover["result"]["version"] == 400);
  REQUIRE(editor.ask("textDocument/hover", {{"textDocument", {{"uri", "file:///b.fake"}}}})["result"]["version"] == 7);
  host.stop();
}

TEST_CASE("lsp.stop: an editor that attaches to a stopped server is refused, and one may shut down and exit") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  EditorClient silent(host, {{"server", "fake"}});  // it has not said anything yet
  REQUIRE(host.call("lsp.stop", {{"server", "fake"}}));
  require_stopped(silent.stream().result().error());
  require_stopped(host.open("lsp.attach", {{"server", "fake"}}, 10).result().error());
  wait_for_state(host, "attached", "stopped");
  REQUIRE(editor.ask("shutdown")["result"].is_null());
  REQUIRE(host.call("lsp.restart", {{"server", "fake"}}));  // it needs none any more
  editor.notify("exit");
  REQUIRE(editor.stream().result());
  REQUIRE(sent_to(dir, "initialize").size() == 1);
  host.stop();
}

TEST_CASE("lsp.stop: an editor whose server starts gets an error for its initialize and its session ends") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--hang-initialize"})}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  const int id = editor.send("initialize", {{"rootUri", "file://" + dir.path()}, {"capabilities", json::object()}});
  host.wait("initialize", [&] { return sent_to(dir, "initialize").size() == 1; });
  REQUIRE(host.call("lsp.stop", {{"server", "fake"}}));
  REQUIRE(editor.answer(id)["error"]["message"].get<std::string>().find("lsp.restart") != std::string::npos);
  require_stopped(editor.stream().result().error());
  host.wait("the exit", [&] { return count(host, "lsp.server.exited") == 1; });
  host.stop();
}

TEST_CASE("lsp.stop: a stopped server stays stopped when the plugin is reloaded, and its editor goes on after that") {
  TempDir dir;
  const auto file = dir.write("a.fake", "text");
  const auto config = config_of({{"fake", fake_server(dir)}}, dir);
  std::string given;
  gantry::testing::CallWith with{.credit = 100};
  {
    TestHost host(kPlugin, config);
    EditorClient editor(host, {{"server", "fake"}});
    editor.initialize(dir.path());
    editor.open("file:///a.fake", "mine");
    REQUIRE(host.call("lsp.stop", {{"server", "fake"}}));
    wait_for_state(host, "attached", "stopped");
    static_cast<gantry::testing::TestHost&>(host).stop();
    given = host.given().value();
    with.resumes = host.given_streams().at(0);
  }
  TestHost next(kPlugin, config, given);
  [[maybe_unused]] const auto stream = next.begin("lsp.attach", {{"server", "fake"}}, std::move(with));
  wait_for_state(next, "attached", "stopped");
  require_stopped(next.call("lsp.request", request(file, "test/echo")).error());
  REQUIRE(next.call("lsp.restart", {{"server", "fake"}}));
  next.wait("the document", [&] { return sent_to(dir, "textDocument/didOpen").size() == 2; });
  REQUIRE(sent_to(dir, "textDocument/didOpen").back()["params"]["textDocument"]["text"] == "mine");
  REQUIRE(sent_to(dir, "initialize").size() == 2);
  next.stop();
}

TEST_CASE("lsp.stop: what is called while an editor waits for the next instance holds for it too") {
  TempDir dir;
  const auto config = config_of({{"fake", fake_server(dir)}}, dir);
  for (const bool was_stopped : {false, true}) {
    std::string given;
    gantry::testing::CallWith with{.credit = 100};
    {
      TestHost host(kPlugin, config);
      EditorClient editor(host, {{"server", "fake"}});
      editor.initialize(dir.path());
      (void)editor.ask("test/echo");
      if (was_stopped) {
        REQUIRE(host.call("lsp.stop", {{"server", "fake"}}));
        wait_for_state(host, "attached", "stopped");
      }
      static_cast<gantry::testing::TestHost&>(host).stop();
      given = host.given().value();
      with.resumes = host.given_streams().at(0);
    }
    TestHost next(kPlugin, config, given);
    REQUIRE(next.call(was_stopped ? "lsp.restart" : "lsp.stop", {{"server", "fake"}}));
    [[maybe_unused]] const auto stream = next.begin("lsp.attach", {{"server", "fake"}}, std::move(with));
    wait_for_state(next, "attached", was_stopped ? "ready" : "stopped");
    next.stop();
  }
}
