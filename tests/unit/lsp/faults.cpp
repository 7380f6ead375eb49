// SPDX-License-Identifier: Apache-2.0
//
// Servers that die, hang, lie and flood, and the end of the plugin.
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;

namespace {

json request(const std::string& file, const std::string& method, json params = json::object()) {
  return {{"uri", file}, {"method", method}, {"params", std::move(params)}};
}

std::size_t count(const TestHost& host, const std::string& topic) {
  std::size_t n = 0;
  for (const auto& event : host.events()) n += event.topic == topic ? 1 : 0;
  return n;
}

}  // namespace

TEST_CASE("lsp crash: what was in flight fails at once, the server is back with the editor's documents, and serves") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  editor.notify("workspace/didChangeConfiguration", {{"settings", {{"a", 1}}}});
  editor.notify("workspace/didChangeWorkspaceFolders",
                {{"event", {{"added", {{{"uri", "file:///more"}, {"name", "more"}}}}}}});
  editor.open("file:///a.fake", "old", "fake", 1);
  editor.notify("textDocument/didChange", {{"textDocument", {{"uri", "file:///a.fake"}, {"version", 4}}},
                                           {"contentChanges", {{{"text", "unsaved text"}}}}});
  editor.open("file:///closed.fake", "x");
  editor.notify("textDocument/didClose", {{"textDocument", {{"uri", "file:///closed.fake"}}}});
  const int hang = editor.send("test/hang");
  const int crash = editor.send("test/crash");
  for (const int id : {hang, crash}) {
    const auto answer = editor.answer(id);
    REQUIRE(answer["error"]["code"] == -32803);
    REQUIRE(kind_of(answer) == "unavailable");
    REQUIRE(answer["error"]["message"].get<std::string>().find("exited with code 7") != std::string::npos);
  }
  const auto hover = editor.ask("textDocument/hover", {{"textDocument", {{"uri", "file:///a.fake"}}}});
  REQUIRE(hover["result"]["contents"] == "unsaved text");
  REQUIRE(hover["result"]["version"] == 4);
  // The editor saw one initialize answer; the server, all that it has to know, in order.
  for (const auto& kept : editor.kept()) REQUIRE_FALSE(kept.contains("result"));
  std::vector<std::string> after;
  bool crashed = false;
  for (const auto& message : sent_to(dir)) {
    if (crashed) after.push_back(message["method"]);
    crashed = crashed || message["method"] == "test/crash";
  }
  REQUIRE(after == std::vector<std::string>{"initialize", "initialized", "workspace/didChangeConfiguration",
                                            "textDocument/didOpen", "textDocument/hover"});
  REQUIRE(sent_to(dir, "initialize").back()["params"]["workspaceFolders"].back()["uri"] == "file:///more");
  const auto entry = server_entry(host, "attached");
  REQUIRE(entry["restarts"] == 1);
  REQUIRE(host.event("lsp.server.restarting").payload["in_ms"] == 0);
  host.stop();
}

TEST_CASE(
    "lsp crash: the second restart waits on the host's clock: five crashes in three minutes are the end until "
    "lsp.restart") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  for (std::size_t crash = 1; crash <= 5; ++crash) {
    const auto error = host.call("lsp.request", request(file, "test/crash")).error();
    REQUIRE(error.kind == ErrorKind::unavailable);
    host.wait("the exit", [&] { return count(host, "lsp.server.exited") == crash; });
    if (crash == 5) break;
    host.wait("the restart", [&] { return count(host, "lsp.server.restarting") == crash; });
    if (crash == 1) continue;
    REQUIRE(server_entry(host, "shared")["state"] == "backing_off");
    host.advance(std::chrono::milliseconds(50));
    REQUIRE(server_entry(host, "shared")["state"] == "backing_off");
    host.advance(std::chrono::seconds(2));
  }
  REQUIRE(server_entry(host, "shared")["state"] == "failed");
  auto error = host.call("lsp.request", request(file, "test/echo")).error();
  REQUIRE(error.kind == ErrorKind::unavailable);
  REQUIRE(error.message.find("5 times within 3 minutes") != std::string::npos);
  REQUIRE(error.message.find("lsp.restart") != std::string::npos);
  REQUIRE(json::parse(error.data)["stderr_tail"].get<std::string>().find("asked to crash") != std::string::npos);
  // Longer than any delay, and the crashes count still.
  host.advance(std::chrono::minutes(1));
  REQUIRE(server_entry(host, "shared")["state"] == "failed");  // stopped stays stopped
  REQUIRE(host.call("lsp.restart", {{"server", "fak"}}).error().kind == ErrorKind::not_found);
  REQUIRE(host.call("lsp.restart", {{"server", "fake"}})->at("restarted") == 1);
  REQUIRE(host.call("lsp.request", request(file, "test/echo", {{"x", 1}}))->at("x") == 1);
  // The crashes before are forgiven: this one is the first again.
  REQUIRE_FALSE(host.call("lsp.request", request(file, "test/crash")));
  REQUIRE(host.call("lsp.request", request(file, "test/echo", {{"x", 2}}))->at("x") == 2);
  host.stop();
}

