// SPDX-License-Identifier: Apache-2.0
//
// Editors of one server that understand different things: each reads its own form.
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;

namespace {

[[nodiscard]] std::size_t attached(TestHost& host) {
  std::size_t count = 0;
  for (const auto& server : value_of(host.call("lsp.servers")).at("servers")) {
    if (server.value("kind", "") == "attached") ++count;
  }
  return count;
}

/// A fake server whose answers are in a file.
struct Answers {
  TempDir files;
  std::string file;

  explicit Answers(const json& answers) : file(files.write("answers.json", gantry::dump_json(answers))) {}
  [[nodiscard]] std::vector<std::string> options() const { return {"--answers", file}; }
};

/// An editor that understands everything, and another that understands the least.
struct RichAndPoor {
  TempDir dir;
  TestHost host;
  EditorClient rich, poor;
  json welcome_rich, welcome_poor;

  explicit RichAndPoor(std::vector<std::string> options = {}, json poor_capabilities = json::object())
      : host(kPlugin, config_of({{"fake", fake_server(dir, std::move(options))}}, dir)),
        rich(host, {{"server", "fake"}}, 100'000, 1),
        poor(host, {{"server", "fake"}}, 100'000, 2),
        welcome_rich(rich.initialize(dir.path())),
        welcome_poor(poor.initialize(dir.path(), poor_capabilities)) {}
  [[nodiscard]] std::vector<json> told(const std::string& method) const { return sent_to(dir, method); }
  [[nodiscard]] int pid(const json& welcome) const { return welcome["result"]["serverInfo"]["pid"]; }
};

const json kRange{{"start", {{"line", 0}, {"character", 0}}}, {"end", {{"line", 0}, {"character", 1}}}};

}  // namespace

TEST_CASE("sharing: editors with different capabilities share a process, and each reads its own form") {
  const json link{{"targetUri", "file:///b"}, {"targetRange", kRange}, {"targetSelectionRange", kRange}};
  const json symbol{{"name", "s"}, {"kind", 23}, {"range", kRange}, {"selectionRange", kRange}};
  const json hover{{"contents", {{"kind", "markdown"}, {"value", "**b**"}}}};
  const json item{{"label", "f"}, {"insertTextFormat", 2}, {"insertText", "f(${1:x})"}};
  Answers answers({{"textDocument/definition", json::array({link})},
                   {"textDocument/documentSymbol", json::array({symbol})},
                   {"textDocument/hover", hover},
                   {"textDocument/completion", json::array({item})}});
  RichAndPoor t(answers.options());
  REQUIRE(t.pid(t.welcome_rich) == t.pid(t.welcome_poor));
  const json about{{"textDocument", {{"uri", "file:///a"}}}};
  const auto both = [&](const char* method) {
    return std::pair(t.rich.ask(method, about)["result"], t.poor.ask(method, about)["result"]);
  };
  REQUIRE(both("textDocument/definition") ==
          std::pair(json::array({link}), json{{{"uri", "file:///b"}, {"range", kRange}}}));
  REQUIRE(both("textDocument/documentSymbol") ==
          std::pair(json::array({symbol}),
                    json{{{"name", "s"}, {"kind", 5}, {"location", {{"uri", "file:///a"}, {"range", kRange}}}}}));
  REQUIRE(both("textDocument/hover") == std::pair(hover, json{{"contents", {{"kind", "plaintext"}, {"value", "b"}}}}));
  REQUIRE(both("textDocument/completion") ==
          std::pair(json::array({item}), json{{{"label", "f"}, {"insertText", "f(x)"}}}));
  REQUIRE(attached(t.host) == 1);
  t.host.stop();
}

TEST_CASE("sharing: the server is offered the same whoever is first, and no process to watch") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  const auto offered_to = [&](const json& capabilities) {
    EditorClient editor(host, {{"server", "fake"}});
    editor.initialize(dir.path(), capabilities);
    editor.notify("exit");
    (void)editor.stream().result();
    return sent_to(dir, "initialize").back()["params"];
  };
  const json poor = offered_to(json::object());
  REQUIRE(poor == offered_to(all_capabilities()));
  REQUIRE(poor["capabilities"]["textDocument"]["definition"]["linkSupport"] == true);
  REQUIRE(poor["processId"].is_null());
  host.stop();
}

TEST_CASE("sharing: with share none the server is sent the editor's own capabilities, and nothing is cut") {
  TempDir dir;
  const json hover{{"contents", {{"kind", "markdown"}, {"value", "**b**"}}}};
  Answers answers({{"textDocument/hover", hover}});
  auto server = fake_server(dir, answers.options());
  server["share"] = "none";
  TestHost host(kPlugin, config_of({{"fake", server}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path(), {{"window", {{"x", 1}}}});
  REQUIRE(sent_to(dir, "initialize").at(0)["params"]["capabilities"] == json{{"window", {{"x", 1}}}});
  REQUIRE(editor.ask("textDocument/hover")["result"] == hover);
  host.stop();
}

TEST_CASE("sharing: editors that differ in experimental or unknown capabilities have servers of their own") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient a(host, {{"server", "fake"}}), b(host, {{"server", "fake"}});
  a.initialize(dir.path(), {{"experimental", {{"x", true}}}});
  b.initialize(dir.path(), {{"unknown", {"x"}}});
  REQUIRE(attached(host) == 2);
  EditorClient c(host, {{"server", "fake"}});
  c.initialize(dir.path() + "/", {{"experimental", {{"x", true}}}, {"workspace", {{"applyEdit", true}}}});
  REQUIRE(attached(host) == 2);
  REQUIRE(sent_to(dir, "initialize").at(0)["params"]["capabilities"]["experimental"] == json{{"x", true}});
  host.stop();
}

TEST_CASE("sharing: editors that count in different units share a server, which is offered UTF-16") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient a(host, {{"server", "fake"}}), b(host, {{"server", "fake"}});
  a.initialize(dir.path(), {{"general", {{"positionEncodings", {"utf-8", "utf-16"}}}}, {"offsetEncoding", {"utf-8"}}});
  b.initialize(dir.path());
  REQUIRE(attached(host) == 1);
  const json offered = sent_to(dir, "initialize").at(0)["params"]["capabilities"];
  REQUIRE(offered["general"]["positionEncodings"] == json{"utf-16"});
  REQUIRE_FALSE(offered.contains("offsetEncoding"));
  host.stop();
}

TEST_CASE("sharing: diagnostics are cut down, and are the server's again when the editor asks for code actions") {
  Answers answers({{"textDocument/codeAction", json::array()}});
  RichAndPoor t(answers.options());
  const auto uri = "file://" + t.dir.write("a.fake", "disk");
  t.rich.open(uri, "disk");
  t.poor.open(uri, "disk");
  (void)t.poor.ask("test/echo");
  const json problem{{"range", kRange}, {"message", "m"}, {"data", {{"fix", 1}}}};
  (void)t.rich.ask("test/notify", {{"method", "textDocument/publishDiagnostics"},
                                   {"params", {{"uri", uri}, {"diagnostics", json::array({problem})}}}});
  REQUIRE(t.rich.said("textDocument/publishDiagnostics")["params"]["diagnostics"] == json::array({problem}));
  const json shown = t.poor.said("textDocument/publishDiagnostics")["params"]["diagnostics"];
  REQUIRE(shown == json{{{"range", kRange}, {"message", "m"}}});
  (void)t.poor.ask("textDocument/codeAction",
                   {{"textDocument", {{"uri", uri}}}, {"range", kRange}, {"context", {{"diagnostics", shown}}}});
  REQUIRE(t.told("textDocument/codeAction").at(0)["params"]["context"]["diagnostics"] == json::array({problem}));
  t.host.stop();
}

TEST_CASE("sharing: partial results are cut down like the answer") {
  Answers answers({{"textDocument/definition", {{"test/hang", true}}}});
  RichAndPoor t(answers.options());
  const json link{{"targetUri", "file:///b"}, {"targetRange", kRange}, {"targetSelectionRange", kRange}};
  const int open = t.poor.send("textDocument/definition", {{"partialResultToken", "p"}});
  t.host.wait("the request", [&] { return t.told("textDocument/definition").size() == 1; });
  const json token = t.told("textDocument/definition").front()["params"]["partialResultToken"];
  (void)t.rich.ask("test/notify",
                   {{"method", "$/progress"}, {"params", {{"token", token}, {"value", json::array({link})}}}});
  REQUIRE(t.poor.said("$/progress")["params"]["value"][0] == json{{"uri", "file:///b"}, {"range", kRange}});
  (void)t.rich.ask("test/release", {{"result", nullptr}});
  REQUIRE(t.poor.answer(open)["result"].is_null());
  t.host.stop();
}

TEST_CASE("sharing: an edit that an editor cannot apply is refused for it, and one that it can is cut down") {
  const json text{{"textDocument", {{"uri", "file:///a"}, {"version", nullptr}}}, {"edits", json::array()}};
  const json created{{"kind", "create"}, {"uri", "file:///new"}};
  Answers answers({{"textDocument/rename", {{"documentChanges", json::array({text, created})}}}});
  const json capabilities{{"workspace", {{"applyEdit", true}}}};
  RichAndPoor t(answers.options(), capabilities);
  REQUIRE(t.rich.ask("textDocument/rename")["result"]["documentChanges"].size() == 2);
  const auto refused = t.poor.ask("textDocument/rename")["error"];
  REQUIRE(refused["code"] == -32803);
  REQUIRE(refused["message"].get<std::string>().find("create") != std::string::npos);
  const int refuses = t.poor.send("test/ask", {{"method", "workspace/applyEdit"},
                                               {"params", {{"edit", {{"documentChanges", json::array({created})}}}}}});
  const auto result = t.poor.answer(refuses)["result"]["result"];
  REQUIRE(result["applied"] == false);
  REQUIRE(result["failureReason"].get<std::string>().find("create") != std::string::npos);
  const int applies = t.poor.send("test/ask", {{"method", "workspace/applyEdit"},
                                               {"params", {{"edit", {{"documentChanges", json::array({text})}}}}}});
  const auto asked = t.poor.said("workspace/applyEdit");
  REQUIRE(asked["params"]["edit"] == json{{"changes", {{"file:///a", json::array()}}}});
  t.poor.raw({{"id", asked["id"]}, {"result", {{"applied", true}}}});
  REQUIRE(t.poor.answer(applies)["result"]["result"]["applied"] == true);
  t.host.stop();
}

TEST_CASE("sharing: what an editor has not declared to answer is answered for it") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient poor(host, {{"server", "fake"}});
  poor.initialize(dir.path(), json::object());
  poor.notify("workspace/didChangeConfiguration", {{"settings", {{"a", {{"b", 7}}}}}});
  const auto answer_to = [&](const char* method, const json& params) {
    return poor.ask("test/ask", {{"method", method}, {"params", params}})["result"]["result"];
  };
  REQUIRE(answer_to("workspace/applyEdit", {{"edit", json::object()}})["applied"] == false);
  REQUIRE(answer_to("workspace/configuration", {{"items", {{{"section", "a.b"}}, {{"section", "c"}}}}}) ==
          json{7, nullptr});
  REQUIRE(answer_to("window/showDocument", {{"uri", "u"}}) == json{{"success", false}});
  REQUIRE(answer_to("workspace/codeLens/refresh", nullptr).is_null());
  REQUIRE(answer_to("workspace/workspaceFolders", nullptr)[0]["uri"] == "file://" + dir.path());
  REQUIRE(answer_to("window/workDoneProgress/create", {{"token", "t"}}).is_null());
  REQUIRE(answer_to("client/registerCapability",
                    {{"registrations", {{{"id", "r"}, {"method", "textDocument/formatting"}}}}})
              .is_null());
  (void)poor.ask("test/notify",
                 {{"method", "$/progress"}, {"params", {{"token", "t"}, {"value", {{"kind", "begin"}}}}}});
  (void)poor.ask("test/echo");
  for (const auto& kept : poor.kept()) {
    CAPTURE(kept.dump());
    REQUIRE_FALSE(kept.contains("method"));
  }
  host.stop();
}

