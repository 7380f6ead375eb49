// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/project_state/support.hpp"

using namespace state_test;

namespace {

json mutation(const char* client, const json& id) { return {{"client_id", client}, {"mutation_id", id}}; }

}  // namespace

TEST_CASE("state: an answer leaves before its event, and events carry the log's epoch and a seq without a hole") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  const json made = good(host.call("state.session.create", {{"name", "n"}}));
  REQUIRE(host.call("state.settings.set", {{"key", "k"}, {"value", 1}}));
  REQUIRE(!host.call("state.session.get", {{"id", "none"}}));
  REQUIRE(host.call("state.session.delete", {{"id", made["session"]["id"]}}));
  settle(host);
  const auto events = host.events();
  REQUIRE(events.size() == 3);
  const std::vector<std::string> topics{"state.session.created", "state.setting.changed", "state.session.deleted"};
  const std::vector<std::uint64_t> answers{1, 2, 4};
  for (std::size_t i = 0; i < events.size(); ++i) {
    CAPTURE(i);
    REQUIRE(events[i].topic == topics[i]);
    REQUIRE(events[i].epoch == made["epoch"].get<std::string>());
    REQUIRE(events[i].seq == i + 1);
    REQUIRE(events[i].answers >= answers[i]);
  }
  REQUIRE(events[0].payload == json{{"session_id", made["session"]["id"]}, {"session", made["session"]}});
  REQUIRE(host.manifest()["logs"] == json{"state.**"});
  REQUIRE(host.manifest()["reload"] == "handover");
}

TEST_CASE("state: a full bus delays events and loses none") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  host.fill(gantry::testing::Lane::events);
  for (int i = 0; i < 40; ++i) REQUIRE(host.call("state.settings.set", {{"key", "k"}, {"value", i}}));
  settle(host);
  REQUIRE(host.events().empty());
  host.open(gantry::testing::Lane::events);
  eventually("the events", [&] { return host.events().size() == 40; });
  const auto events = host.events();
  REQUIRE(events.size() == 40);
  for (std::size_t i = 0; i < 40; ++i) {
    CAPTURE(i);
    REQUIRE(events[i].seq == i + 1);
    REQUIRE(events[i].payload["value"] == i);
  }
}

TEST_CASE("state: a repeated mutation returns the original answer and changes nothing, also after a restart") {
  TempDir dir;
  json first;
  const json body{{"name", "once"}, {"mutation", mutation("editor", 7)}};
  {
    TestHost host(kPlugin, config(dir.path()));
    first = good(host.call("state.session.create", body));
    REQUIRE(host.event("state.session.created").payload["cause"] == body["mutation"]);
    REQUIRE(host.call("state.session.update",
                      {{"id", first["session"]["id"]}, {"rev", 1}, {"patch", {{"name", "later"}}}}));
    REQUIRE(good(host.call("state.session.create", body)) == first);
    // Another client, or the id as a string, is another mutation.
    json other = body;
    other["mutation"]["client_id"] = "agent";
    REQUIRE(good(host.call("state.session.create", other))["session"]["id"] != first["session"]["id"]);
    other["mutation"] = mutation("editor", "7");
    REQUIRE(good(host.call("state.session.create", other))["session"]["id"] != first["session"]["id"]);
  }
  TestHost host(kPlugin, config(dir.path()));
  REQUIRE(good(host.call("state.session.create", body)) == first);
  REQUIRE(host.events().empty());

  json changed = body;
  changed["name"] = "twice";
  const auto reused = bad(host.call("state.session.create", changed));
  REQUIRE(reused.kind == ErrorKind::conflict);
  REQUIRE(reused.message.find("editor") != std::string::npos);
  json elsewhere{{"key", "k"}, {"value", 1}, {"mutation", mutation("editor", 7)}};
  REQUIRE(bad(host.call("state.settings.set", elsewhere)).kind == ErrorKind::conflict);
  REQUIRE(good(host.call("state.flush"))["seq"] == 4);
}

TEST_CASE("state: a mutation that failed may be repeated and then succeeds") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  const json set{{"key", "k"}, {"value", 2}, {"rev", 1}, {"mutation", mutation("c", "m")}};
  REQUIRE(bad(host.call("state.settings.set", set)).kind == ErrorKind::conflict);
  REQUIRE(host.call("state.settings.set", {{"key", "k"}, {"value", 1}}));
  const json done = good(host.call("state.settings.set", set));
  REQUIRE(done["rev"] == 2);
  REQUIRE(good(host.call("state.settings.set", set)) == done);
}

