// SPDX-License-Identifier: Apache-2.0
//
// The state as it was, what differs, and the way back.
#include <random>
#include <set>

#include "plugins/project_state/event_page.hpp"
#include "tests/unit/project_state/support.hpp"

using namespace state_test;

namespace {

const std::vector<std::string> kScopes{"sessions", "panes", "layouts", "settings", "turns"};

/// A store, and what its lists said after each event.
struct History {
  TempDir dir;
  TestHost host;
  std::mt19937_64 random{GENERATE(1U, 2U)};
  std::vector<std::string> sessions{};
  std::map<std::string, std::string> panes{};  // by id, with the session

  explicit History(const json& settings = json::object()) : host(kPlugin, config(dir.path(), settings)) {}

  gantry::Result<json> call(const std::string& method, const json& params) {
    return host.call("state." + method, params);
  }
  std::uint64_t seq() { return good(call("flush", json::object()))["seq"]; }
  /// All pages.
  json at(std::uint64_t seq, const std::string& scope, int limit = 1000) {
    json items = json::array();
    json params{{"seq", seq}, {"scope", scope}, {"limit", limit}};
    while (true) {
      const json page = good(call("at", params));
      REQUIRE(page["seq"] == seq);
      for (const auto& item : page["items"]) items.push_back(item);
      if (!page.contains("next_cursor")) return items;
      params["cursor"] = page["next_cursor"];
    }
  }
  std::map<std::string, json> now() {
    std::map<std::string, json> out;
    for (const auto& scope : kScopes) out[scope] = at(seq(), scope);
    return out;
  }
  json filler() { return std::string(random() % 300, static_cast<char>('a' + random() % 26)); }

  void change() {
    const auto pick = random() % 12;
    const auto some = [&](const auto& of) {
      auto it = of.begin();
      std::advance(it, static_cast<long>(random() % of.size()));
      return *it;
    };
    if (sessions.empty() || pick == 0) {
      sessions.push_back(
          good(call("session.create", {{"name", "n"}, {"attributes", {{"x", filler()}}}}))["session"]["id"]);
    } else if (pick <= 3) {
      const std::string member = "m" + std::to_string(random() % 4);
      const json value = random() % 4 == 0 ? json() : filler();
      REQUIRE(call("session.update",
                   {{"id", some(sessions)}, {"rev", nullptr}, {"patch", {{"attributes", {{member, value}}}}}}));
    } else if (pick == 4 && sessions.size() > 1) {
      const std::string id = some(sessions);
      REQUIRE(call("session.delete", {{"id", id}}));
      std::erase(sessions, id);
      std::erase_if(panes, [&](const auto& pane) { return pane.second == id; });
    } else if (pick <= 6) {
      const std::string session = some(sessions);
      panes[good(call("pane.create", {{"session_id", session}, {"kind", "editor"}}))["pane"]["id"]] = session;
    } else if (pick == 7 && !panes.empty()) {
      const auto pane = some(panes);
      REQUIRE(call("pane.delete", {{"id", pane.first}}));
      panes.erase(pane.first);
    } else if (pick == 8 && !panes.empty()) {
      const auto [pane, session] = some(panes);
      const json nodes{{"old", nullptr}, {"n", {{"kind", "pane"}, {"order", random() % 9}, {"pane_id", pane}}}};
      REQUIRE(call("layout.update", {{"session_id", session}, {"rev", nullptr}, {"patch", {{"nodes", nodes}}}}));
    } else {
      const json value = random() % 3 == 0 ? json() : json{{"v", filler()}, {"null", nullptr}};
      REQUIRE(call("settings.set", {{"key", "k" + std::to_string(random() % 5)}, {"value", value}}));
    }
  }
};

/// Without what a restore cannot bring back.
json without_rev(json items) {
  for (auto& item : items) item.erase("rev");
  return items;
}

}  // namespace

TEST_CASE("state.at: the state after every event is what it was, page by page, whatever has come since") {
  History t;
  std::map<std::uint64_t, std::map<std::string, json>> known;
  known[0] = t.now();
  for (int i = 0; i < 80; ++i) {
    t.change();
    known[t.seq()] = t.now();
  }
  for (const auto& [seq, state] : known) {
    for (const auto& [scope, items] : state) {
      CAPTURE(seq, scope);
      REQUIRE(t.at(seq, scope, 3).dump() == items.dump());
    }
  }
  // As the log says it, also for the events of one change that had several.
  t.host.stop();
  const std::uint64_t head = check_store(t.dir.path());
  RawDatabase db(t.dir.path());
  TestHost again(kPlugin, config(t.dir.path()));
  for (std::uint64_t seq = 0; seq <= head; ++seq) {
    CAPTURE(seq);
    const Contents folded = fold(db, seq);
    std::size_t count = 0;
    for (const auto& scope : kScopes) {
      for (const auto& item :
           good(again.call("state.at", {{"seq", seq}, {"scope", scope}, {"limit", 1000}}))["items"]) {
        ++count;
        const std::string type = scope.substr(0, scope.size() - 1);
        const std::string id = type == "setting" ? "user\n" + item["key"].get<std::string>()
                                                 : item[type == "layout" ? "session_id" : "id"].get<std::string>();
        REQUIRE(folded.contains(type + " " + id));
        REQUIRE(folded.at(type + " " + id).second == item["rev"]);
      }
    }
    REQUIRE(count == folded.size());
  }
}

