// SPDX-License-Identifier: Apache-2.0
//
// What editors and servers of today need of the plugin between them: no process to watch, requests that are held by
// design, texts that are cut in the midst of a character, prompts that are withdrawn, no root at all.
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;

namespace {

constexpr std::chrono::hours kLong{24};

/// A server's request to the editor that waits for the user; returns it as the editor was asked.
json ask_user(EditorClient& editor, int& waiting, const std::string& method = "window/showMessageRequest") {
  waiting = editor.send("test/ask", {{"method", method}, {"params", {{"message", "sure?"}}}});
  return editor.said(method);
}

}  // namespace

TEST_CASE("lsp.attach: a server is told of no process to watch, whatever the editor says") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", unshared(fake_server(dir))}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  const json params{{"processId", ::getpid()},
                    {"rootUri", "file://" + dir.path()},
                    {"capabilities", {{"inner", {{"processId", 7}}}}},
                    {"initializationOptions", "\"processId\": 1"}};
  REQUIRE(editor.ask("initialize", params).contains("result"));
  REQUIRE(host.call("lsp.request", {{"uri", file}, {"method", "test/echo"}}));
  const auto said = sent_to(dir, "initialize");
  REQUIRE(said.size() == 2);
  for (const auto& message : said) REQUIRE(message["params"].at("processId").is_null());
  REQUIRE(said[0]["params"]["initializationOptions"] == params["initializationOptions"]);
  REQUIRE(said[0]["params"]["capabilities"]["inner"] == json{{"processId", 7}});
  host.stop();
}

TEST_CASE("lsp.attach: without [lsp] limits a request waits as long as its server takes, and as many as there are") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir,
                                   {{"max_concurrent_lsp_requests", 1}, {"lsp_request_timeout_seconds", 1}}));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  constexpr std::size_t kMany = 200;
  std::vector<int> held;
  for (std::size_t i = 0; i < kMany; ++i) held.push_back(editor.send("test/hang"));
  host.wait("all of them", [&] { return sent_to(dir, "test/hang").size() == kMany; });
  host.advance(kLong);
  REQUIRE(editor.ask("test/release")["result"] == "released");
  for (const int id : held) REQUIRE(editor.answer(id)["result"] == "late");
  REQUIRE(sent_to(dir, "$/cancelRequest").empty());
  host.stop();
}

TEST_CASE("lsp.attach: an editor's initialize may take as long as it takes, and ends at once when the editor leaves") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--hang-initialize"})}}, dir));
  EditorClient editor(host, {{"server", "fake"}}, 1'000, 77);
  const int init = editor.send("initialize", {{"rootUri", "file://" + dir.path()}});
  (void)editor.send("test/echo");
  host.wait("initialize", [&] { return !sent_to(dir, "initialize").empty(); });
  host.settle();
  host.advance(std::chrono::hours(1));
  const auto entry = server_entry(host, "attached");
  REQUIRE(entry["state"] == "starting");
  REQUIRE(entry["restarts"] == 0);
  const int pid = entry["pid"];
  REQUIRE(alive(pid));
  SECTION("its client is gone") {
    host.gone(77);
    (void)host.event("lsp.server.exited");  // without any time
  }
  SECTION("it ends its direction") {
    editor.stream().end();
    (void)host.event("lsp.server.exited");
    REQUIRE(value_of(editor.stream().result()).is_null());
  }
  SECTION("it says exit") {
    editor.notify("exit");
    (void)host.event("lsp.server.exited");
    REQUIRE(value_of(editor.stream().result()).is_null());
  }
  SECTION("it cancels") {
    editor.cancel(init);
    REQUIRE(editor.answer(init)["error"]["code"] == -32800);
    REQUIRE(editor.stream().result().error().kind == ErrorKind::upstream_failed);
  }
  SECTION("the plugin stops") {
    host.stop();
    REQUIRE(editor.stream().result().error().kind == ErrorKind::unavailable);
    REQUIRE_FALSE(alive(pid));
    return;
  }
  host.wait("its end", [&] { return !alive(pid) && server_entry(host, "attached").is_null(); });
  host.stop();
}