TEST_CASE(
    "state: a mutation that altered nothing is remembered too, so that its repeat does not alter something later") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  const json remove{{"key", "k"}, {"value", nullptr}, {"mutation", mutation("c", 1)}};
  const json first = good(host.call("state.settings.set", remove));
  REQUIRE(first["rev"] == 0);
  REQUIRE(host.call("state.settings.set", {{"key", "k"}, {"value", 1}}));
  REQUIRE(good(host.call("state.settings.set", remove)) == first);
  REQUIRE(good(host.call("state.settings.get", {{"key", "k"}}))["value"] == 1);
  host.stop();
  REQUIRE(check_store(dir.path()) == 1);
}

TEST_CASE("state: an idempotency key works like a mutation: both at once, or a malformed mutation, are refused") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  json body{{"name", "n"}, {"_meta", {{"idempotency_key", "abc"}}}};
  const json first = good(host.call("state.session.create", body));
  REQUIRE(good(host.call("state.session.create", body)) == first);
  body["mutation"] = mutation("c", 1);
  REQUIRE(bad(host.call("state.session.create", body)).kind == ErrorKind::invalid_params);
  const auto refused = [&](const json& wrong) {
    CAPTURE(wrong.dump());
    REQUIRE(bad(host.call("state.session.create", {{"name", "n"}, {"mutation", wrong}})).kind ==
            ErrorKind::invalid_params);
  };
  refused(json::array());
  refused({{"client_id", "c"}});
  refused({{"mutation_id", 1}});
  refused({{"client_id", ""}, {"mutation_id", 1}});
  refused({{"client_id", "c"}, {"mutation_id", -1}});
  refused({{"client_id", "c"}, {"mutation_id", 1.5}});
  refused({{"client_id", "c"}, {"mutation_id", ""}});
  refused({{"client_id", std::string(129, 'c')}, {"mutation_id", 1}});
  refused({{"client_id", "c"}, {"mutation_id", 1}, {"base", 1}});
  REQUIRE(good(host.call("state.flush"))["seq"] == 1);
}

TEST_CASE("state: everything is there after a restart, under the same epoch") {
  TempDir dir;
  json session;
  json epoch;
  {
    TestHost host(kPlugin, config(dir.path()));
    const json made = good(host.call("state.session.create", {{"name", "n"}, {"roots", {"/r"}}}));
    session = made["session"];
    epoch = made["epoch"];
    REQUIRE(host.call("state.settings.set", {{"key", "k"}, {"value", {1, 2}}}));
    host.stop();
  }
  REQUIRE(std::filesystem::exists(dir / "state.clean"));
  TestHost host(kPlugin, config(dir.path()));
  REQUIRE(!std::filesystem::exists(dir / "state.clean"));
  const json got = good(host.call("state.session.get", {{"id", session["id"]}}));
  REQUIRE(got["session"] == session);
  REQUIRE(got["epoch"] == epoch);
  REQUIRE(got["seq"] == 2);
  REQUIRE(good(host.call("state.settings.get", {{"key", "k"}}))["value"] == json{1, 2});
  const json next = good(host.call("state.settings.set", {{"key", "k"}, {"value", {3}}}));
  REQUIRE(next["rev"] == 2);
  REQUIRE(next["seq"] == 3);
  settle(host);
  REQUIRE(host.events().size() == 1);  // what was committed before the start is not news
  REQUIRE(host.events().front().seq == 3);
  host.stop();
  REQUIRE(check_store(dir.path()) == 3);
}

