// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/http_retry.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace gantry::ai {

namespace {

// Digits with an optional fraction, as servers send them; anything else is no number.
std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

Duration capped(double milliseconds) {
  const double limit = std::chrono::duration<double, std::milli>(kMaxRetryAfter).count();
  const double bounded = std::clamp(milliseconds, 0.0, limit);
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(bounded));
}

}  // namespace

void read_retry_header(RetryHeaders& headers, std::string_view name, std::string_view value, std::time_t now) {
  if (name == "x-should-retry") {
    if (value == "true") headers.should_retry = true;
    if (value == "false") headers.should_retry = false;
  } else if (name == "retry-after-ms") {
    if (const auto ms = number(value)) headers.after = capped(*ms);
  } else if (name == "retry-after" && !headers.after) {
    if (const auto seconds = number(value)) {
      headers.after = capped(*seconds * 1000.0);
    } else if (const std::time_t at = curl_getdate(std::string(value).c_str(), nullptr); at != -1) {
      headers.after = capped(static_cast<double>(at - now) * 1000.0);
    }
  }
}

bool retryable_status(long status, const RetryHeaders& headers) {
  if (status < 400) return false;
  if (headers.should_retry) return *headers.should_retry;
  return status == 408 || status == 409 || status == 429 || status >= 500;
}

bool retryable_transport(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
      return true;
    default:
      return false;
  }
}

}  // namespace gantry::ai
