// SPDX-License-Identifier: Apache-2.0
//
// Several language servers that are one to an editor, message by message.
#include "host/protocols/lsp/merged_servers.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace gantry;
using namespace gantry::host;

namespace {

/// An editor and its servers, which say what a test lets them say.
class Merged {
 public:
  explicit Merged(std::vector<json> capabilities, json client = json::object())
      : servers_([&] {
          std::vector<std::string> names;
          for (std::size_t i = 0; i < capabilities.size(); ++i) names.emplace_back(1, static_cast<char>('a' + i));
          return names;
        }()) {
    ask(0, "initialize", {{"capabilities", std::move(client)}, {"initializationOptions", {{"x", 1}}}});
    for (std::size_t i = 0; i < capabilities.size(); ++i) started_.push_back(next(i));
    for (std::size_t i = 0; i < capabilities.size(); ++i) answer(i, 0, {{"capabilities", capabilities[i]}});
    welcome_ = to_editor();
    tell("initialized", json::object());
    for (std::size_t i = 0; i < capabilities.size(); ++i) REQUIRE(next(i)["method"] == "initialized");
  }

  void ask(const json& id, const std::string& method, const json& params) {
    editor({{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", params}});
  }
  void tell(const std::string& method, const json& params) {
    editor({{"jsonrpc", "2.0"}, {"method", method}, {"params", params}});
  }
  void editor(const json& message) { take(servers_.from_editor(message.dump())); }
  void server(std::size_t from, const json& message) { take(servers_.from_server(from, message.dump())); }
  void answer(std::size_t from, const json& id, const json& result) {
    server(from, {{"jsonrpc", "2.0"}, {"id", id}, {"result", result}});
  }
  void refuse(std::size_t from, const json& id, int code) {
    server(from, {{"jsonrpc", "2.0"}, {"id", id}, {"error", {{"code", code}, {"message", "refused"}}}});
  }
  void tells(std::size_t from, const std::string& method, const json& params) {
    server(from, {{"jsonrpc", "2.0"}, {"method", method}, {"params", params}});
  }
  void gone(std::size_t server, const std::string& why) { take(servers_.gone(server, why)); }

  /// What came next; null: nothing.
  json next(std::size_t to) {
    const auto it = std::ranges::find(waiting_, to, &MergedServers::Message::to);
    if (it == waiting_.end()) return {};
    const json out = it->text.empty() ? json("end") : json::parse(it->text);
    waiting_.erase(it);
    return out;
  }
  json to_editor() { return next(MergedServers::kEditor); }

  [[nodiscard]] const json& welcome() const { return welcome_; }
  /// The `initialize` that the server has got.
  [[nodiscard]] const json& started(std::size_t server) const { return started_[server]; }

 private:
  void take(MergedServers::Messages messages) {
    for (auto& each : messages) waiting_.push_back(std::move(each));
  }
  MergedServers servers_;
  std::vector<MergedServers::Message> waiting_;
  std::vector<json> started_;
  json welcome_;
};

const json kDocument{{"uri", "file:///x.py"}};

json completes(const json& characters) { return {{"completionProvider", {{"triggerCharacters", characters}}}}; }

json diagnostic(const std::string& message) { return {{"range", json::object()}, {"message", message}}; }

}  // namespace

TEST_CASE("merged servers: initialize is answered when all have answered, with what they can do together") {
  const json save{{"openClose", true}, {"change", 2}, {"save", true}};
  Merged both({{{"hoverProvider", true},
                {"completionProvider", {{"triggerCharacters", {"."}}, {"resolveProvider", true}}},
                {"executeCommandProvider", {{"commands", {"a.one"}}}},
                {"codeActionProvider", {{"codeActionKinds", {"quickfix"}}}},
                {"renameProvider", false},
                {"textDocumentSync", save}},
               {{"textDocumentSync", 1},
                {"completionProvider", {{"triggerCharacters", {".", "@"}}}},
                {"executeCommandProvider", {{"commands", {"b.one"}}}},
                {"codeActionProvider", {{"codeActionKinds", {"quickfix", "source.fixAll"}}, {"resolveProvider", true}}},
                {"renameProvider", {{"prepareProvider", true}}}}},
              {{"textDocument", {{"completion", {{"completionList", {{"itemDefaults", {"data"}}}}}}}}});
  const auto& can = both.welcome()["result"]["capabilities"];
  CHECK(both.welcome()["result"]["serverInfo"]["name"] == "a + b");
  CHECK(can["hoverProvider"] == true);
  CHECK(can["completionProvider"] == json{{"triggerCharacters", {".", "@"}}, {"resolveProvider", true}});
  CHECK(can["executeCommandProvider"]["commands"] == json{"a.one", "b.one"});
  CHECK(can["codeActionProvider"] ==
        json{{"codeActionKinds", {"quickfix", "source.fixAll"}}, {"resolveProvider", true}});
  CHECK(can["renameProvider"] == json{{"prepareProvider", true}});
  CHECK(can["textDocumentSync"]["change"] == 1);  // whole texts suit both
  CHECK(can["textDocumentSync"]["openClose"] == true);
  CHECK(can["textDocumentSync"]["save"] == json{{"includeText", false}});
  CHECK(both.started(0)["params"]["initializationOptions"] == json{{"x", 1}});
  CHECK_FALSE(both.started(1)["params"].contains("initializationOptions"));
  CHECK_FALSE(both.started(1)["params"]["capabilities"]["textDocument"]["completion"].contains("completionList"));
}

TEST_CASE("merged servers: completions are one list, and each item is resolved by its own server") {
  auto first = completes({"."});
  first["completionProvider"]["resolveProvider"] = true;
  auto second = completes({"@"});
  second["completionProvider"]["allCommitCharacters"] = {";"};
  Merged both({first, second});
  both.ask(1, "textDocument/completion", {{"textDocument", kDocument}, {"partialResultToken", "p"}});
  CHECK_FALSE(both.next(0)["params"].contains("partialResultToken"));
  CHECK(both.next(1)["method"] == "textDocument/completion");
  both.answer(1, 1, {{{"label", "from b"}}});
  CHECK(both.to_editor().is_null());
  both.answer(0, 1, {{"isIncomplete", true}, {"items", {{{"label", "from a"}, {"data", {{"k", 1}}}}}}});
  const auto list = both.to_editor()["result"];
  REQUIRE(list["items"].size() == 2);
  CHECK(list["isIncomplete"] == true);
  CHECK(list["items"][0]["label"] == "from a");
  CHECK(list["items"][1]["commitCharacters"] == json{";"});

  both.ask(2, "completionItem/resolve", list["items"][0]);
  const auto asked = both.next(0);
  CHECK(asked["params"] == json{{"label", "from a"}, {"data", {{"k", 1}}}});
  both.answer(0, 2, {{"label", "from a"}, {"detail", "more"}, {"data", {{"k", 1}}}});
  const auto resolved = both.to_editor()["result"];
  CHECK(resolved["detail"] == "more");
  CHECK(resolved["data"] == list["items"][0]["data"]);  // it may be asked again
  both.ask(3, "completionItem/resolve", list["items"][1]);
  CHECK(both.next(1).is_null());  // b resolves nothing: the item is what it is
  CHECK(both.to_editor()["result"] == list["items"][1]);
}

TEST_CASE("merged servers: a typed character asks only those who complete after it") {
  Merged both({completes({"."}), completes({"@"})});
  const auto typed = [&](int id, const char* character) {
    both.ask(id, "textDocument/completion",
             {{"textDocument", kDocument}, {"context", {{"triggerKind", 2}, {"triggerCharacter", character}}}});
  };
  typed(1, "@");
  CHECK(both.next(0).is_null());
  CHECK(both.next(1)["id"] == 1);
  typed(2, "#");
  const auto none = both.to_editor();
  CHECK(none["id"] == 2);
  CHECK(none["result"].is_null());
}

TEST_CASE("merged servers: code actions are merged, and each server hears only of its own diagnostics") {
  const json can{{"codeActionProvider", {{"resolveProvider", true}}}};
  Merged both({can, can});
  both.tells(0, "textDocument/publishDiagnostics", {{"uri", "file:///x.py"}, {"diagnostics", {diagnostic("of a")}}});
  CHECK(both.to_editor()["params"]["diagnostics"].size() == 1);
  both.tells(1, "textDocument/publishDiagnostics", {{"uri", "file:///x.py"}, {"diagnostics", {diagnostic("of b")}}});
  const auto shown = both.to_editor()["params"]["diagnostics"];
  REQUIRE(shown == json{diagnostic("of a"), diagnostic("of b")});

  auto unknown = shown;
  unknown.push_back(diagnostic("of nobody"));
  both.ask(1, "textDocument/codeAction", {{"textDocument", kDocument}, {"context", {{"diagnostics", unknown}}}});
  CHECK(both.next(0)["params"]["context"]["diagnostics"] == json{diagnostic("of a"), diagnostic("of nobody")});
  CHECK(both.next(1)["params"]["context"]["diagnostics"] == json{diagnostic("of b"), diagnostic("of nobody")});
  both.answer(0, 1, {{{"title", "a command"}, {"command", "a.run"}}});
  both.answer(1, 1, {{{"title", "an action"}, {"data", 7}}});
  const auto actions = both.to_editor()["result"];
  REQUIRE(actions.size() == 2);
  CHECK(actions[0] == json{{"title", "a command"}, {"command", "a.run"}});
  both.ask(2, "codeAction/resolve", actions[1]);
  CHECK(both.next(1)["params"] == json{{"title", "an action"}, {"data", 7}});
}

TEST_CASE("merged servers: references are those of all, each once") {
  const json can{{"referencesProvider", true}};
  Merged both({can, can});
  const auto place = [](int line) { return json{{"uri", "file:///x.py"}, {"line", line}}; };
  both.ask(1, "textDocument/references", {{"textDocument", kDocument}});
  both.answer(0, 1, {place(1), place(2)});
  both.answer(1, 1, {place(2), place(3)});
  CHECK(both.to_editor()["result"] == json{place(1), place(2), place(3)});
  both.ask(2, "textDocument/references", {{"textDocument", kDocument}});
  both.refuse(0, 2, -32603);
  both.answer(1, 2, json::array({place(3)}));
  CHECK(both.to_editor()["result"] == json::array({place(3)}));  // a failure is not the others'
}

TEST_CASE("merged servers: diagnostics that are pulled are those of all") {
  const json pulls{{"diagnosticProvider", {{"interFileDependencies", true}, {"workspaceDiagnostics", true}}}};
  Merged both({pulls, {{"diagnosticProvider", {{"identifier", "b"}, {"workspaceDiagnostics", false}}}}});
  CHECK(both.welcome()["result"]["capabilities"]["diagnosticProvider"] ==
        json{{"interFileDependencies", true}, {"workspaceDiagnostics", false}});
  both.ask(1, "textDocument/diagnostic", {{"textDocument", kDocument}, {"previousResultId", "1"}});
  CHECK_FALSE(both.next(0)["params"].contains("previousResultId"));
  CHECK_FALSE(both.next(1).is_null());
  both.answer(0, 1, {{"kind", "full"}, {"resultId", "2"}, {"items", {diagnostic("of a")}}});
  both.answer(1, 1, {{"kind", "full"}, {"items", {diagnostic("of b")}}});
  CHECK(both.to_editor()["result"] == json{{"kind", "full"}, {"items", {diagnostic("of a"), diagnostic("of b")}}});
  both.ask(2, "textDocument/diagnostic", {{"textDocument", kDocument}});
  both.answer(0, 2, {{"kind", "full"}, {"items", json::array()}});
  both.refuse(1, 2, -32802);
  CHECK(both.to_editor()["error"]["code"] == -32802);  // the editor asks again
}

TEST_CASE("merged servers: what several can do goes to the first, and to the next if that has nothing to say") {
  const json can{{"hoverProvider", true}, {"documentFormattingProvider", true}, {"definitionProvider", true}};
  Merged three({{{"documentFormattingProvider", true}}, can, can});
  three.ask(1, "textDocument/hover", {{"textDocument", kDocument}});
  CHECK(three.next(0).is_null());
  CHECK(three.next(2).is_null());
  REQUIRE(three.next(1)["id"] == 1);
  three.answer(1, 1, nullptr);
  REQUIRE(three.next(2)["id"] == 1);
  three.answer(2, 1, {{"contents", "of c"}});
  CHECK(three.to_editor()["result"]["contents"] == "of c");
  three.ask(2, "textDocument/definition", {{"textDocument", kDocument}});
  three.refuse(1, 2, -32603);
  three.answer(2, 2, json::array());
  CHECK(three.to_editor()["result"] == json::array());
  // What changes texts is asked of one.
  three.ask(3, "textDocument/formatting", {{"textDocument", kDocument}});
  three.answer(0, 3, nullptr);
  const auto formatted = three.to_editor();
  CHECK(formatted["id"] == 3);
  CHECK(formatted["result"].is_null());
}

TEST_CASE("merged servers: commands go to the server that has them, unknown requests to the first") {
  Merged both({{{"executeCommandProvider", {{"commands", {"a.run"}}}}}, json::object()});
  both.server(
      1,
      {{"jsonrpc", "2.0"},
       {"id", 5},
       {"method", "client/registerCapability"},
       {"params",
        {{"registrations",
          {{{"id", "r"}, {"method", "workspace/executeCommand"}, {"registerOptions", {{"commands", {"b.run"}}}}}}}}}});
  const auto registers = both.to_editor();
  both.editor({{"jsonrpc", "2.0"}, {"id", registers["id"]}, {"result", nullptr}});
  CHECK(both.next(1)["id"] == 5);
  both.ask(1, "workspace/executeCommand", {{"command", "b.run"}});
  CHECK(both.next(1)["id"] == 1);
  both.ask(2, "a/extension", json::object());
  CHECK(both.next(0)["method"] == "a/extension");
  both.tell("a/told", json::object());
  CHECK(both.next(0)["method"] == "a/told");
  CHECK(both.next(1).is_null());
  both.tell("textDocument/didOpen", {{"textDocument", kDocument}});
  CHECK(both.next(0)["method"] == "textDocument/didOpen");
  CHECK(both.next(1)["method"] == "textDocument/didOpen");
}

TEST_CASE("merged servers: questions, progress and registrations of two servers do not meet") {
  Merged both({json::object(), json::object()});
  for (const std::size_t server : {0, 1}) {
    both.server(server,
                {{"jsonrpc", "2.0"}, {"id", 1}, {"method", "workspace/configuration"}, {"params", json::object()}});
  }
  const auto first = both.to_editor(), second = both.to_editor();
  REQUIRE(first["id"] != second["id"]);
  both.editor({{"jsonrpc", "2.0"}, {"id", second["id"]}, {"result", {2}}});
  CHECK(both.next(1) == json{{"jsonrpc", "2.0"}, {"id", 1}, {"result", {2}}});
  both.editor({{"jsonrpc", "2.0"}, {"id", second["id"]}, {"result", {2}}});
  CHECK(both.next(1).is_null());  // once is enough
  both.tells(0, "$/cancelRequest", {{"id", 1}});
  CHECK(both.to_editor()["params"]["id"] == first["id"]);

  const json begin{{"token", 1}, {"value", {{"kind", "begin"}, {"title", "x"}}}};
  both.tells(0, "$/progress", begin);
  both.tells(1, "$/progress", begin);
  const auto of_first = both.to_editor()["params"]["token"], of_second = both.to_editor()["params"]["token"];
  REQUIRE(of_first != of_second);
  both.tell("window/workDoneProgress/cancel", {{"token", of_second}});
  CHECK(both.next(0).is_null());
  CHECK(both.next(1)["params"]["token"] == 1);
  // The editor's own token is what it was.
  both.ask(9, "a/extension", {{"workDoneToken", "mine"}});
  both.tells(0, "$/progress", {{"token", "mine"}, {"value", {{"kind", "begin"}, {"title", "x"}}}});
  CHECK(both.to_editor()["params"]["token"] == "mine");
}

TEST_CASE("merged servers: a server that goes takes what stands of it along, and no other") {
  const json can{{"referencesProvider", true}};
  Merged both({can, can});
  both.tells(0, "textDocument/publishDiagnostics", {{"uri", "file:///x.py"}, {"diagnostics", {diagnostic("of a")}}});
  both.tells(1, "textDocument/publishDiagnostics", {{"uri", "file:///x.py"}, {"diagnostics", {diagnostic("of b")}}});
  both.tells(1, "$/progress", {{"token", 1}, {"value", {{"kind", "begin"}, {"title", "x"}}}});
  both.server(1, {{"jsonrpc", "2.0"}, {"id", 1}, {"method", "workspace/configuration"}, {"params", json::object()}});
  both.server(1, {{"jsonrpc", "2.0"},
                  {"id", 2},
                  {"method", "client/registerCapability"},
                  {"params", {{"registrations", {{{"id", "r"}, {"method", "textDocument/hover"}}}}}}});
  for (int i = 0; i < 2; ++i) (void)both.to_editor();
  const auto progress = both.to_editor()["params"]["token"];
  const auto question = both.to_editor()["id"];
  const auto registered = both.to_editor()["params"]["registrations"][0]["id"];
  both.ask(1, "textDocument/references", {{"textDocument", kDocument}});
  both.answer(0, 1, {1});
  CHECK(both.to_editor().is_null());

  both.gone(1, "it has crashed");
  CHECK(both.to_editor()["result"] == json{1});  // the others' answer
  CHECK(both.to_editor()["params"]["diagnostics"] == json::array({diagnostic("of a")}));
  json cancelled;
  while (cancelled["method"] != "$/cancelRequest") REQUIRE_FALSE((cancelled = both.to_editor()).is_null());
  CHECK(cancelled["params"]["id"].is_string());
  json ended = both.to_editor();
  while (ended["method"] != "$/progress") REQUIRE_FALSE((ended = both.to_editor()).is_null());
  CHECK(ended["params"] == json{{"token", progress}, {"value", {{"kind", "end"}}}});
  CHECK(both.to_editor()["params"]["unregisterations"] ==
        json::array({{{"id", registered}, {"method", "textDocument/hover"}}}));
  const auto told = both.to_editor();
  CHECK(told["method"] == "window/showMessage");
  CHECK(told["params"]["message"].get<std::string>().find("b does not serve (it has crashed)") == 0);
  CHECK(question.is_string());

  both.ask(2, "textDocument/references", {{"textDocument", kDocument}});
  CHECK(both.next(0)["id"] == 1);
  CHECK(both.next(0)["id"] == 2);
  both.answer(0, 2, {2});
  CHECK(both.to_editor()["result"] == json{2});
}

TEST_CASE("merged servers: one that cannot start, or refuses to, is left out and told of") {
  MergedServers three({"a", "b", "c"});
  const auto send = [](const json& message) { return message.dump(); };
  (void)three.from_editor(send({{"jsonrpc", "2.0"}, {"id", 0}, {"method", "initialize"}, {"params", json::object()}}));
  CHECK(three.gone(0, "there is no program a").empty());
  CHECK(three
            .from_server(
                1, send({{"jsonrpc", "2.0"}, {"id", 0}, {"error", {{"code", -32603}, {"message", "no licence"}}}}))
            .empty());
  const auto out = three.from_server(
      2, send({{"jsonrpc", "2.0"}, {"id", 0}, {"result", {{"capabilities", {{"hoverProvider", true}}}}}}));
  REQUIRE(out.size() == 4);
  const auto welcome = json::parse(out[0].text);
  CHECK(welcome["result"]["serverInfo"]["name"] == "c");
  CHECK(welcome["result"]["capabilities"]["hoverProvider"] == true);
  CHECK(json::parse(out[1].text)["params"]["message"].get<std::string>().find("a does not serve") == 0);
  CHECK(out[2].to == 1);
  CHECK(out[2].text.empty());
  CHECK(json::parse(out[3].text)["params"]["message"].get<std::string>().find("no licence") != std::string::npos);
}

TEST_CASE("merged servers: a cancelled request is cancelled at all, and waits for none") {
  const json can{{"referencesProvider", true}, {"hoverProvider", true}};
  Merged both({can, can});
  both.ask("x", "textDocument/references", {{"textDocument", kDocument}});
  (void)both.next(0);
  (void)both.next(1);
  both.tell("$/cancelRequest", {{"id", "x"}});
  CHECK(both.next(0)["method"] == "$/cancelRequest");
  CHECK(both.next(1)["params"]["id"] == "x");
  CHECK(both.to_editor()["error"]["code"] == -32800);
  both.answer(0, "x", {1});
  both.refuse(1, "x", -32800);
  CHECK(both.to_editor().is_null());
  // Of a request to one, that one decides.
  both.ask("y", "textDocument/hover", {{"textDocument", kDocument}});
  both.tell("$/cancelRequest", {{"id", "y"}});
  CHECK(both.to_editor().is_null());
  both.refuse(0, "y", -32800);
  CHECK(both.to_editor()["error"]["code"] == -32800);
}

TEST_CASE("merged servers: who hangs in initialize or shutdown is not waited for when the time is over") {
  MergedServers three({"a", "b", "c"});
  const auto ask = [&](int id, const char* method) {
    return three.from_editor(
        json{{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", json::object()}}.dump());
  };
  const auto answer = [&](std::size_t server, int id, const json& result) {
    return three.from_server(server, json{{"jsonrpc", "2.0"}, {"id", id}, {"result", result}}.dump());
  };
  (void)ask(0, "initialize");
  CHECK_FALSE(three.waits_for_some());
  (void)answer(0, 0, {{"capabilities", json::object()}});
  (void)answer(1, 0, {{"capabilities", {{"hoverProvider", true}}}});
  CHECK(three.waits_for_some());
  const auto out = three.go_on_without();
  REQUIRE(out.size() == 3);
  CHECK(out[0].to == 2);
  CHECK(out[0].text.empty());
  CHECK(json::parse(out[1].text)["result"]["capabilities"]["hoverProvider"] == true);
  CHECK(json::parse(out[2].text)["params"]["message"].get<std::string>().find("c does not serve") == 0);
  CHECK_FALSE(three.waits_for_some());
  (void)ask(1, "shutdown");
  (void)answer(1, 1, nullptr);
  CHECK(three.waits_for_some());
  const auto last = three.go_on_without();
  CHECK(last.front().to == 0);
  CHECK(json::parse(last.back().text) == json{{"jsonrpc", "2.0"}, {"id", 1}, {"result", nullptr}});
}

TEST_CASE("merged servers: what goes before initialize is answered can nothing, and is told of afterwards") {
  MergedServers three({"a", "b", "c"});
  (void)three.gone(0, "there is no program a");
  const auto asked = three.from_editor(json{{"jsonrpc", "2.0"},
                                            {"id", 0},
                                            {"method", "initialize"},
                                            {"params", {{"initializationOptions", 1}, {"workDoneToken", "1"}}}}
                                           .dump());
  REQUIRE(asked.size() == 2);
  CHECK(json::parse(asked[0].text)["params"] ==
        json{{"capabilities", {{"general", {{"positionEncodings", {"utf-16"}}}}}}});  // the options are a's
  (void)three.from_server(
      1, json{{"jsonrpc", "2.0"}, {"id", 0}, {"result", {{"capabilities", {{"renameProvider", true}}}}}}.dump());
  CHECK(three.gone(1, "it has crashed").empty());
  const auto out = three.from_server(
      2, json{{"jsonrpc", "2.0"}, {"id", 0}, {"result", {{"capabilities", {{"hoverProvider", true}}}}}}.dump());
  REQUIRE(out.size() == 3);
  const auto result = json::parse(out[0].text)["result"];
  CHECK(result["serverInfo"]["name"] == "c");
  CHECK_FALSE(result["capabilities"].contains("renameProvider"));
  CHECK(json::parse(out[1].text)["params"]["message"].get<std::string>().find("a does not serve (there is no") == 0);
  CHECK(json::parse(out[2].text)["params"]["message"].get<std::string>().find("b does not serve (it has crashed") == 0);
}

TEST_CASE("merged servers: what only a server could that is gone is answered with nothing") {
  Merged both({json::object(), {{"documentHighlightProvider", true}, {"diagnosticProvider", json::object()}}});
  both.gone(1, "it has crashed");
  while (!both.to_editor().is_null()) continue;
  both.ask(1, "textDocument/documentHighlight", {{"textDocument", kDocument}});
  const auto none = both.to_editor();
  CHECK(none["id"] == 1);
  CHECK(none["result"].is_null());
  both.ask(2, "textDocument/diagnostic", {{"textDocument", kDocument}});
  CHECK(both.to_editor()["result"] == json{{"kind", "full"}, {"items", json::array()}});
  both.ask(3, "a/extension", {{"textDocument", kDocument}});
  CHECK(both.next(0)["id"] == 3);
}

TEST_CASE("merged servers: an empty hover and signature help without signatures say nothing") {
  const json can{{"hoverProvider", true}, {"signatureHelpProvider", json::object()}};
  Merged both({can, can});
  int id = 0;
  for (const json& contents : {json(""), json::array(), json{{"kind", "markdown"}, {"value", ""}}}) {
    both.ask(++id, "textDocument/hover", {{"textDocument", kDocument}});
    both.answer(0, id, {{"contents", contents}});
    both.answer(1, id, {{"contents", "of b"}});
    CHECK(both.to_editor()["result"]["contents"] == "of b");
  }
  both.ask(++id, "textDocument/signatureHelp", {{"textDocument", kDocument}});
  both.answer(0, id, {{"signatures", json::array()}});
  both.answer(1, id, {{"signatures", {{{"label", "f()"}}}}});
  CHECK(both.to_editor()["result"]["signatures"].size() == 1);
}

TEST_CASE("merged servers: two spellings of a document's URI are one document") {
  Merged both({json::object(), json::object()});
  both.tells(0, "textDocument/publishDiagnostics",
             {{"uri", "file:///a%28b%29.py"}, {"diagnostics", json::array({diagnostic("of a")})}});
  (void)both.to_editor();
  both.tells(1, "textDocument/publishDiagnostics",
             {{"uri", "file:///a(b).py"}, {"diagnostics", json::array({diagnostic("of b")})}});
  CHECK(both.to_editor()["params"]["diagnostics"] == json{diagnostic("of a"), diagnostic("of b")});
}

TEST_CASE("merged servers: a command is run by the server that has given it, whoever lists it") {
  const json can{{"codeActionProvider", {{"resolveProvider", true}}},
                 {"codeLensProvider", {{"resolveProvider", true}}},
                 {"executeCommandProvider", {{"commands", {"fix"}}}}};
  Merged both({can, {{"codeActionProvider", {{"resolveProvider", true}}}}});
  const auto runs = [&](int id, const json& command) {
    both.ask(id, "workspace/executeCommand", command);
    if (both.next(0)["id"] == id) return 0;
    return both.next(1)["id"] == id ? 1 : -1;
  };
  const auto fix = [](int argument) {
    return json{{"title", "t"}, {"command", "fix"}, {"arguments", json::array({argument})}};
  };
  both.ask(1, "textDocument/codeAction", {{"textDocument", kDocument}, {"context", {{"diagnostics", json::array()}}}});
  (void)both.next(0);
  (void)both.next(1);
  both.answer(0, 1, json::array({fix(1)}));
  both.answer(1, 1, json::array({fix(2), {{"title", "late"}}, {{"title", "x"}, {"command", fix(3)}}}));
  const auto actions = both.to_editor()["result"];
  CHECK(runs(2, fix(1)) == 0);
  CHECK(runs(3, fix(2)) == 1);
  CHECK(runs(4, fix(3)) == 1);
  CHECK(runs(5, {{"command", "fix"}, {"arguments", {4}}}) == 0);  // of nobody's answer: by its name
  both.ask(6, "codeAction/resolve", actions[2]);
  (void)both.next(1);
  both.answer(1, 6, {{"title", "late"}, {"command", fix(5)}});
  CHECK(runs(7, fix(5)) == 1);
}

TEST_CASE("merged servers: pulled diagnostics go back to the server whose they are, as the editor spells them") {
  const json can{{"diagnosticProvider", json::object()}, {"codeActionProvider", true}};
  Merged both({can, can});
  both.ask(1, "textDocument/diagnostic", {{"textDocument", kDocument}});
  (void)both.next(0);
  (void)both.next(1);
  both.answer(0, 1, {{"kind", "full"}, {"items", json::array({diagnostic("of a")})}});
  both.answer(1, 1, {{"kind", "full"}, {"items", json::array({diagnostic("of b")})}});
  auto shown = both.to_editor()["result"]["items"];
  for (auto& each : shown) each["severity"] = 1;
  both.ask(2, "textDocument/codeAction", {{"textDocument", kDocument}, {"context", {{"diagnostics", shown}}}});
  CHECK(both.next(0)["params"]["context"]["diagnostics"] == json::array({shown[0]}));
  CHECK(both.next(1)["params"]["context"]["diagnostics"] == json::array({shown[1]}));
}

TEST_CASE("merged servers: semantic tokens are those of the legend that the editor was told") {
  const auto tokens = [](const char* type) {
    return json{{"semanticTokensProvider", {{"legend", {{"tokenTypes", json::array({type})}}}, {"full", true}}}};
  };
  Merged both({tokens("class"), tokens("keyword")});
  both.ask(1, "textDocument/semanticTokens/full", {{"textDocument", kDocument}});
  CHECK(both.next(0)["id"] == 1);
  both.answer(0, 1, nullptr);
  CHECK(both.to_editor()["id"] == 1);
  CHECK(both.next(1).is_null());
  both.gone(0, "it has crashed");
  while (!both.to_editor().is_null()) continue;
  both.ask(2, "textDocument/semanticTokens/full", {{"textDocument", kDocument}});
  CHECK(both.to_editor() == json{{"jsonrpc", "2.0"}, {"id", 2}, {"result", nullptr}});
}

TEST_CASE(
    "merged servers: a rename, an outline or edits for a renamed file are asked of the next if the first has none") {
  const json can{{"renameProvider", {{"prepareProvider", true}}},
                 {"documentSymbolProvider", true},
                 {"colorProvider", true},
                 {"workspace", {{"fileOperations", {{"willRename", {{"filters", json::array()}}}}}}}};
  Merged both({can, can});
  int id = 0;
  const auto asked = [&](const char* method, const json& of_first, const json& of_second) {
    both.ask(++id, method, {{"textDocument", kDocument}});
    if (of_first == json("refused")) {
      both.refuse(0, id, -32603);
    } else {
      both.answer(0, id, of_first);
    }
    both.answer(1, id, of_second);
    return both.to_editor()["result"];
  };
  const json edit{{"changes", {{"file:///x.py", json::array({1})}}}};
  CHECK(asked("textDocument/prepareRename", "refused", {{"placeholder", "x"}}) == json{{"placeholder", "x"}});
  CHECK(asked("textDocument/rename", nullptr, edit) == edit);
  CHECK(asked("textDocument/rename", {{"changes", json::object()}}, edit) == edit);
  CHECK(asked("textDocument/documentSymbol", json::array(), json::array({5})) == json::array({5}));
  CHECK(asked("workspace/willRenameFiles", json::object(), edit) == edit);
  CHECK(asked("textDocument/documentColor", json::array({1}), json::array({2})) == json::array({1, 2}));
}

TEST_CASE("merged servers: an extension's notification goes to the server that speaks of it") {
  Merged both({json::object(), json::object()});
  both.tells(1, "tsserver/request", json::array({1, "open"}));
  CHECK(both.to_editor()["method"] == "tsserver/request");
  both.tell("tsserver/response", json::array({1}));
  CHECK(both.next(0).is_null());
  CHECK(both.next(1)["method"] == "tsserver/response");
  both.tell("other/told", json::object());
  CHECK(both.next(0)["method"] == "other/told");
}

TEST_CASE("merged servers: clangd's own member of the encoding is not offered") {
  MergedServers both({"a", "b"});
  const auto asked = both.from_editor(json{{"jsonrpc", "2.0"},
                                           {"id", 0},
                                           {"method", "initialize"},
                                           {"params", {{"capabilities", {{"offsetEncoding", {"utf-8"}}}}}}}
                                          .dump());
  CHECK_FALSE(json::parse(asked[0].text)["params"]["capabilities"].contains("offsetEncoding"));
}

TEST_CASE("merged servers: more requests or questions than the bounds are answered with an error, and no others") {
  Merged both({{{"hoverProvider", true}}, json::object()});
  const auto hover = [&](int id) { both.ask(id, "textDocument/hover", {{"textDocument", kDocument}}); };
  for (int id = 1; id <= static_cast<int>(MergedServers::kMaxRequests); ++id) hover(id);
  CHECK(both.to_editor().is_null());
  hover(100'000);
  const auto refused = both.to_editor();
  CHECK(refused["id"] == 100'000);
  CHECK(refused["error"]["message"] == "4096 requests are open");
  both.answer(0, 1, nullptr);
  CHECK(both.to_editor()["id"] == 1);
  hover(100'001);
  CHECK(both.to_editor().is_null());

  const auto asks = [&](int id) {
    both.server(1, {{"jsonrpc", "2.0"}, {"id", id}, {"method", "workspace/configuration"}, {"params", json::object()}});
  };
  for (int id = 1; id <= static_cast<int>(MergedServers::kMaxStanding); ++id) asks(id);
  CHECK(both.next(1).is_null());
  asks(100'000);
  CHECK(both.next(1)["error"]["message"] == "too many open requests");
}

TEST_CASE("merged servers: capabilities that make no sense spoil nothing") {
  Merged both(
      {{{"workspace", {{"fileOperations", true}, {"workspaceFolders", true}}},
        {"completionProvider", 5},
        {"codeActionProvider", "x"},
        {"executeCommandProvider", json::array()},
        {"textDocumentSync", "x"}},
       {{"workspace",
         {{"fileOperations", {{"didCreate", {{"filters", {1}}}}}}, {"workspaceFolders", {{"supported", true}}}}},
        {"textDocumentSync", 2}}},
      {{"general", true},
       {"textDocument",
        {{"completion", 1},
         {"codeAction", {{"dynamicRegistration", true}}},
         {"colorProvider", {{"dynamicRegistration", true}}}}}});
  const auto& can = both.welcome()["result"]["capabilities"];
  CHECK(can["workspace"]["workspaceFolders"] == json{{"supported", true}});
  CHECK(can["textDocumentSync"]["change"] == 2);
  CHECK(can["textDocumentSync"]["save"] == json{{"includeText", false}});  // a number says so
  for (const char* const merged : {"codeAction", "colorProvider"})
    CHECK(both.started(0)["params"]["capabilities"]["textDocument"][merged] == json::object());
}

TEST_CASE("merged servers: shutdown is answered when all have, and exit goes to all") {
  Merged both({json::object(), json::object()});
  both.ask(1, "shutdown", nullptr);
  CHECK(both.next(0) == json{{"jsonrpc", "2.0"}, {"id", 1}, {"method", "shutdown"}});
  CHECK(both.next(1)["method"] == "shutdown");
  both.answer(1, 1, nullptr);
  CHECK(both.to_editor().is_null());
  both.answer(0, 1, nullptr);
  CHECK(both.to_editor() == json{{"jsonrpc", "2.0"}, {"id", 1}, {"result", nullptr}});
  both.tell("exit", json());
  CHECK(both.next(0)["method"] == "exit");
  CHECK(both.next(1)["method"] == "exit");
}

TEST_CASE("merged servers: what is no message, comes twice or is of no use is answered or dropped, and ends nothing") {
  Merged both({{{"hoverProvider", true}}, json::object()});
  both.editor(json::array({1, 2}));
  CHECK(both.to_editor()["error"]["code"] == -32600);
  both.ask(1, "textDocument/hover", {{"textDocument", kDocument}});
  both.ask(1, "textDocument/hover", {{"textDocument", kDocument}});
  CHECK(both.to_editor()["error"]["code"] == -32600);
  both.answer(1, 1, {{"contents", "of one that was not asked"}});
  CHECK(both.to_editor().is_null());
  for (const char* const method : {"client/registerCapability", "$/progress", "textDocument/publishDiagnostics"}) {
    for (const json& params :
         {json(), json(5), json::array(), json{{"registrations", 1}, {"uri", 5}, {"diagnostics", 3}}}) {
      CAPTURE(method, params.dump());
      both.server(1, {{"jsonrpc", "2.0"}, {"id", "q"}, {"method", method}, {"params", params}});
      both.tells(1, method, params);
    }
  }
  for (const json& id : {json("gantry:9:1"), json("gantry:"), json("gantry:0:"), json(nullptr), json("gantry:x:1")})
    both.editor({{"jsonrpc", "2.0"}, {"id", id}, {"result", nullptr}});
  both.ask(2, "codeAction/resolve", {{"title", "t"}, {"data", {{"gantry_server", 99}}}});
  both.ask(3, "completionItem/resolve", json::array());
  both.answer(0, 1, {{"contents", "of a"}});
  json last;
  for (json each = both.to_editor(); !each.is_null(); each = both.to_editor()) last = each;
  CHECK(last["result"]["contents"] == "of a");
}
