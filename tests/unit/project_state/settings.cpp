// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/project_state/support.hpp"

using namespace state_test;

namespace {

struct Settings {
  TempDir dir;
  TestHost host{kPlugin, config(dir / "state")};

  gantry::Result<json> set(const std::string& key, const json& value, json more = json::object()) {
    more["key"] = key;
    more["value"] = value;
    return host.call("state.settings.set", more);
  }
  json get(const std::string& key, json more = json::object()) {
    more["key"] = key;
    return good(host.call("state.settings.get", more));
  }
};

}  // namespace

TEST_CASE_METHOD(Settings, "state.settings: a value comes back as it went in, also after a restart") {
  const std::vector<json> values{true,
                                 false,
                                 0,
                                 1,
                                 1.0,
                                 -7,
                                 0.1,
                                 9007199254740993,
                                 18446744073709551615U,
                                 "",
                                 "text with \u00e4 and \"quotes\" and \n",
                                 std::string("a\0b", 3),
                                 json::array(),
                                 json{1, 1.0, "x", nullptr},
                                 json::object(),
                                 json{{"a", {{"b", json::array()}}}, {"n", nullptr}}};
  for (std::size_t i = 0; i < values.size(); ++i) {
    CAPTURE(i);
    const json answer = good(set("k" + std::to_string(i), values[i]));
    REQUIRE(answer["value"].dump() == values[i].dump());
    REQUIRE(answer["rev"] == 1);
    REQUIRE(answer["seq"] == i + 1);
    REQUIRE(answer["durability"] == "D2");
  }
  host.stop();
  TestHost again(kPlugin, config(dir / "state"));
  for (std::size_t i = 0; i < values.size(); ++i) {
    CAPTURE(i);
    const json got = good(again.call("state.settings.get", {{"key", "k" + std::to_string(i)}}));
    REQUIRE(got["value"].dump() == values[i].dump());
    REQUIRE(got["rev"] == 1);
  }
}

TEST_CASE_METHOD(Settings, "state.settings: what was never set is null at rev 0") {
  const json got = get("nothing");
  REQUIRE(got["value"].is_null());
  REQUIRE(got["rev"] == 0);
  REQUIRE(got["seq"] == 0);
  REQUIRE(got["key"] == "nothing");
  // Deleting it changes nothing, and tells nobody.
  REQUIRE(good(set("nothing", nullptr))["rev"] == 0);
  settle(host);
  REQUIRE(host.events().empty());
}

TEST_CASE_METHOD(Settings, "state.settings: the first set fixes the type until someone says retype, or deletes") {
  REQUIRE(set("zoom", 1));
  REQUIRE(set("zoom", 1.5));  // JSON has one type of number
  const auto other = bad(set("zoom", "large"));
  REQUIRE(other.kind == ErrorKind::conflict);
  REQUIRE(other.message.find("number") != std::string::npos);
  REQUIRE(json::parse(other.data)["type"] == "number");
  REQUIRE(get("zoom")["value"] == 1.5);
  REQUIRE(good(set("zoom", "large", {{"retype", true}}))["rev"] == 3);
  REQUIRE(bad(set("zoom", 2)).kind == ErrorKind::conflict);
  REQUIRE(set("zoom", nullptr));
  REQUIRE(set("zoom", json::array()));

  REQUIRE(get("zoom", {{"type", "array"}})["value"] == json::array());
  REQUIRE(bad(host.call("state.settings.get", {{"key", "zoom"}, {"type", "number"}})).kind == ErrorKind::conflict);
  REQUIRE(bad(host.call("state.settings.get", {{"key", "zoom"}, {"type", "int"}})).kind == ErrorKind::invalid_params);
}

TEST_CASE_METHOD(Settings, "state.settings: the rev grows through a deletion, so that a change in between is seen") {
  REQUIRE(good(set("k", 1))["rev"] == 1);
  REQUIRE(good(set("k", nullptr, {{"rev", 1}}))["rev"] == 2);
  REQUIRE(get("k")["value"].is_null());
  REQUIRE(get("k")["rev"] == 2);
  REQUIRE(good(set("k", 1, {{"rev", 0}}))["rev"] == 3);  // rev 0: only if there is no value
  const auto stale = bad(set("k", 2, {{"rev", 1}}));
  REQUIRE(stale.kind == ErrorKind::conflict);
  REQUIRE(json::parse(stale.data)["rev"] == 3);
  REQUIRE(bad(set("k", 2, {{"rev", 0}})).kind == ErrorKind::conflict);
  REQUIRE(good(set("k", 2, {{"rev", 3}}))["rev"] == 4);
  host.stop();
  check_store(dir / "state");
}

