// SPDX-License-Identifier: Apache-2.0
//
// What a plugin may be called, whose topics and logs are its own, and which clients it may ask.
#include "host/trust/plugin_rights.hpp"
#include "tests/folders.hpp"
#include "tests/unit/support/rpc_client.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

/// Plugins that are never loaded: some came with the host, others are configured by path.
struct Found {
  TempDir bundled;
  TempDir elsewhere;
  std::vector<PluginSpec> configured;

  static json manifest(const std::string& id, const std::vector<std::string>& services) {
    return {{"id", id},
            {"version", "1.0.0"},
            {"abi", {{"major", GANTRY_ABI_MAJOR}, {"minor", 0}}},
            {"services", services},
            {"methods", json::array()}};
  }
  static std::filesystem::path write(const std::filesystem::path& folder, const std::string& name, const json& text) {
    std::ofstream(folder / (name + ".json")) << text;
    std::ofstream(folder / (name + ".so")) << "";
    return folder / (name + ".so");
  }
  void with_host(const std::string& name, const std::vector<std::string>& services) const {
    write(bundled.path(), name, manifest(name, services));
  }
  void by_path(const std::string& name, const json& text) {
    PluginSpec spec;
    spec.name = name;
    spec.library = write(elsewhere.path(), name, text);
    configured.push_back(spec);
  }
  [[nodiscard]] std::vector<PluginSpec> all() const { return find_plugins(bundled.path(), configured); }
  [[nodiscard]] PluginSpec one(const std::string& name) const {
    for (auto& spec : all()) {
      if (spec.name == name) return spec;
    }
    FAIL("there is no " << name);
    return {};
  }
};

[[nodiscard]] PluginRights rights_of(const PluginSpec& spec) {
  return {spec.principal(), std::make_shared<std::atomic<std::uint64_t>>(0),
          [](const auto&, const auto&, std::string_view) {}};
}

[[nodiscard]] std::vector<std::string> taken(Subscription& subscription) {
  std::vector<std::string> out;
  while (const auto next = subscription.take())
    out.push_back(next->event.topic + "@" + std::to_string(next->event.seq));
  return out;
}

const LogOwner kOne{"one", false};
const LogOwner kTwo{"two", false};
const LogOwner kHosts{"state", true};

}  // namespace

TEST_CASE("security: a plugin's id is the name of its table, whatever its manifest says") {
  Found f;
  f.with_host("project_state", {"state"});
  auto manifest = Found::manifest("state", {"notes"});
  manifest["publishes"] = {"notes.**", "state.session.*"};
  manifest["subscribes"] = {"state.**"};
  f.by_path("notes", manifest);
  const auto spec = f.one("notes");
  REQUIRE(spec.failure.empty());
  REQUIRE(spec.manifest->id == "notes");
  REQUIRE(spec.warning().find("its manifest says that its id is state") != std::string::npos);
  const auto rights = rights_of(spec);
  REQUIRE(rights.may_call("notes.list", {}));
  REQUIRE(rights.may_call("state.session.list", {}).error().kind == ErrorKind::permission_denied);
  REQUIRE(rights.granted_topics(GrantKind::publish, spec.manifest->publishes) == std::vector<std::string>{"notes.**"});
  REQUIRE(rights.granted_topics(GrantKind::subscribe, spec.manifest->subscribes).empty());
  REQUIRE(f.one("project_state").warning().empty());
}

TEST_CASE("security: no plugin has a name or a service that is another's, and what came with the host wins") {
  Found f;
  f.with_host("zebra", {"stripes"});
  SECTION("its service is offered by another, who comes first by name") {
    f.by_path("aaa", Found::manifest("aaa", {"stripes"}));
  }
  SECTION("its service is another's name") { f.by_path("stripes", Found::manifest("stripes", {"more"})); }
  SECTION("its name is another's service") { f.by_path("aaa", Found::manifest("aaa", {"zebra"})); }
  REQUIRE(f.one("zebra").failure.empty());
  const auto other = f.one(f.configured.front().name);
  INFO(other.failure);
  REQUIRE(other.failure.ends_with("; that one came with the host"));
  REQUIRE_FALSE(other.manifest);
}

TEST_CASE("security: a plugin that is disabled leaves its services to another") {
  Found f;
  f.with_host("zebra", {"stripes"});
  f.by_path("aaa", Found::manifest("aaa", {"stripes"}));
  PluginSpec off;
  off.name = "zebra";
  off.enabled = false;
  f.configured.push_back(off);
  REQUIRE(f.one("aaa").failure.empty());
}