TEST_CASE("state.diff: what differs between two points is what a comparison of both finds, either way") {
  History t;
  for (int i = 0; i < 80; ++i) t.change();
  const std::uint64_t head = t.seq();
  const auto by_id = [&](std::uint64_t seq, const std::string& scope) {
    std::map<std::string, json> out;
    for (const auto& item : t.at(seq, scope)) {
      const std::string id = scope == "settings"  ? "user\n" + item["key"].get<std::string>()
                             : scope == "layouts" ? item["session_id"].get<std::string>()
                                                  : item["id"].get<std::string>();
      out[id] = item;
    }
    return out;
  };
  for (int i = 0; i < 8; ++i) {
    const std::uint64_t from = t.random() % (head + 1);
    const std::uint64_t to = t.random() % (head + 1);
    for (const auto& scope : kScopes) {
      CAPTURE(from, to, scope);
      auto before = by_id(from, scope);
      auto after = by_id(to, scope);
      json params{{"from", from}, {"to", to}, {"scope", scope}, {"limit", 4}};
      std::size_t found = 0;
      while (true) {
        const json page = good(t.call("diff", params));
        for (const auto& change : page["changes"]) {
          const std::string id = change["id"];
          CAPTURE(id);
          REQUIRE(change.contains("before") == before.contains(id));
          REQUIRE(change.contains("after") == after.contains(id));
          if (change.contains("before")) REQUIRE(change["before"].dump() == before[id].dump());
          if (change.contains("after")) REQUIRE(change["after"].dump() == after[id].dump());
          ++found;
        }
        if (!page.contains("next_cursor")) break;
        params["cursor"] = page["next_cursor"];
      }
      std::set<std::string> ids;
      for (const auto* side : {&before, &after}) {
        for (const auto& [id, unused] : *side) ids.insert(id);
      }
      const auto differs = std::ranges::count_if(ids, [&](const auto& id) {
        const auto body = [&](auto& side) {
          return side.contains(id) ? without_rev(json::array({side[id]})).dump() : std::string();
        };
        return body(before) != body(after);
      });
      REQUIRE(found == static_cast<std::size_t>(differs));
    }
  }
}

TEST_CASE("state.restore: a scope becomes what it was, by new events, and nothing else changes") {
  History t;
  std::map<std::uint64_t, std::map<std::string, json>> known;
  for (int i = 0; i < 60; ++i) {
    t.change();
    known[t.seq()] = t.now();
  }
  for (int round = 0; round < 4; ++round) {
    auto it = known.begin();
    std::advance(it, static_cast<long>(t.random() % known.size()));
    const auto& [seq, then] = *it;
    CAPTURE(seq);
    const std::uint64_t before = t.seq();
    const auto now = t.now();
    // In the order in which each can be: what belongs to a session follows it.
    for (const char* scope : {"sessions", "panes", "layouts", "settings"}) {
      CAPTURE(scope);
      const json dry = good(t.call("restore", {{"seq", seq}, {"scope", scope}, {"dry_run", true}}));
      const std::uint64_t head = t.seq();
      REQUIRE(dry["seq"] == head);
      const json done = good(t.call("restore", {{"seq", seq}, {"scope", scope}}));
      REQUIRE(done["changes"] == dry["changes"]);
      REQUIRE(done["seq"] == t.seq());
      REQUIRE((done["seq"] > head) == !done["changes"].empty());
      REQUIRE(without_rev(t.at(t.seq(), scope)).dump() == without_rev(then.at(scope)).dump());
    }
    // The past stays.
    for (const auto& [scope, items] : now) {
      CAPTURE(scope);
      REQUIRE(t.at(before, scope).dump() == items.dump());
    }
    known[t.seq()] = t.now();
  }
  t.host.stop();
  check_store(t.dir.path());
}

