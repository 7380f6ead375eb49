// SPDX-License-Identifier: Apache-2.0
//
// A server that counts characters in another encoding than its clients.
#include "plugins/lsp/config.hpp"
#include "plugins/lsp/positions/counted_text.hpp"
#include "plugins/lsp/positions/translation.hpp"
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;
using gantry::lsp::CountedText;
using gantry::lsp::Encoding;
using gantry::lsp::PositionTranslation;

namespace {

constexpr const char* kUri = "file:///p/a.fake";
constexpr const char* kOther = "file:///p/other.fake";

json at(int line, int character) { return {{"line", line}, {"character", character}}; }
json range(int line, int from, int to) { return {{"start", at(line, from)}, {"end", at(line, to)}}; }

/// A server that counts in UTF-8, with one document open:
///   a = "ä😀"; b     UTF-16: `"` at 4, ä 5, 😀 6..8, `"` 8, ; 9, b 11
///   plain            UTF-8:  `"` at 4, ä 5..7, 😀 7..11, `"` 11, ; 12, b 14
struct Server {
  PositionTranslation positions{Encoding::utf8, [](const std::string& path) -> std::optional<std::string> {
                                  if (path != "/p/other.fake") return std::nullopt;
                                  return "\u00e4\u00e4x\n";
                                }};
  int last = 0;

  Server() {
    (void)to_server({{"jsonrpc", "2.0"},
                     {"method", "textDocument/didOpen"},
                     {"params",
                      {{"textDocument",
                        {{"uri", kUri},
                         {"languageId", "fake"},
                         {"version", 1},
                         {"text", "a = \"\u00e4\U0001F600\"; b\nplain\n"}}}}}});
  }
  json to_server(const json& message) { return json::parse(positions.to_server(message.dump())); }
  json to_client(const json& message) { return json::parse(positions.to_client(message.dump())); }
  /// The params as the server gets them.
  json ask(const std::string& method, const json& params) {
    return to_server({{"jsonrpc", "2.0"}, {"id", ++last}, {"method", method}, {"params", params}})["params"];
  }
  /// The result as the client gets it.
  json answer(const json& result) {
    return to_client({{"jsonrpc", "2.0"}, {"id", last}, {"result", result}})["result"];
  }
  json told(const std::string& method, const json& params) {
    return to_client({{"jsonrpc", "2.0"}, {"method", method}, {"params", params}})["params"];
  }
  /// What a request about the document is answered with, for the client.
  json asked(const std::string& method, const json& result) {
    (void)ask(method, {{"textDocument", {{"uri", kUri}}}});
    return answer(result);
  }
};

const json kServers = range(0, 12, 14);  // as the server counts
const json kClients = range(0, 9, 11);

}  // namespace

