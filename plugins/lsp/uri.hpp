// SPDX-License-Identifier: Apache-2.0
//
// uri.hpp: file URIs and paths. Two spellings of one file give one path, and one path gives one URI.
//
// Thread rule: pure functions.
#pragma once

#include <gantry/result.hpp>
#include <string>
#include <string_view>

namespace gantry::lsp {

/// The absolute, lexically normal path of a `file://` URI or of an absolute path. `invalid_params` for anything else.
[[nodiscard]] Result<std::string> to_path(std::string_view uri_or_path);

/// `file://` and the path, percent-encoded but for unreserved characters, '/' and ':'.
[[nodiscard]] std::string to_uri(std::string_view path);

}  // namespace gantry::lsp
