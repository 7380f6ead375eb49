// SPDX-License-Identifier: Apache-2.0
//
// Language servers as people install them, from Debian and from npm (tests/npm), under the profile that the host gives
// to all. Those from npm are built on vscode-languageserver, which ends a server that may not find out whether its
// client lives. clangd is in other files.
#include "tests/folders.hpp"
#include "tests/integration/editor.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

const std::string kModules = gantry::folders::build() + "/npm/node_modules/";

[[nodiscard]] std::vector<std::string> from_npm(const std::string& script, const std::string& argument) {
  return {"node", "--require", gantry::folders::source() + "/tests/npm/impatient.js", kModules + script, argument};
}

struct RealServer {
  Sandbox box;

  RealServer(const std::string& name, const std::vector<std::string>& command, const std::string& language) {
    box.write("g.toml", "[log]\nstderr = false\n[async]\nlsp_request_timeout_seconds = 90\n[lsp.servers." + name +
                            "]\ncommand = " + json(command).dump() + "\nlanguages = [\"" + language +
                            "\"]\nruns_project_code = false\n");
    (void)box.serve({"--config", (box.dir() / "g.toml").string(), "--workspace", box.work().string()});
  }
  [[nodiscard]] std::string uri(const char* file) const { return "file://" + (box.work() / file).string(); }
  void require_no_restarts() {
    for (const auto& server : json::parse(box.run({"call", "lsp.servers"}).out)["servers"]) {
      INFO(server.dump());
      REQUIRE(server["restarts"] == 0);
    }
  }
  /// An editor with this document open, which says that it is this process.
  void greet(StdioEditor& editor, const char* file, const char* language) {
    (void)editor.request(
        0, "initialize",
        {{"processId", ::getpid()}, {"rootUri", "file://" + box.work().string()}, {"capabilities", json::object()}});
    REQUIRE(editor.answer_to(0)["result"].contains("capabilities"));
    (void)editor.notify("initialized");
    (void)editor.notify("textDocument/didOpen", {{"textDocument",
                                                  {{"uri", uri(file)},
                                                   {"languageId", language},
                                                   {"version", 1},
                                                   {"text", box.read(fs::path("work") / file)}}}});
  }
  [[nodiscard]] json symbols(StdioEditor& editor, int id, const char* file) const {
    (void)editor.request(id, "textDocument/documentSymbol", {{"textDocument", {{"uri", uri(file)}}}});
    return editor.answer_to(id);
  }
};

/// Two editors with unsaved texts of one file, asked by turns, also after the server was killed. What the server shows
/// must be of the editor's own text: `first` or `second` is the name of its symbol.
void share_with_diverging_texts(RealServer& t, const char* file, const char* language, const std::string& first,
                                const std::string& second, const std::string& server) {
  StdioEditor a(t.box, {"lsp", "--server", server}), b(t.box, {"lsp", "--server", server});
  t.greet(a, file, language);
  t.greet(b, file, language);
  const auto write = [&](StdioEditor& editor, int version, const std::string& text) {
    (void)editor.notify("textDocument/didChange", {{"textDocument", {{"uri", t.uri(file)}, {"version", version}}},
                                                   {"contentChanges", {{{"text", text}}}}});
  };
  write(a, 2, first);
  write(b, 2, second);
  const auto has = [&](StdioEditor& editor, int id, const char* name) {
    auto symbols = t.symbols(editor, id, file);
    // bash-language-server reads a document after the message that opens it, and until then knows no symbol of it.
    while (symbols["result"] == json::array()) symbols = t.symbols(editor, id, file);
    INFO(symbols.dump());
    REQUIRE(symbols["result"].is_array());
    REQUIRE(symbols["result"].size() == 1);
    REQUIRE(symbols["result"][0]["name"] == name);
  };
  int id = 0;
  constexpr int kTurns = 10;
  for (int turn = 0; turn < kTurns; ++turn) {
    has(a, ++id, "first");
    has(b, ++id, "second");
  }
  const auto servers = json::parse(t.box.run({"call", "lsp.servers"}).out)["servers"];
  REQUIRE(std::ranges::count_if(servers, [](const json& s) { return s.value("kind", "") == "attached"; }) == 1);
  const auto& shared = *std::ranges::find_if(servers, [](const json& s) { return s.value("kind", "") == "attached"; });
  REQUIRE(shared["clients"] == 2);
  ::kill(shared["pid"].get<pid_t>(), SIGKILL);
  wait_for("another process", [&] {
    const auto now = json::parse(t.box.run({"call", "lsp.servers"}).out)["servers"];
    return std::ranges::any_of(now, [&](const json& s) {
      return s.value("kind", "") == "attached" && s.value("state", "") == "ready" && s.value("pid", 0) != shared["pid"];
    });
  });
  has(b, ++id, "second");
  has(a, ++id, "first");
  for (auto* const editor : {&a, &b}) {
    (void)editor->request(++id, "shutdown");
    REQUIRE(editor->answer_to(id)["result"].is_null());
    (void)editor->notify("exit");
    REQUIRE(editor->wait() == 0);
  }
}

}  // namespace

