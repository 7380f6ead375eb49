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
  REQUIRE(host.log().find("a backup cannot be used") != std::string::npos);
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
