// SPDX-License-Identifier: Apache-2.0
//
// What users of language servers with several clients, and of programs between both, have reported as bugs, tried with
// two editors that share a server. Each case names the reports.
#include <sys/stat.h>

#include <set>

#include "tests/unit/lsp/sharing.hpp"

using namespace lsp_test;

namespace {

/// The number of diagnostics of this file that the editor is told next.
[[nodiscard]] std::size_t diagnostics_of(EditorClient& editor, const std::string& uri) {
  const auto told = editor.take([&](const json& m) {
    return m.value("method", "") == "textDocument/publishDiagnostics" && m["params"]["uri"] == uri;
  });
  return told["params"]["diagnostics"].size();
}
/// Waits until it is told so many.
void wait_for_diagnostics(EditorClient& editor, const std::string& uri, std::size_t count) {
  while (diagnostics_of(editor, uri) != count) continue;
}
[[nodiscard]] json folder(const std::string& path) {
  return {{"uri", "file://" + path}, {"name", path.substr(path.rfind('/') + 1)}};
}
[[nodiscard]] json folders_event(const std::vector<std::string>& added, const std::vector<std::string>& removed) {
  json event{{"added", json::array()}, {"removed", json::array()}};
  for (const auto& path : added) event["added"].push_back(folder(path));
  for (const auto& path : removed) event["removed"].push_back(folder(path));
  return {{"event", std::move(event)}};
}
// Of a server that is told of changed folders.
const std::string kTakesFolders =
    json{{"workspace", {{"workspaceFolders", {{"supported", true}, {"changeNotifications", true}}}}}}.dump();

}  // namespace

