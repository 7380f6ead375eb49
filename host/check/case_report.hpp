// SPDX-License-Identifier: Apache-2.0
//
// host/check/case_report.hpp: what a case's process tells the validator while it runs, so that it is known when the
// process dies: lines of JSON on a pipe, {"log": line}, {"step": message, "method": of its
// call}, {"outcome": {...}}.
//
// Thread rule: any thread. Blocks while the validator reads; it always reads.
// Bounds: kMaxLines lines are told, kMaxLine bytes of each; more are dropped.
#pragma once

#include <gantry/mutex.hpp>
#include <string_view>

#include "host/check/outcome.hpp"

namespace gantry::host::check {

class CaseReport {
 public:
  static constexpr int kMaxLines = 20'000;
  static constexpr std::size_t kMaxLine = 300;

  /// `fd` stays the caller's.
  explicit CaseReport(int fd) : fd_(fd) {}
  /// The plugin has logged it.
  void log(std::string_view line) { report({{"log", printed(line)}}); }
  /// What is about to be said to the plugin. `method`: of the call that it is about; empty: of none.
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
