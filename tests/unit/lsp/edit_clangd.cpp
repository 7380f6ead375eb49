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
    params["wait_ms"] = 60'000;
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