TEST_CASE("lsp.restart: a restart that was asked for is no crash, however many there are") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  for (int i = 0; i < 6; ++i) {
    REQUIRE(host.call("lsp.request", request(file, "test/echo", {{"x", i}}))->at("x") == i);
    REQUIRE(host.call("lsp.restart", {{"server", "fake"}})->at("restarted") == 1);
    host.wait("the exit", [&] { return count(host, "lsp.server.exited") == static_cast<std::size_t>(i) + 1; });
    host.wait("the next one", [&] { return server_entry(host, "shared")["state"] == "ready"; });
  }
  REQUIRE(count(host, "lsp.server.restarting") == 0);
  REQUIRE(server_entry(host, "shared")["restarts"] == 6);
  host.stop();
}

TEST_CASE("lsp crash: incremental changes are followed in the server's units") {
  TempDir dir;
  json server = fake_server(dir, {"--utf8"});
  server["share"] = "none";  // the editor and the server agree on UTF-8 themselves
  TestHost host(kPlugin, config_of({{"fake", server}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  const auto welcome = editor.initialize(dir.path(), {{"general", {{"positionEncodings", {"utf-8", "utf-16"}}}}});
  REQUIRE(welcome["result"]["capabilities"]["positionEncoding"] == "utf-8");
  editor.open("file:///a.fake", "\u00e9 = 1\n", "fake", 1);
  const json position{{"line", 0}, {"character", 3}};
  const json end{{"line", 0}, {"character", 4}};
  editor.notify("textDocument/didChange",
                {{"textDocument", {{"uri", "file:///a.fake"}, {"version", 2}}},
                 {"contentChanges", {{{"range", {{"start", position}, {"end", end}}}, {"text", "+"}}}}});
  (void)editor.ask("test/crash");
  const auto hover = editor.ask("textDocument/hover", {{"textDocument", {{"uri", "file:///a.fake"}}}});
  REQUIRE(hover["result"]["contents"] == "\u00e9 + 1\n");
  host.stop();
}

TEST_CASE("lsp crash: delays grow, and crashes that lie apart are forgiven") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  std::vector<int> delays;
  const auto crash = [&] {
    const auto before = count(host, "lsp.server.restarting");
    REQUIRE_FALSE(host.call("lsp.request", request(file, "test/crash")));
    host.wait("the restart", [&] { return count(host, "lsp.server.restarting") > before; });
    for (const auto& event : host.events()) {
      if (event.topic == "lsp.server.restarting") delays.push_back(event.payload["in_ms"]);
    }
    delays.erase(delays.begin(), delays.end() - 1);
    host.advance(std::chrono::milliseconds(delays.back() + 1));
    // The clock must not run on while the server starts: its time for that would be over.
    host.wait("the server", [&] { return server_entry(host, "shared")["state"] == "ready"; });
    return delays.back();
  };
  REQUIRE(crash() == 0);
  const int second = crash();
  REQUIRE((second > 149 && second <= 200));
  const int third = crash();
  REQUIRE((third > 299 && third <= 400));
  host.advance(std::chrono::minutes(4));
  for (int i = 0; i < 6; ++i) {
    REQUIRE(crash() == 0);
    host.advance(std::chrono::minutes(4));
  }
  host.stop();
}

TEST_CASE("lsp crash: an editor whose server keeps dying at start gets its initialize answered and its stream ended") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--exit-at-start"})}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  const int init = editor.send("initialize", {{"rootUri", "file://" + dir.path()}});
  for (std::size_t crash = 1; crash < 5; ++crash) {
    host.wait("the restart", [&] { return count(host, "lsp.server.restarting") == crash; });
    host.advance(std::chrono::seconds(3));
  }
  REQUIRE(kind_of(editor.answer(init)) == "unavailable");
  const auto error = editor.stream().result().error();
  REQUIRE(error.kind == ErrorKind::unavailable);
  REQUIRE(error.message.find("exited with code 3") != std::string::npos);
  REQUIRE(json::parse(error.data)["stderr_tail"].get<std::string>().find("no such option") != std::string::npos);
  host.stop();
}

TEST_CASE(
    "lsp faults: a server that hangs in initialize is given up by callers after their time, and killed after its own") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  auto server = fake_server(dir, {"--hang-initialize"});
  server["initialize_timeout_seconds"] = 60;
  TestHost host(kPlugin, config_of({{"fake", server}}, dir));
  auto call = host.begin("lsp.request", request(file, "test/echo"));
  auto diagnostics = host.begin("lsp.diagnostics", {{"uri", file}, {"wait_ms", 1000}});
  host.wait("initialize", [&] { return !sent_to(dir, "initialize").empty(); });
  host.advance(std::chrono::seconds(1));
  REQUIRE(diagnostics.result()->at("freshness") == "timeout");
  host.advance(std::chrono::seconds(9));
  REQUIRE(call.result().error().kind == ErrorKind::timeout);
  REQUIRE(server_entry(host, "shared")["state"] == "starting");
  host.advance(std::chrono::seconds(50));
  (void)host.event("lsp.server.exited");
  host.wait("the reason", [&] {
    return server_entry(host, "shared").value("last_error", "").find("did not answer initialize within 60 s") !=
           std::string::npos;
  });
  host.stop();
}

