// SPDX-License-Identifier: Apache-2.0
//
// fields.hpp: the checks of members that several types of objects have.
//
// Errors: `invalid_params` names the member and what it must be; `too_large` its bound.
// Thread rule: pure functions.
#pragma once

#include <gantry/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::state {

inline constexpr std::size_t kMaxText = 1024;
inline constexpr std::size_t kMaxPath = 4096;
inline constexpr std::size_t kMaxAttributes = 1 << 20;
inline constexpr std::size_t kMaxBody = 2 << 20;  ///< of an object's JSON
inline constexpr int kMaxDepth = 64;

[[nodiscard]] inline std::unexpected<Error> refuse(std::string why) {
  return fail(ErrorKind::invalid_params, std::move(why));
}
[[nodiscard]] inline std::unexpected<Error> too_large(std::string why) {
  return fail(ErrorKind::too_large, std::move(why));
}

/// A string of 1 to kMaxText bytes without control characters.
[[nodiscard]] Result<void> check_text(const std::string& field, const json& value);
/// A string of 1 to kMaxPath bytes.
[[nodiscard]] Result<void> check_path(const std::string& field, const json& value);
/// At most `most` paths.
[[nodiscard]] Result<void> check_paths(const std::string& field, const json& value, std::size_t most);
/// An object of the client's own, of kMaxAttributes bytes and kMaxDepth levels.
[[nodiscard]] Result<void> check_attributes(const json& value);
[[nodiscard]] Result<void> check_body(std::string_view type, const std::string& body);
/// `member` is not one of `fields`: the error says what it might have been.
[[nodiscard]] std::unexpected<Error> unknown_member(const std::string& type, const std::string& member,
                                                    const std::vector<std::string>& fields);

}  // namespace gantry::state
