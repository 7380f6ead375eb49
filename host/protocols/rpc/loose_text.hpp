// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/rpc/loose_text.hpp: takes text apart that no JSON parser takes (half of a
// surrogate pair, a number beyond 64 bits, bytes that are no UTF-8), as far as its brackets and
// quotes tell, so that whoever sent the text can be answered under the id in it.
//
// Thread rule: pure functions. Time is linear in the text; views point into it.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

namespace gantry::host {

/// Calls `member` for each member of the object that `text` is: the key between its quotes as it is written, and the
/// bytes of the value. False: brackets and quotes do not match up, or it is no object.
[[nodiscard]] bool each_loose_member(std::string_view text,
                                     const std::function<void(std::string_view key, std::string_view value)>& member);
/// The same for the elements of an array.
[[nodiscard]] bool each_loose_element(std::string_view text, const std::function<void(std::string_view)>& element);

}  // namespace gantry::host
