// SPDX-License-Identifier: Apache-2.0
//
// sessions.hpp: development sessions: {id, rev, name, roots[], branch?, open_files[], attributes{},
// created_ms, updated_ms}.
//
// `rev` starts at 1 and grows by one with each change, the deletion included. Ids are the store's,
// 128 random bits.
// Members that are null do not exist: a merge patch could not express them.
//
// Thread rule: one thread, the store's.
// Bounds: name 1 KiB, branch 1 KiB, 256 roots and 10,000 open files of 4 KiB each, attributes 1 MiB
//   and 64 levels deep, a whole session 2 MiB, a page of a list 1,000 sessions or 4 MiB.
#pragma once

#include <gantry/json.hpp>
#include <optional>
#include <string>

#include "plugins/project_state/store.hpp"

namespace gantry::state {

/// Checks the names, types and sizes of the fields that create and a patch may set. `whole`: a
/// session must be complete.
[[nodiscard]] Result<void> check_session_fields(const json& fields, bool whole);

[[nodiscard]] Result<json> create_session(Transaction& tx, const json& fields);
/// `rev` empty: any revision.
[[nodiscard]] Result<json> update_session(Transaction& tx, const std::string& id, std::optional<std::uint64_t> rev,
                                          const json& patch);
[[nodiscard]] Result<json> delete_session(Transaction& tx, const std::string& id, std::optional<std::uint64_t> rev);
[[nodiscard]] Result<json> get_session(Database& db, const Ledger& ledger, const std::string& id);

struct SessionFilter {
  std::optional<std::string> name;    ///< a part of the name
  std::optional<std::string> root;    ///< one of the roots, exactly
  std::optional<std::string> branch;  ///< exactly
};

/// The sessions in the order of creation. `cursor`: the next_cursor of the page before, for the
/// same filter.
[[nodiscard]] Result<json> list_sessions(Database& db, const Ledger& ledger, const SessionFilter& filter,
                                         const std::optional<std::string>& cursor, std::uint64_t limit);

}  // namespace gantry::state
