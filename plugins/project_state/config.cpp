// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/config.hpp"

#include <gantry/params.hpp>
#include <utility>

namespace gantry::state {

namespace {

constexpr std::int64_t kDayMs = std::int64_t{24} * 60 * 60 * 1000;
constexpr std::uint64_t kCacheMib = 32;

}  // namespace

Result<StateConfig> read_config(const json& settings) {
  Limits limits;
  Params p(settings);
  const auto number = [&](const char* name, std::uint64_t otherwise, std::int64_t min, std::int64_t max) {
    return static_cast<std::uint64_t>(p.integer_or(name, static_cast<std::int64_t>(otherwise), min, max));
  };
  limits.max_sessions = number("max_sessions", limits.max_sessions, 1, 1'000'000);
  limits.max_panes = number("max_panes", limits.max_panes, 1, 1'000'000);
  limits.max_turns = number("max_turns", limits.max_turns, 1, 1'000'000);
  limits.max_settings = number("max_settings", limits.max_settings, 1, 1'000'000);
  limits.max_events = number("max_events", limits.max_events, 1, 10'000'000);
  limits.max_data_bytes = number("max_data_mib", limits.max_data_bytes >> 20, 1, 65'536) << 20;
  limits.max_log_bytes = number("max_log_mib", limits.max_log_bytes >> 20, 8, 65'536) << 20;
  limits.max_age_ms = static_cast<std::int64_t>(number("max_age_days", 0, 0, 100'000)) * kDayMs;
  const auto cache = number("cache_mib", kCacheMib, 0, 65'536) << 20;
  const BackupThread::Options backups{std::chrono::minutes(p.integer_or("backup_interval_minutes", 60, 0, 100'000)),
                                      number("backup_keep", 3, 1, 1000)};
  const auto stale_days = p.integer_or("stale_days", 0, 0, 100'000);
  const std::chrono::seconds host_metrics(p.integer_or("host_metrics_seconds", 60, 0, 86'400));
  const json table = p.maybe_object("turns").value_or(json::object());
  if (auto ok = p.done(); !ok) return fail(ErrorKind::invalid_params, "[state] " + ok.error().message);
  auto turns = TurnTable::read(table);
  if (!turns) return std::unexpected(turns.error());
  return StateConfig{limits, cache, backups, stale_days, host_metrics, std::move(*turns)};
}

}  // namespace gantry::state