TEST_CASE("sharing: progress, refreshes and registrations reach the editors that know them, and no others") {
  RichAndPoor t;
  const auto ask = [&](const char* method, const json& params) {
    const int asked = t.rich.send("test/ask", {{"method", method}, {"params", params}});
    t.rich.raw({{"id", t.rich.said(method)["id"]}, {"result", nullptr}});
    REQUIRE(t.rich.answer(asked)["result"]["result"].is_null());
  };
  ask("window/workDoneProgress/create", {{"token", "t"}});
  ask("workspace/inlayHint/refresh", nullptr);
  ask("client/registerCapability", {{"registrations", {{{"id", "r"}, {"method", "textDocument/formatting"}}}}});
  (void)t.rich.ask("test/notify",
                   {{"method", "$/progress"}, {"params", {{"token", "t"}, {"value", {{"kind", "begin"}}}}}});
  REQUIRE(t.rich.said("$/progress")["params"]["token"] == "t");
  (void)t.poor.ask("test/echo");
  for (const auto& kept : t.poor.kept()) REQUIRE_FALSE(kept.contains("method"));
  // Who comes later reads of what was registered in the answer to initialize.
  EditorClient late(t.host, {{"server", "fake"}}, 100'000, 3);
  REQUIRE(late.initialize(t.dir.path(), json::object())["result"]["capabilities"]["documentFormattingProvider"] ==
          true);
  t.host.stop();
}

TEST_CASE("sharing: an editor that is not asked for settings shares only while those it has told are the same") {
  RichAndPoor t;
  const bool same = GENERATE(true, false);
  const json items{{"items", {{{"section", "x"}}}}};
  const int asked = t.rich.send("test/ask", {{"method", "workspace/configuration"}, {"params", items}});
  t.rich.raw({{"id", t.rich.said("workspace/configuration")["id"]}, {"result", {same ? json() : json(1)}}});
  REQUIRE(t.rich.answer(asked)["result"]["result"].size() == 1);
  if (!same) t.host.wait("two servers", [&] { return attached(t.host) == 2; });
  REQUIRE(t.poor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  EditorClient late(t.host, {{"server", "fake"}}, 100'000, 3);
  late.initialize(t.dir.path(), json::object());
  REQUIRE(late.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  REQUIRE((attached(t.host) == 1) == same);
  t.host.stop();
}

TEST_CASE("sharing: an editor that sends no settings shares with one that sends empty ones") {
  RichAndPoor t;
  const json empty = GENERATE(json(), json(json::object()));
  t.poor.notify("workspace/didChangeConfiguration", {{"settings", empty}});
  REQUIRE(t.poor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  REQUIRE(attached(t.host) == 1);
  REQUIRE(t.told("workspace/didChangeConfiguration").empty());
  t.host.stop();
}

TEST_CASE("sharing: an editor that lacks a feature which the server uses has a server that is not offered that") {
  TempDir dir;
  const json provider =
      GENERATE(json{{"completionProvider", {{"resolveProvider", true}}}},
               json{{"codeActionProvider", {{"resolveProvider", true}}}}, json{{"diagnosticProvider", json::object()}});
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--capabilities", provider.dump()})}}, dir));
  EditorClient first(host, {{"server", "fake"}}, 100'000, 1), rich(host, {{"server", "fake"}}, 100'000, 2),
      poor(host, {{"server", "fake"}}, 100'000, 3);
  first.initialize(dir.path(), json::object());
  // The first had to find out; it was answered by the second process.
  REQUIRE(sent_to(dir, "initialize").size() == 2);
  REQUIRE(sent_to(dir, "initialize")[0]["params"]["capabilities"] !=
          sent_to(dir, "initialize")[1]["params"]["capabilities"]);
  rich.initialize(dir.path());
  poor.initialize(dir.path(), json::object());
  REQUIRE(sent_to(dir, "initialize").size() == 3);
  REQUIRE(sent_to(dir, "initialize")[0]["params"] == sent_to(dir, "initialize")[2]["params"]);
  REQUIRE(poor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  host.wait("two servers", [&] { return attached(host) == 2; });
  host.stop();
}

TEST_CASE("sharing: an editor that watches no files stays at a server that wants to hear of them") {
  RichAndPoor t;
  const json watch{{"registrations", {{{"id", "w"}, {"method", "workspace/didChangeWatchedFiles"}}}}};
  const int asked = t.rich.send("test/ask", {{"method", "client/registerCapability"}, {"params", watch}});
  t.rich.raw({{"id", t.rich.said("client/registerCapability")["id"]}, {"result", nullptr}});
  (void)t.rich.answer(asked);
  REQUIRE(t.poor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  REQUIRE(std::ranges::none_of(t.poor.kept(), [](const json& m) { return m.contains("method"); }));
  EditorClient late(t.host, {{"server", "fake"}}, 100'000, 3);
  late.initialize(t.dir.path(), json::object());
  REQUIRE(attached(t.host) == 1);
  REQUIRE(t.told("initialize").size() == 1);
  t.host.stop();
}

TEST_CASE("sharing: the folders of all editors are the server's, and those of one that leaves are taken back") {
  TempDir dir;
  std::filesystem::create_directories(dir / "more");
  const bool takes = GENERATE(true, false);
  const json folders{{"workspace", {{"workspaceFolders", {{"supported", true}, {"changeNotifications", takes}}}}}};
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--capabilities", folders.dump()})}}, dir));
  EditorClient a(host, {{"server", "fake"}}, 100'000, 1), b(host, {{"server", "fake"}}, 100'000, 2);
  a.initialize(dir.path());
  const json both{{{"uri", "file://" + dir.path()}, {"name", "x"}},
                  {{"uri", "file://" + (dir / "more")}, {"name", "y"}}};
  (void)b.ask("initialize", {{"workspaceFolders", both}, {"capabilities", all_capabilities()}});
  b.notify("initialized");
  REQUIRE(b.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  REQUIRE(attached(host) == (takes ? 1 : 2));
  const auto changes = [&] { return sent_to(dir, "workspace/didChangeWorkspaceFolders"); };
  if (!takes) {
    REQUIRE(changes().empty());
    REQUIRE(sent_to(dir, "initialize").back()["params"]["workspaceFolders"].size() == 2);
    return host.stop();
  }
  const json more{{{"uri", "file://" + (dir / "more")}, {"name", "more"}}};
  REQUIRE(changes().size() == 1);
  REQUIRE(changes()[0]["params"]["event"] == json{{"added", more}, {"removed", json::array()}});
  REQUIRE(a.ask("test/crash")["error"]["code"] == -32803);
  REQUIRE(a.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  REQUIRE(sent_to(dir, "initialize").back()["params"]["workspaceFolders"].size() == 2);
  b.notify("exit");
  (void)b.stream().result();
  REQUIRE(a.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  REQUIRE(changes().back()["params"]["event"] == json{{"added", json::array()}, {"removed", more}});
  host.stop();
}
