// SPDX-License-Identifier: Apache-2.0
//
// Language servers that go on while the lsp plugin is reloaded, for editors behind `gantry lsp` and for callers, in
// both modes; and those that callers share when its process dies.
#include "integration/editor.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

constexpr auto kPatience = std::chrono::seconds(60);

void serve(Sandbox& box, const std::vector<std::string>& options, const std::string& isolation) {
  json command{GANTRY_BUILD_DIR "/tests/lsp_fake_server", "--log", (box.work() / "said").string()};
  for (const auto& option : options) command.push_back(option);
  box.write("g.toml", "[log]\nstderr = false\n[supervisor]\nintensity = 100\n[plugins.lsp]\nisolation = \"" +
                          isolation + "\"\n[async]\nlsp_request_timeout_seconds = 60\n[lsp.servers.fake]\ncommand = " +
                          command.dump() + "\nlanguages = [\"fake\"]\nextensions = [\".fake\"]\n");
  (void)box.serve({"--config", (box.dir() / "g.toml").string(), "--workspace", box.work().string()});
}

void serve(Sandbox& box, const std::vector<std::string>& options = {}) {
  serve(box, options, GENERATE("inline", "child"));
}

void reload(Client& client) {
  const auto done = client.call("plugin.reload", {{"name", "lsp"}}, kPatience);
  if (!done) FAIL(done.error().message);
}
[[nodiscard]] json server(Client& client, const std::string& kind) {
  for (const auto& entry : client.call("lsp.servers", json::object(), kPatience)->at("servers")) {
    if (entry.value("kind", "") == kind) return entry;
  }
  return json::object();
}
[[nodiscard]] std::vector<json> said(const Sandbox& box, const std::string& method) {
  std::vector<json> out;
  std::istringstream lines(box.read("work/said"));
  for (std::string line; std::getline(lines, line) && !lines.eof();) {
    if (auto message = json::parse(line); message.value("method", "") == method) out.push_back(std::move(message));
  }
  return out;
}
template <class F>
void wait_for(const char* what, F&& condition) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) FAIL("waited in vain for " << what);
    std::this_thread::yield();
  }
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

