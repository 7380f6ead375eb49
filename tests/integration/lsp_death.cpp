// SPDX-License-Identifier: Apache-2.0
//
// Language servers that callers share, when the process of the lsp plugin dies.
#include "tests/integration/lsp_servers.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

struct Orphans {
  Sandbox box;
  Client client;

  explicit Orphans(const std::vector<std::string>& options = {}) : client(begin(box, options)) {}
  static Client begin(Sandbox& box, const std::vector<std::string>& options) {
    serve(box, options, "child");
    box.write("work/a.fake", "one");
    return box.connect();
  }
  [[nodiscard]] Result<json> ask(const std::string& method, json params = json::object()) {
    return client.call("lsp.request",
                       {{"uri", (box.work() / "a.fake").string()}, {"method", method}, {"params", std::move(params)}},
                       kTimeout);
  }
  /// The same, of another client; until it is answered.
  [[nodiscard]] std::thread asks(std::string method, json params = json::object()) {
    return std::thread([this, method = std::move(method), params = std::move(params)] {
      Client other = box.connect();
      (void)other.call("lsp.request",
                       {{"uri", (box.work() / "a.fake").string()}, {"method", method}, {"params", params}}, kTimeout);
    });
  }
  [[nodiscard]] std::string hover() {
    Result<json> result;
    wait_for("the plugin", [&] {
      result = ask("textDocument/hover");
      return result || result.error().message.find("backing off") == std::string::npos;
    });
    if (!result) FAIL(result.error().message);
    return result->at("contents");
  }
  [[nodiscard]] json server_pid() { return server(client, "shared")["pid"]; }
};

}  // namespace

TEST_CASE("lsp death: a server that callers share is warm for the next instance, which opens its files anew") {
  Orphans t;
  REQUIRE(t.hover() == "one");
  const auto pid = t.server_pid();
  for (int deaths = 1; deaths <= 3; ++deaths) {
    kill_plugin(t.client);
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
  for (int round = 0; round < 3; ++round) {
    std::thread asks = t.asks("test/flood", {{"count", 300}, {"size", 20'000}});
    wait_for("the flood", [&] { return said(t.box, "test/flood").size() == static_cast<std::size_t>(round) + 1; });
    kill_plugin(t.client);
    asks.join();
    REQUIRE(t.hover() == "one");
    REQUIRE(t.server_pid() == pid);
  }
}

TEST_CASE("lsp death: a server that had said half of a message serves on, whatever the rest looks like") {
  // --noisy: it prints other things than messages, and headers in a way of its own.
  for (const auto& options : std::vector<std::vector<std::string>>{{}, {"--noisy"}}) {
    Orphans t(options);
    REQUIRE(t.hover() == "one");
    const auto pid = t.server_pid();
    std::thread asks = t.asks("test/half_message");
    wait_for("the half", [&] { return said(t.box, "half read").size() == 1; });
    kill_plugin(t.client);
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
  std::thread asks = t.asks("test/echo", {{"fill", std::string(std::size_t{2} << 20, 'x')}});
  wait_for("the request", [&] { return server(t.client, "shared")["clients"] == 1; });
  // One thread of the plugin takes both: when it has the second, it has written what the server's socket holds of the
  // first, which is not all.
  std::thread behind = t.asks("test/echo");
  wait_for("the request behind it", [&] { return server(t.client, "shared")["clients"] == 2; });
  kill_plugin(t.client);
  asks.join();
  behind.join();
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
  kill_plugin(t.client);
  t.box.write("g.toml", t.box.read("g.toml") + "settings = { a = 1 }\n");
  REQUIRE(t.client.call("config.reload", json::object(), kTimeout));
  REQUIRE(t.hover() == "one");
  REQUIRE(t.server_pid() != first);
  wait_for("the end of the first", [&] { return ::kill(first, 0) != 0; });
}

TEST_CASE("lsp death: the real clangd is warm after its plugin's process was killed, which could start none itself") {
  Clangd t("child");
  const pid_t first = t.hovers();
  const auto before = lsp_plugin(t.client);
  REQUIRE(before["enforced"].dump().find("seccomp") != std::string::npos);
  REQUIRE(parent_of(first) != before["pid"].get<pid_t>());
  kill_plugin(t.client);
  REQUIRE(lives(first));
  REQUIRE(t.hovers() == first);
  REQUIRE(lsp_plugin(t.client)["pid"] != before["pid"]);
  REQUIRE(t.box.run({"stop"}).code == 0);
  wait_for("the end of the server", [&] { return !lives(first); });
}

TEST_CASE("lsp death: positions of a server that counts in UTF-8 are understood by the next instance") {
  Orphans t({"--utf8", "--diagnose"});
  t.box.write("work/a.fake", "\u00e4 bad");
  const auto found = [&] {
    REQUIRE(t.hover() == "\u00e4 bad");
    const auto told =
        t.client.call("lsp.diagnostics", {{"uri", (t.box.work() / "a.fake").string()}, {"wait_ms", 60'000}}, kTimeout);
    return told->at("diagnostics").at(0).at("range").at("start").at("character");
  };
  REQUIRE(found() == 2);
  const auto pid = t.server_pid();
  kill_plugin(t.client);
  REQUIRE(found() == 2);
  REQUIRE(t.server_pid() == pid);
}
