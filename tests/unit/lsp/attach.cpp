// SPDX-License-Identifier: Apache-2.0
//
// One editor and its server: ids, order, cancellation, permits, time-outs, credit, leaving.
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;

TEST_CASE("lsp.attach: an editor's session from initialize to exit") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  REQUIRE(host.started() == 0);
  EditorClient editor(host, {{"server", "fake"}});
  const auto init = editor.initialize(dir.path());
  REQUIRE(init["result"]["capabilities"]["hoverProvider"] == true);
  editor.open("file:///a.fake", "the text");
  const auto hover = editor.ask("textDocument/hover", {{"textDocument", {{"uri", "file:///a.fake"}}}});
  REQUIRE(hover["result"]["contents"] == "the text");
  REQUIRE(editor.ask("shutdown")["result"].is_null());
  editor.notify("exit");
  REQUIRE(value_of(editor.stream().result()).is_null());
  (void)host.event("lsp.server.exited");
  // The editor's messages arrived in order and whole, but for the ids.
  std::vector<std::string> methods;
  for (const auto& message : sent_to(dir)) methods.push_back(message.value("method", ""));
  REQUIRE(methods == std::vector<std::string>{"initialize", "initialized", "textDocument/didOpen", "textDocument/hover",
                                              "shutdown", "exit"});
  host.stop();
}

TEST_CASE("lsp.attach: the first document of each language is told, once, and what no topic can name is not") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  int number = 0;
  for (const char* const language : {"rust", "rust", "c++", "", "go-mod"}) {
    editor.open("file:///" + std::to_string(++number), "x", language);
  }
  (void)editor.ask("textDocument/hover", {{"textDocument", {{"uri", "file:///1"}}}});
  (void)host.event("lsp.language.go-mod");
  std::vector<std::string> told;
  for (const auto& event : host.events()) {
    if (event.topic.starts_with("lsp.language.")) told.push_back(event.payload["language"]);
  }
  REQUIRE(told == std::vector<std::string>{"rust", "go-mod"});
  host.stop();
}

TEST_CASE("lsp.attach: string ids come back as they were, and the server sees integers of ours") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  editor.raw({{"id", "one \"quoted\""}, {"method", "test/echo"}, {"params", {{"id", "inner"}}}});
  REQUIRE(editor.answer("one \"quoted\"")["result"] == json{{"id", "inner"}});
  REQUIRE(sent_to(dir, "test/echo").at(0).at("id").is_number_integer());
  host.stop();
}

TEST_CASE("lsp.attach: before initialize requests are refused, notifications dropped, and exit ends the stream") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.notify("textDocument/didOpen");
  REQUIRE(editor.ask("textDocument/hover")["error"]["code"] == -32002);
  editor.raw(json::array({1, 2}));
  const auto batch = editor.answer(json())["error"];
  REQUIRE(batch["code"] == -32600);
  REQUIRE(batch["message"] == "LSP has no batches: send each message by itself");
  editor.notify("exit");
  REQUIRE(value_of(editor.stream().result()).is_null());
  REQUIRE(sent_to(dir).empty());
  // Nor is such a notification kept for a server that comes later.
  EditorClient late(host, {{"server", "fake"}});
  late.notify("textDocument/didOpen");
  late.initialize(dir.path());
  REQUIRE(late.ask("test/echo").contains("result"));
  REQUIRE(sent_to(dir, "textDocument/didOpen").empty());
  host.stop();
}

TEST_CASE("lsp.attach: a cancellation reaches the server under the server's id") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  editor.raw({{"id", "mine"}, {"method", "test/hang"}});
  editor.cancel("mine");
  REQUIRE(editor.answer("mine")["error"]["code"] == -32800);
  REQUIRE(sent_to(dir, "$/cancelRequest").at(0)["params"]["id"] == sent_to(dir, "test/hang").at(0)["id"]);
  host.stop();
}

TEST_CASE("lsp.attach: the server's requests are answered by the editor, each under its own id") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  const int asked =
      editor.send("test/ask", {{"method", "workspace/configuration"}, {"params", {{"items", {{{"section", "x"}}}}}}});
  const auto question = editor.said("workspace/configuration");
  REQUIRE(question["id"].is_number_integer());
  REQUIRE(question["params"]["items"][0]["section"] == "x");
  editor.raw({{"id", question["id"]}, {"result", {"value"}}});
  const auto got = editor.answer(asked)["result"];
  REQUIRE(got["result"] == json{"value"});
  REQUIRE(got["id"] == "ask-1");
  // Errors are answers too; one to a question that nobody asked goes nowhere.
  const int again = editor.send("test/ask", {{"method", "workspace/applyEdit"}});
  const auto edit = editor.said("workspace/applyEdit");
  editor.raw({{"id", 987654}, {"result", "stray"}});
  editor.raw({{"id", edit["id"]}, {"error", {{"code", -32803}, {"message", "no"}}}});
  REQUIRE(editor.answer(again)["result"]["error"]["message"] == "no");
  host.stop();
}