TEST_CASE("security: a plugin asks no client but one whose call is open") {
  TestDaemon t;
  Raw victim(t.socket());
  victim.line(request(1, "host.hello", {{"client", "editor"}, {"answers", true}}));
  REQUIRE(victim.answer().contains("result"));
  victim.line(request(2, "lsp_shaped.caller"));
  const auto origin = victim.answer()["result"]["origin"].get<std::uint64_t>();  // answered: no call of it is open
  const json ask{{"method", "window/ask"}, {"client", origin}};
  Raw other(t.socket());
  other.line(request(1, "lsp_shaped.ask", ask));
  REQUIRE(kind_of(other.answer()) == "permission_denied");
  other.line(request(2, "lsp_shaped.ask", {{"method", "window/ask"}, {"client", origin + 1000}}));
  REQUIRE(kind_of(other.answer()) == "permission_denied");
  victim.line(request(3, "echo.say"));
  REQUIRE(victim.receive()["id"] == 3);  // it was not asked
  victim.line(request(4, "lsp_shaped.ask", ask));
  REQUIRE(victim.receive()["method"] == "window/ask");  // now one is
}

TEST_CASE("security: a log is the plugin's that named its epoch first, and the bus's own is nobody's") {
  EventBus bus("own", 10);
  const auto heard = bus.subscribe({"**"}, [] {})->subscription;
  REQUIRE(bus.publish("a.b", "1"));
  REQUIRE(bus.publish_logged("one.a", "log", 5, "1", kOne));
  for (const char* epoch : {"own", "log"}) {
    CAPTURE(epoch);
    const auto refused = bus.publish_logged("two.a", epoch, std::uint64_t{1} << 62U, "1", kTwo);
    REQUIRE(refused.error().kind == ErrorKind::permission_denied);
  }
  REQUIRE(bus.publish_logged("one.a", "log", 6, "1", kOne));
  REQUIRE(taken(*heard) == std::vector<std::string>{"a.b@1", "one.a@5", "one.a@6"});
  REQUIRE(bus.subscribe({"**"}, [] {}, {.since = {{"own", 0}, {"log", 5}}})->gaps.empty());
}

TEST_CASE("security: a log that a plugin has claimed is its own before its first event, and is resumed from its end") {
  EventBus bus("own", 10);
  REQUIRE(bus.claim_log("log", 41, kOne));
  REQUIRE(bus.publish_logged("two.a", "log", 42, "1", kTwo).error().kind == ErrorKind::permission_denied);
  REQUIRE(bus.claim_log("log", 1, kTwo).error().kind == ErrorKind::permission_denied);
  REQUIRE(bus.subscribe({"**"}, [] {}, {.since = {{"log", 41}}})->gaps.empty());
  REQUIRE(bus.subscribe({"**"}, [] {}, {.since = {{"log", 40}}})->gaps.at("log") == "too_old");
}

TEST_CASE("security: what came with the host has its log even when another plugin has named it before") {
  EventBus bus("own", 10);
  REQUIRE(bus.publish_logged("one.a", "log", std::uint64_t{1} << 62U, "1", kOne));
  const auto heard = bus.subscribe({"**"}, [] {})->subscription;
  REQUIRE(bus.claim_log("log", 7, kHosts));
  REQUIRE(bus.publish_logged("one.a", "log", 8, "1", kOne).error().kind == ErrorKind::permission_denied);
  REQUIRE(bus.publish_logged("state.a", "log", 8, "1", kHosts));
  REQUIRE(taken(*heard) == std::vector<std::string>{"state.a@8"});
  const auto resumed = bus.subscribe({"**"}, [] {}, {.since = {{"log", 7}}});
  REQUIRE(resumed->gaps.empty());
  REQUIRE(taken(*resumed->subscription) == std::vector<std::string>{"state.a@8"});
}

TEST_CASE("security: of a plugin that names ever new logs the oldest is forgotten, of others none") {
  EventBus bus("own", 1000);
  REQUIRE(bus.publish_logged("two.a", "other", 1, "1", kTwo));
  for (std::size_t i = 0; i <= EventBus::kMaxLogs; ++i)
    REQUIRE(bus.publish_logged("one.a", "log" + std::to_string(i), 1, "1", kOne));
  const auto gap = [&](const std::string& epoch) {
    const auto gaps = bus.subscribe({"**"}, [] {}, {.since = {{epoch, 1}}})->gaps;
    return gaps.contains(epoch) ? gaps.at(epoch) : "";
  };
  REQUIRE(gap("log0") == "unknown_epoch");
  REQUIRE(gap("log1").empty());
  REQUIRE(gap("other").empty());
}

TEST_CASE("security: the epoch of the store is project state's before its first event") {
  TestDaemon t([](Config& c) {
    c.plugins["project_state"].path = gantry::folders::build() + "/plugins/project_state.so";
    c.plugins["project_state"].grants = {"call:host.metrics", "publish:metrics.**", "subscribe:turn.**"};
    c.plugins["project_state"].isolation = GENERATE(Isolation::in_line, Isolation::child);
  });
  const auto listed = t.call("state.session.list");
  INFO((listed ? "" : listed.error().message));
  REQUIRE(listed);
  REQUIRE(t.daemon().bus().publish_logged("two.a", (*listed)["epoch"], 1, "1", kTwo).error().kind ==
          ErrorKind::permission_denied);
}
