// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/fields.hpp"

#include <algorithm>
#include <array>
#include <gantry/params.hpp>

#include "plugins/project_state/merge.hpp"

namespace gantry::state {

Result<void> check_text(const std::string& field, const json& value) {
  if (!value.is_string()) return refuse(field + " must be a string");
  const auto& text = value.get_ref<const std::string&>();
  if (text.empty()) return refuse(field + " must not be empty");
  if (text.size() > kMaxText) return too_large(field + " may have 1024 bytes, not " + std::to_string(text.size()));
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20; };
  if (std::ranges::any_of(text, is_control)) return refuse(field + " must not hold control characters");
  return {};
}

Result<void> check_path(const std::string& field, const json& value) {
  if (!value.is_string() || value.get_ref<const std::string&>().empty())
    return refuse(field + " must be a string that is not empty");
  if (value.get_ref<const std::string&>().size() > kMaxPath) return too_large(field + " may have 4096 bytes");
  return {};
}

Result<void> check_paths(const std::string& field, const json& value, std::size_t most) {
  if (!value.is_array()) return refuse(field + " must be an array of strings");
  if (value.size() > most) {
    return too_large(field + " may have " + std::to_string(most) + " entries, not " + std::to_string(value.size()));
  }
  for (const auto& entry : value) {
    if (auto ok = check_path("an entry of " + field, entry); !ok) return ok;
  }
  return {};
}

Result<void> check_attributes(const json& value) {
  if (!value.is_object()) return refuse("attributes must be an object");
  if (deeper_than(value, kMaxDepth)) return too_large("attributes may be nested 64 levels deep");
  if (dump_json(value).size() > kMaxAttributes) return too_large("attributes may have 1 MiB of JSON");
  return {};
}

Result<void> check_body(std::string_view type, const std::string& body) {
  if (body.size() <= kMaxBody) return {};
  return too_large("a " + std::string(type) + " may have 2 MiB of JSON, not " + std::to_string(body.size()) + " bytes");
}

std::unexpected<Error> unknown_member(const std::string& type, const std::string& member,
                                      const std::vector<std::string>& fields) {
  constexpr std::array<std::string_view, 4> kOfTheStore{"id", "rev", "created_ms", "updated_ms"};
  if (std::ranges::find(kOfTheStore, member) != kOfTheStore.end())
    return refuse(member + " is set by the store and cannot be changed");
  const auto hint = did_you_mean(member, fields);
  return refuse("a " + type + " has no member \"" + member.substr(0, 64) + "\"" +
                (hint.empty() ? "; put it into attributes" : hint));
}

}  // namespace gantry::state
