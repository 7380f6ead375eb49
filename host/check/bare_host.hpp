// SPDX-License-Identifier: Apache-2.0
//
// host/check/bare_host.hpp: a host of the C boundary and nothing more (gantry/abi.h): it delivers whatever it is told
// to, also what a real host would never let through, and keeps what the plugin does with it.
//
// The plugin's strand is one thread of this object. What is said to it is queued, and delivered one
// at a time. The bytes of a message are spoilt when `deliver` has returned: a plugin that keeps
// them is found out. Exceptions that cross the boundary are caught here, and are a fault.
//
// Thread rule: everything by the one thread that owns it. What the plugin calls back comes from any thread, also after
// its end: what it finds then (bare_host_table.cpp) is never freed.
// Bounds: kMaxPosts, the host's for timers and calls of the plugin's; kMaxFaults faults are kept.
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
  exception,       ///< it left a function of the plugin's
  answered_twice,  ///< RESPONSE to a call that was answered
  answered_late,   ///< the same, but the call was cancelled meanwhile: its cancel may have crossed the answer
  unknown_call,    ///< RESPONSE to a call that nobody has made
  bad_answer,      ///< its payload is no JSON, or its status no code of the contract
  malformed,       ///< a message that no host takes
  too_early,       ///< a function of the host was called before `start`
  too_late,        ///< a function of the host was called after `destroy` had returned
};
struct FaultSeen {
  Fault fault;
  std::string what;
  bool serial;  ///< on the plugin's strand
};

/// What has become of a call.
struct CallSeen {
  std::string method;
  bool stream = false;
  bool answered = false;
  std::int32_t status = 0;
  bool refused = false;       ///< `deliver` has returned a negative result
  bool other_thread = false;  ///< it was answered on another one than the strand
  bool cancelled = false;
  std::uint64_t credit = 0;  ///< that is left
  std::uint64_t items = 0;
};

struct Message {
  std::uint16_t kind = GANTRY_CALL;  ///< enum gantry_kind, or what will be one
  std::uint64_t id = 0;
  std::string topic{};
  std::string payload{};
  std::uint16_t flags = 0;
  std::uint32_t credit = 0;
  std::int64_t budget_ns = -1;
  std::uint64_t origin = 1;
};
/// For people: "call 3 echo.say {...}".
[[nodiscard]] std::string text_of(const Message& message);

struct HostOptions {
  bool extensions = true;
  /// From STOP on everything but an answer is GANTRY_CLOSED; else from its answer on.
  bool closed_from_stop = false;
  /// A call that is cancelled before its turn comes is answered by the host, as a real one does.
  bool skip_cancelled = false;
  /// Every n-th item, event, post, timer and call of the plugin's is refused as GANTRY_FULL; 0: none.
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

  // Its life: create, start, stop, destroy; then create may come again.
  /// False: it returned nothing, or did not return.
  [[nodiscard]] bool create();
  /// Empty: it did not return within `timeout`.
  [[nodiscard]] std::optional<std::int32_t> start(const json& config, Duration timeout);
  struct Stopped {
    bool answered = false;
    bool returned = false;  ///< from the delivery
    Duration took{};
  };
  /// Waits for the answer as long as the budget is, then for what is in the plugin to return.
  [[nodiscard]] Stopped stop(Duration budget, Duration timeout);
  /// False: it did not return.
  [[nodiscard]] bool destroy(Duration timeout);

  /// An id for a call.
  [[nodiscard]] std::uint64_t next_id();
  /// Queues it. A CALL is answered from here on, a CANCEL makes its call cancelled at once.
  void say(Message message);
  /// Tells nobody of what is said, for many.
  void be_quiet();
  /// Everything that was said has been delivered.
  [[nodiscard]] bool settle(Duration timeout);
  [[nodiscard]] bool wait_for(std::uint64_t id, Duration timeout);
  /// It is answered, or has used up its credit.
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
  /// Runs it on the strand. False: it did not return within `timeout`.
  [[nodiscard]] bool run(std::function<void()> task, Duration timeout);
  void deliver(Message& message);
  [[nodiscard]] std::string method_of(std::uint64_t id) const;

  const gantry_entry_t& entry_;
  detail::HostState* const state_;   ///< never freed
  gantry_plugin* plugin_ = nullptr;  ///< serial
  std::thread thread_;
};

}  // namespace gantry::host::check