// K-dash/typemux-cc#104: progress whose tokens are equal is mixed up. Here the first request was given up, so that its
// token is free for another editor, while the server still works on the request.
TEST_CASE("sharing reports: late progress of a cancelled request is not that of another with the same token") {
  Two t({"--ignore-cancel"});
  (void)t.b.ask("test/echo");
  const int first = t.a.send("test/hang", {{"workDoneToken", 1}});
  t.host.wait("the first", [&] { return t.told("test/hang").size() == 1; });
  t.a.notify("exit");
  REQUIRE(t.a.stream().result());
  EditorClient late(t.host, {{"server", "fake"}}, 100'000, 3);
  late.initialize(t.dir.path());
  const int second = late.send("test/hang", {{"workDoneToken", 1}});
  t.host.wait("the second", [&] { return t.told("test/hang").size() == 2; });
  for (const auto& request : t.told("test/hang")) {
    const auto& token = request["params"]["workDoneToken"];
    (void)t.b.ask("test/notify", {{"method", "$/progress"}, {"params", {{"token", token}, {"value", request["id"]}}}});
  }
  REQUIRE(late.said("$/progress")["params"] == json{{"token", 1}, {"value", t.told("test/hang").back()["id"]}});
  REQUIRE(t.b.ask("test/release")["result"] == "released");
  REQUIRE(late.answer(second)["result"] == "late");
  REQUIRE(late.kept().empty());
  REQUIRE(t.b.kept().empty());
  (void)first;
  t.host.stop();
}

// microsoft/language-server-protocol#1873: a client cancels by the token that it has given with a request.
TEST_CASE("sharing reports: an editor cancels its own progress by the token that it gave, and not another's") {
  Two t;
  (void)t.b.ask("test/echo");
  t.a.send("test/hang", {{"workDoneToken", 1}});
  t.b.send("test/hang", {{"workDoneToken", 1}});
  t.host.wait("both", [&] { return t.told("test/hang").size() == 2; });
  const auto of_b = t.told("test/hang").back()["params"]["workDoneToken"];
  t.b.notify("window/workDoneProgress/cancel", {{"token", 1}});
  t.b.notify("window/workDoneProgress/cancel", {{"token", t.told("test/hang").front()["params"]["workDoneToken"]}});
  // The server's own progress is everyone's.
  const int asked =
      t.a.send("test/ask", {{"method", "window/workDoneProgress/create"}, {"params", {{"token", "own"}}}});
  for (auto* const editor : {&t.a, &t.b})
    editor->raw({{"id", editor->said("window/workDoneProgress/create")["id"]}, {"result", nullptr}});
  (void)t.a.answer(asked);
  t.b.notify("window/workDoneProgress/cancel", {{"token", "own"}});
  (void)t.b.ask("test/echo");
  std::vector<json> tokens;
  for (const auto& message : t.told("window/workDoneProgress/cancel")) tokens.push_back(message["params"]["token"]);
  REQUIRE(tokens == std::vector<json>{of_b, "own"});
  t.host.stop();
}

// typescript-language-server/typescript-language-server#35, python-lsp/python-lsp-server#143: what a server has said of
// a file stays when the file is closed. Here the server cannot know: another editor has the file open.
TEST_CASE("sharing reports: who closes a file that another has open keeps no diagnostics of the text that was closed") {
  Two t({"--diagnose"});
  const auto uri = t.file("a.fake", "disk");
  t.b.open(uri, "of b");
  t.a.open(uri, "bad of a");
  wait_for_diagnostics(t.a, uri, 1);
  REQUIRE(t.b.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of b");
  t.a.notify("textDocument/didClose", hover_of(uri));
  wait_for_diagnostics(t.a, uri, 0);
  REQUIRE(t.a.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "disk");
  t.host.stop();
}

// eclipse-jdtls/eclipse.jdt.ls#867: after a file with changes was closed, its errors are not withdrawn. Here the server
// withdraws them, before it is known that it has seen the editor's texts.
TEST_CASE("sharing reports: what the server withdraws of a file that was closed is withdrawn for its editor") {
  Two t({"--diagnose", "--no-versions"});
  const auto uri = t.file("a.fake", "disk"), other = t.file("b.fake", "disk");
  t.a.open(uri, "bad of a");
  (void)t.a.ask("test/echo");
  t.b.open(other, "of b");
  wait_for_diagnostics(t.a, uri, 1);
  (void)t.b.ask("test/echo");
  t.a.notify("textDocument/didClose", hover_of(uri));
  const json none{{"uri", uri}, {"diagnostics", json::array()}};
  t.b.raw({{"id", "notify"},
           {"method", "test/notify"},
           {"params", {{"method", "textDocument/publishDiagnostics"}, {"params", none}}}});
  REQUIRE(diagnostics_of(t.a, uri) == 0);
  t.host.stop();
}

// microsoft/vscode-cpptools#5606: after a crash with several folders the next server has others than the editor.
// neoclide/coc.nvim#5120: a folder that nobody uses any more stays with the server.
TEST_CASE("sharing reports: after a crash the server has the folders of now, also after many changes") {
  Two t({"--capabilities", kTakesFolders});
  const auto of_a = t.dir / "of_a", of_b = t.dir / "of_b";
  for (const auto& path : {of_a, of_b}) std::filesystem::create_directories(path);
  t.b.notify("workspace/didChangeWorkspaceFolders", folders_event({of_b}, {}));
  const bool many = GENERATE(false, true);
  for (int i = 0; i < (many ? 40 : 0); ++i) {
    t.b.notify("workspace/didChangeWorkspaceFolders", folders_event({}, {of_b}));
    t.b.notify("workspace/didChangeWorkspaceFolders", folders_event({of_b}, {}));
  }
  (void)t.b.ask("test/echo");
  t.a.notify("workspace/didChangeWorkspaceFolders", folders_event({of_a}, {}));
  (void)t.a.ask("test/echo");
  t.a.notify("exit");
  REQUIRE(t.a.stream().result());
  REQUIRE(t.b.ask("test/crash").contains("error"));
  REQUIRE(t.b.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  std::set<std::string> folders;
  for (const auto& message : sent_to(t.dir)) {
    if (message.value("method", "") == "initialize") {
      folders.clear();
      for (const auto& each : message["params"]["workspaceFolders"]) folders.insert(each["uri"]);
    }
    if (message.value("method", "") != "workspace/didChangeWorkspaceFolders") continue;
    for (const auto& each : message["params"]["event"]["removed"]) folders.erase(each["uri"]);
    for (const auto& each : message["params"]["event"]["added"]) folders.insert(each["uri"]);
  }
  REQUIRE(folders == std::set<std::string>{"file://" + t.dir.path(), "file://" + of_b});
  t.host.stop();
}

// microsoft/vscode-languageserver-node#1858, sublimelsp/LSP#1933: tokens as a difference to a result that the client
// does not have.
TEST_CASE("sharing reports: after another editor's question semantic tokens come whole") {
  Two t;
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "of a");
  t.b.open(uri, "of b");
  const auto ask = [&](EditorClient& editor, const json& before) {
    auto params = hover_of(uri);
    if (!before.is_null()) params["previousResultId"] = before;
    return editor.ask(before.is_null() ? "textDocument/semanticTokens/full" : "textDocument/semanticTokens/full/delta",
                      params)["result"];
  };
  const auto first = ask(t.a, json());
  const auto second = ask(t.a, first["resultId"]);
  REQUIRE(second.contains("edits"));
  (void)ask(t.b, json());
  const auto third = ask(t.a, second["resultId"]);
  REQUIRE(third.contains("data"));
  REQUIRE(ask(t.a, third["resultId"]).contains("edits"));
  t.host.stop();
}

// helix-editor/helix#7405, python-lsp/python-lsp-server#314: what an editor asks after shutdown.
TEST_CASE(
    "sharing reports: after shutdown an editor is refused, and its messages do not reach the server of the others") {
  Two t;
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "of a");
  REQUIRE(t.a.ask("shutdown")["result"].is_null());
  REQUIRE(t.a.ask("textDocument/hover", hover_of(uri))["error"]["code"] == -32600);
  REQUIRE(t.a.ask("shutdown")["error"]["code"] == -32600);
  t.a.notify("textDocument/didChange", changed(uri, 2, "too late"));
  t.a.notify("exit");
  REQUIRE(value_of(t.a.stream().result()).is_null());
  REQUIRE(t.b.ask("textDocument/hover", hover_of(uri))["error"]["code"] == -32602);
  REQUIRE(t.told("textDocument/didChange").empty());
  REQUIRE(t.told("textDocument/hover").size() == 1);
  t.host.stop();
}

// vshaxe/vshaxe#564: two registrations under one id. OmniSharp/omnisharp-roslyn#2119: the same once more.
TEST_CASE("sharing reports: who comes late gets each registration of one id, and each once") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient a(host, {{"server", "fake"}});
  a.initialize(dir.path());
  const auto registration = [](const char* language) {
    return json{{"id", "completion"},
                {"method", "textDocument/completion"},
                {"registerOptions", {{"documentSelector", {{{"language", language}}}}}}};
  };
  const json both{registration("haxe"), registration("hxml")};
  for (int i = 0; i < 2; ++i) {
    const int asked =
        a.send("test/ask", {{"method", "client/registerCapability"}, {"params", {{"registrations", both}}}});
    a.raw({{"id", a.said("client/registerCapability")["id"]}, {"result", nullptr}});
    (void)a.answer(asked);
  }
  EditorClient late(host, {{"server", "fake"}}, 100'000, 2);
  late.initialize(dir.path());
  REQUIRE(late.said("client/registerCapability")["params"]["registrations"] == both);
  host.stop();
}

// microsoft/vscode-languageserver-node#451: folders that change while the server is being initialized.
TEST_CASE("sharing reports: folders that change before initialize is answered reach the server after that") {
  TempDir dir;
  const auto fifo = dir / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  TestHost host(
      kPlugin,
      config_of({{"fake", fake_server(dir, {"--initialize-when", fifo, "--capabilities", kTakesFolders})}}, dir));
  EditorClient a(host, {{"server", "fake"}}, 100'000, 1), b(host, {{"server", "fake"}}, 100'000, 2);
  const json params{{"processId", nullptr}, {"rootUri", "file://" + dir.path()}, {"capabilities", json::object()}};
  const int welcome_a = a.send("initialize", params), welcome_b = b.send("initialize", params);
  b.notify("workspace/didChangeWorkspaceFolders", folders_event({dir / "more"}, {}));
  host.wait("initialize", [&] { return sent_to(dir, "initialize").size() == 1; });
  std::ofstream(fifo) << "x";
  (void)a.answer(welcome_a);
  (void)b.answer(welcome_b);
  for (auto* const editor : {&a, &b}) {
    editor->notify("initialized");
    (void)editor->ask("test/echo");
  }
  const auto told = sent_to(dir, "workspace/didChangeWorkspaceFolders");
  REQUIRE(told.size() == 1);
  REQUIRE(told.front()["params"]["event"]["added"] == json::array({folder(dir / "more")}));
  host.stop();
}

// mattn/efm-langserver#312, can1357/oh-my-pi#7662: one file under URIs of different spelling.
TEST_CASE("sharing reports: editors that spell a file's URI differently see their own texts and their diagnostics") {
  Two t({"--diagnose"});
  (void)t.file("a (b).fake", "disk");
  const auto plain = "file://" + t.dir.path() + "/a%20(b).fake",
             encoded = "file://" + t.dir.path() + "/a%20%28b%29.fake";
  t.a.open(plain, "bad of a");
  t.b.open(encoded, "of b, bad too");
  for (int i = 0; i < 2; ++i) {
    REQUIRE(t.a.ask("textDocument/hover", hover_of(plain))["result"]["contents"] == "bad of a");
    REQUIRE(t.b.ask("textDocument/hover", hover_of(encoded))["result"]["contents"] == "of b, bad too");
  }
  wait_for_diagnostics(t.a, plain, 1);
  wait_for_diagnostics(t.b, encoded, 1);
  t.host.stop();
}

// K-dash/typemux-cc#93: the next server is told many documents, and speaks before it has read all.
TEST_CASE("sharing reports: after a crash many documents with many diagnostics are opened again") {
  Two t({"--diagnose"});
  std::string text;
  for (int line = 0; line < 40; ++line) text += "a line with a bad word\n";
  constexpr int kDocuments = 24;
  const auto uri = [&](int number) { return "file://" + (t.dir / (std::to_string(number) + ".fake")); };
  for (int i = 0; i < kDocuments; ++i) (i % 2 == 0 ? t.a : t.b).open(uri(i), text);
  REQUIRE(t.a.ask("textDocument/hover", hover_of(uri(0)))["result"]["contents"] == text);
  REQUIRE(t.a.ask("test/crash").contains("error"));
  REQUIRE(t.b.ask("textDocument/hover", hover_of(uri(1)))["result"]["contents"] == text);
  REQUIRE(t.a.ask("textDocument/hover", hover_of(uri(0)))["result"]["contents"] == text);
  REQUIRE(t.told("initialize").size() == 2);
  t.host.stop();
}
