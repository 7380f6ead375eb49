// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/archive.hpp"

#include <algorithm>
#include <gantry/params.hpp>
#include <string>
#include <utility>

#include "plugins/project_state/documents.hpp"
#include "plugins/project_state/fields.hpp"
#include "plugins/project_state/history.hpp"
#include "plugins/project_state/layouts.hpp"
#include "plugins/project_state/merge.hpp"
#include "plugins/project_state/overwrite.hpp"
#include "plugins/project_state/panes.hpp"
#include "plugins/project_state/plan.hpp"
#include "plugins/project_state/sessions.hpp"
#include "plugins/project_state/settings.hpp"
#include "plugins/project_state/turns.hpp"

namespace gantry::state {

namespace {

constexpr std::int64_t kMaxNumber = std::int64_t{1} << 53;
constexpr std::size_t kMaxId = 128;

[[nodiscard]] Result<std::string> read_id(Params& p, const char* member) {
  std::string id = p.string(member);
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  if (id.empty() || id.size() > kMaxId || !std::ranges::all_of(id, allowed))
    return refuse(std::string(member) + " must be 1 to 128 letters, digits, - and _");
  return id;
}

[[nodiscard]] Object object_of(Type type, std::string id, std::string parent, const json& body) {
  return {type, std::move(id), std::move(parent), 0, 0, dump_json(body)};
}

/// The object without what the store gives itself.
[[nodiscard]] json without(json given, std::initializer_list<const char*> members) {
  for (const char* member : members) given.erase(member);
  return given;
}

/// A session or a pane.
[[nodiscard]] Result<Object> read_document(const DocumentType& type, const json& given) {
  Params p(given);
  (void)p.maybe_integer("rev", 0, kMaxNumber);
  auto id = read_id(p, "id");
  if (!id) return std::unexpected(id.error());
  json body = type.defaults;
  json fields = without(given, {"id", "rev"});
  std::string parent;
  if (type.has_times) {
    for (const char* time : {"created_ms", "updated_ms"}) body[time] = p.integer(time, 0, kMaxNumber);
    fields = without(std::move(fields), {"created_ms", "updated_ms"});
    p.require(given.contains("name"), "name is missing");
  } else {
    auto session = read_id(p, "session_id");
    if (!session) return std::unexpected(session.error());
    parent = *session;
    const auto kind = p.string("kind");
    p.require(kind == "terminal" || kind == "editor", "kind must be \"terminal\" or \"editor\"");
    body["session_id"] = parent;
    body["kind"] = kind;
    fields = without(std::move(fields), {"session_id", "kind"});
  }
  for (const auto& [field, unused] : fields.items()) (void)p.maybe_value(field.c_str());
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  if (auto ok = check_fields(type, fields); !ok) return std::unexpected(ok.error());
  body.merge_patch(fields);
  return object_of(type.type, std::move(*id), std::move(parent), body);
}

[[nodiscard]] Result<Object> read_layout(const json& given) {
  Params p(given);
  (void)p.maybe_integer("rev", 0, kMaxNumber);
  auto session = read_id(p, "session_id");
  if (!session) return std::unexpected(session.error());
  json body{{"root", p.value("root")}, {"nodes", p.object("nodes")}};
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  if (auto ok = check_layout_patch(body); !ok) return std::unexpected(ok.error());
  json whole = json::object();
  whole.merge_patch(body);  // drops what is null
  whole["root"] = body["root"];
  return object_of(Type::layout, *session, *session, whole);
}

[[nodiscard]] Result<Object> read_setting(const json& given) {
  Params p(given);
  (void)p.maybe_integer("rev", 0, kMaxNumber);
  const auto key = p.string("key");
  const json value = p.value("value");
  const auto kind = p.string("scope");
  const auto folder = p.maybe_string("workspace").value_or("");
  p.require(!value.is_null(), "value must not be null");
  p.require(kind == "user" || kind == "workspace", "scope must be \"user\" or \"workspace\"");
  // The folder may be one that is not there yet.
  p.require((kind == "user") == folder.empty() && (folder.empty() || folder.front() == '/') &&
                folder.size() <= kMaxPath && folder.find('\0') == std::string::npos,
            "workspace must be the absolute path of a folder, and goes with scope \"workspace\" only");
  auto ok = p.done();
  if (ok) ok = check_setting_key(key);
  if (ok) ok = check_setting_value(value);
  if (!ok) return std::unexpected(ok.error());
  return object_of(Type::setting, Scope{folder}.id_of(key), "", value);
}

[[nodiscard]] Result<Object> read_turn(const TurnTable& turns, const json& given) {
  Params p(given);
  (void)p.maybe_integer("rev", 0, kMaxNumber);
  auto id = read_id(p, "id");
  if (!id) return std::unexpected(id.error());
  auto session = read_id(p, "session_id");
  if (!session) return std::unexpected(session.error());
  auto body = turn_of_archive(turns, without(given, {"id", "rev"}));
  if (!body) return std::unexpected(body.error());
  return object_of(Type::turn, std::move(*id), std::move(*session), *body);
}

[[nodiscard]] Result<Object> read_given(const TurnTable& turns, Type type, const json& given) {
  switch (type) {
    case Type::session:
      return read_document(session_type(), given);
    case Type::pane:
      return read_document(pane_type(), given);
    case Type::layout:
      return read_layout(given);
    case Type::setting:
      return read_setting(given);
    case Type::turn:
      break;
  }
  return read_turn(turns, given);
}

/// Checks what only the whole store can tell.
[[nodiscard]] Result<void> check_place(Transaction& tx, const Object& now, const Object& wanted) {
  if (now.rev != 0 && now.parent != wanted.parent) {
    return fail(ErrorKind::conflict,
                std::string(name(now.type)) + " " + now.id + " belongs to another session here: " + now.parent);
  }
  if (wanted.type == Type::pane && !now.body) return check_room_for_pane(tx.db, wanted.parent);
  if (wanted.type != Type::layout) return {};
  const auto layout = parse_json(*wanted.body);
  return layout ? check_layout(tx.db, wanted.id, *layout) : std::unexpected(layout.error());
}

struct Counts {
  std::uint64_t created = 0;
  std::uint64_t replaced = 0;
  std::uint64_t kept = 0;
  std::uint64_t unchanged = 0;
};

/// A turn that was carried out here and comes back is not another one because its approval does not travel.
[[nodiscard]] bool is_same(const Object& now, const Object& wanted, const json& given) {
  if (now.body == wanted.body) return true;
  return now.type == Type::turn && now.body == dump_json(without(given, {"id", "rev"}));
}

[[nodiscard]] Result<void> take(Transaction& tx, const Object& wanted, const json& given, OnConflict on_conflict,
                                Counts& counts) {
  if (auto ok = check_body(name(wanted.type), *wanted.body); !ok) return ok;
  auto now = find_object(tx.db, wanted.type, wanted.id);
  if (!now) return std::unexpected(now.error());
  if (now->rev == 0) now->parent = wanted.parent;
  if (is_same(*now, wanted, given)) {
    ++counts.unchanged;
    return {};
  }
  if (now->body && on_conflict == OnConflict::refuse) {
    return fail(ErrorKind::conflict,
                "there is another one here under this name; say what becomes of it: on_conflict \"keep\" or "
                "\"replace\"",
                dump_json({{"rev", now->rev}}));
  }
  if (now->body && (on_conflict == OnConflict::keep || now->type == Type::turn)) {
    ++counts.kept;
    return {};
  }
  if (auto ok = check_place(tx, *now, wanted); !ok) return ok;
  ++(now->body ? counts.replaced : counts.created);
  const auto body = wanted.type == Type::turn ? parse_json(*wanted.body) : Result<json>(json());
  if (!body) return std::unexpected(body.error());
  return overwrite(tx, std::move(*now), wanted, body->is_null() ? std::nullopt : due_of_turn(tx, *body));
}

/// An entry, or its JSON text: a message may not be nested as deep as an object with what a message has around it.
[[nodiscard]] Result<json> read_entry(const json& given) {
  if (!given.is_string()) return given;
  const auto& text = given.get_ref<const std::string&>();
  auto entry = parse_json(text);
  if (!entry) return entry;
  constexpr int kAround = 3;  // {object: {attributes: ...}}
  if (deeper_than(*entry, kMaxDepth + kAround)) return too_large("an object may be nested 64 levels deep");
  if (auto ok = check_plans_in(text, 2); !ok) return std::unexpected(ok.error());
  return entry;
}

/// How people call what an entry is about; empty: nothing that could be said.
[[nodiscard]] std::string called(const json& entry) {
  const json object = entry.is_object() ? entry.value("object", json()) : json();
  for (const char* member : {"id", "key", "session_id"}) {
    const json found = object.is_object() ? object.value(member, json()) : json();
    if (found.is_string()) return " (" + found.get<std::string>().substr(0, 64) + ")";
  }
  return "";
}

[[nodiscard]] Result<void> take_entry(Transaction& tx, const json& entry, OnConflict on_conflict, Counts& counts) {
  Params p(entry);
  const auto word = p.string("type");
  const json given = p.object("object");
  if (auto ok = p.done(); !ok) return ok;
  const auto type = type_of(word);
  if (!type) return refuse("type must be session, pane, layout, setting or turn, not \"" + word.substr(0, 64) + "\"");
  const auto wanted = read_given(tx.turns, *type, given);
  return wanted ? take(tx, *wanted, given, on_conflict, counts) : std::unexpected(wanted.error());
}

[[nodiscard]] std::unexpected<Error> failed_at(std::size_t index, const std::string& name, Error error) {
  json data = parse_json(error.data).value_or(json::object());
  if (!data.is_object()) data = json::object();
  data["index"] = index;
  error.message =
      "objects[" + std::to_string(index) + "]" + name + ": " + error.message + "; none of these was imported";
  error.data = dump_json(data);
  return std::unexpected(std::move(error));
}

}  // namespace

std::optional<OnConflict> on_conflict_of(std::string_view word) {
  if (word == "refuse") return OnConflict::refuse;
  if (word == "keep") return OnConflict::keep;
  if (word == "replace") return OnConflict::replace;
  return std::nullopt;
}

Result<json> import_objects(Transaction& tx, const json& objects, OnConflict on_conflict, bool dry_run) {
  if (objects.size() > kMaxRestored) {
    return too_large("an import may have " + std::to_string(kMaxRestored) + " objects at once, not " +
                     std::to_string(objects.size()));
  }
  const std::uint64_t from = tx.ledger.seq + 1;
  Counts counts;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const auto entry = read_entry(objects[i]);
    if (!entry) return failed_at(i, "", entry.error());
    if (auto ok = take_entry(tx, *entry, on_conflict, counts); !ok) return failed_at(i, called(*entry), ok.error());
  }
  tx.undone = dry_run;
  if (auto ok = tx.append_project_changed(from); !ok) return std::unexpected(ok.error());
  return json{{"created", counts.created},
              {"replaced", counts.replaced},
              {"kept", counts.kept},
              {"unchanged", counts.unchanged}};
}

}  // namespace gantry::state
