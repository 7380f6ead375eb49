// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/metrics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <limits>

#include "plugins/project_state/fields.hpp"
#include "plugins/project_state/folder.hpp"

namespace gantry::state {

namespace {

constexpr std::int64_t kMetricsId = 0x474E544D;  // "GNTM"
constexpr std::int64_t kSecond = 1000;
constexpr std::int64_t kMinute = 60 * kSecond;
constexpr std::int64_t kHour = 60 * kMinute;
constexpr std::int64_t kDay = 24 * kHour;
constexpr std::size_t kMaxName = 128;
constexpr std::size_t kMaxLabels = 16;
constexpr std::size_t kMaxLabel = 256;

struct Resolution {
  std::int64_t step_ms;
  std::int64_t kept_ms;
};
constexpr std::array<Resolution, 3> kLevels{{{kSecond, kHour}, {kMinute, 7 * kDay}, {kHour, 400 * kDay}}};

constexpr const char* kTables = R"(
  CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, labels TEXT NOT NULL, UNIQUE (name, labels)) STRICT;
  CREATE TABLE IF NOT EXISTS points (
    level INTEGER NOT NULL, series INTEGER NOT NULL, t INTEGER NOT NULL, count INTEGER NOT NULL, sum REAL NOT NULL,
    min REAL NOT NULL, max REAL NOT NULL, last REAL NOT NULL, PRIMARY KEY (level, series, t)) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS points_by_time ON points (level, t);
  PRAGMA application_id = 1196315725; PRAGMA user_version = 1;
)";
static_assert(kMetricsId == 1196315725);

[[nodiscard]] json number(double value) {
  if (!std::isfinite(value)) value = std::copysign(std::numeric_limits<double>::max(), value);  // a sum of large ones
  const bool whole = std::floor(value) == value && std::abs(value) <= 9007199254740992.0;
  return whole ? json(static_cast<std::int64_t>(value)) : json(value);
}

}  // namespace

Result<void> check_measurement(const std::string& name, const json& labels, double value) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == ':' || c == '-';
  };
  if (name.empty() || name.size() > kMaxName || !std::ranges::all_of(name, allowed))
    return refuse("name must have 1 to 128 letters, digits and `_.:-`");
  if (!std::isfinite(value)) return refuse("value must be a finite number");
  if (labels.size() > kMaxLabels) return too_large("a series may have 16 labels, not " + std::to_string(labels.size()));
  for (const auto& [label, text] : labels.items()) {
    if (!text.is_string()) return refuse("labels." + label.substr(0, 64) + " must be a string");
    if (label.size() > kMaxLabel || text.get_ref<const std::string&>().size() > kMaxLabel)
      return too_large("a label and its value may have 256 bytes each");
  }
  return {};
}

Result<void> check_query(const MetricsQuery& query) {
  if (query.step_ms < kSecond) return refuse("step must be 1000 milliseconds at least");
  if (query.to_ms <= query.from_ms) return refuse("to must be later than from");
  if ((query.to_ms - query.from_ms) / query.step_ms < MetricsStore::kMaxPoints) return {};
  return refuse("that is more than 10000 points; take a longer step or a shorter time");
}

Result<void> MetricsStore::add(const Measurement& m) {
  const std::pair key(m.at_ms / kSecond * kSecond, Series(m.name, dump_json(m.labels)));
  auto found = pending_.find(key);
  if (found == pending_.end()) {
    if (auto ok = open(); ok && !ids_.contains(key.second) && ids_.size() >= kMaxSeries)
      return too_large("there are 10000 series of metrics; use fewer names and labels");
    found = pending_.emplace(key, Row{0, 0, m.value, m.value, 0}).first;
  }
  Row& row = found->second;
  ++row.count;
  row.sum += m.value;
  row.min = std::min(row.min, m.value);
  row.max = std::max(row.max, m.value);
  row.last = m.value;
  return {};
}

Result<json> MetricsStore::flush(std::int64_t now_ms) {
  json told = json::array();
  if (pending_.empty()) return told;
  if (auto ok = commit(now_ms); !ok) {
    if (db_ != nullptr && db_->poisoned()) db_.reset();
    std::size_t dropped = 0;
    for (; pending_.size() > kMaxPending; ++dropped) pending_.erase(pending_.begin());
    if (dropped != 0) log_(Level::error, std::to_string(dropped) + " measurements were dropped: " + ok.error().message);
    return std::unexpected(ok.error());
  }
  for (const auto& [key, row] : pending_) {
    told.push_back({{"name", key.second.first},
                    {"labels", parse_json(key.second.second).value_or(json::object())},
                    {"t", key.first},
                    {"count", row.count},
                    {"sum", number(row.sum)},
                    {"min", number(row.min)},
                    {"max", number(row.max)},
                    {"last", number(row.last)}});
  }
  pending_.clear();
  return told;
}

Result<void> MetricsStore::commit(std::int64_t now_ms) {
  if (auto ok = open(); !ok) return ok;
  if (auto ok = db_->exec("BEGIN IMMEDIATE"); !ok) return ok;
  const auto done = [&]() -> Result<void> {
    for (const auto& [key, row] : pending_) {
      const auto id = id_of(key.second);
      if (!id) return std::unexpected(id.error());
      for (const auto& level : kLevels) {
        if (auto ok = write(*id, level.step_ms, key.first / level.step_ms * level.step_ms, row); !ok) return ok;
      }
    }
    if (auto ok = prune(now_ms); !ok) return ok;
    return db_->exec("COMMIT");
  }();
  if (!done && db_->in_transaction()) {
    (void)db_->exec("ROLLBACK");
    ids_.clear();  // what was added to them is gone
    db_.reset();
  }
  return done;
}

