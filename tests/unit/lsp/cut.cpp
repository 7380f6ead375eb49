// SPDX-License-Identifier: Apache-2.0
//
// What a shared server says, for a client that understands less: all but edits and completions.
#include "plugins/lsp/capabilities/cut.hpp"

#include <catch2/catch.hpp>
#include <random>

#include "plugins/lsp/capabilities/member_at.hpp"
#include "tests/unit/lsp/understood.hpp"

using namespace gantry;
using namespace gantry::lsp;
using lsp_test::all, lsp_test::without;

namespace {

[[nodiscard]] json list_of(const json& one) { return json::array({one}); }
[[nodiscard]] json cut_all(const std::string& method, const json& said, const Understood& understood) {
  return *cut(method, said, understood, "file:///a");
}
const json kRange{{"start", {{"line", 1}, {"character", 2}}}, {"end", {{"line", 1}, {"character", 5}}}};
const json kOther{{"start", {{"line", 0}, {"character", 0}}}, {"end", {{"line", 9}, {"character", 0}}}};

}  // namespace

TEST_CASE("lsp cut: a link to a place is the place's location for a client without linkSupport") {
  const std::string name = GENERATE("definition", "declaration", "typeDefinition", "implementation");
  const auto method = "textDocument/" + name;
  const json link{{"originSelectionRange", kOther},
                  {"targetUri", "file:///b"},
                  {"targetRange", kOther},
                  {"targetSelectionRange", kRange}};
  const json location{{"uri", "file:///b"}, {"range", kRange}};
  const auto poor = without("/textDocument/" + name + "/linkSupport");
  REQUIRE(cut_all(method, json::array({link, link}), poor) == json::array({location, location}));
  REQUIRE(cut_all(method, list_of(location), poor) == json::array({location}));
  REQUIRE(cut_all(method, location, poor) == location);
  REQUIRE(cut_all(method, nullptr, poor) == nullptr);
  REQUIRE(poor.cuts(method));
  REQUIRE_FALSE(all().cuts(method));
  REQUIRE(cut_all(method, list_of(link), all()) == json::array({link}));
}

TEST_CASE("lsp cut: a tree of symbols is a list with containers for a client that knows no tree") {
  const auto symbol = [](const char* name, int kind, const json& children) {
    return json{{"name", name},        {"kind", kind}, {"detail", "d"}, {"range", kOther}, {"selectionRange", kRange},
                {"children", children}};
  };
  const json tree{symbol("n", 3, list_of(symbol("c", 5, list_of(symbol("f", 6, json::array()))))),
                  symbol("g", 12, json::array())};
  const auto flat = [](const char* name, int kind, const char* container) {
    json out{{"name", name}, {"kind", kind}, {"location", {{"uri", "file:///a"}, {"range", kOther}}}};
    if (*container != 0) out["containerName"] = container;
    return out;
  };
  const auto poor = without("/textDocument/documentSymbol/hierarchicalDocumentSymbolSupport", false);
  REQUIRE(cut_all("textDocument/documentSymbol", tree, poor) ==
          json{flat("n", 3, ""), flat("c", 5, "n"), flat("f", 6, "c"), flat("g", 12, "")});
  const json list = list_of(flat("n", 3, ""));
  REQUIRE(cut_all("textDocument/documentSymbol", list, poor) == list);
  REQUIRE(cut_all("textDocument/documentSymbol", tree, all()) == tree);
}

TEST_CASE("lsp cut: kinds and tags of symbols are those that the client knows") {
  const auto poor = without("/textDocument/documentSymbol", {{"hierarchicalDocumentSymbolSupport", true}});
  const json child{{"name", "e"}, {"kind", 22}, {"range", kOther}, {"selectionRange", kRange}, {"tags", {1}}};
  json parent = child;
  parent["kind"] = 23;
  parent["children"] = list_of(child);
  const json got = cut_all("textDocument/documentSymbol", list_of(parent), poor)[0];
  REQUIRE(got["kind"] == 5);
  REQUIRE(got["children"][0]["kind"] == 10);
  REQUIRE_FALSE(got.contains("tags"));
  REQUIRE_FALSE(got["children"][0].contains("tags"));
  const json found{{"name", "x"}, {"kind", 26}, {"tags", {1}}, {"location", {{"uri", "u"}}}};
  REQUIRE(cut_all("workspace/symbol", list_of(found), without("/workspace/symbol")) ==
          json{{{"name", "x"}, {"kind", 5}, {"location", {{"uri", "u"}}}}});
  REQUIRE(cut_all("workspace/symbol", list_of(found), all()) == json::array({found}));
}

