// SPDX-License-Identifier: Apache-2.0
#include "host/bus/topic.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "host/config/segments.hpp"

namespace gantry::host {

namespace {

constexpr std::size_t kMaxBytes = 256;
constexpr std::size_t kMaxSegments = 16;

[[nodiscard]] std::pair<std::string_view, std::string_view> split_first(std::string_view text) {
  const auto dot = text.find('.');
  if (dot == std::string_view::npos) return {text, {}};
  return {text.substr(0, dot), text.substr(dot + 1)};
}

[[nodiscard]] bool is_word(std::string_view segment) {
  return !segment.empty() && std::all_of(segment.begin(), segment.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

[[nodiscard]] Result<void> check(std::string_view text, bool wildcards, const char* what) {
  const auto wrong = [&](const char* why) {
    return fail(ErrorKind::invalid_params, std::string(what) + " \"" + std::string(text.substr(0, 80)) + "\" " + why);
  };
  if (text.empty() || text.size() > kMaxBytes) return wrong("must have 1 to 256 bytes");
  if (std::count(text.begin(), text.end(), '.') >= static_cast<std::ptrdiff_t>(kMaxSegments))
    return wrong("has more than 16 segments");
  if (text.back() == '.') return wrong("ends with a dot");
  std::size_t deep = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const auto [segment, tail] = split_first(rest);
    const bool wild = wildcards && (segment == "*" || segment == "**");
    if (segment == "**" && ++deep > 4) return wrong("has more than four `**`");
    if (!wild && !is_word(segment)) {
      return wrong(wildcards ? "has a segment that is neither letters, digits, `_`, `-` nor `*` or `**`"
                             : "has a segment that is not letters, digits, `_` or `-`");
    }
    rest = tail;
  }
  return {};
}

}  // namespace

Result<void> check_topic(std::string_view topic) { return check(topic, false, "topic"); }
Result<void> check_pattern(std::string_view pattern) { return check(pattern, true, "topic pattern"); }

bool topic_matches(std::string_view pattern, std::string_view topic) {
  return segments_match(pattern, topic,
                        [](std::string_view want, std::string_view have) { return want == "*" || want == have; });
}

}  // namespace gantry::host