Result<void> MetricsStore::sync() {
  if (db_ == nullptr) return {};
  Query q(*db_, "PRAGMA wal_checkpoint(TRUNCATE)");
  return q.run();
}

Result<json> MetricsStore::query(const MetricsQuery& query, std::int64_t now_ms) {
  if (auto ok = flush(now_ms); !ok) return std::unexpected(ok.error());
  if (auto ok = open(); !ok) return std::unexpected(ok.error());
  // The finest level that still has the beginning, else the coarsest; a coarser one where that makes no difference.
  std::int64_t level = kLevels.back().step_ms;
  for (const auto& one : kLevels) {
    if (query.from_ms >= now_ms - one.kept_ms) {
      level = one.step_ms;
      break;
    }
  }
  for (const auto& one : kLevels) {
    const bool same =
        query.step_ms % one.step_ms == 0 && query.from_ms % one.step_ms == 0 && query.to_ms % one.step_ms == 0;
    if (one.step_ms > level && same) level = one.step_ms;
  }
  // A row cannot be divided: it counts for the step in which it begins, and a step holds whole rows.
  const std::int64_t step = (query.step_ms + level - 1) / level * level;
  const auto labels = query.labels ? std::optional(dump_json(*query.labels)) : std::nullopt;
  json points = json::array();
  Query q(*db_,
          "SELECT t / ?1 * ?1 AS step, sum(count), sum(sum), min(min), max(max), last, max(t) FROM points "
          "JOIN series ON series.id = points.series "
          "WHERE level = ?2 AND name = ?3 AND (?4 IS NULL OR labels = ?4) AND t >= ?5 AND t < ?6 "
          "GROUP BY step ORDER BY step",
          step, level, query.name, labels, query.from_ms, query.to_ms);
  while (true) {
    const auto row = q.next();
    if (!row) return std::unexpected(row.error());
    if (!*row) return json{{"points", std::move(points)}, {"step", step}};
    points.push_back({{"t", q.integer(0)},
                      {"count", q.integer(1)},
                      {"sum", number(q.real(2))},
                      {"min", number(q.real(3))},
                      {"max", number(q.real(4))},
                      {"last", number(q.real(5))}});
  }
}

Result<void> MetricsStore::write(std::int64_t series, std::int64_t level_ms, std::int64_t t, const Row& row) {
  Query q(*db_,
          "INSERT INTO points (level, series, t, count, sum, min, max, last) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
          "ON CONFLICT (level, series, t) DO UPDATE SET count = count + excluded.count, sum = sum + excluded.sum, "
          "min = min(min, excluded.min), max = max(max, excluded.max), last = excluded.last",
          level_ms, series, t, row.count, row.sum, row.min, row.max, row.last);
  return q.run();
}

Result<std::int64_t> MetricsStore::id_of(const Series& series) {
  if (const auto known = ids_.find(series); known != ids_.end()) return known->second;
  Query q(*db_, "INSERT INTO series (name, labels) VALUES (?, ?) RETURNING id", series.first, series.second);
  const auto row = q.next();
  if (!row) return std::unexpected(row.error());
  const std::int64_t id = q.integer(0);
  if (auto ok = q.run(); !ok) return std::unexpected(ok.error());
  ids_.emplace(series, id);
  return id;
}

Result<void> MetricsStore::prune(std::int64_t now_ms) {
  if (now_ms - pruned_ms_ < kMinute && now_ms >= pruned_ms_) return {};
  pruned_ms_ = now_ms;
  for (const auto& level : kLevels) {
    Query q(*db_, "DELETE FROM points WHERE level = ? AND t < ?", level.step_ms, now_ms - level.kept_ms);
    if (auto ok = q.run(); !ok) return ok;
  }
  return db_->exec("PRAGMA incremental_vacuum(100)");
}

Result<void> MetricsStore::open() {
  if (db_ != nullptr && db_->moved()) db_.reset();
  if (db_ != nullptr) return {};
  auto ok = connect();
  if (!ok && db_ != nullptr && db_->damaged()) {
    db_.reset();
    for (const char* part : {"metrics.db-wal", "metrics.db-shm", "metrics.db"}) {
      std::error_code none;
      std::filesystem::rename(folder_ + "/" + part, folder_ + "/" + part + ".damaged", none);
    }
    log_(Level::error,
         "metrics.db is damaged (" + ok.error().message + "); it is metrics.db.damaged now, and metrics begin anew");
    ok = connect();
  }
  if (!ok) db_.reset();
  return ok;
}

Result<void> MetricsStore::connect() {
  if (const auto folder = prepare_folder(folder_); !folder) return std::unexpected(folder.error());
  if (auto ok = touch_private(folder_ + "/metrics.db"); !ok) return ok;
  auto db = Database::open(folder_ + "/metrics.db",
                           SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW);
  if (!db) return std::unexpected(db.error());
  db_ = std::move(*db);
  sqlite3_busy_timeout(db_->handle(), 2000);
  ids_.clear();
  if (auto ok = db_->exec("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                          "PRAGMA trusted_schema = OFF; PRAGMA mmap_size = 0; PRAGMA journal_size_limit = 4194304");
      !ok)
    return ok;
  if (auto ok = db_->exec(kTables); !ok) return ok;
  Query q(*db_, "SELECT id, name, labels FROM series");
  while (true) {
    const auto row = q.next();
    if (!row) return std::unexpected(row.error());
    if (!*row) return {};
    ids_.emplace(Series(q.text(1), q.text(2)), q.integer(0));
  }
}

}  // namespace gantry::state
