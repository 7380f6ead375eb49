// SPDX-License-Identifier: Apache-2.0
//
// page.hpp: reads one page of a list: from a cursor on, as many rows as were asked for, within 4
// MiB.
//
// Thread rule: that of the Database that the rows come from.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <gantry/result.hpp>
#include <optional>
#include <string>
#include <utility>

#include "plugins/project_state/cursor.hpp"
#include "plugins/project_state/sqlite.hpp"
#include "plugins/project_state/store.hpp"

namespace gantry::state {

inline constexpr std::size_t kMaxPage = 4 << 20;

/// The place after which the page begins; without a cursor 0, which is before the first row.
[[nodiscard]] inline Result<std::uint64_t> page_start(const std::optional<std::string>& cursor,
                                                      const std::string& list) {
  return cursor ? read_cursor(*cursor, list) : 0;
}

/// `rows`: the rows after `start`, in order; column 0 is a row's place, column 1 its stored JSON,
/// whose size counts towards the 4 MiB. `shown(stored)` makes the item, a Result<json>, of the
/// present row. If there is a row, the page has at least one item, however large.
template <class Shown>
[[nodiscard]] Result<json> read_page(Query& rows, const Ledger& ledger, const std::string& list, std::uint64_t start,
                                     std::uint64_t limit, const Shown& shown) {
  json page{{"items", json::array()}, {"epoch", ledger.epoch}, {"seq", ledger.seq}};
  auto& items = page["items"];
  std::uint64_t last = start;
  std::size_t bytes = 0;
  while (true) {
    const auto row = rows.next();
    if (!row) return std::unexpected(row.error());
    if (!*row) return page;
    const std::string stored = rows.text(1);
    bytes += stored.size();
    if (items.size() >= limit || (bytes > kMaxPage && !items.empty())) {
      page["next_cursor"] = make_cursor(last, list);
      return page;
    }
    auto item = shown(stored);
    if (!item) return item;
    items.push_back(std::move(*item));
    last = rows.count(0);
  }
}

}  // namespace gantry::state
