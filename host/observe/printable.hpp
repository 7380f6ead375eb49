// SPDX-License-Identifier: Apache-2.0
//
// host/observe/printable.hpp: makes text of others safe to print on one line of a terminal or a
// log.
//
// Control characters (newline, ESC, C1), line separators, marks that reverse the writing direction,
// and bytes that are not UTF-8 are shown as escapes: `\n`, `\x1b`, `\u009b`, `\xff`. A backslash
// stays as it is.
//
// Thread rule: a pure function.
// Bounds: the result has at most `max_bytes` bytes; text that was cut ends with a mark, where that
// fits.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gantry::host {

[[nodiscard]] std::string printable(std::string_view text, std::size_t max_bytes);
/// As printable(), for text of several lines: a newline stays, and `max_bytes` bounds each line.
[[nodiscard]] std::string printable_lines(std::string_view text, std::size_t max_bytes);

}  // namespace gantry::host
