// SPDX-License-Identifier: Apache-2.0
//
// metrics.hpp: measurements over time: counts, sums, least, greatest and last values of a series, which is a name with
// labels. They lie in metrics.db, a database of their own that may be lost without any other loss.
//
// A measurement is acknowledged when it is in memory (durability D1): it is on the disk within kGather or once kBatch
// of them wait, and state.flush waits for that. The measurements of one second are one row; the rows of minutes and
// hours are written beside them, so that old ones can be dropped without being read: seconds are kept for an hour,
// minutes for a week, hours for 400 days.
//
// Thread rule: MetricsStore by one thread. A damaged file is moved aside, and a new one begun, which is logged.
// Bounds: kMaxSeries series; kMaxPoints points in an answer; the rows by their age.
#pragma once

#include <cstdint>
#include <functional>
#include <gantry/json.hpp>
#include <gantry/plugin/host.hpp>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "plugins/project_state/sqlite.hpp"

namespace gantry::state {

struct Measurement {
  std::string name;
  json labels = json::object();
  double value = 0;
  std::int64_t at_ms = 0;
};

struct MetricsQuery {
  std::string name;
  std::optional<json> labels;  ///< those of one series, exactly; empty: all of this name together
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;  ///< excluded
  std::int64_t step_ms = 0;
};

/// Names: 1 to 128 bytes of letters, digits and `_.:-`; values: finite; labels: at most 16, of text.
[[nodiscard]] Result<void> check_measurement(const std::string& name, const json& labels, double value);
[[nodiscard]] Result<void> check_query(const MetricsQuery& query);

class MetricsStore {
 public:
  static constexpr std::size_t kMaxSeries = 10'000;
  static constexpr std::int64_t kMaxPoints = 10'000;

  MetricsStore(std::string folder, std::function<void(Level, const std::string&)> log)
      : folder_(std::move(folder)), log_(std::move(log)) {}

  /// Into memory. `too_large`: a new series, and there are kMaxSeries.
  [[nodiscard]] Result<void> add(const Measurement& measurement);
  [[nodiscard]] std::size_t waiting() const { return pending_.size(); }
  /// What waits is committed, and told as an array of {name, labels, t, count, sum, min, max, last}. On
  /// `storage_failed` it stays in memory: beyond kMaxPending rows the oldest are dropped, which is logged.
  [[nodiscard]] Result<json> flush(std::int64_t now_ms);
  /// What was committed is on the disk.
  [[nodiscard]] Result<void> sync();
  /// {points: [{t, count, sum, min, max, last}], step}, without those that are empty, in order of time. What was
  /// measured counts by the second in which it was, what is older by the minute or the hour: a row that begins before
  /// `from` is not in it, and `step` is rounded up to whole rows. `last`: of the newest row, of one series.
  [[nodiscard]] Result<json> query(const MetricsQuery& query, std::int64_t now_ms);
  void close() { db_.reset(); }

 private:
  static constexpr std::size_t kMaxPending = 50'000;
  struct Row {
    std::uint64_t count = 0;
    double sum = 0;
    double min = 0;
    double max = 0;
    double last = 0;
  };
  using Series = std::pair<std::string, std::string>;  // name, and the labels as text
  [[nodiscard]] Result<void> open();
  [[nodiscard]] Result<void> connect();
  [[nodiscard]] Result<void> write(std::int64_t series, std::int64_t level_ms, std::int64_t t, const Row& row);
  [[nodiscard]] Result<std::int64_t> id_of(const Series& series);
  [[nodiscard]] Result<void> prune(std::int64_t now_ms);
  [[nodiscard]] Result<void> commit(std::int64_t now_ms);

  std::string folder_;
  std::function<void(Level, const std::string&)> log_;
  std::unique_ptr<Database> db_;
  std::map<Series, std::int64_t> ids_;
  std::map<std::pair<std::int64_t, Series>, Row> pending_;  // by second
  std::int64_t pruned_ms_ = 0;
};

}  // namespace gantry::state
