// SPDX-License-Identifier: Apache-2.0
//
// The bounds of a server that several editors share: docs/bounds.md, plugins/lsp/attach.hpp.
#include "tests/unit/lsp/life.hpp"
#include "tests/unit/lsp/sharing.hpp"

using namespace lsp_test;

namespace {

constexpr std::chrono::milliseconds kRecallDelay{500};
constexpr std::chrono::seconds kRecallTime{5}, kAwaited{10};

/// Messages of a document of so many MiB, which the fake server skips.
[[nodiscard]] std::string large_open(const std::string& uri, std::size_t mib) {
  return R"({"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":")" + uri +
         R"(","languageId":"fake","version":1,"text":")" + std::string(mib << 20, 'x') + "\"}}}";
}

}  // namespace

// ---- requests that are in the way -----------------------------------------------------------------------------------

TEST_CASE(
    "sharing bounds: a request that the server does not give back is ContentModified and its late answer is no one's") {
  Two t({"--ignore-cancel"});
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "disk");
  t.b.open(uri, "disk");
  (void)t.b.ask("test/echo");
  const int open = t.a.send("test/hang", {{"workDoneToken", "t"}});
  const int cancelled = t.a.send("test/hang");
  t.host.wait("the requests", [&] { return t.told("test/hang").size() == 2; });
  t.a.cancel(cancelled);
  t.host.wait("the cancellation", [&] { return t.told("$/cancelRequest").size() == 1; });
  t.b.notify("textDocument/didChange", changed(uri, 2, "of b"));
  const int hover = t.b.send("textDocument/hover", hover_of(uri));
  t.host.settle();
  t.host.advance(kRecallDelay);
  t.host.wait("the recall", [&] { return t.told("$/cancelRequest").size() == 3; });
  t.host.advance(kRecallTime - std::chrono::milliseconds(1));
  REQUIRE(t.told("textDocument/didChange").empty());
  t.host.advance(std::chrono::milliseconds(1));
  REQUIRE(t.a.answer(cancelled)["error"]["code"] == -32800);  // as its editor wanted
  REQUIRE(t.b.answer(hover)["result"]["contents"] == "of b");
  for (std::size_t recall = 1; recall <= 3; ++recall) {
    t.host.wait("the repetition", [&] { return t.told("test/hang").size() == recall + 2; });
    const int next = t.b.send("textDocument/hover", hover_of(uri));
    t.host.settle();
    t.host.advance(kRecallDelay * (1U << (2 * recall)));
    t.host.wait("the recall", [&] { return t.told("$/cancelRequest").size() == recall + 3; });
    t.host.advance(kRecallTime);
    REQUIRE(t.b.answer(next)["result"]["contents"] == "of b");
  }
  REQUIRE(t.a.answer(open)["error"]["code"] == -32801);
  // What the server says of the request later, reaches nobody.
  const auto token = t.told("test/hang").front()["params"]["workDoneToken"];
  (void)t.b.ask("test/notify", {{"method", "$/progress"}, {"params", {{"token", token}, {"value", "late"}}}});
  REQUIRE(t.b.ask("test/release")["result"] == "released");
  REQUIRE(t.a.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "disk");
  REQUIRE(t.a.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  for (auto* const editor : {&t.a, &t.b}) REQUIRE(editor->kept().empty());
  t.host.stop();
}

TEST_CASE("sharing bounds: a request that is sent again is left four times as long, and three times at most") {
  const bool as_result = GENERATE(false, true);
  Two t(as_result ? std::vector<std::string>{"--result-of-cancelled"} : std::vector<std::string>());
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "of a");
  t.b.open(uri, "of b");
  (void)t.b.ask("test/echo");
  const int open = t.a.send("test/hang");
  t.host.wait("the request", [&] { return t.told("test/hang").size() == 1; });
  for (std::size_t recall = 1; recall <= 3; ++recall) {
    const int hover = t.b.send("textDocument/hover", hover_of(uri));
    t.host.settle();
    t.host.advance(kRecallDelay * (1U << (2 * (recall - 1))) - std::chrono::milliseconds(1));
    t.host.settle();
    REQUIRE(t.told("$/cancelRequest").size() == recall - 1);
    t.host.advance(std::chrono::milliseconds(1));
    REQUIRE(t.b.answer(hover)["result"]["contents"] == "of b");
    t.host.wait("the repetition", [&] { return t.told("test/hang").size() == recall + 1; });
  }
  // What was sent again so often is not recalled for ever.
  (void)t.b.send("textDocument/hover", hover_of(uri));
  t.host.settle();
  t.host.advance(kRecallDelay * 64);
  REQUIRE(t.a.answer(open)["error"]["code"] == -32801);
  t.host.stop();
}