TEST_CASE("state.restore: a session comes back with its panes and its layout, and its turns are left as they are") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  const auto call = [&](const char* method, const json& params) {
    return host.call(std::string("state.") + method, params);
  };
  const std::string id = good(call("session.create", {{"name", "n"}}))["session"]["id"];
  const std::string pane = good(call("pane.create", {{"session_id", id}, {"kind", "editor"}}))["pane"]["id"];
  const json nodes{{"a", {{"kind", "pane"}, {"order", 0}, {"pane_id", pane}}}};
  const std::uint64_t then =
      good(call("layout.update", {{"session_id", id}, {"rev", 0}, {"patch", {{"nodes", nodes}}}}))["seq"];
  const json items = good(call("at", {{"seq", then}, {"scope", "session:" + id}}))["items"];
  REQUIRE(items.size() == 3);
  REQUIRE(items[0]["type"] == "session");
  REQUIRE(items[2]["type"] == "layout");
  REQUIRE(call("session.delete", {{"id", id}}));
  // A pane alone would belong to nothing.
  REQUIRE(bad(call("restore", {{"seq", then}, {"scope", "panes"}})).kind == ErrorKind::conflict);
  const json done = good(call("restore", {{"seq", then}, {"scope", "session:" + id}}));
  REQUIRE(done["changes"].size() == 3);
  REQUIRE(without_rev(good(call("at", {{"seq", done["seq"]}, {"scope", "session:" + id}}))["items"]) ==
          without_rev(items));
  settle(host);
  const auto last = host.events().back();
  REQUIRE(last.topic == "state.project.changed");
  REQUIRE(last.payload["restored_to"] == then);
  REQUIRE(last.payload["objects"].size() == 3);

  const json turn = good(call("turn.create", {{"session_id", id}}))["turn"];
  REQUIRE(bad(call("restore", {{"seq", 0}, {"scope", "sessions"}})).kind == ErrorKind::conflict);
  REQUIRE(bad(call("restore", {{"seq", 0}, {"scope", "turns"}})).kind == ErrorKind::invalid_params);
  REQUIRE(good(call("restore", {{"seq", then}, {"scope", "session:" + id}}))["changes"].empty());
  REQUIRE(good(call("turn.get", {{"id", turn["id"]}}))["turn"] == turn);
  host.stop();
  check_store(dir.path());
}

TEST_CASE("state.at: what the log no longer goes back to is not found, and what has yet to come is refused") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path(), {{"max_events", 10}}));
  for (int i = 0; i < 25; ++i) REQUIRE(host.call("state.settings.set", {{"key", "k"}, {"value", i}}));
  REQUIRE(host.call("state.settings.set", {{"key", "k"}, {"value", nullptr}}));
  const auto at = [&](std::uint64_t seq) { return host.call("state.at", {{"seq", seq}, {"scope", "settings"}}); };
  const auto error = bad(at(15));
  REQUIRE(error.kind == ErrorKind::not_found);
  REQUIRE(json::parse(error.data)["floor"] == 16);
  REQUIRE(good(at(16))["items"][0]["value"] == 15);
  REQUIRE(good(at(25))["items"][0]["value"] == 24);
  REQUIRE(good(at(26))["items"].empty());
  REQUIRE(bad(at(27)).kind == ErrorKind::invalid_params);
  REQUIRE(bad(host.call("state.diff", {{"from", 3}, {"to", 20}, {"scope", "settings"}})).kind == ErrorKind::not_found);
  REQUIRE(bad(host.call("state.restore", {{"seq", 3}, {"scope", "settings"}})).kind == ErrorKind::not_found);
  for (const char* scope : {"", "session:", "setting", "metrics", "everything"}) {
    CAPTURE(scope);
    REQUIRE(bad(host.call("state.at", {{"seq", 20}, {"scope", scope}})).kind == ErrorKind::invalid_params);
  }
  // A cursor of another list, point or store.
  REQUIRE(bad(host.call("state.at", {{"seq", 20}, {"scope", "settings"}, {"cursor", "1-0123456789abcdef"}})).kind ==
          ErrorKind::invalid_params);
}

