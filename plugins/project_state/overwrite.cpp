// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/overwrite.hpp"

#include <string>
#include <utility>

#include "plugins/project_state/documents.hpp"
#include "plugins/project_state/merge.hpp"
#include "plugins/project_state/panes.hpp"
#include "plugins/project_state/sessions.hpp"

namespace gantry::state {

namespace {

struct Told {
  const char* what;  ///< the end of the topic
  json payload;
  std::optional<json> undo{};
};

[[nodiscard]] Result<void> check_owner(Transaction& tx, const Object& object) {
  if (object.parent.empty()) return {};
  const auto owner = find_object(tx.db, Type::session, object.parent);
  if (!owner) return std::unexpected(owner.error());
  if (owner->body) return {};
  return fail(ErrorKind::conflict, std::string(name(object.type)) + " " + object.id + " belongs to session " +
                                       object.parent +
                                       ", which does not exist; it comes with the scope session:" + object.parent);
}

/// Of a setting or a layout, which travel whole.
[[nodiscard]] Result<Told> changed(const Object& then) {
  auto shown = show_object(then);
  if (!shown) return std::unexpected(shown.error());
  if (then.type == Type::setting) return Told{"changed", std::move(*shown)};
  return Told{"changed", {{"session_id", then.id}, {"layout", std::move(*shown)}}};
}

/// The members that name a session, pane or turn.
[[nodiscard]] json named(const Object& object) {
  json out{{std::string(name(object.type)) + "_id", object.id}};
  if (!object.parent.empty()) out["session_id"] = object.parent;
  return out;
}

[[nodiscard]] Result<Told> created(const Object& then) {
  auto shown = show_object(then);
  if (!shown) return std::unexpected(shown.error());
  Told out{"created", named(then)};
  out.payload[std::string(name(then.type))] = std::move(*shown);
  return out;
}

[[nodiscard]] Result<Told> updated(const Object& now, const Object& then) {
  const auto from = parse_json(*now.body);
  const auto to = parse_json(*then.body);
  if (!from || !to) return std::unexpected(show_object(now).error());
  const auto& type = then.type == Type::session ? session_type() : pane_type();
  Told out{"updated", named(then), merge_diff(*to, *from)};
  out.payload[type.changes] = merge_diff(*from, *to);
  out.payload["from_rev"] = now.rev;
  out.payload["rev"] = then.rev;
  return out;
}

}  // namespace

Result<void> overwrite(Transaction& tx, Object now, const Object& then, std::optional<std::int64_t> due_ms) {
  if (auto ok = check_owner(tx, then); !ok) return ok;
  Object next = then;
  next.rev = tx.next_rev(now);
  const bool whole = then.type == Type::setting || then.type == Type::layout;
  auto told = whole ? changed(next) : now.body ? updated(now, next) : created(next);
  if (!told) return std::unexpected(told.error());
  const std::string topic = "state." + std::string(name(then.type)) + "." + told->what;
  return tx.write(now, {then.body, std::move(told->undo), topic, std::move(told->payload), due_ms});
}

}  // namespace gantry::state
