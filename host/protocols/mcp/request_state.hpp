// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/mcp/request_state.hpp: the `requestState` of 2026-07-28. A method's state goes to
// the client and comes back with the next request: it is sealed, so that a client can neither change
// it nor use it for another request or later than kLifetime.
//
// The seal is an HMAC-SHA-256 (RFC 2104) over the state, the request and the end of its life. The
// state is not encrypted: the client can read it. The key is a file in the state folder, so that the
// next request may come to another process.
//
// Thread rule: a Seal is used by one thread; the functions by any, in any process.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <gantry/result.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace gantry::host::mcp {

/// A new key, for a server whose states only that server takes back.
[[nodiscard]] std::string random_key();
/// The key in `folder`/mcp.key, which is made if it is missing: 64 hexadecimal digits, readable for
/// the user alone. Processes that make it at once agree on one. An error says why there is none.
[[nodiscard]] Result<std::string> shared_key(const std::filesystem::path& folder);

class Seal {
 public:
  using Clock = std::function<std::chrono::system_clock::time_point()>;
  static constexpr auto kLifetime = std::chrono::minutes(10);

  Seal(std::string key, Clock clock);

  /// `request` names what the state belongs to.
  [[nodiscard]] std::string sealed(std::string_view state, std::string_view request) const;
  /// The state. Nothing: the text was sealed with another key, for another request, or is too old.
  [[nodiscard]] std::optional<std::string> opened(std::string_view text, std::string_view request) const;

 private:
  [[nodiscard]] std::string mac(std::string_view end, std::string_view state, std::string_view request) const;

  const std::string key_;
  const Clock clock_;
};

}  // namespace gantry::host::mcp
