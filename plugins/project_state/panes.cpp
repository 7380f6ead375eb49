// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/panes.hpp"

#include "plugins/project_state/fields.hpp"
#include "plugins/project_state/layouts.hpp"

namespace gantry::state {

namespace {

[[nodiscard]] Result<void> check_field(const std::string& field, const json& value) {
  if (field == "title") return check_text(field, value);
  return field == "attributes" ? check_attributes(value) : check_path(field, value);
}

}  // namespace

const DocumentType& pane_type() {
  static const DocumentType kType{
      Type::pane, {"title", "path", "cwd", "attributes"}, {{"attributes", json::object()}}, "changes", &check_field,
      false};
  return kType;
}

Result<void> check_room_for_pane(Database& db, const std::string& session) {
  Query q(db, "SELECT count(*) FROM objects WHERE parent = ? AND type = 'pane' AND body IS NOT NULL", session);
  const auto row = q.next();
  if (!row) return std::unexpected(row.error());
  if (q.count(0) < kMaxPanes) return {};
  return too_large("a session may have " + std::to_string(kMaxPanes) + " panes; delete some");
}

Result<json> create_pane(Transaction& tx, const std::string& session, const std::string& kind, const json& fields) {
  if (const auto owner = live_object(tx.db, Type::session, session); !owner) return std::unexpected(owner.error());
  if (auto ok = check_room_for_pane(tx.db, session); !ok) return std::unexpected(ok.error());
  return create_document(tx, pane_type(), session, fields, {{"session_id", session}, {"kind", kind}});
}

Result<json> delete_pane(Transaction& tx, const std::string& id, std::optional<std::uint64_t> rev) {
  auto pane = live_object(tx.db, Type::pane, id);
  if (!pane) return std::unexpected(pane.error());
  if (auto ok = compare_rev(*pane, rev); !ok) return std::unexpected(ok.error());
  if (auto ok = drop_from_layout(tx, pane->parent, id); !ok) return std::unexpected(ok.error());
  auto gone = delete_object(tx, *pane);
  if (!gone) return gone;
  return json{{"pane", std::move(*gone)}};
}

}  // namespace gantry::state
