// SPDX-License-Identifier: Apache-2.0
//
// host/observe/trace.hpp: the trace that a call belongs to, by its traceparent (W3C Trace Context
// 1: version, trace id, parent id and flags, in hex).
//
// Thread rule: pure functions.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace gantry::host {

/// The trace id, 32 digits; empty: the text is no traceparent. A caller may have sent any text.
[[nodiscard]] inline std::string_view trace_id(std::string_view traceparent) {
  constexpr std::string_view kShape = "00-00000000000000000000000000000000-0000000000000000-00";
  if (traceparent.size() < kShape.size() || (traceparent.size() > kShape.size() && traceparent[kShape.size()] != '-'))
    return {};
  const bool fits = std::equal(kShape.begin(), kShape.end(), traceparent.begin(), [](char shape, char c) {
    return shape == '-' ? c == '-' : (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
  return fits ? traceparent.substr(3, 32) : std::string_view();
}

/// The note at the end of a log line: " [trace ID]", or nothing.
[[nodiscard]] inline std::string trace_note(std::string_view traceparent) {
  const auto id = trace_id(traceparent);
  return id.empty() ? std::string() : " [trace " + std::string(id) + "]";
}

}  // namespace gantry::host