TEST_CASE("lsp faults: a server that refuses initialize tells its reason") {
  TempDir dir;
  (void)dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--refuse-initialize"})}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  REQUIRE(editor.ask("initialize")["error"]["message"] == "no licence");
  REQUIRE(editor.stream().result().error().kind == ErrorKind::upstream_failed);
  host.stop();
}

TEST_CASE("lsp faults: garbage instead of a message is a crash: the others are unaffected") {
  TempDir dir, other_dir;
  const auto servers = json{{"fake", fake_server(dir)}, {"other", fake_server(other_dir)}};
  TestHost host(kPlugin, config_of(servers, dir));
  EditorClient editor(host, {{"server", "fake"}}), other(host, {{"server", "other"}});
  editor.initialize(dir.path());
  other.initialize(other_dir.path());
  const int held = other.send("test/hang");
  auto answer = editor.ask("test/garbage");
  REQUIRE(kind_of(answer) == "unavailable");
  REQUIRE(answer["error"]["message"].get<std::string>().find("no LSP message") != std::string::npos);
  REQUIRE(editor.ask("test/echo").contains("result"));
  answer = editor.ask("test/bad_json");
  REQUIRE(answer["error"]["message"].get<std::string>().find("malformed JSON") != std::string::npos);
  host.advance(std::chrono::seconds(1));
  REQUIRE(editor.ask("test/echo").contains("result"));
  other.cancel(held);
  REQUIRE(other.answer(held)["error"]["code"] == -32800);
  host.stop();
}

TEST_CASE("lsp faults: a server that prints only noise is ended, and the error quotes it and says who ended it") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--only-noise"})}}, dir));
  auto call = host.begin("lsp.request", request(file, "test/echo"));
  for (std::size_t end = 1; end <= 5; ++end) {
    host.wait("the end", [&] { return count(host, "lsp.server.exited") == end; });
    if (end == 5) break;
    host.wait("the restart", [&] { return count(host, "lsp.server.restarting") == end; });
    host.advance(std::chrono::seconds(2));
  }
  for (const auto& said : {call.result().error().message, server_entry(host, "shared")["last_error"].get<std::string>(),
                           host.event("lsp.server.exited").payload["reason"].get<std::string>()}) {
    CAPTURE(said);
    REQUIRE(said.find("no LSP message") != std::string::npos);
    REQUIRE(said.find(R"("cannot start: \xff no licence\ncannot)") != std::string::npos);
    REQUIRE(said.find("Gantry ended it for that") != std::string::npos);
    REQUIRE(said.find("signal") == std::string::npos);
    REQUIRE(said.find("crashed") == std::string::npos);
    REQUIRE(said.size() < 800);
  }
  host.stop();
}