TEST_CASE("state.settings: user and workspaces do not see each other's values") {
  TempDir dir;
  for (const char* name : {"a", "b"}) std::filesystem::create_directory(dir / name);
  std::filesystem::create_directory_symlink(dir / "a", dir / "link");
  TestHost host(kPlugin, config(dir / "state", json::object(), {dir / "a"}));
  host.describe_origin(5, {{"client", "c"}, {"version", "1"}, {"workspace", dir / "b"}});
  const auto set = [&](const json& value, json where, std::uint64_t origin = 1) {
    where["key"] = "k";
    where["value"] = value;
    return good(host.call("state.settings.set", where, gantry::Duration(-1), origin));
  };
  const auto get = [&](json where, std::uint64_t origin = 1) {
    where["key"] = "k";
    return good(host.call("state.settings.get", where, gantry::Duration(-1), origin));
  };
  REQUIRE(set("user's", json::object())["scope"] == "user");
  const json in_a = set("a's", {{"scope", "workspace"}});  // the only one that is configured
  REQUIRE(in_a["workspace"] == json(dir / "a"));
  REQUIRE(in_a["rev"] == 1);
  REQUIRE(set("b's", {{"scope", "workspace"}}, 5)["workspace"] == json(dir / "b"));  // the caller's

  REQUIRE(get(json::object())["value"] == "user's");
  REQUIRE(get({{"scope", "workspace"}})["value"] == "a's");
  REQUIRE(get({{"scope", "workspace"}}, 5)["value"] == "b's");
  REQUIRE(get({{"scope", "workspace"}, {"workspace", dir / "b"}})["value"] == "b's");
  REQUIRE(get({{"scope", "workspace"}, {"workspace", dir / "link/../link/"}})["value"] == "a's");

  settle(host);
  const auto event = host.events().at(1);
  REQUIRE(event.topic == "state.setting.changed");
  REQUIRE(event.payload ==
          json{{"key", "k"}, {"value", "a's"}, {"rev", 1}, {"scope", "workspace"}, {"workspace", dir / "a"}});

  const auto wrong = [&](json where) {
    where["key"] = "k";
    return bad(host.call("state.settings.get", where));
  };
  REQUIRE(wrong({{"scope", "project"}}).kind == ErrorKind::invalid_params);
  REQUIRE(wrong({{"workspace", dir / "a"}}).kind == ErrorKind::invalid_params);
  REQUIRE(wrong({{"scope", "workspace"}, {"workspace", "relative"}}).kind == ErrorKind::invalid_params);
  REQUIRE(wrong({{"scope", "workspace"}, {"workspace", dir / "missing"}}).kind == ErrorKind::invalid_params);

  // With several workspaces and a caller that named none there is no right answer.
  host.reconfigure(config(dir / "state", json::object(), {dir / "a", dir / "b"}));
  const auto which = wrong({{"scope", "workspace"}});
  REQUIRE(which.kind == ErrorKind::invalid_params);
  REQUIRE(which.message.find("host.hello") != std::string::npos);
}

TEST_CASE_METHOD(Settings, "state.settings: a list holds what has a value, by prefix and in pages") {
  for (const char* key : {"editor.font", "editor.size", "ai.model", "editor.%wild", "editor"}) {
    CAPTURE(key);
    REQUIRE(set(key, 1));
  }
  REQUIRE(set("editor.size", nullptr));
  const json all = good(host.call("state.settings.list"));
  REQUIRE(all["items"].size() == 4);
  REQUIRE(all["seq"] == 6);
  REQUIRE(all["items"][0] == json{{"key", "editor.font"}, {"value", 1}, {"rev", 1}, {"scope", "user"}});
  json params{{"prefix", "editor."}, {"limit", 1}};
  const json first = good(host.call("state.settings.list", params));
  REQUIRE(first["items"][0]["key"] == "editor.font");
  params["cursor"] = first["next_cursor"];
  const json second = good(host.call("state.settings.list", params));
  REQUIRE(second["items"][0]["key"] == "editor.%wild");
  REQUIRE(!second.contains("next_cursor"));
  params["prefix"] = "ai.";
  REQUIRE(bad(host.call("state.settings.list", params)).kind == ErrorKind::invalid_params);
}

