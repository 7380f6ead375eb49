// SPDX-License-Identifier: Apache-2.0
//
// Several real language servers that are one to an editor (`gantry lsp --server A --server B`).
#include <set>

#include "tests/folders.hpp"
#include "tests/integration/editor.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

const std::string kPyright = gantry::folders::build() + "/npm/node_modules/pyright/langserver.index.js";

/// A host with pyright and pylsp, both for Python.
struct Python {
  Sandbox box;

  Python() {
    const json pyright{"node", "--require", gantry::folders::source() + "/tests/npm/impatient.js", kPyright, "--stdio"};
    const auto table = [](const std::string& name, const json& command, int priority) {
      return "[lsp.servers." + name + "]\ncommand = " + command.dump() +
             "\nlanguages = [\"python\"]\nruns_project_code = false\npriority = " + std::to_string(priority) + "\n";
    };
    box.write("g.toml", "[log]\nstderr = false\n[async]\nlsp_request_timeout_seconds = 90\n" +
                            table("pyright", pyright, 2) + table("pylsp", {"pylsp"}, 1) +
                            table("missing", {"no-such-server"}, 0));
    (void)box.serve({"--config", (box.dir() / "g.toml").string(), "--workspace", box.work().string()});
  }
  [[nodiscard]] std::string uri() const { return "file://" + (box.work() / "a.py").string(); }

  /// The name of the servers that greet.
  std::string greet(StdioEditor& editor, const std::string& content) {
    (void)editor.request(0, "initialize",
                         {{"processId", ::getpid()},
                          {"rootUri", "file://" + box.work().string()},
                          {"capabilities",
                           {{"textDocument",
                             {{"completion", {{"completionItem", {{"resolveSupport", {{"properties", {"detail"}}}}}}}},
                              {"publishDiagnostics", json::object()}}}}}});
    const auto welcome = editor.answer_to(0)["result"];
    (void)editor.notify("initialized");
    (void)editor.notify(
        "textDocument/didOpen",
        {{"textDocument", {{"uri", uri()}, {"languageId", "python"}, {"version", 1}, {"text", content}}}});
    return welcome["serverInfo"]["name"];
  }
  json ask(StdioEditor& editor, int id, const std::string& method, int line, int character) const {
    (void)editor.request(id, method,
                         {{"textDocument", {{"uri", uri()}}},
                          {"position", {{"line", line}, {"character", character}}},
                          {"context", {{"includeDeclaration", true}, {"triggerKind", 1}}}});
    return editor.answer_to(id);
  }
  static json params_of_next(StdioEditor& editor, const std::string& method) {
    while (true) {
      auto message = editor.receive();
      if (message.value("method", "") == method) return std::move(message["params"]);
    }
  }
  static void leave(StdioEditor& editor) {
    (void)editor.request(1000, "shutdown");
    REQUIRE(editor.answer_to(1000)["result"].is_null());
    (void)editor.notify("exit");
    REQUIRE(editor.wait() == 0);
  }
};

const std::string kText = "import os\n\n\ndef greet(name: str) -> int:\n    return name\n\n\ngreet(1)\n";

}  // namespace

