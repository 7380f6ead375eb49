// SPDX-License-Identifier: Apache-2.0
//
// host/calls/call.hpp: a call on its way, and who waits for what comes back.
#pragma once

#include <cstdint>
#include <functional>
#include <gantry/deadline.hpp>
#include <gantry/descriptor.hpp>
#include <gantry/result.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace gantry::host {

/// Which client or plugin; 0 is the host itself.
using OriginId = std::uint64_t;

/// What a plugin that calls may do. Thread rule: any thread.
class CallerRights {
 public:
  CallerRights() = default;
  CallerRights(const CallerRights&) = delete;
  CallerRights& operator=(const CallerRights&) = delete;
  virtual ~CallerRights() = default;
  /// `permission_denied`, which names the grant that is missing. `traceparent`: of the call, for what is told of it.
  [[nodiscard]] virtual Result<void> may_call(const std::string& method, std::string_view traceparent) const = 0;
  [[nodiscard]] virtual Result<void> may_call_back(std::string_view traceparent) const = 0;
};

struct CallRequest {
  std::string method;
  std::string params = "{}";  ///< the text of one JSON object, validated
  OriginId origin = 0;
  Deadline deadline;
  std::optional<std::uint32_t> stream_credit;  ///< set: opened as a stream
  std::string traceparent;
  std::string idempotency_key;
  OriginId client = 0;                                   ///< not a service but this client is called
  Descriptors descriptors;                               ///< that go with it
  std::shared_ptr<const CallerRights> rights = nullptr;  ///< of the plugin that calls; none: it may
  bool background = false;                               ///< nobody waits for it; it makes way for a new build
};

/// The text of one JSON value, and what goes with it.
struct Answer {
  Answer(std::string value, Descriptors fds = {})  // NOLINT(google-explicit-constructor): most answers are text
      : text(std::move(value)), descriptors(std::move(fds)) {}
  std::string text;
  Descriptors descriptors;
};

/// Waits for one call. Thread rule: called from any thread, without a lock of the caller's held; must not block.
/// `answered` is called exactly once and nothing follows it.
class CallSink {
 public:
  CallSink() = default;
  CallSink(const CallSink&) = delete;
  CallSink& operator=(const CallSink&) = delete;
  virtual ~CallSink() = default;
  /// One item; within the credit that was given.
  virtual void item(std::string_view payload) = 0;
  /// False: bytes that were sent before still wait, so an item had better wait too. Later ActiveCall::give_credit()
  /// tells of room, with 0 items. A leaf: it takes no lock that is held over a call.
  [[nodiscard]] virtual bool has_room() const { return true; }
  /// The callee has ended its stream; the answer follows.
  virtual void item_end() = 0;
  /// The callee takes this many more items.
  virtual void credit(std::uint32_t items) = 0;
  virtual void progress(std::string_view payload) = 0;
  virtual void answered(Result<Answer> answer) = 0;
};

class ActiveCall;
/// Makes a call. The sink is answered exactly once, perhaps before this returns.
using MakeCall = std::function<std::shared_ptr<ActiveCall>(CallRequest, std::shared_ptr<CallSink>)>;

/// Steers one call. Thread rule: any thread; nothing blocks. What comes after the answer is ignored.
class ActiveCall {
 public:
  ActiveCall() = default;
  ActiveCall(const ActiveCall&) = delete;
  ActiveCall& operator=(const ActiveCall&) = delete;
  virtual ~ActiveCall() = default;
  /// An item of the caller's own stream. `overloaded`: beyond the credit that the callee gave.
  [[nodiscard]] virtual Result<void> send_item(std::string payload) = 0;
  virtual void send_end() = 0;
  /// 0: there is room again (CallSink::has_room).
  virtual void give_credit(std::uint32_t items) = 0;
  /// The caller has lost interest. The answer is `cancelled`, unless one is on its way already.
  virtual void cancel() = 0;
};

/// One that is over, or that cannot be steered.
class NoCall final : public ActiveCall {
 public:
  [[nodiscard]] Result<void> send_item(std::string /*payload*/) override { return {}; }
  void send_end() override {}
  void give_credit(std::uint32_t /*items*/) override {}
  void cancel() override {}
};

}  // namespace gantry::host
