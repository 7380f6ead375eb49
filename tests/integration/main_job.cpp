// SPDX-License-Identifier: Apache-2.0
//
// What `./dev run` promises, on a small project: real answers from clangd, from a model learned from the files, and a
// session that survives kill -9.
#include "tests/integration/editor.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

void write_project(Sandbox& box) {
  box.write("work/compile_flags.txt", "-std=c++20\n");
  box.write("work/main.cpp", R"(/// Adds two numbers.
int add_numbers(int first, int second) { return first + second; }

int main() { return add_numbers(1, 2); }
int broken() { return undeclared_name; }
)");
  std::string lessons;
  for (int i = 0; i < 40; ++i) {
    lessons += "void lesson_" + std::to_string(i) +
               "() {\n  for (std::size_t index = 0; index < values.size(); ++index) {\n"
               "    total_weight += values[index].weight;\n  }\n}\n";
  }
  box.write("work/lessons.cpp", "#include <vector>\n" + lessons);
}

}  // namespace

TEST_CASE("main job: a hover and the diagnostics of a real file come from clangd") {
  Sandbox box;
  write_project(box);
  (void)box.serve({"--workspace", box.work().string()});
  const std::string uri = "file://" + (box.work() / "main.cpp").string();
  const json params{{"textDocument", {{"uri", uri}}}, {"position", {{"line", 3}, {"character", 22}}}};
  const auto hover =
      box.run({"call", "lsp.request", "uri=" + uri, "method=textDocument/hover", "params:=" + params.dump()});
  INFO(hover.err);
  REQUIRE(hover.code == 0);
  REQUIRE(hover.out.find("add_numbers") != std::string::npos);
  REQUIRE(hover.out.find("Adds two numbers") != std::string::npos);
  const auto diagnostics = box.run({"call", "lsp.diagnostics", "uri=" + uri, "wait_ms:=20000"});
  REQUIRE(diagnostics.code == 0);
  const auto found = json::parse(diagnostics.out);
  REQUIRE(found["freshness"] == "fresh");
  REQUIRE(found["diagnostics"].dump().find("undeclared_name") != std::string::npos);
  const auto servers = box.run({"call", "lsp.servers"});
  REQUIRE(servers.out.find("clangd") != std::string::npos);
}

TEST_CASE("main job: a completion is a real prediction from the files of the workspace") {
  Sandbox box;
  write_project(box);
  (void)box.serve({"--workspace", box.work().string()});
  auto client = box.connect();
  std::string text;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  // It answers at once, and better when it has learned.
  while (text.find("weight") == std::string::npos && std::chrono::steady_clock::now() < until) {
    const auto answer = client.call(
        "ai.complete",
        {{"prefix", "  for (std::size_t index = 0; index < values.size(); ++index) {\n    total_weight += values["},
         {"path", (box.work() / "new.cpp").string()},
         {"max_tokens", 12}},
        std::chrono::seconds(20));
    REQUIRE(answer);
    text = (*answer)["text"].get<std::string>();
    REQUIRE((*answer)["model"] == "embedded");
  }
  INFO(text);
  REQUIRE(text.find("index].weight") == 0);
}

TEST_CASE("main job: a session and a setting are still there after kill -9 and a restart") {
  Sandbox box;
  const pid_t first = box.serve();
  const auto created = box.run({"call", "state.session.create", "name=tour"});
  INFO(created.err);
  REQUIRE(created.code == 0);
  const auto session = json::parse(created.out);
  REQUIRE(box.run({"call", "state.settings.set", "key=editor.tab_size", "value:=4"}).code == 0);
  ::kill(first, SIGKILL);
  REQUIRE(box.wait(first) == 128 + SIGKILL);
  (void)box.serve();
  const auto listed = box.run({"call", "state.session.list"});
  REQUIRE(listed.code == 0);
  const auto list = json::parse(listed.out);
  REQUIRE(list["items"].size() == 1);
  REQUIRE(list["items"][0]["id"] == session["session"]["id"]);
  REQUIRE(list["epoch"] == session["epoch"]);
  const auto setting = json::parse(box.run({"call", "state.settings.get", "key=editor.tab_size"}).out);
  REQUIRE(setting["value"] == 4);
  REQUIRE(setting["value"].is_number_integer());
}

TEST_CASE("main job: an editor that runs gantry lsp is served by clangd, from initialize to exit") {
  Sandbox box;
  write_project(box);
  (void)box.serve();
  StdioEditor editor(box, {"lsp"});
  const std::string uri = "file://" + (box.work() / "main.cpp").string();
  REQUIRE(editor.initialize(1)["result"]["capabilities"].contains("hoverProvider"));
  (void)editor.notify(
      "textDocument/didOpen",
      {{"textDocument", {{"uri", uri}, {"languageId", "cpp"}, {"version", 1}, {"text", box.read("work/main.cpp")}}}});
  (void)editor.request(2, "textDocument/hover",
                       {{"textDocument", {{"uri", uri}}}, {"position", {{"line", 3}, {"character", 22}}}});
  REQUIRE(editor.answer_to(2)["result"].dump().find("add_numbers") != std::string::npos);
  (void)editor.request(3, "shutdown");
  (void)editor.answer_to(3);
  (void)editor.notify("exit");
  REQUIRE(editor.wait() == 0);
}
