// SPDX-License-Identifier: Apache-2.0
//
// gantry/plugin/agent_input.hpp: how a tool with `content`, a prompt or a resource asks the user of
// the agent that has called it, or the agent's model, and reads what they said.
//
//   const AgentInput input(call.params());
//   const json* name = input.response("name");
//   if (name == nullptr)
//     return AgentInput::ask({{"name", {{"method", "elicitation/create"},
//                                       {"params", {{"message", "Your name?"}, {"requestedSchema", schema}}}}}});
//
// The method is called again, with the same params and the responses. It keeps nothing in between: a
// client may come back late, or never. What it has to remember it gives as `state`, which comes back
// unchanged (the host sees to that), but can be read by the client. A question may be
// `elicitation/create`, `sampling/createMessage` or `roots/list`, with the params and results of MCP.
//
// Thread rule: values.
// Errors: a client that lacks a capability for a question is not asked: the request fails, with the
//   capability's name. capable() says so before.
#pragma once

#include <gantry/json.hpp>
#include <string>
#include <utility>

namespace gantry {

class AgentInput {
 public:
  /// The params of the call, as Call::params() has them.
  explicit AgentInput(const json& params) {
    const json meta = params.is_object() ? params.value("_meta", json()) : json();
    const json agent = meta.is_object() ? meta.value("agent", json()) : json();
    if (!agent.is_object()) return;
    capabilities_ = agent.value("capabilities", json::object());
    responses_ = agent.value("responses", json::object());
    state_ = agent.value("state", "");
  }

  /// True: the client has declared the capability, such as "elicitation", "sampling" or "roots".
  [[nodiscard]] bool capable(const char* capability) const {
    return capabilities_.is_object() && capabilities_.contains(capability);
  }
  /// The client's result for the question under this key; null: there is none, or it is no object.
  [[nodiscard]] const json* response(const char* key) const {
    if (!responses_.is_object()) return nullptr;
    const auto it = responses_.find(key);
    return it != responses_.end() && it->is_object() ? &*it : nullptr;
  }
  /// As it was given to ask() the last time; empty: nothing was asked.
  [[nodiscard]] const std::string& state() const { return state_; }

  /// The result by which a method asks: `questions` is `{KEY: {method, params}}`.
  [[nodiscard]] static json ask(json questions, const std::string& state = {}) {
    json out{{"resultType", "input_required"}, {"inputRequests", std::move(questions)}};
    if (!state.empty()) out["requestState"] = state;
    return out;
  }

 private:
  json capabilities_ = json::object();
  json responses_ = json::object();
  std::string state_;
};

}  // namespace gantry
