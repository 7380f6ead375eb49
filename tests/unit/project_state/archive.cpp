// SPDX-License-Identifier: Apache-2.0
//
// Objects that leave a store in an archive, and are taken in by another.
#include "tests/unit/project_state/support.hpp"

using namespace state_test;

namespace {

const std::vector<std::string> kTypes{"session", "pane", "layout", "setting", "turn"};

struct Store {
  TempDir dir{};
  TestHost host{kPlugin, config(dir.path())};

  gantry::Result<json> call(const std::string& method, const json& params) {
    return host.call("state." + method, params);
  }
  std::uint64_t seq() { return good(call("flush", json::object()))["seq"]; }
  /// What an archive has of the store.
  json archive() {
    json out = json::array();
    for (const auto& type : kTypes) {
      const json page = good(call("at", {{"seq", seq()}, {"scope", type + "s"}, {"limit", 1000}}));
      REQUIRE_FALSE(page.contains("next_cursor"));
      for (const auto& item : page["items"]) out.push_back({{"type", type}, {"object", item}});
    }
    return out;
  }
  json import(const json& objects, const json& more = json::object()) {
    json params{{"objects", objects}};
    params.update(more);
    return good(call("import", params));
  }
};

/// Without what belongs to the store and not to the object.
json without_revs(json archive) {
  for (auto& entry : archive) entry["object"].erase("rev");
  return archive;
}

json counts(const json& answer) { return {answer["created"], answer["replaced"], answer["kept"], answer["unchanged"]}; }

/// A session with a pane, a layout, settings, and a turn in each state that a turn may be in without a restart.
struct Full : Store {
  std::string session = good(call("session.create", {{"name", "ü"},
                                                     {"roots", {"/a", "/b"}},
                                                     {"branch", "main"},
                                                     {"attributes", {{"deep", {{"x", 1.5}}}}}}))["session"]["id"];
  std::string pane =
      good(call("pane.create", {{"session_id", session}, {"kind", "terminal"}, {"cwd", "/a"}}))["pane"]["id"];
  Full() {
    (void)good(call("session.update", {{"id", session}, {"rev", 1}, {"patch", {{"open_files", {"/a/f"}}}}}));
    const json nodes{{"n", {{"kind", "pane"}, {"order", 1}, {"pane_id", pane}}}};
    (void)good(
        call("layout.update", {{"session_id", session}, {"rev", 0}, {"patch", {{"root", "n"}, {"nodes", nodes}}}}));
    (void)good(call("settings.set", {{"key", "font"}, {"value", {{"size", 12}, {"none", nullptr}}}}));
    (void)good(
        call("settings.set", {{"key", "font"}, {"value", 1}, {"scope", "workspace"}, {"workspace", dir.path()}}));
    for (const std::string to : {"created", "plan_proposed", "plan_approved", "executing", "completed"}) turn(to);
  }
  void turn(const std::string& to) {
    json params{{"session_id", session}};
    if (to != "created") params["plan"] = {{"to", to}, {"null", nullptr}};
    json made = good(call("turn.create", params))["turn"];
    if (to == "created" || to == "plan_proposed") return;
    made = good(
        call("turn.approve",
             {{"id", made["id"]}, {"rev", 1}, {"plan_hash", made["plan_hash"]}, {"expires_in_seconds", 1000}}))["turn"];
    if (to == "plan_approved") return;
    made = good(call("turn.transition", {{"id", made["id"]}, {"rev", 2}, {"to", "executing"}}))["turn"];
    if (to == "executing") return;
    (void)good(call("turn.transition", {{"id", made["id"]}, {"rev", 3}, {"to", to}, {"fence", made["fence"]}}));
  }
};

/// As it is taken in: nothing is approved, and nothing executes.
json without_approvals(json archive) {
  for (auto& entry : archive) {
    json& object = entry["object"];
    if (entry["type"] != "turn") continue;
    object.erase("approval");
    if (object["state"] == "plan_approved") object["state"] = "plan_proposed";
    if (object["state"] == "executing") {
      object["state"] = "interrupted";
      object["fence"] = object["fence"].get<int>() + 1;
    }
  }
  return archive;
}

}  // namespace

TEST_CASE("archive: what one store holds another takes in, without the approvals, and once") {
  Full from;
  const json archive = from.archive();
  REQUIRE(archive.size() == 10);

  Store to;
  const json tried = to.import(archive, {{"dry_run", true}});
  REQUIRE(counts(tried) == json({10, 0, 0, 0}));
  REQUIRE(to.seq() == 0);
  const json mutation{{"client_id", "c"}, {"mutation_id", 1}};
  const json done = to.import(archive, {{"mutation", mutation}});
  REQUIRE(counts(done) == json({10, 0, 0, 0}));
  REQUIRE(done["seq"] == 11);
  REQUIRE(to.import(archive, {{"mutation", mutation}}) == done);
  REQUIRE(without_revs(to.archive()) == without_revs(without_approvals(archive)));
  for (const auto& entry : to.archive()) REQUIRE(entry["object"]["rev"] == 1);

  settle(to.host);
  const auto events = to.host.events();
  REQUIRE(events.size() == 11);
  REQUIRE(events.front().topic == "state.session.created");
  REQUIRE(events.back().topic == "state.project.changed");
  REQUIRE(events.back().payload["objects"].size() == 10);

  // The same again, or what the other store has now, changes nothing.
  REQUIRE(counts(to.import(archive)) == json({0, 0, 0, 10}));
  REQUIRE(counts(to.import(to.archive())) == json({0, 0, 0, 10}));
  REQUIRE(counts(from.import(archive)) == json({0, 0, 0, 10}));
  REQUIRE(to.seq() == 11);
  to.host.stop();
  REQUIRE(check_store(to.dir.path()) == 11);
}

