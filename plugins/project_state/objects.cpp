// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/objects.hpp"

#include <boost/crc.hpp>

#include "plugins/project_state/settings.hpp"

namespace gantry::state {

namespace {

/// How people call it: a setting by its key, a layout by its session.
[[nodiscard]] std::string called(const Object& object) {
  if (object.type == Type::setting) return "setting \"" + setting_key(object.id) + "\"";
  const std::string id = object.id.substr(0, 64);
  return object.type == Type::layout ? "the layout of session " + id : std::string(name(object.type)) + " " + id;
}

}  // namespace

std::optional<Type> type_of(std::string_view text) {
  for (std::size_t i = 0; i < kTypes; ++i) {
    if (name(static_cast<Type>(i)) == text) return static_cast<Type>(i);
  }
  return std::nullopt;
}

std::uint32_t checksum(const Object& object) {
  boost::crc_32_type crc;
  const auto add = [&](std::string_view text) {
    crc.process_bytes(text.data(), text.size());
    crc.process_byte(0);
  };
  add(name(object.type));
  add(object.id);
  add(object.parent);
  add(std::to_string(object.rev));
  if (object.body) add(*object.body);
  return crc.checksum();
}

Result<Object> read_object(const Query& q) {
  Object out;
  out.n = q.count(0);
  if (!q.is_null(1)) out.body = q.text(1);
  const auto type = type_of(q.text(2));
  out.type = type.value_or(Type::session);
  out.id = q.text(3);
  out.parent = q.text(4);
  out.rev = q.count(5);
  if (type && checksum(out) == q.count(6)) return out;
  q.note_damage();
  return fail(ErrorKind::storage_failed,
              "the row of " + called(out) + " in state.db is damaged: its checksum is wrong; restore a backup");
}

Result<std::vector<Object>> read_objects(Query& q) {
  std::vector<Object> out;
  while (true) {
    const auto row = q.next();
    if (!row) return std::unexpected(row.error());
    if (!*row) return out;
    auto object = read_object(q);
    if (!object) return std::unexpected(object.error());
    out.push_back(std::move(*object));
  }
}

Result<Object> find_object(Database& db, Type type, const std::string& id) {
  Query q(db, "SELECT " GANTRY_OBJECT_COLUMNS " FROM objects WHERE type = ? AND id = ?", name(type), id);
  const auto row = q.next();
  if (!row) return std::unexpected(row.error());
  if (*row) return read_object(q);
  return Object{type, id, {}, 0, 0, std::nullopt};
}

Result<Object> live_object(Database& db, Type type, const std::string& id) {
  auto object = find_object(db, type, id);
  if (!object || object->body) return object;
  const std::string kind(name(type));
  return fail(ErrorKind::not_found,
              kind + " \"" + id.substr(0, 64) + "\" does not exist; list them with state." + kind + ".list");
}

Result<json> show_object(const Object& object) {
  auto shown = parse_json(object.body.value_or(""));
  if (!shown || (!shown->is_object() && object.type != Type::setting)) {
    return fail(ErrorKind::storage_failed,
                "the row of " + called(object) + " in state.db is damaged; restore a backup");
  }
  if (object.type == Type::setting) return show_setting(object.id, std::move(*shown), object.rev);
  (*shown)[object.type == Type::layout ? "session_id" : "id"] = object.id;
  (*shown)["rev"] = object.rev;
  return shown;
}

Result<void> compare_rev(const Object& object, std::optional<std::uint64_t> given) {
  // A setting without a value, and a layout that was never set, are what `0` says.
  if (!given || *given == object.rev || (*given == 0 && !object.body)) return {};
  return fail(ErrorKind::conflict,
              called(object) + " is at rev " + std::to_string(object.rev) + ", not " + std::to_string(*given) +
                  "; get it again and repeat the change on that",
              dump_json({{"rev", object.rev}, {"given", *given}}));
}

}  // namespace gantry::state
