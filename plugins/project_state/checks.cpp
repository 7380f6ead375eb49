// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/checks.hpp"

#include <boost/crc.hpp>
#include <span>

#include "plugins/project_state/plan.hpp"
#include "plugins/project_state/transaction.hpp"

namespace gantry::state {

namespace {

[[nodiscard]] std::string text_of(sqlite3_value* value) {
  const auto* text = sqlite3_value_text(value);
  return text == nullptr ? std::string()
                         : std::string(reinterpret_cast<const char*>(text),  // NOLINT: SQLite's bytes
                                       static_cast<std::size_t>(sqlite3_value_bytes(value)));
}

[[nodiscard]] std::optional<std::string> maybe_text_of(sqlite3_value* value) {
  return sqlite3_value_type(value) == SQLITE_NULL ? std::nullopt : std::optional(text_of(value));
}

void object_checksum_in_sql(sqlite3_context* context, int /*count*/, sqlite3_value** values) {
  const std::span arguments(values, 5);
  Object object;
  object.type = type_of(text_of(arguments[0])).value_or(Type::session);
  object.id = text_of(arguments[1]);
  object.parent = text_of(arguments[2]);
  object.rev = static_cast<std::uint64_t>(sqlite3_value_int64(arguments[3]));
  object.body = maybe_text_of(arguments[4]);
  sqlite3_result_int64(context, checksum(object));
}

void event_checksum_in_sql(sqlite3_context* context, int /*count*/, sqlite3_value** values) {
  const std::span arguments(values, 4);
  sqlite3_result_int64(
      context, event_checksum(static_cast<std::uint64_t>(sqlite3_value_int64(arguments[0])), text_of(arguments[1]),
                              text_of(arguments[2]), maybe_text_of(arguments[3])));
}

/// `q` counts wrong rows.
[[nodiscard]] Result<Damage> counted(Query& q, const char* what) {
  const auto row = q.next();
  if (!row) return std::unexpected(row.error());
  if (*row && q.count(0) == 0) return std::nullopt;
  return std::to_string(q.count(0)) + what;
}

}  // namespace

std::uint32_t event_checksum(std::uint64_t seq, std::string_view topic, std::string_view payload,
                             const std::optional<std::string>& undo) {
  boost::crc_32_type crc;
  const auto add = [&](std::string_view text) {
    crc.process_bytes(text.data(), text.size());
    crc.process_byte(0);
  };
  add(std::to_string(seq));
  add(topic);
  add(payload);
  if (undo) add(*undo);
  return crc.checksum();
}

Result<void> check_event(const Query& q) {
  const auto undo = q.is_null(3) ? std::nullopt : std::optional(q.text(3));
  if (event_checksum(q.count(0), q.text(1), q.text(2), undo) == q.count(4)) return {};
  q.note_damage();
  return fail(ErrorKind::storage_failed,
              "event " + std::to_string(q.count(0)) + " in state.db is damaged: its checksum is wrong; call again");
}

void add_checksums(Database& db) {
  constexpr int kFlags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY;
  sqlite3_create_function(db.handle(), "object_checksum", 5, kFlags, nullptr, &object_checksum_in_sql, nullptr,
                          nullptr);
  sqlite3_create_function(db.handle(), "event_checksum", 4, kFlags, nullptr, &event_checksum_in_sql, nullptr, nullptr);
}

Result<Damage> find_damaged_pages(Database& db) {
  Query q(db, "PRAGMA quick_check(3)");
  const auto row = q.next();
  if (!row) return db.damaged() ? Result<Damage>(row.error().message) : std::unexpected(row.error());
  if (*row && q.text(0) == "ok") return std::nullopt;
  return *row ? q.text(0) : "no answer to quick_check";
}

Result<Damage> find_damaged_rows(Database& db, std::uint64_t events) {
  const auto ledger = read_ledger(db);
  if (!ledger) return db.damaged() ? Result<Damage>(ledger.error().message) : std::unexpected(ledger.error());
  {
    Query q(db, "SELECT count(*), coalesce(max(seq), ?1), coalesce(min(seq), ?1 + 1) FROM events", ledger->seq);
    const auto row = q.next();
    if (!row) return std::unexpected(row.error());
    if (!*row || q.count(0) != ledger->seq - ledger->floor || q.count(1) != ledger->seq ||
        q.count(2) != ledger->floor + 1)
      return "its log of events has a hole";
  }
  {
    Query q(db, "SELECT count(*) FROM objects WHERE crc <> object_checksum(type, id, parent, rev, body)");
    if (auto damage = counted(q, " objects have a wrong checksum"); !damage || *damage) return damage;
  }
  const std::uint64_t from = ledger->seq > events ? ledger->seq - events : 0;
  Query q(db, "SELECT count(*) FROM events WHERE seq > ? AND crc <> event_checksum(seq, topic, payload, undo)", from);
  return counted(q, " events have a wrong checksum");
}

Result<Damage> find_broken_audit(Database& db) {
  Query q(db, "SELECT n, entry, hash FROM audit ORDER BY n");
  std::optional<std::string> previous;  // the oldest that is kept names one that is not
  std::uint64_t last = 0;
  while (true) {
    const auto row = q.next();
    if (!row) return std::unexpected(row.error());
    if (!*row) return std::nullopt;
    const auto entry = parse_json(q.text(1)).value_or(json::object());
    const bool follows = !previous || (entry.value("previous", "") == *previous && q.count(0) == last + 1);
    if (sha256(q.text(1)) != q.text(2) || !follows)
      return "the chain of approvals is broken at entry " + std::to_string(q.count(0));
    previous = q.text(2);
    last = q.count(0);
  }
}

}  // namespace gantry::state