TEST_CASE("sharing bounds: who waits after a long wait has as little to wait as before") {
  Two t;
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "of a");
  t.b.open(uri, "of b");
  (void)t.b.ask("test/echo");
  const int open = t.a.send("test/hang");
  t.host.wait("the request", [&] { return t.told("test/hang").size() == 1; });
  (void)t.b.send("textDocument/hover", hover_of(uri));
  t.host.settle();
  t.host.advance(kRecallDelay);
  t.host.wait("the repetition", [&] { return t.told("test/hang").size() == 2; });
  const int waits = t.b.send("textDocument/hover", hover_of(uri));  // for two seconds, but the request is answered
  t.host.settle();
  t.a.notify("test/release", json::object());
  REQUIRE(t.a.answer(open)["result"] == "late");
  REQUIRE(t.b.answer(waits)["result"]["contents"] == "of b");
  (void)t.a.send("test/hang");
  t.host.wait("the next request", [&] { return t.told("test/hang").size() == 3; });
  const int hover = t.b.send("textDocument/hover", hover_of(uri));
  t.host.settle();
  t.host.advance(kRecallDelay);
  REQUIRE(t.b.answer(hover)["result"]["contents"] == "of b");
  t.host.stop();
}

TEST_CASE("sharing bounds: a request that may not be cancelled is left to its answer, and sent again without one") {
  Two t({"--pyright"});
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "of a");
  t.b.open(uri, "of b");
  (void)t.b.ask("test/echo");
  auto params = hover_of(uri);
  params["test/hang"] = true;
  const int open = t.a.send("textDocument/references", params);
  t.host.wait("the request", [&] { return t.told("textDocument/references").size() == 1; });
  const int hover = t.b.send("textDocument/hover", hover_of(uri));
  t.host.settle();
  t.host.advance(kRecallDelay);
  t.host.settle();
  REQUIRE(t.told("$/cancelRequest").empty());
  const bool answers = GENERATE(false, true);
  if (answers) {
    t.a.notify("test/release", json::object());
    REQUIRE(t.b.answer(hover)["result"]["contents"] == "of b");
    REQUIRE(t.a.answer(open)["result"] == "late");
    REQUIRE(t.told("textDocument/references").size() == 1);
  } else {
    t.host.advance(kRecallTime);
    REQUIRE(t.b.answer(hover)["result"]["contents"] == "of b");
    t.host.wait("the repetition", [&] { return t.told("textDocument/references").size() == 2; });
  }
  t.host.stop();
}

TEST_CASE("sharing bounds: a request that waited for its view and was withdrawn is in nobody's way") {
  TempDir dir;
  const json lsp{{"editor_request_timeout_seconds", 3600}};
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir, json::object(), lsp));
  EditorClient a(host, {{"server", "fake"}}, 100'000, 1), b(host, {{"server", "fake"}}, 100'000, 2);
  a.initialize(dir.path());
  b.initialize(dir.path());
  const auto uri = "file://" + dir.write("a.fake", "disk");
  a.open(uri, "of a");
  b.open(uri, "of b");
  (void)b.ask("test/echo");
  const int open = a.send("test/hang");
  host.wait("the request", [&] { return sent_to(dir, "test/hang").size() == 1; });
  const int hover = b.send("textDocument/hover", hover_of(uri));
  b.cancel(hover);
  REQUIRE(b.answer(hover)["error"]["code"] == -32800);
  REQUIRE(a.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  host.advance(kRecallDelay + kRecallTime);
  REQUIRE(sent_to(dir, "$/cancelRequest").empty());
  (void)a.ask("test/release");
  REQUIRE(a.answer(open)["result"] == "late");
  host.stop();
}

