// SPDX-License-Identifier: Apache-2.0
//
// gantry/json.hpp: JSON documents, with errors as values.
//
// Thread rule: values; no shared state.
#pragma once

#include <gantry/result.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gantry {

using json = nlohmann::json;

/// Parses one JSON document. Never throws on bad text: malformed text is `invalid_params` with the place.
[[nodiscard]] inline Result<json> parse_json(std::string_view text) {
  try {
    return json::parse(text);
  } catch (const json::exception& e) {
    return fail(ErrorKind::invalid_params, std::string("malformed JSON: ") + e.what());
  }
}

/// One line of JSON. Invalid UTF-8 becomes U+FFFD instead of an exception.
[[nodiscard]] inline std::string dump_json(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace gantry
