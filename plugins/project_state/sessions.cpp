// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/sessions.hpp"

#include "plugins/project_state/fields.hpp"
#include "plugins/project_state/turns.hpp"

namespace gantry::state {

namespace {

constexpr std::size_t kMaxRoots = 256;
constexpr std::size_t kMaxOpenFiles = 10'000;

[[nodiscard]] Result<void> check_field(const std::string& field, const json& value) {
  if (field == "roots") return check_paths(field, value, kMaxRoots);
  if (field == "open_files") return check_paths(field, value, kMaxOpenFiles);
  return field == "attributes" ? check_attributes(value) : check_text(field, value);
}

/// What belongs to a session, in the order of creation.
[[nodiscard]] Result<std::vector<Object>> members_of(Database& db, const std::string& session) {
  Query q(db, "SELECT " GANTRY_OBJECT_COLUMNS " FROM objects WHERE parent = ? AND body IS NOT NULL ORDER BY n",
          session);
  return read_objects(q);
}

}  // namespace

const DocumentType& session_type() {
  static const DocumentType kType{
      Type::session,
      {"name", "roots", "branch", "open_files", "attributes"},
      {{"roots", json::array()}, {"open_files", json::array()}, {"attributes", json::object()}},
      "patch",
      &check_field,
      true};
  return kType;
}

Result<json> delete_session(Transaction& tx, const std::string& id, std::optional<std::uint64_t> rev) {
  auto session = live_object(tx.db, Type::session, id);
  if (!session) return std::unexpected(session.error());
  if (auto ok = compare_rev(*session, rev); !ok) return std::unexpected(ok.error());
  auto members = members_of(tx.db, id);
  if (!members) return std::unexpected(members.error());
  for (const auto& member : *members) {
    if (member.type != Type::turn) continue;
    const auto executes = is_executing(member);
    if (!executes) return std::unexpected(executes.error());
    if (*executes)
      return fail(ErrorKind::conflict, "turn " + member.id + " of the session executes; end or cancel it first",
                  dump_json({{"turn_id", member.id}}));
  }
  for (auto& member : *members) {
    if (auto gone = delete_object(tx, member); !gone) return gone;
  }
  auto gone = delete_object(tx, *session);
  if (!gone) return gone;
  return json{{"session", std::move(*gone)}};
}

}  // namespace gantry::state
