// SPDX-License-Identifier: Apache-2.0
//
// pages.hpp: lists of objects, page by page in the order of creation: at most as many as were asked for, within 4 MiB,
// but at least one.
//
// Thread rule: that of the Database.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <optional>
#include <string>

#include "plugins/project_state/settings.hpp"
#include "plugins/project_state/transaction.hpp"

namespace gantry::state {

inline constexpr std::size_t kMaxPage = 4 << 20;

struct PageOf {
  std::optional<std::string> cursor;  ///< the next_cursor of the page before, for the same list and filter
  std::uint64_t limit = 100;
  std::size_t bytes = kMaxPage;  ///< about so much at most, or one item
};

struct SessionFilter {
  std::optional<std::string> name;    ///< a part of the name
  std::optional<std::string> root;    ///< one of the roots, exactly
  std::optional<std::string> branch;  ///< exactly
};

struct MemberFilter {  ///< of panes and turns
  std::optional<std::string> session_id;
  std::optional<std::string> kind;  ///< of a pane, or the state of a turn
};

// {items, next_cursor?, epoch, seq}. `invalid_params`: the cursor is not this list's.
[[nodiscard]] Result<json> list_sessions(Database& db, const Ledger& ledger, const SessionFilter& filter,
                                         const PageOf& page);
[[nodiscard]] Result<json> list_members(Database& db, const Ledger& ledger, Type type, const MemberFilter& filter,
                                        const PageOf& page);
/// The settings of a scope that have a value and whose keys begin with `prefix`.
[[nodiscard]] Result<json> list_settings(Database& db, const Ledger& ledger, const Scope& scope,
                                         const std::string& prefix, const PageOf& page);

}  // namespace gantry::state
