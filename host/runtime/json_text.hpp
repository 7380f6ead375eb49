// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/json_text.hpp: JSON text that is passed on: validated once where it enters, and
// never rebuilt.
//
// Thread rule: pure functions; parsers are kept per thread.
#pragma once

#include <cstddef>
#include <gantry/result.hpp>
#include <string>
#include <string_view>

namespace gantry::host {

/// Checks that `text` is one well-formed JSON value in valid UTF-8, nested at most `max_depth`
/// deep. `parse_error`; `invalid_request`: too deep.
[[nodiscard]] Result<void> check_json(std::string_view text, std::size_t max_depth);

/// `text`, which must be valid JSON, without the white space between its tokens.
[[nodiscard]] std::string minify_json(std::string_view text);

[[nodiscard]] bool is_utf8(std::string_view text);

/// A JSON string literal for `text`; invalid UTF-8 becomes U+FFFD.
[[nodiscard]] std::string quote_json(std::string_view text);

}  // namespace gantry::host
