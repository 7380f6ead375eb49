// SPDX-License-Identifier: Apache-2.0
//
// http_retry.hpp: decides whether, and after what delay, an HTTP request may be sent again.
//
// Thread rule: pure functions.
#pragma once

#include <curl/curl.h>

#include <ctime>
#include <gantry/deadline.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace gantry::ai {

/// The pause that a provider asks for is observed as far as the request's deadline allows; this
/// only bounds the number that is read.
inline constexpr Duration kMaxRetryAfter = std::chrono::hours(24);

/// The parts of a response's headers that concern a retry.
struct RetryHeaders {
  std::optional<Duration> after;     ///< from `retry-after-ms`, else `retry-after`; at most kMaxRetryAfter
  std::optional<bool> should_retry;  ///< from `x-should-retry`; overrules the status
};

/// Reads one header line. `now`: the wall clock, for the date form of `Retry-After`.
void read_retry_header(RetryHeaders& headers, std::string_view name, std::string_view value, std::time_t now);

/// True for 408, 409, 429 and 5xx, unless the headers overrule it.
[[nodiscard]] bool retryable_status(long status, const RetryHeaders& headers);

/// True: the connection failed, so another one may succeed. False for errors that the next attempt
/// would meet again: a bad certificate, a malformed URL.
[[nodiscard]] bool retryable_transport(CURLcode code);

}  // namespace gantry::ai
