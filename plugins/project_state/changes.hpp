// SPDX-License-Identifier: Apache-2.0
//
// changes.hpp: the methods that change state, one entry each: the params are read and checked first, then what is to be
// done is done in a transaction, alone or as one of the operations of `state.batch`.
//
// Thread rule: reading is pure; what it returns runs on the store's thread.
// Bounds: kMaxOps operations in a batch.
#pragma once

#include <functional>
#include <gantry/params.hpp>
#include <gantry/result.hpp>
#include <string>
#include <string_view>

#include "plugins/project_state/settings.hpp"
#include "plugins/project_state/transaction.hpp"

namespace gantry::state {

inline constexpr std::size_t kMaxOps = 1000;

/// What a change does in its transaction; returns the members of its answer.
using Apply = std::function<Result<json>(Transaction&)>;
/// Who calls.
struct Caller {
  std::function<Result<Scope>(Params&)> scope;  ///< reads `scope` and `workspace` of the params of a setting
  std::function<std::string()> client;          ///< its name; empty: not known
  std::size_t max_page = 0;                     ///< bytes of what it can be answered with
};

/// Checks the params of a method that changes state; every member is read, so that done() of `params` knows it.
/// `place`: further input than the params, for the digest of a mutation.
struct ReadChange {
  Result<Apply> (*read)(Params& params, const Caller& caller, std::string& place);
  bool in_batch = true;  ///< false: it cannot be part of a batch
};
/// nullptr: no method of this name changes state.
[[nodiscard]] const ReadChange* find_change(std::string_view method);

/// Reads `ops` of `state.batch`: all of them are done, or none.
[[nodiscard]] Result<Apply> read_batch(Params& params, const Caller& caller, std::string& place);

}  // namespace gantry::state
