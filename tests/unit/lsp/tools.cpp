// SPDX-License-Identifier: Apache-2.0
//
// The questions of agents: with a server that answers what the test wants, and with the real clangd.
#include "plugins/lsp/config.hpp"
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

json range(int line, int begin, int end) {
  return {{"start", {{"line", line}, {"character", begin}}}, {"end", {{"line", line}, {"character", end}}}};
}

/// A workspace with a server whose answers the test gives.
struct Given {
  TempDir dir;
  std::string file = dir.write("src/a.fake", "first line\n  \u00e4 call(thing)\nlast\n");
  std::string answers = dir.path() + ".answers";
  TestHost host;

  Given() : host(kPlugin, config_of({{"fake", fake_server(dir, {"--answers", answers})}}, dir)) {
    give(json::object());
    REQUIRE(host.started() == 0);
  }
  Given(const Given&) = delete;
  Given& operator=(const Given&) = delete;
  ~Given() {
    std::error_code none;
    std::filesystem::remove(answers, none);
  }
  void give(const json& all) const { std::ofstream(answers, std::ios::trunc) << all; }
  /// After this the server is not expected to begin some work.
  void settle() {
    (void)value_of(host.call("lsp.request", {{"uri", file}, {"method", "test/echo"}}));
    host.advance(milliseconds(400));
  }
  json place(int line, int begin, int end) const {
    return {{"uri", "file://" + file}, {"range", range(line, begin, end)}};
  }
  json last_params(const std::string& method) const {
    const auto sent = sent_to(dir, method);
    REQUIRE_FALSE(sent.empty());
    return sent.back()["params"];
  }
  ErrorKind refused(const std::string& method, const json& params, const std::string& words) {
    const auto result = host.call(method, params);
    REQUIRE_FALSE(result);
    CAPTURE(result.error().message);
    REQUIRE(result.error().message.find(words) != std::string::npos);
    return result.error().kind;
  }
};

}  // namespace

TEST_CASE("tools: a definition is asked for by line and column in characters, and shown with its line") {
  Given world;
  world.give({{"textDocument/definition", world.place(1, 4, 8)}});
  const auto found = value_of(world.host.call("lsp.definition", {{"path", "src/a.fake"}, {"line", 2}, {"column", 5}}));
  REQUIRE(found ==
          json{{"items",
                json::array({{{"path", "src/a.fake"}, {"line", 2}, {"column", 5}, {"text", "\u00e4 call(thing)"}}})},
               {"total", 1}});
  REQUIRE(world.last_params("textDocument/definition") ==
          json{{"textDocument", {{"uri", "file://" + world.file}}}, {"position", {{"line", 1}, {"character", 4}}}});
  // By a word in the line, and by another spelling of the path.
  REQUIRE(value_of(world.host.call("lsp.definition",
                                   {{"path", "file://" + world.file}, {"line", 2}, {"symbol", "thing"}})) == found);
  REQUIRE(world.last_params("textDocument/definition")["position"] == json{{"line", 1}, {"character", 9}});
  // Nothing is an answer, too.
  world.give({{"textDocument/definition", nullptr}});
  REQUIRE(value_of(world.host.call("lsp.definition", {{"path", world.file}, {"line", 1}, {"column", 1}})) ==
          json{{"items", json::array()}, {"total", 0}});
}

