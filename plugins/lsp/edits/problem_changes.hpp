// SPDX-License-Identifier: Apache-2.0
//
// problem_changes.hpp: which diagnostics of a text an edit takes away, and which ones it brings.
//
// A diagnostic is the same as one of the text before when it says the same (severity, source, code, message) in the
// same line, wherever the edit has moved that line; within a hunk, in any line of the hunk.
//
// Thread rule: pure functions.
#pragma once

#include <gantry/json.hpp>
#include <vector>

#include "plugins/lsp/edits/text_edit.hpp"

namespace gantry::lsp {

struct ProblemChanges {
  std::vector<json> added;    ///< of the text after
  std::vector<json> removed;  ///< of the text before
  std::size_t kept = 0;
};
/// `before` and `after`: Diagnostic[] of the protocol. `hunks`: in the order of the text.
[[nodiscard]] ProblemChanges problem_changes(const json& before, const json& after, const std::vector<Hunk>& hunks);

}  // namespace gantry::lsp