TEST_CASE("lsp reload: of an editor's thousands of messages none is lost, doubled or out of order") {
  Sandbox box;
  serve(box);
  auto client = box.connect();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  const auto pid = editor.initialize(0)["result"]["serverInfo"]["pid"];
  constexpr int kRequests = 2000, kUnderWay = 48;
  std::atomic<int> answered{0};
  std::thread writer([&] {
    for (int i = 1; i <= kRequests; ++i) {
      while (i - answered > kUnderWay) std::this_thread::yield();
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
    if (i % 250 == 0) {
      reload(client);
      ++reloads;
    }
  }
  if (answered < kRequests) answered = kRequests;
  writer.join();
  REQUIRE(reloads == kRequests / 250);
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
  constexpr int kItems = 3000;  // more than every buffer on the way holds
  (void)editor.request(1, "test/flood", {{"count", kItems}, {"size", 10'000}});
  wait_for("the server to be held back", [&] { return server(client, "attached").contains("waits_for_client"); });
  for (int i = 0; i < 2; ++i) {
    reload(client);
    wait_for("the server to be held back again",
             [&] { return server(client, "attached").contains("waits_for_client"); });
  }
  for (int i = 0; i < kItems; ++i) {
    const auto item = editor.receive();
    REQUIRE(item["params"]["n"] == i);
    REQUIRE(item["params"]["fill"].get<std::string>().size() == 10'000);
  }
  REQUIRE(editor.receive()["result"] == "flooded");
}

TEST_CASE("lsp reload: a server that callers share goes on and knows its documents") {
  Sandbox box;
  serve(box);
  auto client = box.connect();
  box.write("work/a.fake", "one");
  const auto ask = [&] {
    const auto result = client.call(
        "lsp.request", {{"uri", (box.work() / "a.fake").string()}, {"method", "textDocument/hover"}}, kPatience);
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
                      kPatience));
  reload(client);
  const auto diagnostics = client.call("lsp.diagnostics", {{"uri", (box.work() / "a.fake").string()}}, kPatience);
  REQUIRE(diagnostics);
  REQUIRE((*diagnostics)["freshness"] == "fresh");
  REQUIRE((*diagnostics)["diagnostics"][0]["message"] == "wrong");
  REQUIRE(ask()["contents"] == "one");
  REQUIRE(said(box, "textDocument/didOpen").size() == 1);
  box.write("work/a.fake", "another");
  reload(client);
  REQUIRE(ask()["contents"] == "another");
  REQUIRE(said(box, "textDocument/didChange").size() == 1);
  REQUIRE(said(box, "initialize").size() == 1);
  REQUIRE(server(client, "shared")["pid"] == pid);
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
    const auto all = client.call("lsp.servers", json::object(), kPatience)->at("servers");
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
  REQUIRE(client.call("lsp.restart", {{"server", "fake"}}, kPatience));
  wait_for("the next greeting", [&] { return said(box, "initialize").size() == 2; });
}

TEST_CASE("lsp reload: texts that are too large to be handed over are missed only when the server crashes") {
  Sandbox box;
  serve(box);
  auto client = box.connect();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  const auto pid = editor.initialize(0)["result"]["serverInfo"]["pid"];
  // Less than the plugin's own bound, or more; both more than a message of this host may be.
  const std::string text(static_cast<std::size_t>(GENERATE(6, 12)) << 20, 'x');
  std::thread writer([&] {
    for (const char* name : {"c", "b", "a"}) open_document(editor, text, name);
  });
  writer.join();
  REQUIRE(hover(editor, 1)["result"]["contents"] == text);
  reload(client);
  REQUIRE(hover(editor, 2)["result"]["contents"] == text);
  REQUIRE(server(client, "attached")["pid"] == pid);
  (void)editor.request(3, "test/crash");
  REQUIRE(editor.answer_to(3).contains("error"));
  REQUIRE(editor.wait() == 1);
  REQUIRE(box.read("lsp.err").find("too large to be handed over") != std::string::npos);
}

namespace {

struct Clangd {
  Sandbox box;
  Client client;

  explicit Clangd(const std::string& isolation) : client(begin(box, isolation)) {}
  static Client begin(Sandbox& box, const std::string& isolation) {
    box.write("g.toml", "[log]\nstderr = false\n[plugins.lsp]\nisolation = \"" + isolation +
                            "\"\n[async]\nlsp_request_timeout_seconds = 60\n");
    box.write("work/compile_flags.txt", "-std=c++20\n");
    box.write("work/a.cpp", "/// Adds two numbers.\nint add(int a, int b) { return a + b; }\nint x = add(1, 2);\n");
    (void)box.serve({"--config", (box.dir() / "g.toml").string(), "--workspace", box.work().string()});
    return box.connect();
  }
  /// The server's process.
  pid_t hovers() {
    const auto result = client.call("lsp.request",
                                    {{"uri", (box.work() / "a.cpp").string()},
                                     {"method", "textDocument/hover"},
                                     {"params", {{"position", {{"line", 2}, {"character", 9}}}}}},
                                    std::chrono::seconds(90));
    if (!result) FAIL(result.error().message);
    REQUIRE(result->at("contents")["value"].get<std::string>().find("Adds two numbers") != std::string::npos);
    return server(client, "shared")["pid"].get<pid_t>();
  }
  [[nodiscard]] json plugin() {
    for (const auto& entry : *client.call("host.plugins", json::object(), kPatience)) {
      if (entry["name"] == "lsp") return entry;
    }
    return json();
  }
};

[[nodiscard]] std::string stat_of(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(in)), {});
  const auto name_ends = text.rfind(") ");
  return name_ends == std::string::npos ? "" : text.substr(name_ends + 2);
}
[[nodiscard]] bool lives(pid_t pid) { return !stat_of(pid).empty() && stat_of(pid)[0] != 'Z'; }

}  // namespace

TEST_CASE("lsp reload: the real clangd keeps what it has read, in a process that may start none too") {
  Clangd t(GENERATE("inline", "child"));
  const pid_t first = t.hovers();
  for (int i = 0; i < 3; ++i) {
    reload(t.client);
    REQUIRE(t.hovers() == first);
  }
}

TEST_CASE("lsp death: the real clangd is warm after its plugin's process was killed, which could start none itself") {
  Clangd t("child");
  const pid_t first = t.hovers();
  const auto before = t.plugin();
  REQUIRE(before["enforced"].dump().find("seccomp") != std::string::npos);
  REQUIRE(std::stoi(stat_of(first).substr(2)) != before["pid"].get<pid_t>());  // its parent
  ::kill(before["pid"].get<pid_t>(), SIGKILL);
  wait_for("the plugin's end", [&] {
    const auto now = t.plugin();
    return now["state"] != "ready" || now["pid"] != before["pid"];
  });
  REQUIRE(lives(first));
  REQUIRE(t.hovers() == first);
  REQUIRE(t.plugin()["pid"] != before["pid"]);
  REQUIRE(t.box.run({"stop"}).code == 0);
  wait_for("the end of the server", [&] { return !lives(first); });
}

// ---- it dies
// ---------------------------------------------------------------------------------------------------------

namespace {

struct Orphans {
  Sandbox box;
  Client client;

  Orphans() : client(begin(box)) {}
  static Client begin(Sandbox& box) {
    serve(box, {}, "child");
    box.write("work/a.fake", "one");
    return box.connect();
  }
  [[nodiscard]] Result<json> ask(const std::string& method, json params = json::object()) {
    return client.call("lsp.request",
                       {{"uri", (box.work() / "a.fake").string()}, {"method", method}, {"params", std::move(params)}},
                       kPatience);
  }
  [[nodiscard]] std::string hover() {
    auto result = ask("textDocument/hover");
    while (!result && result.error().message.find("backing off") != std::string::npos)
      result = ask("textDocument/hover");
    if (!result) FAIL(result.error().message);
    return result->at("contents");
  }
  [[nodiscard]] json plugin() {
    for (const auto& entry : *client.call("host.plugins", json::object(), kPatience)) {
      if (entry["name"] == "lsp") return entry;
    }
    return json::object();
  }
  void kill_plugin() {
    const auto before = plugin();
    ::kill(before.at("pid").get<pid_t>(), SIGKILL);
    wait_for("the plugin's end", [&] {
      const auto now = plugin();
      return now["state"] != "ready" || now["pid"] != before["pid"];
    });
  }
  [[nodiscard]] json server_pid() { return server(client, "shared")["pid"]; }
};

}  // namespace

TEST_CASE("lsp death: a server that callers share is warm for the next instance, which opens its files anew") {
  Orphans t;
  REQUIRE(t.hover() == "one");
  const auto pid = t.server_pid();
  for (int deaths = 1; deaths <= 3; ++deaths) {
    t.kill_plugin();
    const std::string text = "text " + std::to_string(deaths);
    t.box.write("work/a.fake", text);
    REQUIRE(t.hover() == text);
    REQUIRE(t.server_pid() == pid);
    REQUIRE(said(t.box, "textDocument/didClose").size() == static_cast<std::size_t>(deaths));
    REQUIRE(said(t.box, "textDocument/didOpen").size() == static_cast<std::size_t>(deaths) + 1);
  }
  REQUIRE(said(t.box, "initialize").size() == 1);
  // No id was given twice: an answer to one that died with the plugin would be taken for another's.
  std::set<json> ids;
  for (const auto& hover : said(t.box, "textDocument/hover")) REQUIRE(ids.insert(hover["id"]).second);
}

TEST_CASE("lsp death: what the server was saying then is dropped, to the byte, and it serves on") {
  Orphans t;
  REQUIRE(t.hover() == "one");
  const auto pid = t.server_pid();
  for (int round = 0; round < 5; ++round) {
    std::thread asks([&] {
      Client other = t.box.connect();
      (void)other.call("lsp.request",
                       {{"uri", (t.box.work() / "a.fake").string()},
                        {"method", "test/flood"},
                        {"params", {{"count", 300}, {"size", 20'000}}}},
                       kPatience);
    });
    wait_for("the flood", [&] { return said(t.box, "test/flood").size() == static_cast<std::size_t>(round) + 1; });
    t.kill_plugin();
    asks.join();
    REQUIRE(t.hover() == "one");
    REQUIRE(t.server_pid() == pid);
  }
}

TEST_CASE("lsp death: a server that was told half of a message is started anew") {
  Orphans t;
  REQUIRE(t.hover() == "one");
  const pid_t first = t.server_pid();
  ::kill(first, SIGSTOP);
  std::thread asks([&] {
    Client other = t.box.connect();
    (void)other.call("lsp.request",
                     {{"uri", (t.box.work() / "a.fake").string()},
                      {"method", "test/echo"},
                      {"params", {{"fill", std::string(std::size_t{8} << 20, 'x')}}}},
                     kPatience);
  });
  // Its socket holds less than that.
  wait_for("the request", [&] { return server(t.client, "shared")["clients"] == 1; });
  for (int i = 0; i < 20; ++i) (void)server(t.client, "shared");
  t.kill_plugin();
  asks.join();
  ::kill(first, SIGCONT);
  REQUIRE(t.hover() == "one");
  REQUIRE(t.server_pid() != first);
  REQUIRE(server(t.client, "shared")["last_error"].get<std::string>().find("did not answer after the plugin") !=
          std::string::npos);
}

TEST_CASE("lsp death: a server of another configuration than the one of now is not kept") {
  Orphans t;
  REQUIRE(t.hover() == "one");
  const pid_t first = t.server_pid();
  t.kill_plugin();
  t.box.write("g.toml", t.box.read("g.toml") + "settings = { a = 1 }\n");
  REQUIRE(t.client.call("config.reload", json::object(), kPatience));
  REQUIRE(t.hover() == "one");
  REQUIRE(t.server_pid() != first);
  wait_for("the end of the first", [&] { return ::kill(first, 0) != 0; });
}