TEST_CASE("tools: a symbol is found by its name in a file, and in the workspace") {
  Given world;
  const json symbol{{"name", "call"}, {"kind", 12}, {"location", world.place(1, 4, 8)}};
  world.give({{"textDocument/documentSymbol", json::array({symbol})},
              {"workspace/symbol", json::array({symbol})},
              {"textDocument/hover", {{"contents", "what it does"}}}});
  world.settle();
  for (const json& params :
       {json{{"path", "src/a.fake"}, {"symbol", "call"}}, json{{"symbol", "shop::call"}}, json{{"symbol", "call"}}}) {
    CAPTURE(params.dump());
    const bool qualified = params["symbol"] != "call";
    const auto found = world.host.call("lsp.hover", params);
    if (qualified) {
      REQUIRE(found.error().kind == ErrorKind::not_found);  // the server knows of no shop
      continue;
    }
    REQUIRE(value_of(found) == json{{"text", "what it does"}, {"truncated", false}});
    REQUIRE(world.last_params("textDocument/hover")["position"] == json{{"line", 1}, {"character", 4}});
  }
  REQUIRE(world.last_params("workspace/symbol") == json{{"query", "call"}});
  REQUIRE(world.refused("lsp.hover", {{"path", "src/a.fake"}, {"symbol", "cal"}}, "did you mean \"call\"?") ==
          ErrorKind::not_found);
  world.give({{"textDocument/documentSymbol", json::array({symbol, symbol})}});
  REQUIRE(world.refused("lsp.hover", {{"path", "src/a.fake"}, {"symbol", "call"}},
                        "2 symbols are named \"call\": function call in src/a.fake:2") == ErrorKind::invalid_params);
}

TEST_CASE("tools: references come file by file in pages, and a cursor holds for the same answer only") {
  Given world;
  const auto other = world.dir.write("src/b.fake", "thing thing\n");
  json places = json::array();
  for (int i = 0; i < 20; ++i)
    places.push_back({{"uri", "file://" + (i % 2 == 0 ? other : world.file)}, {"range", range(i % 3, i % 5, 9)}});
  world.give({{"textDocument/references", places}});
  world.settle();
  json params{{"path", "src/a.fake"}, {"line", 2}, {"symbol", "thing"}, {"max_tokens", 100}};
  std::vector<json> all;
  while (true) {
    const json page = value_of(world.host.call("lsp.references", params));
    REQUIRE(page["total"] == 20);
    REQUIRE(gantry::dump_json(page["items"]).size() <= 410);
    all.insert(all.end(), page["items"].begin(), page["items"].end());
    if (!page.contains("next_cursor")) break;
    params["cursor"] = page["next_cursor"];
  }
  REQUIRE(all.size() == 20);
  for (std::size_t i = 0; i < 20; ++i) REQUIRE(all[i]["path"] == (i < 10 ? "src/a.fake" : "src/b.fake"));
  REQUIRE(world.last_params("textDocument/references")["context"] == json{{"includeDeclaration", true}});
  places.erase(0);
  world.give({{"textDocument/references", places}});
  REQUIRE(world.refused("lsp.references", params, "has changed") == ErrorKind::conflict);
  params["cursor"] = "nonsense";
  REQUIRE(world.refused("lsp.references", params, "cursor") == ErrorKind::invalid_params);
}

TEST_CASE("tools: an answer that depends on the index waits for the server, and says when it did not wait enough") {
  Given world;
  world.give({{"textDocument/references", json::array({world.place(0, 0, 5)})}});
  world.settle();
  const auto progress = [&](const json& value) {
    (void)value_of(world.host.call(
        "lsp.request", {{"uri", world.file},
                        {"method", "test/notify"},
                        {"params", {{"method", "$/progress"}, {"params", {{"token", "index"}, {"value", value}}}}}}));
  };
  const json params{{"path", "src/a.fake"}, {"line", 1}, {"symbol", "first"}, {"wait_ms", 8000}};
  progress({{"kind", "begin"}, {"title", "indexing"}});
  auto waits = world.host.begin("lsp.references", params);
  (void)value_of(world.host.call("lsp.hover", {{"path", "src/a.fake"}, {"line", 1}, {"column", 1}}));  // others do not
  REQUIRE(sent_to(world.dir, "textDocument/references").empty());
  progress({{"kind", "end"}});
  world.host.advance(milliseconds(400));
  const auto answer = value_of(waits.result());
  REQUIRE(answer["total"] == 1);
  REQUIRE_FALSE(answer.contains("indexing"));

  progress({{"kind", "begin"}, {"title", "indexing"}});
  auto partial = world.host.begin("lsp.references", params);
  (void)value_of(world.host.call("lsp.hover", {{"path", "src/a.fake"}, {"line", 1}, {"column", 1}}));
  world.host.advance(seconds(6));
  REQUIRE(value_of(partial.result())["indexing"] == true);
}