TEST_CASE("archive: a turn that was taken in is carried out by a new approval only") {
  Full from;
  Store to;
  (void)to.import(from.archive());
  for (const json& turn : good(to.call("turn.list", json::object()))["items"]) {
    const std::string state = turn["state"];
    const auto begun = to.call("turn.transition", {{"id", turn["id"]}, {"rev", nullptr}, {"to", "executing"}});
    REQUIRE(bad(begun).kind == ErrorKind::conflict);
    if (state != "plan_proposed") continue;
    REQUIRE(to.call("turn.approve", {{"id", turn["id"]}, {"rev", 1}, {"plan_hash", turn["plan_hash"]}}));
    REQUIRE(to.call("turn.transition", {{"id", turn["id"]}, {"rev", 2}, {"to", "executing"}}));
  }
}

TEST_CASE("archive: of an object that is there already the caller says what becomes of it") {
  Full from;
  Store to;
  const json archive = from.archive();
  (void)to.import(archive);
  (void)good(to.call("session.update", {{"id", from.session}, {"rev", 1}, {"patch", {{"name", "mine"}}}}));
  (void)good(to.call("pane.delete", {{"id", from.pane}}));
  (void)good(to.call("settings.set", {{"key", "font"}, {"value", "text"}, {"retype", true}}));
  const auto seq = to.seq();

  const auto refused = bad(to.call("import", {{"objects", archive}}));
  REQUIRE(refused.kind == ErrorKind::conflict);
  REQUIRE(refused.message.find("objects[0] (" + from.session + "): there is another one here") == 0);
  REQUIRE(json::parse(refused.data)["index"] == 0);
  REQUIRE(to.seq() == seq);
  // The pane comes back, and what shows it too, but for what the layout is now.
  REQUIRE(counts(to.import(archive, {{"on_conflict", "keep"}})) == json({1, 0, 3, 6}));
  REQUIRE(good(to.call("session.get", {{"id", from.session}}))["session"]["name"] == "mine");
  REQUIRE(counts(to.import(archive, {{"on_conflict", "replace"}})) == json({0, 3, 0, 7}));
  REQUIRE(without_revs(to.archive()) == without_revs(without_approvals(archive)));
  const json session = good(to.call("session.get", {{"id", from.session}}))["session"];
  REQUIRE(session["rev"] == 3);

  // A turn goes its own way.
  json turn = good(to.call("turn.list", {{"filter", {{"state", "plan_proposed"}}}}))["items"][0];
  (void)good(to.call("turn.propose", {{"id", turn["id"]}, {"rev", 1}, {"plan", "another"}}));
  REQUIRE(counts(to.import(archive, {{"on_conflict", "replace"}})) == json({0, 0, 1, 9}));
  REQUIRE(good(to.call("turn.get", {{"id", turn["id"]}}))["turn"]["plan"] == "another");
  to.host.stop();
  (void)check_store(to.dir.path());
}

