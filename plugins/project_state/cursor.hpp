// SPDX-License-Identifier: Apache-2.0
//
// cursor.hpp: the place where a page of a list ended, with a check that the cursor belongs to this
// list.
//
// A cursor is opaque to clients: "PLACE-CHECK", PLACE in hexadecimal, CHECK a hash over the store's
// epoch, the list and its filter. The check guards against mix-ups (another list, another filter,
// another store), not against malice: a cursor grants nothing.
//
// Thread rule: pure functions.
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <gantry/result.hpp>
#include <string>
#include <string_view>

namespace gantry::state {

[[nodiscard]] inline std::string make_cursor(std::uint64_t place, std::string_view list) {
  std::array<char, 17> digits{};
  std::snprintf(digits.data(), digits.size(), "%llx", static_cast<unsigned long long>(place));
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : std::string(digits.data()) + "\n" + std::string(list)) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  std::array<char, 40> out{};
  std::snprintf(out.data(), out.size(), "%s-%016llx", digits.data(), static_cast<unsigned long long>(hash));
  return out.data();
}

[[nodiscard]] inline Result<std::uint64_t> read_cursor(std::string_view cursor, std::string_view list) {
  std::uint64_t place = 0;
  const auto parsed = std::from_chars(cursor.data(), cursor.data() + cursor.size(), place, 16);
  if (parsed.ec == std::errc() && cursor == make_cursor(place, list)) return place;
  return fail(ErrorKind::invalid_params,
              "cursor is not one that this list gave for this filter; start again without a cursor");
}

}  // namespace gantry::state
