// SPDX-License-Identifier: Apache-2.0
//
// plain_text.hpp: the text of Markdown, for a client that shows plain text.
//
// Fences, heading and emphasis marks, escapes, entities, quotation marks of blocks, and the targets of links are left
// out; code keeps each character. Text that is no Markdown passes as it is.
//
// Thread rule: pure function.
#pragma once

#include <string>
#include <string_view>

namespace gantry::lsp {

[[nodiscard]] std::string plain_text(std::string_view markdown);

}  // namespace gantry::lsp
