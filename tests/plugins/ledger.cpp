// SPDX-License-Identifier: Apache-2.0
//
// Owns a database exclusively: while one instance has it open, another cannot. What is answered is on the disk.
#include <sqlite3.h>

#include <gantry/params.hpp>
#include <gantry/plugin.hpp>

struct Ledger {
  explicit Ledger(gantry::Host h) : host(std::move(h)) {}
  Ledger(const Ledger&) = delete;
  ~Ledger() { sqlite3_close(db); }

  gantry::Result<void> run(const std::string& sql) {
    char* why = nullptr;
    if (sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &why) == SQLITE_OK) return {};
    const std::string text = why != nullptr ? why : "unknown";
    sqlite3_free(why);
    return gantry::fail(gantry::ErrorKind::storage_failed, text);
  }
  gantry::Result<void> start(const gantry::PluginConfig& config) {
    if (sqlite3_open((config.state_dir + "/ledger.db").c_str(), &db) != SQLITE_OK)
      return gantry::fail(gantry::ErrorKind::storage_failed, sqlite3_errmsg(db));
    if (auto ok =
            run("PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE IF NOT EXISTS entry(n INTEGER); COMMIT");
        !ok)
      return ok;
    return {};
  }
  gantry::Result<gantry::json> add(gantry::Call& call) {
    const gantry::json params = call.params();
    gantry::Params p(params);
    const auto n = p.integer("n", -1'000'000, 1'000'000);
    if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
    if (auto ok = run("INSERT INTO entry VALUES(" + std::to_string(n) + ")"); !ok) return std::unexpected(ok.error());
    return sum(call);
  }
  gantry::Result<gantry::json> sum(gantry::Call&) {
    sqlite3_stmt* query = nullptr;
    sqlite3_prepare_v2(db, "SELECT count(*), coalesce(sum(n), 0) FROM entry", -1, &query, nullptr);
    sqlite3_step(query);
    const gantry::json out{{"entries", sqlite3_column_int64(query, 0)}, {"sum", sqlite3_column_int64(query, 1)}};
    sqlite3_finalize(query);
    return out;
  }

  static void define(gantry::Definition<Ledger>& d) {
    d.id("ledger").version("1.0.0").service("ledger").reload("handover");
    d.method("ledger.add", &Ledger::add).method("ledger.sum", &Ledger::sum, {.summary = "The sum", .idempotent = true});
  }
  gantry::Host host;
  sqlite3* db = nullptr;
};
GANTRY_PLUGIN(Ledger)
