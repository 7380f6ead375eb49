// SPDX-License-Identifier: Apache-2.0
//
// settings.hpp: settings: JSON values by key, for the user or for one workspace.
//
// A value is returned as it was set: 1 stays an integer, 1.0 a fraction. The first set fixes a
//   key's type in its scope, one of JSON's (boolean, number, string, array, object); another type
//   is `conflict`, unless the caller says `retype`. Null deletes. The rev of a deleted setting
//   lives on and grows when the setting is set again, so that a change in between is noticed; `rev:
//   0` in a set means "only if there is no value". Once its deletion has left the log, a setting
//   that is set again begins above the highest rev of all that were forgotten.
//
// Thread rule: one thread, the store's.
// Bounds: key 256 bytes, value 1 MiB of JSON and 64 levels; Limits::max_settings.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <optional>
#include <string>

#include "plugins/project_state/transaction.hpp"

namespace gantry::state {

struct Scope {
  std::string workspace;  ///< canonical folder; empty: the user's
  [[nodiscard]] std::string stored() const { return workspace.empty() ? "user" : "workspace:" + workspace; }
  /// The id of a setting, which is an object.
  [[nodiscard]] std::string id_of(const std::string& key) const { return stored() + "\n" + key; }
  /// Adds the members `scope` and `workspace` to an answer.
  void show(json& object) const;
};

/// The parts of a setting's id.
[[nodiscard]] std::string setting_key(const std::string& id);
[[nodiscard]] Scope setting_scope(const std::string& id);
/// {key, value, rev, scope, workspace?}.
[[nodiscard]] json show_setting(const std::string& id, json value, std::uint64_t rev);

struct SetOptions {
  std::optional<std::uint64_t> rev;  ///< empty: any revision
  bool retype = false;
};

[[nodiscard]] Result<void> check_setting_key(const std::string& key);
[[nodiscard]] Result<void> check_setting_value(const json& value);

[[nodiscard]] Result<json> set_setting(Transaction& tx, const Scope& scope, const std::string& key, const json& value,
                                       const SetOptions& options);
/// `type` given: a value of another type is `conflict`.
[[nodiscard]] Result<json> get_setting(Database& db, const Scope& scope, const std::string& key,
                                       const std::optional<std::string>& type);

}  // namespace gantry::state
