// SPDX-License-Identifier: Apache-2.0
//
// json_mender.hpp: reads what model servers send as JSON, also where it is none by a hair.
//
// Text that parses is taken as it is. Else it is mended and tried again: bytes that are no UTF-8
// become U+FFFD, as the decoder of a browser does it; NaN and Infinity, as Python writes them,
// become null; half a surrogate pair becomes U+FFFD. The first half at the end of a string of a stream
// is joined with the other half that the next text brings (servers that cut answers into pieces of
// UTF-16 split characters so), and is left out where none comes. Nothing else is mended: text that
// is cut short stays an error.
//
// Thread rule: one thread.
// Bounds: kMaxDepth levels; deeper text is an error, so that nobody who walks the document runs out
// of stack.
#pragma once

#include <cstddef>
#include <gantry/json.hpp>
#include <string>
#include <string_view>

namespace gantry::ai {

class JsonMender {
 public:
  static constexpr std::size_t kMaxDepth = 128;

  /// One text of a stream.
  [[nodiscard]] Result<json> next(std::string_view text);
  /// A text that stands alone.
  [[nodiscard]] static Result<json> read(std::string_view text);

 private:
  std::string half_;  // the escape of a high surrogate that the text before ended a string with
};

}  // namespace gantry::ai