TEST_CASE("state.checkpoint: a name for a point of the log, until the log no longer goes back to it") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path(), {{"max_events", 3}}));
  const auto set = [&](int value) { REQUIRE(host.call("state.settings.set", {{"key", "k"}, {"value", value}})); };
  set(1);
  const json made = good(host.call("state.checkpoint.create", {{"name", "before lunch"}}));
  REQUIRE(made["checkpoint"]["seq"] == 1);
  REQUIRE(made["seq"] == 1);  // no event
  REQUIRE(bad(host.call("state.checkpoint.create", {{"name", "before lunch"}})).kind == ErrorKind::conflict);
  REQUIRE(bad(host.call("state.checkpoint.create", {{"name", ""}})).kind == ErrorKind::invalid_params);
  set(2);
  const auto kept = [&] { return good(host.call("state.checkpoint.list"))["items"][0]["kept"]; };
  REQUIRE(kept() == true);
  REQUIRE(good(host.call("state.restore", {{"seq", 1}, {"scope", "settings"}}))["changes"].size() == 1);
  REQUIRE(good(host.call("state.settings.get", {{"key", "k"}}))["value"] == 1);
  for (int i = 0; i < 4; ++i) set(i);
  REQUIRE(kept() == false);
  REQUIRE(good(host.call("state.checkpoint.delete", {{"name", "before lunch"}}))["checkpoint"]["deleted"] == true);
  REQUIRE(bad(host.call("state.checkpoint.delete", {{"name", "before lunch"}})).kind == ErrorKind::not_found);
  REQUIRE(good(host.call("state.checkpoint.list"))["items"].empty());
}

TEST_CASE("state.log: what is coalesced makes the same of a mirror as each event does") {
  History h;
  for (int i = 0; i < 400; ++i) h.change();
  std::map<std::string, json> mirror;
  const auto apply = [&](const std::string& topic, const json& told) {
    const auto type = topic.substr(6, topic.rfind('.') - 6);
    const auto what = topic.substr(topic.rfind('.') + 1);
    if (type == "project") return;
    const auto id = type + " " +
                    (type == "setting" ? told["key"].dump() + told["scope"].dump()
                                       : told[type == "layout" ? "session_id" : type + "_id"].dump());
    if (what == "created") mirror[id] = told[type];
    if (what == "deleted") REQUIRE(mirror.erase(id) == 1);
    if (what == "changed") mirror[id] = type == "setting" ? told["value"] : told["layout"];
    if (what == "changed" && mirror[id].is_null()) mirror.erase(id);
    if (what != "updated") return;
    CAPTURE(id, told.dump());
    REQUIRE(told["from_rev"] == mirror.at(id)["rev"]);
    mirror.at(id).merge_patch(told[type == "session" ? "patch" : "changes"]);
    mirror.at(id)["rev"] = told["rev"];
  };
  std::uint64_t count = 0;
  json from{{"epoch", good(h.call("info", json::object()))["epoch"]}, {"seq", 0}};
  while (!from.is_null()) {
    const json page = good(h.call("log", {{"scopes", kScopes}, {"from", from}, {"coalesce", true}}));
    for (const auto& event : page["events"]) {
      apply(event["topic"], event["payload"]);
      ++count;
    }
    from = page.value("from", json());
  }
  REQUIRE(count < h.seq());
  std::map<std::string, json> now;
  for (const auto& scope : kScopes) {
    const auto type = scope.substr(0, scope.size() - 1);
    for (const auto& item : h.at(h.seq(), scope)) {
      const auto id = type + " " +
                      (type == "setting" ? item["key"].dump() + item["scope"].dump()
                                         : item[type == "layout" ? "session_id" : "id"].dump());
      now[id] = type == "setting" ? item["value"] : item;
    }
  }
  REQUIRE(mirror == now);
}

TEST_CASE("state.log: merge patches become one only where one does the same") {
  using gantry::state::merge_of_patches;
  const std::vector<json> documents{json::object(), json{{"a", 1}}, json{{"a", {{"b", 1}, {"c", {{"d", 1}}}}}},
                                    json{{"a", {{"c", 1}}}}, json{{"b", 2}}};
  const std::vector<json> patches{json::object(),
                                  {{"a", nullptr}},
                                  {{"a", 2}},
                                  {{"a", json::object()}},
                                  {{"a", {{"b", nullptr}}}},
                                  {{"a", {{"b", 3}, {"c", {{"e", 1}}}}}},
                                  {{"a", {{"c", nullptr}}}},
                                  {{"a", {{"c", 5}}}},
                                  {{"b", {{"x", 1}}}},
                                  {{"b", {1, 2}}}};
  int merged = 0;
  for (const auto& first : patches) {
    for (const auto& second : patches) {
      const auto both = merge_of_patches(first, second);
      if (!both) continue;
      ++merged;
      for (const auto& document : documents) {
        CAPTURE(document, first, second, *both);
        json one = document;
        one.merge_patch(*both);
        json two = document;
        two.merge_patch(first);
        two.merge_patch(second);
        REQUIRE(one == two);
      }
    }
  }
  REQUIRE(merged > 60);
  REQUIRE_FALSE(merge_of_patches({{"a", nullptr}}, {{"a", {{"b", 1}}}}));
}
