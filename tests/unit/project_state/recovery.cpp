// SPDX-License-Identifier: Apache-2.0
//
// Backups, and what becomes of a database that is damaged.
#include "tests/unit/project_state/support.hpp"

using namespace state_test;

namespace {

namespace fs = std::filesystem;

constexpr const char* kMark = "the body that is damaged";

/// Three settings, a backup if wanted, and two more.
std::string fill(const std::string& folder, bool backup) {
  TestHost host(kPlugin, config(folder));
  const auto set = [&](int i) {
    return good(
        host.call("state.settings.set", {{"key", "k" + std::to_string(i)}, {"value", kMark + std::to_string(i)}}));
  };
  for (int i = 0; i < 3; ++i) (void)set(i);
  if (backup) REQUIRE(good(host.call("state.backup.create"))["backup"]["seq"] == 3);
  (void)set(3);
  const std::string epoch = set(4)["epoch"];
  host.stop();
  return epoch;
}

std::string content(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void overwrite(const std::string& file, std::size_t at, const std::string& bytes) {
  std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
  out.seekp(static_cast<std::streamoff>(at));
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

/// Changes one byte of the last place where `what` stands.
void flip(const std::string& file, const std::string& what) {
  const auto at = content(file).rfind(what);
  REQUIRE(at != std::string::npos);
  overwrite(file, at, "X");
}

struct Damage {
  const char* name;
  bool at_start;  ///< else when it is read
  void (*make)(const std::string& folder);
};

const std::vector<Damage> kDamages{
    {"no header", true, [](const std::string& f) { overwrite(f + "/state.db", 0, std::string(100, 'x')); }},
    {"pages, after a crash", true,
     [](const std::string& f) {
       fs::remove(f + "/state.clean");
       for (std::size_t page = 2UL * 4096; page < fs::file_size(f + "/state.db"); page += 4096)
         overwrite(f + "/state.db", page, std::string(200, '\xff'));
     }},
    {"a hole in the log, after a crash", true,
     [](const std::string& f) {
       fs::remove(f + "/state.clean");
       RawDatabase(f).run("DELETE FROM events WHERE seq = 2");
     }},
    {"a byte of a body, after a crash", true,
     [](const std::string& f) {
       fs::remove(f + "/state.clean");
       RawDatabase(f).run("UPDATE objects SET body = replace(body, 'body', 'Body') WHERE n = 2");
     }},
    {"a byte of an event, after a crash", true,
     [](const std::string& f) {
       fs::remove(f + "/state.clean");
       RawDatabase(f).run("UPDATE events SET payload = replace(payload, 'body', 'Body') WHERE seq = 2");
     }},
    {"a byte of a body, that is read", false,
     [](const std::string& f) { flip(f + "/state.db", std::string(kMark) + "1"); }},
    {"cut to zero", true, [](const std::string& f) { fs::resize_file(f + "/state.db", 0); }},
    {"cut in the middle, after a crash", true,
     [](const std::string& f) {
       fs::remove(f + "/state.clean");
       fs::resize_file(f + "/state.db", fs::file_size(f + "/state.db") / 2);
     }},
    {"missing", true, [](const std::string& f) { fs::remove(f + "/state.db"); }},
    {"a database without a table", true,
     [](const std::string& f) {
       fs::remove(f + "/state.db");
       sqlite3* db = nullptr;
       REQUIRE(sqlite3_open((f + "/state.db").c_str(), &db) == SQLITE_OK);
       REQUIRE(sqlite3_exec(db, "PRAGMA journal_mode = WAL; VACUUM", nullptr, nullptr, nullptr) == SQLITE_OK);
       sqlite3_close(db);
     }},
};

}  // namespace

TEST_CASE("state: a damaged database is moved away, and the newest sound backup goes on under a new epoch, loudly") {
  const bool backup = GENERATE(true, false);
  for (const auto& damage : kDamages) {
    CAPTURE(backup, damage.name);
    TempDir dir;
    const std::string epoch = fill(dir.path(), backup);
    damage.make(dir.path());
    TestHost host(kPlugin, config(dir.path()));
    CAPTURE(host.log());
    REQUIRE(host.started() == 0);
    if (!damage.at_start) {
      REQUIRE(bad(host.call("state.settings.get", {{"key", "k1"}})).kind == ErrorKind::storage_failed);
    }
    const json head = good(host.call("state.flush"));
    const std::uint64_t lost_after = backup ? 3 : 0;
    REQUIRE(head["seq"] == lost_after + 1);
    REQUIRE(head["epoch"] != epoch);
    const auto event = host.event("state.recovered");
    REQUIRE(event.epoch == head["epoch"].get<std::string>());
    REQUIRE(event.seq == lost_after + 1);
    REQUIRE(event.payload["lost_after_seq"] == lost_after);
    REQUIRE(event.payload["backup"].is_string() == backup);
    REQUIRE(!event.payload["reason"].get<std::string>().empty());
    REQUIRE(fs::is_directory(dir.path() + "/" + event.payload["quarantine"].get<std::string>()));
    REQUIRE(host.log().find("was recovered") != std::string::npos);
    for (int i = 0; i < 5; ++i) {
      const json got = good(host.call("state.settings.get", {{"key", "k" + std::to_string(i)}}));
      REQUIRE(got["value"] == (backup && i < 3 ? json(kMark + std::to_string(i)) : json()));
    }
    REQUIRE(host.call("state.settings.set", {{"key", "new"}, {"value", 1}}));
    host.stop();
    REQUIRE_FALSE(fs::exists(dir / "state.recovering"));
    // Once: the next start is an ordinary one.
    TestHost next(kPlugin, config(dir.path()));
    REQUIRE(good(next.call("state.flush"))["epoch"] == head["epoch"]);
    REQUIRE(good(next.call("state.flush"))["seq"] == lost_after + 2);
    REQUIRE(next.events().empty());
  }
}

TEST_CASE(
    "state: a page that is damaged after an orderly end is found, whichever it is, and the newest backup takes over") {
  constexpr std::size_t kPage = 4096;
  TempDir dir;
  (void)fill(dir.path(), true);
  const auto pages = fs::file_size(dir / "state.db") / kPage;
  REQUIRE(pages > 10);
  TempDir copy;
  fs::copy(dir.path(), copy.path(), fs::copy_options::recursive);
  for (std::size_t page = 0; page < pages; ++page) {
    CAPTURE(page);
    fs::remove_all(dir.path());
    fs::copy(copy.path(), dir.path(), fs::copy_options::recursive);
    {
      std::fstream file(dir / "state.db", std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(page * kPage));
      file << std::string(kPage, '\x5a');
    }
    TestHost host(kPlugin, config(dir.path()));
    CAPTURE(host.log());
    REQUIRE(host.started() == 0);
    const auto works = [&] {
      const json set{{"key", "new"}, {"value", host.events().size()}};
      for (int i = 0; i < 5; ++i) {
        const auto got = host.call("state.settings.get", {{"key", "k" + std::to_string(i)}});
        if (!got) return got.error();
        const bool lost = (*got)["value"].is_null();
        if (lost ? i < 3 : (*got)["value"] != kMark + std::to_string(i)) FAIL("k" << i << " is " << got->dump());
      }
      for (const auto& result :
           {host.call("state.log", {{"from", {{"epoch", good(host.call("state.info"))["epoch"]}, {"seq", 0}}}}),
            host.call("state.settings.set", set), host.call("state.check")}) {
        if (!result) return result.error();
      }
      return gantry::Error{};
    };
    gantry::Error last;
    for (int tries = 0; tries < 6; ++tries) {
      last = works();
      if (last.message.empty()) break;
      CAPTURE(last.message);
      REQUIRE((last.kind == ErrorKind::storage_failed || last.kind == ErrorKind::not_found));
    }
    REQUIRE(last.message.empty());
    host.stop();
  }
}

TEST_CASE("state: an event that is damaged is sent to nobody, and the newest backup takes over") {
  TempDir dir;
  const std::string epoch = fill(dir.path(), true);
  {
    RawDatabase db(dir.path());
    db.run("UPDATE events SET payload = replace(payload, '\"k1\"', '\"kX\"') WHERE seq = 2");
  }
  TestHost host(kPlugin, config(dir.path()));
  const json from{{"epoch", epoch}, {"seq", 0}};
  const auto refused = bad(host.call("state.log", {{"from", from}}));
  REQUIRE(refused.kind == ErrorKind::storage_failed);
  REQUIRE(refused.message.find("event 2") != std::string::npos);
  (void)good(host.call("state.flush"));
  REQUIRE(host.event("state.recovered").payload["lost_after_seq"] == 3);
  const json log =
      good(host.call("state.log", {{"from", {{"epoch", good(host.call("state.info"))["epoch"]}, {"seq", 0}}}}));
  REQUIRE(log.dump().find("kX") == std::string::npos);
}

TEST_CASE(
    "state: a backup is made of a store that was found damaged just now, and copies that were cut count for none") {
  TempDir dir;
  (void)fill(dir.path(), true);
  const auto cut = [&](const std::string& name, std::size_t bytes) {
    const auto files = fs::directory_iterator(dir / "backups");
    fs::copy_file(fs::begin(files)->path(), dir.path() + "/backups/" + name);
    fs::resize_file(dir.path() + "/backups/" + name, bytes);
  };
  cut("state-7-20260101T000000Z-9.db", 5);
  cut("state-8-20260101T000000Z-9.db", 30'000);
  {
    RawDatabase db(dir.path());
    db.run("UPDATE objects SET body = replace(body, 'damaged', 'dXmaged')");
  }
  TestHost host(kPlugin, config(dir.path(), {{"backup_keep", 2}}));
  (void)bad(host.call("state.settings.get", {{"key", "k1"}}));
  const json made = good(host.call("state.backup.create"))["backup"];
  const json items = good(host.call("state.backup.list"))["items"];
  REQUIRE(items.size() == 4);  // two sound ones, and the two that are left to people
  REQUIRE(items[0] == made);
  for (const auto& entry : fs::directory_iterator(dir / "backups"))
    REQUIRE(entry.path().filename().string().starts_with("state-"));
}

TEST_CASE("state: a backup that is damaged itself is passed over") {
  TempDir dir;
  (void)fill(dir.path(), true);
  {
    TestHost host(kPlugin, config(dir.path()));
    REQUIRE(good(host.call("state.backup.create"))["backup"]["seq"] == 5);
    const json items = good(host.call("state.backup.list"))["items"];
    REQUIRE(items.size() == 2);
    flip(dir.path() + "/backups/" + items[0]["file"].get<std::string>(), std::string(kMark) + "4");
    host.stop();
  }
  fs::resize_file(dir / "state.db", 0);
  TestHost host(kPlugin, config(dir.path()));
  REQUIRE(host.event("state.recovered").payload["lost_after_seq"] == 3);
  REQUIRE(host.log().find("cannot be used") != std::string::npos);
}

TEST_CASE("state: a recovery that is killed on its way goes on at the next start, and no epoch comes twice") {
  TempDir dir;
  const std::string epoch = fill(dir.path(), true);
  const std::string backup = dir.path() + "/backups/";
  const auto files = fs::directory_iterator(backup);
  const std::string file = fs::begin(files)->path().string();
  const json mark{{"reason", "damage"}, {"backup", "b"}, {"lost_after_seq", 3}, {"quarantine", "q"}};
  fs::remove(dir / "state.clean");
  SECTION("before the backup was put back") { fs::remove(dir / "state.db"); }
  SECTION("behind that") { fs::copy_file(file, dir / "state.db", fs::copy_options::overwrite_existing); }
  std::ofstream(dir / "state.recovering") << mark.dump();
  TestHost host(kPlugin, config(dir.path()));
  CAPTURE(host.log());
  REQUIRE(host.started() == 0);
  REQUIRE(host.event("state.recovered").payload["lost_after_seq"] == 3);
  REQUIRE(good(host.call("state.flush"))["epoch"] != epoch);
  REQUIRE(good(host.call("state.settings.get", {{"key", "k2"}}))["value"] == kMark + std::string("2"));
  host.stop();
  check_store(dir.path());
}

TEST_CASE("state: backups are sound, kept in number, and made while changes go on") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path(), {{"backup_keep", 2}}));
  for (int i = 0; i < 5; ++i) {
    std::vector<gantry::testing::TestStream> calls;
    for (int j = 0; j < 50; ++j) calls.push_back(host.begin("state.settings.set", {{"key", "k"}, {"value", i * j}}));
    const json made = good(host.call("state.backup.create"))["backup"];
    for (auto& call : calls) REQUIRE(call.result());
    REQUIRE(made["seq"] <= 50 * (i + 1));
    const auto kept = good(host.call("state.backup.list"))["items"];
    REQUIRE(kept.size() == static_cast<std::size_t>(std::min(i + 1, 2)));
    struct stat info{};
    REQUIRE(::stat((dir.path() + "/backups/" + kept[0]["file"].get<std::string>()).c_str(), &info) == 0);
    REQUIRE((info.st_mode & 077) == 0);
  }
}

