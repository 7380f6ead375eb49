// SPDX-License-Identifier: Apache-2.0
//
// settings.hpp: settings: JSON values by key, for the user or for one workspace.
//
// A value is returned as it was set: 1 stays an integer, 1.0 a fraction. The first set fixes a
//   key's type in its scope, one of JSON's (boolean, number, string, array, object); another type
//   is `conflict`, unless the caller says `retype`. Null deletes. The rev of a deleted setting
//   lives on and grows when the setting is set again, so that a change in between is noticed; `rev:
//   0` in a set means "only if there is no value".
//
// Thread rule: one thread, the store's.
// Bounds: key 256 bytes, value 1 MiB of JSON and 64 levels; Limits::max_settings, in which deleted
//   ones count until they are removed, the oldest first. A page of a list is 1,000 settings or 4
//   MiB.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <optional>
#include <string>

#include "plugins/project_state/store.hpp"

namespace gantry::state {

struct Scope {
  std::string workspace;  ///< canonical folder; empty: the user's
  [[nodiscard]] std::string stored() const { return workspace.empty() ? "user" : "workspace:" + workspace; }
  /// Adds the members `scope` and `workspace` to an answer.
  void show(json& object) const;
};

struct SetOptions {
  std::optional<std::uint64_t> rev;  ///< empty: any revision
  bool retype = false;
};

[[nodiscard]] Result<void> check_setting_key(const std::string& key);
[[nodiscard]] Result<void> check_setting_value(const json& value);

[[nodiscard]] Result<json> set_setting(Transaction& tx, const Scope& scope, const std::string& key, const json& value,
                                       const SetOptions& options);
/// `type` given: a value of another type is `conflict`.
[[nodiscard]] Result<json> get_setting(Database& db, const Ledger& ledger, const Scope& scope, const std::string& key,
                                       const std::optional<std::string>& type);
/// The settings that have a value, in the order in which their keys were first set.
[[nodiscard]] Result<json> list_settings(Database& db, const Ledger& ledger, const Scope& scope,
                                         const std::string& prefix, const std::optional<std::string>& cursor,
                                         std::uint64_t limit);

}  // namespace gantry::state
