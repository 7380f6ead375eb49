// SPDX-License-Identifier: Apache-2.0
//
// What lsp.servers says of the use of a server.
#include "plugins/lsp/usage.hpp"
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;

namespace {

json request(const std::string& file, const std::string& method, json params = json::object()) {
  return {{"uri", file}, {"method", method}, {"params", std::move(params)}};
}

/// One shared server that has been asked once.
struct Asked {
  TempDir dir;
  std::string file = dir.write("a.fake", "text");
  TestHost host{kPlugin, config_of({{"fake", fake_server(dir)}}, dir)};
  Asked() { REQUIRE(host.call("lsp.request", request(file, "test/echo"))); }
  ~Asked() { host.stop(); }
  Asked(const Asked&) = delete;
  Asked& operator=(const Asked&) = delete;
  [[nodiscard]] json ask(const std::string& method, const json& params = json::object()) {
    return value_of(host.call("lsp.request", request(file, method, params)));
  }
};

}  // namespace

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
  REQUIRE(grown < 260 * kMib);
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
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
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
