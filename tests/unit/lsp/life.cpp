// SPDX-License-Identifier: Apache-2.0
//
// The ends of a server that nobody asks, or that is above its memory limit; and what lsp.servers says of its use.
#include "tests/unit/lsp/life.hpp"
#include "plugins/lsp/usage.hpp"

using namespace lsp_test;

// ---- idleness

TEST_CASE("lsp idle: a server that nobody asks ends by shutdown and exit and the next call starts it again") {
  Asked t({{"idle_stop_seconds", 60}});
  const int pid = server_entry(t.host, "shared")["pid"];
  t.host.advance(std::chrono::seconds(59));
  REQUIRE(t.ask("test/echo", {{"x", 1}})["x"] == 1);  // and it counts anew
  t.host.advance(std::chrono::seconds(59));
  REQUIRE(server_entry(t.host, "shared")["state"] == "ready");
  wait_for_idleness(t.host, std::chrono::seconds(1));
  require_clean_exits(t.host, 1);
  REQUIRE_FALSE(alive(pid));
  REQUIRE(sent_to(t.dir, "shutdown").size() == 1);
  REQUIRE(t.host.log().find("nobody has asked it for 60 s ([lsp] idle_stop_seconds)") != std::string::npos);
  REQUIRE(count(t.host, "lsp.server.restarting") == 0);
  // Nothing starts by itself, and a mere connection starts nothing.
  EditorClient connected(t.host, {{"server", "fake"}});
  t.host.advance(std::chrono::minutes(10));
  REQUIRE(sent_to(t.dir, "initialize").size() == 1);

  REQUIRE(t.ask("textDocument/hover")["contents"] == "text");
  REQUIRE(sent_to(t.dir, "initialize").size() == 2);
  wait_for_idleness(t.host, std::chrono::seconds(60));  // also this one
  REQUIRE(sent_to(t.dir, "shutdown").size() == 2);
}

TEST_CASE("lsp idle: the default is half an hour and with 0 a server stays") {
  TempDir dir;
  const auto file = dir.write("a.fake", "text");
  auto config = config_of({{"fake", fake_server(dir)}}, dir);
  config["settings"].erase("idle_stop_seconds");
  TestHost host(kPlugin, config);
  REQUIRE(host.call("lsp.request", request(file, "test/echo")));
  host.advance(std::chrono::seconds(1799));
  REQUIRE(server_entry(host, "shared")["state"] == "ready");
  config["settings"]["idle_stop_seconds"] = 0;  // the timer that runs is taken back
  host.reconfigure(config);
  host.wait("the timer", [&] { return host.pending_timers() == 0; });
  host.advance(std::chrono::hours(24));
  REQUIRE(server_entry(host, "shared")["state"] == "ready");
  config["settings"]["idle_stop_seconds"] = 60;
  host.reconfigure(config);
  host.wait("the timer", [&] { return host.pending_timers() == 1; });
  wait_for_idleness(host, std::chrono::seconds(1));
  host.stop();
}

TEST_CASE("lsp idle: a server with a call in flight is not idle") {
  Asked t({{"idle_stop_seconds", 1}});
  auto call = t.host.begin("lsp.request", request(t.file, "test/hang"));
  t.host.wait("the call", [&] { return sent_to(t.dir, "test/hang").size() == 1; });
  t.host.advance(std::chrono::seconds(9));  // less than the call's time
  REQUIRE(server_entry(t.host, "shared")["state"] == "ready");
  REQUIRE(t.ask("test/release") == "released");
  REQUIRE(value_of(call.result()) == "late");
  t.host.wait("the end of the calls", [&] { return server_entry(t.host, "shared")["clients"] == 0; });
  wait_for_idleness(t.host, std::chrono::seconds(1));
}

TEST_CASE("lsp idle: a server that reports progress is not idle") {
  Asked t({{"idle_stop_seconds", 60}});
  const auto progress = [&](const char* kind) {
    REQUIRE(
        t.ask("test/notify", {{"method", "$/progress"}, {"params", {{"token", "index"}, {"value", {{"kind", kind}}}}}})
            .is_null());
  };
  progress("begin");
  t.host.advance(std::chrono::minutes(30));
  REQUIRE(server_entry(t.host, "shared")["state"] == "ready");
  progress("end");
  wait_for_idleness(t.host, std::chrono::seconds(60));
}

TEST_CASE("lsp idle: an editor's server is never idle") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir, json::object(), {{"idle_stop_seconds", 1}}));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  host.advance(std::chrono::hours(24));
  REQUIRE(editor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  REQUIRE(sent_to(dir, "shutdown").empty());
  host.stop();
}

