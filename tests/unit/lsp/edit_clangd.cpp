// SPDX-License-Identifier: Apache-2.0
//
// Edits for agents by the real clangd.
#include "plugins/lsp/config.hpp"
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;

namespace {

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Project {
  TempDir dir;
  TestHost host;

  Project() : host(kPlugin, config(dir), Time::real) {
    host.describe_origin(1, {{"workspace", dir.path()}});
    REQUIRE(host.started() == 0);
  }
  static json config(const TempDir& dir) {
    if (!gantry::lsp::find_on_path("clangd-19")) FAIL("clangd-19 is not installed; ./dev installs it");
    json commands = json::array();  // what clangd indexes
    for (const char* file : {"shop.cpp", "main.cpp", "a.cpp"})
      commands.push_back(
          {{"directory", dir.path()}, {"file", file}, {"command", "c++ -std=c++20 -c " + std::string(file)}});
    dir.write("compile_commands.json", commands.dump());
    return config_of({{"clangd", {{"command", {"clangd-19"}}}}}, dir);
  }
  json ask(const char* method, json params) {
    if (!params.empty()) params["wait_ms"] = 60'000;
    return value_of(host.call(method, params));
  }
};

}  // namespace

TEST_CASE("edits: clangd renames a symbol in all files, and what is wrong after it is applied is told") {
  Project project;
  project.dir.write("shop.hpp", "#pragma once\nnamespace shop {\nint total(int a, int b);\n}\n");
  project.dir.write("shop.cpp",
                    "#include \"shop.hpp\"\r\nnamespace shop {\r\nint total(int a, int b) { return a + b; }\r\n}\r\n");
  project.dir.write("main.cpp",
                    "#include \"shop.hpp\"\nint sum;\n/* \xF0\x9F\x98\x80 */ int main() { return shop::total(1, 2); }");
  const json params{{"symbol", "total"}, {"path", "shop.hpp"}, {"new_name", "sum"}};
  const json proposed = project.ask("lsp.rename", params);
  INFO(proposed.dump());
  REQUIRE(proposed["files"] == 3);
  REQUIRE(content(project.dir / "shop.hpp").find("sum") == std::string::npos);
  const json applied = project.ask("lsp.apply", {{"edit_id", proposed["edit_id"]}});
  INFO(applied.dump());
  REQUIRE(content(project.dir / "shop.hpp") == "#pragma once\nnamespace shop {\nint sum(int a, int b);\n}\n");
  REQUIRE(content(project.dir / "shop.cpp") ==
          "#include \"shop.hpp\"\r\nnamespace shop {\r\nint sum(int a, int b) { return a + b; }\r\n}\r\n");
  REQUIRE(content(project.dir / "main.cpp") ==
          "#include \"shop.hpp\"\nint sum;\n/* \xF0\x9F\x98\x80 */ int main() { return shop::sum(1, 2); }");
  REQUIRE(applied["files"].size() == 3);
  for (const auto& file : applied["files"]) {
    REQUIRE(file["freshness"] == "fresh");
    REQUIRE(file["errors"] == 0);
  }
  REQUIRE(project.ask("lsp.definition", {{"path", "main.cpp"}, {"line", 3}, {"symbol", "sum"}})["items"][0]["path"] ==
          "shop.cpp");
}

TEST_CASE("edits: clangd formats a file") {
  Project project;
  project.dir.write("a.cpp", "int  main( ) {\n\n\n\nreturn   0;}\n");
  const json proposed = project.ask("lsp.format", {{"path", "a.cpp"}});
  const json applied = project.ask("lsp.apply", {{"edit_id", proposed["edit_id"]}});
  REQUIRE(content(project.dir / "a.cpp") == "int main() { return 0; }\n");
  REQUIRE(project.ask("lsp.format", {{"path", "a.cpp"}})["edit_id"] == nullptr);
}