TEST_CASE("state: a backup that is restored by hand goes on under a new epoch, and the store before is kept") {
  TempDir dir;
  const std::string epoch = fill(dir.path(), true);
  TestHost host(kPlugin, config(dir.path()));
  const std::string file = good(host.call("state.backup.list"))["items"][0]["file"];
  REQUIRE(bad(host.call("state.backup.restore", {{"file", "state-1-1.db"}})).kind == ErrorKind::not_found);
  REQUIRE(bad(host.call("state.backup.restore", {{"file", "../state.db"}})).kind == ErrorKind::not_found);
  REQUIRE(good(host.call("state.flush"))["epoch"] == epoch);
  REQUIRE(good(host.call("state.settings.get", {{"key", "k4"}}))["rev"] == 1);
  const json done = good(host.call("state.backup.restore", {{"file", file}}));
  REQUIRE(done["epoch"] != epoch);
  REQUIRE(done["seq"] == 4);
  REQUIRE(good(host.call("state.settings.get", {{"key", "k4"}}))["rev"] == 0);
  REQUIRE(good(host.call("state.settings.get", {{"key", "k2"}}))["rev"] == 1);
  const auto event = host.event("state.recovered");
  REQUIRE(event.payload["backup"] == file);
  TempDir before;
  fs::copy_file(dir.path() + "/" + event.payload["quarantine"].get<std::string>() + "/state.db", before / "state.db");
  REQUIRE(check_store(before.path()) == 5);
  host.stop();
  check_store(dir.path());
}

