// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <gantry/permits.hpp>
#include <gantry/restart_window.hpp>
#include <gantry/retry.hpp>

using namespace gantry;
using namespace std::chrono_literals;

TEST_CASE("retry: at most max_retries + 1 attempts, and the last error is returned") {
  int attempts = 0;
  std::vector<int> logged;
  RetryPolicy policy{.max_retries = 3, .initial_delay = 10ms, .max_delay = 1s, .jitter = 0};
  const auto result = retry(
      policy, [&]() -> Result<int> { return fail(ErrorKind::unavailable, "attempt " + std::to_string(++attempts)); },
      [](const Error&) { return true; },
      [&](Duration, int attempt, const Error&) {
        logged.push_back(attempt);
        return true;
      });
  REQUIRE(attempts == 4);
  REQUIRE(result.error().message == "attempt 4");
  REQUIRE(logged == std::vector<int>{1, 2, 3});
}

TEST_CASE("retry: success ends it, and so does an error that is not worth it") {
  int attempts = 0;
  const auto always = [](Duration, int, const Error&) { return true; };
  const auto ok = retry(
      RetryPolicy{},
      [&]() -> Result<int> {
        if (++attempts == 2) return 7;
        return fail(ErrorKind::timeout, "not yet");
      },
      [](const Error&) { return true; }, always);
  REQUIRE(*ok == 7);
  attempts = 0;
  const auto bad = retry(
      RetryPolicy{},
      [&]() -> Result<int> {
        ++attempts;
        return fail(ErrorKind::invalid_params, "wrong");
      },
      [](const Error& e) { return e.kind == ErrorKind::timeout; }, always);
  REQUIRE(!bad);
  REQUIRE(attempts == 1);
}

TEST_CASE("backoff: delays double and saturate") {
  Backoff backoff(RetryPolicy{.max_retries = 6, .initial_delay = 100ms, .max_delay = 1s, .jitter = 0});
  std::vector<std::int64_t> delays;
  while (const auto delay = backoff.next())
    delays.push_back(std::chrono::duration_cast<std::chrono::milliseconds>(*delay).count());
  REQUIRE(delays == std::vector<std::int64_t>{100, 200, 400, 800, 1000, 1000});
}

TEST_CASE("backoff: a first delay over the longest is the longest, and a reset begins anew") {
  Backoff backoff(RetryPolicy{.max_retries = 2, .initial_delay = 5s, .max_delay = 1s, .jitter = 0});
  for (int i = 0; i < 2; ++i) {
    REQUIRE(backoff.next() == Duration(1s));
    REQUIRE(backoff.next() == Duration(1s));
    REQUIRE(!backoff.next());
    REQUIRE(backoff.retries() == 2);
    backoff.reset();
    REQUIRE(backoff.retries() == 0);
  }
}

TEST_CASE("backoff: jitter spreads the delays over its share") {
  Backoff backoff(RetryPolicy{.max_retries = 1000, .initial_delay = 1s, .max_delay = 1s, .jitter = 0.5, .seed = 3});
  Duration least = 1h;
  Duration most{};
  while (const auto delay = backoff.next()) {
    least = std::min(least, *delay);
    most = std::max(most, *delay);
  }
  REQUIRE(least < 520ms);
  REQUIRE(most > 980ms);
}

TEST_CASE("backoff: jitter shortens a delay by at most its share") {
  Backoff backoff(RetryPolicy{.max_retries = 1000, .initial_delay = 1s, .max_delay = 1s, .jitter = 0.25, .seed = 3});
  while (const auto delay = backoff.next()) {
    REQUIRE(*delay <= 1s);
    REQUIRE(*delay >= 750ms);
  }
}

TEST_CASE("restart window: what lies within the period counts, exactly one period ago included") {
  RestartWindow window;
  const TimePoint begin{};
  const Duration period = std::chrono::seconds(10);
  REQUIRE(window.has_room(begin, 1, period));
  REQUIRE_FALSE(window.has_room(begin, 0, period));
  REQUIRE(window.count(begin, 2, period));
  REQUIRE(window.count(begin + Duration(1), 2, period));
  REQUIRE_FALSE(window.has_room(begin + period, 2, period));
  REQUIRE(window.has_room(begin + period + Duration(1), 2, period));
  REQUIRE(window.size() == 2);  // to ask is not to count
  REQUIRE_FALSE(window.count(begin + period, 2, period));
  REQUIRE(window.count(begin + 2 * period, 2, period));
  REQUIRE(window.size() == 2);
  window.clear();
  REQUIRE(window.size() == 0);
}

TEST_CASE("restart window: the delay grows with what counts, but for those that cost nothing") {
  const RetryPolicy policy{.max_retries = kNoLimit,
                           .initial_delay = std::chrono::milliseconds(100),
                           .max_delay = std::chrono::milliseconds(300),
                           .jitter = 0};
  RestartWindow window;
  REQUIRE(window.delay(policy) == std::chrono::milliseconds(100));
  for (const int expected : {100, 100, 200, 300, 300}) {
    (void)window.count(TimePoint{}, 9, std::chrono::seconds(1));
    REQUIRE(window.delay(policy, 1) == std::chrono::milliseconds(expected));
  }
}

