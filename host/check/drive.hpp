// SPDX-License-Identifier: Apache-2.0
//
// host/check/drive.hpp: drives one object of the plugin through a case: starts it, calls its
// methods with params that fit its manifest, waits for answers, stops it, and judges its behaviour.
//
// A call has kTimeout for its answer; then it is cancelled, and has kTimeout once more. A call that
// is still open then may be answered until end_calls() is over.
//
// Thread rule: the case's thread.
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <string>

#include "host/check/bare_host.hpp"
#include "host/check/cases.hpp"
#include "host/check/values.hpp"

namespace gantry::host::check {

inline constexpr Duration kTimeout = std::chrono::milliseconds(100);
inline constexpr Duration kGrace = std::chrono::seconds(10);
/// The time that a plugin has to stop; a host's default is longer.
inline constexpr Duration kStopBudget = std::chrono::seconds(5);
/// The time limit for functions that may block: `start`, `destroy`.
inline constexpr Duration kLongTimeout = std::chrono::seconds(20);

class Drive {
 public:
  explicit Drive(Subject& subject, HostOptions options = {}, std::string name = "state");
  Drive(const Drive&) = delete;
  Drive& operator=(const Drive&) = delete;

  /// Creates and starts the plugin. Returns the outcome if that failed.
  [[nodiscard]] std::optional<Outcome> begin();
  [[nodiscard]] std::uint64_t call(const std::string& method, std::string params, std::int64_t budget_ns = -1);
  [[nodiscard]] std::uint64_t open_stream(const std::string& method, std::string params, std::uint32_t credit);
  void cancel(std::uint64_t id);
  /// Waits for the answer, giving credit; then cancels the call. False: the call is still open.
  bool finish(std::uint64_t id, Duration timeout = kTimeout);
  /// Calls each method once, with fitting params, one after the other. Returns the number of calls.
  std::size_t call_each(Wish wish);
  /// Cancels the open calls and waits for their answers.
  void end_calls(Duration grace = kGrace);
  /// Cancels handlers that keep the strand until they are cancelled: a host that stops cancels its
  /// clients' calls first.
  void free_thread();
  /// Stops and destroys the plugin without judging. False: it does not return.
  bool end();

  /// The worst finding: a call without an answer, then an exception, then `fatal` faults;
  /// `tolerated` faults are a warning. `note`: the note of an outcome that passed.
  [[nodiscard]] Outcome judge(std::string note, std::initializer_list<Fault> fatal = {},
                              std::initializer_list<Fault> tolerated = {}) const;

  [[nodiscard]] BareHost& host() { return host_; }
  [[nodiscard]] Values& values() { return values_; }

 private:
  [[nodiscard]] std::optional<Outcome> judge_unanswered() const;

  Subject& subject_;
  const std::string name_;
  BareHost host_;
  Values values_;
};

/// Starts the plugin, runs `body`, ends the calls and the plugin, and judges.
[[nodiscard]] Outcome with_plugin(Subject& subject, HostOptions options, const std::function<Outcome(Drive&)>& body);

/// Text such as "3 calls of 2 methods".
[[nodiscard]] std::string counted(std::size_t calls, std::size_t methods);

}  // namespace gantry::host::check