TEST_CASE("state.check: a sound store is sound, and one that is not is recovered by what comes next") {
  TempDir dir;
  (void)fill(dir.path(), true);
  flip(dir.path() + "/state.db", std::string(kMark) + "1");
  TestHost host(kPlugin, config(dir.path()));
  const json found = good(host.call("state.check"));
  REQUIRE(found["sound"] == false);
  REQUIRE(found["damage"].get<std::string>().find("checksum") != std::string::npos);
  REQUIRE(host.call("state.flush"));
  REQUIRE(host.event("state.recovered").payload["lost_after_seq"] == 3);
  REQUIRE(good(host.call("state.check"))["sound"] == true);
  const json info = good(host.call("state.info"));
  REQUIRE(info["folder"] == dir.path());
  REQUIRE(info["objects"]["settings"] == 3);
  REQUIRE(info["seq"] == 4);
}

TEST_CASE("state.gc: sessions that nobody has touched for long go, with all that is theirs, and only these") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  const auto session = [&](const char* name) -> std::string {
    return good(host.call("state.session.create", {{"name", name}}))["session"]["id"];
  };
  const std::string old = session("old");
  const std::string touched = session("a pane of it was touched");
  const std::string busy = session("one of its turns executes");
  const std::string recent = session("recent");
  const auto turn = [&](const std::string& of, bool executes) {
    json made = good(host.call("state.turn.create", {{"session_id", of}, {"plan", 1}}))["turn"];
    if (!executes) return;
    made = good(
        host.call("state.turn.approve", {{"id", made["id"]}, {"rev", 1}, {"plan_hash", made["plan_hash"]}}))["turn"];
    REQUIRE(host.call("state.turn.transition", {{"id", made["id"]}, {"rev", 2}, {"to", "executing"}}));
  };
  turn(old, false);
  turn(busy, true);
  const json pane = good(host.call("state.pane.create", {{"session_id", touched}, {"kind", "editor"}}))["pane"];
  // Ten days later.
  RawDatabase(dir.path())
      .run("UPDATE objects SET changed_ms = changed_ms - 10 * 86400000 WHERE id <> '" + recent +
           "' AND type <> 'pane'");
  const json dry = good(host.call("state.gc", {{"stale_days", 7}, {"dry_run", true}}));
  REQUIRE(dry["sessions"].size() == 1);
  REQUIRE(dry["sessions"][0]["id"] == old);
  REQUIRE(dry["sessions"][0]["name"] == "old");
  REQUIRE(good(host.call("state.session.get", {{"id", old}}))["session"]["name"] == "old");
  const json done = good(host.call("state.gc", {{"stale_days", 7}}));
  REQUIRE(done["sessions"] == dry["sessions"]);
  REQUIRE(bad(host.call("state.session.get", {{"id", old}})).kind == ErrorKind::not_found);
  REQUIRE(good(host.call("state.session.list"))["items"].size() == 3);
  REQUIRE(good(host.call("state.gc", {{"stale_days", 7}}))["sessions"].empty());
  settle(host);
  const auto events = host.events();
  REQUIRE(events.back().topic == "state.project.changed");
  REQUIRE(events.back().payload["reason"] == "stale");
  host.stop();
  check_store(dir.path());
}