TEST_CASE("lsp.attach: editor_max_concurrent_requests holds, and what comes after a waiting request waits behind it") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir, {}, {{"editor_max_concurrent_requests", 2}}));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  const int first = editor.send("test/hang", {{"n", 1}});
  editor.send("test/hang", {{"n", 2}});
  const int third = editor.send("test/echo", {{"n", 3}});
  editor.open("file:///a.fake", "opened behind the third");
  editor.cancel(first);  // passes what waits
  REQUIRE(editor.answer(first)["error"]["code"] == -32800);
  REQUIRE(editor.answer(third)["result"]["n"] == 3);
  host.wait("didOpen", [&] { return !sent_to(dir, "textDocument/didOpen").empty(); });
  std::vector<std::string> order;
  for (const auto& message : sent_to(dir)) order.push_back(message["method"]);
  REQUIRE(order == std::vector<std::string>{"initialize", "initialized", "test/hang", "test/hang", "$/cancelRequest",
                                            "test/echo", "textDocument/didOpen"});
  host.stop();
}

TEST_CASE("lsp.attach: permits are shared by all editors, and a raised limit takes effect at once") {
  TempDir one, two;
  const auto servers = json{{"one", fake_server(one)}, {"two", fake_server(two)}};
  TestHost host(kPlugin, config_of(servers, one, {}, {{"editor_max_concurrent_requests", 1}}));
  EditorClient a(host, {{"server", "one"}}), b(host, {{"server", "two"}});
  a.initialize(one.path());
  b.initialize(two.path());
  const int held = a.send("test/hang");
  host.wait("the hang", [&] { return !sent_to(one, "test/hang").empty(); });
  const int waits = b.send("test/echo");
  const int cancelled = b.send("test/echo");
  b.cancel(cancelled);  // answered by us: it was not sent
  REQUIRE(b.answer(cancelled)["error"]["code"] == -32800);
  REQUIRE(sent_to(two, "test/echo").empty());
  host.reconfigure(config_of(servers, one, {}, {{"editor_max_concurrent_requests", 2}}));
  REQUIRE(b.answer(waits).contains("result"));
  a.cancel(held);
  a.answer(held);
  host.stop();
}

TEST_CASE("lsp.attach: more waiting requests than the bound are answered overloaded") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir, {}, {{"editor_max_concurrent_requests", 1}}));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  const int held = editor.send("test/hang");
  std::vector<int> ids;
  for (int i = 0; i < 65; ++i) ids.push_back(editor.send("test/echo"));
  const auto refused = editor.answer(ids.back());
  REQUIRE(refused["error"]["code"] == -32803);
  REQUIRE(kind_of(refused) == "overloaded");
  REQUIRE(refused["error"]["data"]["retry_after_ms"].is_number());
  editor.cancel(held);
  ids.pop_back();
  for (const int id : ids) REQUIRE(editor.answer(id).contains("result"));
  host.stop();
}

