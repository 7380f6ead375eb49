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

#include "tests/eventually.hpp"
#include "tests/folders.hpp"

namespace state_test {

using gantry::ErrorKind;
using gantry::json;
using gantry::test::eventually;
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
  explicit RawDatabase(const std::string& folder, bool is_file = false) {
    if (sqlite3_open_v2((is_file ? folder : folder + "/state.db").c_str(), &db_, SQLITE_OPEN_READWRITE, nullptr) !=
        SQLITE_OK) {
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

/// What a store holds when its log is folded, or as it lies in the rows: by type and id, the body without its rev, and
/// the rev.
using Contents = std::map<std::string, std::pair<json, std::uint64_t>>;

/// The objects after the events up to `last`.
inline Contents fold(RawDatabase& db, std::uint64_t last = ~std::uint64_t{0}) {
  Contents out;
  std::map<std::string, std::uint64_t> deleted;  // their revs, which go on when they are restored
  std::uint64_t seq = 0;
  for (const auto& row : db.rows("SELECT seq, topic, payload FROM events ORDER BY seq")) {
    REQUIRE(std::stoull(row[0]) == ++seq);
    if (seq > last) break;
    const json event = json::parse(row[2]);
    const std::string topic = row[1].substr(std::string("state.").size());
    const std::string type = topic.substr(0, topic.find('.'));
    const std::string what = topic.substr(topic.find('.') + 1);
    CAPTURE(seq, row[1], row[2]);
    if (type == "project" || type == "recovered" || what == "approval_voided") continue;
    if (type == "setting") {
      const bool of_user = event["scope"] == "user";
      const std::string scope = of_user ? "user" : "workspace:" + event["workspace"].get<std::string>();
      const std::string id = "setting " + scope + "\n" + event["key"].get<std::string>();
      if (event["value"].is_null()) {
        out.erase(id);
      } else {
        out[id] = {event["value"], event["rev"]};
      }
      continue;
    }
    const std::string id = type + " " + event[type == "layout" ? "session_id" : type + "_id"].get<std::string>();
    if (what == "deleted") {
      REQUIRE(out.at(id).second + 1 == event["rev"]);
      REQUIRE(out.erase(id) == 1);
      deleted[id] = event["rev"];
    } else if (what == "created" || what == "changed") {
      json body = event[type];
      const std::uint64_t rev = body["rev"];
      REQUIRE(rev == (out.contains(id) ? out[id].second : deleted[id]) + 1);
      for (const char* member : {"id", "rev"}) body.erase(member);
      if (type == "layout") body.erase("session_id");
      out[id] = {std::move(body), rev};
    } else {
      REQUIRE(what == "updated");
      auto& [body, rev] = out.at(id);
      REQUIRE(rev == event["from_rev"]);
      body.merge_patch(event[type == "session" ? "patch" : "changes"]);
      if (event.contains("plan")) body["plan"] = event["plan"];
      rev = event["rev"];
    }
  }
  return out;
}

/// Checks the store: quick_check; the log has no gap up to the head; replaying it gives the rows;
/// the counts are right. Returns the head.
inline std::uint64_t check_store(const std::string& folder) {
  RawDatabase db(folder);
  REQUIRE(db.one("PRAGMA quick_check") == "ok");
  const std::uint64_t head = std::stoull(db.one("SELECT seq FROM store"));
  REQUIRE(db.one("SELECT coalesce(max(seq), 0) FROM events") == std::to_string(head));
  const Contents folded = fold(db);
  Contents rows;
  std::size_t bytes = 0;
  for (const auto& row : db.rows("SELECT type, id, rev, body FROM objects WHERE body IS NOT NULL")) {
    rows[row[0] + " " + row[1]] = {json::parse(row[3]), std::stoull(row[2])};
    bytes += row[3].size();
  }
  REQUIRE(rows.size() == folded.size());
  for (const auto& [id, object] : rows) {
    CAPTURE(id);
    REQUIRE(folded.contains(id));
    REQUIRE(object.first.dump() == folded.at(id).first.dump());
    REQUIRE(object.second == folded.at(id).second);
  }
  const auto count = [&](const char* type) {
    return db.one(std::string("SELECT count(*) FROM objects WHERE body IS NOT NULL AND type = '") + type + "'");
  };
  REQUIRE(
      db.rows("SELECT sessions, panes, layouts, settings, turns, data_bytes, log_bytes, mutations FROM store").at(0) ==
      std::vector<std::string>{count("session"), count("pane"), count("layout"), count("setting"), count("turn"),
                               std::to_string(bytes), db.one("SELECT coalesce(sum(bytes), 0) FROM events"),
                               db.one("SELECT count(*) FROM mutations")});
  return head;
}

/// Returns when the events of all changes that were answered have been offered to the bus: the writer sends them before
/// it begins with what was submitted later.
inline void settle(TestHost& host) { (void)good(host.call("state.flush")); }

}  // namespace state_test
