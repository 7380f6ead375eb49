// SPDX-License-Identifier: Apache-2.0
//
// json_mender.hpp: reads JSON from model servers, and repairs small errors in it.
//
// Text that parses is taken as it is. Other text is repaired and parsed again: bytes that are no
// UTF-8 become U+FFFD, as the decoder of a browser does it; NaN and Infinity, as Python writes
// them, become null; half a surrogate pair becomes U+FFFD. A first half at the end of a string of a
// stream is joined with the second half in the next text (servers that cut answers into pieces of
// UTF-16 split characters so), and is left out if none comes. Nothing else is repaired: truncated
// text stays an error.
//
// Thread rule: one thread.
// Bounds: kMaxDepth levels; deeper text is an error, so that no code that walks the document runs
// out of stack.
#pragma once

#include <cstddef>
#include <gantry/json.hpp>
#include <string>
#include <string_view>

namespace gantry::ai {

class JsonMender {
 public:
  static constexpr std::size_t kMaxDepth = 128;

  /// Reads one text of a stream.
  [[nodiscard]] Result<json> next(std::string_view text);
  /// Reads a text that stands alone.
  [[nodiscard]] static Result<json> read(std::string_view text);

 private:
  std::string half_;  // the escape of a high surrogate at the end of a string in the last text
};

}  // namespace gantry::ai