TEST_CASE("lsp.attach: the limits of editors are not those of lsp.request") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir, {},
                                   {{"editor_max_concurrent_requests", 1}, {"editor_request_timeout_seconds", 1}}));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  const int held = editor.send("test/hang");
  host.wait("the hang", [&] { return !sent_to(dir, "test/hang").empty(); });
  REQUIRE(host.call("lsp.request", {{"uri", file}, {"method", "test/echo"}}));
  auto call = host.begin("lsp.request", {{"uri", file}, {"method", "test/hang"}});
  host.wait("the call", [&] { return sent_to(dir, "test/hang").size() == 2; });
  host.advance(std::chrono::seconds(5));
  REQUIRE(kind_of(editor.answer(held)) == "timeout");
  REQUIRE_FALSE(call.answered());
  call.cancel();
  host.stop();
}

TEST_CASE("lsp.attach: workspace/diagnostic and workspace/executeCommand take no permit and have no time-out") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir, {},
                                   {{"editor_max_concurrent_requests", 1}, {"editor_request_timeout_seconds", 1}}));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  const int poll = editor.send("workspace/diagnostic", {{"hang", true}});
  const int command = editor.send("workspace/executeCommand", {{"hang", true}});
  REQUIRE(editor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);  // neither holds the only permit
  host.advance(kLong);
  REQUIRE(editor.ask("test/release")["result"] == "released");
  REQUIRE(editor.answer(poll)["result"] == "late");
  REQUIRE(editor.answer(command)["result"] == "late");
  host.stop();
}

TEST_CASE("lsp.attach: a request whose server asks the user something gives its permit back and waits for the user") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir, {},
                                   {{"editor_max_concurrent_requests", 1}, {"editor_request_timeout_seconds", 1}}));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  int waiting = 0;
  const auto question = ask_user(editor, waiting);
  REQUIRE(editor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  host.advance(kLong);
  editor.raw({{"id", question["id"]}, {"result", {{"title", "yes"}}}});
  REQUIRE(editor.answer(waiting)["result"]["result"]["title"] == "yes");
  // A question that no user sees holds back nobody's time-out.
  waiting = editor.send("test/ask", {{"method", "workspace/configuration"}});
  (void)editor.said("workspace/configuration");
  host.settle();
  host.advance(std::chrono::seconds(1));
  REQUIRE(kind_of(editor.answer(waiting)) == "timeout");
  host.stop();
}

TEST_CASE("lsp.attach: the server's cancellation names the id that the editor was asked with") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  int waiting = 0;
  const auto question = ask_user(editor, waiting);
  const auto cancel = [&](const char* id) {
    (void)editor.ask("test/notify", {{"method", "$/cancelRequest"}, {"params", {{"id", id}}}});
  };
  cancel("nobody's");
  cancel("ask-1");
  REQUIRE(editor.said("$/cancelRequest")["params"]["id"] == question["id"]);
  REQUIRE(editor.kept().empty());  // the other one is nobody's
  // The editor answers even so, as the protocol wants.
  editor.raw({{"id", question["id"]}, {"error", {{"code", -32800}, {"message", "withdrawn"}}}});
  REQUIRE(editor.answer(waiting)["result"]["error"]["message"] == "withdrawn");
  host.stop();
}

TEST_CASE("lsp.attach: half a surrogate pair, and a byte that is no UTF-8, are replaced, and the server serves on") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", unshared(fake_server(dir))}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  REQUIRE(editor.ask("test/half")["result"] == "cut \uFFFD here");
  REQUIRE(editor.said("test/cut")["params"]["text"] == "\uFFFD");
  REQUIRE(editor.ask("test/no_utf8")["result"] == "cut \uFFFD here");
  const auto call = [&](const char* method) {
    return value_of(host.call("lsp.request", {{"uri", file}, {"method", method}}));
  };
  REQUIRE(call("test/half") == "cut \uFFFD here");
  REQUIRE(call("test/no_utf8") == "cut \uFFFD here");
  for (const auto* kind : {"attached", "shared"}) REQUIRE(server_entry(host, kind)["restarts"] == 0);
  host.stop();
}