TEST_CASE("state.gc: the configuration may have it done once an hour") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path(), {{"stale_days", 1}, {"host_metrics_seconds", 0}}));
  const std::string id = good(host.call("state.session.create", {{"name", "n"}}))["session"]["id"];
  host.advance(std::chrono::hours(1));
  REQUIRE(host.call("state.session.get", {{"id", id}}));
  RawDatabase(dir.path()).run("UPDATE objects SET changed_ms = changed_ms - 2 * 86400000");
  host.advance(std::chrono::hours(1));
  REQUIRE(host.event("state.session.deleted").payload["session_id"] == id);
}

TEST_CASE("state: what was deleted gives its room back to the disk") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path(), {{"host_metrics_seconds", 0}, {"max_events", 1}}));
  const std::string large(std::size_t{900} << 10, 'x');
  for (int i = 0; i < 10; ++i)
    REQUIRE(host.call("state.settings.set", {{"key", "k" + std::to_string(i)}, {"value", large}}));
  for (int i = 0; i < 10; ++i)
    REQUIRE(host.call("state.settings.set", {{"key", "k" + std::to_string(i)}, {"value", nullptr}}));
  for (int i = 0; i < 10; ++i) REQUIRE(host.call("state.settings.set", {{"key", "k"}, {"value", i}}));
  const auto pages = [&] { return std::stoull(RawDatabase(dir.path()).one("PRAGMA page_count")); };
  const auto before = pages();
  host.advance(std::chrono::hours(1));
  settle(host);
  REQUIRE(pages() < before / 4);
}