TEST_CASE("tools: the outline of a file, the callers of a function, and completions") {
  Given world;
  const json function{{"name", "call"}, {"kind", 12}, {"range", range(1, 0, 9)}, {"selectionRange", range(1, 4, 8)}};
  json item = function;
  item["uri"] = "file://" + world.file;
  item["data"] = {{"opaque", 7}};
  world.give(
      {{"textDocument/documentSymbol",
        json::array({{{"name", "shop"},
                      {"kind", 3},
                      {"range", {{"start", range(0, 0, 0)["start"]}, {"end", {{"line", 2}, {"character", 0}}}}},
                      {"selectionRange", range(0, 0, 5)},
                      {"children", json::array({function})}}})},
       {"textDocument/prepareCallHierarchy", json::array({item})},
       {"callHierarchy/incomingCalls", json::array({{{"from", item}, {"fromRanges", json::array({range(2, 0, 4)})}}})},
       {"callHierarchy/outgoingCalls", json::array()},
       {"textDocument/completion", json::array({{{"label", "callback"}, {"kind", 3}}})}});
  world.settle();
  REQUIRE(value_of(world.host.call("lsp.document_symbols", {{"path", "src/a.fake"}})) ==
          json{{"path", "src/a.fake"},
               {"items",
                json::array({{{"name", "shop"}, {"kind", "namespace"}, {"line", 1}, {"column", 1}, {"end_line", 3}},
                             {{"name", "call"},
                              {"kind", "function"},
                              {"container", "shop"},
                              {"line", 2},
                              {"column", 5},
                              {"end_line", 2}}})},
               {"total", 2}});
  json at{{"path", "src/a.fake"}, {"line", 2}, {"symbol", "call"}};
  REQUIRE(value_of(world.host.call("lsp.call_hierarchy", at))["items"] == json::array({{{"name", "call"},
                                                                                        {"kind", "function"},
                                                                                        {"path", "src/a.fake"},
                                                                                        {"line", 2},
                                                                                        {"column", 5},
                                                                                        {"text", "\u00e4 call(thing)"},
                                                                                        {"calls", {3}}}}));
  REQUIRE(world.last_params("callHierarchy/incomingCalls")["item"] == item);  // as the server wrote it
  at["direction"] = "outgoing";
  REQUIRE(value_of(world.host.call("lsp.call_hierarchy", at))["total"] == 0);
  REQUIRE(value_of(world.host.call("lsp.completion", {{"path", "src/a.fake"}, {"line", 2}, {"column", 7}})) ==
          json{{"incomplete", false},
               {"items", json::array({{{"label", "callback"}, {"kind", "function"}}})},
               {"total", 1}});
  world.give({{"textDocument/prepareCallHierarchy", nullptr}});
  REQUIRE(world.refused("lsp.call_hierarchy", {{"path", "src/a.fake"}, {"line", 1}, {"column", 1}}, "no function") ==
          ErrorKind::not_found);
}

