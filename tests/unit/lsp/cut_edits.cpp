// SPDX-License-Identifier: Apache-2.0
//
// Edits, code actions and diagnostics for clients that understand less.
#include <catch2/catch.hpp>

#include "plugins/lsp/capabilities/cut.hpp"
#include "tests/unit/lsp/understood.hpp"

using namespace gantry;
using namespace gantry::lsp;
using lsp_test::all, lsp_test::without;

namespace {

const json kEdit{{"range", {{"start", 1}, {"end", 2}}}, {"newText", "x"}};
[[nodiscard]] json of_document(const char* uri, const json& edits) {
  return {{"textDocument", {{"uri", uri}, {"version", 3}}}, {"edits", edits}};
}
const json kCreate{{"kind", "create"}, {"uri", "file:///new"}};

}  // namespace

TEST_CASE("lsp cut: changes of documents are changes by URI for a client without documentChanges") {
  const auto poor = without("/workspace/workspaceEdit/documentChanges");
  const json edit{{"documentChanges", json::array({of_document("file:///a", json::array({kEdit})),
                                                   of_document("file:///b", json::array({kEdit, kEdit}))})}};
  REQUIRE(*cut("textDocument/rename", edit, poor) ==
          json{{"changes", {{"file:///a", json::array({kEdit})}, {"file:///b", json::array({kEdit, kEdit})}}}});
  REQUIRE(*cut("textDocument/rename", edit, all()) == edit);
  const json plain{{"changes", {{"file:///a", json::array({kEdit})}}}};
  REQUIRE(*cut("textDocument/rename", plain, poor) == plain);
  const json twice{{"documentChanges", json::array({of_document("file:///a", json::array({kEdit})),
                                                    of_document("file:///a", json::array({kEdit}))})}};
  REQUIRE(cut("textDocument/rename", twice, poor).error().message.find("build on each other") != std::string::npos);
}

TEST_CASE("lsp cut: an edit with operations on files that a client does not know is refused as a whole") {
  const std::string kind = GENERATE("create", "rename", "delete");
  json operation = kCreate;
  operation["kind"] = kind;
  const json edit{{"documentChanges", {of_document("file:///a", json::array({kEdit})), operation}}};
  json others = json::array();
  for (const char* const each : {"create", "rename", "delete"}) {
    if (each != kind) others.push_back(each);
  }
  const auto poor = without("/workspace/workspaceEdit/resourceOperations", others);
  const auto refused = cut("textDocument/rename", edit, poor);
  REQUIRE(refused.error().message.find("the operation \"" + kind + "\"") != std::string::npos);
  REQUIRE_FALSE(cut("workspace/applyEdit", {{"edit", edit}}, poor));
  REQUIRE_FALSE(cut("workspace/willRenameFiles", edit, poor));
  REQUIRE(*cut("workspace/applyEdit", {{"edit", edit}}, all()) == json{{"edit", edit}});
}

TEST_CASE("lsp cut: annotations and snippets of an edit are left out, and its text stays") {
  const json annotated{{"range", kEdit["range"]}, {"newText", "x"}, {"annotationId", "1"}};
  const json snippet{{"range", kEdit["range"]}, {"snippet", {{"kind", "snippet"}, {"value", "${1:x}"}}}};
  const json edit{{"changeAnnotations", {{"1", {{"label", "l"}}}}},
                  {"documentChanges", json::array({of_document("file:///a", json::array({annotated, snippet}))})}};
  const json got = *cut("textDocument/rename", edit, without("/workspace/workspaceEdit/changeAnnotationSupport"));
  REQUIRE(got == json{{"documentChanges", json::array({of_document("file:///a", json::array({kEdit, snippet}))})}});
  REQUIRE_FALSE(cut("textDocument/rename", edit, without("/textDocument/rename/honorsChangeAnnotations"))
                    ->contains("changeAnnotations"));
  const json plain = *cut("textDocument/rename", edit, without("/workspace/workspaceEdit/snippetEditSupport"));
  REQUIRE(plain["documentChanges"][0]["edits"] == json::array({annotated, kEdit}));
}