TEST_CASE("merged servers: pyright and pylsp are one server to an editor, and one goes on without the other") {
  Python t;
  t.box.write("work/a.py", kText);
  StdioEditor editor(t.box, {"lsp", "--language", "python"});
  REQUIRE(t.greet(editor, kText) == "pyright + pylsp");

  // Both have diagnostics of the one text: a type that does not fit is pyright's, an import of no use also pylsp's.
  std::set<std::string> sources;
  while (!sources.contains("pyflakes") || !sources.contains("Pyright")) {
    const auto published = Python::params_of_next(editor, "textDocument/publishDiagnostics");
    if (published["uri"] != t.uri()) continue;
    sources.clear();
    for (const auto& each : published["diagnostics"]) sources.insert(each.value("source", ""));
  }

  const auto completion = t.ask(editor, 1, "textDocument/completion", 7, 3)["result"]["items"];
  std::set<json> owners;
  json of_pyright;
  for (const auto& item : completion) {
    if (item["label"].get<std::string>().starts_with("greet")) owners.insert(item["data"]["gantry_server"]);
    if (item["label"] == "greet" && item["data"]["gantry_server"] == 0) of_pyright = item;
  }
  REQUIRE(owners.size() == 2);
  (void)editor.request(2, "completionItem/resolve", of_pyright);
  REQUIRE(editor.answer_to(2)["result"]["documentation"].dump().find("greet") != std::string::npos);

  const auto references = t.ask(editor, 3, "textDocument/references", 7, 1)["result"];
  REQUIRE(references.size() == 2);  // each is found by both
  REQUIRE(t.ask(editor, 4, "textDocument/hover", 7, 1)["result"].dump().find("(function)") != std::string::npos);

  REQUIRE(t.box.run({"call", "lsp.stop", R"({"server": "pyright"})"}).code == 0);
  const auto hover = t.ask(editor, 5, "textDocument/hover", 7, 1)["result"].dump();
  INFO(hover);
  REQUIRE(hover.find("greet(name: str)") != std::string::npos);
  REQUIRE(hover.find("(function)") == std::string::npos);  // pylsp says it otherwise
  REQUIRE(t.ask(editor, 6, "textDocument/references", 7, 1)["result"].size() == 2);
  REQUIRE(t.box.run({"call", "lsp.restart", R"({"server": "pyright"})"}).code == 0);
  REQUIRE(t.ask(editor, 7, "textDocument/hover", 7, 1)["result"].dump().find("(function)") != std::string::npos);
  Python::leave(editor);
}

TEST_CASE("merged servers: two editors share both servers, each with its own unsaved text") {
  Python t;
  t.box.write("work/a.py", kText);
  StdioEditor a(t.box, {"lsp", "--server", "pyright", "--server", "pylsp"});
  StdioEditor b(t.box, {"lsp", "--server", "pyright", "--server", "pylsp"});
  (void)t.greet(a, "def first() -> int: ...\n\n\nfirst()\n");
  (void)t.greet(b, "def second() -> int: ...\n\n\nsecond()\n");
  for (int turn = 1; turn <= 5; ++turn) {
    REQUIRE(t.ask(a, turn, "textDocument/hover", 3, 1)["result"].dump().find("first") != std::string::npos);
    REQUIRE(t.ask(b, turn, "textDocument/hover", 3, 1)["result"].dump().find("second") != std::string::npos);
    REQUIRE(t.ask(a, 100 + turn, "textDocument/references", 3, 1)["result"].size() == 2);
  }
  int attached = 0;
  for (const auto& server : json::parse(t.box.run({"call", "lsp.servers"}).out)["servers"]) {
    if (server.value("kind", "") != "attached") continue;
    ++attached;
    REQUIRE(server["clients"] == 2);
  }
  REQUIRE(attached == 2);
  Python::leave(a);
  Python::leave(b);
}

TEST_CASE("merged servers: one that is not there is told of, and the other serves") {
  Python t;
  t.box.write("work/a.py", kText);
  StdioEditor editor(t.box, {"lsp", "--server", "missing", "--server", "pylsp"});
  REQUIRE(t.greet(editor, kText) == "pylsp");
  const auto told = Python::params_of_next(editor, "window/showMessage")["message"].get<std::string>();
  INFO(told);
  REQUIRE(told.find("missing does not serve") == 0);
  REQUIRE(t.ask(editor, 1, "textDocument/hover", 7, 1)["result"].is_object());
  Python::leave(editor);
  REQUIRE(t.box.read("lsp.err").find("missing: ") != std::string::npos);
}

TEST_CASE("merged servers: if none is there, or too many are named, that is said, and nothing runs") {
  Python t;
  const auto none = t.box.run({"lsp", "--server", "nobody", "--server", "nowhere"});
  INFO(none.err);
  REQUIRE(none.code == 1);
  for (const char* const name : {"\"nobody\"", "\"nowhere\""}) REQUIRE(none.err.find(name) != std::string::npos);
  std::vector<std::string> words{"lsp"};
  for (int i = 0; i < 9; ++i) words.insert(words.end(), {"--server", "pylsp"});
  const auto many = t.box.run(words);
  REQUIRE(many.code != 0);
  REQUIRE(many.err.find("at most 8 servers can be merged") != std::string::npos);
}
