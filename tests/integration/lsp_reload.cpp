// SPDX-License-Identifier: Apache-2.0
//
// Language servers that go on while the lsp plugin is reloaded, for editors behind `gantry lsp` and for callers, in
// both modes.
#include <sys/stat.h>

#include "tests/integration/lsp_servers.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

void serve(Sandbox& box, const std::vector<std::string>& options = {}) {
  serve(box, options, GENERATE("inline", "child"));
}
void open_document(StdioEditor& editor, const std::string& text, const std::string& name = "a") {
  (void)editor.notify(
      "textDocument/didOpen",
      {{"textDocument",
        {{"uri", "file:///" + name + ".fake"}, {"languageId", "fake"}, {"version", 1}, {"text", text}}}});
}
[[nodiscard]] json hover(StdioEditor& editor, int id) {
  (void)editor.request(id, "textDocument/hover", {{"textDocument", {{"uri", "file:///a.fake"}}}});
  return editor.answer_to(id);
}

}  // namespace

TEST_CASE("lsp reload: an editor's server goes on with what is open in both directions, and is told nothing") {
  Sandbox box;
  serve(box);
  auto client = box.connect();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  const auto pid = editor.initialize(0)["result"]["serverInfo"]["pid"];
  open_document(editor, "unsaved");
  (void)editor.request(1, "test/hang");
  (void)editor.request(2, "test/ask", {{"method", "test/question"}});
  const auto question = editor.receive();
  REQUIRE(question["method"] == "test/question");
  wait_for("the hang", [&] { return !said(box, "test/hang").empty(); });
  for (int i = 0; i < 2; ++i) reload(client);
  REQUIRE(editor.send({{"id", question["id"]}, {"result", "answered"}}));
  REQUIRE(editor.answer_to(2)["result"]["result"] == "answered");
  (void)editor.request(3, "test/release");
  REQUIRE(editor.answer_to(1)["result"] == "late");
  REQUIRE(hover(editor, 4)["result"]["contents"] == "unsaved");
  REQUIRE(server(client, "attached")["pid"] == pid);
  REQUIRE(server(client, "attached")["restarts"] == 0);
  for (const char* once : {"initialize", "initialized", "textDocument/didOpen"}) REQUIRE(said(box, once).size() == 1);
  REQUIRE(said(box, "$/cancelRequest").empty());

  // When it crashes now, the next one is told of the document as ever.
  (void)editor.request(5, "test/crash");
  REQUIRE(editor.answer_to(5)["error"]["data"]["kind"] == "unavailable");
  REQUIRE(hover(editor, 6)["result"]["contents"] == "unsaved");
  REQUIRE(server(client, "attached")["restarts"] == 1);

  (void)editor.request(7, "shutdown");
  reload(client);
  REQUIRE(editor.answer_to(7)["result"].is_null());
  (void)editor.notify("exit");
  REQUIRE(editor.wait() == 0);
  wait_for("the end of the session", [&] { return server(client, "attached").empty(); });
}

