// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/sqlite.hpp"

#include <cerrno>
#include <cstring>

namespace gantry::state {

namespace {

[[nodiscard]] bool is_damage(int code) {
  return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB || code == SQLITE_IOERR_CORRUPTFS;
}

[[nodiscard]] bool poisons(int code) {
  // After a failed fsync the kernel may have dropped the dirty pages: what the cache shows is not what the disk holds.
  return is_damage(code) || code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC ||
         code == SQLITE_READONLY_DBMOVED;
}

[[nodiscard]] bool refuses(int code) {
  switch (code & 0xff) {
    case SQLITE_CANTOPEN:
    case SQLITE_NOMEM:
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return true;
    default:
      return code == SQLITE_IOERR_NOMEM;
  }
}

[[nodiscard]] const char* advice(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return "the disk is full: free some space and try again";
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return "the state folder or its files are read-only: make them writable for this user and try again";
    case SQLITE_CANTOPEN:
      return "the file cannot be opened: see that the folder exists, is writable for this user, and that descriptors "
             "are left";
    case SQLITE_IOERR:
      return "the disk or a file size limit refused it: look at the disk, its space and `ulimit -f`, and try again";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return "the file is damaged or no database: move it away together with its -wal file, or restore a copy";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "another program holds a lock on it: close that program and try again";
    default:
      return "try again; if it stays, look at the disk";
  }
}

}  // namespace

Result<std::unique_ptr<Database>> Database::open(const std::string& file, int flags) {
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(file.c_str(), &handle, flags | SQLITE_OPEN_EXRESCODE, nullptr);
  if (handle == nullptr) return fail(ErrorKind::storage_failed, "out of memory while opening " + file);
  auto db = std::unique_ptr<Database>(new Database(handle, file));
  if (code != SQLITE_OK) return std::unexpected(db->error(code, "open"));
  return db;
}

Database::~Database() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  // What a poisoned connection believes must not be copied into the database file.
  if (poisoned_) sqlite3_db_config(handle_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  sqlite3_close(handle_);
}

Result<void> Database::exec(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return std::unexpected(error(code, std::string_view(sql).substr(0, 60)));
  return {};
}

Error Database::error(int code, std::string_view doing) {
  poisoned_ = poisoned_ || poisons(code);
  damaged_ = damaged_ || is_damage(code);
  refused_ = refused_ || refuses(code);
  const int os = sqlite3_system_errno(handle_);
  std::string message = file_ + ": " + sqlite3_errmsg(handle_);
  if (os != 0 && !is_damage(code)) {
    message += std::string(" (") + std::strerror(os) + ")";
  }
  message += " at \"" + std::string(doing) + "\"; " + advice(code);
  return Error{ErrorKind::storage_failed, std::move(message), "{\"sqlite_code\":" + std::to_string(code) + "}"};
}

bool Database::moved() const {
  int answer = 0;
  return sqlite3_file_control(handle_, "main", SQLITE_FCNTL_HAS_MOVED, &answer) == SQLITE_OK && answer != 0;
}

Result<sqlite3_stmt*> Database::prepare(const char* sql) {
  if (const auto it = statements_.find(sql); it != statements_.end()) return it->second;
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(handle_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return std::unexpected(error(code, std::string_view(sql).substr(0, 60)));
  statements_.emplace(sql, statement);
  return statement;
}

void Query::start() {
  auto statement = db_.prepare(sql_);
  if (statement) {
    statement_ = *statement;
  } else {
    failure_ = statement.error();
  }
}

Query::~Query() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void Query::keep(int code) {
  if (statement_ != nullptr && code != SQLITE_OK && !failure_) failure_ = db_.error(code, "bind");
}

void Query::bind(int index, std::string_view value) {
  if (statement_ == nullptr) return;
  const char* data = value.data() == nullptr ? "" : value.data();  // a null pointer would bind NULL
  keep(sqlite3_bind_text64(statement_, index, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}

void Query::bind(int index, const std::optional<std::string>& value) {
  value ? bind(index, std::string_view(*value)) : bind(index, std::nullopt);
}

Result<bool> Query::next() {
  if (failure_) return std::unexpected(*failure_);
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  failure_ = db_.error(code, std::string_view(sql_).substr(0, 60));
  return std::unexpected(*failure_);
}

Result<void> Query::run() {
  while (true) {
    const auto row = next();
    if (!row) return std::unexpected(row.error());
    if (!*row) return {};
  }
}

std::string Query::text(int column) const {
  const auto* bytes = sqlite3_column_text(statement_, column);
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
  return bytes == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(bytes), size);
}

}  // namespace gantry::state
