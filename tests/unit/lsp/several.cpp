// SPDX-License-Identifier: Apache-2.0
//
// Scripts and agents that ask about a file whose language several servers speak.
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;

namespace {

json range(int line, int begin, int end) {
  return {{"start", {{"line", line}, {"character", begin}}}, {"end", {{"line", line}, {"character", end}}}};
}

/// A workspace with two servers, `first` with the higher priority, whose answers the test gives.
struct Two {
  TempDir dir, of_second;
  std::string file = dir.write("src/a.fake", "good\nbad word\nlast\n");
  std::string first_answers = dir.path() + ".first", second_answers = dir.path() + ".second";
  TestHost host;

  /// `missing`: whose program is not there.
  explicit Two(const std::vector<std::string>& first_options = {}, const std::vector<std::string>& second_options = {},
               const std::string& missing = {})
      : host(kPlugin, config_of(servers(first_options, second_options, missing), dir), Time::real) {
    give(json::object(), json::object());
  }
  Two(const Two&) = delete;
  Two& operator=(const Two&) = delete;
  ~Two() {
    std::error_code none;
    for (const auto& each : {first_answers, second_answers}) std::filesystem::remove(each, none);
  }
  void give(const json& first, const json& second) const {
    std::ofstream(first_answers, std::ios::trunc) << first;
    std::ofstream(second_answers, std::ios::trunc) << second;
  }
  json ask(const std::string& method, json params) {
    params["path"] = "src/a.fake";
    return value_of(host.call(method, params));
  }
  json at(const std::string& method) { return ask(method, {{"line", 2}, {"column", 1}}); }
  json place(int line) const { return {{"uri", "file://" + file}, {"range", range(line, 0, 3)}}; }
  [[nodiscard]] json sent_to_second(const std::string& method) const { return sent_to(of_second, method); }

 private:
  [[nodiscard]] json servers(std::vector<std::string> first_options, std::vector<std::string> second_options,
                             const std::string& missing) const {
    first_options.insert(first_options.end(), {"--answers", first_answers});
    second_options.insert(second_options.end(), {"--answers", second_answers});
    json first = fake_server(dir, first_options), second = fake_server(of_second, second_options);
    first["priority"] = 2;
    second["priority"] = 1;
    if (missing == "first" || missing == "both") first["command"] = {"/no-such-program"};
    if (missing == "second" || missing == "both") second["command"] = {"/no-such-program"};
    return {{"first", first}, {"second", second}};
  }
};

}  // namespace

