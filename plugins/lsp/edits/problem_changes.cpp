// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/edits/problem_changes.hpp"

#include <cstdint>
#include <utility>

namespace gantry::lsp {

namespace {

/// Lines from 0: one, or those of a hunk.
struct LinesNow {
  std::int64_t first = 0;
  std::int64_t count = 1;

  [[nodiscard]] bool has(std::int64_t line) const { return line >= first && line < first + count; }
};

[[nodiscard]] std::int64_t line_of(const json& problem) {
  const json range = problem.value("range", json());
  const json start = range.is_object() ? range.value("start", json()) : json();
  const json line = start.is_object() ? start.value("line", json()) : json();
  return line.is_number_integer() ? line.get<std::int64_t>() : 0;
}

[[nodiscard]] std::string words_of(const json& problem) {
  return dump_json({problem.value("severity", json()), problem.value("source", json()), problem.value("code", json()),
                    problem.value("message", json())});
}

[[nodiscard]] LinesNow moved(std::int64_t line, const std::vector<Hunk>& hunks) {
  std::int64_t by = 0;
  for (const auto& hunk : hunks) {
    const std::int64_t first = hunk.line - 1;
    if (line < first) break;
    if (line < first + hunk.lines_before) return {first + by, hunk.lines_after};
    by += hunk.lines_after - hunk.lines_before;
  }
  return {line + by, 1};
}

}  // namespace

ProblemChanges problem_changes(const json& before, const json& after, const std::vector<Hunk>& hunks) {
  ProblemChanges out;
  std::vector<json> left;
  for (const auto& each : after.is_array() ? after : json::array()) {
    if (each.is_object()) left.push_back(each);
  }
  for (const auto& each : before.is_array() ? before : json::array()) {
    if (!each.is_object()) continue;
    const LinesNow lines = moved(line_of(each), hunks);
    const std::string words = words_of(each);
    const auto same = std::ranges::find_if(
        left, [&](const json& other) { return lines.has(line_of(other)) && words_of(other) == words; });
    if (same == left.end()) {
      out.removed.push_back(each);
    } else {
      ++out.kept;
      left.erase(same);
    }
  }
  out.added = std::move(left);
  return out;
}

}  // namespace gantry::lsp