TEST_CASE("lsp cut: a hover in Markdown is plain text for a client that shows no Markdown") {
  const json hover{{"contents", {{"kind", "markdown"}, {"value", "### f\n`int`"}}}, {"range", kRange}};
  const json plain{{"contents", {{"kind", "plaintext"}, {"value", "f\nint"}}}, {"range", kRange}};
  REQUIRE(cut_all("textDocument/hover", hover, without("/textDocument/hover/contentFormat", {"plaintext"})) == plain);
  REQUIRE(cut_all("textDocument/hover", hover, without("/textDocument/hover")) == plain);
  REQUIRE(cut_all("textDocument/hover", hover, all()) == hover);
  // Marked strings are older than the capability.
  const json old{{"contents", {{{"language", "cpp"}, {"value", "int *x"}}, "*y*"}}};
  REQUIRE(cut_all("textDocument/hover", old, without("/textDocument/hover")) == old);
}

TEST_CASE("lsp cut: signatures have the labels, documentation and active parameter that the client knows") {
  const json help{
      {"signatures",
       {{{"label", "f(int a, 𝄞 b)"},
         {"documentation", {{"kind", "markdown"}, {"value", "*d*"}}},
         {"activeParameter", 1},
         {"parameters",
          {{{"label", {2, 7}}, {"documentation", {{"kind", "markdown"}, {"value", "`p`"}}}}, {{"label", {9, 13}}}}}}}},
      {"activeSignature", 0}};
  const std::string at = "/textDocument/signatureHelp/signatureInformation";
  json got = cut_all("textDocument/signatureHelp", help, without(at + "/parameterInformation"));
  REQUIRE(got["signatures"][0]["parameters"][0]["label"] == "int a");
  REQUIRE(got["signatures"][0]["parameters"][1]["label"] == "𝄞 b");
  got = cut_all("textDocument/signatureHelp", help, without(at + "/documentationFormat"));
  REQUIRE(got["signatures"][0]["documentation"] == json{{"kind", "plaintext"}, {"value", "d"}});
  REQUIRE(got["signatures"][0]["parameters"][0]["documentation"]["value"] == "p");
  got = cut_all("textDocument/signatureHelp", help, without(at + "/activeParameterSupport"));
  REQUIRE(got["activeParameter"] == 1);
  REQUIRE_FALSE(got["signatures"][0].contains("activeParameter"));
  json none = help;
  none["signatures"][0]["activeParameter"] = none["activeParameter"] = nullptr;
  got = cut_all("textDocument/signatureHelp", none, without(at + "/noActiveParameterSupport"));
  REQUIRE_FALSE(got.contains("activeParameter"));
  REQUIRE_FALSE(got["signatures"][0].contains("activeParameter"));
  REQUIRE(cut_all("textDocument/signatureHelp", none, all()) == none);
}

TEST_CASE("lsp cut: folds, links and pulled diagnostics have what the client knows") {
  const json fold{{"startLine", 1}, {"endLine", 2}, {"kind", "special"}, {"collapsedText", "..."}};
  REQUIRE(cut_all("textDocument/foldingRange", list_of(fold), without("/textDocument/foldingRange")) ==
          json{{{"startLine", 1}, {"endLine", 2}}});
  json comment = fold;
  comment["kind"] = "comment";
  REQUIRE(cut_all("textDocument/foldingRange", list_of(comment), without("/textDocument/foldingRange"))[0]["kind"] ==
          "comment");
  REQUIRE(cut_all("textDocument/foldingRange", list_of(fold), all()) == json::array({fold}));
  const json link{{"range", kRange}, {"target", "u"}, {"tooltip", "t"}};
  REQUIRE(cut_all("textDocument/documentLink", list_of(link), without("/textDocument/documentLink")) ==
          json{{{"range", kRange}, {"target", "u"}}});
  const json problem{{"message", {{"kind", "markdown"}, {"value", "**m**"}}}, {"data", 1}};
  const json report{
      {"kind", "full"}, {"items", list_of(problem)}, {"relatedDocuments", {{"u", {{"items", list_of(problem)}}}}}};
  const json poor = cut_all("textDocument/diagnostic", report, without("/textDocument/diagnostic", {{"x", 1}}));
  // Who says nothing of `data` here, and has it for published ones, is an editor of before LSP 3.18.
  REQUIRE(poor == json{{"kind", "full"}, {"items", {{{"message", "m"}, {"data", 1}}}}});
  const json some =
      cut_all("textDocument/diagnostic", report, without("/textDocument/diagnostic/markupMessageSupport"));
  REQUIRE(some["relatedDocuments"]["u"]["items"][0] == json{{"message", "m"}, {"data", 1}});
  const json workspace{{"items", {{{"uri", "u"}, {"kind", "full"}, {"items", list_of(problem)}}}}};
  REQUIRE(cut_all("workspace/diagnostic", workspace, without("/textDocument/diagnostic"))["items"][0]["items"][0] ==
          json{{"message", "m"}, {"data", 1}});
}

