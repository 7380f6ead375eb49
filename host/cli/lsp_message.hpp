// SPDX-License-Identifier: Apache-2.0
//
// host/cli/lsp_message.hpp: reads the parts of an editor's message that `gantry lsp` needs.
//
// Thread rule: pure functions.
#pragma once

#include <gantry/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::host {

/// The head of a message, read as far as the text is JSON, even if the host cannot accept the text.
struct LspHead {
  std::string id;  ///< the text of the id, a string or a number; empty: there is none
  std::string method;
};
[[nodiscard]] LspHead head_of(std::string_view message);

/// The paths of the folders that an `initialize` names: workspaceFolders, else rootUri, else
/// rootPath.
[[nodiscard]] std::vector<std::string> folders_of_initialize(const json& params);
/// The paths of the folders that a `workspace/didChangeWorkspaceFolders` adds.
[[nodiscard]] std::vector<std::string> folders_added(const json& params);

}  // namespace gantry::host
