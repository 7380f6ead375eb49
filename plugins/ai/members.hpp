// SPDX-License-Identifier: Apache-2.0
//
// members.hpp: the members of a JSON object as the text in which they were written.
//
// A provider receives the caller's own text: the order of the members of a schema is part of the
// prompt, and a document that is rebuilt from a tree loses that order.
//
// Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gantry::ai {

struct Member {
  std::string name;
  std::string text;  ///< the value, as JSON
};

/// The members in order; of members with the same name the last one. `object` is the text of a JSON
/// object that has been parsed without an error.
[[nodiscard]] std::vector<Member> members_of(std::string_view object);

}  // namespace gantry::ai