TEST_CASE("state: the log keeps its newest events up to the bound, and seq goes on") {
  TempDir dir;
  {
    TestHost host(kPlugin, config(dir.path(), {{"max_events", 10}}));
    for (int i = 0; i < 35; ++i) REQUIRE(host.call("state.settings.set", {{"key", "k"}, {"value", i}}));
    settle(host);
    REQUIRE(host.events().size() == 35);
    host.stop();
  }
  {
    RawDatabase db(dir.path());
    REQUIRE(db.rows("SELECT min(seq), max(seq), count(*) FROM events").at(0) ==
            std::vector<std::string>{"26", "35", "10"});
    REQUIRE(db.one("SELECT floor FROM store") == "25");
    REQUIRE(db.one("SELECT log_bytes = (SELECT sum(bytes) FROM events) FROM store") == "1");
  }
  // A smaller bound is reached in steps; a check after a crash accepts the floor.
  std::filesystem::remove(dir / "state.clean");
  TestHost host(kPlugin, config(dir.path(), {{"max_events", 1}}));
  REQUIRE(host.started() == 0);
  REQUIRE(good(host.call("state.settings.set", {{"key", "k"}, {"value", 99}}))["seq"] == 36);
  host.stop();
  REQUIRE(RawDatabase(dir.path()).one("SELECT count(*) FROM events") == "1");
}

TEST_CASE("state: events that are too old go, but for the newest 100,000") {
  TempDir dir;
  const auto set = [&](int days, int changes) {
    TestHost host(kPlugin, config(dir.path(), {{"max_events", 1'000'000}, {"max_age_days", days}}));
    REQUIRE(host.started() == 0);
    for (int i = 0; i < changes; ++i) REQUIRE(host.call("state.settings.set", {{"key", "k"}, {"value", i}}));
    host.stop();
  };
  set(1, 1);
  {
    RawDatabase db(dir.path());
    (void)db.rows(
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 100400) "
        "INSERT INTO events (seq, at_ms, topic, payload, bytes) SELECT i, 0, 'state.setting.changed', '{}', 2 FROM n");
    (void)db.rows("UPDATE events SET at_ms = 0");
    (void)db.rows("UPDATE store SET seq = 100400, log_bytes = (SELECT sum(bytes) FROM events)");
  }
  const auto count = [&] { return RawDatabase(dir.path()).one("SELECT count(*) FROM events"); };
  set(0, 3);
  REQUIRE(count() == "100403");
  set(1, 1);  // in steps
  REQUIRE(count() == "100148");
  set(1, 10);
  REQUIRE(count() == "100000");
  REQUIRE(RawDatabase(dir.path()).one("SELECT floor FROM store") == "414");
}

TEST_CASE("state: a log that is too large loses its oldest events, but for the newest 100,000") {
  TempDir dir;
  const auto set = [&](int mib, int changes) {
    TestHost host(kPlugin, config(dir.path(), {{"max_events", 1'000'000}, {"max_log_mib", mib}}));
    REQUIRE(host.started() == 0);
    gantry::Result<json> last = json();
    for (int i = 0; i < changes && last; ++i) last = host.call("state.settings.set", {{"key", "k"}, {"value", i}});
    host.stop();
    return last;
  };
  REQUIRE(set(8, 1));
  {
    RawDatabase db(dir.path());
    (void)db.rows(
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 100400) INSERT INTO events "
        "(seq, at_ms, topic, payload, bytes) SELECT i, 0, 'state.setting.changed', '{}', 400 FROM n");
    (void)db.rows("UPDATE store SET seq = 100400, log_bytes = (SELECT sum(bytes) FROM events)");
  }
  const auto count = [&] { return RawDatabase(dir.path()).one("SELECT count(*) FROM events"); };
  REQUIRE(set(64, 3));
  REQUIRE(count() == "100403");
  REQUIRE(set(8, 11));  // 38 MiB, in steps
  REQUIRE(count() == "100000");
  RawDatabase(dir.path())
      .run("UPDATE events SET bytes = 1343; UPDATE store SET log_bytes = (SELECT sum(bytes) FROM events)");
  const auto newest = [&] { return RawDatabase(dir.path()).one("SELECT max(seq) FROM events"); };
  const auto before = newest();
  const auto refused = set(8, 1);  // at 128 MiB nothing is lost either
  REQUIRE(bad(refused).kind == ErrorKind::too_large);
  REQUIRE(refused.error().message.find("max_log_mib") != std::string::npos);
  REQUIRE(count() == "100000");
  REQUIRE(newest() == before);
  REQUIRE(set(9, 1));
  REQUIRE(count() == "100000");
}

