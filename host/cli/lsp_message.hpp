// SPDX-License-Identifier: Apache-2.0
//
// host/cli/lsp_message.hpp: what `gantry lsp` has to know of an editor's message.
//
// Thread rule: pure functions.
#pragma once

#include <gantry/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::host {

/// As far as the text is JSON: also of a text that the host cannot take.
struct LspHead {
  std::string id;  ///< the raw token of a string or a number; empty: it has none
  std::string method;
};
[[nodiscard]] LspHead head_of(std::string_view message);

/// The paths of the folders that an `initialize` names: workspaceFolders, else rootUri, else rootPath.
[[nodiscard]] std::vector<std::string> folders_of_initialize(const json& params);
/// Of those that a `workspace/didChangeWorkspaceFolders` adds.
[[nodiscard]] std::vector<std::string> folders_added(const json& params);

}  // namespace gantry::host
