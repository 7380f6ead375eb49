// SPDX-License-Identifier: Apache-2.0
//
// The same with the real clangd.
#include <algorithm>

#include "plugins/lsp/config.hpp"
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;

namespace {

constexpr const char* kSource =
    "/// Adds two numbers.\n"
    "int add(int a, int b) { return a + b; }\n"
    "int main() { return add(1, 2); }\n";

json position(const std::string& uri, int line, int character) {
  return {{"textDocument", {{"uri", uri}}}, {"position", {{"line", line}, {"character", character}}}};
}
std::string hover_text(const json& hover) { return hover.at("result").at("contents").at("value"); }

json no_index() { return {{"clangd", {{"command", {"clangd-19", "--background-index=false"}}}}}; }

struct Project {
  TempDir dir;
  Project() {
    if (!gantry::lsp::find_on_path("clangd-19")) FAIL("clangd-19 is not installed; ./dev installs it");
    dir.write("compile_flags.txt", "-std=c++20\n");
  }
};

// Real servers live in real time.
TestHost real_host(const Project& project, const json& async = json::object()) {
  return TestHost(kPlugin, config_of(no_index(), project.dir, async), Time::real);
}

}  // namespace

TEST_CASE("clangd: to a caller a struct is a struct, with a server of the callers' own and with an editor's") {
  Project project;
  const auto file = project.dir.write("a.cpp", "struct Point { int x; };\nenum class Mode { on };\n");
  TestHost host(kPlugin, config_of(no_index(), project.dir, {{"lsp_request_timeout_seconds", 60}}), Time::real);
  const auto kinds = [&] {
    std::vector<std::string> out;
    for (const auto& symbol : value_of(host.call("lsp.document_symbols", {{"path", file}}))["items"])
      out.push_back(symbol["kind"]);
    return out;
  };
  const std::vector<std::string> wanted{"struct", "field", "enum", "enum member"};
  REQUIRE(kinds() == wanted);
  EditorClient editor(host, {{"server", "clangd"}});
  editor.initialize(project.dir.path());
  REQUIRE(kinds() == wanted);
  host.stop();
}