TEST_CASE("edits: clangd's fixes and refactorings are proposals, though they are commands") {
  Project project;
  const std::string text = "int twice(int a) {\n  int b = a + a\n  return b;\n}\nint four() { return (twice(2)); }\n";
  project.dir.write("a.cpp", text);
  const json fixes = project.ask("lsp.code_actions", {{"path", "a.cpp"}, {"line", 3}, {"symbol", "return"}});
  INFO(fixes.dump());
  json fix;
  for (const auto& item : fixes["items"]) {
    if (item.value("kind", "") == "quickfix") fix = item;
  }
  REQUIRE(fix["edit_id"].is_string());
  const json applied = project.ask("lsp.apply", {{"edit_id", fix["edit_id"]}});
  REQUIRE(applied["total"] == 0);
  REQUIRE(content(project.dir / "a.cpp").find("int b = a + a;") != std::string::npos);
  const json extract = project.ask("lsp.code_actions", {{"path", "a.cpp"},
                                                        {"line", 5},
                                                        {"symbol", "twice"},
                                                        {"end_line", 5},
                                                        {"end_column", 30},
                                                        {"title", "Extract subexpression to variable"}});
  INFO(extract.dump());
  REQUIRE(extract["total"] == 1);
  (void)project.ask("lsp.apply", {{"edit_id", extract["items"][0]["edit_id"]}});
  REQUIRE(content(project.dir / "a.cpp").find("= twice(2)") != std::string::npos);
}

TEST_CASE("guests: agents look up, check, rename and apply at the clangd of an editor that has unsaved text") {
  Project project;
  project.dir.write("shop.hpp", "#pragma once\nint total(int a, int b);\n");
  project.dir.write("shop.cpp", "#include \"shop.hpp\"\nint total(int a, int b) { return a + b; }\n");
  const std::string saved = "#include \"shop.hpp\"\nint main() { return total(1, 2); }\n";
  const std::string uri = "file://" + project.dir.write("main.cpp", saved);
  EditorClient editor(project.host, {{"server", "clangd"}});
  editor.initialize(project.dir.path());
  editor.open(uri, "int wrong = missing;\n" + saved, "cpp");
  const auto diagnostics_of_editor = [&] {
    return editor.take([](const json& m) {
      return m.value("method", "") == "textDocument/publishDiagnostics" &&
             m["params"]["uri"].get<std::string>().ends_with("main.cpp");
    })["params"]["diagnostics"];
  };
  REQUIRE(diagnostics_of_editor().dump().find("missing") != std::string::npos);
  const json on_disk = project.ask("lsp.diagnostics", {{"uri", uri}});
  INFO(on_disk.dump());
  REQUIRE(on_disk["freshness"] == "fresh");
  REQUIRE(on_disk["diagnostics"].empty());
  const json checked = project.ask("lsp.check_edit",
                                   {{"path", "shop.cpp"}, {"edits", {{{"old_text", "a + b"}, {"new_text", "a + c"}}}}});
  INFO(checked.dump());
  REQUIRE(checked["files"][0]["freshness"] == "fresh");
  REQUIRE(checked["files"][0]["added"] == 1);
  const json proposed = project.ask("lsp.rename", {{"symbol", "total"}, {"path", "shop.hpp"}, {"new_name", "sum"}});
  INFO(proposed.dump());
  REQUIRE(proposed["files"] == 3);
  const auto refused = project.host.call("lsp.apply", {{"edit_id", proposed["edit_id"]}});
  REQUIRE_FALSE(refused);
  REQUIRE(refused.error().message.find("main.cpp") != std::string::npos);
  editor.notify("textDocument/didClose", {{"textDocument", {{"uri", uri}}}});
  (void)editor.ask("workspace/symbol", {{"query", "total"}});  // its turn comes after the other's
  const json applied = project.ask("lsp.apply", {{"edit_id", proposed["edit_id"]}});
  INFO(applied.dump());
  REQUIRE(content(project.dir / "main.cpp").find("return sum(1, 2)") != std::string::npos);
  for (const auto& file : applied["files"]) {
    REQUIRE(file["freshness"] == "fresh");
    REQUIRE(file["errors"] == 0);
  }
  editor.open(uri, "/// Mine.\nint own;\nint other = own;\n", "cpp", 2);
  const json hover = editor.ask("textDocument/hover",
                                {{"textDocument", {{"uri", uri}}}, {"position", {{"line", 2}, {"character", 13}}}});
  REQUIRE(hover.dump().find("Mine.") != std::string::npos);
  std::size_t processes = 0;
  for (const auto& server : project.ask("lsp.servers", json::object())["servers"]) processes += server.contains("pid");
  REQUIRE(processes == 1);
  project.host.stop();
}
