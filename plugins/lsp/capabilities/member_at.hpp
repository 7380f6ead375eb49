// SPDX-License-Identifier: Apache-2.0
//
// member_at.hpp: a member of nested JSON objects by its path.
//
// Thread rule: pure functions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <gantry/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace gantry::lsp {

/// The member at "a.b.c", or null.
[[nodiscard]] inline const json& member_at(const json& object, std::string_view path) {
  static const json absent;
  const json* at = &object;
  while (!path.empty()) {
    if (!at->is_object()) return absent;
    const auto dot = std::min(path.find('.'), path.size());
    const auto it = at->find(std::string(path.substr(0, dot)));
    if (it == at->end()) return absent;
    at = &*it;
    path.remove_prefix(std::min(dot + 1, path.size()));
  }
  return *at;
}

/// A member of what may be no object, or null.
[[nodiscard]] inline const json& part(const json& of, const std::string& name) {
  static const json absent;
  if (!of.is_object()) return absent;
  const auto it = of.find(name);
  return it == of.end() ? absent : *it;
}

/// A whole number that is not negative.
[[nodiscard]] inline std::optional<std::size_t> count_in(const json& value) {
  if (!value.is_number_integer() || (!value.is_number_unsigned() && value.get<std::int64_t>() < 0)) return std::nullopt;
  return value.get<std::size_t>();
}

[[nodiscard]] inline bool is_true(const json& object, std::string_view path) {
  const json& value = member_at(object, path);
  return value.is_boolean() && value.get<bool>();
}

/// The array at this path has this text.
[[nodiscard]] inline bool lists(const json& object, std::string_view path, std::string_view wanted) {
  const json& array = member_at(object, path);
  return array.is_array() && std::ranges::any_of(array, [&](const json& each) { return each == wanted; });
}

}  // namespace gantry::lsp
