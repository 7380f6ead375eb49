// SPDX-License-Identifier: Apache-2.0
//
// host/check/outcome.hpp: the outcome of one case of `gantry plugin check`.
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
  warning,    ///< the host tolerates it, but the plugin should be mended
  skipped,    ///< there is nothing to try, or a case that it builds on has not passed
  crashed,    ///< the plugin ended the case's process
  timed_out,  ///< the case's process did not end within its time limit, and was killed
};
[[nodiscard]] std::string_view status_name(Status status);
/// True: the plugin's author has to mend something.
[[nodiscard]] constexpr bool is_failure(Status status) {
  return status == Status::failed || status == Status::crashed || status == Status::timed_out;
}

struct Outcome {
  Status status = Status::passed;
  std::string note;      ///< one line: what was tried and seen
  std::string expected;  ///< this and the next two: of a failure or a warning
  std::string happened;
  std::string advice;
  std::vector<std::string> evidence{};   ///< the last messages and log lines
  std::vector<std::string> defective{};  ///< methods without an answer, or that were called at the crash

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
/// The inverse of to_json().
[[nodiscard]] Outcome outcome_of(const json& doc);

}  // namespace gantry::host::check
