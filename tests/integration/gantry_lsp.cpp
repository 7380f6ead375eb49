// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <set>
#include <tuple>

#include "tests/folders.hpp"
#include "tests/integration/lsp_servers.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

void configure_fake_server(Sandbox& box) {
  box.write("config/gantry/gantry.toml",
            "[async]\nlsp_request_timeout_seconds = 60\n[lsp.servers.fake]\ncommand = [\"" + gantry::folders::build() +
                "/tests/lsp_fake_server\"]\nlanguages = [\"fake\"]\n");
}

}  // namespace

TEST_CASE("gantry lsp: a host that stands still for a while loses nothing, however much goes both ways") {
  Sandbox box;
  configure_fake_server(box);
  const pid_t host = box.serve();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  REQUIRE(editor.initialize(0)["result"].contains("capabilities"));
  constexpr int kRequests = 64;           // so many may wait
  const std::string filler(40'000, 'x');  // all together more than sockets and pipes hold, in both directions
  ::kill(host, SIGSTOP);
  std::thread writer([&] {
    for (int i = 1; i <= kRequests; ++i) {
      if (!editor.request(i, "test/echo", {{"n", i}, {"filler", filler}})) return;
    }
  });
  wait_for("the editor to be held up", [&] { return editor.is_held_up(); });
  ::kill(host, SIGCONT);
  int answered = 0;
  for (int i = 1; i <= kRequests; ++i) {
    const auto answer = editor.answer_to(i);
    if (answer.contains("result") && answer["result"]["n"] == i && answer["result"]["filler"] == filler) ++answered;
  }
  writer.join();
  REQUIRE(answered == kRequests);
}

TEST_CASE("gantry lsp: an editor whose host is killed is told so and ends with 1") {
  Sandbox box;
  configure_fake_server(box);
  const pid_t host = box.serve();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  (void)editor.initialize(0);
  ::kill(host, SIGKILL);
  REQUIRE(editor.wait() == 1);
  REQUIRE(box.read("lsp.err") == "gantry lsp: the host is gone\n");
}

TEST_CASE("gantry lsp: what cannot be attached is said on stderr, with 1") {
  Sandbox box;
  configure_fake_server(box);
  const auto ran = box.run({"lsp", "--server", "fakee"});
  REQUIRE(ran.code == 1);
  REQUIRE(ran.err.find("did you mean \"fake\"?") != std::string::npos);
  require_civil(ran);
  REQUIRE(box.run({"stop"}).code == 0);
}

TEST_CASE("gantry lsp: what was written before the end of the input is delivered before it") {
  Sandbox box;
  configure_fake_server(box);
  (void)box.serve();
  // All of it, and the end, is there before the host has given any credit, and it is more than the first credit.
  // Whether the last message was read, the exit code says: `exit` without `shutdown`.
  std::string input;
  const auto add = [&](const json& message) { append_frame(input, Framing::headers, message.dump()); };
  add({{"jsonrpc", "2.0"},
       {"id", 1},
       {"method", "initialize"},
       {"params", {{"rootPath", box.work().string()}, {"capabilities", json::object()}}}});
  for (int i = 0; i < 400; ++i) add({{"jsonrpc", "2.0"}, {"method", "test/nothing"}});
  add({{"jsonrpc", "2.0"}, {"method", "exit"}});
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  REQUIRE(input.size() < std::size_t{64} << 10);  // so much a pipe holds
  REQUIRE(::write(ends[1], input.data(), input.size()) == static_cast<ssize_t>(input.size()));
  ::close(ends[1]);
  const pid_t pid = box.spawn({"lsp", "--language", "fake"}, box.dir() / "lsp.out", box.dir() / "lsp.err", ends[0]);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  REQUIRE(box.read("lsp.err").empty());
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 1);
  const auto out = json::parse(box.run({"call", "host.status"}).out);
  REQUIRE(out["workspaces"] == json{fs::canonical(box.work()).string()});  // of rootPath, where nothing else is named
}

