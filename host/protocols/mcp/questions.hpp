// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/mcp/questions.hpp: requests to the client, which only legacy revisions have. In
// 2026-07-28 the same questions are part of a result (invocations.hpp).
//
// Thread rule: one thread.
// Bounds: kMaxOpen questions wait for a client; one more is `overloaded`.
// Never: `done` is called after cancel(), or twice.
#pragma once

#include <cstdint>
#include <functional>
#include <gantry/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "host/protocols/mcp/links.hpp"

namespace gantry::host::mcp {

/// The capabilities that a client lacks for a question, as `requiredCapabilities` has them;
/// `invalid_params`: it is no question of MCP (elicitation/create, sampling/createMessage,
/// roots/list).
[[nodiscard]] Result<std::optional<json>> lacking(const json& question, const json& capabilities);

class Questions {
 public:
  static constexpr std::size_t kMaxOpen = 64;
  using Done = std::function<void(Result<json>)>;

  explicit Questions(ClientLink& client) : client_(client) {}

  /// `question` is `{method, params?}`; `request` the id of the client's request that it belongs
  /// to. Returns the id of the question.
  [[nodiscard]] Result<std::string> ask(const json& question, std::string_view request, Done done);
  /// The client's response: one of `result` and `error` is the text of a JSON value, the other is
  /// empty. A response that nobody waits for is dropped.
  void answered(const std::string& id, std::string_view result, std::string_view error);
  /// Tells the client that nobody waits any more.
  void cancel(const std::string& id);

 private:
  struct Open {
    std::string request;
    Done done;
  };
  ClientLink& client_;
  std::uint64_t last_ = 0;
  std::unordered_map<std::string, Open> open_;  ///< by the JSON text of the id
};

}  // namespace gantry::host::mcp