TEST_CASE("npm: two editors share a bash-language-server, each with its own unsaved text, through a crash") {
  RealServer t("bash", from_npm("bash-language-server/out/cli.js", "start"), "shellscript");
  t.box.write("work/a.sh", "disk() { echo; }\n");
  share_with_diverging_texts(t, "a.sh", "shellscript", "first() { echo; }\n", "second() { echo; }\n", "bash");
}

TEST_CASE("npm: two editors share a pyright, each with its own unsaved text, through a crash") {
  RealServer t("pyright", from_npm("pyright/langserver.index.js", "--stdio"), "python");
  t.box.write("work/a.py", "def disk() -> None: ...\n");
  share_with_diverging_texts(t, "a.py", "python", "def first() -> None: ...\n", "def second() -> None: ...\n",
                             "pyright");
}

TEST_CASE("npm: two editors share a typescript-language-server, each with its own unsaved text, through a crash") {
  RealServer t("typescript", from_npm("typescript-language-server/lib/cli.mjs", "--stdio"), "typescript");
  t.box.write("work/tsconfig.json", "{}\n");
  t.box.write("work/a.ts", "export function disk(): void {}\n");
  // It looks for the compiler in the project, and beside itself.
  share_with_diverging_texts(t, "a.ts", "typescript", "export function first(): void {}\n",
                             "export function second(): void {}\n", "typescript");
}

TEST_CASE("gopls: two editors share one, each with its own unsaved text, through a crash") {
  RealServer t("gopls", {"gopls"}, "go");
  t.box.write("work/go.mod", "module example.org/a\n\ngo 1.19\n");
  t.box.write("work/a.go", "package a\n\nfunc disk() {}\n");
  share_with_diverging_texts(t, "a.go", "go", "package a\n\nfunc first() {}\n", "package a\n\nfunc second() {}\n",
                             "gopls");
}

TEST_CASE("pylsp: two editors share one, each with its own unsaved text, through a crash") {
  RealServer t("pylsp", {"pylsp"}, "python");
  t.box.write("work/a.py", "def disk(): ...\n");
  share_with_diverging_texts(t, "a.py", "python", "def first(): ...\n", "def second(): ...\n", "pylsp");
}

TEST_CASE("npm: bash-language-server serves an editor and callers, and one process does for as long as they live") {
  RealServer t("bash", from_npm("bash-language-server/out/cli.js", "start"), "shellscript");
  t.box.write("work/a.sh", "greet() { echo hello; }\ngreet\n");
  StdioEditor editor(t.box, {"lsp", "--server", "bash"});
  t.greet(editor, "a.sh", "shellscript");
  // It is told that it may ask for settings, and answers with no symbols until it has done so.
  int id = 0;
  wait_for("its first symbols", [&] { return !t.symbols(editor, ++id, "a.sh")["result"].empty(); });
  const int last = id + 30;  // its watchdog has looked by then
  while (id < last) {
    const auto answer = t.symbols(editor, ++id, "a.sh");
    INFO(answer.dump());
    REQUIRE(answer["result"][0]["name"] == "greet");
  }
  auto client = t.box.connect();
  wait_for("its answer to a caller", [&] {  // it reads what was opened when it has the time
    const json params{{"uri", t.uri("a.sh")}, {"method", "textDocument/documentSymbol"}};
    const auto called = client.call("lsp.request", params, kTimeout * 2);
    if (!called) FAIL(called.error().message);
    return called->is_array() && !called->empty() && called->front()["name"] == "greet";
  });
  t.require_no_restarts();
}

