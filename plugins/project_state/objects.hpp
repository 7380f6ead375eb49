// SPDX-License-Identifier: Apache-2.0
//
// objects.hpp: what the store holds: sessions, panes, layouts, settings and turns are all objects, rows of one table.
//
// An object has a place `n` (the order of creation, which pages follow), an id that is unique in its type, a rev that
// starts at 1 and grows by one with each change (the deletion included), and a body, one JSON value. The row of a
// deleted object stays without a body for as long as the log may be asked for the time before. A checksum over the row
// finds damage that SQLite's own checks do not see.
//
// Thread rule: that of the Database.
#pragma once

#include <array>
#include <cstdint>
#include <gantry/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/project_state/sqlite.hpp"

namespace gantry::state {

enum class Type : std::uint8_t { session, pane, layout, setting, turn };
inline constexpr std::size_t kTypes = 5;

/// As it stands in the table, and in messages.
[[nodiscard]] constexpr std::string_view name(Type type) {
  constexpr std::array<std::string_view, kTypes> kNames{"session", "pane", "layout", "setting", "turn"};
  return kNames[static_cast<std::size_t>(type)];
}
/// Empty: there is no such type.
[[nodiscard]] std::optional<Type> type_of(std::string_view name);

struct Object {
  Type type = Type::session;
  std::string id;
  std::string parent;               ///< the id of the session that it belongs to; empty: of none
  std::uint64_t n = 0;              ///< 0: it has no row yet
  std::uint64_t rev = 0;            ///< 0: it was never written
  std::optional<std::string> body;  ///< empty: it was deleted, or never written
};

/// The checksum of a row.
[[nodiscard]] std::uint32_t checksum(const Object& object);

/// The columns of an object, in the order that read_object() expects.
#define GANTRY_OBJECT_COLUMNS "n, body, type, id, parent, rev, crc"
/// The object in the present row of `q`. `storage_failed`: its checksum is wrong.
[[nodiscard]] Result<Object> read_object(const Query& q);

/// The objects in the rows of `q`, to its end.
[[nodiscard]] Result<std::vector<Object>> read_objects(Query& q);

/// Deleted ones as well; `rev` 0: there is none and never was, as far as is known.
[[nodiscard]] Result<Object> find_object(Database& db, Type type, const std::string& id);
/// `not_found`: there is none, or it was deleted.
[[nodiscard]] Result<Object> live_object(Database& db, Type type, const std::string& id);
/// The body as a document, with `rev` and `id`, or the members that name a layout or a setting.
[[nodiscard]] Result<json> show_object(const Object& object);

/// `conflict`, unless the rev that a caller has given (empty: any) is the object's.
[[nodiscard]] Result<void> compare_rev(const Object& object, std::optional<std::uint64_t> given);

}  // namespace gantry::state
