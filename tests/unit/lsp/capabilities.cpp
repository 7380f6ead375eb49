// SPDX-License-Identifier: Apache-2.0
//
// What a shared server is offered, who may share one, and what a client has declared.
#include <catch2/catch.hpp>

#include "plugins/lsp/capabilities/member_at.hpp"
#include "plugins/lsp/capabilities/superset.hpp"
#include "plugins/lsp/capabilities/understood.hpp"
#include "plugins/lsp/capabilities/used_features.hpp"
#include "tests/unit/lsp/support.hpp"

using namespace gantry;
using namespace gantry::lsp;

namespace {

const std::vector<std::string> kFolders{"/root"};
[[nodiscard]] json common(const json& capabilities, const json& more = json::object()) {
  json params{{"rootUri", "file:///root"}, {"capabilities", capabilities}};
  params.update(more);
  return common_part(params, kFolders);
}

}  // namespace

TEST_CASE("lsp capabilities: clients that differ in what can be cut down have all in common") {
  const json none = common(json::object());
  REQUIRE(common(lsp_test::all_capabilities()) == none);
  REQUIRE(common({{"textDocument", {{"hover", {{"contentFormat", {"plaintext"}}}}}}}) == none);
  REQUIRE(common({{"general", {{"positionEncodings", {"utf-16"}}, {"markdown", {{"parser", "x"}}}}}}) == none);
  REQUIRE(common({{"general", {{"positionEncodings", {"utf-8", "utf-16"}}}}}) == none);
  REQUIRE(common({{"offsetEncoding", {"utf-8"}}}) == none);
  REQUIRE(common({{"experimental", json::object()}}) == none);
  REQUIRE(common(json::object(), {{"processId", 7},
                                  {"clientInfo", {{"name", "x"}}},
                                  {"trace", "off"},
                                  {"workDoneToken", 1},
                                  {"locale", "en-GB"},
                                  {"initializationOptions", nullptr}}) == none);
  REQUIRE(common(json::object(), {{"initializationOptions", json::object()}}) == none);
  REQUIRE(common(json::object(), {{"workspaceFolders", {{{"uri", "file:///root"}, {"name", "mine"}}}}}) == none);
}

TEST_CASE("lsp capabilities: what cannot be cut down is what clients have to have in common") {
  const json none = common(json::object());
  for (const auto& different :
       std::vector<json>{{{"experimental", {{"x", nullptr}}}},
                         {{"textDocument", {{"publishDiagnostics", {{"categorySupport", true}}}}}},
                         {{"textDocument", {{"publishDiagnostics", {{"codeActionsInline", true}}}}}},
                         {{"textDocument", {{"completion", {{"editsNearCursor", true}}}}}},
                         {{"textDocument", {{"inactiveRegionsCapabilities", {{"inactiveRegions", true}}}}}},
                         {{"unknown", 1}}}) {
    CAPTURE(different.dump());
    REQUIRE(common(different)["capabilities"] == different);
    REQUIRE(common(different) != none);
  }
  REQUIRE(common(json::object(), {{"initializationOptions", {{"x", 1}}}}) != none);
  REQUIRE(common(json::object(), {{"locale", "de"}}) != none);
  REQUIRE(common(json::object(), {{"unknown", 1}}) != none);
  // A root that is no path of this machine, or none at all.
  REQUIRE(common_part({{"rootUri", "remote://x"}}, {}) != common_part({{"rootUri", nullptr}}, {}));
}

