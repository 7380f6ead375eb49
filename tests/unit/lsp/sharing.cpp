// SPDX-License-Identifier: Apache-2.0
//
// Several editors and one server: who shares, whose text is shown, who is told and asked.
#include "tests/unit/lsp/sharing.hpp"

using namespace lsp_test;

TEST_CASE("sharing: two editors of one root use one process, and both are answered initialize") {
  Two t;
  REQUIRE(t.welcome_a["result"]["serverInfo"]["pid"] == t.welcome_b["result"]["serverInfo"]["pid"]);
  REQUIRE(attached(t.host) == 1);
  REQUIRE(server_entry(t.host, "attached")["clients"] == 2);
  REQUIRE(t.told("initialize").size() == 1);
  (void)t.b.ask("test/echo");
  REQUIRE(t.told("initialized").size() == 1);
  t.host.stop();
}

TEST_CASE("sharing: editors that differ in options or root, or whose server is not to be shared, have their own") {
  TempDir dir;
  auto config = fake_server(dir);
  const bool shared = GENERATE(true, false);
  config["share"] = shared ? "same" : "none";
  TestHost host(kPlugin, config_of({{"fake", config}}, dir));
  std::filesystem::create_directories(dir / "other");
  EditorClient a(host, {{"server", "fake"}}), b(host, {{"server", "fake"}}), c(host, {{"server", "fake"}}),
      d(host, {{"server", "fake"}});
  const auto begin = [&](EditorClient& editor, const std::string& root, const json& options, int pid) {
    const auto got = editor.ask("initialize", {{"processId", pid},
                                               {"rootUri", "file://" + root},
                                               {"capabilities", json::object()},
                                               {"initializationOptions", options}});
    editor.notify("initialized");
    return got["result"]["serverInfo"]["pid"].get<int>();
  };
  const int first = begin(a, dir.path(), {{"x", 1}}, 11);
  REQUIRE((begin(b, dir.path(), {{"x", 1}}, 22) == first) == shared);  // the process id of the editor is no difference
  REQUIRE(begin(c, dir.path(), {{"x", 2}}, 33) != first);
  REQUIRE(begin(d, dir / "other", {{"x", 1}}, 44) != first);
  REQUIRE(attached(host) == (shared ? 3 : 4));
  host.stop();
}

TEST_CASE("sharing: an editor is answered from its own unsaved text, and the server's versions only rise") {
  Two t;
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "disk", "fake", 1);
  t.b.open(uri, "disk", "fake", 1);
  t.a.notify("textDocument/didChange", changed(uri, 2, "of a"));
  REQUIRE(t.b.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "disk");
  REQUIRE(t.a.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of a");
  t.b.notify("textDocument/didChange", changed(uri, 2, "of b"));
  REQUIRE(t.b.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of b");
  REQUIRE(t.a.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of a");
  REQUIRE(t.told("textDocument/didOpen").size() == 1);
  long long last = t.told("textDocument/didOpen").front()["params"]["textDocument"]["version"];
  for (const auto& change : t.told("textDocument/didChange")) {
    const long long version = change["params"]["textDocument"]["version"];
    REQUIRE(version > last);
    last = version;
  }
  t.host.stop();
}

TEST_CASE("sharing: an editor that has not opened a file sees the disk") {
  Two t;
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "unsaved", "fake", 1);
  REQUIRE(t.a.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "unsaved");
  REQUIRE(t.b.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "disk");
  (void)t.file("a.fake", "disk, changed");
  REQUIRE(t.b.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "disk, changed");
  REQUIRE(t.a.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "unsaved");
  // What only one has, and the disk has not, is closed for the other.
  t.a.open("untitled:1", "nowhere", "fake", 1);
  REQUIRE(t.a.ask("textDocument/hover", hover_of("untitled:1"))["result"]["contents"] == "nowhere");
  REQUIRE(t.b.ask("textDocument/hover", hover_of("untitled:1"))["error"]["code"] == -32602);
  REQUIRE(t.a.ask("textDocument/hover", hover_of("untitled:1"))["result"]["contents"] == "nowhere");
  t.host.stop();
}

TEST_CASE("sharing: equal texts are opened once, and closed with the last") {
  Two t;
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "disk");
  t.b.open(uri, "disk", "fake", 7);
  REQUIRE(t.b.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "disk");
  t.a.notify("textDocument/didClose", hover_of(uri));
  (void)t.a.ask("test/echo");
  REQUIRE(t.told("textDocument/didOpen").size() == 1);
  REQUIRE(t.told("textDocument/didClose").empty());
  t.b.notify("textDocument/didClose", hover_of(uri));
  (void)t.b.ask("test/echo");
  REQUIRE(t.told("textDocument/didClose").size() == 1);
  REQUIRE(t.told("textDocument/didChange").empty());
  t.host.stop();
}

