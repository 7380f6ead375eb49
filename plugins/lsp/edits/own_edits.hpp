// SPDX-License-Identifier: Apache-2.0
//
// own_edits.hpp: the edits that a caller makes itself, as edits of the protocol.
//
// Thread rule: a pure function.
#pragma once

#include <gantry/json.hpp>
#include <gantry/result.hpp>
#include <string>
#include <vector>

#include "plugins/lsp/edits/text_edit.hpp"

namespace gantry::lsp {

/// Each of `list` is {line, column?, end_line?, end_column?, new_text}, counted from 1 in characters, an insertion
/// where no end is named; or {old_text, new_text}, where old_text is in `text` once. `invalid_params`: which of them is
/// wrong.
[[nodiscard]] Result<std::vector<TextEdit>> own_edits(const json& list, const std::string& text);

}  // namespace gantry::lsp
