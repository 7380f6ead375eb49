// SPDX-License-Identifier: Apache-2.0
//
// gantry/json.hpp: JSON documents, with errors as values.
//
// Thread rule: values; no shared state.
#pragma once

#include <cmath>
#include <gantry/result.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gantry {

using json = nlohmann::json;

/// Parses one JSON document. Never throws on bad text: malformed text is `invalid_params` with the
/// place.
[[nodiscard]] inline Result<json> parse_json(std::string_view text) {
  try {
    return json::parse(text);
  } catch (const json::exception& e) {
    // The text is "[json.exception.parse_error.101] parse error at line 1, column 2: ...": only the
    // part behind the name is for people.
    const std::string_view what = e.what();
    const auto name = what.find("] ");
    return fail(ErrorKind::invalid_params,
                "malformed JSON: " + std::string(what.substr(name == std::string_view::npos ? 0 : name + 2)));
  }
}

/// True for 2.0 as well, which JSON Schema calls an integer: get<std::int64_t>() of such a value is
/// exact.
[[nodiscard]] inline bool is_integer(const json& value) {
  constexpr double kExact = 9007199254740992;  // 2^53
  if (!value.is_number_float()) return value.is_number_integer();
  const auto number = value.get<double>();
  return std::abs(number) <= kExact && std::trunc(number) == number;
}

/// One line of JSON. Invalid UTF-8 becomes U+FFFD instead of an exception.
[[nodiscard]] inline std::string dump_json(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace gantry