TEST_CASE("lsp reload: editors that share a server go on with it, each with its own text, requests and questions") {
  Sandbox box;
  serve(box);
  auto client = box.connect();
  StdioEditor a(box, {"lsp", "--server", "fake"}), b(box, {"lsp", "--server", "fake"});
  const auto pid = a.initialize(0)["result"]["serverInfo"]["pid"];
  REQUIRE(b.initialize(0)["result"]["serverInfo"]["pid"] == pid);
  open_document(a, "of a");
  open_document(b, "of b");
  REQUIRE(hover(a, 1)["result"]["contents"] == "of a");
  REQUIRE(hover(b, 1)["result"]["contents"] == "of b");
  (void)b.request(2, "test/ask", {{"method", "test/question"}});
  const auto question = b.receive();
  REQUIRE(question["method"] == "test/question");
  for (int i = 0; i < 2; ++i) reload(client);
  REQUIRE(b.send({{"id", question["id"]}, {"result", "answered"}}));
  REQUIRE(b.answer_to(2)["result"]["result"] == "answered");
  REQUIRE(hover(b, 3)["result"]["contents"] == "of b");
  REQUIRE(hover(a, 3)["result"]["contents"] == "of a");
  REQUIRE(server(client, "attached")["pid"] == pid);
  REQUIRE(server(client, "attached")["clients"] == 2);
  REQUIRE(server(client, "attached")["restarts"] == 0);
  for (const char* once : {"initialize", "initialized"}) REQUIRE(said(box, once).size() == 1);

  // A third one joins them, and those that leave stop nobody.
  StdioEditor c(box, {"lsp", "--server", "fake"});
  REQUIRE(c.initialize(0)["result"]["serverInfo"]["pid"] == pid);
  (void)a.request(4, "shutdown");
  REQUIRE(a.answer_to(4)["result"].is_null());
  (void)a.notify("exit");
  REQUIRE(a.wait() == 0);
  REQUIRE(hover(b, 5)["result"]["contents"] == "of b");
  REQUIRE(hover(c, 5).contains("error"));  // neither it nor the disk has the document
}

TEST_CASE("lsp reload: the server hears of each file that comes while the plugin is replaced") {
  Sandbox box;
  serve(box);
  auto client = box.connect();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  const auto pid = editor.initialize(0)["result"]["serverInfo"]["pid"];
  const json options{{"watchers", {{{"globPattern", "**/*.txt"}}}}};
  const json watch{{"id", "w"}, {"method", "workspace/didChangeWatchedFiles"}, {"registerOptions", options}};
  (void)editor.request(1, "test/ask",
                       {{"method", "client/registerCapability"}, {"params", {{"registrations", {watch}}}}});
  REQUIRE(editor.send({{"id", editor.receive()["id"]}, {"result", nullptr}}));
  REQUIRE(editor.answer_to(1).contains("result"));
  auto pacer = box.connect();
  std::atomic<bool> ends{false};
  int written = 0;
  std::thread writer([&] {
    for (; !ends; ++written) {
      box.write("work/" + std::to_string(written) + ".txt", "");
      (void)pacer.call("host.plugins", json::object(), kTimeout);  // not more files than the host has time for
    }
  });
  constexpr int kReloads = 4;
  for (int i = 0; i < kReloads; ++i) reload(client);
  ends = true;
  writer.join();
  wait_for("all files to be told", [&] {
    std::set<std::string> files;
    for (const auto& message : said(box, "workspace/didChangeWatchedFiles")) {
      for (const auto& each : message["params"]["changes"]) files.insert(each["uri"]);
    }
    return files.size() == static_cast<std::size_t>(written);
  });
  REQUIRE(server(client, "attached")["pid"] == pid);
}

TEST_CASE("lsp reload: of an editor's thousand messages none is lost, doubled or out of order") {
  Sandbox box;
  serve(box);
  auto client = box.connect();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  const auto pid = editor.initialize(0)["result"]["serverInfo"]["pid"];
  constexpr int kRequests = 500, kUnderWay = 48, kReloads = 8;
  std::atomic<int> answered{0};
  std::thread writer([&] {
    for (int i = 1; i <= kRequests; ++i) {
      for (int seen = answered; i - seen > kUnderWay; seen = answered) answered.wait(seen);
      if (!editor.notify("test/mark", {{"n", i}}) || !editor.request(i, "test/echo", {{"n", i}})) return;
    }
  });
  int reloads = 0;
  for (int i = 1; i <= kRequests; ++i) {
    const auto answer = editor.answer_to(i);
    if (answer["result"]["n"] != i) {
      UNSCOPED_INFO(answer.dump());
      break;
    }
    answered = i;
    answered.notify_one();
    if (i % (kRequests / kReloads) == 0) {
      reload(client);
      ++reloads;
    }
  }
  answered = kRequests;
  answered.notify_one();
  writer.join();
  REQUIRE(reloads == kReloads);
  const auto marks = said(box, "test/mark");
  REQUIRE(marks.size() == kRequests);
  for (int i = 1; i <= kRequests; ++i) REQUIRE(marks[static_cast<std::size_t>(i) - 1]["params"]["n"] == i);
  REQUIRE(server(client, "attached")["pid"] == pid);
}