TEST_CASE("sharing: another language of a file is opened anew for who speaks it") {
  Two t;
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "disk", "fake");
  (void)t.a.ask("textDocument/hover", hover_of(uri));
  t.b.open(uri, "disk", "fake2");
  (void)t.b.ask("textDocument/hover", hover_of(uri));
  const auto opened = t.told("textDocument/didOpen");
  REQUIRE(opened.size() == 2);
  REQUIRE(opened[1]["params"]["textDocument"]["languageId"] == "fake2");
  REQUIRE(t.told("textDocument/didClose").size() == 1);
  (void)t.a.ask("textDocument/hover", hover_of(uri));
  REQUIRE(t.told("textDocument/didOpen").back()["params"]["textDocument"]["languageId"] == "fake");
  t.host.stop();
}

TEST_CASE("sharing: diagnostics go to who has the text that they are for, with its own version, and come anew") {
  Two t;
  const auto uri = t.file("a.fake", "disk");
  const auto publish = [&](EditorClient& by, const json& version, const char* message) {
    json params{{"uri", uri}, {"diagnostics", {{{"message", message}}}}};
    if (!version.is_null()) params["version"] = version;
    (void)by.ask("test/notify", {{"method", "textDocument/publishDiagnostics"}, {"params", params}});
  };
  t.a.open(uri, "disk", "fake", 5);
  publish(t.a, 5, "for both");
  REQUIRE(t.a.said("textDocument/publishDiagnostics")["params"]["version"] == 5);
  // Who has not opened the file has no version of it.
  REQUIRE_FALSE(t.b.said("textDocument/publishDiagnostics")["params"].contains("version"));
  t.b.open(uri, "disk", "fake", 70);
  const auto replayed = t.b.said("textDocument/publishDiagnostics")["params"];
  REQUIRE(replayed["version"] == 70);
  REQUIRE(replayed["diagnostics"][0]["message"] == "for both");
  // Of a's unsaved text b learns nothing.
  t.a.notify("textDocument/didChange", changed(uri, 6, "of a"));
  (void)t.a.ask("test/echo");
  publish(t.a, 6, "for a");
  REQUIRE(t.a.said("textDocument/publishDiagnostics")["params"]["version"] == 6);
  (void)t.b.ask("textDocument/hover", hover_of(uri));
  const long long now = t.told("textDocument/didChange").back()["params"]["textDocument"]["version"];
  publish(t.b, 6, "late, for a");
  publish(t.b, now, "for b");
  const auto of_b = t.b.said("textDocument/publishDiagnostics")["params"];
  REQUIRE(of_b["version"] == 70);
  REQUIRE(of_b["diagnostics"][0]["message"] == "for b");
  (void)t.a.ask("textDocument/hover", hover_of(uri));
  for (const auto& kept : t.a.kept()) REQUIRE(kept.value("method", "") != "textDocument/publishDiagnostics");
  t.host.stop();
}

TEST_CASE("sharing: an editor that waits for diagnostics of its text, and asks nothing, has its view shown") {
  Two t;
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "of a", "fake", 1);
  t.b.open(uri, "of b", "fake", 1);
  (void)t.b.ask("textDocument/hover", hover_of(uri));
  REQUIRE(t.a.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of a");
  const auto shown = [&] { return t.told("textDocument/didChange").back()["params"]; };
  REQUIRE(shown()["contentChanges"][0]["text"] == "of a");
  (void)t.a.ask(
      "test/notify",
      {{"method", "textDocument/publishDiagnostics"},
       {"params", {{"uri", uri}, {"version", shown()["textDocument"]["version"]}, {"diagnostics", json::array()}}}});
  (void)t.a.said("textDocument/publishDiagnostics");
  t.host.wait("the other's text", [&] { return shown()["contentChanges"][0]["text"] == "of b"; });
  // And stays, though another asks, for the time that a request would have.
  const int waits = t.a.send("textDocument/hover", hover_of(uri));
  t.host.settle();
  REQUIRE(t.told("textDocument/hover").size() == 2);
  t.host.advance(std::chrono::milliseconds(500));
  t.host.advance(std::chrono::seconds(5));
  REQUIRE(t.a.answer(waits)["result"]["contents"] == "of a");
  REQUIRE(t.told("$/cancelRequest").empty());
  t.host.stop();
}

