// SPDX-License-Identifier: Apache-2.0
#include "integration/editor.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

void configure_fake_server(Sandbox& box) {
  box.write("config/gantry/gantry.toml",
            "[async]\nlsp_request_timeout_seconds = 60\n[lsp.servers.fake]\ncommand = [\"" GANTRY_BUILD_DIR
            "/tests/lsp_fake_server\"]\nlanguages = [\"fake\"]\n");
}

}  // namespace

TEST_CASE("gantry lsp: a host that stands still for a while loses nothing, however much goes both ways") {
  Sandbox box;
  configure_fake_server(box);
  const pid_t host = box.serve();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  REQUIRE(editor.initialize(0)["result"].contains("capabilities"));
  constexpr int kRequests = 64;            // so many may wait
  const std::string filler(100'000, 'x');  // more than sockets and pipes hold, in both directions
  ::kill(host, SIGSTOP);
  std::thread writer([&] {
    for (int i = 1; i <= kRequests; ++i) {
      if (!editor.request(i, "test/echo", {{"n", i}, {"filler", filler}})) return;
      if (i == 2) ::kill(host, SIGCONT);
    }
  });
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
  // All of it, and the end, is there before the host has given any credit.
  std::string input;
  const auto add = [&](const json& message) { append_frame(input, Framing::headers, message.dump()); };
  add({{"jsonrpc", "2.0"},
       {"id", 1},
       {"method", "initialize"},
       {"params", {{"rootPath", box.work().string()}, {"capabilities", json::object()}}}});
  add({{"jsonrpc", "2.0"}, {"id", 2}, {"method", "shutdown"}});
  add({{"jsonrpc", "2.0"}, {"method", "exit"}});
  box.write("input", input);
  const int in = ::open((box.dir() / "input").c_str(), O_RDONLY | O_CLOEXEC);
  const pid_t pid = box.spawn({"lsp", "--language", "fake"}, box.dir() / "lsp.out", box.dir() / "lsp.err", in);
  ::close(in);
  int status = 0;
  ::waitpid(pid, &status, 0);
  INFO(box.read("lsp.err"));
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  const auto out = json::parse(box.run({"call", "host.status"}).out);
  REQUIRE(out["workspaces"] == json{fs::canonical(box.work()).string()});  // of rootPath, where nothing else is named
}

TEST_CASE("gantry lsp: malformed JSON inside a server's answer is an error for who asked, and the end of that server") {
  Sandbox box;
  configure_fake_server(box);
  (void)box.serve();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  const auto first = editor.initialize(0)["result"]["serverInfo"]["pid"];
  (void)editor.request(1, "test/bad_inside");
  const auto answer = editor.answer_to(1);
  REQUIRE(answer["error"]["code"] == -32803);
  REQUIRE(answer["error"]["data"]["kind"] == "upstream_failed");
  // What still meets the dying server is answered with an error; the next one serves.
  json echo;
  int id = 1;
  wait_for("the next one to serve", [&] {
    (void)editor.request(++id, "test/echo", {{"x", 1}});
    echo = editor.answer_to(id);
    return echo.contains("result");
  });
  REQUIRE(echo["result"]["x"] == 1);
  const auto servers = json::parse(box.run({"call", "lsp.servers"}).out)["servers"];
  REQUIRE(servers[0]["restarts"] == 1);
  REQUIRE(servers[0]["pid"] != first);
}

TEST_CASE("gantry lsp: a flood from the server and large messages of the editor do not wait for each other") {
  Sandbox box;
  configure_fake_server(box);
  (void)box.serve();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  (void)editor.initialize(0);
  constexpr int kLarge = 8;
  const std::string filler(std::size_t{2} << 20, 'x');
  std::thread writer([&] {
    (void)editor.request(100, "test/flood", {{"count", 2000}, {"size", 10'000}});
    for (int i = 1; i <= kLarge; ++i) {
      if (!editor.notify("test/nothing", {{"filler", filler}})) return;
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