TEST_CASE("lsp cut: the server's capabilities have options only for who knows them") {
  const json welcome{{"capabilities",
                      {{"codeActionProvider", {{"codeActionKinds", {"quickfix"}}, {"documentation", json::array()}}},
                       {"renameProvider", {{"prepareProvider", true}}},
                       {"documentSymbolProvider", {{"label", "x"}}},
                       {"hoverProvider", true}}}};
  const auto capabilities = [&](const Understood& of) { return cut_all("initialize", welcome, of)["capabilities"]; };
  REQUIRE(capabilities(without("/textDocument/codeAction/codeActionLiteralSupport"))["codeActionProvider"] == true);
  REQUIRE(capabilities(without("/textDocument/codeAction/documentationSupport"))["codeActionProvider"] ==
          json{{"codeActionKinds", {"quickfix"}}});
  REQUIRE(capabilities(without("/textDocument/rename/prepareSupport"))["renameProvider"] == true);
  REQUIRE(capabilities(without("/textDocument/documentSymbol/labelSupport"))["documentSymbolProvider"] ==
          json::object());
  REQUIRE(cut_all("initialize", welcome, all()) == welcome);
}

TEST_CASE("lsp cut: registrations reach who takes them, with patterns that the client knows") {
  const json watched{
      {"id", "w"},
      {"method", "workspace/didChangeWatchedFiles"},
      {"registerOptions",
       {{"watchers",
         {{{"globPattern", {{"baseUri", "file:///root"}, {"pattern", "**/*.x"}}}}, {{"globPattern", "**/*.y"}}}}}}};
  const json formatting{{"id", "f"}, {"method", "textDocument/formatting"}};
  const json own{{"id", "o"}, {"method", "$/own"}};
  const json params{{"registrations", json::array({watched, formatting, own})}};
  const auto ids = [](const json& list) {
    json out = json::array();
    for (const auto& each : list) out.push_back(each["id"]);
    return out;
  };
  REQUIRE(cut_all("client/registerCapability", params, all()) == params);
  const auto no_format = without("/textDocument/formatting/dynamicRegistration", false);
  REQUIRE(ids(cut_all("client/registerCapability", params, no_format)["registrations"]) == json{"w", "o"});
  REQUIRE(ids(cut_all("client/unregisterCapability", {{"unregisterations", json::array({watched, formatting})}},
                      no_format)["unregisterations"]) == json{"w"});
  REQUIRE(ids(cut_all("client/registerCapability", params, Understood(json::object()))["registrations"]) == json{"o"});
  const json plain =
      cut_all("client/registerCapability", params, without("/workspace/didChangeWatchedFiles/relativePatternSupport"));
  REQUIRE(member_at(plain["registrations"][0], "registerOptions.watchers") ==
          json{{{"globPattern", "/root/**/*.x"}}, {{"globPattern", "**/*.y"}}});
}

