// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/sessions.hpp"

#include <array>
#include <gantry/params.hpp>

#include "plugins/project_state/merge.hpp"
#include "plugins/project_state/page.hpp"

namespace gantry::state {

namespace {

constexpr std::size_t kMaxName = 1024;
constexpr std::size_t kMaxPath = 4096;
constexpr std::size_t kMaxRoots = 256;
constexpr std::size_t kMaxOpenFiles = 10'000;
constexpr std::size_t kMaxAttributes = 1 << 20;
constexpr std::size_t kMaxSession = 2 << 20;
constexpr int kMaxDepth = 64;

const std::array<std::string, 5> kFields{"name", "roots", "branch", "open_files", "attributes"};

[[nodiscard]] std::unexpected<Error> refuse(std::string why) { return fail(ErrorKind::invalid_params, std::move(why)); }
[[nodiscard]] std::unexpected<Error> too_large(std::string why) { return fail(ErrorKind::too_large, std::move(why)); }

[[nodiscard]] Result<void> check_text(const std::string& field, const json& value, bool may_be_empty) {
  if (!value.is_string()) return refuse(field + " must be a string");
  const auto& text = value.get_ref<const std::string&>();
  if (text.empty() && !may_be_empty) return refuse(field + " must not be empty");
  if (text.size() > kMaxName) return too_large(field + " may have 1024 bytes, not " + std::to_string(text.size()));
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) return refuse(field + " must not hold control characters");
  }
  return {};
}

[[nodiscard]] Result<void> check_paths(const std::string& field, const json& value, std::size_t most) {
  if (!value.is_array()) return refuse(field + " must be an array of strings");
  if (value.size() > most) {
    return too_large(field + " may have " + std::to_string(most) + " entries, not " + std::to_string(value.size()));
  }
  for (const auto& entry : value) {
    if (!entry.is_string() || entry.get_ref<const std::string&>().empty()) {
      return refuse(field + " must be an array of strings that are not empty");
    }
    if (entry.get_ref<const std::string&>().size() > kMaxPath)
      return too_large(field + ": an entry may have 4096 bytes");
  }
  return {};
}

[[nodiscard]] Result<void> check_attributes(const json& value) {
  if (!value.is_object()) return refuse("attributes must be an object");
  if (deeper_than(value, kMaxDepth)) return too_large("attributes may be nested 64 levels deep");
  if (dump_json(value).size() > kMaxAttributes) return too_large("attributes may have 1 MiB of JSON");
  return {};
}

[[nodiscard]] Result<void> check_field(const std::string& field, const json& value) {
  if (field == "name") return check_text(field, value, false);
  if (field == "branch") return check_text(field, value, false);
  if (field == "roots") return check_paths(field, value, kMaxRoots);
  if (field == "open_files") return check_paths(field, value, kMaxOpenFiles);
  return check_attributes(value);
}

struct Row {
  std::uint64_t created_seq = 0;
  std::uint64_t rev = 0;
  std::string body;
};

[[nodiscard]] Result<json> shown(const std::string& id, std::uint64_t rev, const std::string& body) {
  auto session = parse_json(body);
  if (!session || !session->is_object()) {
    return fail(ErrorKind::storage_failed, "the row of session " + id + " is damaged; restore a copy of state.db");
  }
  (*session)["id"] = id;
  (*session)["rev"] = rev;
  return session;
}

[[nodiscard]] Result<Row> find(Database& db, const std::string& id) {
  Query q(db, "SELECT created_seq, rev, body FROM sessions WHERE id = ?", id);
  const auto row = q.next();
  if (!row) return std::unexpected(row.error());
  if (*row) return Row{q.count(0), q.count(1), q.text(2)};
  return fail(ErrorKind::not_found,
              "session \"" + id.substr(0, 64) + "\" does not exist; list them with state.session.list");
}

[[nodiscard]] Result<void> compare(const std::string& id, std::uint64_t held, std::optional<std::uint64_t> given) {
  if (!given || *given == held) return {};
  return fail(ErrorKind::conflict,
              "session " + id + " is at rev " + std::to_string(held) + ", not " + std::to_string(*given) +
                  "; get it again and repeat the change on that",
              dump_json({{"rev", held}, {"given", *given}}));
}

[[nodiscard]] json answer(const Ledger& ledger, json session) {
  return json{{"session", std::move(session)}, {"epoch", ledger.epoch}, {"seq", ledger.seq}, {"durability", "D2"}};
}

/// What is stored of a session: all but its id and rev, which have columns.
[[nodiscard]] std::string body_of(json session) {
  session.erase("id");
  session.erase("rev");
  return dump_json(session);
}

/// RFC 7396 drops null members of what it adds; a member that is null in the patch goes back to its default.
[[nodiscard]] json patched(json session, const json& patch) {
  session.merge_patch(patch);
  if (!session.contains("roots")) session["roots"] = json::array();
  if (!session.contains("open_files")) session["open_files"] = json::array();
  if (!session.contains("attributes")) session["attributes"] = json::object();
  return session;
}

}  // namespace

Result<void> check_session_fields(const json& fields, bool whole) {
  for (const auto& [field, value] : fields.items()) {
    if (std::find(kFields.begin(), kFields.end(), field) == kFields.end()) {
      if (field == "id" || field == "rev" || field == "created_ms" || field == "updated_ms") {
        return refuse(field + " is set by the store and cannot be changed");
      }
      const auto hint = did_you_mean(field, kFields);
      return refuse("a session has no member \"" + field.substr(0, 64) + "\"" +
                    (hint.empty() ? "; put it into attributes" : hint));
    }
    if (value.is_null()) {
      if (field == "name") return refuse("name cannot be removed");
      continue;
    }
    if (auto ok = check_field(field, value); !ok) return ok;
  }
  if (whole && !fields.contains("name")) return refuse("name is missing; it must be a string");
  return {};
}