TEST_CASE("lsp reload: what a server sends to an editor that does not read comes whole afterwards") {
  Sandbox box;
  serve(box);
  auto client = box.connect();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  (void)editor.initialize(0);
  constexpr int kItems = 500;  // 5 MB: more than every buffer on the way holds
  (void)editor.request(1, "test/flood", {{"count", kItems}, {"size", 10'000}});
  wait_for("the server to be held back", [&] { return server(client, "attached").contains("waits_for_client"); });
  for (int i = 0; i < 2; ++i) {
    reload(client);
    wait_for("the server to be held back again",
             [&] { return server(client, "attached").contains("waits_for_client"); });
  }
  for (int i = 0; i < kItems; ++i) REQUIRE(editor.receive_text() == flood_item(i, 10'000));
  REQUIRE(editor.receive()["result"] == "flooded");
}

TEST_CASE("lsp reload: a server that callers share goes on and knows its documents") {
  Sandbox box;
  serve(box);
  auto client = box.connect();
  box.write("work/a.fake", "one");
  const auto ask = [&] {
    const auto result = client.call(
        "lsp.request", {{"uri", (box.work() / "a.fake").string()}, {"method", "textDocument/hover"}}, kTimeout);
    if (!result) FAIL(result.error().message);
    return *result;
  };
  REQUIRE(ask()["contents"] == "one");
  const auto pid = server(client, "shared")["pid"];
  REQUIRE(client.call("lsp.request",
                      {{"uri", (box.work() / "a.fake").string()},
                       {"method", "test/notify"},
                       {"params",
                        {{"method", "textDocument/publishDiagnostics"},
                         {"params",
                          {{"uri", "file://" + (box.work() / "a.fake").string()},
                           {"version", 1},
                           {"diagnostics", {{{"message", "wrong"}}}}}}}}},
                      kTimeout));
  reload(client);
  // They are kept. What has changed on the disk while nobody watched is not known: the server is asked anew.
  const auto diagnostics =
      client.call("lsp.diagnostics", {{"uri", (box.work() / "a.fake").string()}, {"wait_ms", 0}}, kTimeout);
  REQUIRE(diagnostics);
  REQUIRE((*diagnostics)["freshness"] == "stale");
  REQUIRE((*diagnostics)["diagnostics"][0]["message"] == "wrong");
  REQUIRE(ask()["contents"] == "one");
  REQUIRE(said(box, "textDocument/didOpen").size() == 1);
  box.write("work/a.fake", "another");
  reload(client);
  REQUIRE(ask()["contents"] == "another");
  REQUIRE(said(box, "textDocument/didChange").size() == 2);
  REQUIRE(said(box, "initialize").size() == 1);
  REQUIRE(server(client, "shared")["pid"] == pid);
}

TEST_CASE("lsp reload: a text that a server was shown for a check is put back") {
  Sandbox box;
  const std::string sign = (box.work() / ".cache" / "sign").string();
  fs::create_directories(box.work() / ".cache");
  REQUIRE(::mkfifo(sign.c_str(), 0600) == 0);
  serve(box, {"--diagnose", "--diagnose-when", sign});
  auto client = box.connect();
  box.write("work/a.fake", "one");
  const std::string file = (box.work() / "a.fake").string();
  std::thread checks([&] {
    auto other = box.connect();
    (void)other.call("lsp.check_edit", {{"path", file}, {"edits", {{{"old_text", "one"}, {"new_text", "bad wait"}}}}},
                     kTimeout);
  });
  wait_for("the edited text", [&] { return !said(box, "textDocument/didChange").empty(); });
  reload(client);
  {
    std::ofstream out(sign);
    fs::remove(sign);  // the host asks the next instance again, which need not wait
    out << "x";
  }
  checks.join();
  const auto hover = client.call("lsp.request", {{"uri", file}, {"method", "textDocument/hover"}}, kTimeout);
  REQUIRE(hover);
  REQUIRE((*hover)["contents"] == "one");
  const auto problems = client.call("lsp.diagnostics", {{"uri", file}, {"wait_ms", 60'000}}, kTimeout);
  REQUIRE((*problems)["freshness"] == "fresh");
  REQUIRE((*problems)["diagnostics"].empty());
  REQUIRE(said(box, "initialize").size() == 1);
}

TEST_CASE("lsp reload: a server that died meanwhile is started anew, and the editor is told as of a crash") {
  Sandbox box;
  serve(box);
  auto client = box.connect();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  const pid_t first = editor.initialize(0)["result"]["serverInfo"]["pid"];
  open_document(editor, "unsaved");
  (void)editor.request(1, "test/hang");
  wait_for("the hang", [&] { return !said(box, "test/hang").empty(); });
  std::thread killer([&] { ::kill(first, SIGKILL); });
  reload(client);
  killer.join();
  REQUIRE(editor.answer_to(1)["error"]["data"]["kind"] == "unavailable");
  REQUIRE(hover(editor, 2)["result"]["contents"] == "unsaved");
  const auto now = server(client, "attached");
  REQUIRE(now["pid"] != first);
  REQUIRE(now["restarts"] == 1);
}

TEST_CASE("lsp reload: an editor that has said nothing yet, and one whose server is told to go just then") {
  Sandbox box;
  serve(box);
  auto client = box.connect();
  StdioEditor silent(box, {"lsp", "--server", "fake"}), leaving(box, {"lsp", "--server", "fake"});
  (void)leaving.initialize(0);
  wait_for("both editors", [&] {
    const auto all = client.call("lsp.servers", json::object(), kTimeout)->at("servers");
    return std::count_if(all.begin(), all.end(), [](const json& s) { return s.value("kind", "") == "attached"; }) == 2;
  });
  (void)leaving.request(1, "test/hang");
  wait_for("the hang", [&] { return !said(box, "test/hang").empty(); });
  (void)leaving.request(2, "shutdown");
  (void)leaving.answer_to(2);
  (void)leaving.notify("exit");
  reload(client);
  REQUIRE(leaving.wait() == 0);
  wait_for("its end", [&] { return said(box, "exit").size() == 1; });  // it was not killed on the way
  REQUIRE(silent.initialize(0)["result"].contains("capabilities"));
}

TEST_CASE("lsp reload: a server that is still being greeted when the plugin is reloaded serves afterwards") {
  Sandbox box;
  serve(box, {"--hang-initialize"});
  auto client = box.connect();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  (void)editor.request(0, "initialize", {{"rootUri", "file://" + box.work().string()}});
  wait_for("the greeting", [&] { return said(box, "initialize").size() == 1; });
  const pid_t first = server(client, "attached")["pid"];
  reload(client);
  REQUIRE(server(client, "attached")["state"] == "starting");
  REQUIRE(server(client, "attached")["pid"] == first);
  REQUIRE(said(box, "initialize").size() == 1);
  // It can be restarted as ever: the next one is greeted in the editor's words.
  REQUIRE(client.call("lsp.restart", {{"server", "fake"}}, kTimeout));
  wait_for("the next greeting", [&] { return said(box, "initialize").size() == 2; });
}

TEST_CASE("lsp reload: texts that are too large to be handed over are missed only when the server crashes") {
  constexpr std::size_t kSize = 700'000;  // three are more than a message of this host may be
  Sandbox box;
  serve(box, {}, GENERATE("inline", "child"), "[host]\nmax_message_bytes = 1048576\n");
  auto client = box.connect();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  const auto pid = editor.initialize(0)["result"]["serverInfo"]["pid"];
  std::thread writer([&] {
    for (const char* name : {"d", "c", "b"}) {  // as text: large documents take their time to be written
      (void)editor.send_text(
          R"({"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file:///)" +
          std::string(name) + R"(.fake","languageId":"fake","version":1,"text":")" + std::string(kSize, 'x') + "\"}}}");
    }
    open_document(editor, "small");
  });
  writer.join();
  REQUIRE(hover(editor, 1)["result"]["contents"] == "small");
  reload(client);
  REQUIRE(hover(editor, 2)["result"]["contents"] == "small");
  REQUIRE(server(client, "attached")["pid"] == pid);
  (void)editor.request(3, "test/crash");
  REQUIRE(editor.answer_to(3).contains("error"));
  REQUIRE(editor.wait() == 1);
  REQUIRE(box.read("lsp.err").find("too large to be handed over") != std::string::npos);
}

TEST_CASE("lsp reload: the real clangd keeps what it has read, in a process that may start none too") {
  Clangd t(GENERATE("inline", "child"));
  const pid_t first = t.hovers();
  for (int i = 0; i < 3; ++i) {
    reload(t.client);
    REQUIRE(t.hovers() == first);
  }
}

TEST_CASE("lsp reload: a project's settings reach an editor's server while they are trusted, and are told once") {
  Sandbox box;
  const auto write = [&](const std::string& y) {
    box.write("work/.gantry.toml", "[lsp.servers.fake.settings]\ny = \"" + y + "\"\n");
  };
  const auto told = [&] { return said(box, "workspace/didChangeConfiguration"); };
  const auto trust = [&] { REQUIRE(box.run({"trust", box.work().string(), "--yes"}).code == 0); };
  write("first");
  serve(box);
  auto client = box.connect();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  (void)editor.initialize(0);
  const auto asked = [&](int id) {
    (void)editor.request(id, "test/ask",
                         {{"method", "workspace/configuration"}, {"params", {{"items", {{{"section", "y"}}}}}}});
    (void)editor.send({{"id", editor.receive()["id"]}, {"result", {nullptr}}});
    return editor.answer_to(id)["result"]["result"];
  };
  REQUIRE(asked(1) == json::array({nullptr}));
  REQUIRE(told().empty());
  trust();
  wait_for("the settings", [&] { return told().size() == 1; });
  REQUIRE(asked(2) == json{"first"});
  reload(client);
  REQUIRE(asked(3) == json{"first"});
  REQUIRE(told().size() == 1);
  write("second");  // another file is not trusted
  REQUIRE(client.call("host.hello", {{"client", "test"}, {"workspace", box.work().string()}}));
  wait_for("none", [&] { return told().size() == 2; });
  REQUIRE(told().back()["params"]["settings"] == json::object());
  REQUIRE(asked(4) == json::array({nullptr}));
  trust();
  wait_for("the others", [&] { return told().size() == 3; });
  REQUIRE(told().back()["params"]["settings"] == json{{"y", "second"}});
  REQUIRE(asked(5) == json{"second"});
}

TEST_CASE("lsp reload: positions of a server that counts in UTF-8 are understood by the next instance") {
  Sandbox box;
  serve(box, {"--utf8"});
  auto client = box.connect();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  REQUIRE(editor.initialize(0)["result"]["capabilities"]["positionEncoding"] == "utf-16");
  open_document(editor, "\u00e4 bad");
  reload(client);
  const json at{{"line", 0}, {"character", 1}};
  (void)editor.notify("textDocument/didChange",
                      {{"textDocument", {{"uri", "file:///a.fake"}, {"version", 2}}},
                       {"contentChanges", {{{"range", {{"start", at}, {"end", at}}}, {"text", "\u00e4"}}}}});
  REQUIRE(hover(editor, 1)["result"]["contents"].is_string());
  const auto changed = said(box, "textDocument/didChange");
  REQUIRE(changed.size() == 1);
  REQUIRE(changed[0]["params"]["contentChanges"][0]["range"]["start"]["character"] == 2);
}
