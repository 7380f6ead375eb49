// SPDX-License-Identifier: Apache-2.0
//
// What editors send back of answers that a process gave which is gone.
#include "tests/unit/lsp/sharing.hpp"

using namespace lsp_test;

namespace {

struct Crashes {
  TempDir side, dir;
  TestHost host;
  EditorClient editor;
  std::string uri = "file://" + dir.write("a.fake", "text");

  Crashes()
      : host(kPlugin,
             config_of({{"fake", fake_server(dir, {"--answers", side.write("answers.json", answers().dump())})}}, dir)),
        editor(host, {{"server", "fake"}}) {
    editor.initialize(dir.path());
    editor.open(uri, "text");
  }
  ~Crashes() { host.stop(); }
  Crashes(const Crashes&) = delete;
  Crashes& operator=(const Crashes&) = delete;

  static json answers() {
    return {{"textDocument/completion", {{{"label", "x"}, {"data", 1}}}},
            {"completionItem/resolve", {{"label", "resolved"}}},
            {"textDocument/prepareCallHierarchy", {{{"name", "f"}, {"data", 1}}}},
            {"callHierarchy/incomingCalls", json::array()},
            {"textDocument/diagnostic", {{"kind", "full"}, {"items", json::array()}}},
            {"workspace/diagnostic", {{"items", json::array()}}}};
  }
  void crash() {
    REQUIRE(editor.ask("test/crash").contains("error"));
    (void)editor.ask("test/echo");
  }
  [[nodiscard]] json ask(const std::string& method, json params = json::object()) {
    params["textDocument"] = {{"uri", uri}};
    return editor.ask(method, params);
  }
  [[nodiscard]] json last_sent(const std::string& method) const { return sent_to(dir, method).back()["params"]; }
};

const json kItem{{"label", "x"}, {"data", 1}};

}  // namespace

TEST_CASE("results: after a crash semantic tokens come whole, and then as a difference again") {
  Crashes t;
  const auto first = t.ask("textDocument/semanticTokens/full")["result"];
  REQUIRE(t.ask("textDocument/semanticTokens/full/delta", {{"previousResultId", first["resultId"]}})["result"].contains(
      "edits"));
  t.crash();
  const auto whole = t.ask("textDocument/semanticTokens/full/delta", {{"previousResultId", "2"}})["result"];
  REQUIRE(whole.contains("data"));
  REQUIRE(t.ask("textDocument/semanticTokens/full/delta", {{"previousResultId", whole["resultId"]}})["result"].contains(
      "edits"));
}

TEST_CASE("results: after a crash an item of before is to be asked for again, unless the server keeps nothing of it") {
  Crashes t;
  REQUIRE(t.editor.ask("completionItem/resolve", kItem)["result"]["label"] == "resolved");
  t.crash();
  const auto old = t.editor.ask("completionItem/resolve", kItem);
  REQUIRE(old["error"]["code"] == -32801);
  REQUIRE(old["error"]["message"].get<std::string>().find("ask for textDocument/completion again") !=
          std::string::npos);
  REQUIRE(t.editor.ask("callHierarchy/incomingCalls", {{"item", kItem}})["error"]["code"] == -32801);
  REQUIRE(sent_to(t.dir, "completionItem/resolve").size() == 1);
  REQUIRE(sent_to(t.dir, "callHierarchy/incomingCalls").empty());
  REQUIRE(t.editor.ask("completionItem/resolve", {{"label", "x"}})["result"]["label"] == "resolved");
  (void)t.ask("textDocument/completion");
  REQUIRE(t.editor.ask("completionItem/resolve", kItem)["result"]["label"] == "resolved");
  REQUIRE(t.editor.ask("callHierarchy/incomingCalls", {{"item", kItem}})["error"]["code"] == -32801);
  (void)t.ask("textDocument/prepareCallHierarchy");
  REQUIRE(t.editor.ask("callHierarchy/incomingCalls", {{"item", kItem}})["result"].is_array());
}

TEST_CASE("results: after a crash diagnostics are asked for without the result ids of before, once for each document") {
  Crashes t;
  const json before{{"previousResultId", "1"}, {"identifier", "x"}};
  const json all{{"previousResultIds", {{{"uri", t.uri}, {"value", "1"}}}}};
  (void)t.ask("textDocument/diagnostic", before);
  REQUIRE(t.last_sent("textDocument/diagnostic").contains("previousResultId"));
  (void)t.editor.ask("workspace/diagnostic", all);
  REQUIRE(t.last_sent("workspace/diagnostic") == all);
  t.crash();
  t.side.write("answers.json", "{}");  // and the server refuses
  REQUIRE(t.ask("textDocument/diagnostic", before).contains("error"));
  REQUIRE_FALSE(t.last_sent("textDocument/diagnostic").contains("previousResultId"));
  t.side.write("answers.json", Crashes::answers().dump());
  (void)t.ask("textDocument/diagnostic", before);
  REQUIRE_FALSE(t.last_sent("textDocument/diagnostic").contains("previousResultId"));
  REQUIRE(t.last_sent("textDocument/diagnostic")["identifier"] == "x");
  (void)t.ask("textDocument/diagnostic", before);
  REQUIRE(t.last_sent("textDocument/diagnostic").contains("previousResultId"));
  for (const std::size_t sent : {0U, 1U}) {
    (void)t.editor.ask("workspace/diagnostic", all);
    REQUIRE(t.last_sent("workspace/diagnostic")["previousResultIds"].size() == sent);
  }
}
