// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/settings.hpp"

#include <algorithm>

#include "plugins/project_state/fields.hpp"
#include "plugins/project_state/merge.hpp"

namespace gantry::state {

namespace {

constexpr std::size_t kMaxKey = 256;
constexpr std::size_t kMaxValue = 1 << 20;
constexpr std::string_view kWorkspace = "workspace:";

/// JSON has one type of number: a client in JavaScript cannot tell 1 from 1.0.
[[nodiscard]] std::string json_type(const json& value) { return value.type_name(); }

[[nodiscard]] Result<void> compare_types(const std::string& key, const json& held, const std::string& wanted,
                                         const char* advice) {
  const std::string is = json_type(held);
  if (is == wanted) return {};
  return fail(ErrorKind::conflict, "setting \"" + key + "\" holds a value of type " + is + ", not " + wanted + advice,
              dump_json({{"type", is}, {"given", wanted}}));
}

}  // namespace

void Scope::show(json& object) const {
  object["scope"] = workspace.empty() ? "user" : "workspace";
  if (!workspace.empty()) object["workspace"] = workspace;
}

// No key holds a line feed; a folder's name may.
std::string setting_key(const std::string& id) { return id.substr(id.rfind('\n') + 1); }

Scope setting_scope(const std::string& id) {
  const std::string stored = id.substr(0, id.rfind('\n'));
  return stored.starts_with(kWorkspace) ? Scope{stored.substr(kWorkspace.size())} : Scope{};
}

json show_setting(const std::string& id, json value, std::uint64_t rev) {
  json shown{{"key", setting_key(id)}, {"value", std::move(value)}, {"rev", rev}};
  setting_scope(id).show(shown);
  return shown;
}

Result<void> check_setting_key(const std::string& key) {
  if (key.empty()) return refuse("key must not be empty");
  if (key.size() > kMaxKey) return too_large("a key may have 256 bytes, not " + std::to_string(key.size()));
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20; };
  if (std::ranges::any_of(key, is_control)) return refuse("key must not hold control characters");
  return {};
}

Result<void> check_setting_value(const json& value) {
  if (deeper_than(value, kMaxDepth)) return too_large("a setting may be nested 64 levels deep");
  if (const auto size = dump_json(value).size(); size > kMaxValue)
    return too_large("a setting may have 1 MiB of JSON, not " + std::to_string(size) + " bytes");
  return {};
}

Result<json> set_setting(Transaction& tx, const Scope& scope, const std::string& key, const json& value,
                         const SetOptions& options) {
  auto object = find_object(tx.db, Type::setting, scope.id_of(key));
  if (!object) return std::unexpected(object.error());
  if (auto ok = compare_rev(*object, options.rev); !ok) return std::unexpected(ok.error());
  if (value.is_null() && !object->body) return show_setting(object->id, nullptr, object->rev);
  if (object->body && !value.is_null() && !options.retype) {
    const auto held = parse_json(*object->body);
    if (!held) return show_object(*object);
    const auto ok = compare_types(key, *held, json_type(value), "; set a value of its type, or say `retype: true`");
    if (!ok) return std::unexpected(ok.error());
  }
  auto body = value.is_null() ? std::nullopt : std::optional(dump_json(value));
  const std::string id = object->id;
  const auto told = [&](std::uint64_t rev) { return show_setting(id, value, rev); };
  const std::uint64_t rev = tx.next_rev(*object);
  if (auto ok = tx.write(*object, {std::move(body), std::nullopt, "state.setting.changed", told(rev)}); !ok)
    return std::unexpected(ok.error());
  return told(rev);
}

Result<json> get_setting(Database& db, const Scope& scope, const std::string& key,
                         const std::optional<std::string>& type) {
  const auto object = find_object(db, Type::setting, scope.id_of(key));
  if (!object) return std::unexpected(object.error());
  if (!object->body) return show_setting(object->id, nullptr, object->rev);
  auto shown = show_object(*object);
  if (!shown || !type) return shown;
  const auto ok =
      compare_types(key, (*shown)["value"], *type, "; read it without a type, or set it anew with `retype: true`");
  if (!ok) return std::unexpected(ok.error());
  return shown;
}

}  // namespace gantry::state