TEST_CASE(
    "lsp.attach: an answer that is malformed inside is an error for who asked, also behind what waits for credit") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}}, 1);
  editor.initialize(dir.path());
  const int first = editor.send("test/echo", {{"x", 1}});
  const int bad = editor.send("test/bad_inside");
  const int last = editor.send("test/echo", {{"x", 2}});
  host.wait("all of them", [&] { return sent_to(dir, "test/echo").size() == 2; });
  editor.stream().credit(100);
  REQUIRE(editor.answer(first)["result"]["x"] == 1);
  REQUIRE(kind_of(editor.answer(bad)) == "upstream_failed");
  REQUIRE(editor.answer(last)["result"]["x"] == 2);
  REQUIRE(server_entry(host, "attached")["restarts"] == 0);
  REQUIRE(host.log().find("that the host does not pass on") != std::string::npos);
  host.stop();
}

TEST_CASE("lsp.attach: an editor without a root, or whose root is not there, is served where it is") {
  TempDir dir;
  dir.write("mine/a.fake", "");
  dir.write("theirs/a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  const auto runs_in = [&](const json& attach, const json& initialize) {
    EditorClient editor(host, attach);
    REQUIRE(editor.ask("initialize", initialize).contains("result"));
    return editor.ask("test/cwd")["result"].get<std::string>();
  };
  const json nothing{{"rootUri", nullptr}, {"rootPath", nullptr}, {"workspaceFolders", nullptr}};
  const auto at = [&](const std::string& cwd) { return json{{"server", "fake"}, {"cwd", cwd}}; };
  REQUIRE(runs_in(at(dir / "mine"), nothing) == dir / "mine");
  REQUIRE(runs_in(at(dir / "mine"), {{"rootUri", "file://" + (dir / "theirs")}}) == dir / "theirs");
  const auto gone = "file://" + (dir / "gone");
  REQUIRE(runs_in(at(dir / "mine"), {{"rootUri", gone}}) == dir / "mine");
  const json folders{{"workspaceFolders", {{{"uri", gone}}, {{"uri", "file://" + (dir / "theirs")}}}}};
  REQUIRE(runs_in(at(dir / "mine"), folders) == dir / "mine");
  REQUIRE(runs_in(at(dir / "mine/a.fake"), nothing) == dir / "mine");  // no folder either
  REQUIRE(runs_in(at(dir / "mine/removed/deep"), nothing) == dir / "mine");
  REQUIRE(runs_in({{"server", "fake"}}, nothing) == dir.path());  // the host's first workspace
  host.stop();
}

