// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/mcp/request_state.hpp: the `requestState` of 2026-07-28. A method's state goes to
// the client and comes back with the next request: it is sealed, so that a client can neither change
// it nor use it for another request or later than kLifetime.
//
// The seal is an HMAC-SHA-256 (RFC 2104) over the state, the request and the end of its life, by a
// key that is made anew for each Seal. The state is not encrypted: the client can read it.
//
// Thread rule: one thread.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace gantry::host::mcp {

class Seal {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;
  static constexpr auto kLifetime = std::chrono::minutes(10);

  explicit Seal(Clock clock);

  /// `request` names what the state belongs to.
  [[nodiscard]] std::string sealed(std::string_view state, std::string_view request) const;
  /// The state. Nothing: the text is not from here, of another request, or too old.
  [[nodiscard]] std::optional<std::string> opened(std::string_view text, std::string_view request) const;

 private:
  [[nodiscard]] std::string mac(std::string_view end, std::string_view state, std::string_view request) const;

  const Clock clock_;
  const std::string key_;
};

}  // namespace gantry::host::mcp
