// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/mcp/invocations.hpp: tools/call, prompts/get and resources/read: each calls one
// method of the host, and may ask the client for input and call the method again.
//
// A method asks by answering `{resultType: "input_required", inputRequests: {KEY: {method, params}},
// requestState?}`. It is called again with the same params and the client's responses in
// `_meta.agent`: `{capabilities, responses: {KEY: result}, state}`. A modern client gets the
// questions as its result and sends the request again. A legacy client is asked here, by requests of
// its own, and its request waits meanwhile. So a method does not know the difference, and no call
// waits inside a plugin for a person.
//
// Thread rule: one thread.
// Bounds: kMaxRounds rounds of questions for a legacy request, kMaxQuestions in a round.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "host/protocols/mcp/host_calls.hpp"
#include "host/protocols/mcp/questions.hpp"
#include "host/protocols/mcp/request_state.hpp"
#include "host/protocols/mcp/requests.hpp"

namespace gantry::host::mcp {

struct Invocation {
  enum class Kind { tool, prompt, resource };
  Kind kind = Kind::tool;
  std::string name;  ///< of the tool or prompt, or the URI
  std::string method;
  std::string arguments;  ///< one JSON object
  bool content = false;   ///< of a tool: its result is an MCP result itself
  bool logs = false;      ///< of a tool: the items of its stream are log messages
  json responses = json::object();
  std::string state{};
};

/// One JSON object that consists of `_meta` and the members of `object`, the text of an object
/// without `_meta`.
[[nodiscard]] std::string with_meta(const json& meta, std::string_view object);

class Invocations {
 public:
  static constexpr int kMaxRounds = 16;
  static constexpr std::size_t kMaxQuestions = 16;

  Invocations(HostCalls& host, Requests& requests, Questions& questions, const Seal& seal)
      : host_(host), requests_(requests), questions_(questions), seal_(seal) {}

  /// Answers the request, now or later. `input` has the members of a modern request that goes on:
  /// `inputResponses` and `requestState`.
  void start(const RequestPtr& request, Invocation what, const json& input);

 private:
  struct Run;
  using RunPtr = std::shared_ptr<Run>;

  void call(const RunPtr& run);
  void ended(const RunPtr& run, const Result<std::string_view>& answer);
  void finish(const RunPtr& run, json result);
  void failed(const RunPtr& run, const Error& error);
  /// The result asks for input.
  void ask(const RunPtr& run, const json& result);
  void ask_in_result(const RunPtr& run, const json& result);
  void ask_by_requests(const RunPtr& run, const json& questions);
  void heard(const RunPtr& run, const std::string& key, const Result<json>& response);

  HostCalls& host_;
  Requests& requests_;
  Questions& questions_;
  const Seal& seal_;
};

}  // namespace gantry::host::mcp
