// SPDX-License-Identifier: Apache-2.0
//
// gantry/testing/records.hpp: a test's records of what its plugin has sent (gantry/testing.hpp).
//
// Thread rule: values.
#pragma once

#include <gantry/abi.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <gantry/json.hpp>
#include <gantry/plugin/outgoing.hpp>
#include <optional>
#include <string>
#include <vector>

namespace gantry::testing {

enum class Time { manual, real };

/// The kinds of messages that a plugin sends to its host. The test may fill, stall, close and open
/// each lane.
enum class Lane { events, calls, posts, timers };

/// An event that the plugin has published.
struct Event {
  std::string topic;
  std::string epoch;
  std::uint64_t seq = 0;
  json payload;
  std::uint64_t answers = 0;  ///< how many calls the plugin had answered before it
};

/// One message of the plugin, and the host's result for it.
struct Message {
  gantry_kind kind{};
  std::uint64_t id = 0;
  std::string topic;        ///< of a call and an event
  json payload;             ///< null: there was no payload, or it was malformed
  std::int32_t status = 0;  ///< of an answer: 0, or the error code
  std::uint16_t flags = 0;
  std::uint32_t credit = 0;
  std::int32_t sent = GANTRY_OK;  ///< enum gantry_sent
};

/// Options of a test's call, besides method and params.
struct CallWith {
  std::optional<std::uint32_t> credit{};  ///< set: opened as a stream, and this many items may come at first
  Duration budget = Duration(-1);         ///< negative: no deadline
  std::uint64_t origin = 1;
  std::string traceparent{};
  std::string idempotency_key{};
  Descriptors descriptors{};  ///< the plugin's from here on
  /// The id of a stream that the instance before has given (TestHost::given_streams). `credit` is
  /// what is left of it.
  std::optional<std::uint64_t> resumes{};
  std::uint32_t granted = 0;  ///< of such a stream: what is left of the credit that the plugin has given
  std::string raw_params{};   ///< not empty: the params as a client wrote them, in place of the document
};

/// Answers a call that the plugin has made: once, from any thread.
using Reply = std::function<void(Result<CallAnswer>)>;
/// Answers in place of the host, or of another plugin's method. Runs serially with the plugin's
/// handlers.
using OnCall = std::function<void(const json& params, Reply reply)>;

namespace detail {

/// The record of one call, made to the plugin or by it.
struct OpenCall {
  std::deque<std::string> items;  ///< from the plugin, not read yet
  std::vector<json> progress;
  bool items_ended = false;
  std::optional<Result<json>> result;
  std::uint32_t credit = 0;   ///< the number of items that the plugin may send
  std::uint64_t granted = 0;  ///< the number of items that the test may send
  bool cancelled = false;     ///< by its caller
  bool closed = false;        ///< nobody listens any more
  Descriptors descriptors{};  ///< that came from the plugin
  // Set for a call that the plugin has made.
  std::string method{};
  json params{};
  bool stream = false;
  std::uint64_t client = 0;
  std::string traceparent{};
  std::string idempotency_key{};
  std::int64_t budget_ns = -1;
  bool held = false;  ///< no handler has been asked to answer the call
};

}  // namespace detail

}  // namespace gantry::testing
