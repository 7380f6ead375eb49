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

  /// `missing`: whose program is not there. `distrusted`: the second would run code of a project that is not trusted.
  explicit Two(const std::vector<std::string>& first_options = {}, const std::vector<std::string>& second_options = {},
               const std::string& missing = {}, bool distrusted = false)
      : host(kPlugin, config_of(servers(first_options, second_options, missing, distrusted), dir), Time::real) {
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
                             const std::string& missing, bool distrusted) const {
    first_options.insert(first_options.end(), {"--answers", first_answers});
    second_options.insert(second_options.end(), {"--answers", second_answers});
    json first = fake_server(dir, first_options), second = fake_server(of_second, second_options);
    first["priority"] = 2;
    second["priority"] = 1;
    second["runs_project_code"] = distrusted;
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

TEST_CASE("several: diagnostics are no fresher than those of the server that is behind") {
  const bool first_is_behind = GENERATE(true, false);
  const std::vector<std::string> says{"--diagnose"}, says_nothing;
  Two two(first_is_behind ? says_nothing : says, first_is_behind ? says : says_nothing);
  const json none{{"textDocument/documentSymbol", json::array()}};
  two.give(none, none);
  (void)two.ask("lsp.document_symbols", json::object());  // both run
  const json alone = value_of(two.host.call("lsp.diagnostics", {{"uri", two.file}, {"wait_ms", 2'000}}));
  INFO(alone.dump());
  REQUIRE(alone["freshness"] == "timeout");
  REQUIRE(alone["diagnostics"].size() == 1);
  two.host.stop();
}

TEST_CASE("several: a server that may not run the project's code is named among those that gave no diagnostics") {
  Two two({"--diagnose"}, {"--diagnose"}, {}, true);
  const json found = value_of(two.host.call("lsp.diagnostics", {{"uri", two.file}, {"wait_ms", 20'000}}));
  INFO(found.dump());
  REQUIRE(found["freshness"] == "stale");
  REQUIRE(found["diagnostics"].size() == 1);
  REQUIRE(found["failed"][0]["server"] == "second");
  REQUIRE(sent_to(two.of_second).empty());
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

TEST_CASE("several: a symbol that all know is one, and what it leads to is of all servers") {
  Two two;
  const json symbol = json::array({{{"name", "sym"}, {"kind", 12}, {"location", two.place(1)}}});
  const json outline =
      json::array({{{"name", "sym"}, {"kind", 12}, {"range", range(1, 0, 8)}, {"selectionRange", range(1, 0, 3)}}});
  two.give({{"workspace/symbol", symbol},
            {"textDocument/documentSymbol", outline},
            {"textDocument/references", json::array({two.place(0)})}},
           {{"workspace/symbol", symbol},
            {"textDocument/documentSymbol", outline},
            {"textDocument/references", json::array({two.place(2)})}});
  REQUIRE(value_of(two.host.call("lsp.workspace_symbols", {{"query", "sym"}}))["total"] == 1);
  REQUIRE(value_of(two.host.call("lsp.references", {{"symbol", "sym"}}))["total"] == 2);
  REQUIRE(two.ask("lsp.references", {{"symbol", "sym"}})["total"] == 2);
  two.host.stop();
}

TEST_CASE(
    "several: the server that has named a function is asked for its callers, and a rename is the first that can's") {
  Two two;
  const json function{{"name", "f"},
                      {"kind", 12},
                      {"uri", "file://" + two.file},
                      {"range", range(1, 0, 8)},
                      {"selectionRange", range(1, 0, 3)}};
  const json edit{
      {"changes", {{"file://" + two.file, json::array({{{"range", range(1, 0, 3)}, {"newText", "fine"}}})}}}};
  const json calls = json::array({{{"from", function}, {"fromRanges", json::array({range(2, 0, 4)})}}});
  two.give({{"textDocument/prepareCallHierarchy", nullptr}, {"callHierarchy/incomingCalls", json::array()}},
           {{"textDocument/prepareCallHierarchy", json::array({function})},
            {"callHierarchy/incomingCalls", calls},
            {"textDocument/rename", edit}});
  REQUIRE(two.at("lsp.call_hierarchy")["total"] == 1);
  REQUIRE(sent_to(two.dir, "callHierarchy/incomingCalls").empty());
  const json renamed = two.ask("lsp.rename", {{"line", 2}, {"column", 1}, {"new_name", "fine"}});
  REQUIRE(renamed["edit_id"].is_string());
  two.host.stop();
}

TEST_CASE("several: an edit that is applied is answered with the diagnostics of all servers") {
  Two two({"--diagnose"}, {"--diagnose"});
  two.give({{"textDocument/formatting", json::array({{{"range", range(0, 0, 4)}, {"newText", "bad"}}})}},
           json::object());
  const json proposed = two.ask("lsp.format", json::object());
  const json applied = value_of(two.host.call("lsp.apply", {{"edit_id", proposed["edit_id"]}}));
  INFO(applied.dump());
  REQUIRE(applied["files"][0]["freshness"] == "fresh");
  REQUIRE(applied["total"] == 4);  // two lines, twice
  two.host.stop();
}

TEST_CASE("several: a call that is cancelled is cancelled at all servers") {
  Two two;
  const json hangs{{"textDocument/references", {{"test/hang", true}}}};
  two.give(hangs, hangs);
  auto call =
      two.host.begin("lsp.references", {{"path", "src/a.fake"}, {"line", 2}, {"column", 1}, {"wait_ms", 300'000}});
  const auto sent = [&](const char* method) {
    return !sent_to(two.dir, method).empty() && !sent_to(two.of_second, method).empty();
  };
  two.host.wait("both questions", [&] { return sent("textDocument/references"); });
  call.cancel();
  REQUIRE(call.result().error().kind == ErrorKind::cancelled);
  two.host.wait("both cancellations", [&] { return sent("$/cancelRequest"); });
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

TEST_CASE("several: what an edit would bring is what all servers say") {
  Two two({"--diagnose"}, {"--diagnose"});
  const json checked =
      two.ask("lsp.check_edit", {{"edits", {{{"old_text", "good"}, {"new_text", "bad\nbad"}}}}, {"wait_ms", 20'000}});
  INFO(checked.dump());
  REQUIRE(checked["files"].size() == 1);
  REQUIRE(checked["files"][0]["freshness"] == "fresh");
  REQUIRE(checked["files"][0]["added"] == 4);
  REQUIRE(checked["files"][0]["kept"] == 2);
  REQUIRE(checked["total"] == 4);
  two.host.stop();
}

TEST_CASE("several: an edit is checked by the servers that can, and another is named") {
  const bool first_fails = GENERATE(true, false);
  Two two({"--diagnose"}, {"--diagnose"}, first_fails ? "first" : "second");
  const json checked =
      two.ask("lsp.check_edit", {{"edits", {{{"old_text", "good"}, {"new_text", "bad"}}}}, {"wait_ms", 20'000}});
  INFO(checked.dump());
  REQUIRE(checked["files"][0]["freshness"] == "unsupported");
  REQUIRE_FALSE(checked["files"][0].contains("added"));
  REQUIRE(checked["total"] == 1);
  REQUIRE(checked["notes"][0].get<std::string>().starts_with(first_fails ? "first " : "second "));
  two.host.stop();
}

TEST_CASE("several: a server that gives no diagnostics leaves the others the time to check an edit") {
  const bool first_is_silent = GENERATE(true, false);
  const std::vector<std::string> says{"--diagnose"}, says_nothing;
  Two two(first_is_silent ? says_nothing : says, first_is_silent ? says : says_nothing);
  const json none{{"textDocument/documentSymbol", json::array()}};
  two.give(none, none);
  (void)two.ask("lsp.document_symbols", json::object());  // both run
  const json checked =
      two.ask("lsp.check_edit", {{"edits", {{{"old_text", "good"}, {"new_text", "bad"}}}}, {"wait_ms", 3'000}});
  INFO(checked.dump());
  REQUIRE(checked["files"][0]["freshness"] == "timeout");
  REQUIRE(checked["total"] == 1);
  two.host.stop();
}

TEST_CASE("several: the check of an edit that is cancelled is cancelled at all servers") {
  Two two({"--diagnose"}, {});
  auto call = two.host.begin(
      "lsp.check_edit",
      {{"path", "src/a.fake"}, {"edits", {{{"old_text", "good"}, {"new_text", "bad"}}}}, {"wait_ms", 300'000}});
  two.host.wait("the edited text", [&] {
    const auto changes = sent_to(two.dir, "textDocument/didChange");
    return !changes.empty() && !two.sent_to_second("textDocument/didOpen").empty();
  });
  call.cancel();
  REQUIRE(call.result().error().kind == ErrorKind::cancelled);
  two.host.stop();
}

TEST_CASE("several: when no server can check an edit, the error is the first server's") {
  Two two({}, {}, "both");
  const auto checked = two.host.call(
      "lsp.check_edit", {{"path", "src/a.fake"}, {"edits", {{{"old_text", "good"}, {"new_text", "bad"}}}}});
  REQUIRE_FALSE(checked);
  REQUIRE(checked.error().message.find("[lsp.servers.first]") != std::string::npos);
  two.host.stop();
}

TEST_CASE("several: what a script reports goes to all servers") {
  Two two;
  const json changes{{"changes", {{{"uri", "file://" + two.file}, {"type", 2}}}}};
  (void)value_of(two.host.call(
      "lsp.request", {{"uri", two.file}, {"method", "workspace/didChangeWatchedFiles"}, {"params", changes}}));
  two.give({{"textDocument/documentSymbol", json::array()}}, {{"textDocument/documentSymbol", json::array()}});
  (void)two.ask("lsp.document_symbols", json::object());  // both have read what came before
  for (const auto* log : {&two.dir, &two.of_second})
    REQUIRE(sent_to(*log, "workspace/didChangeWatchedFiles").back()["params"] == changes);
  two.host.stop();
}

TEST_CASE("several: a script's request is answered by the first server that has something to say") {
  Two two;
  const auto ask = [&](const char* method, const json& server = {}) {
    json params{{"uri", two.file}, {"method", method}, {"params", {{"position", {{"line", 0}, {"character", 0}}}}}};
    if (!server.is_null()) params["server"] = server;
    return two.host.call("lsp.request", params);
  };
  const json edits = json::array({{{"range", range(0, 0, 4)}, {"newText", "x"}}});
  for (const json& nothing : {json(), json(json::array()), json(json::object()), json{{"test/absent", true}}}) {
    json first{{"textDocument/definition", nothing}};
    if (nothing.is_object() && !nothing.empty()) first = json::object();  // then it does not know the method
    two.give(first, {{"textDocument/definition", json::array({two.place(2)})}});
    REQUIRE(value_of(ask("textDocument/definition")) == json::array({two.place(2)}));
  }
  two.give({{"textDocument/definition", json::array()}}, {{"textDocument/definition", nullptr}});
  REQUIRE(value_of(ask("textDocument/definition")) == json::array());

  // A file is formatted by the first that can. What goes on from an answer, or is not of the protocol, is the first's.
  two.give({{"textDocument/formatting", json::array()}, {"callHierarchy/incomingCalls", nullptr}},
           {{"textDocument/formatting", edits}, {"callHierarchy/incomingCalls", json::array({1})}});
  REQUIRE(value_of(ask("textDocument/formatting")) == json::array());
  REQUIRE(value_of(ask("callHierarchy/incomingCalls")) == json());
  REQUIRE(value_of(ask("test/echo")).is_object());
  REQUIRE(two.sent_to_second("test/echo").empty());

  REQUIRE(value_of(ask("textDocument/formatting", "second")) == edits);
  REQUIRE(value_of(ask("callHierarchy/incomingCalls", "second")) == json::array({1}));
  const auto unknown = ask("textDocument/hover", "secnd");
  REQUIRE(unknown.error().kind == ErrorKind::invalid_params);
  REQUIRE(unknown.error().message.find("second") != std::string::npos);
  two.host.stop();
}

TEST_CASE("several: a script's request that is cancelled is not asked of the next server") {
  Two two;
  two.give({{"textDocument/hover", {{"test/hang", true}}}}, json::object());
  auto call =
      two.host.begin("lsp.request", {{"uri", two.file}, {"method", "textDocument/hover"}, {"params", json::object()}});
  two.host.wait("the question", [&] { return !sent_to(two.dir, "textDocument/hover").empty(); });
  call.cancel();
  REQUIRE(call.result().error().kind == ErrorKind::cancelled);
  two.host.wait("the cancellation", [&] { return !sent_to(two.dir, "$/cancelRequest").empty(); });
  REQUIRE(sent_to(two.of_second).empty());
  two.host.stop();
}
