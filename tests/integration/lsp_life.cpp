// SPDX-License-Identifier: Apache-2.0
//
// Language servers of a whole host: their stop from the command line, their use, and their end with a host that is
// killed; with the lsp plugin inside the host and in a process of its own.
#include "tests/integration/lsp_servers.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

struct Served {
  Sandbox box;
  Client client;
  pid_t host = -1;

  explicit Served(const std::string& isolation, const std::string& more = {}) : client(begin(box, isolation, more)) {
    host = box.host_pid().value_or(-1);
  }
  static Client begin(Sandbox& box, const std::string& isolation, const std::string& more) {
    serve(box, {}, isolation, more);
    box.write("work/a.fake", "text");
    return box.connect();
  }
  [[nodiscard]] Result<json> ask(const std::string& method, json params = json::object()) {
    return client.call("lsp.request",
                       {{"uri", (box.work() / "a.fake").string()}, {"method", method}, {"params", std::move(params)}},
                       kTimeout);
  }
};

}  // namespace

TEST_CASE("lsp life: gantry call lsp.stop ends a server until lsp.restart and an editor is told what to do") {
  for (const std::string isolation : {"inline", "child"}) {
    CAPTURE(isolation);
    Served t(isolation);
    REQUIRE(t.ask("test/echo"));
    const pid_t pid = server(t.client, "shared")["pid"];
    const auto ran = t.box.run({"call", "lsp.stop", "server=fake"});
    REQUIRE(ran.code == 0);
    REQUIRE(json::parse(ran.out) == json{{"server", "fake"}, {"stopped", 1}});
    wait_for("the end of the server", [&] { return !lives(pid); });
    REQUIRE(t.ask("test/echo").error().kind == ErrorKind::unavailable);
    const auto editor = t.box.run({"lsp", "--server", "fake"});
    REQUIRE(editor.code == 1);
    REQUIRE(editor.err.find("gantry call lsp.restart server=fake") != std::string::npos);
    REQUIRE(t.box.run({"call", "lsp.restart", "server=fake"}).code == 0);
    REQUIRE(t.ask("test/echo"));
    REQUIRE(said(t.box, "exit").size() == 1);
    REQUIRE(t.box.run({"stop"}).code == 0);
  }
}

TEST_CASE("lsp life: lsp.servers tells the memory, the processor time and the users of a server in both modes") {
  for (const std::string isolation : {"inline", "child"}) {
    CAPTURE(isolation);
    Served t(isolation);
    REQUIRE(t.client.call("host.hello", {{"client", "the test"}, {"version", "1"}}, kTimeout));
    REQUIRE(t.ask("test/child", {{"mib", 64}}));
    const auto entry = server(t.client, "shared");
    CAPTURE(entry.dump());
    REQUIRE(entry["processes"] == 2);
    REQUIRE(entry["rss_bytes"] > std::int64_t{64} << 20);
    REQUIRE(entry["cpu_seconds"] >= 0);
    // A process that is confined may not look into others: it has the resident sets alone.
    REQUIRE(entry.contains("pss_bytes") == (isolation == "inline"));
    REQUIRE(entry["used_by"].size() == 1);
    REQUIRE(entry["used_by"][0]["client"] == "the test");
    REQUIRE(entry["used_by"][0]["requests"] == 1);
    REQUIRE(t.box.run({"stop"}).code == 0);
  }
}

TEST_CASE("lsp life: a memory limit holds in a process of its own, by the resident sets") {
  Served t("child", "max_memory_mib = 100\n");
  REQUIRE(t.ask("test/allocate", {{"mib", 200}}));
  wait_for("the restart", [&] { return server(t.client, "shared").value("restarts", 0) == 1; });
  const auto why = server(t.client, "shared").value("last_error", "");
  REQUIRE(why.find("resident set") != std::string::npos);
  REQUIRE(why.find("over its limit of 100 MiB") != std::string::npos);
  REQUIRE(t.ask("textDocument/hover"));
  REQUIRE(t.box.run({"stop"}).code == 0);
}

TEST_CASE("lsp life: no process of a server outlives a host that is killed, nor what the server has left behind") {
  for (const std::string isolation : {"inline", "child"}) {
    CAPTURE(isolation);
    Served t(isolation);
    const auto child = t.ask("test/child");
    const auto left = t.ask("test/child", {{"leaves", true}});
    REQUIRE((child && left));
    StdioEditor editor(t.box, {"lsp", "--server", "fake"});
    (void)editor.initialize(1);
    std::vector<pid_t> all{child->get<pid_t>(), left->get<pid_t>()};
    for (const char* kind : {"shared", "attached"}) {
      all.push_back(server(t.client, kind)["pid"]);
      all.push_back(parent_of(all.back()));  // its guard
    }
    REQUIRE(parent_of(all[1]) == all[3]);  // it was left to the guard
    for (const pid_t pid : all) REQUIRE(lives(pid));
    ::kill(t.host, SIGKILL);
    REQUIRE(t.box.wait(t.host) == 128 + SIGKILL);
    for (const pid_t pid : all) wait_for("the end of a process", [pid] { return !lives(pid); });
  }
}