TEST_CASE("gantry lsp: malformed JSON inside a server's answer is an error for who asked, and the server serves on") {
  Sandbox box;
  configure_fake_server(box);
  (void)box.serve();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  (void)editor.initialize(0);
  for (const auto& [id, method, params] :
       {std::tuple(1, "test/bad_inside", json::object()), {2, "test/deep", json{{"depth", 2000}}}}) {
    (void)editor.request(id, method, params);
    const auto answer = editor.answer_to(id);
    REQUIRE(answer["error"]["code"] == -32803);
    REQUIRE(answer["error"]["data"]["kind"] == "upstream_failed");
  }
  (void)editor.request(3, "test/echo", {{"x", 1}});
  REQUIRE(editor.answer_to(3)["result"]["x"] == 1);
  REQUIRE(json::parse(box.run({"call", "lsp.servers"}).out)["servers"][0]["restarts"] == 0);
}

TEST_CASE("gantry lsp: an editor's text that is no UTF-8, or half a surrogate pair, is replaced and passed on") {
  Sandbox box;
  configure_fake_server(box);
  (void)box.serve();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  (void)editor.initialize(0);
  (void)editor.send_text(R"({"jsonrpc":"2.0","id":1,"method":"test/echo","params":{"text":"cut \ud83d"}})");
  REQUIRE(editor.answer_to(1)["result"]["text"] == "cut \uFFFD");
  (void)editor.send_text("{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"test/echo\",\"params\":{\"text\":\"cut \xC3\"}}");
  REQUIRE(editor.answer_to(2)["result"]["text"] == "cut \uFFFD");
  REQUIRE(box.read("lsp.err").find("U+FFFD") != std::string::npos);
}

TEST_CASE("gantry lsp: a message that the host does not take is left out, answered and told of, and the rest goes on") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", "[host]\nmax_message_bytes = 65536\n[lsp.servers.fake]\ncommand = [\"" +
                                             gantry::folders::build() +
                                             "/tests/lsp_fake_server\"]\nlanguages = [\"fake\"]\n");
  (void)box.serve();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  (void)editor.initialize(0);
  const std::string large(70'000, 'x');
  (void)editor.notify("test/nothing", {{"text", large}});
  const auto said = editor.receive();
  REQUIRE(said["method"] == "window/logMessage");
  REQUIRE(said["params"]["message"].get<std::string>().find("max_message_bytes") != std::string::npos);
  (void)editor.request(1, "test/echo", {{"text", large}});
  auto answer = editor.answer_to(1);
  REQUIRE(answer["error"]["code"] == -32803);
  REQUIRE(answer["error"]["data"]["kind"] == "too_large");
  (void)editor.send_text(R"({"jsonrpc":"2.0","id":2,"method":"test/echo","params":)" + std::string(500, '[') +
                         std::string(500, ']') + "}");
  REQUIRE(editor.answer_to(2)["error"]["data"]["kind"] == "invalid_request");
  (void)editor.send_text(R"({"jsonrpc":"2.0","id":3,"method":"test/echo","params":{"number":1e400}})");
  REQUIRE(editor.answer_to(3)["error"]["data"]["kind"] == "parse_error");
  (void)editor.send_text("{\"jsonrpc\": nonsense");
  REQUIRE(editor.receive()["error"]["code"] == -32700);
  for (int i = 0; i < 300; ++i) {  // more than the host's credit
    (void)editor.send_text("nonsense");
    (void)editor.receive();
  }
  (void)editor.request(4, "test/echo", {{"x", 1}});
  REQUIRE(editor.answer_to(4)["result"]["x"] == 1);
}