TEST_CASE(
    "lsp.attach: a request that is not answered in time is answered by us, cancelled there, and its late answer "
    "dropped") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir, {},
                                   {{"editor_request_timeout_seconds", 10}, {"editor_max_concurrent_requests", 1}}));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  const int hang = editor.send("test/hang");
  const int behind = editor.send("test/echo");
  host.wait("the hang", [&] { return !sent_to(dir, "test/hang").empty(); });
  host.settle();  // the second has come, and its time runs
  host.advance(std::chrono::milliseconds(9'999));
  REQUIRE(sent_to(dir, "$/cancelRequest").empty());
  host.advance(std::chrono::milliseconds(1));
  auto timeout = editor.answer(hang);
  REQUIRE(timeout["error"]["code"] == -32803);
  REQUIRE(kind_of(timeout) == "timeout");
  REQUIRE(kind_of(editor.answer(behind)) == "timeout");  // its time ran while it waited for the permit
  host.wait("the cancellation", [&] { return !sent_to(dir, "$/cancelRequest").empty(); });
  REQUIRE(sent_to(dir, "$/cancelRequest").at(0)["params"]["id"] == sent_to(dir, "test/hang").at(0)["id"]);
  // The permit is free again, and the answer that the server gives to the cancellation finds nobody.
  REQUIRE(editor.ask("test/release")["result"] == "released");
  for (const auto& kept : editor.kept()) REQUIRE(kept.value("id", json()) != hang);
  // A new time-out holds from the next request on.
  host.reconfigure(config_of({{"fake", fake_server(dir)}}, dir, {}, {{"editor_request_timeout_seconds", 2}}));
  const int soon = editor.send("test/hang");
  host.wait("the hang", [&] { return sent_to(dir, "test/hang").size() == 2; });
  host.advance(std::chrono::seconds(2));
  REQUIRE(kind_of(editor.answer(soon)) == "timeout");
  host.stop();
}

TEST_CASE("lsp.attach: the time of a request that waited for the server goes on when the request is sent") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir, {}, {{"editor_request_timeout_seconds", 10}}));
  EditorClient editor(host, {{"server", "fake"}});
  const int welcome =
      editor.send("initialize", {{"rootUri", "file://" + dir.path()}, {"capabilities", json::object()}});
  const int hang = editor.send("test/hang");
  (void)editor.answer(welcome);
  host.wait("the hang", [&] { return !sent_to(dir, "test/hang").empty(); });
  host.settle();
  host.advance(std::chrono::seconds(10));
  REQUIRE(kind_of(editor.answer(hang)) == "timeout");
  host.stop();
}

TEST_CASE("lsp.attach: an editor that gives no credit loses nothing and holds the server back, and another is served") {
  TempDir slow_dir, dir;
  const auto servers = json{{"slow", fake_server(slow_dir)}, {"fake", fake_server(dir)}};
  TestHost host(kPlugin, config_of(servers, dir));
  EditorClient slow(host, {{"server", "slow"}}, 1);
  slow.initialize(slow_dir.path());
  const int count = 1'000;  // more than the pipe holds
  const int flood = slow.send("test/flood", {{"count", count}, {"size", 1'000}});
  EditorClient other(host, {{"server", "fake"}});
  other.initialize(dir.path());
  REQUIRE(other.ask("test/echo").contains("result"));
  const auto held = [&] {
    const auto all = host.call("lsp.servers");
    for (const auto& server : all->at("servers")) {
      if (server["name"] == "slow") return server.value("waits_for_client", false);
    }
    return false;
  };
  host.wait("the server held back", held);
  int seen = 0;
  slow.stream().credit(100);
  for (; seen < 100; ++seen) REQUIRE(slow.said("test/drop")["params"]["n"] == seen);
  slow.stream().credit(100'000);
  for (; seen < count; ++seen) REQUIRE(slow.said("test/drop")["params"]["n"] == seen);
  REQUIRE(slow.answer(flood)["result"] == "flooded");
  REQUIRE_FALSE(held());
  host.stop();
}

TEST_CASE("lsp.attach: more messages than the first credit pass") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  for (int i = 0; i < 1'000; ++i) editor.notify("test/nothing", {{"n", i}});
  REQUIRE(editor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  const auto seen = sent_to(dir, "test/nothing");
  REQUIRE(seen.size() == 1'000);
  for (int i = 0; i < 1'000; ++i) REQUIRE(seen[static_cast<std::size_t>(i)]["params"]["n"] == i);
  host.stop();
}

TEST_CASE("lsp.attach: an editor that vanishes takes its server with it, politely") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}}, 1'000, 77);
  editor.initialize(dir.path());
  const int pid = server_entry(host, "attached")["pid"];
  SECTION("its client is gone") { host.gone(77); }
  SECTION("it ends its direction") { editor.stream().end(); }
  SECTION("it cancels") { editor.stream().cancel(); }
  (void)host.event("lsp.server.exited");
  REQUIRE_FALSE(alive(pid));
  REQUIRE(sent_to(dir, "shutdown").size() == 1);
  REQUIRE(sent_to(dir, "exit").size() == 1);
  REQUIRE(server_entry(host, "attached").is_null());
  host.stop();
}

TEST_CASE("lsp.attach: a server that ignores exit is killed after the grace, with what it has started") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--ignore-exit"})}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  const int child = editor.ask("test/child")["result"];
  const int pid = server_entry(host, "attached")["pid"];
  editor.notify("exit");
  REQUIRE(editor.stream().result());
  host.settle();
  REQUIRE(alive(pid));
  host.advance(std::chrono::seconds(2));
  (void)host.event("lsp.server.exited");
  host.wait("the group's end", [&] { return !alive(pid) && !alive(child); });
  host.stop();
}

TEST_CASE("lsp.attach: what cannot be attached is refused with what to do") {
  TempDir dir;
  auto missing = fake_server(dir);
  missing["command"] = {"no-such-language-server"};
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}, {"missing", missing}}, dir));
  REQUIRE(host.call("lsp.attach", {{"server", "fake"}}).error().kind == ErrorKind::invalid_request);
  auto error = EditorClient(host, {{"server", "fak"}}).stream().result().error();
  REQUIRE(error.kind == ErrorKind::not_found);
  REQUIRE(error.message.find("did you mean \"fake\"") != std::string::npos);
  error = EditorClient(host, {{"language", "cobol"}}).stream().result().error();
  REQUIRE(error.message.find("[lsp.servers.NAME]") != std::string::npos);
  error = EditorClient(host, json::object()).stream().result().error();
  REQUIRE(error.message.find("fake, missing") != std::string::npos);
  EditorClient editor(host, {{"server", "missing"}});
  const auto init = editor.answer(editor.send("initialize", {{"rootUri", "file://" + dir.path()}}));
  REQUIRE(kind_of(init) == "unavailable");
  error = editor.stream().result().error();
  REQUIRE(error.kind == ErrorKind::unavailable);
  REQUIRE(error.message.find("no-such-language-server") != std::string::npos);
  REQUIRE(error.message.find("[lsp.servers.missing] command") != std::string::npos);
  host.stop();
}

