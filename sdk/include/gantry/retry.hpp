// SPDX-License-Identifier: Apache-2.0
//
// gantry/retry.hpp: tries an operation again, with a delay that doubles up to a maximum.
//
// Backoff only computes the delays, for code that must not block; retry() is the loop, for code
// that may:
//
//   gantry::retry({.max_retries = 3}, [&] { return fetch(url); },
//                 {.deadline = deadline, .token = token, .on_failed = [&](int attempt, const Error& e) { log(...); }});
//
// At most max_retries + 1 attempts; `on_failed` is called for each failed attempt with its number,
// from 1; the last error is returned. retry() gives up early when retry_if says no, the token is
// cancelled, or the deadline is nearer than the delay.
//
// Thread rule: a Backoff is used by one thread at a time. Randomness is seeded by the caller.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <gantry/deadline.hpp>
#include <gantry/result.hpp>
#include <gantry/waiting.hpp>
#include <limits>
#include <random>
#include <type_traits>
#include <utility>

namespace gantry {

/// A value for RetryPolicy::max_retries: retry without end.
inline constexpr int kNoLimit = std::numeric_limits<int>::max();

struct RetryPolicy {
  int max_retries = 2;  ///< at most max_retries + 1 attempts
  Duration initial_delay = std::chrono::milliseconds(500);
  Duration max_delay = std::chrono::seconds(8);
  double jitter = 0.25;  ///< a delay is shortened by up to this share of it; 0: none
  std::uint64_t seed = 0;
};

/// The sequence of delays of a policy.
class Backoff {
 public:
  explicit Backoff(RetryPolicy policy)
      : policy_(policy), random_(static_cast<std::uint32_t>(policy.seed ^ (policy.seed >> 32U))) {}

  /// The delay before the next attempt, or empty when no attempt is left. Doubles, saturates at
  /// max_delay.
  [[nodiscard]] std::optional<Duration> next() {
    if (retries_ >= policy_.max_retries && policy_.max_retries != kNoLimit) return std::nullopt;
    Duration delay = std::min(policy_.initial_delay, policy_.max_delay);
    for (int i = 0; i < retries_ && delay < policy_.max_delay; ++i) {
      delay = delay > policy_.max_delay / 2 ? policy_.max_delay : delay * 2;
    }
    if (retries_ != kNoLimit) ++retries_;
    const double share = std::uniform_real_distribution<double>(0.0, 1.0)(random_);
    return Duration(static_cast<Duration::rep>(static_cast<double>(delay.count()) * (1.0 - policy_.jitter * share)));
  }
  /// The number of failed attempts so far.
  [[nodiscard]] int retries() const { return retries_; }
  void reset() { retries_ = 0; }

 private:
  RetryPolicy policy_;
  std::minstd_rand random_;  // small: each call has a Backoff
  int retries_ = 0;
};

struct RetryOptions {
  std::function<bool(const Error&)> retry_if{};  ///< empty: every error
  Deadline deadline{};
  CancelToken token{};
  std::function<void(int attempt, const Error&)> on_failed{};
};

/// Calls `op` until it succeeds, `retry_if(error)` says no, or the policy is used up; returns the
/// last result. `sleep(delay, attempt, error)` waits before the next attempt (attempt counts from
/// 1) and returns false to give up at once: cancelled, or the deadline is nearer than the delay.
template <class Op, class RetryIf, class Sleep>
[[nodiscard]] auto retry(const RetryPolicy& policy, Op&& op, RetryIf&& retry_if, Sleep&& sleep)
    -> std::invoke_result_t<Op&> {
  Backoff backoff(policy);
  while (true) {
    auto result = op();
    if (result || !retry_if(result.error())) return result;
    const auto delay = backoff.next();
    if (!delay || !sleep(*delay, backoff.retries(), result.error())) return result;
  }
}

/// As above, and sleeps with this thread.
template <class Op>
[[nodiscard]] auto retry(const RetryPolicy& policy, Op&& op, const RetryOptions& options = {})
    -> std::invoke_result_t<Op&> {
  int attempts = 0;
  const auto reported = [&] {
    auto result = op();
    ++attempts;
    if (!result && options.on_failed) options.on_failed(attempts, result.error());
    return result;
  };
  return retry(
      policy, reported, [&](const Error& error) { return !options.retry_if || options.retry_if(error); },
      [&](Duration delay, int, const Error&) {
        const auto remaining = options.deadline.remaining(std::chrono::steady_clock::now());
        if (options.token.stop_requested() || (remaining && *remaining <= delay)) return false;
        detail::ThreadWaiter sleeper;
        const std::stop_callback wake(options.token, [&] { sleeper.wake(sleeper); });
        return !sleeper.park(time_after(delay));  // woken: cancelled
      });
}

}  // namespace gantry