TEST_CASE("sharing: a language that two editors spell in two ways is one") {
  Two t;
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "of a", "cpp");
  t.b.open(uri, "of b", "c++");
  REQUIRE(t.b.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of b");
  REQUIRE(t.a.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of a");
  REQUIRE(t.told("textDocument/didOpen").size() == 1);
  t.host.stop();
}

TEST_CASE("sharing: an edit of the server's names the version of whose editor it is") {
  TempDir answers;
  const auto uri = "file://" + answers.write("a.fake", "disk");
  const auto file = answers.write("answers.json", "{}");
  Two t({"--answers", file});
  t.a.open(uri, "disk", "fake", 5);
  t.b.open(uri, "disk", "fake", 70);
  (void)t.b.ask("test/echo");
  (void)answers.write(
      "answers.json",
      gantry::dump_json(json{
          {"textDocument/rename",
           {{"documentChanges", {{{"textDocument", {{"uri", uri}, {"version", 5}}}, {"edits", json::array()}}}}}}}));
  const auto version = [&](EditorClient& editor) {
    return editor.ask("textDocument/rename", hover_of(uri))["result"]["documentChanges"][0]["textDocument"]["version"];
  };
  REQUIRE(version(t.a) == 5);
  REQUIRE(version(t.b) == 70);
  t.host.stop();
}

TEST_CASE("sharing: no text changes while another's request is open, and one that takes too long is recalled") {
  // typescript-language-server answers a cancelled request with an empty result.
  const bool as_result = GENERATE(false, true);
  Two t(as_result ? std::vector<std::string>{"--result-of-cancelled"} : std::vector<std::string>());
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "disk");
  t.b.open(uri, "disk");
  (void)t.b.ask("test/echo");
  const int open = t.a.send("test/hang");
  t.host.wait("the request", [&] { return t.told("test/hang").size() == 1; });
  t.b.notify("textDocument/didChange", changed(uri, 2, "of b"));
  const int hover = t.b.send("textDocument/hover", hover_of(uri));
  t.host.settle();
  REQUIRE(t.told("textDocument/didChange").empty());
  t.host.advance(std::chrono::milliseconds(500));
  REQUIRE(t.b.answer(hover)["result"]["contents"] == "of b");
  // The other's was cancelled, and is asked again in its own view.
  t.host.wait("the repetition", [&] { return t.told("test/hang").size() == 2; });
  REQUIRE(t.told("$/cancelRequest").size() == 1);
  REQUIRE(t.told("textDocument/didChange").back()["params"]["contentChanges"][0]["text"] == "disk");
  REQUIRE(t.a.ask("test/release")["result"] == "released");
  REQUIRE(t.a.answer(open)["result"] == "late");
  t.host.stop();
}

TEST_CASE("sharing: a command has its editor's texts for a while, and is never recalled") {
  Two t;
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "of a");
  t.b.open(uri, "of b");
  (void)t.b.ask("textDocument/hover", hover_of(uri));
  (void)t.a.ask("textDocument/hover", hover_of(uri));
  const int command = t.a.send("workspace/executeCommand", {{"command", "x"}});
  t.host.wait("the command", [&] { return !t.told("workspace/executeCommand").empty(); });
  const int hover = t.b.send("textDocument/hover", hover_of(uri));
  t.host.settle();
  REQUIRE(t.told("textDocument/didChange").back()["params"]["contentChanges"][0]["text"] == "of a");
  t.host.advance(std::chrono::milliseconds(500));
  t.host.advance(std::chrono::seconds(5));
  REQUIRE(t.b.answer(hover)["result"]["contents"] == "of b");
  REQUIRE(t.told("$/cancelRequest").empty());
  (void)t.b.ask("test/release");
  REQUIRE(t.a.answer(command)["result"] == "late");
  t.host.stop();
}

TEST_CASE("sharing: progress with equal tokens goes to whose request it is, under the token that was sent") {
  Two t;
  const int one = t.a.send("test/hang", {{"workDoneToken", 1}}), other = t.b.send("test/hang", {{"workDoneToken", 1}});
  t.host.wait("both", [&] { return t.told("test/hang").size() == 2; });
  const auto of_b = t.told("test/hang").back()["params"]["workDoneToken"];
  REQUIRE(of_b != t.told("test/hang").front()["params"]["workDoneToken"]);
  (void)t.a.ask("test/notify", {{"method", "$/progress"}, {"params", {{"token", of_b}, {"value", "for b"}}}});
  REQUIRE(t.b.said("$/progress")["params"] == json{{"token", 1}, {"value", "for b"}});
  (void)t.a.ask("test/notify", {{"method", "$/progress"}, {"params", {{"token", 1}, {"value", "for a"}}}});
  REQUIRE(t.a.said("$/progress")["params"] == json{{"token", 1}, {"value", "for a"}});
  (void)t.a.ask("test/release");
  (void)t.a.answer(one);
  (void)t.b.answer(other);
  t.host.stop();
}

