// SPDX-License-Identifier: Apache-2.0
//
// snippet.hpp: the text of a snippet of LSP, for a client that inserts plain text.
//
// Placeholders become their defaults, choices their first, tabstops nothing, or what the placeholder of the same
// number has. Variables become their defaults; of the known ones none has a value here, an unknown one is its own
// name, as the protocol says. Transforms are left out: what they change stays as it is. What does not follow the
// grammar is text.
//
// Thread rule: pure function.
// Bounds: kMaxSnippetDepth placeholders within each other; deeper ones are text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gantry::lsp {

inline constexpr std::size_t kMaxSnippetDepth = 32;

[[nodiscard]] std::string plain_snippet(std::string_view snippet);

}  // namespace gantry::lsp