Result<json> create_session(Transaction& tx, const json& fields) {
  if (tx.ledger.sessions >= tx.limits.max_sessions) {
    return too_large("there are " + std::to_string(tx.ledger.sessions) +
                     " sessions, as many as [state] max_sessions allows; delete some, or raise it");
  }
  json session = patched(json::object(), fields);
  session["created_ms"] = tx.now.wall_ms;
  session["updated_ms"] = tx.now.wall_ms;
  const std::string body = body_of(session);
  if (body.size() > kMaxSession)
    return too_large("a session may have 2 MiB of JSON, not " + std::to_string(body.size()));
  if (auto ok = tx.resize(0, body.size()); !ok) return std::unexpected(ok.error());

  const std::string id = random_id();
  session["id"] = id;
  session["rev"] = 1;
  if (auto ok = tx.append("state.session.created", {{"session_id", id}, {"session", session}}); !ok) {
    return std::unexpected(ok.error());
  }
  Query insert(tx.db, "INSERT INTO sessions (created_seq, id, rev, body) VALUES (?, ?, 1, ?)", tx.ledger.seq, id, body);
  if (auto ok = insert.run(); !ok) return std::unexpected(ok.error());
  ++tx.ledger.sessions;
  return answer(tx.ledger, std::move(session));
}

Result<json> update_session(Transaction& tx, const std::string& id, std::optional<std::uint64_t> rev,
                            const json& patch) {
  const auto row = find(tx.db, id);
  if (!row) return std::unexpected(row.error());
  if (auto ok = compare(id, row->rev, rev); !ok) return std::unexpected(ok.error());
  const auto before = parse_json(row->body);
  if (!before) return shown(id, row->rev, row->body);

  json session = patched(*before, patch);
  // The patch was in bounds; what it was merged into may now be out of them.
  if (auto ok = check_attributes(session["attributes"]); !ok) return std::unexpected(ok.error());
  session["updated_ms"] = tx.now.wall_ms;
  const std::string body = dump_json(session);
  if (body.size() > kMaxSession)
    return too_large("a session may have 2 MiB of JSON, not " + std::to_string(body.size()));
  if (auto ok = tx.resize(row->body.size(), body.size()); !ok) return std::unexpected(ok.error());

  const std::uint64_t next = row->rev + 1;
  const json event{{"session_id", id}, {"patch", merge_diff(*before, session)}, {"from_rev", row->rev}, {"rev", next}};
  if (auto ok = tx.append("state.session.updated", event); !ok) return std::unexpected(ok.error());
  Query update(tx.db, "UPDATE sessions SET rev = ?, body = ? WHERE id = ?", next, body, id);
  if (auto ok = update.run(); !ok) return std::unexpected(ok.error());
  session["id"] = id;
  session["rev"] = next;
  return answer(tx.ledger, std::move(session));
}

Result<json> delete_session(Transaction& tx, const std::string& id, std::optional<std::uint64_t> rev) {
  const auto row = find(tx.db, id);
  if (!row) return std::unexpected(row.error());
  if (auto ok = compare(id, row->rev, rev); !ok) return std::unexpected(ok.error());
  if (auto ok = tx.resize(row->body.size(), 0); !ok) return std::unexpected(ok.error());
  const std::uint64_t last = row->rev + 1;
  if (auto ok = tx.append("state.session.deleted", {{"session_id", id}, {"rev", last}}); !ok) {
    return std::unexpected(ok.error());
  }
  Query remove(tx.db, "DELETE FROM sessions WHERE id = ?", id);
  if (auto ok = remove.run(); !ok) return std::unexpected(ok.error());
  --tx.ledger.sessions;
  return json{{"id", id},          {"rev", last}, {"deleted", true}, {"epoch", tx.ledger.epoch}, {"seq", tx.ledger.seq},
              {"durability", "D2"}};
}

Result<json> get_session(Database& db, const Ledger& ledger, const std::string& id) {
  const auto row = find(db, id);
  if (!row) return std::unexpected(row.error());
  auto session = shown(id, row->rev, row->body);
  if (!session) return session;
  return answer(ledger, std::move(*session));
}

Result<json> list_sessions(Database& db, const Ledger& ledger, const SessionFilter& filter,
                           const std::optional<std::string>& cursor, std::uint64_t limit) {
  const json which{filter.name.value_or(""), filter.root.value_or(""), filter.branch.value_or("")};
  const std::string list = ledger.epoch + "\nsessions\n" + dump_json(which);
  const auto start = page_start(cursor, list);
  if (!start) return std::unexpected(start.error());
  Query q(db,
          "SELECT created_seq, body, id, rev FROM sessions WHERE created_seq > ?1 "
          "AND (?2 IS NULL OR instr(body ->> '$.name', ?2) > 0) "
          "AND (?3 IS NULL OR EXISTS (SELECT 1 FROM json_each(body, '$.roots') AS r WHERE r.value = ?3)) "
          "AND (?4 IS NULL OR body ->> '$.branch' = ?4) ORDER BY created_seq",
          *start, filter.name, filter.root, filter.branch);
  return read_page(q, ledger, list, *start, limit,
                   [&](const std::string& body) { return shown(q.text(2), q.count(3), body); });
}

}  // namespace gantry::state
