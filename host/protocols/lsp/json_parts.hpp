// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/lsp/json_parts.hpp: members of messages, which may be missing or of another type.
//
// Thread rule: pure functions.
#pragma once

#include <gantry/json.hpp>
#include <string>

namespace gantry::host {

/// The member; null: there is none, or `value` is no object. Valid as long as `value`.
[[nodiscard]] inline const json& part(const json& value, const char* member) {
  static const json kNone;
  const auto it = value.is_object() ? value.find(member) : value.end();
  return it == value.end() ? kNone : *it;
}

/// The member, if it is a string; else empty.
[[nodiscard]] inline std::string text(const json& value, const char* member) {
  const auto& it = part(value, member);
  return it.is_string() ? it.get<std::string>() : std::string();
}

}  // namespace gantry::host