TEST_CASE("lsp idle: a call that comes while the server ends is answered by the next process") {
  TempDir dir;
  const auto file = dir.write("a.fake", "text");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--ignore-exit"})}}, dir, json::object(),
                                   {{"idle_stop_seconds", 60}}));
  REQUIRE(host.call("lsp.request", request(file, "test/echo")));
  host.wait("shutdown", [&] {
    if (server_entry(host, "shared")["state"] == "ready") host.advance(std::chrono::seconds(60));
    return sent_to(dir, "shutdown").size() == 1;
  });
  auto call = host.begin("lsp.request", request(file, "textDocument/hover"));
  host.wait("the call", [&] { return server_entry(host, "shared")["clients"] == 1; });
  host.advance(std::chrono::seconds(2));  // its grace
  REQUIRE(value_of(call.result())["contents"] == "text");
  REQUIRE(sent_to(dir, "initialize").size() == 2);
  stop_stubborn(host);
}

// ---- use

TEST_CASE("lsp.servers: memory and processor time count all that a server has started, whoever is its parent now") {
  Asked t;
  const auto before = server_entry(t.host, "shared");
  REQUIRE(before["processes"] == 1);
  REQUIRE(before["rss_bytes"] > 1 << 20);
  REQUIRE(before["pss_bytes"] <= before["rss_bytes"]);
  REQUIRE(before["cpu_seconds"] >= 0);
  constexpr std::int64_t kMib = 1 << 20;
  (void)t.ask("test/allocate", {{"mib", 64}});
  (void)t.ask("test/child", {{"mib", 64}});
  (void)t.ask("test/child", {{"mib", 64}, {"leaves", true}});
  // The first child shares with its parent what the parent had; the second left a child to the guard, and ends.
  json after;
  t.host.wait("the end of the second child", [&] {
    after = server_entry(t.host, "shared");
    return after["processes"] == 3;
  });
  const auto grown = after["pss_bytes"].get<std::int64_t>() - before["pss_bytes"].get<std::int64_t>();
  REQUIRE(grown > 180 * kMib);
#if !__has_feature(thread_sanitizer)  // it keeps several bytes for each
  REQUIRE(grown < 260 * kMib);
#endif
  REQUIRE(after["rss_bytes"] > after["pss_bytes"]);  // shared memory counts for each
}

TEST_CASE("lsp usage: a process's own numbers are those of the kernel and one that is not there has none") {
  const auto mine = gantry::lsp::usage_of(::getpid());
  REQUIRE(mine);
  REQUIRE(mine->processes >= 1);
  REQUIRE(mine->rss_bytes > 1 << 20);
  REQUIRE(mine->memory() == mine->pss_bytes.value());
  // Walking the page tables is spared where the resident set is below the limit.
  REQUIRE_FALSE(gantry::lsp::usage_of(::getpid(), std::uint64_t{1} << 50)->pss_bytes);
  REQUIRE_FALSE(gantry::lsp::usage_of(std::numeric_limits<int>::max()));
}

TEST_CASE("lsp.servers: who uses a server is named, editors and callers, until they leave") {
  TempDir dir;
  const auto file = dir.write("a.fake", "text");
  TestHost host(kPlugin, config_of({{"fake", unshared(fake_server(dir))}}, dir));
  host.describe_origin(7, {{"client", "nvim"}, {"version", "0.11"}});
  host.describe_origin(8, {{"client", "claude-code"}});
  EditorClient editor(host, {{"server", "fake"}}, 1000, 7);
  editor.initialize(dir.path());
  (void)editor.ask("test/echo");
  REQUIRE(server_entry(host, "attached")["used_by"] ==
          json::array({{{"origin", 7}, {"client", "nvim"}, {"version", "0.11"}, {"requests", 1}}}));
  const auto no_budget = gantry::Duration(-1);
  for (const std::uint64_t origin : {8, 9, 8})
    REQUIRE(host.call("lsp.request", request(file, "test/echo"), no_budget, origin));
  REQUIRE(server_entry(host, "shared")["used_by"] ==
          json::array({{{"origin", 9}, {"requests", 1}}, {{"origin", 8}, {"client", "claude-code"}, {"requests", 2}}}));
  REQUIRE(server_entry(host, "shared")["clients"] == 0);
  host.gone(9);
  host.wait("who left", [&] { return server_entry(host, "shared")["used_by"].size() == 1; });
  // Of many the last are named.
  for (std::uint64_t origin = 100; origin < 140; ++origin)
    REQUIRE(host.call("lsp.request", request(file, "test/echo"), no_budget, origin));
  const auto users = server_entry(host, "shared")["used_by"];
  REQUIRE(users.size() == 32);
  REQUIRE(users.back()["origin"] == 139);
  host.stop();
}

// ---- the memory limit

namespace {

/// Lets so many checks of the memory happen.
void let_checks_pass(TestHost& host, int checks) {
  for (int i = 0; i < checks; ++i) {
    host.advance(std::chrono::seconds(5));
    (void)host.call("lsp.servers");  // on the worker, behind the check
  }
}

}  // namespace

