// SPDX-License-Identifier: Apache-2.0
//
// Stores of every schema that was released: schema_N.sql is a dump of one.
#include <fstream>
#include <sstream>

#include "tests/unit/project_state/support.hpp"

using namespace state_test;

namespace {

/// Makes state.db of a dump.
void restore(const std::string& folder, const std::string& schema) {
  std::ifstream file(gantry::folders::source() + "/tests/unit/project_state/" + schema + ".sql");
  std::stringstream sql;
  sql << file.rdbuf();
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open((folder + "/state.db").c_str(), &db) == SQLITE_OK);
  REQUIRE(sqlite3_exec(db, sql.str().c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(db);
}

}  // namespace

TEST_CASE("state: a store of schema 1 is migrated, with all that it holds, and its log goes on") {
  TempDir dir;
  restore(dir.path(), "schema_1");
  Contents before;
  {
    RawDatabase db(dir.path());
    REQUIRE(db.one("PRAGMA user_version") == "1");
    before = fold(db);
    REQUIRE(before.size() == 5);
  }
  TestHost host(kPlugin, config(dir.path()));
  CAPTURE(host.log());
  REQUIRE(host.started() == 0);
  const json sessions = good(host.call("state.session.list"));
  REQUIRE(sessions["epoch"] == "b66bb299bb371b0c550b035ac9a973af");
  REQUIRE(sessions["seq"] == 10);
  REQUIRE(sessions["items"].size() == 2);
  REQUIRE(sessions["items"][0]["name"] == "renamed");
  REQUIRE(sessions["items"][0]["attributes"].dump() == R"({"color":"red","n":1.0})");
  REQUIRE(sessions["items"][0]["rev"] == 2);
  REQUIRE(good(host.call("state.settings.get", {{"key", "tabs"}}))["value"].dump() == R"({"hard":null,"width":4})");
  REQUIRE(good(host.call("state.settings.get", {{"key", "gone"}}))["rev"] == 2);
  // A repeat of what was done before the migration.
  const json again = good(host.call("state.session.create",
                                    {{"name", "third"}, {"mutation", {{"client_id", "editor"}, {"mutation_id", 7}}}}));
  REQUIRE(again["session"]["id"] == sessions["items"][1]["id"]);
  const json next = good(host.call("state.settings.set", {{"key", "theme"}, {"value", "light"}, {"rev", 1}}));
  REQUIRE(next["seq"] == 11);
  host.stop();
  check_store(dir.path());
  RawDatabase db(dir.path());
  REQUIRE(db.one("PRAGMA user_version") == "2");
  REQUIRE(fold(db, 10) == before);
  // What was there before lies in the backups.
  const auto backups = std::filesystem::directory_iterator(dir.path() + "/backups");
  TempDir copy;
  std::filesystem::copy_file(std::filesystem::begin(backups)->path(), copy / "state.db");
  RawDatabase old(copy.path());
  REQUIRE(old.one("PRAGMA user_version") == "1");
  REQUIRE(fold(old) == before);
}
