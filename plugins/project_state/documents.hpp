// SPDX-License-Identifier: Apache-2.0
//
// documents.hpp: what sessions and panes have in common: objects with named members that a caller sets and changes by
// RFC 7396 merge patches.
//
// Members that are null do not exist, because a merge patch could not express them.
//
// Thread rule: one thread, the store's.
#pragma once

#include <gantry/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "plugins/project_state/transaction.hpp"

namespace gantry::state {

struct DocumentType {
  Type type;
  std::vector<std::string> fields;  ///< that create and a patch may set
  json defaults;                    ///< of members that always exist
  const char* changes;              ///< the member of an `updated` event that holds the merge patch
  Result<void> (*check)(const std::string& field, const json& value);
  bool has_times;  ///< created_ms and updated_ms
};

/// Checks the names, types and sizes of the members in `fields`; null is allowed for all but `name`.
[[nodiscard]] Result<void> check_fields(const DocumentType& type, const json& fields);

/// Creates an object with a new id; `fixed`: members that cannot be changed. Returns {TYPE: the object}.
[[nodiscard]] Result<json> create_document(Transaction& tx, const DocumentType& type, const std::string& parent,
                                           const json& fields, const json& fixed);
/// `rev` empty: any revision.
[[nodiscard]] Result<json> update_document(Transaction& tx, const DocumentType& type, const std::string& id,
                                           std::optional<std::uint64_t> rev, const json& patch);
/// Writes the deletion of an object that is there, and returns what it was, with its last rev and `deleted`.
[[nodiscard]] Result<json> delete_object(Transaction& tx, Object& object);

}  // namespace gantry::state
