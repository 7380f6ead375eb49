// SPDX-License-Identifier: Apache-2.0
//
// sqlite.hpp: a thin layer over SQLite's C interface: handles that close themselves, errors as
// values.
//
// Thread rule: a Database and its Queries are used by one thread at a time.
// Errors: every failure of SQLite is `storage_failed`, with the action, the file, SQLite's message
//   and what to do. poisoned() becomes true when an error means that the disk may no longer agree
//   with this connection (fsync failed, damage found): close it, open anew, check.
// Never: a statement stays open after its Query; a lock outlives its Query or transaction.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <gantry/result.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace gantry::state {

class Database {
 public:
  /// `flags`: SQLITE_OPEN_*; extended result codes are always on.
  [[nodiscard]] static Result<std::unique_ptr<Database>> open(const std::string& file, int flags);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  /// Runs statements that return nothing of interest.
  [[nodiscard]] Result<void> exec(const char* sql);
  /// The error for SQLite's `code` from the action `doing`.
  [[nodiscard]] Error error(int code, std::string_view doing);

  [[nodiscard]] bool poisoned() const { return poisoned_; }
  /// True: SQLite found that the file is damaged or no database.
  [[nodiscard]] bool damaged() const { return damaged_; }
  /// True: something has failed that says nothing about what the file holds, for want of descriptors, memory or
  /// permission, or behind a lock.
  [[nodiscard]] bool refused() const { return refused_; }
  void poison() { poisoned_ = true; }
  void note_damage() { damaged_ = poisoned_ = true; }
  [[nodiscard]] bool in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }
  /// True: the file has been moved, replaced or deleted since it was opened.
  [[nodiscard]] bool moved() const;
  [[nodiscard]] sqlite3* handle() const { return handle_; }

 private:
  friend class Query;
  Database(sqlite3* handle, std::string file) : handle_(handle), file_(std::move(file)) {}
  /// Prepares the statement of a literal; it is kept until the database closes.
  [[nodiscard]] Result<sqlite3_stmt*> prepare(const char* sql);

  sqlite3* handle_;
  std::string file_;
  bool poisoned_ = false;
  bool damaged_ = false;
  bool refused_ = false;
  std::unordered_map<const char*, sqlite3_stmt*> statements_;  // by the literal's address
};

/// One run of a prepared statement. `sql` must be a literal. At most one Query per literal is alive
/// at a time.
class Query {
 public:
  template <class... Args>
  Query(Database& db, const char* sql, const Args&... args) : db_(db), sql_(sql) {
    start();
    int index = 0;
    (bind(++index, args), ...);
  }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query();

  /// True: there is a row. False: there is none left.
  [[nodiscard]] Result<bool> next();
  /// Steps to the end and ignores all rows.
  [[nodiscard]] Result<void> run();

  [[nodiscard]] std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  [[nodiscard]] std::uint64_t count(int column) const { return static_cast<std::uint64_t>(integer(column)); }
  [[nodiscard]] double real(int column) const { return sqlite3_column_double(statement_, column); }
  [[nodiscard]] std::string text(int column) const;
  /// What it has read is not what was written.
  void note_damage() const { db_.note_damage(); }
  [[nodiscard]] bool is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

 private:
  void start();
  void keep(int code);
  void bind(int index, std::int64_t value) { keep(sqlite3_bind_int64(statement_, index, value)); }
  void bind(int index, std::uint64_t value) { bind(index, static_cast<std::int64_t>(value)); }
  void bind(int index, double value) { keep(sqlite3_bind_double(statement_, index, value)); }
  void bind(int index, std::nullopt_t) { keep(sqlite3_bind_null(statement_, index)); }
  void bind(int index, std::string_view value);
  void bind(int index, const std::string& value) { bind(index, std::string_view(value)); }
  void bind(int index, const char* value) { bind(index, std::string_view(value)); }
  void bind(int index, const std::optional<std::string>& value);
  template <class Integer>
  void bind(int index, const std::optional<Integer>& value) {
    value ? bind(index, *value) : bind(index, std::nullopt);
  }

  Database& db_;
  const char* sql_;
  sqlite3_stmt* statement_ = nullptr;
  std::optional<Error> failure_;
};

}  // namespace gantry::state
