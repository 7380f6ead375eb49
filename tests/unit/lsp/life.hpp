// SPDX-License-Identifier: Apache-2.0
//
// tests/unit/lsp/life.hpp: helpers for tests of the ends of a server.
#pragma once

#include <algorithm>

#include "tests/unit/lsp/support.hpp"

namespace lsp_test {

inline json request(const std::string& file, const std::string& method, json params = json::object()) {
  return {{"uri", file}, {"method", method}, {"params", std::move(params)}};
}

inline std::size_t count(const TestHost& host, const std::string& topic) {
  std::size_t n = 0;
  for (const auto& event : host.events()) n += event.topic == topic ? 1 : 0;
  return n;
}

/// Waits until lsp.servers shows the state of the server of this kind, and returns what it shows.
inline json wait_for_state(TestHost& host, const std::string& kind, const std::string& state) {
  json entry;
  host.wait(("the state " + state).c_str(), [&] {
    entry = server_entry(host, kind);
    return entry.value("state", "") == state;
  });
  return entry;
}

inline void require_stopped(const gantry::Error& error) {
  REQUIRE(error.kind == ErrorKind::unavailable);
  REQUIRE(error.message.find("fake was stopped") != std::string::npos);
  REQUIRE(error.message.find("gantry call lsp.restart server=fake") != std::string::npos);
}

/// Who ended how, of those that were told to: by its own exit, not by a signal.
inline void require_clean_exits(TestHost& host, std::size_t exits) {
  host.wait("the exits", [&] { return count(host, "lsp.server.exited") >= exits; });
  REQUIRE(count(host, "lsp.server.exited") == exits);
  for (const auto& event : host.events()) {
    if (event.topic != "lsp.server.exited") continue;
    REQUIRE(event.payload["reason"].get<std::string>().ends_with("exited with code 0"));  // and has closed its output
  }
}

/// Lets time pass until the shared server has ended for its idleness. In steps: the end of the last call, from which
/// the time counts, may be noted after its answer has come.
inline void wait_for_idleness(TestHost& host, std::chrono::seconds step) {
  host.wait("the idle stop", [&] {
    const auto state = server_entry(host, "shared")["state"];
    if (state == "ready") host.advance(step);  // but not through its grace
    return state == "not_started";
  });
}

/// Stops a server that does not exit by itself, and the plugin.
inline void stop_stubborn(TestHost& host) {
  REQUIRE(host.call("lsp.stop", {{"server", "fake"}}));
  host.advance(std::chrono::seconds(2));
  wait_for_state(host, "shared", "stopped");
  host.stop();
}

/// One shared server that has been asked once.
struct Asked {
  TempDir dir;
  std::string file = dir.write("a.fake", "text");
  TestHost host;
  explicit Asked(const json& lsp = json::object(), const json& server = json::object())
      : host(kPlugin, config_of({{"fake", merged(fake_server(dir), server)}}, dir, json::object(), lsp)) {
    REQUIRE(host.call("lsp.request", request(file, "test/echo")));
  }
  ~Asked() { host.stop(); }
  Asked(const Asked&) = delete;
  Asked& operator=(const Asked&) = delete;
  static json merged(json into, const json& other) {
    into.update(other);
    return into;
  }
  [[nodiscard]] json ask(const std::string& method, const json& params = json::object()) {
    return value_of(host.call("lsp.request", request(file, method, params)));
  }
};

}  // namespace lsp_test
