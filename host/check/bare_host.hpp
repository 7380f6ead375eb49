// SPDX-License-Identifier: Apache-2.0
//
// host/check/bare_host.hpp: a minimal host at the C boundary (gantry/abi.h): it delivers whatever a
// case wants, also messages that a real host would never let through, and records the plugin's
// reactions.
//
// The plugin's strand is one thread of this object, which delivers queued messages one at a time.
// The bytes of a message are overwritten when `deliver` has returned, so that a plugin that keeps
// them is found out. Exceptions that cross the boundary are caught here, and are a fault.
//
// Thread rule: all functions by the one thread that owns the object. The plugin's calls come from
// any thread, even after its end: the state that they reach then (bare_host_table.cpp) is never
// freed.
// Bounds: kMaxPosts; the host's bounds for timers and for calls of the plugin; kMaxFaults faults
// are kept.
// Waits have a timeout; a thread that is stuck in the plugin is left to the end of the process.
#pragma once

#include <gantry/abi.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <gantry/deadline.hpp>
#include <gantry/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "host/check/case_report.hpp"

namespace gantry::host::check {

enum class Fault : std::uint8_t {
  exception,       ///< an exception left a function of the plugin
  answered_twice,  ///< RESPONSE to a call that was answered before
  answered_late,   ///< as answered_twice, but the call was cancelled meanwhile: the cancel may have crossed the answer
  unknown_call,    ///< RESPONSE to a call that nobody has made
  bad_answer,      ///< the payload is no JSON, or the status no code of the contract
  malformed,       ///< a message that no host takes
  too_early,       ///< a function of the host was called before `start`
  too_late,        ///< a function of the host was called after `destroy` had returned
};
struct FaultSeen {
  Fault fault;
  std::string what;
  bool serial;  ///< it happened on the plugin's strand
};

/// The record of one call.
struct CallSeen {
  std::string method;
  bool stream = false;
  bool answered = false;
  std::int32_t status = 0;
  bool refused = false;       ///< `deliver` has returned a negative result
  bool other_thread = false;  ///< the answer came on another thread than the strand
  bool cancelled = false;
  std::uint64_t credit = 0;  ///< the credit that is left
  std::uint64_t items = 0;
};

struct Message {
  std::uint16_t kind = GANTRY_CALL;  ///< enum gantry_kind, or a kind that a later version may add
  std::uint64_t id = 0;
  std::string topic{};
  std::string payload{};
  std::uint16_t flags = 0;
  std::uint32_t credit = 0;
  std::int64_t budget_ns = -1;
  std::uint64_t origin = 1;
};
/// The message for people: "call 3 echo.say {...}".
[[nodiscard]] std::string text_of(const Message& message);

struct HostOptions {
  bool extensions = true;
  /// True: after STOP every message but an answer is refused as GANTRY_CLOSED; false: only after
  /// STOP's answer.
  bool closed_from_stop = false;
  /// A call that is cancelled before its turn comes is answered by the host, as by a real one.
  bool skip_cancelled = false;
  /// Every n-th item, event, post, timer and call of the plugin is refused as GANTRY_FULL; 0: none.
  unsigned refuse_every = 0;
};

namespace detail {
struct HostState;
}

class BareHost {
 public:
  static constexpr std::size_t kMaxFaults = 64;
  static constexpr std::size_t kMaxPosts = 10'000;

  BareHost(const gantry_entry_t& entry, CaseReport& report, HostOptions options = {});
  BareHost(const BareHost&) = delete;
  BareHost& operator=(const BareHost&) = delete;
  ~BareHost();

  // The plugin's life: create, start, stop, destroy; after that create may be called again.
  /// False: `create` returned NULL, or did not return.
  [[nodiscard]] bool create();
  /// The result of `start`; empty: it did not return within `timeout`.
  [[nodiscard]] std::optional<std::int32_t> start(const json& config, Duration timeout);
  struct Stopped {
    bool answered = false;
    bool returned = false;  ///< from the delivery
    Duration took{};
  };
  /// Waits for the answer to STOP within `budget`, then for calls into the plugin to return.
  [[nodiscard]] Stopped stop(Duration budget, Duration timeout);
  /// False: `destroy` did not return.
  [[nodiscard]] bool destroy(Duration timeout);

  /// A fresh id for a call.
  [[nodiscard]] std::uint64_t next_id();
  /// Queues the message. A CALL may be answered from here on, a CANCEL marks its call as cancelled
  /// at once.
  void say(Message message);
  /// Leaves the messages out of the report from now on, because there are many.
  void be_quiet();
  /// Waits until every queued message has been delivered.
  [[nodiscard]] bool settle(Duration timeout);
  [[nodiscard]] bool wait_for(std::uint64_t id, Duration timeout);
  /// Waits until the call is answered, or has used up its credit.
  [[nodiscard]] bool wait_for_need(std::uint64_t id, Duration timeout);
  [[nodiscard]] bool wait_for_all(Duration timeout);
  /// From now on nothing is refused as full.
  void be_generous();

  [[nodiscard]] CallSeen seen(std::uint64_t id) const;
  [[nodiscard]] std::vector<std::uint64_t> open() const;
  [[nodiscard]] std::vector<CallSeen> all() const;
  [[nodiscard]] std::vector<FaultSeen> faults() const;
  [[nodiscard]] std::string last_error() const;

 private:
  /// Runs `task` on the strand. False: it did not return within `timeout`.
  [[nodiscard]] bool run(std::function<void()> task, Duration timeout);
  void deliver(Message& message);
  [[nodiscard]] std::string method_of(std::uint64_t id) const;

  const gantry_entry_t& entry_;
  detail::HostState* const state_;   ///< never freed
  gantry_plugin* plugin_ = nullptr;  ///< serial
  std::thread thread_;
};

}  // namespace gantry::host::check
