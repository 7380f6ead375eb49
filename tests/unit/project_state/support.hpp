// SPDX-License-Identifier: Apache-2.0
//
// Helpers for the tests of project_state: a folder, the plugin in it, and direct access to the
// database.
#pragma once

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <gantry/testing.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/folders.hpp"

namespace state_test {

using gantry::ErrorKind;
using gantry::json;
using gantry::testing::TestHost;

inline const std::string kPlugin = gantry::folders::build() + "/plugins/project_state.so";

/// A temporary folder; in memory where possible, because fsync costs nothing there.
class TempDir {
 public:
  TempDir() {
    std::string pattern = (::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp") + std::string("/gantry-state-XXXXXX");
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = pattern;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

[[nodiscard]] inline json config(const std::string& folder, json settings = json::object(),
                                 json workspaces = json::array()) {
  return {{"name", "project_state"},
          {"state_dir", folder},
          {"settings", std::move(settings)},
          {"workspaces", std::move(workspaces)}};
}

[[nodiscard]] inline json good(const gantry::Result<json>& result) {
  if (!result) FAIL(result.error().message);
  return *result;
}
[[nodiscard]] inline gantry::Error bad(const gantry::Result<json>& result) {
  if (result) FAIL("expected an error, got " + result->dump());
  return result.error();
}

/// The database, which the test reads itself.
class RawDatabase {
 public:
  explicit RawDatabase(const std::string& folder) {
    if (sqlite3_open_v2((folder + "/state.db").c_str(), &db_, SQLITE_OPEN_READWRITE, nullptr) != SQLITE_OK) {
      throw std::runtime_error("cannot open state.db");
    }
  }
  RawDatabase(const RawDatabase&) = delete;
  RawDatabase& operator=(const RawDatabase&) = delete;
  ~RawDatabase() { sqlite3_close(db_); }

  [[nodiscard]] std::vector<std::vector<std::string>> rows(const std::string& sql) {
    std::vector<std::vector<std::string>> out;
    char* error = nullptr;
    const int code = sqlite3_exec(
        db_, sql.c_str(),
        [](void* ctx, int columns, char** values, char**) {
          auto& row = static_cast<std::vector<std::vector<std::string>>*>(ctx)->emplace_back();
          for (int i = 0; i < columns; ++i) row.emplace_back(values[i] == nullptr ? "NULL" : values[i]);
          return 0;
        },
        &out, &error);
    if (code != SQLITE_OK) throw std::runtime_error(sql + ": " + sqlite3_errmsg(db_));
    return out;
  }
  [[nodiscard]] std::string one(const std::string& sql) { return rows(sql).at(0).at(0); }
  void run(const std::string& sql) { (void)rows(sql); }

 private:
  sqlite3* db_ = nullptr;
};

/// Checks the store: quick_check; the log has no gap up to the head; replaying it gives the rows;
/// the counts are right. Returns the head.
inline std::uint64_t check_store(const std::string& folder) {
  RawDatabase db(folder);
  REQUIRE(db.one("PRAGMA quick_check") == "ok");
  const std::uint64_t head = std::stoull(db.one("SELECT seq FROM store"));
  std::map<std::string, json> sessions;
  std::map<std::string, json> settings;
  std::uint64_t seq = 0;
  for (const auto& row : db.rows("SELECT seq, topic, payload FROM events ORDER BY seq")) {
    REQUIRE(std::stoull(row[0]) == ++seq);
    const json event = json::parse(row[2]);
    if (row[1] == "state.session.created") {
      REQUIRE(event["session"]["rev"] == 1);
      sessions[event["session_id"]] = event["session"];
    } else if (row[1] == "state.session.updated") {
      auto& session = sessions.at(event["session_id"]);
      REQUIRE(session["rev"] == event["from_rev"]);
      session.merge_patch(event["patch"]);
      session["rev"] = event["rev"];
    } else if (row[1] == "state.session.deleted") {
      REQUIRE(sessions.erase(event["session_id"]) == 1);
    } else {
      REQUIRE(row[1] == "state.setting.changed");
      const std::string scope =
          event["scope"] == "user" ? "user" : "workspace:" + event["workspace"].get<std::string>();
      settings[scope + "\n" + event["key"].get<std::string>()] = {event["value"], event["rev"]};
    }
  }
  REQUIRE(seq == head);

  std::size_t bytes = 0;
  const auto session_rows = db.rows("SELECT id, rev, body FROM sessions");
  REQUIRE(session_rows.size() == sessions.size());
  for (const auto& row : session_rows) {
    json session = json::parse(row[2]);
    session["id"] = row[0];
    session["rev"] = std::stoull(row[1]);
    REQUIRE(session.dump() == sessions.at(row[0]).dump());
    bytes += row[2].size();
  }
  const auto setting_rows = db.rows("SELECT scope, key, value, rev FROM settings");
  REQUIRE(setting_rows.size() == settings.size());
  for (const auto& row : setting_rows) {
    const auto& folded = settings.at(row[0] + "\n" + row[1]);
    REQUIRE((row[2] == "NULL" ? "null" : row[2]) == folded[0].dump());
    REQUIRE(std::stoull(row[3]) == folded[1]);
    if (row[2] != "NULL") bytes += row[2].size();
  }
  REQUIRE(db.rows("SELECT sessions, settings, data_bytes, log_bytes, mutations FROM store").at(0) ==
          std::vector<std::string>{std::to_string(sessions.size()), std::to_string(settings.size()),
                                   std::to_string(bytes), db.one("SELECT coalesce(sum(bytes), 0) FROM events"),
                                   db.one("SELECT count(*) FROM mutations")});
  return head;
}

}  // namespace state_test
