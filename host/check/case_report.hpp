// SPDX-License-Identifier: Apache-2.0
//
// host/check/case_report.hpp: the reports that a case's process sends to the validator while it
// runs, so that they are known when the process dies: lines of JSON on a pipe, {"log": line},
// {"step": message, "method": of its call}, {"outcome": {...}}.
//
// Thread rule: any thread. Blocks while the validator reads; it always reads.
// Bounds: kMaxLines lines are sent, kMaxLine bytes of each; more are dropped.
#pragma once

#include <gantry/mutex.hpp>
#include <string_view>

#include "host/check/outcome.hpp"

namespace gantry::host::check {

class CaseReport {
 public:
  static constexpr int kMaxLines = 20'000;
  static constexpr std::size_t kMaxLine = 300;

  /// The caller keeps the ownership of `fd`.
  explicit CaseReport(int fd) : fd_(fd) {}
  /// Reports a line that the plugin has logged.
  void log(std::string_view line) { report({{"log", printed(line)}}); }
  /// Reports a message that is about to be delivered. `method`: of the call that it concerns;
  /// empty: of none.
  void step(std::string_view line, std::string_view method) {
    report({{"step", printed(line)}, {"method", printed(method)}});
  }
  void outcome(const Outcome& outcome);

 private:
  [[nodiscard]] static std::string printed(std::string_view line);
  void report(const json& doc);
  void write(const json& line) GANTRY_REQUIRES(mutex_);

  const int fd_;
  Mutex mutex_{"case report"};
  int lines_ GANTRY_GUARDED_BY(mutex_) = 0;
};

}  // namespace gantry::host::check
