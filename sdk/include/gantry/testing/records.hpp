// SPDX-License-Identifier: Apache-2.0
//
// gantry/testing/records.hpp: what a test sees of what its plugin has sent (gantry/testing.hpp).
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

/// What a plugin sends to its host; each has an end that the test may fill, stall, close and open.
enum class Lane { events, calls, posts, timers };

/// One that the plugin has published.
struct Event {
  std::string topic;
  std::string epoch;
  std::uint64_t seq = 0;
  json payload;
  std::uint64_t answers = 0;  ///< how many calls the plugin had answered before it
};

/// One message of the plugin's, and what the host said to it.
struct Message {
  gantry_kind kind{};
  std::uint64_t id = 0;
  std::string topic;        ///< of a call and an event
  json payload;             ///< null: it had none, or was malformed
  std::int32_t status = 0;  ///< of an answer: 0, or the error
  std::uint16_t flags = 0;
  std::uint32_t credit = 0;
  std::int32_t sent = GANTRY_OK;  ///< enum gantry_sent
};

/// How a test calls, besides method and params.
struct CallWith {
  std::optional<std::uint32_t> credit{};  ///< opened as a stream: so many items may come at first
  Duration budget = Duration(-1);         ///< negative: no deadline
  std::uint64_t origin = 1;
  std::string traceparent{};
  std::string idempotency_key{};
  Descriptors descriptors{};  ///< the plugin's from here on
  /// A stream that the instance before has given (TestHost::given_streams): its id. `credit` is what is left of it.
  std::optional<std::uint64_t> resumes{};
  std::string raw_params{};  ///< not empty: the params as a client wrote them, in place of the document
};

/// Answers a call that the plugin has made: once, from any thread.
using Reply = std::function<void(Result<CallAnswer>)>;
/// Stands for the host, or for another plugin's method. Runs serially with the plugin's handlers.
using OnCall = std::function<void(const json& params, Reply reply)>;

namespace detail {

/// One call, made to the plugin or by it, as its other end has it.
struct OpenCall {
  std::deque<std::string> items;  ///< from the plugin, not read yet
  std::vector<json> progress;
  bool items_ended = false;
  std::optional<Result<json>> result;
  std::uint32_t credit = 0;   ///< the plugin may send so many items
  std::uint64_t granted = 0;  ///< the test may send so many
  bool cancelled = false;     ///< by its caller
  bool closed = false;        ///< nobody listens any more
  Descriptors descriptors{};  ///< that came from the plugin
  // Of one that the plugin has made.
  std::string method{};
  json params{};
  bool stream = false;
  std::uint64_t client = 0;
  std::string traceparent{};
  std::string idempotency_key{};
  std::int64_t budget_ns = -1;
  bool held = false;  ///< nobody has been asked to answer it
};

}  // namespace detail

}  // namespace gantry::testing