TEST_CASE("lsp cut: what was registered is announced to a client that takes no registrations") {
  json welcome{{"capabilities", {{"hoverProvider", false}}}};
  const json registration{{"id", "f"}, {"method", "textDocument/formatting"}, {"registerOptions", {{"x", 1}}}};
  announce(welcome, registration, all());
  REQUIRE(welcome == json{{"capabilities", {{"hoverProvider", false}}}});
  const Understood poor(json::object());
  announce(welcome, registration, poor);
  REQUIRE(welcome["capabilities"]["documentFormattingProvider"] == json{{"x", 1}});
  announce(welcome, {{"id", "h"}, {"method", "textDocument/hover"}}, poor);
  REQUIRE(welcome["capabilities"]["hoverProvider"] == false);
  announce(welcome, {{"id", "c"}, {"method", "textDocument/codeLens"}}, poor);
  REQUIRE(welcome["capabilities"]["codeLensProvider"] == true);
  announce(welcome, {{"id", "w"}, {"method", "workspace/didChangeWatchedFiles"}}, poor);
  REQUIRE(welcome["capabilities"].size() == 3);
}

TEST_CASE("lsp cut: semantic tokens are not among what is cut for anyone") {
  const Understood poor(json::object());
  for (const auto* const method :
       {"textDocument/semanticTokens/full", "textDocument/semanticTokens/full/delta",
        "textDocument/semanticTokens/range", "textDocument/references", "textDocument/formatting"})
    REQUIRE_FALSE(poor.cuts(method));
}

TEST_CASE("lsp cut: nonsense of the server passes or is left out, and nothing fails") {
  const unsigned seed = 4711;
  std::mt19937 random(seed);
  const std::vector<std::string> words{"items",
                                       "itemDefaults",
                                       "textEdit",
                                       "newText",
                                       "insert",
                                       "replace",
                                       "range",
                                       "label",
                                       "kind",
                                       "tags",
                                       "documentation",
                                       "value",
                                       "markdown",
                                       "contents",
                                       "signatures",
                                       "parameters",
                                       "activeParameter",
                                       "changes",
                                       "documentChanges",
                                       "edits",
                                       "textDocument",
                                       "uri",
                                       "snippet",
                                       "annotationId",
                                       "edit",
                                       "command",
                                       "title",
                                       "disabled",
                                       "diagnostics",
                                       "message",
                                       "relatedDocuments",
                                       "registrations",
                                       "unregisterations",
                                       "method",
                                       "workspace/didChangeWatchedFiles",
                                       "registerOptions",
                                       "watchers",
                                       "globPattern",
                                       "baseUri",
                                       "pattern",
                                       "children",
                                       "selectionRange",
                                       "targetUri",
                                       "targetRange",
                                       "capabilities",
                                       "codeActionProvider",
                                       "labelDetails",
                                       "detail",
                                       "applyKind",
                                       "commitCharacters",
                                       "data",
                                       "editRange",
                                       "insertTextFormat",
                                       "create",
                                       "name"};
  const std::function<json(int)> any = [&](int depth) -> json {
    switch (random() % (depth > 4 ? 5 : 9)) {
      case 0:
        return nullptr;
      case 1:
        return static_cast<int>(random() % 60) - 20;
      case 2:
        return words[random() % words.size()];
      case 3:
        return true;
      case 4:
        return json::array();
      case 5:
        return json::array({any(depth + 1), any(depth + 1)});
      default: {
        json out = json::object();
        for (int i = 0; i < 5; ++i) out[words[random() % words.size()]] = any(depth + 1);
        return out;
      }
    }
  };
  const Understood poor(json::object());
  const json everything = lsp_test::all_capabilities();
  for (int i = 0; i < 300; ++i) {
    for (const auto* const method :
         {"textDocument/definition", "textDocument/documentSymbol", "workspace/symbol", "textDocument/completion",
          "completionItem/resolve", "textDocument/hover", "textDocument/signatureHelp", "textDocument/codeAction",
          "codeAction/resolve", "textDocument/rename", "workspace/applyEdit", "textDocument/publishDiagnostics",
          "textDocument/diagnostic", "workspace/diagnostic", "textDocument/foldingRange", "textDocument/documentLink",
          "initialize", "client/registerCapability", "client/unregisterCapability"}) {
      CAPTURE(method, i);
      REQUIRE_NOTHROW((void)cut(method, any(0), poor, "u"));
    }
    REQUIRE_NOTHROW(Understood(any(0)));
    REQUIRE_NOTHROW((void)lacking_in(any(0)));
    REQUIRE_NOTHROW((void)features_used_by(any(0)));
    json welcome = any(0), context = any(0);
    REQUIRE_NOTHROW(announce(welcome, any(0), poor));
    REQUIRE_NOTHROW(restore_diagnostics(context, any(0), poor));
  }
}
