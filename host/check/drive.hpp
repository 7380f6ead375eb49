// SPDX-License-Identifier: Apache-2.0
//
// host/check/drive.hpp: one object of the plugin, driven through a case: started, called with params that its manifest
// describes, waited for, stopped; and what is said of it then.
//
// A call gets kTimeout for its answer, then it is cancelled and gets it once more; what is open
// then may still be answered until end_calls() is over.
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
/// That a plugin gets to stop; what a host gives by default is more.
inline constexpr Duration kStopBudget = std::chrono::seconds(5);
/// For what may block: `start`, `destroy`.
inline constexpr Duration kLongTimeout = std::chrono::seconds(20);

class Drive {
 public:
  explicit Drive(Subject& subject, HostOptions options = {}, std::string name = "state");
  Drive(const Drive&) = delete;
  Drive& operator=(const Drive&) = delete;

  /// Creates and starts it. Set: what went wrong.
  [[nodiscard]] std::optional<Outcome> begin();
  [[nodiscard]] std::uint64_t call(const std::string& method, std::string params, std::int64_t budget_ns = -1);
  [[nodiscard]] std::uint64_t open_stream(const std::string& method, std::string params, std::uint32_t credit);
  void cancel(std::uint64_t id);
  /// Waits for its answer, giving credit; cancels it. False: it is still open.
  bool finish(std::uint64_t id, Duration timeout = kTimeout);
  /// Each method once with params that fit, finished one after the other. How many calls that were.
  std::size_t call_each(Wish wish);
  /// Cancels what is open and waits for it.
  void end_calls(Duration grace = kGrace);
  /// A handler that keeps the strand until it is cancelled is cancelled: a host that stops says
  /// goodbye to its clients first.
  void free_thread();
  /// Stops and destroys it, judging nothing. False: it does not return.
  bool end();

  /// What is wrong, the worst first: a call that is not answered, an exception, then `fatal` faults; `tolerated` ones
  /// are a warning. `note`: of one that has passed.
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

/// Starts it, does `body`, ends the calls and the plugin, and judges.
[[nodiscard]] Outcome with_plugin(Subject& subject, HostOptions options, const std::function<Outcome(Drive&)>& body);

/// "3 calls of 2 methods"
[[nodiscard]] std::string counted(std::size_t calls, std::size_t methods);

}  // namespace gantry::host::check
