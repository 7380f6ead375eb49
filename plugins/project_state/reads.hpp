// SPDX-License-Identifier: Apache-2.0
//
// reads.hpp: the methods that read state, one entry each: the params are read and checked first, then what is asked for
// is read in one transaction.
//
// Thread rule: reading params is pure; what it returns runs on the reader's thread.
#pragma once

#include <gantry/params.hpp>
#include <gantry/result.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "plugins/project_state/changes.hpp"
#include "plugins/project_state/reader.hpp"

namespace gantry::state {

/// Reads a session, pane or turn by its id, or the layout of a session.
[[nodiscard]] Reader::Body get_object(Type type, const std::string& id);

struct SettingRequest {
  Scope scope;
  std::string key;
  std::optional<std::string> type;  ///< that the value must have
};
/// The params of `state.settings.get`.
[[nodiscard]] Result<SettingRequest> read_setting_request(Params& params, const Caller& caller);
[[nodiscard]] Reader::Body get_setting_of(const SettingRequest& request);

using ReadParams = Result<Reader::Body> (*)(Params& params, const Caller& caller);
/// nullptr: no method of this name reads state.
[[nodiscard]] ReadParams find_read(std::string_view method);

}  // namespace gantry::state
