// SPDX-License-Identifier: Apache-2.0
//
// Diagnostics that a server gives when it is asked.
#include "tests/unit/lsp/life.hpp"

using namespace lsp_test;

namespace {

struct Pulled {
  TempDir dir;
  std::string file;
  TestHost host;

  explicit Pulled(const std::string& text, std::vector<std::string> options = {"--pull"})
      : file(dir.write("a.fake", text)),
        host(kPlugin, config_of({{"fake", fake_server(dir, std::move(options))}}, dir)) {
    host.describe_origin(1, {{"workspace", dir.path()}});
  }
  ~Pulled() { host.stop(); }
  Pulled(const Pulled&) = delete;
  Pulled& operator=(const Pulled&) = delete;

  [[nodiscard]] auto begin() { return host.begin("lsp.diagnostics", {{"uri", file}, {"wait_ms", 60'000}}); }
  /// The answer, for which the time passes that the server asks for first.
  [[nodiscard]] json first() {
    auto asked = begin();
    host.wait("the question", [&] { return sent_to(dir, "textDocument/diagnostic").size() == 1; });
    host.wait("the second question", [&] {
      host.advance(std::chrono::milliseconds(100));
      return sent_to(dir, "textDocument/diagnostic").size() == 2;
    });
    return value_of(asked.result());
  }
  [[nodiscard]] json again() { return value_of(begin().result()); }
  void ask(const std::string& method, const json& params) {
    REQUIRE(host.call("lsp.request", request(file, method, params)));
  }
};

}  // namespace

TEST_CASE("pull: a server that publishes nothing is asked, again when it cannot say yet, and its answer is fresh") {
  Pulled t("bad\nbad");
  const json found = t.first();
  REQUIRE(found["freshness"] == "fresh");
  REQUIRE(found["diagnostics"].size() == 2);
  REQUIRE(found["version"] == 1);
  const auto asked = sent_to(t.dir, "textDocument/diagnostic");
  REQUIRE(asked[0]["params"] == json{{"textDocument", {{"uri", "file://" + t.file}}}, {"identifier", "fake"}});
  REQUIRE(t.again() == found);
  REQUIRE(sent_to(t.dir, "textDocument/diagnostic").size() == 2);  // of a text that it has said it for it is not asked
  t.dir.write("a.fake", "good");
  const json clean = t.again();
  REQUIRE(clean["freshness"] == "fresh");
  REQUIRE(clean["diagnostics"].empty());
}

TEST_CASE("pull: what the server publishes besides for the same text is added once") {
  Pulled t("bad", {"--pull", "--diagnose"});
  REQUIRE(t.first()["diagnostics"].size() == 1);
  const json start{{"line", 0}, {"character", 0}};
  const json other{{"range", {{"start", start}, {"end", start}}}, {"message", "of a build"}};
  t.ask("test/notify", {{"method", "textDocument/publishDiagnostics"},
                        {"params", {{"uri", "file://" + t.file}, {"version", 1}, {"diagnostics", {other}}}}});
  const json both = t.again();
  REQUIRE(both["freshness"] == "fresh");
  REQUIRE(both["diagnostics"].size() == 2);
  REQUIRE(both["diagnostics"][1] == other);
}

TEST_CASE("pull: a refresh makes the server be asked again") {
  Pulled t("bad");
  REQUIRE(t.first()["diagnostics"].size() == 1);
  t.ask("test/ask", {{"method", "workspace/diagnostic/refresh"}});
  REQUIRE(t.again()["diagnostics"].size() == 1);
  REQUIRE(sent_to(t.dir, "textDocument/diagnostic").size() == 3);
}

TEST_CASE("pull: of a server that does not know the request what it publishes counts") {
  Pulled t("bad", {"--diagnose", "--capabilities", R"({"diagnosticProvider":{"interFileDependencies":true}})"});
  const json found = t.again();
  REQUIRE(found["freshness"] == "fresh");
  REQUIRE(found["diagnostics"].size() == 1);
  REQUIRE(t.again() == found);
}

TEST_CASE("pull: an answer for a text that has changed meanwhile does not count") {
  TempDir side;
  const auto answers = side.write("answers.json", R"({"textDocument/diagnostic":{"test/hang":true}})");
  Pulled t("bad", {"--pull", "--answers", answers});
  auto waits = t.begin();
  t.host.wait("the question", [&] { return sent_to(t.dir, "textDocument/diagnostic").size() == 1; });
  t.dir.write("a.fake", "another");
  t.ask("textDocument/hover", json::object());
  side.write("answers.json", R"({"textDocument/diagnostic":{"kind":"full","items":[]}})");
  const json bad = json::array({{{"message", "of the old text"}}});
  t.ask("test/release", {{"result", {{"kind", "full"}, {"items", bad}}}});
  const json found = value_of(waits.result());
  REQUIRE(found["version"] == 2);
  REQUIRE(found["diagnostics"].empty());
}

TEST_CASE("pull: an error that asking again does not mend ends the wait, with what is known") {
  TempDir side;
  const auto answers = side.write("answers.json", R"({"textDocument/diagnostic":null})");
  Pulled t("bad", {"--pull", "--answers", answers});
  REQUIRE(t.again()["freshness"] == "timeout");
  side.write("answers.json", R"({"textDocument/diagnostic":{"kind":"full","items":[{"message":"x"}]}})");
  REQUIRE(t.again()["freshness"] == "fresh");
  side.write("answers.json", R"({"textDocument/diagnostic":null})");
  t.dir.write("a.fake", "another");
  const json stale = t.again();
  REQUIRE(stale["freshness"] == "stale");
  REQUIRE(stale["diagnostics"][0]["message"] == "x");
  const json checked = value_of(t.host.call(
      "lsp.check_edit", {{"path", "a.fake"}, {"edits", {{{"old_text", "another"}, {"new_text", "third"}}}}}));
  REQUIRE(checked["files"][0]["freshness"] != "fresh");
}

TEST_CASE("pull: what was published for a text of before is not in the answer, though it names no version") {
  Pulled t("bad", {"--pull", "--diagnose", "--no-versions"});
  REQUIRE(t.first()["diagnostics"].size() == 1);
  t.dir.write("a.fake", "bad\nbad");
  REQUIRE(t.again()["diagnostics"].size() == 2);
  t.dir.write("a.fake", "good");
  REQUIRE(t.again()["diagnostics"].empty());
}

TEST_CASE("pull: what is published besides is not removed by an edit that is checked") {
  Pulled t("good");
  REQUIRE(t.first()["diagnostics"].empty());
  const json start{{"line", 0}, {"character", 0}};
  const json other{{"range", {{"start", start}, {"end", start}}}, {"message", "of a build"}};
  t.ask("test/notify", {{"method", "textDocument/publishDiagnostics"},
                        {"params", {{"uri", "file://" + t.file}, {"version", 1}, {"diagnostics", {other}}}}});
  REQUIRE(t.again()["diagnostics"].size() == 1);
  const json checked = value_of(
      t.host.call("lsp.check_edit", {{"path", "a.fake"}, {"edits", {{{"old_text", "good"}, {"new_text", "bad"}}}}}));
  INFO(checked.dump());
  REQUIRE(checked["files"][0]["added"] == 1);
  REQUIRE(checked["files"][0]["removed"] == 0);
}

TEST_CASE("pull: what an edit would bring is asked for, also of a server that names no versions") {
  Pulled t("good\nbad", {"--pull", "--diagnose", "--no-versions"});
  REQUIRE(t.first()["diagnostics"].size() == 1);
  const json checked = value_of(t.host.call(
      "lsp.check_edit", {{"path", "a.fake"}, {"edits", {{{"old_text", "good"}, {"new_text", "bad thing"}}}}}));
  INFO(checked.dump());
  REQUIRE(checked["files"][0]["freshness"] == "fresh");
  REQUIRE(checked["files"][0]["added"] == 1);
  REQUIRE(t.again()["diagnostics"].size() == 1);
}

TEST_CASE("guests: a server that publishes nothing to its editor, who asks, is asked for callers, too") {
  Pulled t("bad");
  EditorClient editor(t.host, {{"server", "fake"}});
  const json welcome = editor.initialize(t.dir.path());
  REQUIRE(welcome["result"]["capabilities"].contains("diagnosticProvider"));
  editor.open("file://" + t.file, "bad\nbad\nbad");
  REQUIRE(editor.ask("textDocument/diagnostic", {{"textDocument", {{"uri", "file://" + t.file}}}})["error"]["code"] ==
          -32802);
  REQUIRE(editor.ask("textDocument/diagnostic", {{"textDocument", {{"uri", "file://" + t.file}}}})["result"]["items"]
              .size() == 3);
  const json found = t.again();
  REQUIRE(found["freshness"] == "fresh");
  REQUIRE(found["diagnostics"].size() == 1);
  REQUIRE(sent_to(t.dir, "initialize").size() == 1);
  const auto asked = sent_to(t.dir, "textDocument/diagnostic").size();
  REQUIRE(t.again() == found);
  REQUIRE(sent_to(t.dir, "textDocument/diagnostic").size() == asked);
  t.ask("test/ask", {{"method", "workspace/diagnostic/refresh"}});
  REQUIRE(t.again()["diagnostics"].size() == 1);
  REQUIRE(sent_to(t.dir, "textDocument/diagnostic").size() == asked + 1);
}