TEST_CASE("sharing: a cancellation reaches only its own editor's request") {
  Two t;
  t.a.raw({{"id", 100}, {"method", "test/hang"}});
  t.b.raw({{"id", 100}, {"method", "test/hang"}});
  t.host.wait("both", [&] { return t.told("test/hang").size() == 2; });
  t.b.cancel(100);
  REQUIRE(t.b.answer(100)["error"]["code"] == -32800);
  REQUIRE(t.told("$/cancelRequest").at(0)["params"]["id"] == t.told("test/hang").at(1)["id"]);
  (void)t.b.ask("test/release");
  REQUIRE(t.a.answer(100)["result"] == "late");
  t.host.stop();
}

TEST_CASE("sharing: an edit goes to the editor whose command runs, other questions to the last active") {
  Two t;
  const int command = t.a.send("workspace/executeCommand", {{"command", "x"}});
  t.host.wait("the command", [&] { return !t.told("workspace/executeCommand").empty(); });
  const int asked = t.b.send("test/ask", {{"method", "workspace/applyEdit"}, {"params", json::object()}});
  const auto edit = t.a.said("workspace/applyEdit");
  t.a.raw({{"id", edit["id"]}, {"result", {{"applied", true}}}});
  REQUIRE(t.b.answer(asked)["result"]["result"]["applied"] == true);
  (void)t.b.ask("test/release");
  (void)t.a.answer(command);
  const int again = t.b.send("test/ask", {{"method", "window/showMessageRequest"}, {"params", json::object()}});
  const auto question = t.b.said("window/showMessageRequest");
  t.b.raw({{"id", question["id"]}, {"result", nullptr}});
  REQUIRE(t.b.answer(again)["result"]["result"].is_null());
  t.host.stop();
}

