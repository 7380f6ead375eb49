// SPDX-License-Identifier: Apache-2.0
//
// merge.hpp: the inverse of RFC 7396: the smallest merge patch that leads from one document to
// another.
//
// If no object in `to` has a null member (which a merge patch cannot express): merge(from, diff) ==
// to.
//
// Thread rule: pure functions. Recursion is as deep as the documents: check deeper_than first.
#pragma once

#include <bit>
#include <cstdint>
#include <gantry/json.hpp>

namespace gantry::state {

/// True: `value` is nested more than `levels` deep.
[[nodiscard]] inline bool deeper_than(const json& value, int levels) {
  if (!value.is_structured()) return false;
  if (levels == 0) return true;
  for (const auto& member : value) {
    if (deeper_than(member, levels - 1)) return true;
  }
  return false;
}

/// True: their texts are the same. 1 and 1.0 compare equal, but differ as texts.
[[nodiscard]] inline bool same_text(const json& a, const json& b) {
  if (a.is_object()) {
    if (!b.is_object() || a.size() != b.size()) return false;
    for (auto i = a.begin(), j = b.begin(); i != a.end(); ++i, ++j) {
      if (i.key() != j.key() || !same_text(i.value(), j.value())) return false;
    }
    return true;
  }
  if (a.is_array()) {
    if (!b.is_array() || a.size() != b.size()) return false;
    for (auto i = a.begin(), j = b.begin(); i != a.end(); ++i, ++j) {
      if (!same_text(*i, *j)) return false;
    }
    return true;
  }
  if (!a.is_number_float() && !b.is_number_float()) return a == b;
  return a.type() == b.type() &&
         std::bit_cast<std::uint64_t>(a.get<double>()) == std::bit_cast<std::uint64_t>(b.get<double>());
}

[[nodiscard]] inline json merge_diff(const json& from, const json& to) {
  json patch = json::object();
  for (const auto& [key, unused] : from.items()) {
    if (!to.contains(key)) patch[key] = nullptr;
  }
  for (const auto& [key, value] : to.items()) {
    const auto old = from.find(key);
    if (old == from.end()) {
      patch[key] = value;
    } else if (old->is_object() && value.is_object()) {
      json inner = merge_diff(*old, value);
      if (!inner.empty()) patch[key] = std::move(inner);
    } else if (!same_text(*old, value)) {
      patch[key] = value;
    }
  }
  return patch;
}

}  // namespace gantry::state
