// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "plugins/ai/http_retry.hpp"

using namespace gantry;
using namespace gantry::ai;
using namespace std::chrono_literals;

namespace {

constexpr std::time_t kNow = 1'700'000'000;  // Tue, 14 Nov 2023 22:13:20 GMT

RetryHeaders read(std::initializer_list<std::pair<const char*, const char*>> lines) {
  RetryHeaders headers;
  for (const auto& [name, value] : lines) read_retry_header(headers, name, value, kNow);
  return headers;
}

}  // namespace

TEST_CASE("retry: Retry-After is read as seconds, as a date and in milliseconds, and capped") {
  REQUIRE(read({{"retry-after", "2"}}).after == Duration(2s));
  REQUIRE(read({{"retry-after", "0.5"}}).after == Duration(500ms));
  REQUIRE(read({{"retry-after", "Tue, 14 Nov 2023 22:13:50 GMT"}}).after == Duration(30s));
  REQUIRE(read({{"retry-after", "Tue, 14 Nov 2023 22:00:00 GMT"}}).after == Duration(0));
  REQUIRE(read({{"retry-after-ms", "300"}}).after == Duration(300ms));
  REQUIRE(read({{"retry-after", "86400"}}).after == kMaxRetryAfter);
  REQUIRE(read({{"retry-after", "1e300"}}).after == std::nullopt);
  REQUIRE(read({{"retry-after", "-5"}}).after == Duration(0));
  REQUIRE(read({{"retry-after", "soon"}}).after == std::nullopt);
}

TEST_CASE("retry: the finer header wins in either order") {
  REQUIRE(read({{"retry-after", "2"}, {"retry-after-ms", "300"}}).after == Duration(300ms));
  REQUIRE(read({{"retry-after-ms", "300"}, {"retry-after", "2"}}).after == Duration(300ms));
}

TEST_CASE("retry: 408, 409, 429 and 5xx are tried again, unless the server says otherwise") {
  for (const long status : {408L, 409L, 429L, 500L, 502L, 503L, 529L}) {
    CAPTURE(status);
    REQUIRE(retryable_status(status, {}));
  }
  for (const long status : {200L, 302L, 400L, 401L, 403L, 404L, 413L, 422L}) {
    CAPTURE(status);
    REQUIRE(!retryable_status(status, {}));
  }
  REQUIRE(!retryable_status(503, read({{"x-should-retry", "false"}})));
  REQUIRE(retryable_status(400, read({{"x-should-retry", "true"}})));
}

TEST_CASE("retry: a failed connection is tried again, a bad certificate is not") {
  REQUIRE(retryable_transport(CURLE_COULDNT_CONNECT));
  REQUIRE(retryable_transport(CURLE_GOT_NOTHING));
  REQUIRE(!retryable_transport(CURLE_PEER_FAILED_VERIFICATION));
  REQUIRE(!retryable_transport(CURLE_WRITE_ERROR));
}