TEST_CASE("several: the diagnostics of a file are those of all its servers, and as fresh as the least fresh") {
  Two two({"--diagnose"}, {"--diagnose"});
  const json both = value_of(two.host.call("lsp.diagnostics", {{"uri", two.file}, {"wait_ms", 20'000}}));
  INFO(both.dump());
  REQUIRE(both["freshness"] == "fresh");
  REQUIRE(both["diagnostics"].size() == 2);
  REQUIRE_FALSE(both.contains("failed"));
  const json problems = two.ask("lsp.problems", json::object());
  REQUIRE(problems["total"] == 2);
  REQUIRE(problems["freshness"] == "fresh");
  two.host.stop();
}

TEST_CASE("several: a server that gives no diagnostics is named, and what the others say is not called fresh") {
  const bool first_fails = GENERATE(true, false);
  Two two({"--diagnose"}, {"--diagnose"}, first_fails ? "first" : "second");
  for (const json& found : {value_of(two.host.call("lsp.diagnostics", {{"uri", two.file}, {"wait_ms", 20'000}})),
                            two.ask("lsp.problems", json::object())}) {
    INFO(found.dump());
    REQUIRE(found["freshness"] == "stale");
    REQUIRE(found[found.contains("items") ? "items" : "diagnostics"].size() == 1);
    REQUIRE(found["failed"].size() == 1);
    REQUIRE(found["failed"][0]["server"] == (first_fails ? "first" : "second"));
    REQUIRE(found["failed"][0]["message"].get<std::string>().find("no-such-program") != std::string::npos);
  }
  two.host.stop();
}

TEST_CASE("several: when no server gives diagnostics, the error is the first server's") {
  Two two({}, {}, "both");
  const auto none = two.host.call("lsp.diagnostics", {{"uri", two.file}, {"wait_ms", 20'000}});
  REQUIRE_FALSE(none);
  REQUIRE(none.error().message.find("[lsp.servers.first]") != std::string::npos);
  two.host.stop();
}

TEST_CASE("several: references of all are shown once, and completions of all") {
  Two two;
  two.give({{"textDocument/references", {two.place(0), two.place(1)}},
            {"textDocument/completion", {{"isIncomplete", true}, {"items", {{{"label", "one"}}}}}}},
           {{"textDocument/references", {two.place(1), two.place(2)}},
            {"textDocument/completion", json::array({{{"label", "two"}}})}});
  const json references = two.at("lsp.references");
  REQUIRE(references["total"] == 3);
  const json completions = two.at("lsp.completion");
  REQUIRE(completions["total"] == 2);
  REQUIRE(completions["items"][0]["label"] == "one");
  REQUIRE(completions["items"][1]["label"] == "two");
  REQUIRE(completions["incomplete"] == true);
  two.host.stop();
}

TEST_CASE("several: what is one server's is of the first that has something to say") {
  Two two;
  const json contents{{"kind", "plaintext"}, {"value", "of second"}};
  for (const json& nothing : {json(), json(json::array()), json{{"test/absent", true}}}) {
    json first{{"textDocument/definition", nothing}, {"textDocument/documentSymbol", nothing}};
    if (nothing.is_object()) first = json::object();  // then it refuses them as methods that it does not know
    two.give(first, {{"textDocument/definition", json::array({two.place(2)})},
                     {"textDocument/documentSymbol", {{{"name", "sym"}, {"kind", 12}, {"location", two.place(2)}}}}});
    REQUIRE(two.at("lsp.definition")["items"][0]["line"] == 3);
    REQUIRE(two.ask("lsp.document_symbols", json::object())["items"][0]["name"] == "sym");
  }
  two.give({{"textDocument/definition", json::array({two.place(0)})}},
           {{"textDocument/definition", json::array({two.place(2)})}});
  const json definition = two.at("lsp.definition");
  REQUIRE(definition["total"] == 1);
  REQUIRE(definition["items"][0]["line"] == 1);
  two.host.stop();
}

TEST_CASE("several: a file is formatted by the first server that can, also when there is nothing to do") {
  Two two;
  const json edit = {{{"range", range(0, 0, 4)}, {"newText", "GOOD"}}};
  two.give({{"textDocument/formatting", json::array()}}, {{"textDocument/formatting", edit}});
  REQUIRE(two.ask("lsp.format", json::object())["edit_id"] == nullptr);
  two.give(json::object(), {{"textDocument/formatting", edit}});
  REQUIRE(two.ask("lsp.format", json::object())["edit_id"].is_string());
  two.host.stop();
}

TEST_CASE("several: code actions of all are offered, each asked with its server's diagnostics and resolved there") {
  Two two({"--diagnose"}, {"--diagnose"});
  const auto action = [](const char* title) { return json{{"title", title}, {"data", title}}; };
  json resolved = action("of second");
  resolved["edit"] = {
      {"changes", {{"file://" + two.file, json::array({{{"range", range(1, 0, 3)}, {"newText", "fine"}}})}}}};
  two.give({{"textDocument/codeAction", json::array({action("of first")})}, {"codeAction/resolve", action("of first")}},
           {{"textDocument/codeAction", json::array({action("of second")})}, {"codeAction/resolve", resolved}});
  const json actions = two.at("lsp.code_actions");
  INFO(actions.dump());
  REQUIRE(actions["total"] == 2);
  REQUIRE(actions["items"][0]["title"] == "of first");
  REQUIRE(actions["items"][0]["edit_id"] == nullptr);
  REQUIRE(actions["items"][1]["edit_id"].is_string());
  REQUIRE(sent_to(two.dir, "textDocument/codeAction")[0]["params"]["context"]["diagnostics"].size() == 1);
  REQUIRE(two.sent_to_second("textDocument/codeAction")[0]["params"]["context"]["diagnostics"].size() == 1);
  REQUIRE(two.sent_to_second("codeAction/resolve")[0]["params"]["data"] == "of second");
  two.host.stop();
}

TEST_CASE("several: symbols of a workspace are those of all its servers, also when one does not know the question") {
  Two two;
  const auto symbol = [&](const char* name) {
    return json::array({{{"name", name}, {"kind", 12}, {"location", two.place(1)}}});
  };
  const auto found = [&] {
    std::set<std::string> names;
    for (const auto& item : value_of(two.host.call("lsp.workspace_symbols", {{"query", "s"}}))["items"])
      names.insert(item["name"]);
    return names;
  };
  two.give({{"workspace/symbol", symbol("s1")}}, {{"workspace/symbol", symbol("s2")}});
  REQUIRE(found() == std::set<std::string>{"s1", "s2"});
  two.give(json::object(), {{"workspace/symbol", symbol("s2")}});
  REQUIRE(found() == std::set<std::string>{"s2"});
  two.host.stop();
}

TEST_CASE("several: a server that cannot start takes no other along, whatever is asked") {
  const bool first_fails = GENERATE(true, false);
  Two two({}, {}, first_fails ? "first" : "second");
  const json answers{
      {"workspace/symbol", json::array({{{"name", "s"}, {"kind", 12}, {"location", two.place(1)}}})},
      {"textDocument/documentSymbol", json::array({{{"name", "s"}, {"kind", 12}, {"location", two.place(1)}}})},
      {"textDocument/references", json::array({two.place(1)})},
      {"textDocument/definition", json::array({two.place(1)})},
      {"textDocument/completion", json::array({{{"label", "one"}}})},
      {"textDocument/codeAction", json::array({{{"title", "act"}}})},
      {"textDocument/formatting", json::array()}};
  two.give(answers, answers);
  REQUIRE(value_of(two.host.call("lsp.workspace_symbols", {{"query", "s"}}))["total"] == 1);
  REQUIRE(two.ask("lsp.document_symbols", json::object())["total"] == 1);
  for (const char* method : {"lsp.references", "lsp.definition", "lsp.completion"})
    REQUIRE(two.at(method)["total"] == 1);
  REQUIRE(two.ask("lsp.code_actions", {{"line", 2}, {"column", 1}, {"wait_ms", 1'000}})["total"] == 1);
  REQUIRE(two.ask("lsp.format", json::object())["edit_id"] == nullptr);
  two.host.stop();
}

TEST_CASE("several: what a script reports goes to all servers, and what it asks by its method to the first") {
  Two two;
  const json changes{{"changes", {{{"uri", "file://" + two.file}, {"type", 2}}}}};
  (void)value_of(two.host.call(
      "lsp.request", {{"uri", two.file}, {"method", "workspace/didChangeWatchedFiles"}, {"params", changes}}));
  two.give({{"textDocument/documentSymbol", json::array()}}, {{"textDocument/documentSymbol", json::array()}});
  (void)two.ask("lsp.document_symbols", json::object());  // both have read what came before
  for (const auto* log : {&two.dir, &two.of_second})
    REQUIRE(sent_to(*log, "workspace/didChangeWatchedFiles").back()["params"] == changes);
  REQUIRE(value_of(two.host.call("lsp.request", {{"uri", two.file}, {"method", "test/echo"}})).is_object());
  REQUIRE(two.sent_to_second("test/echo").empty());
  two.host.stop();
}
