// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/rpc/loose_text.hpp: takes apart text that no JSON parser accepts (half of a
// surrogate pair, a number beyond 64 bits, bytes that are no UTF-8), by its brackets and quotes
// alone, so that its sender can be answered under the id in the text.
//
// Thread rule: pure functions. Time is linear in the text; views point into it.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

namespace gantry::host {

/// Calls `member` for each member of the object in `text`: the key as it is written between its
/// quotes, and the bytes of the value. False: brackets and quotes do not match, or it is no object.
[[nodiscard]] bool each_loose_member(std::string_view text,
                                     const std::function<void(std::string_view key, std::string_view value)>& member);
/// As above, for the elements of an array.
[[nodiscard]] bool each_loose_element(std::string_view text, const std::function<void(std::string_view)>& element);

}  // namespace gantry::host
