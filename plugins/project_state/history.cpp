// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/history.hpp"

#include <algorithm>
#include <ranges>
#include <vector>

#include "plugins/project_state/checks.hpp"
#include "plugins/project_state/cursor.hpp"
#include "plugins/project_state/documents.hpp"
#include "plugins/project_state/fields.hpp"
#include "plugins/project_state/layouts.hpp"
#include "plugins/project_state/merge.hpp"
#include "plugins/project_state/overwrite.hpp"
#include "plugins/project_state/panes.hpp"
#include "plugins/project_state/sessions.hpp"

namespace gantry::state {

namespace {

constexpr std::uint64_t kMaxCheckpoints = 1000;

[[nodiscard]] Result<void> check_seq(const Ledger& ledger, std::uint64_t seq) {
  if (seq > ledger.seq) {
    return refuse("seq " + std::to_string(seq) + " is beyond the newest event, " + std::to_string(ledger.seq));
  }
  if (seq >= ledger.history_floor) return {};
  return fail(ErrorKind::not_found,
              "the state as of seq " + std::to_string(seq) + " is no longer kept; the oldest that is, is " +
                  std::to_string(ledger.history_floor),
              dump_json({{"floor", ledger.history_floor}}));
}

/// The state of an object by its place.
[[nodiscard]] Result<Object> object_by_place(Database& db, std::uint64_t n) {
  Query q(db, "SELECT " GANTRY_OBJECT_COLUMNS " FROM objects WHERE n = ?", n);
  const auto row = q.next();
  if (!row) return std::unexpected(row.error());
  if (*row) return read_object(q);
  return fail(ErrorKind::storage_failed, "state.db is damaged: an event names an object that is not there");
}

[[nodiscard]] Result<json> shown_in(const StateScope& scope, const Object& object) {
  auto shown = show_object(object);
  if (shown && !scope.type) (*shown)["type"] = name(object.type);
  return shown;
}

struct Difference {
  Object before;
  Object after;  ///< either may have no body
};

[[nodiscard]] Result<json> shown(const Difference& difference) {
  const Object& any = difference.after;
  json out{{"type", name(any.type)}, {"id", any.id}};
  for (const auto& [member, object] :
       {std::pair("before", &difference.before), std::pair("after", &difference.after)}) {
    if (!object->body) continue;
    auto text = show_object(*object);
    if (!text) return text;
    out[member] = std::move(*text);
  }
  return out;
}

/// The places of the objects that events changed after `low` and up to `high`, from `after` on.
[[nodiscard]] Result<std::vector<std::uint64_t>> touched(Database& db, std::uint64_t low, std::uint64_t high,
                                                         std::uint64_t after) {
  std::vector<std::uint64_t> out;
  Query q(db, "SELECT DISTINCT object FROM events WHERE object > ? AND seq > ? AND seq <= ? ORDER BY object", after,
          low, high);
  while (true) {
    const auto row = q.next();
    if (!row) return std::unexpected(row.error());
    if (!*row) return out;
    out.push_back(q.count(0));
  }
}

/// Empty: the object is not in the scope, or the same.
[[nodiscard]] Result<std::optional<Difference>> compare(Database& db, const StateScope& scope, std::uint64_t n,
                                                        std::uint64_t from, std::uint64_t to) {
  const auto now = object_by_place(db, n);
  if (!now) return std::unexpected(now.error());
  if (!scope.has(*now)) return std::nullopt;
  auto before = object_at(db, *now, from);
  if (!before) return std::unexpected(before.error());
  auto after = object_at(db, *now, to);
  if (!after) return std::unexpected(after.error());
  if (before->body == after->body) return std::nullopt;
  return Difference{std::move(*before), std::move(*after)};
}

// ---- restore -----------------------------------------------------------------------------------------------------

/// Writes `then`, which was there, over what is there now.
[[nodiscard]] Result<void> put_back(Transaction& tx, const Object& then) {
  auto now = object_by_place(tx.db, then.n);
  if (!now) return std::unexpected(now.error());
  if (now->body == then.body) return {};
  return overwrite(tx, *now, then);
}

[[nodiscard]] Result<void> take_away(Transaction& tx, const Object& then) {
  auto now = object_by_place(tx.db, then.n);
  if (!now) return std::unexpected(now.error());
  if (!now->body) return {};  // it went with its session
  if (now->type == Type::pane) {
    const auto gone = delete_pane(tx, now->id, std::nullopt);
    return gone ? Result<void>() : std::unexpected(gone.error());
  }
  if (now->type == Type::session) {
    Query q(tx.db, "SELECT id FROM objects WHERE parent = ? AND type = 'turn' AND body IS NOT NULL LIMIT 1", now->id);
    const auto row = q.next();
    if (!row) return std::unexpected(row.error());
    if (*row) {
      return fail(ErrorKind::conflict, "session " + now->id + " was not there then, and has turns now, which are not " +
                                           "touched; delete them first");
    }
    const auto gone = delete_session(tx, now->id, std::nullopt);
    return gone ? Result<void>() : std::unexpected(gone.error());
  }
  if (now->type == Type::setting) {
    json event = show_setting(now->id, nullptr, tx.next_rev(*now));
    return tx.write(*now, {std::nullopt, std::nullopt, "state.setting.changed", std::move(event)});
  }
  const auto gone = delete_object(tx, *now);
  return gone ? Result<void>() : std::unexpected(gone.error());
}

/// What a restored layout shows is there.
[[nodiscard]] Result<void> check_layouts(Transaction& tx, const std::vector<Difference>& differences) {
  for (const auto& [now, then] : differences) {
    if (then.type != Type::layout || !then.body) continue;
    const auto layout = parse_json(*then.body);
    if (!layout) return std::unexpected(show_object(then).error());
    if (auto ok = check_layout(tx.db, then.id, *layout); !ok) {
      return fail(ErrorKind::conflict, "the layout of session " + then.id + " cannot be restored alone: " +
                                           ok.error().message + "; restore the scope session:" + then.id);
    }
  }
  return {};
}

[[nodiscard]] json shown_checkpoint(const Query& q, const Ledger& ledger) {
  return {
      {"name", q.text(0)}, {"seq", q.count(1)}, {"at_ms", q.integer(2)}, {"kept", q.count(1) >= ledger.history_floor}};
}

}  // namespace

Result<StateScope> read_scope_name(std::string_view scope) {
  constexpr std::string_view kSession = "session:";
  if (scope.starts_with(kSession) && scope.size() > kSession.size() && scope.size() < 256)
    return StateScope{std::nullopt, std::string(scope.substr(kSession.size()))};
  for (std::size_t i = 0; i < kTypes; ++i) {
    const auto type = static_cast<Type>(i);
    if (scope == std::string(name(type)) + "s") return StateScope{type, {}};
  }
  return refuse("scope must be sessions, panes, layouts, settings, turns or session:ID, not \"" +
                std::string(scope.substr(0, 64)) + "\"");
}

Result<Object> object_at(Database& db, Object object, std::uint64_t seq) {
  Query q(db, "SELECT " GANTRY_EVENT_COLUMNS ", rev, undo_kind FROM events WHERE object = ? AND seq > ? ORDER BY seq",
          object.n, seq);
  std::vector<json> patches;
  bool first = true;
  std::optional<json> body;
  while (true) {
    const auto row = q.next();
    if (!row) return std::unexpected(row.error());
    if (!*row) break;
    if (auto ok = check_event(q); !ok) return std::unexpected(ok.error());
    if (std::exchange(first, false)) object.rev = q.count(5) - 1;
    const auto kind = static_cast<UndoKind>(q.integer(6));
    if (kind == UndoKind::absent) {
      object.body.reset();
      return object;
    }
    if (kind == UndoKind::whole && patches.empty()) {
      object.body = q.text(3);
      return object;
    }
    auto undo = parse_json(q.text(3));
    if (!undo) return fail(ErrorKind::storage_failed, "state.db is damaged: an event's undo is no JSON");
    if (kind == UndoKind::whole) {
      body = std::move(*undo);
      break;
    }
    patches.push_back(std::move(*undo));
  }
  if (patches.empty()) return object;  // nothing has changed since
  if (!body) {
    auto now = parse_json(object.body.value_or(""));
    if (!now) return fail(ErrorKind::storage_failed, "state.db is damaged: a body is no JSON");
    body = std::move(*now);
  }
  for (const auto& patch : patches | std::views::reverse) body->merge_patch(patch);
  object.body = dump_json(*body);
  return object;
}

Result<json> state_at(Database& db, const Ledger& ledger, std::uint64_t seq, const std::string& scope,
                      const PageOf& page) {
  const auto which = read_scope_name(scope);
  if (!which) return std::unexpected(which.error());
  if (auto ok = check_seq(ledger, seq); !ok) return std::unexpected(ok.error());
  const std::string list = ledger.epoch + "\nat\n" + std::to_string(seq) + "\n" + scope;
  const auto start = page.cursor ? read_cursor(*page.cursor, list) : 0;
  if (!start) return std::unexpected(start.error());
  json out{{"seq", seq}, {"epoch", ledger.epoch}, {"items", json::array()}};
  auto& items = out["items"];
  std::uint64_t last = *start;
  std::size_t bytes = 0;
  const auto add = [&](Query& rows) -> Result<json> {
    while (true) {
      const auto row = rows.next();
      if (!row) return std::unexpected(row.error());
      if (!*row) return out;
      auto object = read_object(rows);
      if (!object) return std::unexpected(object.error());
      const auto then = rows.count(7) > seq ? object_at(db, std::move(*object), seq) : std::move(object);
      if (!then) return std::unexpected(then.error());
      if (then->body) {
        bytes += then->body->size();
        if (items.size() >= page.limit || (bytes > page.bytes && !items.empty())) {
          out["next_cursor"] = make_cursor(last, list);
          return out;
        }
        auto item = shown_in(*which, *then);
        if (!item) return item;
        items.push_back(std::move(*item));
      }
      last = then->n;
    }
  };
  if (which->type) {
    Query rows(db,
               "SELECT " GANTRY_OBJECT_COLUMNS
               ", changed_seq FROM objects WHERE type = ?1 AND n > ?2 AND created_seq <= ?3 "
               "AND (body IS NOT NULL OR changed_seq > ?3) ORDER BY n",
               name(*which->type), *start, seq);
    return add(rows);
  }
  Query rows(db,
             "SELECT " GANTRY_OBJECT_COLUMNS
             ", changed_seq FROM objects WHERE (parent = ?1 OR (type = 'session' AND id = ?1)) AND n > ?2 "
             "AND created_seq <= ?3 AND (body IS NOT NULL OR changed_seq > ?3) ORDER BY n",
             which->session, *start, seq);
  return add(rows);
}

Result<json> state_diff(Database& db, const Ledger& ledger, std::uint64_t from, std::uint64_t to,
                        const std::string& scope, const PageOf& page) {
  const auto which = read_scope_name(scope);
  if (!which) return std::unexpected(which.error());
  for (const auto seq : {from, to}) {
    if (auto ok = check_seq(ledger, seq); !ok) return std::unexpected(ok.error());
  }
  const std::string list = ledger.epoch + "\ndiff\n" + std::to_string(from) + "\n" + std::to_string(to) + "\n" + scope;
  const auto start = page.cursor ? read_cursor(*page.cursor, list) : 0;
  if (!start) return std::unexpected(start.error());
  const auto places = touched(db, std::min(from, to), std::max(from, to), *start);
  if (!places) return std::unexpected(places.error());
  json out{{"changes", json::array()}, {"epoch", ledger.epoch}, {"seq", ledger.seq}};
  auto& changes = out["changes"];
  std::uint64_t last = *start;
  std::size_t bytes = 0;
  for (const auto n : *places) {
    const auto difference = compare(db, *which, n, from, to);
    if (!difference) return std::unexpected(difference.error());
    if (*difference) {
      for (const auto* object : {&(*difference)->before, &(*difference)->after})
        bytes += object->body ? object->body->size() : 0;
      if (changes.size() >= page.limit || (bytes > page.bytes && !changes.empty())) {
        out["next_cursor"] = make_cursor(last, list);
        return out;
      }
      auto change = shown(**difference);
      if (!change) return change;
      changes.push_back(std::move(*change));
    }
    last = n;
  }
  return out;
}

// Sessions come back first, then what belongs to them; what was not there goes last, sessions behind the rest.
Result<json> restore_state(Transaction& tx, std::uint64_t seq, const std::string& scope, bool dry_run) {
  const auto which = read_scope_name(scope);
  if (!which) return std::unexpected(which.error());
  if (which->type == Type::turn) return refuse("turns are not restored: what was done stays done");
  if (auto ok = check_seq(tx.ledger, seq); !ok) return std::unexpected(ok.error());
  const auto places = touched(tx.db, seq, tx.ledger.seq, 0);
  if (!places) return std::unexpected(places.error());
  std::vector<Difference> differences;
  json changes = json::array();
  for (const auto n : *places) {
    auto difference = compare(tx.db, *which, n, tx.ledger.seq, seq);
    if (!difference) return std::unexpected(difference.error());
    if (!*difference || (*difference)->after.type == Type::turn) continue;
    if (differences.size() == kMaxRestored)
      return too_large("more than 5000 objects would change; restore session by session");
    auto change = shown(**difference);
    if (!change) return change;
    changes.push_back(std::move(*change));
    differences.push_back(std::move(**difference));
  }
  const std::uint64_t from = tx.ledger.seq + 1;
  std::ranges::sort(differences, {}, [](const Difference& d) { return std::pair(d.after.type, d.after.n); });
  for (const auto& [now, then] : differences) {
    if (!then.body) continue;
    if (auto ok = put_back(tx, then); !ok) return std::unexpected(ok.error());
  }
  for (const auto& [now, then] : differences | std::views::reverse) {
    if (then.body) continue;
    if (auto ok = take_away(tx, then); !ok) return std::unexpected(ok.error());
  }
  if (auto ok = check_layouts(tx, differences); !ok) return std::unexpected(ok.error());
  if (dry_run) {
    tx.undone = true;
  } else if (auto ok = tx.append_project_changed(from, {{"restored_to", seq}}); !ok) {
    return std::unexpected(ok.error());
  }
  return json{{"changes", std::move(changes)}};
}

Result<json> create_checkpoint(Transaction& tx, const std::string& name) {
  if (auto ok = check_text("name", json(name)); !ok) return std::unexpected(ok.error());
  {
    Query q(tx.db, "SELECT count(*), sum(name = ?) FROM checkpoints", name);
    const auto row = q.next();
    if (!row) return std::unexpected(row.error());
    if (q.count(1) != 0)
      return fail(ErrorKind::conflict,
                  "there is a checkpoint \"" + name + "\"; delete it first, or choose another name");
    if (q.count(0) >= kMaxCheckpoints) return too_large("there are 1000 checkpoints; delete some");
  }
  Query q(tx.db, "INSERT INTO checkpoints (name, seq, at_ms) VALUES (?, ?, ?)", name, tx.ledger.seq, tx.now.wall_ms);
  if (auto ok = q.run(); !ok) return std::unexpected(ok.error());
  tx.touch();
  return json{{"checkpoint", {{"name", name}, {"seq", tx.ledger.seq}, {"at_ms", tx.now.wall_ms}, {"kept", true}}}};
}

Result<json> delete_checkpoint(Transaction& tx, const std::string& name) {
  Query q(tx.db, "DELETE FROM checkpoints WHERE name = ? RETURNING name, seq, at_ms", name);
  const auto row = q.next();
  if (!row) return std::unexpected(row.error());
  if (!*row)
    return fail(ErrorKind::not_found,
                "there is no checkpoint \"" + name.substr(0, 64) + "\"; list them with state.checkpoint.list");
  json gone = shown_checkpoint(q, tx.ledger);
  if (auto ok = q.run(); !ok) return std::unexpected(ok.error());
  gone["deleted"] = true;
  tx.touch();
  return json{{"checkpoint", std::move(gone)}};
}

Result<json> list_checkpoints(Database& db, const Ledger& ledger) {
  json items = json::array();
  Query q(db, "SELECT name, seq, at_ms FROM checkpoints ORDER BY seq, name");
  while (true) {
    const auto row = q.next();
    if (!row) return std::unexpected(row.error());
    if (!*row) return json{{"items", std::move(items)}, {"epoch", ledger.epoch}, {"seq", ledger.seq}};
    items.push_back(shown_checkpoint(q, ledger));
  }
}

}  // namespace gantry::state