TEST_CASE("positions: characters are counted anew in the line that they are in") {
  const auto u8 = Encoding::utf8, u16 = Encoding::utf16, u32 = Encoding::utf32;
  const std::string text = "a\u00e4\U0001F600z\r\n\rlast";
  CountedText to8(text, u16, u8), from8(text, u8, u16);
  CHECK(to8.character(0, 4) == 7);
  CHECK(from8.character(0, 7) == 4);
  CHECK(CountedText(text, u8, u32).character(0, 7) == 3);
  CHECK(CountedText(text, u32, u8).character(0, 3) == 7);
  CHECK(to8.character(0, 3) == 3);     // in the midst of a pair: before it
  CHECK(to8.character(0, 4) == 7);     // and on from there
  CHECK(from8.character(0, 10) == 7);  // two behind the end stay two
  CHECK(from8.character(0, 8) == 5);
  CHECK(to8.character(0, 2'147'483'647) == 2'147'483'650);
  CHECK(to8.character(0, 9'223'372'036'854'775'807) == 2'147'483'650);
  CHECK(from8.character(1, 3) == 3);
  CHECK(from8.character(2, 3) == 3);
  CHECK(from8.character(9, 3) == 3);
  CHECK(from8.length(0, 1, 6) == 3);
  CHECK(from8.length(0, 3, 8) == 6);  // with the end of the line, and the next
}

TEST_CASE("positions: a long line with 100,000 tokens is counted in one go") {
  Server s;
  std::string text;
  json tokens = json::array(), wanted = json::array();
  for (int i = 0; i < 100'000; ++i) {
    text += "\u00e4 ";
    for (const int number : {0, i == 0 ? 0 : 3, 2, 1, 0}) tokens.push_back(number);
    for (const int number : {0, i == 0 ? 0 : 2, 1, 1, 0}) wanted.push_back(number);
  }
  (void)s.to_server({{"jsonrpc", "2.0"},
                     {"method", "textDocument/didOpen"},
                     {"params", {{"textDocument", {{"uri", kUri}, {"version", 2}, {"text", text}}}}}});
  REQUIRE(s.asked("textDocument/semanticTokens/full", {{"data", tokens}})["data"] == wanted);
}

TEST_CASE("positions: numbers that no text has are bounded, and tokens with such are left as they are") {
  Server s;
  const json far{{"line", 0}, {"character", 9'223'372'036'854'775'807}};
  CHECK(s.asked("textDocument/hover", {{"range", {{"start", far}, {"end", far}}}})["range"]["end"]["character"] ==
        2'147'483'644);
  const json tokens{{"data", {9'223'372'036'854'775'807, 0, 1, 0, 0, 1, 0, 1, 0, 0}}};
  CHECK(s.asked("textDocument/semanticTokens/full", tokens) == tokens);
  const json negative{{"data", {0, -4, 8, 0, 0}}};
  CHECK(s.asked("textDocument/semanticTokens/full", negative) == negative);
}

TEST_CASE("positions: what a client asks is counted as the server does, what the server answers as the client does") {
  Server s;
  CHECK(s.ask("textDocument/hover", {{"textDocument", {{"uri", kUri}}}, {"position", at(0, 11)}})["position"] ==
        at(0, 14));
  CHECK(s.answer({{"contents", "x"}, {"range", kServers}})["range"] == kClients);
  CHECK(s.ask("textDocument/hover", {{"textDocument", {{"uri", kUri}}}, {"position", at(1, 3)}})["position"] ==
        at(1, 3));
  CHECK(
      s.ask("textDocument/codeAction",
            {{"textDocument", {{"uri", kUri}}},
             {"range", kClients},
             {"context", {{"diagnostics", json::array({{{"range", kClients}, {"data", {{"range", kClients}}}}})}}}}) ==
      json{{"textDocument", {{"uri", kUri}}},
           {"range", kServers},
           {"context", {{"diagnostics", json::array({{{"range", kServers}, {"data", {{"range", kClients}}}}})}}}});
}

TEST_CASE("positions: each is counted in the document that it belongs to, open or not") {
  Server s;
  const json link{{"originSelectionRange", kServers},
                  {"targetUri", kOther},
                  {"targetRange", range(0, 0, 5)},
                  {"targetSelectionRange", range(0, 4, 5)}};
  const auto links = s.asked("textDocument/definition", json::array({link}));
  CHECK(links[0]["originSelectionRange"] == kClients);
  CHECK(links[0]["targetRange"] == range(0, 0, 3));
  CHECK(links[0]["targetSelectionRange"] == range(0, 2, 3));
  const auto places = s.asked("textDocument/references", json::array({{{"uri", kOther}, {"range", range(0, 4, 5)}},
                                                                      {{"uri", kUri}, {"range", kServers}},
                                                                      {{"uri", "file:///none"}, {"range", kServers}}}));
  CHECK(places[0]["range"] == range(0, 2, 3));
  CHECK(places[1]["range"] == kClients);
  CHECK(places[2]["range"] == kServers);  // its text is not known
  const json edit{{"range", kServers}, {"newText", "x"}};
  const auto edits =
      s.asked("textDocument/rename",
              {{"changes", {{kUri, json::array({edit})}, {kOther, json::array({{{"range", range(0, 4, 5)}}})}}},
               {"documentChanges",
                json::array({{{"textDocument", {{"uri", kUri}, {"version", 1}}}, {"edits", json::array({edit})}}})}});
  CHECK(edits["changes"][kUri][0]["range"] == kClients);
  CHECK(edits["changes"][kOther][0]["range"] == range(0, 2, 3));
  CHECK(edits["documentChanges"][0]["edits"][0]["range"] == kClients);
  const auto published = s.told(
      "textDocument/publishDiagnostics",
      {{"uri", kUri},
       {"diagnostics",
        json::array({{{"range", kServers},
                      {"relatedInformation",
                       json::array({{{"location", {{"uri", kOther}, {"range", range(0, 4, 5)}}}, {"message", "m"}}})},
                      {"data", kServers}}})}})["diagnostics"][0];
  CHECK(published["range"] == kClients);
  CHECK(published["relatedInformation"][0]["location"]["range"] == range(0, 2, 3));
  CHECK(published["data"] == kServers);
  const auto pulled = s.asked(
      "textDocument/diagnostic",
      {{"kind", "full"},
       {"items", json::array({{{"range", kServers}}})},
       {"relatedDocuments", {{kOther, {{"kind", "full"}, {"items", json::array({{{"range", range(0, 4, 5)}}})}}}}}});
  CHECK(pulled["items"][0]["range"] == kClients);
  CHECK(pulled["relatedDocuments"][kOther]["items"][0]["range"] == range(0, 2, 3));
}

TEST_CASE("positions: calls are counted where they are made") {
  Server s;
  const json item{{"name", "f"}, {"uri", kUri}, {"range", kClients}, {"selectionRange", kClients}, {"data", kClients}};
  const auto asked = s.ask("callHierarchy/incomingCalls", {{"item", item}})["item"];
  CHECK(asked["range"] == kServers);
  CHECK(asked["data"] == kClients);
  const json other{{"uri", kOther}, {"range", range(0, 4, 5)}};
  const auto incoming = s.answer(json::array({{{"from", other}, {"fromRanges", json::array({range(0, 4, 5)})}}}));
  CHECK(incoming[0]["from"]["range"] == range(0, 2, 3));
  CHECK(incoming[0]["fromRanges"][0] == range(0, 2, 3));
  (void)s.ask("callHierarchy/outgoingCalls", {{"item", item}});
  const auto outgoing = s.answer(json::array({{{"to", other}, {"fromRanges", json::array({kServers})}}}));
  CHECK(outgoing[0]["to"]["range"] == range(0, 2, 3));
  CHECK(outgoing[0]["fromRanges"][0] == kClients);
}

TEST_CASE("positions: folds, semantic tokens and parameters of signatures are counted anew") {
  Server s;
  CHECK(s.asked("textDocument/foldingRange",
                json::array({{{"startLine", 0}, {"startCharacter", 12}, {"endLine", 1}, {"endCharacter", 4}}})) ==
        json::array({{{"startLine", 0}, {"startCharacter", 9}, {"endLine", 1}, {"endCharacter", 4}}}));
  // a, the string, b, plain
  const json servers{{"data", {0, 0, 1, 7, 0, 0, 4, 8, 8, 0, 0, 10, 1, 7, 1, 1, 0, 5, 9, 0}}, {"resultId", "1"}};
  const json clients{{"data", {0, 0, 1, 7, 0, 0, 4, 5, 8, 0, 0, 7, 1, 7, 1, 1, 0, 5, 9, 0}}, {"resultId", "1"}};
  CHECK(s.asked("textDocument/semanticTokens/full", servers) == clients);
  const json help{
      {"signatures",
       json::array({{{"label", "f(\u00e4, b)"},
                     {"parameters", json::array({{{"label", {2, 4}}}, {{"label", {6, 7}}}, {{"label", "b"}}})}}})}};
  const auto told = s.asked("textDocument/signatureHelp", help)["signatures"][0]["parameters"];
  CHECK(told[0]["label"] == json{2, 3});
  CHECK(told[1]["label"] == json{5, 6});
  CHECK(told[2]["label"] == "b");
  json again = help;
  again["signatures"][0]["parameters"] = told;
  CHECK(s.ask("textDocument/signatureHelp",
              {{"textDocument", {{"uri", kUri}}},
               {"position", at(0, 0)},
               {"context", {{"activeSignatureHelp", again}}}})["context"]["activeSignatureHelp"] == help);
}

TEST_CASE("positions: differences of semantic tokens are not offered") {
  Server s;
  const json provider{{"full", {{"delta", true}}}, {"range", true}, {"legend", json::object()}};
  const json welcome{{"id", 1},
                     {"result",
                      {{"capabilities", {{"semanticTokensProvider", provider}, {"positionEncoding", "utf-8"}}},
                       {"offsetEncoding", "utf-8"}}}};
  const auto told = json::parse(s.positions.welcome(welcome.dump()))["result"];
  CHECK(told["capabilities"]["semanticTokensProvider"]["full"] == true);
  CHECK(told["capabilities"]["positionEncoding"] == "utf-16");
  CHECK_FALSE(told.contains("offsetEncoding"));
  const json registration{{"id", "1"}, {"method", "textDocument/semanticTokens"}, {"registerOptions", provider}};
  CHECK(s.to_client({{"jsonrpc", "2.0"},
                     {"id", 7},
                     {"method", "client/registerCapability"},
                     {"params", {{"registrations", json::array({registration})}}}})["params"]["registrations"][0]
                                                                                   ["registerOptions"]["full"] == true);
}

TEST_CASE("positions: an item that names no document is resolved in the one that it came from") {
  Server s;
  const json edit{{"newText", "x"}, {"insert", kServers}, {"replace", kServers}};
  const auto items = s.asked("textDocument/completion",
                             json::array({{{"label", "x"}, {"textEdit", edit}, {"data", 7}}, {{"label", "y"}}}));
  CHECK(items[0]["textEdit"]["insert"] == kClients);
  const auto first = s.ask("completionItem/resolve", items[0]);
  CHECK(first == json{{"label", "x"}, {"textEdit", edit}, {"data", 7}});
  const auto resolved = s.answer(first);
  CHECK(resolved == items[0]);
  CHECK(s.ask("completionItem/resolve", items[1]) == json{{"label", "y"}});
  CHECK(s.answer({{"label", "y"},
                  {"additionalTextEdits", json::array({{{"range", kServers}}})}})["additionalTextEdits"][0]["range"] ==
        kClients);
  const auto list = s.asked("textDocument/completion",
                            {{"items", json::array({{{"label", "x"}}, {{"label", "y"}, {"data", {{"own", 1}}}}})},
                             {"itemDefaults", {{"editRange", kServers}, {"data", 8}}}});
  CHECK(list["itemDefaults"]["editRange"] == kClients);
  CHECK_FALSE(list["items"][0].contains("data"));
  auto item = list["items"][0];
  item["data"] = list["itemDefaults"]["data"];  // as clients do
  CHECK(s.ask("completionItem/resolve", item)["data"] == 8);
  CHECK(s.ask("completionItem/resolve", list["items"][1])["data"] == json{{"own", 1}});
  const auto lens = s.asked("textDocument/codeLens", json::array({{{"range", kServers}}}))[0];
  CHECK(lens["range"] == kClients);
  CHECK(s.ask("codeLens/resolve", lens) == json{{"range", kServers}});
  const json command{{"title", "t"}, {"command", "c"}, {"arguments", json::array({kServers})}};
  CHECK(s.asked("textDocument/codeAction", json::array({command}))[0] == command);
}

TEST_CASE("positions: incremental changes are counted in the text that those before them have left") {
  Server s;
  const auto change = [&](const json& changes) {
    return s.to_server({{"jsonrpc", "2.0"},
                        {"method", "textDocument/didChange"},
                        {"params",
                         {{"textDocument", {{"uri", kUri}, {"version", 2}}},
                          {"contentChanges", changes}}}})["params"]["contentChanges"];
  };
  const auto sent = change(json::array({{{"range", range(0, 0, 1)}, {"text", "\u00e4"}},
                                        {{"range", range(0, 9, 10)}, {"rangeLength", 1}, {"text", ","}}}));
  CHECK(sent[0]["range"] == range(0, 0, 1));
  CHECK(sent[1]["range"] == range(0, 13, 14));
  CHECK_FALSE(sent[1].contains("rangeLength"));
  CHECK(s.asked("textDocument/hover", {{"range", range(0, 15, 16)}})["range"] == range(0, 11, 12));
  CHECK(change(json::array({{{"text", "\u00e4b"}}}))[0] == json{{"text", "\u00e4b"}});
  CHECK(s.asked("textDocument/hover", {{"range", range(0, 2, 3)}})["range"] == range(0, 1, 2));
}

TEST_CASE("positions: parts of an answer, and edits that the server asks for, are counted anew") {
  Server s;
  (void)s.ask("textDocument/references", {{"textDocument", {{"uri", kUri}}}, {"partialResultToken", "t"}});
  CHECK(s.told("$/progress",
               {{"token", "t"},
                {"value", json::array({{{"uri", kOther}, {"range", range(0, 4, 5)}}})}})["value"][0]["range"] ==
        range(0, 2, 3));
  (void)s.ask("textDocument/semanticTokens/full", {{"textDocument", {{"uri", kUri}}}, {"partialResultToken", 5}});
  CHECK(s.told("$/progress", {{"token", 5}, {"value", {{"data", {0, 4, 8, 0, 0}}}}})["value"]["data"] ==
        json{0, 4, 5, 0, 0});
  CHECK(
      s.told("workspace/applyEdit",
             {{"edit",
               {{"changes", {{kUri, json::array({{{"range", kServers}}})}}}}}})["edit"]["changes"][kUri][0]["range"] ==
      kClients);
  CHECK(s.told("window/showDocument", {{"uri", kUri}, {"selection", kServers}})["selection"] == kClients);
}

TEST_CASE("positions: beyond the bounds of files and of open requests they are passed on as the server counts") {
  std::size_t read = 0;
  PositionTranslation positions(Encoding::utf8, [&](const std::string&) {
    ++read;
    return std::optional<std::string>("\u00e4\u00e4x\n");
  });
  const auto ask = [&](int id) {
    (void)positions.to_server(json{{"jsonrpc", "2.0"},
                                   {"id", id},
                                   {"method", "textDocument/references"},
                                   {"params", {{"textDocument", {{"uri", kUri}}}}}}
                                  .dump());
  };
  const auto answer = [&](int id, const json& result) {
    return json::parse(positions.to_client(json{{"jsonrpc", "2.0"}, {"id", id}, {"result", result}}.dump()))["result"];
  };
  json places = json::array();
  for (std::size_t i = 0; i <= PositionTranslation::kMaxFiles; ++i)
    places.push_back({{"uri", "file:///p/" + std::to_string(i)}, {"range", range(0, 4, 5)}});
  ask(1);
  const auto told = answer(1, places);
  CHECK(read == PositionTranslation::kMaxFiles);
  CHECK(told[0]["range"] == range(0, 2, 3));
  CHECK(told[PositionTranslation::kMaxFiles]["range"] == range(0, 4, 5));
  const int most = static_cast<int>(PositionTranslation::kMaxRequests);
  for (int id = 2; id <= most + 2; ++id) ask(id);
  CHECK(answer(2, json::array({places[0]}))[0]["range"] == range(0, 4, 5));  // the oldest is forgotten
  CHECK(answer(3, json::array({places[0]}))[0]["range"] == range(0, 2, 3));
}

TEST_CASE("positions: no more files are read for a message once 64 MiB are") {
  std::size_t read = 0;
  PositionTranslation positions(Encoding::utf8, [&](const std::string&) {
    ++read;
    return std::optional<std::string>(std::string(PositionTranslation::kMaxFileBytes / 2 + 1, 'x'));
  });
  json diagnostics = json::array();
  for (int i = 0; i < 4; ++i)
    diagnostics.push_back({{"location", {{"uri", "file:///p/" + std::to_string(i)}, {"range", range(0, 4, 5)}}}});
  (void)positions.to_client(
      json{{"jsonrpc", "2.0"}, {"method", "test/told"}, {"params", {{"all", diagnostics}}}}.dump());
  CHECK(read == 2);
}

TEST_CASE("positions: after a change that makes no sense no position is counted in another text") {
  Server s;
  const auto sent = s.to_server(
      {{"jsonrpc", "2.0"},
       {"method", "textDocument/didChange"},
       {"params",
        {{"textDocument", {{"uri", kUri}, {"version", 2}}},
         {"contentChanges", json::array({{{"range", {{"start", at(1, 3)}, {"end", at(0, 1)}}}, {"text", "x"}}})}}}});
  CHECK(sent["params"]["textDocument"]["version"] == 2);
  CHECK(s.asked("textDocument/hover", {{"range", kServers}})["range"] == kServers);
}

TEST_CASE("positions: a client understands UTF-16 and what it offers, also as clangd has it") {
  using gantry::lsp::encodings_offered;
  CHECK(encodings_offered(json::object()) == std::set{Encoding::utf16});
  CHECK(encodings_offered({{"capabilities", {{"general", {{"positionEncodings", {"utf-32", "utf-7", 8}}}}}}}) ==
        std::set{Encoding::utf16, Encoding::utf32});
  CHECK(encodings_offered({{"capabilities", {{"offsetEncoding", {"utf-8"}}}}}) ==
        std::set{Encoding::utf8, Encoding::utf16});
}

TEST_CASE("positions: the next instance of the plugin knows the texts and the requests of before") {
  Server s;
  (void)s.ask("textDocument/hover", {{"textDocument", {{"uri", kUri}}}});
  PositionTranslation next(s.positions.suspend(), {});
  CHECK(json::parse(next.to_client(
            json{{"jsonrpc", "2.0"}, {"id", s.last}, {"result", {{"range", kServers}}}}.dump()))["result"]["range"] ==
        kClients);
}

TEST_CASE("positions: editors and callers of a clangd that counts in UTF-8 see what they see of another") {
  if (!gantry::lsp::find_on_path("clangd-19")) FAIL("clangd-19 is not installed; ./dev installs it");
  const TempDir dir;
  dir.write("compile_flags.txt", "-std=c++20\n");
  const std::string header = "/* \u00e4\u00f6\u00fc */ int count(int n);\n";
  const std::string text =
      "#include \"count.hpp\"\n"
      "/* \U0001F600 */ int two() { return count(1) + /* \u00e4 */ count(2); }\n"
      "int three() { const char* \u00e4rger = \"\u00e4\"; return \u00e4rger[0] + two() + unknown; }\n";
  dir.write("count.hpp", header);
  const auto file = dir.write("a.cpp", text);
  const std::string uri = "file://" + file;
  const auto answers = [&](const std::string& encoding) {
    const json server{{"command", {"clangd-19", "--background-index=false", "--offset-encoding=" + encoding}}};
    TestHost host(kPlugin, config_of({{"clangd", server}}, dir, {{"lsp_request_timeout_seconds", 60}}), Time::real);
    json out;
    EditorClient editor(host, {{"server", "clangd"}}), second(host, {{"server", "clangd"}}, 100'000, 2);
    const auto welcome = editor.initialize(dir.path());
    out["encoding"] = welcome["result"]["capabilities"].value("positionEncoding", "utf-16");
    second.initialize(dir.path());
    // What is unsaved of the editor's is another line; of the second's nothing.
    editor.open(uri, text, "cpp");
    const json inserted{{"range", range(1, 8, 8)}, {"text", "/* \u00f6 */ "}};
    editor.notify("textDocument/didChange",
                  {{"textDocument", {{"uri", uri}, {"version", 2}}}, {"contentChanges", json::array({inserted})}});
    second.open(uri, text, "cpp");
    const auto ask = [&](EditorClient& who, const std::string& method, int line, int character, json more = {}) {
      more["textDocument"] = {{"uri", uri}};
      more["position"] = at(line, character);
      return who.ask(method, more)["result"];
    };
    // Of `count(2)`: behind an emoji and an umlaut, and with the editor's change behind 8 more.
    for (auto& [who, behind] : {std::pair<EditorClient*, int>{&editor, 8}, {&second, 0}}) {
      json own;
      own["diagnostics"] = who->said("textDocument/publishDiagnostics")["params"]["diagnostics"];
      own["hover"] = ask(*who, "textDocument/hover", 1, 50 + behind);
      own["definition"] = ask(*who, "textDocument/definition", 1, 50 + behind);
      own["references"] =
          ask(*who, "textDocument/references", 1, 50 + behind, {{"context", {{"includeDeclaration", false}}}});
      own["rename"] = ask(*who, "textDocument/rename", 2, 26, {{"newName", "anger"}});
      own["tokens"] = ask(*who, "textDocument/semanticTokens/full", 0, 0)["data"];
      own["highlights"] = ask(*who, "textDocument/documentHighlight", 2, 26);
      own["symbols"] = ask(*who, "textDocument/documentSymbol", 0, 0);
      own["help"] = ask(*who, "textDocument/signatureHelp", 1, 56 + behind);
      out["editors"].push_back(own);
    }
    out["called"] = value_of(host.call("lsp.hover", {{"path", file}, {"line", 2}, {"column", 47}}));
    out["found"] = value_of(host.call("lsp.references", {{"path", file}, {"line", 2}, {"column", 47}}));
    for (auto* const who : {&editor, &second}) {
      REQUIRE(who->ask("shutdown").contains("result"));
      who->notify("exit");
      REQUIRE(who->stream().result());
    }
    host.stop();
    return out;
  };
  const auto wanted = answers("utf-16");
  REQUIRE(wanted["editors"][1]["references"].size() == 2);
  REQUIRE_FALSE(wanted["editors"][0]["rename"].is_null());
  const auto got = answers(GENERATE("utf-8", "utf-32"));
  CHECK(got["encoding"] == "utf-16");
  for (const auto& [name, value] : wanted["editors"][0].items()) {
    INFO(name);
    CHECK(got["editors"][0][name] == value);
    CHECK(got["editors"][1][name] == wanted["editors"][1][name]);
  }
  CHECK(got["called"] == wanted["called"]);
  CHECK(got["found"] == wanted["found"]);
}

TEST_CASE("positions: a server that counts in UTF-8 is still understood when it has crashed") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--utf8", "--diagnose"})}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  REQUIRE(editor.initialize(dir.path())["result"]["capabilities"]["positionEncoding"] == "utf-16");
  editor.open(kUri, "\u00e4 bad\n");
  const auto published = [&] {
    return editor.said("textDocument/publishDiagnostics")["params"]["diagnostics"].at(0)["range"];
  };
  REQUIRE(published() == range(0, 2, 5));
  (void)editor.ask("test/crash");
  REQUIRE(editor.said("textDocument/publishDiagnostics")["params"]["diagnostics"].empty());  // of the dead server
  (void)editor.ask("test/echo");
  REQUIRE(published() == range(0, 2, 5));
  host.stop();
}
