// SPDX-License-Identifier: Apache-2.0
//
// host/check/outcome.hpp: what came out of one case of `gantry plugin check`.
//
// Thread rule: values.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::host::check {

enum class Status : std::uint8_t {
  passed,
  failed,
  warning,    ///< the host outlives it, but it is not as it should be
  skipped,    ///< there is nothing to try, or what it builds on has not passed
  crashed,    ///< the case's process has ended in the plugin
  timed_out,  ///< the case's process was killed: it did not end within its bound
};
[[nodiscard]] std::string_view status_name(Status status);
/// Does the plugin's author have to do something?
[[nodiscard]] constexpr bool is_failure(Status status) {
  return status == Status::failed || status == Status::crashed || status == Status::timed_out;
}

struct Outcome {
  Status status = Status::passed;
  std::string note;      ///< one line: what was tried, and seen
  std::string expected;  ///< these three of what is a failure or a warning
  std::string happened;
  std::string advice;
  std::vector<std::string> evidence{};   ///< the last messages and log lines
  std::vector<std::string> defective{};  ///< methods that answer nothing, or were called when it crashed

  [[nodiscard]] static Outcome passed(std::string note) { return {Status::passed, std::move(note), {}, {}, {}}; }
  [[nodiscard]] static Outcome skipped(std::string note) { return {Status::skipped, std::move(note), {}, {}, {}}; }
  [[nodiscard]] static Outcome failed(std::string expected, std::string happened, std::string advice) {
    return {Status::failed, {}, std::move(expected), std::move(happened), std::move(advice)};
  }
  [[nodiscard]] static Outcome warned(std::string expected, std::string happened, std::string advice) {
    return {Status::warning, {}, std::move(expected), std::move(happened), std::move(advice)};
  }
};
[[nodiscard]] json to_json(const Outcome& outcome);
/// What to_json() has written.
[[nodiscard]] Outcome outcome_of(const json& doc);

}  // namespace gantry::host::check