TEST_CASE("lsp cut: code actions are commands for a client without literals, and those that are more are left out") {
  const json command{{"title", "c"}, {"command", "do"}, {"arguments", {1}}};
  const json literal{{"title", "l"}, {"kind", "refactor"}, {"command", {{"title", "x"}, {"command", "run"}}}};
  const json edits{{"title", "e"}, {"edit", {{"changes", json::object()}}}};
  json both = literal;
  both["edit"] = edits["edit"];
  const json actions{command, literal, edits, both};
  REQUIRE(*cut("textDocument/codeAction", actions, without("/textDocument/codeAction/codeActionLiteralSupport")) ==
          json{command, {{"title", "l"}, {"command", "run"}}});
  REQUIRE(*cut("textDocument/codeAction", actions, all()) == actions);
}

TEST_CASE("lsp cut: code actions have what the client knows, and edits that the client can apply") {
  const json action{{"title", "a"}, {"isPreferred", true}, {"tags", {1}}, {"diagnostics", {{{"data", 1}}}}};
  const std::string at = "/textDocument/codeAction";
  const auto one = [](const json& whole, const Understood& of) {
    return *cut("textDocument/codeAction", json::array({whole}), of);
  };
  REQUIRE_FALSE(one(action, without(at + "/isPreferredSupport"))[0].contains("isPreferred"));
  REQUIRE_FALSE(one(action, without(at + "/tagSupport"))[0].contains("tags"));
  REQUIRE(one(action, without("/textDocument/publishDiagnostics"))[0]["diagnostics"] == json::array({json::object()}));
  json disabled = action;
  disabled["disabled"] = {{"reason", "r"}};
  REQUIRE(one(disabled, without(at + "/disabledSupport")).empty());
  REQUIRE(one(disabled, all()) == json::array({disabled}));
  json edits = action;
  edits["edit"] = {{"documentChanges", json::array({of_document("file:///a", json::array({kEdit}))})}};
  const auto poor = without("/workspace/workspaceEdit/documentChanges");
  REQUIRE(one(edits, poor)[0]["edit"] == json{{"changes", {{"file:///a", json::array({kEdit})}}}});
  edits["edit"]["documentChanges"].push_back(kCreate);
  REQUIRE(one(edits, poor).empty());
  REQUIRE_FALSE(cut("codeAction/resolve", edits, poor));
}

TEST_CASE("lsp cut: diagnostics have what the client knows") {
  const json problem{{"range", kEdit["range"]},
                     {"message", "m"},
                     {"relatedInformation", json::array()},
                     {"tags", {1}},
                     {"codeDescription", {{"href", "h"}}},
                     {"data", {{"fix", 1}}}};
  const json published{{"uri", "file:///a"}, {"version", 4}, {"diagnostics", {problem}}};
  REQUIRE(*cut("textDocument/publishDiagnostics", published, all()) == published);
  for (const auto& [capability, member] :
       std::vector<std::pair<std::string, std::string>>{{"relatedInformation", "relatedInformation"},
                                                        {"tagSupport", "tags"},
                                                        {"codeDescriptionSupport", "codeDescription"},
                                                        {"dataSupport", "data"}}) {
    json wanted = published;
    wanted["diagnostics"][0].erase(member);
    REQUIRE(*cut("textDocument/publishDiagnostics", published,
                 without("/textDocument/publishDiagnostics/" + capability)) == wanted);
  }
  REQUIRE_FALSE(
      cut("textDocument/publishDiagnostics", published, without("/textDocument/publishDiagnostics/versionSupport"))
          ->contains("version"));
}

TEST_CASE("lsp cut: a diagnostic that a client gives back is the server's again") {
  const json problem{{"range", kEdit["range"]}, {"message", "m"}, {"code", 7}, {"data", {{"fix", 1}}}};
  json other = problem;
  other["code"] = 8;
  other["data"] = 2;
  const Understood poor(json::object());
  json shown = problem;
  cut_diagnostic(shown, poor.published);
  shown["severity"] = 1;
  json context{{"diagnostics", {shown, {{"message", "the client's own"}}}}};
  restore_diagnostics(context, {other, problem}, poor);
  REQUIRE(context["diagnostics"] == json{problem, {{"message", "the client's own"}}});
}