TEST_CASE("sharing: a question of an editor that leaves is answered for it") {
  Two t;
  (void)t.a.ask("test/echo");
  const int asked = t.a.send("test/ask", {{"method", "workspace/applyEdit"}, {"params", json::object()}});
  (void)t.a.said("workspace/applyEdit");
  (void)asked;
  t.a.notify("exit");
  REQUIRE(value_of(t.a.stream().result()).is_null());
  const auto refused = [&] {
    for (const auto& message : sent_to(t.dir)) {
      if (!message.contains("method") && message.contains("result")) return message["result"];
    }
    return json();
  };
  t.host.wait("the answer", [&] { return !refused().is_null(); });
  REQUIRE(refused()["applied"] == false);
  REQUIRE(t.b.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  t.host.stop();
}

TEST_CASE("sharing: what the server registers reaches all, who comes late included, and is answered once") {
  Two t;
  const json params{{"registrations", {{{"id", "r1"}, {"method", "workspace/didChangeWatchedFiles"}}}}};
  const int asked = t.a.send("test/ask", {{"method", "client/registerCapability"}, {"params", params}});
  for (auto* const editor : {&t.a, &t.b}) {
    const auto got = editor->said("client/registerCapability");
    REQUIRE(got["params"] == params);
    editor->raw({{"id", got["id"]}, {"result", nullptr}});
  }
  REQUIRE(t.a.answer(asked)["result"]["result"].is_null());
  EditorClient late(t.host, {{"server", "fake"}}, 100'000, 3);
  late.initialize(t.dir.path());
  const auto got = late.said("client/registerCapability");
  REQUIRE(got["params"] == params);
  late.raw({{"id", got["id"]}, {"result", nullptr}});
  REQUIRE(late.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  std::size_t answers = 0;
  for (const auto& message : sent_to(t.dir)) answers += message.contains("method") ? 0 : 1;
  REQUIRE(answers == 1);
  t.host.stop();
}

TEST_CASE("sharing: an editor that is not yet initialized is asked what all are asked when it is, and once") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient a(host, {{"server", "fake"}}), late(host, {{"server", "fake"}}, 100'000, 2);
  a.initialize(dir.path());
  (void)late.ask("initialize",
                 {{"processId", nullptr}, {"rootUri", "file://" + dir.path()}, {"capabilities", json::object()}});
  const json params{{"registrations", {{{"id", "r1"}, {"method", "x"}}}}};
  const int asked = a.send("test/ask", {{"method", "client/registerCapability"}, {"params", params}});
  a.raw({{"id", a.said("client/registerCapability")["id"]}, {"result", nullptr}});
  (void)a.answer(asked);
  late.notify("initialized");
  const auto got = late.said("client/registerCapability");
  late.raw({{"id", got["id"]}, {"result", nullptr}});
  REQUIRE(late.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  REQUIRE(late.kept().empty());
  host.stop();
}

TEST_CASE("sharing: one that leaves stops nobody's server, and the last takes it along") {
  Two t;
  const int pid = server_entry(t.host, "attached")["pid"];
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "of a");
  t.b.open(uri, "of b");
  REQUIRE(t.a.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of a");
  leave(t.a);
  REQUIRE(t.b.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of b");
  REQUIRE(t.told("shutdown").empty());
  REQUIRE(alive(pid));
  REQUIRE(t.b.ask("shutdown")["result"].is_null());
  t.b.notify("exit");
  (void)t.host.event("lsp.server.exited");
  REQUIRE_FALSE(alive(pid));
  REQUIRE(t.told("shutdown").size() == 1);
  t.host.stop();
}

TEST_CASE("sharing: after a crash each editor goes on with its own text") {
  Two t;
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "of a");
  t.b.open(uri, "of b");
  REQUIRE(t.b.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of b");
  REQUIRE(t.a.ask("test/crash")["error"]["code"] == -32803);
  REQUIRE(t.a.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of a");
  REQUIRE(t.b.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of b");
  REQUIRE(t.told("initialize").size() == 2);
  REQUIRE(t.told("initialized").size() == 2);
  t.host.stop();
}

TEST_CASE("sharing: an editor whose settings are others moves to a server of its own, with its text") {
  Two t;
  const auto uri = t.file("a.fake", "disk");
  t.b.open(uri, "of b");
  SECTION("by its answer to workspace/configuration") {
    const json items{{"items", {{{"section", "x"}}}}};
    const int asked = t.a.send("test/ask", {{"method", "workspace/configuration"}, {"params", items}});
    const auto of_a = t.a.said("workspace/configuration");
    t.a.raw({{"id", of_a["id"]}, {"result", {1}}});
    REQUIRE(t.a.answer(asked)["result"]["result"] == json{1});
    const auto of_b = t.b.said("workspace/configuration");
    t.b.raw({{"id", of_b["id"]}, {"result", {2}}});
  }
  SECTION("by a notification") { t.b.notify("workspace/didChangeConfiguration", {{"settings", {{"x", 2}}}}); }
  t.host.wait("two servers", [&] { return attached(t.host) == 2; });
  REQUIRE(t.b.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of b");
  REQUIRE(t.a.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  REQUIRE(t.told("initialize").size() == 2);
  t.host.stop();
}

TEST_CASE("sharing: who comes late is compared by the answers of those before") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient a(host, {{"server", "fake"}});
  a.initialize(dir.path());
  const int asked = a.send("test/ask", {{"method", "workspace/configuration"}, {"params", {{"items", json::array()}}}});
  a.raw({{"id", a.said("workspace/configuration")["id"]}, {"result", {1}}});
  (void)a.answer(asked);
  const int answer = GENERATE(1, 2);
  EditorClient b(host, {{"server", "fake"}}, 100'000, 2);
  b.initialize(dir.path());
  const int waits = b.send("test/echo", {{"x", 1}});
  b.raw({{"id", b.said("workspace/configuration")["id"]}, {"result", {answer}}});
  REQUIRE(b.answer(waits)["result"]["x"] == 1);
  REQUIRE(attached(host) == (answer == 1 ? 1 : 2));
  host.stop();
}

TEST_CASE("sharing: an editor that does not read holds up nobody") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient deaf(host, {{"server", "fake"}}, 1, 1), other(host, {{"server", "fake"}}, 100'000, 2);
  deaf.initialize(dir.path());
  other.initialize(dir.path());
  const int count = 1'000;
  REQUIRE(other.ask("test/flood", {{"count", count}, {"size", 1'000}})["result"] == "flooded");
  for (int i = 0; i < count; ++i) REQUIRE(other.said("test/drop")["params"]["n"] == i);
  REQUIRE(other.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  deaf.stream().credit(100'000);
  for (int i = 0; i < count; ++i) REQUIRE(deaf.said("test/drop")["params"]["n"] == i);
  host.stop();
}