TEST_CASE("gantry lsp: an answer or a question that is larger than the host passes on is too_large, with the limit") {
  const auto* const isolation = GENERATE("inline", "child");
  Sandbox box;
  box.write("config/gantry/gantry.toml", "[host]\nmax_message_bytes = 65536\n[plugins.lsp]\nisolation = \"" +
                                             std::string(isolation) + "\"\n[lsp.servers.fake]\ncommand = [\"" +
                                             gantry::folders::build() +
                                             "/tests/lsp_fake_server\"]\nlanguages = [\"fake\"]\n");
  (void)box.serve();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  (void)editor.initialize(0);
  (void)editor.request(1, "test/large", {{"size", 70'000}});
  const auto error = editor.answer_to(1)["error"];
  REQUIRE(error["code"] == -32803);
  REQUIRE(error["data"] == json{{"kind", "too_large"}, {"limit", 65536}});
  REQUIRE(error["message"].get<std::string>().find("65536 bytes ([host] max_message_bytes)") != std::string::npos);
  (void)editor.request(2, "test/ask_large", {{"size", 70'000}});
  REQUIRE(editor.answer_to(2)["result"]["error"]["data"]["kind"] == "too_large");
  (void)editor.request(3, "test/deep", {{"depth", 2000}});
  REQUIRE(editor.answer_to(3)["error"]["data"]["kind"] == "upstream_failed");
  (void)editor.request(4, "test/large", {{"size", 60'000}});
  REQUIRE(editor.answer_to(4)["result"].get<std::string>().size() == 60'000);
}

TEST_CASE("gantry lsp: ids come back as the editor has written them, whatever number that is") {
  Sandbox box;
  configure_fake_server(box);
  (void)box.serve();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  (void)editor.initialize(0);
  const auto ask = [&](const std::string& id) {
    (void)editor.send_text(R"({"jsonrpc":"2.0","id":)" + id + R"(,"method":"test/echo","params":{"x":1}})");
    auto answer = editor.receive_text();
    INFO(answer);
    REQUIRE(answer.find(R"("id":)" + id + ",") != std::string::npos);
    return json::parse(answer.replace(answer.find(id), id.size(), "0"));
  };
  for (const char* id : {"1.0", "1e0", "-7", "1.50", "18446744073709551615", R"("a\/b")"})
    REQUIRE(ask(id)["result"]["x"] == 1);
  // The host takes no such numbers. Who asked is told under the id even so.
  for (const char* id : {"18446744073709551616", "123456789012345678901234567890", "1e400", "-1E+400"})
    REQUIRE(ask(id)["error"]["data"]["kind"] == "parse_error");
  (void)editor.send_text(R"({"jsonrpc":"2.0","id":9.0,"method":"test/hang"})");
  (void)editor.send_text(R"({"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":9}})");
  const auto cancelled = editor.receive_text();
  REQUIRE(cancelled.find(R"("id":9.0)") != std::string::npos);
  REQUIRE(cancelled.find("-32800") != std::string::npos);
}

TEST_CASE(
    "gantry lsp: folders of every spelling are workspaces, and what is no folder of this machine is the server's") {
  Sandbox box;
  configure_fake_server(box);
  (void)box.serve();
  for (const auto* name : {"one", "t:wo", "three"}) fs::create_directory(box.dir() / name);
  const auto path = [&](const char* name) { return (fs::canonical(box.dir()) / name).string(); };
  json folders = json::array();
  for (const auto& uri : {"file:" + path("one"), "file://localhost" + path("t%3awo"), "file://" + path("three/"),
                          "file://server" + path("one"), std::string("untitled:1")})
    folders.push_back({{"uri", uri}, {"name", "x"}});
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  (void)editor.request(0, "initialize", {{"workspaceFolders", folders}, {"capabilities", json::object()}});
  REQUIRE(editor.answer_to(0).contains("result"));
  const auto out = json::parse(box.run({"call", "host.status"}).out);
  REQUIRE(std::set<json>(out["workspaces"].begin(), out["workspaces"].end()) ==
          std::set<json>{path("one"), path("t:wo"), path("three")});
  (void)editor.request(1, "test/cwd");
  REQUIRE(editor.answer_to(1)["result"] == path("one"));
  REQUIRE(box.read("lsp.err").empty());
}

TEST_CASE("gantry lsp: a batch is refused in our words, also as the first message, and the session begins after it") {
  Sandbox box;
  configure_fake_server(box);
  (void)box.serve();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  (void)editor.send_text(R"([{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}])");
  const auto refused = editor.receive();
  REQUIRE(refused["id"].is_null());
  REQUIRE(refused["error"]["message"] == "LSP has no batches: send each message by itself");
  REQUIRE(editor.initialize(2)["result"].contains("capabilities"));
  REQUIRE(box.read("lsp.err").empty());
}

TEST_CASE("gantry lsp: `exit` without `shutdown` ends with 1, and after it with 0") {
  Sandbox box;
  configure_fake_server(box);
  (void)box.serve();
  for (const bool asked : {false, true}) {
    StdioEditor editor(box, {"lsp", "--server", "fake"});
    (void)editor.initialize(0);
    (void)editor.notify("test/nothing", {{"text", "\"shutdown\""}, {"method", "shutdown"}, {"id", 7}});
    if (asked) {
      (void)editor.request(1, "shutdown");
      REQUIRE(editor.answer_to(1).contains("result"));
    }
    (void)editor.notify("exit");
    REQUIRE(editor.wait() == (asked ? 0 : 1));
  }
}

TEST_CASE("gantry lsp: an editor that is stopped by a signal loses nothing, however large what it does not read") {
  for (const auto* isolation : {"inline", "child"}) {
    Sandbox box;
    box.write("config/gantry/gantry.toml", "[host]\nmax_outbound_bytes = 1048576\n[plugins.lsp]\nisolation = \"" +
                                               std::string(isolation) + "\"\n[lsp.servers.fake]\ncommand = [\"" +
                                               gantry::folders::build() +
                                               "/tests/lsp_fake_server\"]\nlanguages = [\"fake\"]\n");
    (void)box.serve();
    auto client = box.connect();
    StdioEditor editor(box, {"lsp", "--server", "fake"});
    (void)editor.initialize(0);
    ::kill(editor.pid(), SIGSTOP);
    constexpr int kItems = 120;                                                    // more than it gives credit for
    (void)editor.request(1, "test/flood", {{"count", kItems}, {"size", 30'000}});  // waits in the pipe
    ::kill(editor.pid(), SIGCONT);
    REQUIRE(editor.receive()["params"]["n"] == 0);  // it has begun
    ::kill(editor.pid(), SIGSTOP);
    wait_for("the server to be held back", [&] {
      const auto servers = client.call("lsp.servers", json::object(), kTimeout);
      return servers && servers->at("servers")[0].value("waits_for_client", false);
    });
    ::kill(editor.pid(), SIGCONT);
    for (int i = 1; i < kItems; ++i) REQUIRE(editor.receive_text() == flood_item(i, 30'000));
    REQUIRE(editor.answer_to(1)["result"] == "flooded");
  }
}

TEST_CASE("gantry lsp: an editor that names no root is served in its own working folder") {
  Sandbox box;
  configure_fake_server(box);
  (void)box.serve({"--workspace", box.work().string()});
  fs::create_directory(box.dir() / "mine");
  box.cwd = (box.dir() / "mine").string();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  (void)editor.request(0, "initialize", {{"rootUri", nullptr}, {"capabilities", json::object()}});
  REQUIRE(editor.answer_to(0).contains("result"));
  (void)editor.request(1, "test/cwd");
  REQUIRE(editor.answer_to(1)["result"] == fs::canonical(box.cwd).string());
}

TEST_CASE("gantry lsp: a server has the environment of the shell that its editor was started in") {
  Sandbox box;
  const std::string isolation = GENERATE("inline", "child");
  serve(box, {}, isolation);
  const auto pid_in = [&](const std::string& venv) {
    box.environment = {"VIRTUAL_ENV=" + venv, "SECRET=of the editor"};
    auto editor = std::make_unique<StdioEditor>(box, std::vector<std::string>{"lsp", "--server", "fake"});
    const auto pid = editor->initialize(0)["result"]["serverInfo"]["pid"].get<int>();
    return std::pair(std::move(editor), pid);
  };
  auto variable = [id = 100](StdioEditor& editor, const char* name) mutable {
    (void)editor.request(++id, "test/variable", {{"name", name}});
    return editor.answer_to(id)["result"];
  };
  const auto [a, pid_a] = pid_in("/one");
  const auto [b, pid_b] = pid_in("/two");
  const auto [c, pid_c] = pid_in("/one");
  REQUIRE(pid_a != pid_b);
  REQUIRE(pid_a == pid_c);
  REQUIRE(variable(*a, "VIRTUAL_ENV") == "/one");
  REQUIRE(variable(*b, "VIRTUAL_ENV") == "/two");
  REQUIRE(variable(*a, "SECRET").is_null());
  auto client = box.connect();
  reload(client);
  (void)a->request(1, "test/crash");
  (void)a->answer_to(1);
  REQUIRE(variable(*a, "VIRTUAL_ENV") == "/one");
  REQUIRE(variable(*b, "VIRTUAL_ENV") == "/two");
}

TEST_CASE("gantry lsp: a server that lies only on the editor's PATH is found there") {
  Sandbox box;
  (void)box.serve({"--workspace", box.work().string()});
  fs::create_directories(box.dir() / "bin");
  const fs::path program = box.dir() / "bin" / "lua-language-server";
  fs::copy_file(gantry::folders::build() + "/tests/lsp_fake_server", program);
  box.environment = {"PATH=" + program.parent_path().string() + ":" + std::getenv("PATH")};
  StdioEditor editor(box, {"lsp", "--language", "lua"});
  (void)editor.request(0, "initialize",
                       {{"rootUri", "file://" + box.work().string()}, {"capabilities", json::object()}});
  REQUIRE(editor.answer_to(0)["result"]["serverInfo"].contains("pid"));
}

TEST_CASE("gantry lsp: a server may write in every folder of the workspace, also in one that comes later") {
  Sandbox box;
  configure_fake_server(box);
  (void)box.serve();
  for (const auto* name : {"one", "two", "later", "never"}) fs::create_directory(box.dir() / name);
  const auto folder = [&](const char* name) {
    return json{{"uri", "file://" + (box.dir() / name).string()}, {"name", name}};
  };
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  (void)editor.request(0, "initialize",
                       {{"workspaceFolders", {folder("one"), folder("two")}}, {"capabilities", json::object()}});
  REQUIRE(editor.answer_to(0).contains("result"));
  (void)editor.notify("initialized");
  int id = 0;
  const auto may_write = [&](const char* name) {
    const auto file = (box.dir() / name / "written").string();
    json answer;
    wait_for("an answer", [&] {  // what meets the old server is answered with an error
      (void)editor.request(++id, "test/write", {{"path", file}});
      answer = editor.answer_to(id);
      return answer.contains("result");
    });
    return answer["result"] == true;
  };
  const auto pid = [&] { return json::parse(box.run({"call", "lsp.servers"}).out)["servers"][0]["pid"]; };
  const auto first = pid();
  REQUIRE(may_write("one"));
  REQUIRE(may_write("two"));
  REQUIRE_FALSE(may_write("later"));
  REQUIRE(pid() == first);
  (void)editor.notify("workspace/didChangeWorkspaceFolders",
                      {{"event", {{"added", {folder("later")}}, {"removed", json::array()}}}});
  wait_for("the new server", [&] { return may_write("later"); });
  REQUIRE(pid() != first);
  REQUIRE(may_write("one"));
  REQUIRE_FALSE(may_write("never"));
}

TEST_CASE("gantry lsp: a cache folder that is not there yet is made for the server, and what is not there is logged") {
  Sandbox box;  // whose folder is the home
  configure_fake_server(box);
  (void)box.serve();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  (void)editor.initialize(0);
  (void)editor.request(1, "test/write", {{"path", (box.dir() / ".cache/written").string()}});
  REQUIRE(editor.answer_to(1)["result"] == true);
  const auto log = box.run({"logs"}).out;
  REQUIRE(log.find((box.dir() / "go/pkg").string() + " is granted and cannot be opened now") != std::string::npos);
}

TEST_CASE("gantry lsp: what a failing server wrote on stderr is in `gantry logs`") {
  Sandbox box;
  configure_fake_server(box);
  (void)box.serve();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  (void)editor.initialize(0);
  (void)editor.request(1, "test/crash");
  REQUIRE(editor.answer_to(1).contains("error"));
  wait_for("the log",
           [&] { return box.run({"logs"}).out.find("fake on stderr: fatal: asked to crash") != std::string::npos; });
}

TEST_CASE("gantry lsp: a flood from the server and large messages of the editor do not wait for each other") {
  Sandbox box;
  configure_fake_server(box);
  (void)box.serve();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  (void)editor.initialize(0);
  constexpr int kLarge = 4;  // more than all that lies between holds, as the flood is
  const std::string large = R"({"jsonrpc":"2.0","method":"test/nothing","params":{"filler":")" +
                            std::string(std::size_t{2} << 20, 'x') + "\"}}";
  std::thread writer([&] {
    (void)editor.request(100, "test/flood", {{"count", 500}, {"size", 10'000}});
    for (int i = 1; i <= kLarge; ++i) {
      if (!editor.send_text(large)) return;
    }
    (void)editor.request(101, "test/echo", {{"x", 1}});
  });
  const auto flooded = editor.answer_to(100);
  const auto echo = editor.answer_to(101);
  writer.join();
  INFO(flooded.dump() << " " << echo.dump());
  REQUIRE(flooded.contains("result"));
  REQUIRE(flooded["result"] == "flooded");
  REQUIRE(echo.contains("result"));
  REQUIRE(echo["result"]["x"] == 1);
}