TEST_CASE("lsp faults: second answers and answers that nobody waits for are dropped") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  REQUIRE(editor.ask("test/twice")["result"] == 1);
  REQUIRE(editor.ask("test/echo").contains("result"));
  REQUIRE(editor.kept().empty());
  REQUIRE(value_of(host.call("lsp.request", request(file, "test/twice"))) == json(1));
  REQUIRE(host.call("lsp.request", request(file, "test/echo")));
  host.stop();
}

TEST_CASE("lsp faults: an answer under an id that no request had is logged once, a late one is not") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", unshared(fake_server(dir))}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  auto hangs = host.begin("lsp.request", request(file, "test/hang"));
  host.wait("the hang", [&] { return !sent_to(dir, "test/hang").empty(); });
  host.advance(std::chrono::seconds(10));
  REQUIRE(hangs.result().error().kind == ErrorKind::timeout);
  REQUIRE(host.call("lsp.request", request(file, "test/release")));
  REQUIRE(host.log().find("no request had") == std::string::npos);
  const std::string text = "1\x1b" + std::string(500, 'x');
  for (int i = 0; i < 2; ++i) REQUIRE(host.call("lsp.request", request(file, "test/answer_other", {{"id", text}})));
  REQUIRE(editor.ask("test/answer_other", {{"id", 999999}}).contains("result"));
  const auto log = host.log();
  const auto first = log.find("no request had"), second = log.find("no request had", first + 1);
  REQUIRE(second != std::string::npos);  // of the editor's server
  REQUIRE(log.find("no request had", second + 1) == std::string::npos);
  REQUIRE(log.find(R"(fake answers "1\u001bxxx)") != std::string::npos);
  REQUIRE(log.find(std::string(100, 'x')) == std::string::npos);
  REQUIRE(log.find("fake answers 999999, an id that no request had") != std::string::npos);
  host.stop();
}

TEST_CASE("lsp faults: a message over 64 MiB is skipped, and the server serves on") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  auto big = host.begin("lsp.request", request(file, "test/big"));
  REQUIRE(host.call("lsp.request", request(file, "test/echo")));
  host.wait("the report",
            [&] { return server_entry(host, "shared").value("last_error", "").find("64 MiB") != std::string::npos; });
  host.advance(std::chrono::seconds(10));
  REQUIRE(big.result().error().kind == ErrorKind::timeout);
  REQUIRE(server_entry(host, "shared")["restarts"] == 0);
  host.stop();
}

TEST_CASE(
    "lsp faults: a server that reads nothing stops the editor's credit: its requests time out: leaving kills it") {
  TempDir dir;
  TestHost host(kPlugin,
                config_of({{"fake", fake_server(dir, {"--deaf"})}}, dir, {}, {{"editor_request_timeout_seconds", 10}}));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  // The socket and the backlog take a few MB; then these wait in line until the credit is used up.
  for (int i = 0; i < 200; ++i) editor.filler(100'000);
  const int asked = editor.send("test/echo");
  host.settle();
  host.advance(std::chrono::seconds(10));
  REQUIRE(kind_of(editor.answer(asked)) == "timeout");
  const int pid = server_entry(host, "attached")["pid"];
  REQUIRE(alive(pid));
  editor.stream().end();
  host.settle();
  host.advance(std::chrono::seconds(2));
  host.wait("the end", [&] { return !alive(pid); });
  host.stop();
}

TEST_CASE("lsp faults: an editor gone in the midst of everything leaves no permit behind") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir, {}, {{"editor_max_concurrent_requests", 1}}));
  {
    EditorClient editor(host, {{"server", "fake"}}, 1'000, 5);
    editor.initialize(dir.path());
    for (int i = 0; i < 10; ++i) editor.send("test/hang");
    host.gone(5);
  }
  EditorClient next(host, {{"server", "fake"}}, 1'000, 6);
  next.initialize(dir.path());
  REQUIRE(next.ask("test/echo").contains("result"));
  host.stop();
}

TEST_CASE("lsp stop: servers end politely, open calls are answered, and nothing is left") {
  TempDir dir, stuck_dir;
  const auto file = dir.write("a.fake", "");
  const auto servers = json{{"fake", fake_server(dir)}, {"stuck", fake_server(stuck_dir, {"--ignore-exit"})}};
  TestHost host(kPlugin, config_of(servers, dir));
  auto call = host.begin("lsp.request", request(file, "test/hang"));
  EditorClient editor(host, {{"server", "stuck"}});
  editor.initialize(stuck_dir.path());
  host.wait("the hang", [&] { return !sent_to(dir, "test/hang").empty(); });
  const int shared = server_entry(host, "shared")["pid"], attached = server_entry(host, "attached")["pid"];
  std::thread clock([&] {
    host.wait("the shutdown", [&] { return !sent_to(stuck_dir, "shutdown").empty() && !sent_to(dir, "exit").empty(); });
    host.advance(std::chrono::seconds(2));
  });
  host.stop();
  clock.join();
  REQUIRE(call.result().error().kind == ErrorKind::unavailable);
  REQUIRE(editor.stream().result().error().kind == ErrorKind::unavailable);
  REQUIRE(sent_to(dir, "exit").size() == 1);
  REQUIRE_FALSE(alive(shared));
  REQUIRE_FALSE(alive(attached));
}

TEST_CASE("lsp stop: a plugin destroyed as it is leaves no process") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  int pid = 0;
  {
    TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--ignore-exit"})}}, dir));
    REQUIRE(host.call("lsp.request", request(file, "test/echo")));
    pid = server_entry(host, "shared")["pid"];
    host.destroy();
  }
  REQUIRE_FALSE(alive(pid));
}