TEST_CASE("state: mutations are remembered for a day") {
  TempDir dir;
  const json old{{"name", "old"}, {"mutation", mutation("c", 1)}};
  const json recent{{"name", "recent"}, {"mutation", mutation("c", 2)}};
  json first_old;
  json first_recent;
  {
    TestHost host(kPlugin, config(dir.path()));
    first_old = good(host.call("state.session.create", old));
    first_recent = good(host.call("state.session.create", recent));
    host.stop();
  }
  RawDatabase(dir.path()).run("UPDATE mutations SET at_ms = at_ms - 25 * 3600 * 1000 WHERE mutation = '1'");
  TestHost host(kPlugin, config(dir.path()));
  REQUIRE(host.call("state.settings.set", {{"key", "k"}, {"value", 1}}));  // a commit cleans up
  REQUIRE(good(host.call("state.session.create", recent)) == first_recent);
  REQUIRE(good(host.call("state.session.create", old))["session"]["id"] != first_old["session"]["id"]);
  host.stop();
  check_store(dir.path());
}

TEST_CASE("state: a day of a mutation is one in which the store is open") {
  TempDir dir;
  const json once{{"name", "once"}, {"mutation", mutation("c", 1)}};
  TestHost host(kPlugin, config(dir.path()));
  const json first = good(host.call("state.session.create", once));
  host.advance(std::chrono::hours(23));
  REQUIRE(host.call("state.settings.set", {{"key", "k"}, {"value", 1}}));
  REQUIRE(good(host.call("state.session.create", once)) == first);
  host.advance(std::chrono::hours(2));
  REQUIRE(host.call("state.settings.set", {{"key", "k"}, {"value", 2}}));
  REQUIRE(good(host.call("state.session.create", once))["session"]["id"] != first["session"]["id"]);
  host.stop();
  check_store(dir.path());
}

TEST_CASE("state: mutations are remembered whatever the time of day was set to meanwhile") {
  TempDir dir;
  const json once{{"name", "once"}, {"mutation", mutation("c", 1)}};
  // What they are remembered with is no time of day, so that one which is far from the system's changes nothing.
  for (const char* jump : {"at_ms - 400 * 86400000", "at_ms + 3000 * 86400000", "at_ms - 10 * 86400000"}) {
    CAPTURE(jump);
    TestHost host(kPlugin, config(dir.path()));
    const json first = good(host.call("state.session.create", once));
    host.stop();
    RawDatabase(dir.path()).run(std::string("UPDATE mutations SET at_ms = ") + jump);
    TestHost next(kPlugin, config(dir.path()));
    REQUIRE(next.call("state.settings.set", {{"key", "k"}, {"value", 1}}));
    REQUIRE(good(next.call("state.session.create", once)) == first);
    next.stop();
  }
  check_store(dir.path());
}

TEST_CASE("state: who reads the database for ever is named, and the write-ahead log does not grow beyond its bound") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path(), {{"max_data_mib", 1}, {"max_log_mib", 8}}));
  const std::string large(std::size_t{200} << 10, 'x');
  const auto set = [&](int i) {
    return host.call("state.settings.set", {{"key", "k"}, {"value", large + std::to_string(i)}});
  };
  const auto wal_bytes = [&] { return std::filesystem::file_size(dir / "state.db-wal"); };
  REQUIRE(set(0));
  {
    RawDatabase reader(dir.path());
    reader.run("BEGIN");
    REQUIRE(reader.one("SELECT count(*) FROM objects") == "1");
    int done = 1;
    gantry::Result<json> last = set(done);
    while (last && done < 200) last = set(++done);
    REQUIRE(bad(last).kind == ErrorKind::storage_failed);
    REQUIRE(last.error().message.find("close that program") != std::string::npos);
    REQUIRE(wal_bytes() < std::size_t{10} << 20);
    REQUIRE(host.call("state.settings.get", {{"key", "k"}})->at("value") == large + std::to_string(done - 1));
    const std::string log = host.log();
    REQUIRE(log.find("keeps its write-ahead log") != std::string::npos);
    REQUIRE(log.find("keeps its write-ahead log") == log.rfind("keeps its write-ahead log"));
    reader.run("ROLLBACK");
  }
  for (int i = 0; i < 3; ++i) REQUIRE(set(i));
  REQUIRE(wal_bytes() < std::size_t{10} << 20);
  REQUIRE(RawDatabase(dir.path()).one("PRAGMA quick_check") == "ok");
}
