// SPDX-License-Identifier: Apache-2.0
//
// Editors of a server whose table says share = "root".
#include "tests/unit/lsp/sharing.hpp"

using namespace lsp_test;

namespace {

const json kAnything{{"items", {{{"section", "x"}}}}};

/// Two editors of one root and of different settings.
struct DifferentSettings {
  TempDir dir;
  TestHost host;
  EditorClient a, b;

  explicit DifferentSettings(const std::string& share)
      : host(kPlugin, config_of({{"fake", table(share)}}, dir)),
        a(host, {{"server", "fake"}}, 100'000, 1),
        b(host, {{"server", "fake"}}, 100'000, 2) {
    greet(a, 1);
    greet(b, 2);
  }
  [[nodiscard]] json table(const std::string& share) const {
    auto server = fake_server(dir);
    server["share"] = share;
    return server;
  }
  void greet(EditorClient& editor, int x) const {
    (void)editor.ask("initialize", {{"rootUri", "file://" + dir.path()},
                                    {"capabilities", all_capabilities()},
                                    {"initializationOptions", {{"x", x}}}});
    editor.notify("initialized");
    (void)editor.ask("test/echo");
  }
  [[nodiscard]] std::vector<json> told(const std::string& method) const { return sent_to(dir, method); }
  /// The server asks for settings; `whose` answers with `x`. What the server was answered.
  json configure(EditorClient& whose, int x) {
    const int asked = whose.send("test/ask", {{"method", "workspace/configuration"}, {"params", kAnything}});
    whose.raw({{"id", whose.said("workspace/configuration")["id"]}, {"result", {{{"x", x}}}}});
    return whose.answer(asked)["result"]["result"];
  }
};

[[nodiscard]] json settings(int x) { return {{"settings", {{"x", x}}}}; }

}  // namespace

TEST_CASE("sharing root: editors of a root share a server whatever their settings, and the first's hold") {
  DifferentSettings t("root");
  REQUIRE(attached(t.host) == 1);
  REQUIRE(t.told("initialize").size() == 1);
  REQUIRE(t.told("initialize")[0]["params"]["initializationOptions"] == json{{"x", 1}});
  REQUIRE(t.configure(t.a, 1) == json{{{"x", 1}}});
  t.b.notify("workspace/didChangeConfiguration", settings(2));
  t.a.notify("workspace/didChangeConfiguration", settings(3));
  (void)t.b.ask("test/echo");
  (void)t.a.ask("test/echo");
  const auto changed = t.told("workspace/didChangeConfiguration");
  REQUIRE(changed.size() == 1);
  REQUIRE(changed[0]["params"] == settings(3));
  REQUIRE(t.configure(t.a, 3) == json{{{"x", 3}}});
  // One that is late is asked nothing.
  EditorClient late(t.host, {{"server", "fake"}}, 100'000, 3);
  t.greet(late, 4);
  REQUIRE(attached(t.host) == 1);
  for (auto* const other : {&t.b, &late}) {
    (void)other->ask("test/notify", {{"method", "test/last"}, {"params", json::object()}});
    const auto next = other->take([](const json& m) {
      return m.value("method", "") == "workspace/configuration" || m.value("method", "") == "test/last";
    });
    REQUIRE(next["method"] == "test/last");
  }
  t.host.stop();
}

TEST_CASE("sharing root: when the first editor leaves the next one's settings are the server's") {
  DifferentSettings t("root");
  leave(t.a);
  t.b.notify("workspace/didChangeConfiguration", settings(2));
  REQUIRE(t.configure(t.b, 2) == json{{{"x", 2}}});
  REQUIRE(t.told("workspace/didChangeConfiguration").back()["params"] == settings(2));
  REQUIRE(t.told("initialize").size() == 1);
  t.host.stop();
}

TEST_CASE("sharing root: after a crash the next process has the settings of the first editor") {
  DifferentSettings t("root");
  t.a.notify("workspace/didChangeConfiguration", settings(1));
  t.b.notify("workspace/didChangeConfiguration", settings(2));
  (void)t.a.ask("test/echo");
  REQUIRE(t.b.ask("test/crash").contains("error"));
  (void)t.b.ask("test/echo");
  REQUIRE(t.told("initialize").size() == 2);
  REQUIRE(t.told("initialize")[1]["params"]["initializationOptions"] == json{{"x", 1}});
  REQUIRE(t.told("workspace/didChangeConfiguration").back()["params"] == settings(1));
  t.host.stop();
}

TEST_CASE("sharing root: without that editors of different settings have two servers") {
  DifferentSettings t("same");
  REQUIRE(attached(t.host) == 2);
  t.host.stop();
}

TEST_CASE("sharing root: editors of other experimental capabilities have a server of their own") {
  DifferentSettings t("root");
  EditorClient other(t.host, {{"server", "fake"}}, 100'000, 3);
  other.initialize(t.dir.path(), {{"experimental", {{"x", true}}}});
  REQUIRE(attached(t.host) == 2);
  t.host.stop();
}
