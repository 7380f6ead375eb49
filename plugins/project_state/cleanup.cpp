// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/cleanup.hpp"

#include <string>
#include <vector>

#include "plugins/project_state/sessions.hpp"

namespace gantry::state {

namespace {

constexpr std::int64_t kDayMs = 24LL * 60 * 60 * 1000;

}  // namespace

Result<json> clean_up(Transaction& tx, std::int64_t stale_days, bool dry_run) {
  json sessions = json::array();
  std::vector<std::string> ids;
  {
    Query q(
        tx.db,
        "SELECT s.id, s.body ->> '$.name', max(s.changed_ms, coalesce((SELECT max(changed_ms) FROM objects AS m "
        "WHERE m.parent = s.id AND m.parent <> ''), 0)) AS touched FROM objects AS s "
        "WHERE s.type = 'session' AND s.body IS NOT NULL AND touched < ?1 AND NOT EXISTS (SELECT 1 FROM objects AS t "
        "WHERE t.parent = s.id AND t.parent <> '' AND t.type = 'turn' AND t.body ->> '$.state' = 'executing') "
        "ORDER BY touched LIMIT ?2",
        tx.now.wall_ms - (stale_days * kDayMs), kMaxStale);
    while (true) {
      const auto row = q.next();
      if (!row) return std::unexpected(row.error());
      if (!*row) break;
      ids.push_back(q.text(0));
      sessions.push_back({{"id", q.text(0)}, {"name", q.text(1)}, {"touched_ms", q.integer(2)}});
    }
  }
  const std::uint64_t from = tx.ledger.seq + 1;
  if (!dry_run) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (tx.changed().size() > kMaxCleaned) {
        sessions.erase(sessions.begin() + static_cast<std::ptrdiff_t>(i), sessions.end());
        break;
      }
      if (const auto gone = delete_session(tx, ids[i], std::nullopt); !gone) return gone;
    }
    if (auto ok = tx.append_project_changed(from, {{"reason", "stale"}}); !ok) return std::unexpected(ok.error());
  }
  return json{{"sessions", std::move(sessions)}};
}

}  // namespace gantry::state