TEST_CASE("lsp capabilities: a server is offered the superset, whoever is first, and what clients have in common") {
  const auto offered = [](const json& capabilities, Features without = 0) {
    const json params{{"processId", 7},
                      {"rootUri", "file:///root"},
                      {"capabilities", capabilities},
                      {"trace", "messages"},
                      {"clientInfo", {{"name", "ed"}}}};
    return superset_params(params, common_part(params, kFolders), kFolders, without);
  };
  const json none = offered(json::object());
  REQUIRE(offered(lsp_test::all_capabilities()) == none);
  REQUIRE(none["processId"].is_null());
  REQUIRE(none["clientInfo"]["name"] == "gantry");
  REQUIRE(none["rootUri"] == "file:///root");
  REQUIRE(none["rootPath"] == "/root");
  REQUIRE(none["workspaceFolders"] == json{{{"uri", "file:///root"}, {"name", "root"}}});
  REQUIRE(none["initializationOptions"] == json::object());
  REQUIRE(none["trace"] == "messages");
  const json& capabilities = none["capabilities"];
  REQUIRE(is_true(capabilities, "textDocument.completion.completionItem.snippetSupport"));
  REQUIRE(is_true(capabilities, "workspace.didChangeWatchedFiles.dynamicRegistration"));
  REQUIRE(member_at(capabilities, "textDocument.formatting.dynamicRegistration") == false);
  REQUIRE(member_at(capabilities, "general.staleRequestSupport").is_null());
  REQUIRE_FALSE(capabilities.dump().find("null") != std::string::npos);
  const json experimental = offered({{"experimental", {{"a", {{"b", nullptr}}}}}})["capabilities"];
  REQUIRE(experimental["experimental"] == json{{"a", {{"b", nullptr}}}});
  json less = offered(json::object(),
                      feature::kPullDiagnostics | feature::kLazyActions | feature::kLazyCompletion)["capabilities"];
  REQUIRE(lacking_in(less) == 7);
  REQUIRE(lacking_in(capabilities) == 0);
}

TEST_CASE(
    "lsp capabilities: a feature is lacking where a client has not declared it, and used where a server says so") {
  const json all = lsp_test::all_capabilities();
  REQUIRE(lacking_in(all) == 0);
  REQUIRE(lacking_in(json::object()) == (feature::kLazyCompletion | feature::kLazyActions | feature::kPullDiagnostics));
  json some = all;
  some["textDocument"]["codeAction"].erase("dataSupport");
  REQUIRE(lacking_in(some) == feature::kLazyActions);
  REQUIRE(features_used_by({{"completionProvider", {{"resolveProvider", true}}}}) == feature::kLazyCompletion);
  REQUIRE(features_used_by({{"codeActionProvider", {{"resolveProvider", true}}}}) == feature::kLazyActions);
  REQUIRE(features_used_by({{"diagnosticProvider", json::object()}}) == feature::kPullDiagnostics);
  REQUIRE(features_used_by({{"completionProvider", {{"resolveProvider", false}}}, {"codeActionProvider", true}}) == 0);
  UsedFeatures known;
  known.note("a", feature::kLazyActions);
  known.note("a", feature::kPullDiagnostics);
  REQUIRE(known.of("a") == (feature::kLazyActions | feature::kPullDiagnostics));
  REQUIRE(known.of("b") == 0);
}

TEST_CASE("lsp capabilities: a client is asked what it has declared to answer, and registers what it has declared") {
  const Understood poor(json::object()), everything(lsp_test::all_capabilities()), undeclared;
  for (const auto* const method :
       {"window/workDoneProgress/create", "window/showDocument", "workspace/applyEdit", "workspace/configuration",
        "workspace/workspaceFolders", "workspace/semanticTokens/refresh", "workspace/codeLens/refresh",
        "workspace/inlayHint/refresh", "workspace/inlineValue/refresh", "workspace/diagnostic/refresh",
        "workspace/foldingRange/refresh", "workspace/textDocumentContent/refresh"}) {
    CAPTURE(method);
    REQUIRE_FALSE(poor.may_be_asked(method));
    REQUIRE(everything.may_be_asked(method));
    REQUIRE(undeclared.may_be_asked(method));
  }
  REQUIRE(poor.may_be_asked("window/showMessageRequest"));
  REQUIRE(poor.may_be_asked("$/own"));
  REQUIRE_FALSE(poor.registers("textDocument/didSave"));
  REQUIRE_FALSE(poor.registers("workspace/didChangeWorkspaceFolders"));
  REQUIRE_FALSE(poor.registers("textDocument/prepareCallHierarchy"));
  REQUIRE(everything.registers("textDocument/didSave"));
  REQUIRE(everything.registers("workspace/willRenameFiles"));
  REQUIRE(undeclared.registers("textDocument/hover"));
}
