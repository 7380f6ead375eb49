// SPDX-License-Identifier: Apache-2.0
//
// Several changes in one transaction, and several transactions in one commit.
#include "tests/unit/project_state/support.hpp"

using namespace state_test;

namespace {

json op(const char* method, json params) { return {{"method", method}, {"params", std::move(params)}}; }
json set(const std::string& key, const json& value) {
  return op("state.settings.set", {{"key", key}, {"value", value}});
}

}  // namespace

TEST_CASE("state.batch: its changes are one transaction, each with its event, and then one for the whole") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  const json session = good(host.call("state.session.create", {{"name", "n"}}))["session"];
  const json done = good(host.call(
      "state.batch",
      {{"ops",
        {op("state.session.update", {{"id", session["id"]}, {"rev", 1}, {"patch", {{"name", "m"}}}}),
         op("state.pane.create", {{"session_id", session["id"]}, {"kind", "terminal"}}), set("theme", "dark")}},
       {"mutation", {{"client_id", "c"}, {"mutation_id", 1}}}}));
  REQUIRE(done["results"].size() == 3);
  REQUIRE(done["results"][0]["session"]["name"] == "m");
  REQUIRE(done["results"][2] == json{{"key", "theme"}, {"value", "dark"}, {"rev", 1}, {"scope", "user"}});
  REQUIRE(done["seq"] == 5);
  REQUIRE(done["durability"] == "D2");
  settle(host);
  const auto events = host.events();
  REQUIRE(events.size() == 5);
  REQUIRE(events[4].topic == "state.project.changed");
  const std::string pane = done["results"][1]["pane"]["id"];
  REQUIRE(events[4].payload == json{{"from_seq", 2},
                                    {"objects",
                                     {{{"type", "session"}, {"id", session["id"]}, {"rev", 2}},
                                      {{"type", "pane"}, {"id", pane}, {"rev", 1}, {"session_id", session["id"]}},
                                      {{"type", "setting"}, {"key", "theme"}, {"scope", "user"}, {"rev", 1}}}},
                                    {"cause", {{"client_id", "c"}, {"mutation_id", 1}}}});
  for (std::size_t i = 1; i < 5; ++i) {
    CAPTURE(i);
    REQUIRE(events[i].payload["cause"]["mutation_id"] == 1);
  }
  host.stop();
  REQUIRE(check_store(dir.path()) == 5);
}

TEST_CASE("state.batch: one that fails anywhere changes nothing and emits nothing") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  REQUIRE(host.call("state.settings.set", {{"key", "k"}, {"value", 1}}));
  const auto refused = [&](const json& ops) {
    CAPTURE(ops.dump());
    return bad(host.call("state.batch", {{"ops", ops}}));
  };
  // In the transaction, and before it.
  const auto conflict = refused({set("a", 1), op("state.settings.set", {{"key", "k"}, {"value", 2}, {"rev", 7}})});
  REQUIRE(conflict.kind == ErrorKind::conflict);
  REQUIRE(conflict.message.find("ops[1] state.settings.set: ") == 0);
  REQUIRE(conflict.message.ends_with("nothing of the batch was done"));
  REQUIRE(json::parse(conflict.data)["rev"] == 1);
  REQUIRE(refused({set("a", 1), set("", 1)}).message.find("ops[1]") == 0);
  REQUIRE(refused({set("a", 1), op("state.session.delete", {{"id", "none"}})}).kind == ErrorKind::not_found);
  REQUIRE(refused({set("a", 1), op("state.settings.get", {{"key", "k"}})}).kind == ErrorKind::invalid_params);
  REQUIRE(refused({set("a", 1), op("state.batch", {{"ops", json::array()}})}).kind == ErrorKind::invalid_params);
  REQUIRE(refused({set("a", 1), "state.settings.set"}).kind == ErrorKind::invalid_params);
  json mutating = set("a", 1);
  mutating["params"]["mutation"] = {{"client_id", "c"}, {"mutation_id", 1}};
  REQUIRE(refused({mutating}).kind == ErrorKind::invalid_params);
  json many = json::array();
  for (int i = 0; i < 1001; ++i) many.push_back(set("a", i));
  REQUIRE(refused(many).kind == ErrorKind::too_large);
  settle(host);
  REQUIRE(host.events().size() == 1);
  REQUIRE(good(host.call("state.settings.get", {{"key", "a"}}))["rev"] == 0);
  // An empty one, and one that alters nothing, take no seq.
  REQUIRE(good(host.call("state.batch", {{"ops", json::array()}}))["seq"] == 1);
  REQUIRE(good(host.call("state.batch", {{"ops", {set("a", nullptr)}}}))["seq"] == 1);
  host.stop();
  REQUIRE(check_store(dir.path()) == 1);
}