TEST_CASE("lsp.attach: a second initialize is refused, and the session goes on") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  const auto again = editor.ask("initialize", {{"capabilities", json::object()}});
  REQUIRE(again["error"]["code"] == -32600);
  REQUIRE(again["error"]["message"].get<std::string>().find("initialize was sent before") != std::string::npos);
  REQUIRE(sent_to(dir, "initialize").size() == 1);
  REQUIRE(editor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  host.stop();
}

TEST_CASE("lsp.attach: the server runs in the root that initialize names") {
  TempDir dir;
  dir.write("project/a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir / "project");
  REQUIRE(server_entry(host, "attached")["root"] == dir / "project");
  host.stop();
}

TEST_CASE("lsp.attach: more unanswered questions of the server than the bound are answered for the editor") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  constexpr int kBound = 1024;
  editor.notify("test/ask_many", {{"count", kBound + 1}});
  const auto refused = [&] {
    for (const auto& message : sent_to(dir)) {
      if (message.contains("error")) return message;
    }
    return json();
  };
  host.wait("the refusal", [&] { return !refused().is_null(); });
  REQUIRE(refused()["id"] == "many-" + std::to_string(kBound + 1));
  REQUIRE(refused()["error"]["data"]["kind"] == "unavailable");
  host.stop();
}

TEST_CASE("lsp.attach: messages that a deaf server does not take are bounded: more end the stream") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--deaf"})}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  for (int i = 0; i < 24; ++i) editor.filler(std::size_t{4} << 20);  // 96 MiB
  const auto error = editor.stream().result().error();
  REQUIRE(error.kind == ErrorKind::overloaded);
  REQUIRE(error.message.find("attach anew") != std::string::npos);
  host.destroy();
}

TEST_CASE("lsp.attach: at most 64 editors are attached, and a stop ends each stream with what to do") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  std::vector<TestStream> editors;
  for (int i = 0; i < 64; ++i) editors.push_back(host.open("lsp.attach", {{"server", "fake"}}, 10));
  const auto error = host.open("lsp.attach", {{"server", "fake"}}, 10).result().error();
  REQUIRE(error.kind == ErrorKind::overloaded);
  host.stop();
  for (auto& editor : editors) {
    const auto end = editor.result().error();
    REQUIRE(end.kind == ErrorKind::unavailable);
    REQUIRE(end.message.find("attach anew") != std::string::npos);
  }
}

TEST_CASE("lsp.attach: what waits for a server that stands still goes on when it goes on") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  const int server = editor.initialize(dir.path())["result"]["serverInfo"]["pid"];
  REQUIRE(editor.ask("test/echo").contains("result"));
  ::kill(server, SIGSTOP);
  for (int i = 0; i < 4; ++i) editor.filler(std::size_t{1} << 20);
  const int last = editor.send("test/echo", {{"x", 1}});
  host.settle();
  ::kill(server, SIGCONT);
  REQUIRE(editor.answer(last)["result"]["x"] == 1);  // nothing more of the editor pushes it
  host.stop();
}