TEST_CASE("clangd: hover, definition and diagnostics for callers without an editor") {
  Project project;
  const auto file = project.dir.write("a.cpp", kSource);
  TestHost host(kPlugin, config_of(json::object(), project.dir, {{"lsp_request_timeout_seconds", 60}}), Time::real);
  REQUIRE(host.started() == 0);
  const auto hover = host.call("lsp.request", {{"uri", "file://" + file},
                                               {"method", "textDocument/hover"},
                                               {"params", {{"position", {{"line", 2}, {"character", 21}}}}}});
  REQUIRE(hover);
  REQUIRE(hover->at("contents")["value"].get<std::string>().find("Adds two numbers") != std::string::npos);
  const auto definition =
      host.call("lsp.request",
                {{"uri", file}, {"method", "textDocument/definition"}, {"params", position("file://" + file, 2, 21)}});
  REQUIRE(definition);
  REQUIRE(definition->at(0).value("range", definition->at(0).value("targetSelectionRange", json()))["start"]["line"] ==
          1);
  auto diagnostics = host.call("lsp.diagnostics", {{"uri", file}, {"wait_ms", 60'000}});
  REQUIRE(diagnostics->at("freshness") == "fresh");
  REQUIRE(diagnostics->at("diagnostics").empty());
  project.dir.write("a.cpp", std::string(kSource) + "int broken = \"text\";\n");
  diagnostics = host.call("lsp.diagnostics", {{"uri", file}, {"wait_ms", 60'000}});
  REQUIRE(diagnostics->at("freshness") == "fresh");
  REQUIRE(diagnostics->at("version") == 2);
  REQUIRE(diagnostics->at("diagnostics").size() == 1);
  REQUIRE(diagnostics->at("diagnostics")[0]["range"]["start"]["line"] == 3);
  const auto entry = server_entry(host, "shared");
  REQUIRE(entry["name"] == "clangd");
  REQUIRE(entry["root"] == project.dir.path());
  host.stop();
  REQUIRE_FALSE(alive(entry["pid"]));
}

TEST_CASE("clangd: fallback flags of a project's own settings hold for its files") {
  const TempDir dir;  // no compile flags anywhere around it
  const auto file = dir.write("a.cpp", "static_assert(FROM_THE_PROJECT == 7);\n");
  auto config = config_of(no_index(), dir);
  const json clangd{{"command", {"clangd-19", "--background-index=false"}},
                    {"settings", {{"clangd", {{"fallbackFlags", {"-DFROM_THE_PROJECT=7"}}}}}}};
  config["workspace_settings"] = {{dir.path(), {{"servers", {{"clangd", clangd}}}}}};
  TestHost host(kPlugin, config, Time::real);
  REQUIRE(host.started() == 0);
  const auto diagnostics = host.call("lsp.diagnostics", {{"uri", file}, {"wait_ms", 60'000}});
  REQUIRE(diagnostics);
  REQUIRE(diagnostics->at("freshness") == "fresh");
  REQUIRE(diagnostics->at("diagnostics") == json::array());
}

TEST_CASE("clangd: an editor's session, with incremental changes and diagnostics") {
  Project project;
  auto host = real_host(project);
  EditorClient editor(host, {{"language", "cpp"}});
  REQUIRE(editor.initialize(project.dir.path())["result"]["capabilities"]["hoverProvider"] == true);
  const std::string uri = "file://" + (project.dir / "a.cpp");
  editor.open(uri, kSource, "cpp");
  REQUIRE(hover_text(editor.ask("textDocument/hover", position(uri, 2, 21))).find("Adds two numbers") !=
          std::string::npos);
  REQUIRE(editor.said("textDocument/publishDiagnostics")["params"]["diagnostics"].empty());
  const json range{{"start", {{"line", 0}, {"character", 9}}}, {"end", {{"line", 0}, {"character", 12}}}};
  editor.notify("textDocument/didChange", {{"textDocument", {{"uri", uri}, {"version", 2}}},
                                           {"contentChanges", {{{"range", range}, {"text", "2"}}}}});
  REQUIRE(hover_text(editor.ask("textDocument/hover", position(uri, 2, 21))).find("Adds 2 numbers") !=
          std::string::npos);
  REQUIRE(editor.ask("shutdown").contains("result"));
  editor.notify("exit");
  REQUIRE(editor.stream().result());
  host.stop();
}

TEST_CASE("clangd: two editors with diverging unsaved text of one file each get answers to their own") {
  Project project;
  auto host = real_host(project);
  EditorClient a(host, {{"server", "clangd"}}, 100'000, 1), b(host, {{"server", "clangd"}}, 100'000, 2);
  const std::string uri = "file://" + (project.dir / "a.cpp");
  for (auto* editor : {&a, &b}) editor->initialize(project.dir.path());
  a.open(uri, "/// from a\nint f();\nint x = f();\n", "cpp");
  b.open(uri, "/// from b\nint f();\nint x = f();\n", "cpp");
  const int ha = a.send("textDocument/hover", position(uri, 2, 8)),
            hb = b.send("textDocument/hover", position(uri, 2, 8));
  REQUIRE(hover_text(b.answer(hb)).find("from b") != std::string::npos);
  REQUIRE(hover_text(a.answer(ha)).find("from a") != std::string::npos);
  host.stop();
}

TEST_CASE("clangd: an editor like Neovim and one that has declared nothing share a process, each with its own form") {
  Project project;
  auto host = real_host(project);
  EditorClient rich(host, {{"server", "clangd"}}, 100'000, 1), bare(host, {{"server", "clangd"}}, 100'000, 2);
  const std::string uri = "file://" + (project.dir / "a.cpp");
  bare.initialize(project.dir.path(), json::object());
  rich.initialize(project.dir.path());
  for (auto* editor : {&rich, &bare}) editor->open(uri, kSource, "cpp");
  const auto hover = [&](EditorClient& editor) {
    return editor.ask("textDocument/hover", position(uri, 2, 21))["result"]["contents"];
  };
  REQUIRE(hover(rich)["kind"] == "markdown");
  REQUIRE(hover(bare)["kind"] == "plaintext");
  REQUIRE(hover(bare)["value"].get<std::string>().find("###") == std::string::npos);
  REQUIRE(hover(bare)["value"].get<std::string>().find("Adds two numbers") != std::string::npos);
  const auto symbol = [&](EditorClient& editor) {
    return editor.ask("textDocument/documentSymbol", {{"textDocument", {{"uri", uri}}}})["result"][0];
  };
  REQUIRE(symbol(rich).contains("selectionRange"));
  REQUIRE(symbol(bare)["location"]["uri"] == uri);
  host.wait("one process", [&] {
    std::size_t attached = 0;
    for (const auto& server : value_of(host.call("lsp.servers")).at("servers"))
      attached += server["kind"] == "attached";
    return attached == 1;
  });
  REQUIRE(server_entry(host, "attached")["clients"] == 2);
  host.stop();
}

TEST_CASE("clangd: killed in mid-session, the next hover works on the editor's unsaved text, for editors and callers") {
  Project project;
  const auto file = project.dir.write("a.cpp", kSource);
  auto host = real_host(project, {{"lsp_request_timeout_seconds", 60}});
  EditorClient editor(host, {{"server", "clangd"}});
  editor.initialize(project.dir.path());
  const std::string uri = "file://" + file;
  editor.open(uri, kSource, "cpp");
  const json range{{"start", {{"line", 0}, {"character", 4}}}, {"end", {{"line", 0}, {"character", 8}}}};
  editor.notify("textDocument/didChange", {{"textDocument", {{"uri", uri}, {"version", 2}}},
                                           {"contentChanges", {{{"range", range}, {"text", "Sums"}}}}});
  REQUIRE(hover_text(editor.ask("textDocument/hover", position(uri, 2, 21))).find("Sums two numbers") !=
          std::string::npos);
  const auto callers = [&] {
    return host.call("lsp.request", {{"uri", file},
                                     {"method", "textDocument/hover"},
                                     {"params", {{"position", {{"line", 2}, {"character", 21}}}}}});
  };
  REQUIRE(callers());
  const int pid = server_entry(host, "attached")["pid"];
  REQUIRE(::kill(pid, SIGKILL) == 0);
  host.wait("the restart", [&] {
    const auto entry = server_entry(host, "attached");
    return entry["restarts"] == 1 && entry["state"] == "ready";
  });
  REQUIRE(server_entry(host, "attached")["pid"] != pid);
  REQUIRE(hover_text(editor.ask("textDocument/hover", position(uri, 2, 21))).find("Sums two numbers") !=
          std::string::npos);
  const auto hover = callers();
  REQUIRE(hover);
  REQUIRE(hover->at("contents")["value"].get<std::string>().find("Adds two numbers") != std::string::npos);
  host.stop();
}