TEST_CASE("tools: problems say how grave they are, the gravest first, and whether they are of now") {
  Given world;
  auto asked = world.host.begin("lsp.problems", {{"path", "src/a.fake"}, {"wait_ms", 5000}});
  const json list = json::array({{{"range", range(0, 0, 5)}, {"severity", 2}, {"message", "odd"}, {"source", "fake"}},
                                 {{"range", range(1, 4, 8)}, {"severity", 1}, {"message", "wrong"}, {"code", 7}}});
  const auto publish = [&](int version) {
    (void)value_of(world.host.call(
        "lsp.request",
        {{"uri", world.file},
         {"method", "test/notify"},
         {"params",
          {{"method", "textDocument/publishDiagnostics"},
           {"params", {{"uri", "file://" + world.file}, {"version", version}, {"diagnostics", list}}}}}}));
  };
  publish(1);
  REQUIRE(value_of(asked.result()) == json{{"path", "src/a.fake"},
                                           {"freshness", "fresh"},
                                           {"total", 2},
                                           {"items", json::array({{{"line", 2},
                                                                   {"column", 5},
                                                                   {"text", "\u00e4 call(thing)"},
                                                                   {"severity", "error"},
                                                                   {"message", "wrong"},
                                                                   {"code", 7}},
                                                                  {{"line", 1},
                                                                   {"column", 1},
                                                                   {"text", "first line"},
                                                                   {"severity", "warning"},
                                                                   {"message", "odd"},
                                                                   {"source", "fake"}}})}});
  world.dir.write("src/a.fake", "another text\n");
  auto stale = world.host.begin("lsp.problems", {{"path", "src/a.fake"}, {"wait_ms", 5000}});
  (void)value_of(world.host.call("lsp.hover", {{"path", "src/a.fake"}, {"line", 1}, {"column", 1}}));
  world.host.advance(seconds(5));
  REQUIRE(value_of(stale.result())["freshness"] == "stale");
  // Whoever reads them as a resource is told of them, and when their server is gone.
  const auto told = [&] {
    std::size_t out = 0;
    for (const auto& event : world.host.events()) {
      if (event.topic == "lsp.diagnostics.resource" && event.payload["uri"] == "lsp-diagnostics://" + world.file) ++out;
    }
    return out;
  };
  world.host.wait("the first", [&] { return told() == 1; });
  (void)world.host.call("lsp.request", {{"uri", world.file}, {"method", "test/crash"}});
  world.host.wait("their end", [&] { return told() == 2; });
}

TEST_CASE("tools: what is wrong with a question is said") {
  Given world;
  world.settle();
  const auto bad = [&](const char* method, const json& params, const std::string& words) {
    REQUIRE(world.refused(method, params, words) == ErrorKind::invalid_params);
  };
  bad("lsp.definition", json::object(), "name what is meant");
  bad("lsp.definition", {{"path", "src/a.fake"}, {"line", 1}}, "name what is meant");
  bad("lsp.definition", {{"line", 1}, {"column", 1}}, "line goes with path");
  bad("lsp.definition", {{"path", "src/a.fake"}, {"column", 1}}, "column goes with line");
  bad("lsp.definition", {{"path", "src/a.fake"}, {"line", 0}, {"column", 1}}, "line must be an integer from 1");
  bad("lsp.definition", {{"path", "src/a.fake"}, {"line", 99}, {"column", 1}}, "has 4 lines");
  bad("lsp.definition", {{"symbol", "a"}, {"max_tokens", 3}}, "max_tokens must be an integer from 100");
  bad("lsp.definition", {{"symbl", "a"}}, "did you mean \"symbol\"?");
  bad("lsp.completion", {{"path", "src/a.fake"}, {"line", 1}}, "path, line and column are needed");
  bad("lsp.call_hierarchy", {{"symbol", "a"}, {"direction", "up"}}, "incoming");
  bad("lsp.document_symbols", json::object(), "path is missing");
  bad("lsp.workspace_symbols", json::object(), "query is missing");
  bad("lsp.problems", {{"path", "http://example.com/a"}}, "http://example.com/a");
  REQUIRE(world.refused("lsp.hover", {{"path", "src/none.fake"}, {"line", 1}, {"column", 1}}, "src/none.fake") ==
          ErrorKind::not_found);
  REQUIRE(world.refused("lsp.hover", {{"path", "a.unknown"}, {"line", 1}, {"column", 1}}, "language") ==
          ErrorKind::not_found);
  REQUIRE(world.refused("lsp.hover", {{"path", "src/a.fake"}, {"line", 1}, {"symbol", "thing"}}, "first line") ==
          ErrorKind::not_found);
  REQUIRE(world.refused("lsp.implementation", {{"path", "src/a.fake"}, {"line", 1}, {"column", 1}, {"wait_ms", 5000}},
                        "no textDocument/implementation") == ErrorKind::upstream_failed);
}

