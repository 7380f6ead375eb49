// SPDX-License-Identifier: Apache-2.0
//
// scope.hpp: the part of the state that a caller names: all objects of a type (`sessions`, `panes`, `layouts`,
// `settings`, `turns`), or a session with all that belongs to it (`session:ID`).
//
// Thread rule: values; pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "plugins/project_state/objects.hpp"

namespace gantry::state {

struct StateScope {
  std::optional<Type> type;  ///< empty: a session
  std::string session;       ///< its id
  [[nodiscard]] bool has(const Object& object) const {
    return type ? object.type == *type
                : object.parent == session || (object.type == Type::session && object.id == session);
  }
};

/// `invalid_params` names the scopes that there are.
[[nodiscard]] Result<StateScope> read_scope_name(std::string_view name);

}  // namespace gantry::state