TEST_CASE("lsp memory: a server above its limit at two checks in a row is replaced and says why") {
  Asked t(json::object(), {{"max_memory_mib", 200}});
  let_checks_pass(t.host, 3);
  REQUIRE(server_entry(t.host, "shared")["restarts"] == 0);
  const int pid = server_entry(t.host, "shared")["pid"];
  (void)t.ask("test/allocate", {{"mib", 300}});
  REQUIRE(server_entry(t.host, "shared")["pss_bytes"] > std::int64_t{300} << 20);
  let_checks_pass(t.host, 1);
  REQUIRE(server_entry(t.host, "shared")["pid"] == pid);  // it may be a peak
  let_checks_pass(t.host, 1);
  t.host.wait("the restart", [&] { return count(t.host, "lsp.server.restarting") == 1; });
  const auto reason = t.host.event("lsp.server.restarting").payload["reason"].get<std::string>();
  REQUIRE(reason.find("over its limit of 200 MiB (max_memory_mib)") != std::string::npos);
  REQUIRE(t.host.log().find(reason) != std::string::npos);
  REQUIRE(t.ask("textDocument/hover")["contents"] == "text");
  const auto entry = server_entry(t.host, "shared");
  REQUIRE(entry["pid"] != pid);
  REQUIRE(entry["restarts"] == 1);
  REQUIRE(entry["last_error"].get<std::string>().find("over its limit of 200 MiB") != std::string::npos);
  REQUIRE_FALSE(alive(pid));
}

TEST_CASE("lsp memory: the limit holds for a server with all that it has started") {
  Asked t(json::object(), {{"max_memory_mib", 200}});
  (void)t.ask("test/child", {{"mib", 300}});
  let_checks_pass(t.host, 2);
  t.host.wait("the restart", [&] { return count(t.host, "lsp.server.restarting") == 1; });
  REQUIRE(t.host.event("lsp.server.restarting").payload["reason"].get<std::string>().find("2 processes") !=
          std::string::npos);
}

TEST_CASE("lsp memory: a request that may be repeated waits for the next process and a command fails") {
  TempDir dir, beside;
  const auto file = dir.write("a.fake", "text");
  const auto answers = beside.write("answers", R"({"textDocument/references": {"test/hang": true}})");
  auto server = fake_server(dir, {"--answers", answers});
  server["max_memory_mib"] = 200;
  TestHost host(kPlugin, config_of({{"fake", server}}, dir, {{"lsp_request_timeout_seconds", 600}}));
  REQUIRE(host.call("lsp.request", request(file, "test/allocate", {{"mib", 300}})));
  auto call = host.begin("lsp.request", request(file, "textDocument/references"));
  auto command = host.begin("lsp.request", request(file, "workspace/executeCommand", {{"command", "x"}}));
  host.wait("the calls", [&] {
    return sent_to(dir, "workspace/executeCommand").size() + sent_to(dir, "textDocument/references").size() == 2;
  });
  beside.write("answers", R"({"textDocument/references": []})");
  let_checks_pass(host, 2);
  REQUIRE(value_of(call.result()) == json::array());
  const auto error = command.result().error();
  REQUIRE(error.kind == ErrorKind::unavailable);
  REQUIRE(error.message.find("over its limit of 200 MiB") != std::string::npos);
  REQUIRE(sent_to(dir, "workspace/executeCommand").size() == 1);
  host.stop();
}

TEST_CASE("lsp memory: a server that always exceeds its limit is unavailable in the end, with the reason") {
  Asked t(json::object(), {{"max_memory_mib", 1}});  // less than any process has
  for (std::size_t restart = 1; restart <= 4; ++restart) {
    let_checks_pass(t.host, 2);
    t.host.wait("the restart", [&] { return count(t.host, "lsp.server.restarting") == restart; });
    t.host.advance(std::chrono::seconds(3));  // more than any back-off by now
    wait_for_state(t.host, "shared", "ready");
  }
  let_checks_pass(t.host, 2);
  wait_for_state(t.host, "shared", "failed");
  const auto error = t.host.call("lsp.request", request(t.file, "test/echo")).error();
  REQUIRE(error.kind == ErrorKind::unavailable);
  REQUIRE(error.message.find("over its limit of 1 MiB") != std::string::npos);
  REQUIRE(error.message.find("5 times within 3 minutes") != std::string::npos);
}

TEST_CASE("lsp memory: an editor's server above its limit is replaced and its documents are opened in the next") {
  TempDir dir;
  auto server = fake_server(dir);
  server["max_memory_mib"] = 200;
  TestHost host(kPlugin, config_of({{"fake", server}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  editor.open("file:///a.fake", "unsaved", "fake", 3);
  (void)editor.ask("test/allocate", {{"mib", 300}});
  let_checks_pass(host, 2);
  host.wait("the restart", [&] { return count(host, "lsp.server.restarting") == 1; });
  const auto hover = editor.ask("textDocument/hover", {{"textDocument", {{"uri", "file:///a.fake"}}}});
  REQUIRE(hover["result"]["contents"] == "unsaved");
  REQUIRE(server_entry(host, "attached")["last_error"].get<std::string>().find("over its limit") != std::string::npos);
  host.stop();
}

TEST_CASE("lsp memory: without a limit nothing is looked at") {
  Asked t;
  t.host.wait("the end of the call's time", [&] { return t.host.pending_timers() == 0; });
}
