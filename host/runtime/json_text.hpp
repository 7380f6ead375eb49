// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/json_text.hpp: JSON as text that is passed on: validated once where it enters, never rebuilt.
//
// Thread rule: pure functions; parsers are kept per thread.
#pragma once

#include <cstddef>
#include <gantry/result.hpp>
#include <string>
#include <string_view>

namespace gantry::host {

/// Is `text` one well-formed JSON value in valid UTF-8, nested at most `max_depth` deep? Everything is checked.
/// `parse_error` otherwise, `invalid_request` for the depth. May grow text's capacity.
[[nodiscard]] Result<void> check_json(std::string_view text, std::size_t max_depth);

/// `text` (valid JSON) without the white space between its tokens.
[[nodiscard]] std::string minify_json(std::string_view text);

[[nodiscard]] bool is_utf8(std::string_view text);

/// A JSON string literal for `text`; invalid UTF-8 becomes U+FFFD.
[[nodiscard]] std::string quote_json(std::string_view text);

}  // namespace gantry::host