TEST_CASE("lsp crash: progress, registrations and questions of the dead server end, and only once") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  const auto progress = [&](const json& token, const char* kind) {
    (void)editor.ask("test/notify",
                     {{"method", "$/progress"}, {"params", {{"token", token}, {"value", {{"kind", kind}}}}}});
    (void)editor.said("$/progress");
  };
  progress("indexing", "begin");
  progress(7, "begin");
  progress("done", "begin");
  progress("done", "end");
  const auto register_as = [&](const char* what, const char* list, const char* id) {
    const int asked = editor.send(
        "test/ask", {{"method", what}, {"params", {{list, {{{"id", id}, {"method", "m/" + std::string(id)}}}}}}});
    editor.raw({{"id", editor.said(what)["id"]}, {"result", nullptr}});
    (void)editor.answer(asked);
  };
  register_as("client/registerCapability", "registrations", "watch");
  register_as("client/registerCapability", "registrations", "over");
  register_as("client/unregisterCapability", "unregisterations", "over");
  int waiting = 0;
  const auto question = ask_user(editor, waiting);
  REQUIRE(kind_of(editor.ask("test/crash")) == "unavailable");
  REQUIRE(editor.said("$/cancelRequest")["params"]["id"] == question["id"]);
  std::set<json> ended;
  for (int i = 0; i < 2; ++i) {
    const auto said = editor.said("$/progress")["params"];
    REQUIRE(said["value"]["kind"] == "end");
    ended.insert(said["token"]);
  }
  REQUIRE(ended == std::set<json>{"indexing", 7});
  const auto unregister = editor.said("client/unregisterCapability");
  REQUIRE(unregister["params"]["unregisterations"] == json{{{"id", "watch"}, {"method", "m/watch"}}});
  editor.raw({{"id", unregister["id"]}, {"result", nullptr}});  // nobody's any more
  (void)editor.ask("test/crash");
  host.advance(std::chrono::seconds(1));
  REQUIRE(editor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  for (const auto& kept : editor.kept()) REQUIRE_FALSE(kept.contains("method"));
  host.stop();
}

TEST_CASE("lsp crash: diagnostics of the dead server are withdrawn at the editor, also of files that are not open") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  editor.open("file:///open.fake", "x");
  const auto publish = [&](const std::string& uri, const json& diagnostics) {
    (void)editor.ask("test/notify", {{"method", "textDocument/publishDiagnostics"},
                                     {"params", {{"uri", uri}, {"diagnostics", diagnostics}}}});
    REQUIRE(editor.said("textDocument/publishDiagnostics")["params"]["diagnostics"] == diagnostics);
  };
  const json wrong{{{"message", "wrong"}}};
  publish("file:///open.fake", wrong);
  publish("file:///closed%20\u00e9.fake", wrong);
  publish("file:///mended.fake", wrong);
  publish("file:///mended.fake", json::array());
  publish("file:///clean.fake", json::array());
  REQUIRE(kind_of(editor.ask("test/crash")) == "unavailable");
  std::set<std::string> withdrawn;
  for (int i = 0; i < 2; ++i) {
    const auto said = editor.said("textDocument/publishDiagnostics")["params"];
    REQUIRE(said["diagnostics"] == json::array());
    withdrawn.insert(said["uri"]);
  }
  REQUIRE(withdrawn == std::set<std::string>{"file:///open.fake", "file:///closed%20\u00e9.fake"});
  // What the next one says stands, and what was withdrawn is not so again.
  publish("file:///open.fake", wrong);
  (void)editor.ask("test/crash");
  host.advance(std::chrono::seconds(1));
  REQUIRE(editor.said("textDocument/publishDiagnostics")["params"]["uri"] == "file:///open.fake");
  REQUIRE(editor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  for (const auto& kept : editor.kept()) REQUIRE_FALSE(kept.contains("method"));
  host.stop();
}

TEST_CASE("lsp crash: what the server wrote on stderr, and how it ended, is in the log") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  (void)editor.ask("test/crash");
  host.wait("the log", [&] { return host.log().find("fake on stderr: fatal: asked to crash") != std::string::npos; });
  REQUIRE(host.log().find("exited with code 7") != std::string::npos);
  host.stop();
}

TEST_CASE("lsp faults: a program that is not found is said with the PATH that was searched, and logged") {
  TempDir dir;
  auto missing = fake_server(dir);
  missing["command"] = {"no-such-language-server"};
  TestHost host(kPlugin, config_of({{"missing", missing}}, dir));
  EditorClient editor(host, {{"server", "missing"}});
  const auto error = editor.ask("initialize", {{"rootUri", "file://" + dir.path()}})["error"];
  const std::string message = error["message"];
  REQUIRE(message.find("the host's PATH was searched") != std::string::npos);
  REQUIRE(message.find(std::getenv("PATH")) != std::string::npos);
  host.wait("the log", [&] { return host.log().find(message) != std::string::npos; });
  host.stop();
}
