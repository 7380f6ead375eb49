// SPDX-License-Identifier: Apache-2.0
//
// Servers that answer "not now": their content was modified, or they have cancelled the request
// themselves.
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;

namespace {

constexpr int kContentModified = -32801, kServerCancelled = -32802;
const std::string kRead = "textDocument/references";

[[nodiscard]] json refusal(int code, int times, const json& data = json()) {
  json error{{"code", code}, {"message", "not now"}};
  if (!data.is_null()) error["data"] = data;
  return {{"test/refuse", {{"error", error}, {"times", times}}}};
}

struct Asked {
  TempDir dir;
  std::string file = dir.write("a.fake", "text");
  TestHost host{kPlugin, config_of({{"fake", fake_server(dir)}}, dir)};
  Asked() { REQUIRE(host.call("lsp.request", {{"uri", file}, {"method", "test/echo"}})); }
  ~Asked() { host.stop(); }
  Asked(const Asked&) = delete;
  Asked& operator=(const Asked&) = delete;

  TestStream begin(const std::string& method, const json& params) {
    host.wait("the end of the time of the call before", [&] { return host.pending_timers() == 0; });
    return host.begin("lsp.request", {{"uri", file}, {"method", method}, {"params", params}});
  }
  /// Waits until it pauses for the `n`th time, and then for as long as it does.
  void pass_pause(std::size_t n) {
    const auto waits = [&] { return host.pending_timers() == 2; };  // the call's own time, and the pause
    host.wait("the pause", waits);
    REQUIRE(sent_to(dir, kRead).size() == n);
    const std::chrono::milliseconds pause{100 << (n - 1)};
    host.advance(pause - std::chrono::milliseconds(1));
    REQUIRE(waits());
    host.advance(std::chrono::milliseconds(1));
  }
};

}  // namespace

TEST_CASE(
    "lsp.request: a reading request is asked again when the content was modified or the server has cancelled it") {
  for (const auto& [code, data] : {std::pair(kContentModified, json()), std::pair(kServerCancelled, json()),
                                   std::pair(kServerCancelled, json{{"retriggerRequest", true}})}) {
    Asked t;
    auto call = t.begin(kRead, refusal(code, 3, data));
    for (std::size_t i = 1; i <= 3; ++i) t.pass_pause(i);
    REQUIRE(value_of(call.result())["asked"] == 4);
  }
}

TEST_CASE("lsp.request: an answer that means `not now` is handed on after three retries") {
  Asked t;
  auto call = t.begin(kRead, refusal(kContentModified, 4));
  for (std::size_t i = 1; i <= 3; ++i) t.pass_pause(i);
  const auto error = call.result().error();
  REQUIRE(error.kind == ErrorKind::upstream_failed);
  REQUIRE(json::parse(error.data)["server"]["code"] == kContentModified);
  REQUIRE(sent_to(t.dir, kRead).size() == 4);
}

TEST_CASE("lsp.request: a request that is not only read, and an error that is final, are not asked again") {
  Asked t;
  for (const auto* method : {"textDocument/rename", "workspace/executeCommand", "textDocument/formatting",
                             "textDocument/willSaveWaitUntil", "test/echo"}) {
    INFO(method);
    const auto error = t.begin(method, refusal(kContentModified, 1)).result().error();
    REQUIRE(error.kind == ErrorKind::upstream_failed);
    REQUIRE(sent_to(t.dir, method).size() >= 1);
  }
  REQUIRE(sent_to(t.dir, "textDocument/rename").size() == 1);
  const auto final = refusal(kServerCancelled, 1, {{"retriggerRequest", false}});
  REQUIRE(t.begin(kRead, final).result().error().kind == ErrorKind::upstream_failed);
  REQUIRE(t.begin("workspace/symbol", refusal(-32803, 1)).result().error().kind == ErrorKind::upstream_failed);
}

TEST_CASE("lsp.request: retries end with the call's own time and with its cancellation") {
  Asked t;
  auto call = t.begin(kRead, refusal(kContentModified, 100));
  t.pass_pause(1);
  t.host.wait("the second pause", [&] { return t.host.pending_timers() == 2; });
  call.cancel();
  REQUIRE(call.result().error().kind == ErrorKind::cancelled);
  REQUIRE(server_entry(t.host, "shared")["clients"] == 0);
  t.host.advance(std::chrono::seconds(1));
  REQUIRE(sent_to(t.dir, kRead).size() == 2);

  auto late = t.begin("textDocument/hover", refusal(kContentModified, 100));
  t.host.wait("the pause", [&] { return t.host.pending_timers() == 2; });
  ::kill(server_entry(t.host, "shared")["pid"], SIGSTOP);
  t.host.advance(std::chrono::seconds(10));
  const auto error = late.result().error();
  REQUIRE(error.kind == ErrorKind::timeout);
  ::kill(server_entry(t.host, "shared")["pid"], SIGCONT);
}

TEST_CASE("lsp.request: the disk is looked at before a request is asked again") {
  Asked t;
  auto call = t.begin(kRead, refusal(kContentModified, 1));
  t.host.wait("the pause", [&] { return t.host.pending_timers() == 2; });
  t.dir.write("a.fake", "changed");
  t.host.advance(std::chrono::milliseconds(100));
  REQUIRE(value_of(call.result())["asked"] == 2);
  REQUIRE(sent_to(t.dir, "textDocument/didChange").at(0)["params"]["contentChanges"][0]["text"] == "changed");
}

TEST_CASE("lsp stop: a call that waits to be asked again is told that the plugin stops") {
  TempDir dir;
  const auto file = dir.write("a.fake", "text");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  REQUIRE(host.call("lsp.request", {{"uri", file}, {"method", "test/echo"}}));  // it is ready
  host.wait("the end of that call's time", [&] { return host.pending_timers() == 0; });
  auto call =
      host.begin("lsp.request",
                 {{"uri", file}, {"method", "textDocument/references"}, {"params", refusal(kContentModified, 100)}});
  host.wait("the pause", [&] { return host.pending_timers() == 2; });
  host.stop();
  REQUIRE(call.result().error().kind == ErrorKind::unavailable);
}

TEST_CASE("lsp.attach: an editor gets the server's ContentModified as it is") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  REQUIRE(editor.ask("textDocument/references", refusal(kContentModified, 1))["error"]["code"] == kContentModified);
  REQUIRE(sent_to(dir, "textDocument/references").size() == 1);
  host.stop();
}