TEST_CASE("npm: pyright serves an editor and callers, whose diagnostics follow what another file says on the disk") {
  RealServer t("pyright", from_npm("pyright/langserver.index.js", "--stdio"), "python");
  t.box.write("work/helper.py", "def twice(n: int) -> int:\n    return 2 * n\n");
  t.box.write("work/a.py", "from helper import twice\n\nanswer: int = twice(21)\n");
  StdioEditor editor(t.box, {"lsp", "--server", "pyright"});
  t.greet(editor, "a.py", "python");
  constexpr int kTimes = 10;
  for (int id = 1; id <= kTimes; ++id) {
    const auto answer = t.symbols(editor, id, "a.py");
    INFO(answer.dump());
    REQUIRE(answer.contains("result"));
  }
  auto client = t.box.connect();
  const auto diagnostics = [&] {
    const auto got = client.call("lsp.diagnostics", {{"uri", t.uri("a.py")}, {"wait_ms", 60'000}}, kTimeout * 2);
    if (!got) FAIL(got.error().message);
    return *got;
  };
  auto now = diagnostics();
  INFO(now.dump());
  REQUIRE(now["freshness"] == "fresh");
  REQUIRE(now["diagnostics"].empty());
  t.box.write("work/helper.py", "def twice(n: int) -> str:\n    return 'two'\n");
  now = diagnostics();
  INFO(now.dump());
  REQUIRE(now["freshness"] == "fresh");
  REQUIRE(now["diagnostics"].size() == 1);
  t.require_no_restarts();
}

// They name no versions.
void follow_an_agents_edits(RealServer& t, const char* file, const char* good, const char* bad) {
  t.box.write(fs::path("work") / file, good);
  auto client = t.box.connect();
  constexpr int kTurns = 4;
  for (int turn = 0; turn < kTurns; ++turn) {
    const bool is_good = turn % 2 == 0;
    t.box.write(fs::path("work") / file, is_good ? good : bad);
    const auto got = client.call("lsp.diagnostics", {{"uri", t.uri(file)}, {"wait_ms", 60'000}}, kTimeout * 2);
    if (!got) FAIL(got.error().message);
    INFO(got->dump());
    REQUIRE((*got)["freshness"] == "fresh");
    REQUIRE((*got)["diagnostics"].empty() == is_good);
  }
  t.require_no_restarts();
}

TEST_CASE("npm: typescript-language-server's diagnostics are fresh for an agent after each of its edits") {
  RealServer t("typescript", from_npm("typescript-language-server/lib/cli.mjs", "--stdio"), "typescript");
  follow_an_agents_edits(t, "a.ts", "export const a: number = 1;\n", "export const a: number = 'one';\n");
}

TEST_CASE("pylsp: its diagnostics are fresh for an agent after each of its edits") {
  RealServer t("pylsp", {"pylsp"}, "python");
  follow_an_agents_edits(t, "a.py", "a = 1\n", "a = (\n");
}

TEST_CASE("npm: pyright finds references also after some were cancelled") {
  RealServer t("pyright", from_npm("pyright/langserver.index.js", "--stdio"), "python");
  t.box.write("work/a.py", "alpha = 1\nprint(alpha)\n");
  const json params = {{"textDocument", {{"uri", t.uri("a.py")}}},
                       {"position", {{"line", 0}, {"character", 1}}},
                       {"context", {{"includeDeclaration", true}}}};
  StdioEditor editor(t.box, {"lsp", "--server", "pyright"});
  t.greet(editor, "a.py", "python");
  constexpr int kTimes = 10;
  for (int id = 1; id <= kTimes; ++id) {
    (void)editor.request(id, "textDocument/references", params);
    (void)editor.notify("$/cancelRequest", {{"id", id}});
    (void)editor.answer_to(id);
  }
  (void)editor.request(kTimes + 1, "textDocument/references", params);
  const auto answer = editor.answer_to(kTimes + 1);
  INFO(answer.dump());
  REQUIRE(answer["result"].is_array());
  REQUIRE(answer["result"].size() == 2);
}

TEST_CASE("gopls: hears of a file that is written behind the back of an editor which watches none") {
  RealServer t("gopls", {"gopls"}, "go");
  t.box.write("work/go.mod", "module example.org/a\n\ngo 1.19\n");
  t.box.write("work/a.go", "package a\n\nfunc Twice(n int) int { return double(n) }\n");
  StdioEditor editor(t.box, {"lsp", "--server", "gopls"});
  t.greet(editor, "a.go", "go");
  const auto problems = [&]() -> std::size_t {
    while (true) {
      const auto message = editor.receive();
      if (message.value("method", "") == "textDocument/publishDiagnostics" && message["params"]["uri"] == t.uri("a.go"))
        return message["params"]["diagnostics"].size();
    }
  };
  while (problems() != 1) {
  }
  t.box.write("work/b.go", "package a\n\nfunc double(n int) int { return 2 * n }\n");
  while (problems() != 0) {
  }
  fs::remove(t.box.work() / "b.go");
  while (problems() != 1) {
  }
  t.require_no_restarts();
}
