// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/pages.hpp"

#include "plugins/project_state/cursor.hpp"

namespace gantry::state {

namespace {

/// `rows`: the objects after the start of the page, in order.
[[nodiscard]] Result<json> read_page(Query& rows, const Ledger& ledger, const std::string& list, std::uint64_t start,
                                     const PageOf& asked) {
  json page{{"items", json::array()}, {"epoch", ledger.epoch}, {"seq", ledger.seq}};
  auto& items = page["items"];
  std::uint64_t last = start;
  std::size_t bytes = 0;
  while (true) {
    const auto row = rows.next();
    if (!row) return std::unexpected(row.error());
    if (!*row) return page;
    const auto object = read_object(rows);
    if (!object) return std::unexpected(object.error());
    bytes += object->body->size();
    if (items.size() >= asked.limit || (bytes > asked.bytes && !items.empty())) {
      page["next_cursor"] = make_cursor(last, list);
      return page;
    }
    auto item = show_object(*object);
    if (!item) return item;
    items.push_back(std::move(*item));
    last = object->n;
  }
}

[[nodiscard]] std::string list_id(const Ledger& ledger, std::string_view type, const json& filter) {
  return ledger.epoch + "\n2\n" + std::string(type) + "\n" + dump_json(filter);
}

/// The place after which the page begins; without a cursor 0, which is before the first object.
[[nodiscard]] Result<std::uint64_t> start_of(const PageOf& page, const std::string& list) {
  return page.cursor ? read_cursor(*page.cursor, list) : 0;
}

}  // namespace

Result<json> list_sessions(Database& db, const Ledger& ledger, const SessionFilter& filter, const PageOf& page) {
  const std::string list =
      list_id(ledger, "session", {filter.name.value_or(""), filter.root.value_or(""), filter.branch.value_or("")});
  const auto start = start_of(page, list);
  if (!start) return std::unexpected(start.error());
  Query q(db,
          "SELECT " GANTRY_OBJECT_COLUMNS
          " FROM objects WHERE type = 'session' AND body IS NOT NULL AND n > ?1 "
          "AND (?2 IS NULL OR instr(body ->> '$.name', ?2) > 0) "
          "AND (?3 IS NULL OR EXISTS (SELECT 1 FROM json_each(body, '$.roots') AS r WHERE r.value = ?3)) "
          "AND (?4 IS NULL OR body ->> '$.branch' = ?4) ORDER BY n",
          *start, filter.name, filter.root, filter.branch);
  return read_page(q, ledger, list, *start, page);
}

Result<json> list_members(Database& db, const Ledger& ledger, Type type, const MemberFilter& filter,
                          const PageOf& page) {
  const std::string list = list_id(ledger, name(type), {filter.session_id.value_or(""), filter.kind.value_or("")});
  const auto start = start_of(page, list);
  if (!start) return std::unexpected(start.error());
  if (filter.session_id) {
    Query q(db,
            "SELECT " GANTRY_OBJECT_COLUMNS
            " FROM objects WHERE parent = ?3 AND parent <> '' AND type = ?2 AND body IS NOT NULL AND n > ?1 "
            "AND (?4 IS NULL OR body ->> iif(?2 = 'turn', '$.state', '$.kind') = ?4) ORDER BY n",
            *start, name(type), *filter.session_id, filter.kind);
    return read_page(q, ledger, list, *start, page);
  }
  Query q(db,
          "SELECT " GANTRY_OBJECT_COLUMNS
          " FROM objects WHERE type = ?2 AND body IS NOT NULL AND n > ?1 "
          "AND (?3 IS NULL OR body ->> iif(?2 = 'turn', '$.state', '$.kind') = ?3) ORDER BY n",
          *start, name(type), filter.kind);
  return read_page(q, ledger, list, *start, page);
}

Result<json> list_settings(Database& db, const Ledger& ledger, const Scope& scope, const std::string& prefix,
                           const PageOf& page) {
  const std::string list = list_id(ledger, "setting", {scope.stored(), prefix});
  const auto start = start_of(page, list);
  if (!start) return std::unexpected(start.error());
  const std::string wanted = scope.id_of(prefix);
  Query q(db,
          "SELECT " GANTRY_OBJECT_COLUMNS
          " FROM objects WHERE type = 'setting' AND body IS NOT NULL AND n > ?1 AND substr(id, 1, length(?2)) = ?2 "
          "ORDER BY n",
          *start, wanted);
  return read_page(q, ledger, list, *start, page);
}

}  // namespace gantry::state
