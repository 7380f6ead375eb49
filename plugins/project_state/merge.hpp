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
    } else if (dump_json(*old) != dump_json(value)) {  // as text: 1 and 1.0 compare equal but differ
      patch[key] = value;
    }
  }
  return patch;
}

}  // namespace gantry::state
