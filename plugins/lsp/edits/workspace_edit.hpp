// SPDX-License-Identifier: Apache-2.0
//
// workspace_edit.hpp: the WorkspaceEdits of the protocol in one shape, whichever form the server has chosen: `changes`
// or `documentChanges`, plain or annotated edits, with or without versions and file operations. If there are both,
// `documentChanges` counts, as the specification says.
//
// Thread rule: pure functions.
// Bounds: kMaxOperations operations, kMaxEdits text edits: more are `too_large`.
#pragma once

#include <gantry/json.hpp>
#include <gantry/result.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "plugins/lsp/edits/text_edit.hpp"

namespace gantry::lsp {

// Paths are absolute.
struct EditFile {
  std::string path;
  std::optional<long long> version;  ///< that the edits are for; nothing: the server names none
  std::vector<TextEdit> edits;
};
struct CreateFile {
  std::string path;
  bool overwrite = false;
  bool ignore_if_exists = false;  ///< `overwrite` wins
};
struct RenameFile {
  std::string from;
  std::string to;
  bool overwrite = false;
  bool ignore_if_exists = false;  ///< `overwrite` wins
};
struct DeleteFile {
  std::string path;
  bool recursive = false;
  bool ignore_if_not_exists = false;
};
using FileOperation = std::variant<EditFile, CreateFile, RenameFile, DeleteFile>;

struct WorkspaceEdit {
  static constexpr std::size_t kMaxOperations = 10'000;
  static constexpr std::size_t kMaxEdits = 200'000;

  std::vector<FileOperation> operations;  ///< in the order in which they hold
  std::vector<std::string> notes;         ///< what the server wants a person to confirm
};

/// Of null: nothing is to be done. `upstream_failed`: it is malformed, or names what is no file of this machine.
[[nodiscard]] Result<WorkspaceEdit> workspace_edit_of(const json& edit);

}  // namespace gantry::lsp