TEST_CASE_METHOD(Settings, "state.settings: bad keys, values and members are refused, and nothing is stored") {
  REQUIRE(bad(set("", 1)).kind == ErrorKind::invalid_params);
  REQUIRE(bad(set("a\tb", 1)).kind == ErrorKind::invalid_params);
  REQUIRE(bad(set(std::string(257, 'k'), 1)).kind == ErrorKind::too_large);
  REQUIRE(bad(set("k", std::string((1 << 20) + 1, 'x'))).kind == ErrorKind::too_large);
  json deep = 1;
  for (int i = 0; i < 100; ++i) deep = json::array({deep});
  REQUIRE(bad(set("k", deep)).kind == ErrorKind::too_large);
  REQUIRE(bad(host.call("state.settings.set", {{"key", "k"}})).message.find("value") != std::string::npos);
  REQUIRE(bad(set("k", 1, {{"rev", -1}})).kind == ErrorKind::invalid_params);
  REQUIRE(bad(set("k", 1, {{"rev", "1"}})).kind == ErrorKind::invalid_params);
  REQUIRE(bad(set("k", 1, {{"scop", "user"}})).message.find("scope") != std::string::npos);
  REQUIRE(good(host.call("state.flush"))["seq"] == 0);
}

TEST_CASE(
    "state.settings: the bound counts those with a value, and rev never comes again once a deletion is forgotten") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path(), {{"max_settings", 3}, {"max_events", 6}}));
  const auto set = [&](const std::string& key, const json& value) {
    return host.call("state.settings.set", {{"key", key}, {"value", value}});
  };
  const auto rev_of = [&](const char* key) { return good(host.call("state.settings.get", {{"key", key}}))["rev"]; };
  for (const char* key : {"a", "b", "c"}) REQUIRE(set(key, 1));
  REQUIRE(bad(set("d", 1)).kind == ErrorKind::too_large);
  for (int i = 0; i < 4; ++i) REQUIRE(set("b", i));
  REQUIRE(set("b", nullptr));
  REQUIRE(rev_of("b") == 6);
  REQUIRE(set("d", 1));
  REQUIRE(bad(set("b", 1)).kind == ErrorKind::too_large);
  for (int i = 0; i < 10; ++i) REQUIRE(set("a", i));  // the deletion leaves the log
  REQUIRE(rev_of("b") == 0);
  REQUIRE(set("d", nullptr));
  const json again = good(set("b", 1));
  REQUIRE(again["rev"] == 7);
  host.stop();
  RawDatabase db(dir.path());
  REQUIRE(db.one("SELECT settings FROM store") == "3");
}

TEST_CASE("state.settings: a caller may have its answer before the commit, and hears of a failure by an event") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  const char* durability = GENERATE("D0", "D1");
  CAPTURE(durability);
  const auto set = [&](const json& value, const json& more = json::object()) {
    json params{{"key", "k"}, {"value", value}, {"durability", durability}};
    params.update(more);
    return host.call("state.settings.set", params);
  };
  REQUIRE(good(set(1)) == json{{"key", "k"}, {"value", 1}, {"durability", durability}});
  settle(host);
  REQUIRE(host.event("state.setting.changed").payload["value"] == 1);
  REQUIRE(good(host.call("state.settings.get", {{"key", "k"}}))["rev"] == 1);
  // What can be seen at once is refused at once.
  REQUIRE(bad(set(std::string((1 << 20) + 1, 'x'))).kind == ErrorKind::too_large);
  REQUIRE(bad(set(1, {{"durability", "D4"}})).kind == ErrorKind::invalid_params);
  const json cause{{"client_id", "c"}, {"mutation_id", 1}};
  REQUIRE(set(2, {{"rev", 9}, {"mutation", cause}}));
  const auto failed = host.event("state.setting.failed");
  REQUIRE(failed.epoch.empty());  // no event of the store's log
  REQUIRE(failed.payload["key"] == "k");
  REQUIRE(failed.payload["value"] == 2);
  REQUIRE(failed.payload["kind"] == "conflict");
  REQUIRE(failed.payload["cause"] == cause);
  REQUIRE(host.log().find("was not written") != std::string::npos);
  REQUIRE(good(host.call("state.flush"))["seq"] == 1);
}
