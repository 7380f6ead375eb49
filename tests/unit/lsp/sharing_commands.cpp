// SPDX-License-Identifier: Apache-2.0
//
// Commands of editors that share a server: what the server asks meanwhile is for the command's editor.
#include "tests/unit/lsp/sharing.hpp"

using namespace lsp_test;

namespace {

constexpr auto kCommandTurn = std::chrono::milliseconds(5500);
const json kCommand{{"command", "x"}};

[[nodiscard]] std::size_t commands(const Two& t) { return t.told("workspace/executeCommand").size(); }
[[nodiscard]] int begin_command(Two& t, EditorClient& editor) {
  const auto before = commands(t);
  const int id = editor.send("workspace/executeCommand", kCommand);
  t.host.wait("the command", [&] { return commands(t) == before + 1; });
  return id;
}
/// The server asks `method` on behalf of nobody that it names.
void ask(Two& t, EditorClient& by, const std::string& method) {
  by.send("test/ask", {{"method", method}, {"params", json::object()}});
  t.host.settle();
}

}  // namespace

TEST_CASE("sharing commands: an editor's command waits for another's, which after 5.5 s lets it begin") {
  Two t;
  const int first = begin_command(t, t.a);
  const int second = t.b.send("workspace/executeCommand", kCommand);
  t.host.settle();
  REQUIRE(commands(t) == 1);
  SECTION("which is answered") {
    (void)t.a.ask("test/release");
    REQUIRE(t.a.answer(first)["result"] == "late");
    t.host.wait("the next", [&] { return commands(t) == 2; });
  }
  SECTION("which is never answered") {
    t.host.advance(kCommandTurn);
    t.host.wait("the next", [&] { return commands(t) == 2; });
    // Whose question that is nobody knows: the editor is asked that was active last.
    ask(t, t.a, "workspace/applyEdit");
    (void)t.a.said("workspace/applyEdit");
    REQUIRE(t.told("$/cancelRequest").empty());
  }
  (void)t.a.ask("test/release");
  (void)t.b.answer(second);
  t.host.stop();
}

TEST_CASE("sharing commands: a command that waits for its user lets another editor's begin") {
  Two t;
  (void)begin_command(t, t.a);
  ask(t, t.b, "window/showMessageRequest");
  (void)t.a.said("window/showMessageRequest");
  (void)begin_command(t, t.b);
  t.host.stop();
}

TEST_CASE("sharing commands: an editor's own commands do not wait for each other") {
  Two t;
  (void)begin_command(t, t.a);
  (void)begin_command(t, t.a);
  ask(t, t.b, "workspace/applyEdit");
  (void)t.a.said("workspace/applyEdit");
  t.host.stop();
}

TEST_CASE("sharing commands: other requests of an editor whose user is asked keep its text") {
  TempDir answers;
  const auto file = answers.write("answers", json{{"textDocument/hover", {{"test/hang", true}}}}.dump());
  Two t({"--answers", file});
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "of a");
  t.b.open(uri, "of b");
  (void)t.b.ask("test/echo");
  t.a.send("textDocument/hover", hover_of(uri));
  t.host.wait("the request", [&] { return t.told("textDocument/hover").size() == 1; });
  ask(t, t.a, "window/showMessageRequest");
  (void)t.a.said("window/showMessageRequest");
  t.b.send("textDocument/hover", hover_of(uri));
  t.host.settle();
  REQUIRE(t.told("textDocument/hover").size() == 1);
  t.host.advance(std::chrono::milliseconds(500));
  t.host.wait("both cancellations", [&] { return t.told("$/cancelRequest").size() == 2; });
  t.host.settle();
  REQUIRE(t.told("textDocument/hover").size() == 1);  // the other request is still open
  t.host.advance(std::chrono::seconds(5));
  t.host.wait("the other's text", [&] { return t.told("textDocument/hover").size() == 2; });
  t.host.stop();
}
