// SPDX-License-Identifier: Apache-2.0
//
// Notebooks of editors: what a server that is started anew is told of them, and who shares a server with them.
#include "plugins/lsp/notebooks.hpp"

#include "tests/unit/lsp/life.hpp"
#include "tests/unit/lsp/sharing.hpp"

using namespace lsp_test;
using gantry::lsp::TrackedNotebooks;

namespace {

[[nodiscard]] json cell(const char* uri) { return {{"kind", 2}, {"document", uri}}; }
[[nodiscard]] json text_of(const char* uri, const char* text, int version = 1) {
  return {{"uri", uri}, {"languageId", "fake"}, {"version", version}, {"text", text}};
}
/// Of two cells.
[[nodiscard]] json opened() {
  return {{"notebookDocument",
           {{"uri", "file:///n.ipynb"},
            {"notebookType", "jupyter"},
            {"version", 1},
            {"cells", {cell("cell:1"), cell("cell:2")}}}},
          {"cellTextDocuments", {text_of("cell:1", "one"), text_of("cell:2", "two")}}};
}
[[nodiscard]] json changed_notebook(const json& change) {
  return {{"notebookDocument", {{"uri", "file:///n.ipynb"}, {"version", 2}}}, {"change", change}};
}
void follow(TrackedNotebooks& notebooks, const char* method, const json& params) {
  notebooks.follow(std::string("notebookDocument/") + method, params.dump());
}
[[nodiscard]] json replayed(const TrackedNotebooks& notebooks) {
  json out = json::array();
  notebooks.replay([&](std::string_view message) { out.push_back(json::parse(message).at("params")); });
  return out;
}

}  // namespace

TEST_CASE("notebooks: a new process is told the cells and texts of now") {
  TrackedNotebooks notebooks;
  follow(notebooks, "didOpen", opened());
  REQUIRE(replayed(notebooks) == json::array({opened()}));
  const json range{{"start", {{"line", 0}, {"character", 0}}}, {"end", {{"line", 0}, {"character", 1}}}};
  follow(notebooks, "didChange",
         changed_notebook(
             {{"metadata", {{"a", 1}}},
              {"cells",
               {{"structure",
                 {{"array", {{"start", 0}, {"deleteCount", 1}, {"cells", json::array({cell("cell:3")})}}},
                  {"didOpen", json::array({text_of("cell:3", "three")})},
                  {"didClose", json::array({{{"uri", "cell:1"}}})}}},
                {"data", json::array({{{"kind", 1}, {"document", "cell:2"}}})},
                {"textContent", json::array({{{"document", {{"uri", "cell:2"}, {"version", 7}}},
                                              {"changes", json::array({{{"range", range}, {"text", "T"}}})}}})}}}}));
  const json wanted{{"notebookDocument",
                     {{"uri", "file:///n.ipynb"},
                      {"notebookType", "jupyter"},
                      {"version", 2},
                      {"metadata", {{"a", 1}}},
                      {"cells", {cell("cell:3"), {{"kind", 1}, {"document", "cell:2"}}}}}},
                    {"cellTextDocuments", {text_of("cell:3", "three"), text_of("cell:2", "Two", 7)}}};
  REQUIRE(replayed(notebooks) == json::array({wanted}));
  TrackedNotebooks next;
  next.restore(notebooks.suspend());
  REQUIRE(replayed(next) == json::array({wanted}));
  follow(next, "didClose", {{"notebookDocument", {{"uri", "file:///n.ipynb"}}}, {"cellTextDocuments", json::array()}});
  REQUIRE(next.empty());
  REQUIRE(replayed(next).empty());
}

TEST_CASE("notebooks: after a message that makes no sense, or too much of them, nothing is told") {
  TrackedNotebooks notebooks;
  follow(notebooks, "didOpen", opened());
  SECTION("cells that are not there") {
    follow(notebooks, "didChange",
           changed_notebook({{"cells", {{"structure", {{"array", {{"start", 2}, {"deleteCount", 1}}}}}}}}));
  }
  SECTION("a number in the place of a cell") {
    follow(notebooks, "didOpen", {{"notebookDocument", {{"uri", "file:///o"}, {"cells", {1}}}}});
  }
  SECTION("a cell without a document") {
    follow(notebooks, "didChange", changed_notebook({{"cells", {{"data", json::array({{{"kind", 1}}})}}}}));
  }
  SECTION("too large") {
    auto large = opened();
    large["notebookDocument"]["metadata"] = std::string(TrackedNotebooks::kMaxBytes, 'x');
    follow(notebooks, "didOpen", large);
  }
  REQUIRE_FALSE(notebooks.lost().empty());
  REQUIRE_FALSE(notebooks.empty());
  REQUIRE(replayed(notebooks).empty());
}

TEST_CASE("notebooks: an editor that opens one has a server of its own, whose next process is told of it") {
  Two t;
  const auto uri = t.file("a.fake", "disk");
  t.b.open(uri, "of b");
  REQUIRE(t.told("initialize").size() == 1);
  t.a.notify("notebookDocument/didOpen", opened());
  REQUIRE(t.a.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  REQUIRE(t.told("initialize").size() == 2);
  REQUIRE(t.told("notebookDocument/didOpen").size() == 1);
  REQUIRE(t.b.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of b");
  // Callers share the one without notebooks, and a new editor does, too.
  (void)value_of(t.host.call("lsp.request", request(t.dir / "a.fake", "test/echo")));
  EditorClient third(t.host, {{"server", "fake"}}, 100'000, 3);
  third.initialize(t.dir.path());
  REQUIRE(t.told("initialize").size() == 2);
  REQUIRE_FALSE(t.a.ask("test/crash").contains("result"));
  t.host.wait("the crash", [&] { return count(t.host, "lsp.server.restarting") == 1; });
  t.host.advance(std::chrono::seconds(10));
  t.host.wait("the next process", [&] { return t.told("notebookDocument/didOpen").size() == 2; });
  REQUIRE(t.told("notebookDocument/didOpen").back()["params"] == opened());
  t.host.stop();
}

TEST_CASE("notebooks: an editor that opens one while the server is stopped has a server of its own when it starts") {
  Two t;
  (void)t.b.ask("test/echo");
  REQUIRE(t.host.call("lsp.stop", {{"server", "fake"}}));
  t.a.notify("notebookDocument/didOpen", opened());
  t.host.settle();
  REQUIRE(t.host.call("lsp.restart", {{"server", "fake"}}));
  REQUIRE(t.a.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  REQUIRE(t.b.ask("test/echo", {{"x", 2}})["result"]["x"] == 2);
  REQUIRE(t.told("initialize").size() == 3);
  t.host.stop();
}

TEST_CASE("notebooks: callers leave the server of an editor that opens one") {
  TempDir dir;
  const auto file = dir.write("a.fake", "text");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  const auto ask = [&] { return value_of(host.call("lsp.request", request(file, "test/echo", {{"x", 1}}))); };
  REQUIRE(ask() == json{{"x", 1}});
  REQUIRE(sent_to(dir, "initialize").size() == 1);
  editor.notify("notebookDocument/didOpen", opened());
  (void)editor.ask("test/echo");
  REQUIRE(ask() == json{{"x", 1}});
  REQUIRE(sent_to(dir, "initialize").size() == 2);
  host.stop();
}
