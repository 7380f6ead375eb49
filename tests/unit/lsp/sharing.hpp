// SPDX-License-Identifier: Apache-2.0
//
// tests/unit/lsp/sharing.hpp: helpers for tests of several editors that share a server.
#pragma once

#include "tests/unit/lsp/support.hpp"

namespace lsp_test {

[[nodiscard]] inline json hover_of(const std::string& uri) { return {{"textDocument", {{"uri", uri}}}}; }
[[nodiscard]] inline json changed(const std::string& uri, int version, const std::string& text) {
  return {{"textDocument", {{"uri", uri}, {"version", version}}}, {"contentChanges", {{{"text", text}}}}};
}
[[nodiscard]] inline std::size_t attached(TestHost& host) {
  std::size_t count = 0;
  for (const auto& server : value_of(host.call("lsp.servers")).at("servers")) {
    if (server.value("kind", "") == "attached") ++count;
  }
  return count;
}

/// The editor ends its session, as LSP has it.
inline void leave(EditorClient& editor) {
  REQUIRE(editor.ask("shutdown")["result"].is_null());
  editor.notify("exit");
  REQUIRE(value_of(editor.stream().result()).is_null());
}

/// Two editors of one server.
struct Two {
  TempDir dir;
  TestHost host;
  EditorClient a, b;
  json welcome_a, welcome_b;

  explicit Two(std::vector<std::string> options = {})
      : host(kPlugin, config_of({{"fake", fake_server(dir, std::move(options))}}, dir)),
        a(host, {{"server", "fake"}}, 100'000, 1),
        b(host, {{"server", "fake"}}, 100'000, 2),
        welcome_a(a.initialize(dir.path())),
        welcome_b(b.initialize(dir.path())) {}
  [[nodiscard]] std::string file(const std::string& name, const std::string& text) const {
    return "file://" + dir.write(name, text);
  }
  [[nodiscard]] std::vector<json> told(const std::string& method) const { return sent_to(dir, method); }
};

/// Two editors, of which the first reads nothing but the answer to `initialize`, and is the active one.
struct DeafAndOther {
  TempDir dir;
  TestHost host;
  EditorClient deaf, other;

  DeafAndOther()
      : host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir)),
        deaf(host, {{"server", "fake"}}, 1, 1),
        other(host, {{"server", "fake"}}, 100'000, 2) {
    deaf.initialize(dir.path());
    other.initialize(dir.path());
    (void)other.ask("test/echo");
  }
  /// The server asks the deaf editor. What the server says after that, the other is told: the question has gone out.
  void ask(const std::string& method) {
    deaf.send("test/ask", {{"method", method}, {"params", json::object()}});
    deaf.send("test/notify", {{"method", "test/asked"}, {"params", json::object()}});
    (void)other.said("test/asked");
  }
};

}  // namespace lsp_test