TEST_CASE("archive: an object that is none is refused with its place, and nothing is taken in") {
  Full from;
  Store to;
  const json archive = from.archive();
  const auto index = [&](const std::string& type) {
    std::size_t i = 0;
    while (archive[i]["type"] != type) ++i;
    return i;
  };
  struct Case {
    std::string type;
    json patch;  ///< of the object
    ErrorKind kind;
    std::string message;
  };
  const std::string long_name(2000, 'x');
  const auto [type, patch, kind, message] = GENERATE_COPY(values<Case>({
      {"session", {{"name", nullptr}}, ErrorKind::invalid_params, "name is missing"},
      {"session", {{"name", 5}}, ErrorKind::invalid_params, "name"},
      {"session", {{"name", long_name}}, ErrorKind::too_large, "name"},
      {"session", {{"id", "../x"}}, ErrorKind::invalid_params, "id must be"},
      {"session", {{"id", nullptr}}, ErrorKind::invalid_params, "id must be"},
      {"session", {{"colour", 1}}, ErrorKind::invalid_params, "colour"},
      {"session", {{"created_ms", -1}}, ErrorKind::invalid_params, "created_ms"},
      {"pane", {{"session_id", "none"}}, ErrorKind::conflict, "which does not exist"},
      {"pane", {{"kind", "window"}}, ErrorKind::invalid_params, "kind must be"},
      {"layout", {{"nodes", {{"n", {{"pane_id", "none"}}}}}}, ErrorKind::invalid_params, "no pane of this session"},
      {"layout", {{"root", "none"}}, ErrorKind::invalid_params, "is no node"},
      {"layout", {{"nodes", 1}}, ErrorKind::invalid_params, "nodes"},
      {"setting", {{"value", nullptr}}, ErrorKind::invalid_params, "value"},
      {"setting", {{"key", "a\nb"}}, ErrorKind::invalid_params, "key must not"},
      {"setting", {{"scope", "workspace"}}, ErrorKind::invalid_params, "workspace must be"},
      {"setting", {{"scope", "workspace"}, {"workspace", "x"}}, ErrorKind::invalid_params, "workspace must be"},
      {"turn", {{"state", "running"}}, ErrorKind::invalid_params, "no state of a turn"},
      {"turn", {{"state", "executing"}}, ErrorKind::invalid_params, "plan is missing"},
      {"turn", {{"plan", 1}, {"plan_hash", "x"}}, ErrorKind::invalid_params, "plan_hash is not"},
      {"turn", {{"fence", -1}}, ErrorKind::invalid_params, "fence"},
      {"turn", {{"session_id", "none"}}, ErrorKind::conflict, "which does not exist"},
  }));
  CAPTURE(type, patch.dump());
  json wrong = archive;
  const auto i = index(type);
  wrong[i]["object"].merge_patch(patch);
  const auto error = bad(to.call("import", {{"objects", wrong}}));
  REQUIRE(error.kind == kind);
  REQUIRE(error.message.find("objects[" + std::to_string(i) + "]") == 0);
  REQUIRE(error.message.find(message) != std::string::npos);
  REQUIRE(to.seq() == 0);
}

TEST_CASE("archive: an object may come as its text, which may be nested deeper than a message") {
  Full from;
  Store to;
  json texts = json::array();
  for (const auto& entry : from.archive()) texts.push_back(entry.dump());
  const auto setting = [](int levels) {
    const std::string value =
        std::string(static_cast<std::size_t>(levels), '[') + std::string(static_cast<std::size_t>(levels), ']');
    return R"({"type":"setting","object":{"key":"deep","scope":"user","value":)" + value + "}}";
  };
  texts.push_back(setting(64));
  REQUIRE(counts(to.import(texts)) == json({11, 0, 0, 0}));
  REQUIRE(counts(to.import(from.archive())) == json({0, 0, 0, 10}));
  const auto refused = [&](const std::string& text) { return bad(to.call("import", {{"objects", {text}}})); };
  REQUIRE(refused(setting(65)).kind == ErrorKind::too_large);
  REQUIRE(refused(setting(100'000)).kind == ErrorKind::too_large);
  REQUIRE(refused("{").message.find("objects[0]: malformed JSON") == 0);
  REQUIRE(refused(R"({"type":"turn","object":{"id":"t","plan":{"a":1,"a":2}}})").message.find("twice") !=
          std::string::npos);
}

// statelyai/xstate#5331
TEST_CASE("archive: the time takes the steps of turns that were taken in, from then on") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path(), {{"turns", {{"timers", {"plan_proposed after 1 s -> cancelled"}}}}}));
  const json session = good(host.call("state.session.create", {{"name", "n"}}))["session"]["id"];
  const json turn{{"id", "t"},  {"session_id", session}, {"state", "plan_proposed"},
                  {"fence", 0}, {"created_ms", 1},       {"updated_ms", 1},
                  {"plan", 1}};
  (void)good(host.call("state.import", {{"objects", {{{"type", "turn"}, {"object", turn}}}}}));
  REQUIRE(good(host.call("state.turn.get", {{"id", "t"}}))["turn"]["state"] == "plan_proposed");
  eventually("its time is over",
             [&] { return good(host.call("state.turn.get", {{"id", "t"}}))["turn"]["state"] == "cancelled"; });
}

TEST_CASE("archive: what is no list of objects is refused") {
  Store to;
  const auto refused = [&](const json& params) { return bad(to.call("import", params)).kind; };
  REQUIRE(refused(json::object()) == ErrorKind::invalid_params);
  REQUIRE(refused({{"objects", {1}}}) == ErrorKind::invalid_params);
  REQUIRE(refused({{"objects", {{{"type", "room"}, {"object", json::object()}}}}}) == ErrorKind::invalid_params);
  REQUIRE(refused({{"objects", json::array()}, {"on_conflict", "merge"}}) == ErrorKind::invalid_params);
  const json entry{{"type", "setting"}, {"object", {{"key", "k"}, {"value", 1}, {"scope", "user"}}}};
  REQUIRE(refused({{"objects", json::array_t(5001, entry)}}) == ErrorKind::too_large);
  gantry::testing::CallWith twice;
  twice.raw_params = R"({"objects":[{"type":"turn","object":{"id":"t","plan":{"a":1,"a":2}}}]})";
  const auto error = bad(to.host.begin("state.import", {}, std::move(twice)).result());
  REQUIRE(error.message.find("the name \"a\" twice") != std::string::npos);
  REQUIRE(to.seq() == 0);
}