// ---- an editor that does not read -----------------------------------------------------------------------------------

TEST_CASE("sharing bounds: the stream of an editor that never reads ends at the bound and the others miss nothing") {
  DeafAndOther t;
  constexpr std::size_t kSize = std::size_t{15} << 20;
  const auto unread = [&](int messages) {
    for (int i = 0; i < messages; ++i) t.deaf.send("test/large", {{"size", kSize}});
    t.host.settle();
    REQUIRE(t.other.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  };
  unread(4);
  REQUIRE_FALSE(t.deaf.stream().answered());
  unread(1);
  const auto error = t.deaf.stream().result().error();
  REQUIRE(error.kind == ErrorKind::overloaded);
  REQUIRE(error.message.find("did not read 64 MiB") != std::string::npos);
  REQUIRE(t.other.ask("test/echo", {{"x", 2}})["result"]["x"] == 2);
  REQUIRE(server_entry(t.host, "attached")["clients"] == 1);
  t.host.stop();
}

// ---- what is kept ---------------------------------------------------------------------------------------------------

TEST_CASE("sharing bounds: of more settings than the bound the rest is not compared") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient a(host, {{"server", "fake"}});
  a.initialize(dir.path());
  constexpr int kBound = 256;
  const auto params = [](int number) { return json{{"items", {{{"section", std::to_string(number)}}}}}; };
  for (int i = 0; i <= kBound; ++i) {
    const int asked = a.send("test/ask", {{"method", "workspace/configuration"}, {"params", params(i)}});
    a.raw({{"id", a.said("workspace/configuration")["id"]}, {"result", {i}}});
    REQUIRE(a.answer(asked)["result"]["result"] == json{i});
  }
  EditorClient late(host, {{"server", "fake"}}, 100'000, 2);
  late.initialize(dir.path());
  const int waits = late.send("test/echo", {{"x", 1}});
  std::set<std::string> sections;
  for (int i = 0; i < kBound; ++i) {
    const auto question = late.said("workspace/configuration");
    const std::string section = question["params"]["items"][0]["section"];
    sections.insert(section);
    late.raw({{"id", question["id"]}, {"result", {std::stoi(section)}}});
  }
  REQUIRE(sections.size() == kBound);
  REQUIRE(late.answer(waits)["result"]["x"] == 1);
  // The last is answered, whatever it is.
  const int asked = a.send("test/ask", {{"method", "workspace/configuration"}, {"params", params(kBound)}});
  a.raw({{"id", a.said("workspace/configuration")["id"]}, {"result", {"of a"}}});
  REQUIRE(a.answer(asked)["result"]["result"] == json{"of a"});
  late.raw({{"id", late.said("workspace/configuration")["id"]}, {"result", {"other"}}});
  REQUIRE(late.ask("test/echo", {{"x", 2}})["result"]["x"] == 2);
  REQUIRE(attached(host) == 1);
  host.stop();
}

TEST_CASE("sharing bounds: of more files than there are stamps each change on the disk is seen") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient a(host, {{"server", "fake"}});
  a.initialize(dir.path());
  constexpr int kBound = 4096, kLast = kBound + 1;
  const auto name = [](int number) { return std::to_string(number) + ".fake"; };
  for (int i = 0; i <= kLast; ++i) a.open("file://" + dir.write(name(i), "disk"), i == 0 ? "unsaved" : "disk");
  (void)a.ask("test/echo");
  EditorClient b(host, {{"server", "fake"}}, 100'000, 2);
  b.initialize(dir.path());
  const auto hover = [&](EditorClient& editor, int number) {
    return editor.ask("textDocument/hover", hover_of("file://" + (dir / name(number))))["result"]["contents"];
  };
  REQUIRE(hover(b, 0) == "disk");
  for (const char* const text : {"second", "and third"}) {
    for (const int number : {1, kLast}) (void)dir.write(name(number), text);
    for (const int number : {1, kLast}) REQUIRE(hover(b, number) == text);
  }
  REQUIRE(hover(a, 0) == "unsaved");
  REQUIRE(hover(a, kLast) == "disk");
  host.stop();
}

TEST_CASE("sharing bounds: an editor whose texts exceed the bound goes on with a server of its own") {
  Two t;
  const auto uri = t.file("a.fake", "disk");
  t.b.open(uri, "of b");
  t.a.open(uri, "of a");
  for (const char* const name : {"/1.fake", "/2.fake", "/3.fake"})
    t.a.stream().send_text(large_open("file://" + t.dir.path() + name, 22));
  REQUIRE(t.a.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of a");
  REQUIRE(t.b.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of b");
  REQUIRE(attached(t.host) == 2);
  // Nobody comes to share a server whose texts are not known.
  EditorClient late(t.host, {{"server", "fake"}}, 100'000, 3);
  late.initialize(t.dir.path());
  REQUIRE(late.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "disk");
  REQUIRE(attached(t.host) == 2);
  REQUIRE(t.told("initialize").size() == 2);
  t.host.stop();
}

// ---- servers that take no changes -----------------------------------------------------------------------------------

TEST_CASE("sharing bounds: a server that takes no changes is shown another text by didClose and didOpen") {
  const std::string sync = GENERATE("0", R"({"openClose":true})", R"({"openClose":true,"change":0})");
  Two t({"--sync", sync, "--diagnose"});
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "bad of a", "fake", 3);
  t.b.open(uri, "of b", "fake", 7);
  for (int i = 0; i < 2; ++i) {
    REQUIRE(t.a.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "bad of a");
    REQUIRE(t.b.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of b");
  }
  const auto seen = t.a.said("textDocument/publishDiagnostics")["params"];
  REQUIRE(seen["version"] == 3);
  REQUIRE(seen["diagnostics"].size() == 1);
  REQUIRE(t.b.said("textDocument/publishDiagnostics")["params"]["diagnostics"].empty());
  REQUIRE(t.told("textDocument/didChange").empty());
  long long last = 0;
  for (const auto& opened : t.told("textDocument/didOpen")) {
    const long long version = opened["params"]["textDocument"]["version"];
    REQUIRE(version > last);
    last = version;
  }
  REQUIRE(t.told("textDocument/didClose").size() + 1 == t.told("textDocument/didOpen").size());
  t.host.stop();
}

// ---- a reload of the plugin -----------------------------------------------------------------------------------------

namespace {

/// Two editors at the next instance of the plugin, whose streams may come back.
struct Reloaded {
  TempDir dir;
  json config;
  std::string given;
  std::vector<std::uint64_t> streams;

  template <class Before>
  explicit Reloaded(std::vector<std::string> options, Before before)
      : config(config_of({{"fake", fake_server(dir, std::move(options))}}, dir)) {
    TestHost host(kPlugin, config);
    EditorClient a(host, {{"server", "fake"}}, 100'000, 1), b(host, {{"server", "fake"}}, 100'000, 2);
    a.initialize(dir.path());
    b.initialize(dir.path());
    (void)b.ask("test/echo");
    before(*this, host, a, b);
    static_cast<gantry::testing::TestHost&>(host).stop();  // and the next instance comes
    given = host.given().value();
    streams = host.given_streams();
  }
  [[nodiscard]] EditorClient resumed(TestHost& next, std::size_t number) const {
    return EditorClient::resumed(next, {{"server", "fake"}}, streams.at(number));
  }
};

}  // namespace

TEST_CASE("sharing bounds: an editor whose stream does not come back after a reload leaves the others") {
  Reloaded t({}, [](Reloaded& own, TestHost&, EditorClient& a, EditorClient& b) {
    const auto uri = "file://" + own.dir.write("a.fake", "disk");
    a.open(uri, "of a");
    a.open("untitled:a", "of a");
    b.open(uri, "of b");
    (void)b.ask("textDocument/hover", hover_of(uri));
  });
  const auto uri = "file://" + (t.dir / "a.fake");
  TestHost next(kPlugin, t.config, t.given);
  auto b = t.resumed(next, 1);
  const int hover = b.send("textDocument/hover", hover_of(uri));
  next.wait("the hover", [&] { return server_entry(next, "attached").value("clients", 0) == 2; });
  next.settle();
  next.advance(kAwaited);
  REQUIRE(b.answer(hover)["result"]["contents"] == "of b");
  REQUIRE(server_entry(next, "attached")["clients"] == 1);
  REQUIRE(b.ask("textDocument/hover", hover_of("untitled:a"))["error"]["code"] == -32602);
  // Whose stream comes after that, attaches anew.
  auto a = t.resumed(next, 0);
  REQUIRE(a.stream().result().error().message.find("attach anew") != std::string::npos);
  next.stop();
}

// ---- lsp.stop -------------------------------------------------------------------------------------------------------

TEST_CASE(
    "sharing bounds: lsp.stop of a shared server refuses the requests of both editors, and both go on after "
    "lsp.restart") {
  Two t({"--diagnose", "--no-versions"});
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "of a");
  t.b.open(uri, "of b");
  REQUIRE(t.b.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of b");
  const int of_a = t.a.send("test/hang"), of_b = t.b.send("test/hang");  // the second waits for its view
  t.host.wait("the first", [&] { return t.told("test/hang").size() == 1; });
  t.host.settle();
  REQUIRE(value_of(t.host.call("lsp.stop", {{"server", "fake"}}))["stopped"] == 1);
  for (auto* const editor : {&t.a, &t.b}) REQUIRE(editor->said("window/showMessage")["params"]["type"] == 2);
  REQUIRE(kind_of(t.a.answer(of_a)) == "unavailable");
  REQUIRE(kind_of(t.b.answer(of_b)) == "unavailable");
  require_clean_exits(t.host, 1);
  wait_for_state(t.host, "attached", "stopped");

  t.a.notify("textDocument/didChange", changed(uri, 2, "bad of a, new"));
  t.b.notify("textDocument/didChange", changed(uri, 2, "of b, new"));
  const auto other = t.file("b.fake", "disk");
  t.b.open(other, "bad of b", "fake", 4);
  for (auto* const editor : {&t.a, &t.b}) {
    const auto refused = editor->ask("textDocument/hover", hover_of(uri));
    REQUIRE(refused["error"]["message"].get<std::string>().find("lsp.restart") != std::string::npos);
  }
  REQUIRE(t.told("initialize").size() == 1);

  REQUIRE(value_of(t.host.call("lsp.restart", {{"server", "fake"}}))["restarted"] == 1);
  REQUIRE(t.a.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "bad of a, new");
  REQUIRE(t.b.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of b, new");
  REQUIRE(t.told("initialize").size() == 2);
  const auto diagnostics = [&](EditorClient& editor, const std::string& of) {
    return editor.take([&](const json& m) {
      return m.value("method", "") == "textDocument/publishDiagnostics" && m["params"]["uri"] == of &&
             !m["params"]["diagnostics"].empty();
    })["params"]["diagnostics"];
  };
  REQUIRE(diagnostics(t.b, other)[0]["message"] == "a bad word: bad of b");
  (void)t.a.ask("test/echo");
  REQUIRE(diagnostics(t.a, uri)[0]["message"] == "a bad word: bad of a, new");
  t.host.stop();
}

TEST_CASE("sharing bounds: of two editors of a stopped server one may leave and another change its settings") {
  Two t;
  const auto uri = t.file("a.fake", "disk");
  t.a.open(uri, "of a");
  t.b.open(uri, "of b");
  REQUIRE(t.b.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of b");
  REQUIRE(t.host.call("lsp.stop", {{"server", "fake"}}));
  wait_for_state(t.host, "attached", "stopped");
  const bool leaves = GENERATE(true, false);
  if (leaves) {
    leave(t.a);
  } else {
    t.a.notify("workspace/didChangeConfiguration", {{"settings", {{"x", 2}}}});
    REQUIRE(t.a.ask("test/echo")["error"]["message"].get<std::string>().find("lsp.restart") != std::string::npos);
  }
  REQUIRE(t.b.ask("test/echo")["error"]["message"].get<std::string>().find("lsp.restart") != std::string::npos);
  REQUIRE(t.told("initialize").size() == 1);
  REQUIRE(t.host.call("lsp.restart", {{"server", "fake"}}));
  REQUIRE(t.b.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of b");
  if (!leaves) REQUIRE(t.a.ask("textDocument/hover", hover_of(uri))["result"]["contents"] == "of a");
  t.host.stop();
}
