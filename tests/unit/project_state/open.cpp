// SPDX-License-Identifier: Apache-2.0
//
// What the plugin does with a state folder that is not as it left it.
#include "tests/unit/project_state/support.hpp"

using namespace state_test;

namespace {

void fill(const std::string& folder) {
  TestHost host(kPlugin, config(folder));
  REQUIRE(host.call("state.session.create", {{"name", "n"}}));
  REQUIRE(host.call("state.settings.set", {{"key", "k"}, {"value", 1}}));
  host.stop();
}

/// The start fails with `unavailable`, says why, and leaves every file as it was.
void refuses(const std::string& folder, const std::string& why) {
  const auto bytes = [&] {
    std::ifstream in(folder + "/state.db", std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const std::string before = bytes();
  {
    TestHost host(kPlugin, config(folder));
    CAPTURE(host.log());
    REQUIRE(host.started() == static_cast<int>(ErrorKind::unavailable));
    REQUIRE(host.log().find(why) != std::string::npos);
    REQUIRE(host.log().find("state.db") != std::string::npos);
  }
  REQUIRE(bytes() == before);
}

}  // namespace

TEST_CASE("state: a database from a newer version is refused") {
  TempDir dir;
  fill(dir.path());
  RawDatabase(dir.path()).run("PRAGMA user_version = 99");
  refuses(dir.path(), "newer");
}

TEST_CASE("state: a database of another program is refused") {
  TempDir dir;
  SECTION("one that says so") {
    fill(dir.path());
    RawDatabase(dir.path()).run("PRAGMA application_id = 77");
  }
  SECTION("one that does not") {
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open((dir / "state.db").c_str(), &db) == SQLITE_OK);
    REQUIRE(sqlite3_exec(db, "CREATE TABLE mine (x)", nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(db);
  }
  refuses(dir.path(), "another program");
}

TEST_CASE("state: a first run that was cut short at its start is a first run again") {
  TempDir dir;
  std::ofstream(dir / "state.db").close();
  TestHost host(kPlugin, config(dir.path()));
  REQUIRE(host.started() == 0);
  REQUIRE(host.call("state.settings.set", {{"key", "k"}, {"value", 1}}));
}

TEST_CASE("state: what is no regular file is refused in the place of the database") {
  TempDir dir;
  SECTION("a folder") { std::filesystem::create_directory(dir / "state.db"); }
  SECTION("a FIFO") { REQUIRE(::mkfifo((dir / "state.db").c_str(), 0600) == 0); }
  SECTION("a link") {
    std::ofstream(dir / "elsewhere").close();
    std::filesystem::create_symlink(dir / "elsewhere", dir / "state.db");
  }
  TestHost host(kPlugin, config(dir.path()));
  REQUIRE(host.started() == static_cast<int>(ErrorKind::unavailable));
  REQUIRE(host.log().find("no regular file") != std::string::npos);
}

TEST_CASE("state: the database of another store in this folder is refused") {
  TempDir dir;
  TempDir other;
  fill(dir.path());
  fill(other.path());
  std::filesystem::copy_file(other / "state.db", dir / "state.db", std::filesystem::copy_options::overwrite_existing);
  refuses(dir.path(), "another store");
}

TEST_CASE("state: an old copy of the database continues under a new epoch") {
  TempDir dir;
  fill(dir.path());
  std::filesystem::copy_file(dir / "state.db", dir / "copy");
  std::string epoch;
  {
    TestHost host(kPlugin, config(dir.path()));
    epoch = good(host.call("state.settings.set", {{"key", "k"}, {"value", 2}}))["epoch"];
    host.stop();
  }
  std::filesystem::copy_file(dir / "copy", dir / "state.db", std::filesystem::copy_options::overwrite_existing);
  std::string next;
  {
    TestHost host(kPlugin, config(dir.path()));
    REQUIRE(host.started() == 0);
    REQUIRE(host.log().find("new epoch") != std::string::npos);
    const json got = good(host.call("state.settings.get", {{"key", "k"}}));
    REQUIRE(got["value"] == 1);
    REQUIRE(got["seq"] == 3);  // with the event that says so
    REQUIRE(host.event("state.recovered").payload["lost_after_seq"] == 2);
    next = got["epoch"];
    REQUIRE(epoch != next);
    host.stop();
  }
  TestHost host(kPlugin, config(dir.path()));
  REQUIRE(good(host.call("state.flush"))["epoch"] == next);
}

TEST_CASE("state: a folder that is deleted while in use is noticed before anything is acknowledged into it") {
  TempDir dir;
  TestHost host(kPlugin, config(dir / "state"));
  const json before = good(host.call("state.settings.set", {{"key", "k"}, {"value", 1}}));
  settle(host);  // nothing looks at the store while it goes
  std::filesystem::remove_all(dir / "state");
  const json after = good(host.call("state.settings.set", {{"key", "k"}, {"value", 1}}));
  REQUIRE(after["epoch"] != before["epoch"]);
  REQUIRE(after["seq"] == 2);  // behind the event that says what was lost
  REQUIRE(host.event("state.recovered").epoch == after["epoch"].get<std::string>());
  REQUIRE(host.log().find("deleted while it was in use") != std::string::npos);
  host.stop();
  REQUIRE(check_store(dir / "state") == 2);
}

TEST_CASE("state: the folder and the files are the user's alone") {
  TempDir dir;
  TestHost host(kPlugin, config(dir / "a/state"));
  REQUIRE(host.call("state.settings.set", {{"key", "k"}, {"value", 1}}));
  REQUIRE((std::filesystem::status(dir / "a/state").permissions() & std::filesystem::perms::all) ==
          std::filesystem::perms::owner_all);
  for (const char* file : {"state.db", "state.db-wal", "state.lock", "state.identity"}) {
    CAPTURE(file);
    struct stat info{};
    REQUIRE(::stat((dir / "a/state/").append(file).c_str(), &info) == 0);
    REQUIRE((info.st_mode & 077) == 0);
  }
}

TEST_CASE("state: limits that are no limits keep the plugin from starting, by name") {
  TempDir dir;
  for (const json& wrong : {json{{"max_events", 0}}, json{{"max_events", "many"}}, json{{"max_event", 5}}}) {
    CAPTURE(wrong);
    TestHost host(kPlugin, config(dir.path(), wrong));
    REQUIRE(host.started() == static_cast<int>(ErrorKind::invalid_params));
    REQUIRE(host.log().find("max_event") != std::string::npos);
  }
  TestHost host(kPlugin, config("relative"));
  REQUIRE(host.started() == static_cast<int>(ErrorKind::invalid_params));
}
