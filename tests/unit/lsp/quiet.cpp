// SPDX-License-Identifier: Apache-2.0
//
// Servers that publish an empty list as soon as they are told a text, and the real one later.
#include "plugins/lsp/shared.hpp"
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;

namespace {

constexpr auto kQuiet = gantry::lsp::SharedSession::kQuietTime;
constexpr auto kLongQuiet = gantry::lsp::SharedSession::kLongQuietTime;
constexpr std::chrono::milliseconds kMs{1};

struct Quiet {
  TempDir dir;
  std::string file = dir.write("a.fake", "text");
  TestHost host{kPlugin, config_of({{"fake", fake_server(dir)}}, dir)};
  Quiet() { REQUIRE(host.call("lsp.request", {{"uri", file}, {"method", "test/echo"}})); }
  ~Quiet() { host.stop(); }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;

  void say(const std::string& method, const json& params) {
    REQUIRE(
        host.call("lsp.request",
                  {{"uri", file}, {"method", "test/notify"}, {"params", {{"method", method}, {"params", params}}}}));
  }
  void publish(const json& version, const std::string& message = "") {
    json params{{"uri", "file://" + file}, {"diagnostics", json::array()}};
    if (!message.empty()) params["diagnostics"] = {{{"message", message}}};
    if (!version.is_null()) params["version"] = version;
    say("textDocument/publishDiagnostics", params);
  }
  void progress(const char* kind, const char* token = "indexing") {
    say("$/progress", {{"token", token}, {"value", {{"kind", kind}, {"title", "x"}}}});
  }
  std::string freshness() {
    return value_of(host.call("lsp.diagnostics", {{"uri", file}, {"wait_ms", 0}}))["freshness"];
  }
  TestStream wait() {
    auto waits = host.begin("lsp.diagnostics", {{"uri", file}, {"wait_ms", 60'000}});
    host.wait("the wait", [&] { return server_entry(host, "shared")["clients"] == 1; });
    return waits;
  }
  /// A later call was answered, and it was not.
  bool still_waits(TestStream& waits) {
    const bool stale = freshness() == "stale";
    host.settle();
    return stale && !waits.answered();
  }
};

}  // namespace

TEST_CASE("lsp.diagnostics: an empty list as a text's first is fresh when nothing has followed for a moment") {
  for (const json& version : {json(1), json()}) {
    Quiet t;
    auto waits = t.wait();
    t.publish(version);
    t.host.advance(kQuiet - kMs);
    REQUIRE(t.still_waits(waits));
    t.host.advance(kMs);
    REQUIRE(waits.result()->at("freshness") == "fresh");
    REQUIRE(waits.result()->at("diagnostics").empty());
  }
  Quiet t;
  t.publish(1);
  t.host.advance(kQuiet - kMs);
  auto late = t.wait();
  t.host.advance(kMs);
  REQUIRE(late.result()->at("freshness") == "fresh");
}

TEST_CASE("lsp.diagnostics: a list that is not empty, or a second one with the version, ends the wait at once") {
  for (const auto& [version, message] : {std::pair(json(1), "wrong"), {json(), "wrong"}, {json(1), ""}}) {
    Quiet t;
    auto waits = t.wait();
    t.publish(1);
    REQUIRE(t.still_waits(waits));
    t.publish(version, message);
    REQUIRE(waits.result()->at("freshness") == "fresh");
    REQUIRE(waits.result()->at("diagnostics").size() == (*message == '\0' ? 0U : 1U));
  }
}

TEST_CASE("lsp.diagnostics: each new text has to be waited for again") {
  Quiet t;
  t.publish(1);
  t.host.advance(kQuiet);
  REQUIRE(t.freshness() == "fresh");
  t.dir.write("a.fake", "other");
  REQUIRE(t.freshness() == "stale");
  t.publish(2);
  REQUIRE(t.freshness() == "stale");
  t.host.advance(kQuiet);
  REQUIRE(t.freshness() == "fresh");
}

TEST_CASE("lsp.diagnostics: an empty list is not fresh while the server reports progress, nor right after it") {
  for (const bool before : {true, false}) {
    Quiet t;
    if (before) t.progress("begin");
    auto waits = t.wait();
    t.publish(1);
    if (!before) t.progress("begin");
    t.progress("begin", "another");
    t.host.advance(std::chrono::seconds(10));
    t.progress("end");
    t.host.advance(std::chrono::seconds(10));
    REQUIRE(t.still_waits(waits));
    t.progress("end", "another");
    t.host.advance(kQuiet - kMs);
    REQUIRE(t.still_waits(waits));
    t.host.advance(kMs);
    REQUIRE(waits.result()->at("freshness") == "fresh");
    t.progress("begin");
    REQUIRE(t.freshness() == "stale");
    t.publish(1, "wrong");
    REQUIRE(t.freshness() == "fresh");
  }
}

TEST_CASE("lsp.diagnostics: an empty list of clangd is fresh at once, while it builds its index, too") {
  TempDir dir, bin;
  const auto file = dir.write("a.fake", "text");
  std::filesystem::create_symlink(kFakeServer, bin / "clangd-99");
  auto server = fake_server(dir);
  server["command"][0] = bin / "clangd-99";
  TestHost host(kPlugin, config_of({{"clangd", server}}, dir));
  const auto say = [&](const std::string& method, const json& params) {
    const json message{{"method", method}, {"params", params}};
    REQUIRE(host.call("lsp.request", {{"uri", file}, {"method", "test/notify"}, {"params", message}}));
  };
  say("$/progress", {{"token", "index"}, {"value", {{"kind", "begin"}, {"title", "x"}}}});
  auto waits = host.begin("lsp.diagnostics", {{"uri", file}, {"wait_ms", 60'000}});
  say("textDocument/publishDiagnostics", {{"uri", "file://" + file}, {"version", 1}, {"diagnostics", json::array()}});
  REQUIRE(waits.result()->at("freshness") == "fresh");
  host.stop();
}

TEST_CASE("lsp.diagnostics: the progress of a server that has crashed holds nothing back") {
  Quiet t;
  t.progress("begin");
  REQUIRE_FALSE(t.host.call("lsp.request", {{"uri", t.file}, {"method", "test/crash"}}));
  t.publish(1 + 1);  // versions go on
  t.host.advance(kQuiet);
  REQUIRE(t.freshness() == "fresh");
}

TEST_CASE("lsp.diagnostics: those of a server that has crashed are forgotten, which is an event") {
  Quiet t;
  t.publish(1, "wrong");
  REQUIRE(t.host.event("lsp.diagnostics.changed").payload["version"] == 1);
  REQUIRE_FALSE(t.host.call("lsp.request", {{"uri", t.file}, {"method", "test/crash"}}));
  t.host.wait("the second event", [&] {
    for (const auto& event : t.host.events()) {
      if (event.topic == "lsp.diagnostics.changed" && event.payload["version"].is_null()) return true;
    }
    return false;
  });
  const auto known = value_of(t.host.call("lsp.diagnostics", {{"uri", t.file}, {"wait_ms", 0}}));
  REQUIRE(known["freshness"] == "timeout");
  REQUIRE(known["diagnostics"].empty());
}

TEST_CASE("lsp.diagnostics: without versions a server is believed from its answer to a later request on") {
  Quiet t;
  t.publish(json(), "of the first text");
  REQUIRE(t.freshness() == "fresh");
  (void)t.dir.write("a.fake", "another text");
  auto waits = t.wait();
  t.host.wait("the request behind the text", [&] { return sent_to(t.dir, "textDocument/documentSymbol").size() == 1; });
  t.host.settle();
  t.publish(json(), "a part, perhaps");
  t.host.advance(kLongQuiet - kMs);
  REQUIRE(t.still_waits(waits));
  t.publish(json(), "all");
  t.host.advance(kLongQuiet - kMs);
  REQUIRE(t.still_waits(waits));
  t.host.advance(kMs);
  const auto got = value_of(waits.result());
  REQUIRE(got["freshness"] == "fresh");
  REQUIRE(got["version"] == 2);
  REQUIRE(got["diagnostics"][0]["message"] == "all");
  REQUIRE(sent_to(t.dir, "textDocument/didChange").size() == 1);
}

TEST_CASE("lsp.diagnostics: without versions a server that has published too early is told the text again") {
  Quiet t;
  t.publish(json(), "of the first text");
  (void)t.dir.write("a.fake", "another text");
  t.publish(json(), "of which text?");
  auto waits = t.wait();
  t.host.wait("the request behind the text", [&] { return sent_to(t.dir, "textDocument/documentSymbol").size() == 1; });
  t.host.settle();
  REQUIRE(t.still_waits(waits));
  t.host.advance(kLongQuiet);
  t.host.wait("the text again", [&] { return sent_to(t.dir, "textDocument/didChange").size() == 2; });
  REQUIRE(sent_to(t.dir, "textDocument/didChange").back()["params"]["contentChanges"][0]["text"] == "another text");
  REQUIRE(t.still_waits(waits));
  t.publish(json(), "of this");
  t.host.advance(kLongQuiet);
  const auto got = value_of(waits.result());
  REQUIRE(got["freshness"] == "fresh");
  REQUIRE(got["diagnostics"][0]["message"] == "of this");
  REQUIRE(sent_to(t.dir, "textDocument/documentSymbol").size() == 1);
}

TEST_CASE("lsp.diagnostics: without versions who waits is answered for a text that has come meanwhile") {
  Quiet t;
  t.publish(json(), "of the first text");
  (void)t.dir.write("a.fake", "another text");
  auto waits = t.wait();
  t.host.wait("the request behind the text", [&] { return sent_to(t.dir, "textDocument/documentSymbol").size() == 1; });
  (void)t.dir.write("a.fake", "a third text");
  REQUIRE(t.host.call("lsp.request", {{"uri", t.file}, {"method", "test/echo"}}));
  t.host.wait("another request", [&] { return sent_to(t.dir, "textDocument/documentSymbol").size() == 2; });
  t.host.settle();
  t.publish(json(), "of the third");
  t.host.advance(kLongQuiet);
  const auto got = value_of(waits.result());
  REQUIRE(got["freshness"] == "fresh");
  REQUIRE(got["diagnostics"][0]["message"] == "of the third");
}