TEST_CASE("tools: a question that is cancelled, or whose time is over, is cancelled at the server") {
  Given world;
  world.give({{"textDocument/hover", {{"test/hang", true}}}});
  const json params{{"path", "src/a.fake"}, {"line", 1}, {"column", 1}, {"wait_ms", 3000}};
  const auto begun = [&] {
    const auto before = sent_to(world.dir, "textDocument/hover").size();
    auto asked = world.host.begin("lsp.hover", params);
    world.host.wait("the hover", [&] { return sent_to(world.dir, "textDocument/hover").size() > before; });
    return asked;
  };
  auto late = begun();
  world.host.advance(seconds(3));
  const auto over = late.result();
  REQUIRE(over.error().kind == ErrorKind::timeout);
  REQUIRE(over.error().message.find("within 3 s") != std::string::npos);
  auto left = begun();
  left.cancel();
  REQUIRE(left.result().error().kind == ErrorKind::cancelled);
  (void)value_of(world.host.call("lsp.request", {{"uri", world.file}, {"method", "test/echo"}}));
  REQUIRE(sent_to(world.dir, "$/cancelRequest").size() == 2);
}

TEST_CASE("tools: clangd's answers, and its definitions are definitions wherever they are asked for") {
  if (!gantry::lsp::find_on_path("clangd-19")) FAIL("clangd-19 is not installed; ./dev installs it");
  TempDir dir;
  dir.write("compile_flags.txt", "-std=c++20\n");
  dir.write("shop.hpp", "#pragma once\nnamespace shop {\n/// What all of it costs.\nint total(int a, int b);\n}\n");
  dir.write("shop.cpp",
            "#include \"shop.hpp\"\nnamespace shop {\nint total(int a, int b) { return a + b; }\n}\n"
            "int main() { return shop::total(1, 2) + \"\u00e4\"; }\n");
  TestHost host(kPlugin, config_of({{"clangd", {{"command", {"clangd-19"}}}}}, dir), Time::real);
  REQUIRE(host.started() == 0);
  const auto ask = [&](const char* method, json params) {
    params["wait_ms"] = 60'000;
    return value_of(host.call(method, params));
  };
  REQUIRE(ask("lsp.problems", {{"path", "shop.cpp"}})["items"][0]["line"] == 5);
  const json definition = json::array(
      {{{"path", "shop.cpp"}, {"line", 3}, {"column", 5}, {"text", "int total(int a, int b) { return a + b; }"}}});
  for (const json& params : {json{{"symbol", "total"}}, json{{"symbol", "shop::total"}, {"path", "shop.hpp"}},
                             json{{"symbol", "total"}, {"path", "shop.cpp"}},
                             json{{"symbol", "total"}, {"path", "shop.cpp"}, {"line", 5}}}) {
    CAPTURE(params.dump());
    REQUIRE(ask("lsp.definition", params)["items"] == definition);
  }
  REQUIRE(ask("lsp.references", {{"symbol", "total"}})["total"] == 3);
  REQUIRE(ask("lsp.hover", {{"symbol", "total"}})["text"].get<std::string>().find("What all of it costs") !=
          std::string::npos);
  REQUIRE(ask("lsp.call_hierarchy", {{"symbol", "total"}})["items"][0]["name"] == "main");
  REQUIRE(ask("lsp.workspace_symbols", {{"query", "tota"}})["items"][0]["container"] == "shop");
}
