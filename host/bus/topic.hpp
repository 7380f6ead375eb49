// SPDX-License-Identifier: Apache-2.0
//
// host/bus/topic.hpp: topics and the patterns that match them.
//
// A topic is 1 to 16 segments joined by dots, each of letters, digits, `_` and `-`; at most 256
// bytes. A pattern may hold `*` (exactly one segment) and `**` (any number of segments, also none).
//
// Thread rule: pure functions.
#pragma once

#include <gantry/result.hpp>
#include <string_view>

namespace gantry::host {

[[nodiscard]] Result<void> check_topic(std::string_view topic);
[[nodiscard]] Result<void> check_pattern(std::string_view pattern);
/// The pattern must be valid. In time linear in `topic`, whatever the pattern is.
[[nodiscard]] bool topic_matches(std::string_view pattern, std::string_view topic);

}  // namespace gantry::host