TEST_CASE("permits: never more than the limit, first come first served, refused when the queue is full") {
  auto permits = PermitQueue::make(2, 2);
  std::vector<std::pair<int, Permit>> held;
  const auto take = [&](int who) {
    return permits->acquire([&held, who](Permit p) { held.emplace_back(who, std::move(p)); });
  };
  for (int who = 1; who <= 4; ++who) REQUIRE(take(who));
  REQUIRE(held.size() == 2);
  const auto fifth = take(5);
  REQUIRE(!fifth);
  REQUIRE(fifth.error().kind == ErrorKind::overloaded);
  REQUIRE(fifth.error().data.find("retry_after_ms") != std::string::npos);
  held.front().second.release();
  REQUIRE(held.size() == 3);
  REQUIRE(held.back().first == 3);
  for (std::size_t i = 0; i < held.size(); ++i) {
    Permit back = std::move(held[i].second);
    back.release();
  }
  REQUIRE(held.back().first == 4);
  REQUIRE(permits->counts().waiting == 0);
}

TEST_CASE("permits: a waiter that was withdrawn is not called") {
  auto permits = PermitQueue::make(1, 4);
  std::vector<Permit> held;
  REQUIRE(permits->acquire([&](Permit p) { held.push_back(std::move(p)); }));
  bool called = false;
  const auto ticket = permits->acquire([&](Permit) { called = true; });
  REQUIRE(*ticket != 0);
  REQUIRE(permits->withdraw(*ticket));
  held.front().release();
  REQUIRE(!called);
}

TEST_CASE("permits: ten thousand waiters that give back at once do not recurse") {
  auto permits = PermitQueue::make(1, 10'000);
  std::optional<Permit> first;
  REQUIRE(permits->acquire([&](Permit p) { first.emplace(std::move(p)); }));
  int served = 0;
  for (int i = 0; i < 10'000; ++i) REQUIRE(permits->acquire([&](Permit) { ++served; }));
  first.reset();
  REQUIRE(served == 10'000);
}

TEST_CASE("permits: a raised limit lets waiters in") {
  auto permits = PermitQueue::make(1, 4);
  std::vector<Permit> held;
  for (int i = 0; i < 3; ++i) REQUIRE(permits->acquire([&](Permit p) { held.push_back(std::move(p)); }));
  REQUIRE(held.size() == 1);
  permits->set_limit(3);
  REQUIRE(held.size() == 3);
}

TEST_CASE("retry: each failed attempt is told with its number, and the last error is returned") {
  std::vector<std::string> told;
  int calls = 0;
  const auto result = retry(
      {.max_retries = 2, .initial_delay = std::chrono::microseconds(10)},
      [&]() -> Result<int> { return fail(ErrorKind::unavailable, "call " + std::to_string(++calls)); },
      {.on_failed = [&](int attempt, const Error& e) { told.push_back(std::to_string(attempt) + ": " + e.message); }});
  REQUIRE(told == std::vector<std::string>{"1: call 1", "2: call 2", "3: call 3"});
  REQUIRE(result.error().message == "call 3");
}

TEST_CASE("retry: success ends it, and so does an error that is not worth another attempt") {
  int calls = 0;
  const RetryPolicy policy{.max_retries = 5, .initial_delay = std::chrono::microseconds(10)};
  REQUIRE(*retry(policy, [&]() -> Result<int> {
    if (++calls < 3) return fail(ErrorKind::unavailable, "not yet");
    return calls;
  }) == 3);
  calls = 0;
  const auto refused = retry(policy,
                             [&]() -> Result<int> {
                               ++calls;
                               return fail(ErrorKind::permission_denied, "no");
                             },
                             {.retry_if = [](const Error& e) { return e.kind == ErrorKind::unavailable; }});
  REQUIRE(calls == 1);
  REQUIRE(refused.error().kind == ErrorKind::permission_denied);
}

TEST_CASE("retry: a deadline that is nearer than the delay, and a cancelled token, end it at once") {
  int calls = 0;
  const RetryPolicy policy{
      .max_retries = 5, .initial_delay = std::chrono::hours(1), .max_delay = std::chrono::hours(1)};
  const auto failing = [&]() -> Result<int> {
    ++calls;
    return fail(ErrorKind::unavailable, "no");
  };
  const auto now = std::chrono::steady_clock::now();
  REQUIRE(!retry(policy, failing, {.deadline = Deadline::in(std::chrono::minutes(1), now)}));
  REQUIRE(calls == 1);
  CancelSource cancel;
  std::thread canceller;
  REQUIRE(!retry(policy, failing, {.token = cancel.get_token(), .on_failed = [&](int, const Error&) {
                                     // While it sleeps, or just before.
                                     canceller = std::thread([&] { cancel.request_stop(); });
                                   }}));
  canceller.join();
  REQUIRE(calls == 2);
}
