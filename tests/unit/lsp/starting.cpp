// SPDX-License-Identifier: Apache-2.0
//
// Shared servers that take minutes to answer `initialize`, as those of large Java and Kotlin
// projects do.
#include <sys/stat.h>

#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;

namespace {

struct Slow {
  TempDir dir, beside;
  std::string file = dir.write("a.fake", "text");
  std::string fifo = beside / "fifo";
  TestHost host;
  explicit Slow(const json& seconds = json()) : host(kPlugin, config(seconds)) {
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  }

  [[nodiscard]] json config(const json& seconds) const {
    auto server = fake_server(dir, {"--initialize-when", fifo});
    if (!seconds.is_null()) server["initialize_timeout_seconds"] = seconds;
    return config_of({{"fake", server}}, dir);
  }
  TestStream begin() {
    return host.begin("lsp.request", {{"uri", file}, {"method", "test/echo"}, {"params", {{"x", 1}}}});
  }
  void wait_for_initialize() {
    host.wait("initialize", [&] { return !sent_to(dir, "initialize").empty(); });
  }
  std::string state() { return server_entry(host, "shared").value("state", ""); }
  void answer_initialize() { std::ofstream(fifo) << "now" << std::flush; }
};

}  // namespace

TEST_CASE("lsp.request: a server that takes minutes to start outlives a call's own time and serves the next") {
  Slow t;
  auto first = t.begin();
  t.wait_for_initialize();
  const pid_t server = server_entry(t.host, "shared")["pid"];
  t.host.advance(std::chrono::seconds(10));
  REQUIRE(first.result().error().kind == ErrorKind::timeout);
  t.host.advance(std::chrono::seconds(289));
  REQUIRE(t.state() == "starting");
  auto second = t.begin();
  t.answer_initialize();
  REQUIRE(value_of(second.result())["x"] == 1);
  REQUIRE(server_entry(t.host, "shared")["pid"] == server);
  REQUIRE(sent_to(t.dir, "initialize").size() == 1);
  t.host.advance(std::chrono::hours(1));  // that time is over, and means nothing any more
  REQUIRE(t.state() == "ready");
  t.host.stop();
}

TEST_CASE("lsp.request: a server has initialize_timeout_seconds to start, by default five minutes, and 0 is no limit") {
  for (const auto& [seconds, time] : {std::pair(json(), 300), std::pair(json(7), 7)}) {
    Slow t(seconds);
    [[maybe_unused]] const auto call = t.begin();
    t.wait_for_initialize();
    t.host.advance(std::chrono::seconds(time - 1));
    REQUIRE(t.state() == "starting");
    t.host.advance(std::chrono::seconds(1));
    const auto reason = t.host.event("lsp.server.restarting").payload["reason"].get<std::string>();
    REQUIRE(reason.ends_with("did not answer initialize within " + std::to_string(time) + " s"));
    t.host.stop();
  }
  Slow t(0);
  [[maybe_unused]] const auto call = t.begin();
  t.wait_for_initialize();
  t.host.advance(std::chrono::hours(48));
  REQUIRE(t.state() == "starting");
  t.host.stop();
}

TEST_CASE("lsp.request: a call that waited for a server to start is about the file as it is by then") {
  Slow t;
  auto call = t.host.begin("lsp.request", {{"uri", t.file}, {"method", "textDocument/hover"}});
  t.wait_for_initialize();
  t.host.wait("the call to wait", [&] { return server_entry(t.host, "shared")["clients"] == 1; });
  t.dir.write("a.fake", "changed meanwhile");
  t.answer_initialize();
  REQUIRE(value_of(call.result())["contents"] == "changed meanwhile");
  t.host.stop();
}

TEST_CASE("lsp stop: a server that is being started ends at once") {
  Slow t(0);
  auto call = t.begin();
  t.wait_for_initialize();
  const pid_t server = server_entry(t.host, "shared")["pid"];
  t.host.stop();  // on a clock that stands still
  REQUIRE(call.result().error().kind == ErrorKind::unavailable);
  REQUIRE_FALSE(alive(server));
}
