// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/documents.hpp"

#include <algorithm>

#include "plugins/project_state/fields.hpp"
#include "plugins/project_state/folder.hpp"
#include "plugins/project_state/merge.hpp"

namespace gantry::state {

namespace {

/// RFC 7396 drops null members of what it adds; a member that is null in the patch goes back to its default.
[[nodiscard]] json patched(const DocumentType& type, json body, const json& patch) {
  body.merge_patch(patch);
  for (const auto& [member, value] : type.defaults.items()) {
    if (!body.contains(member)) body[member] = value;
  }
  return body;
}

[[nodiscard]] json event_of(const Object& object, std::uint64_t rev) {
  const std::string type(name(object.type));
  json event{{"rev", rev}};
  if (object.type == Type::layout) {
    event["session_id"] = object.id;
  } else {
    event[type + "_id"] = object.id;
    if (!object.parent.empty()) event["session_id"] = object.parent;
  }
  return event;
}

[[nodiscard]] std::string topic(Type type, const char* what) { return "state." + std::string(name(type)) + "." + what; }

}  // namespace

Result<void> check_fields(const DocumentType& type, const json& fields) {
  for (const auto& [field, value] : fields.items()) {
    if (std::ranges::find(type.fields, field) == type.fields.end())
      return unknown_member(std::string(name(type.type)), field, type.fields);
    if (value.is_null()) {
      if (field == "name") return refuse("name cannot be removed");
      continue;
    }
    if (auto ok = type.check(field, value); !ok) return ok;
  }
  return {};
}

Result<json> create_document(Transaction& tx, const DocumentType& type, const std::string& parent, const json& fields,
                             const json& fixed) {
  json body = patched(type, fixed, fields);
  if (type.has_times) body["created_ms"] = body["updated_ms"] = tx.now.wall_ms;
  std::string text = dump_json(body);
  if (auto ok = check_body(name(type.type), text); !ok) return std::unexpected(ok.error());
  Object object{type.type, random_id(), parent, 0, 0, std::nullopt};
  body["id"] = object.id;
  body["rev"] = 1;
  const std::string kind(name(type.type));
  json event{{kind + "_id", object.id}, {kind, body}};
  if (!parent.empty()) event["session_id"] = parent;
  const std::string what = topic(type.type, "created");
  if (auto ok = tx.write(object, {std::move(text), std::nullopt, what, std::move(event)}); !ok)
    return std::unexpected(ok.error());
  return json{{kind, std::move(body)}};
}

Result<json> update_document(Transaction& tx, const DocumentType& type, const std::string& id,
                             std::optional<std::uint64_t> rev, const json& patch) {
  auto object = live_object(tx.db, type.type, id);
  if (!object) return std::unexpected(object.error());
  if (auto ok = compare_rev(*object, rev); !ok) return std::unexpected(ok.error());
  const auto before = parse_json(*object->body);
  if (!before) return show_object(*object);

  json body = patched(type, *before, patch);
  if (type.has_times) body["updated_ms"] = tx.now.wall_ms;
  std::string text = dump_json(body);
  // The patch was in bounds, what it was merged into may be out of them: not deeper than both, but larger.
  if (text.size() > kMaxAttributes) {
    if (auto ok = check_attributes(body["attributes"]); !ok) return std::unexpected(ok.error());
  }
  if (auto ok = check_body(name(type.type), text); !ok) return std::unexpected(ok.error());

  json event = event_of(*object, object->rev + 1);
  event["from_rev"] = object->rev;
  event[type.changes] = merge_diff(*before, body);
  const std::string what = topic(type.type, "updated");
  if (auto ok = tx.write(*object, {std::move(text), merge_diff(body, *before), what, std::move(event)}); !ok)
    return std::unexpected(ok.error());
  body["id"] = object->id;
  body["rev"] = object->rev;
  return json{{std::string(name(type.type)), std::move(body)}};
}

Result<json> delete_object(Transaction& tx, Object& object) {
  auto shown = show_object(object);
  if (!shown) return shown;
  const std::string what = topic(object.type, "deleted");
  json event = event_of(object, object.rev + 1);
  if (auto ok = tx.write(object, {std::nullopt, std::nullopt, what, std::move(event)}); !ok)
    return std::unexpected(ok.error());
  (*shown)["rev"] = object.rev;
  (*shown)["deleted"] = true;
  return shown;
}

}  // namespace gantry::state