TEST_CASE("state: changes that wait together are committed together, and one that fails takes no other along") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  std::vector<gantry::testing::TestStream> calls;
  for (int i = 0; i < 1000; ++i) {
    json params{{"key", "k" + std::to_string(i)}, {"value", i}};
    if (i % 10 == 3) params["rev"] = 5;
    calls.push_back(host.begin("state.settings.set", params));
  }
  std::uint64_t last = 0;
  for (int i = 0; i < 1000; ++i) {
    CAPTURE(i);
    const auto result = calls[static_cast<std::size_t>(i)].result();
    if (i % 10 == 3) {
      REQUIRE(bad(result).kind == ErrorKind::conflict);
    } else {
      REQUIRE(good(result)["seq"] == ++last);  // in the order in which they came
    }
  }
  REQUIRE(last == 900);
  settle(host);
  const auto events = host.events();
  REQUIRE(events.size() == 900);
  for (std::size_t i = 0; i < events.size(); ++i) {
    CAPTURE(i);
    REQUIRE(events[i].seq == i + 1);
  }
  host.stop();
  REQUIRE(check_store(dir.path()) == 900);
}

TEST_CASE("state: what would make an event that the bus does not take is refused, so that no event is lost") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  const std::string most((std::size_t{1} << 20) - 200, 'x');
  REQUIRE(host.call("state.settings.set", {{"key", "k"}, {"value", most}}));
  const std::string more((std::size_t{1} << 20) - 10, 'x');
  const auto refused = bad(host.call("state.settings.set", {{"key", "k"}, {"value", more}}));
  REQUIRE(refused.kind == ErrorKind::too_large);
  REQUIRE(refused.message.find("an event may have 1 MiB") != std::string::npos);
  const json session = good(host.call("state.session.create", {{"name", "n"}}))["session"];
  REQUIRE(bad(host.call("state.turn.create", {{"session_id", session["id"]}, {"plan", more}})).kind ==
          ErrorKind::too_large);
  settle(host);
  const auto events = host.events();
  REQUIRE(events.size() == 2);
  REQUIRE(events[0].payload["value"] == most);
  REQUIRE(events[1].seq == 2);
}

TEST_CASE("state: what a restore and a clean-up do at once is bounded, and a clean-up goes on where it ended") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  const auto batch = [&](const std::function<json(int)>& op) {
    json ops = json::array();
    for (int i = 0; i < 1000; ++i) ops.push_back(op(i));
    return good(host.call("state.batch", {{"ops", ops}}));
  };
  std::vector<std::string> sessions;
  for (int n = 0; n < 5; ++n) {
    sessions.push_back(good(host.call("state.session.create", {{"name", "n"}}))["session"]["id"]);
    (void)batch([&](int) { return op("state.pane.create", {{"session_id", sessions.back()}, {"kind", "editor"}}); });
  }
  REQUIRE(bad(host.call("state.pane.create", {{"session_id", sessions[0]}, {"kind", "editor"}})).kind ==
          ErrorKind::too_large);
  (void)good(host.call("state.pane.list", {{"filter", {{"session_id", sessions[0]}}}}));
  REQUIRE(
      good(host.call("state.restore", {{"seq", 0}, {"scope", "session:" + sessions[0]}, {"dry_run", true}}))["changes"]
          .size() == 1001);
  (void)batch([&](int i) { return set("k" + std::to_string(i), i); });
  const json one = good(host.call("state.session.create", {{"name", "one more"}}))["session"];
  REQUIRE(host.call("state.pane.create", {{"session_id", one["id"]}, {"kind", "editor"}}));
  const auto refused = bad(host.call("state.restore", {{"seq", 0}, {"scope", "panes"}}));
  REQUIRE(refused.kind == ErrorKind::too_large);
  REQUIRE(refused.message.find("session by session") != std::string::npos);
  RawDatabase(dir.path()).run("UPDATE objects SET changed_ms = changed_ms - 10 * 86400000");
  // Three sessions with their panes are more than what one clean-up takes away.
  REQUIRE(good(host.call("state.gc", {{"stale_days", 7}}))["sessions"].size() == 3);
  REQUIRE(good(host.call("state.session.list"))["items"].size() == 3);
  REQUIRE(good(host.call("state.gc", {{"stale_days", 7}}))["sessions"].size() == 3);
  REQUIRE(good(host.call("state.session.list"))["items"].empty());
  host.stop();
  check_store(dir.path());
}