TEST_CASE("lsp crash: what a server has started goes with it") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  const int child = value_of(host.call("lsp.request", request(file, "test/child")));
  REQUIRE(alive(child));
  REQUIRE_FALSE(host.call("lsp.request", request(file, "test/crash")));
  host.wait("its end", [&] { return !alive(child); });
  host.stop();
}

TEST_CASE("lsp stop: calls that wait for a server are told that the plugin stops") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--hang-initialize"})}}, dir));
  auto waits = host.begin("lsp.request", request(file, "test/echo"));
  host.wait("the server", [&] { return !sent_to(dir, "initialize").empty(); });
  auto behind = host.begin("lsp.diagnostics", {{"uri", file}, {"wait_ms", 600'000}});
  host.settle();
  host.stop();
  for (auto* call : {&waits, &behind}) {
    const auto error = call->result().error();
    REQUIRE(error.kind == ErrorKind::unavailable);
    REQUIRE(error.message.find("stopp") != std::string::npos);
  }
}

TEST_CASE("lsp.restart: forgives the crashes before it") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  std::size_t crashes = 0;
  const auto crash = [&] {
    REQUIRE_FALSE(host.call("lsp.request", request(file, "test/crash")));
    ++crashes;
    host.wait("the exit", [&] { return count(host, "lsp.server.exited") == crashes; });
  };
  for (int i = 0; i < 4; ++i) {
    crash();
    host.advance(std::chrono::seconds(2));
    host.wait("the server", [&] { return server_entry(host, "shared")["state"] == "ready"; });
  }
  REQUIRE(host.call("lsp.restart", {{"server", "fake"}})->at("restarted") == 1);
  ++crashes;  // an exit, and no crash
  host.wait("the exit", [&] { return count(host, "lsp.server.exited") == crashes; });
  host.wait("the server", [&] { return server_entry(host, "shared")["state"] == "ready"; });
  crash();  // the fifth within three minutes would be the end
  REQUIRE(host.call("lsp.request", request(file, "test/echo", {{"x", 1}}))->at("x") == 1);
  host.stop();
}

TEST_CASE("lsp faults: an answer that is nested too deep is an error to who asked, and the server serves on") {
  TempDir dir;
  const auto file = dir.write("a.fake", "text");
  const std::vector<std::string> options = GENERATE(std::vector<std::string>{}, std::vector<std::string>{"--utf8"});
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, options)}}, dir));
  EditorClient rich(host, {{"server", "fake"}}), poor(host, {{"server", "fake"}}, 100'000, 2);
  rich.initialize(dir.path());
  poor.initialize(dir.path(), json::object());
  for (auto* const editor : {&rich, &poor}) {
    REQUIRE(editor->ask("test/deep", {{"depth", 200'000}})["error"]["data"]["kind"] == "upstream_failed");
    REQUIRE(editor->ask("test/deep", {{"depth", 500}}).contains("result"));
    const std::string brackets(2'000, '[');
    REQUIRE(editor->ask("test/echo", {{"text", brackets}})["result"]["text"] == brackets);
  }
  const auto called = host.call("lsp.request", request(file, "test/deep", {{"depth", 200'000}}));
  REQUIRE(called.error().message.find("nested deeper than 512 levels") != std::string::npos);
  REQUIRE(host.call("lsp.request", request(file, "test/echo", {{"x", 1}}))->at("x") == 1);
  host.stop();
}
