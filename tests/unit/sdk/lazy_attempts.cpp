// SPDX-License-Identifier: Apache-2.0
//
// Lazy over more than one attempt: what a reset, a failure or an attempt that is over leaves behind, and what not.
#include <atomic>
#include <catch2/catch.hpp>
#include <gantry/lazy.hpp>
#include <latch>
#include <thread>

#include "tests/unit/sdk/lazy_support.hpp"

using namespace gantry;
using namespace std::chrono_literals;
using sdk_test::StillClock;

namespace {

using Made = Result<std::shared_ptr<int>>;

/// A service that fails while it is told to.
struct Moody {
  StillClock clock;
  bool fails = true;
  int attempts = 0;
  Lazy<int> lazy{"moody",
                 [this]() -> Made {
                   ++attempts;
                   if (fails) return fail(ErrorKind::unavailable, "attempt " + std::to_string(attempts));
                   return std::make_shared<int>(attempts);
                 },
                 {.spawn = {},
                  .clock = &clock,
                  .quiescence = nullptr,
                  .backoff = {.max_retries = 0, .initial_delay = 1s, .max_delay = 3s, .jitter = 0, .seed = 0}}};

  /// No attempt is made before `delay` has passed, and one is then.
  bool waits_for(Duration delay) {
    const int before = attempts;
    clock.advance(delay - 1ns);
    (void)lazy.get();
    if (attempts != before) return false;
    clock.advance(1ns);
    (void)lazy.get();
    return attempts == before + 1;
  }
};

}  // namespace

TEST_CASE("lazy: the back-off doubles up to its longest, and no further") {
  Moody m;
  REQUIRE(!m.lazy.get());
  for (const auto delay : {1s, 2s, 3s, 3s}) {
    CAPTURE(delay);
    REQUIRE(m.waits_for(delay));
  }
}

TEST_CASE("lazy: the back-off starts anew after a success and after a reset") {
  Moody m;
  REQUIRE(!m.lazy.get());
  REQUIRE(m.waits_for(1s));
  SECTION("a success") {
    m.fails = false;
    m.clock.advance(2s);
    REQUIRE(m.lazy.get());
    m.fails = true;
    REQUIRE(m.lazy.fail_with(Error{ErrorKind::unavailable, "broke", {}}) != nullptr);
  }
  SECTION("a reset") {
    REQUIRE(m.lazy.reset() == nullptr);
    REQUIRE(m.lazy.error().message.empty());
    REQUIRE(!m.lazy.get());
  }
  REQUIRE(m.waits_for(1s));
}

TEST_CASE("lazy: only a service that is ready can break") {
  Moody m;
  m.fails = false;
  REQUIRE(m.lazy.fail_with(Error{ErrorKind::unavailable, "broke", {}}) == nullptr);
  REQUIRE(m.lazy.state() == LazyState::empty);
  REQUIRE(**m.lazy.get() == 1);
}

TEST_CASE("lazy: a factory that makes nothing has failed") {
  Lazy<int> lazy("nothing", []() -> Made { return std::shared_ptr<int>(); });
  const auto got = lazy.get();
  REQUIRE(got.error().kind == ErrorKind::internal);
  REQUIRE(got.error().message.find("made nothing") != std::string::npos);
  REQUIRE(lazy.state() == LazyState::failed);
}

TEST_CASE("lazy: a reset leaves an attempt that runs alone") {
  std::latch begun(1);
  std::latch go(1);
  std::atomic<int> attempts{0};
  Lazy<int> lazy("slow", [&]() -> Made {
    if (++attempts == 1) begun.count_down();
    go.wait();
    return std::make_shared<int>(1);
  });
  std::thread first([&] { (void)lazy.get(); });
  begun.wait();
  REQUIRE(lazy.reset() == nullptr);
  const auto state = lazy.state();
  go.count_down();
  first.join();
  REQUIRE(state == LazyState::constructing);
  REQUIRE(lazy.borrow() != nullptr);
  REQUIRE(lazy.get());
  REQUIRE(attempts == 1);
}

TEST_CASE("lazy: a job of an attempt that is over leaves the one that runs alone") {
  std::vector<std::move_only_function<void()>> jobs;
  int attempts = 0;
  LazyOptions options;
  options.spawn = [&](std::move_only_function<void()> job) { jobs.push_back(std::move(job)); };
  Lazy<int> lazy("service", [&]() -> Made { return std::make_shared<int>(++attempts); }, options);
  lazy.get_async([](const Made&) {});
  REQUIRE(**lazy.get() == 1);  // constructs it itself
  REQUIRE(lazy.reset() != nullptr);
  int seen = 0;
  lazy.get_async([&](const Made& made) { seen = **made; });
  REQUIRE(jobs.size() == 2);
  jobs[0]();
  REQUIRE(lazy.state() == LazyState::constructing);
  jobs[1]();
  REQUIRE(seen == 2);
  REQUIRE(attempts == 2);
}

TEST_CASE("lazy: a wait that is over is no part of a circle") {
  // `a` waits for `b`, which is not ready; when that wait is over, b's construction may wait for `a`.
  for (const bool gives_up : {true, false}) {
    for (int round = 0; round < 20; ++round) {
      std::latch waited(1);
      std::latch about(1);
      std::atomic<int> attempts{0};
      Lazy<int>* to_b = nullptr;
      Lazy<int> a("a", [&]() -> Made {
        const auto until = gives_up ? std::optional(TimePoint(std::chrono::steady_clock::now())) : std::nullopt;
        (void)to_b->get({.until = until, .token = {}});
        waited.count_down();
        about.wait();
        for (int i = 0; i < 20; ++i) std::this_thread::yield();
        return std::make_shared<int>(1);
      });
      std::latch b_runs(1);
      Lazy<int> b("b", [&]() -> Made {
        if (++attempts == 1 && !gives_up) {
          b_runs.count_down();
          for (int i = 0; i < 20; ++i) std::this_thread::yield();  // `a` waits for this one
          return std::make_shared<int>(0);
        }
        if (gives_up) b_runs.count_down();
        waited.wait();
        about.count_down();
        return a.get();
      });
      to_b = &b;
      std::thread constructs_b([&] { (void)b.get(); });
      b_runs.wait();
      std::thread constructs_a([&] { (void)a.get(); });
      if (!gives_up) {
        constructs_b.join();
        waited.wait();
        (void)b.reset();
        constructs_b = std::thread([&] { (void)b.get(); });
      }
      constructs_a.join();
      constructs_b.join();
      INFO(b.error().message);
      REQUIRE(b.borrow() != nullptr);
    }
  }
}

TEST_CASE("lazy: what breaks before it is published fails its attempt and is not published") {
  int made = 0;
  Lazy<int>* self = nullptr;
  Lazy<int> lazy("brittle", [&]() -> Made {
    auto value = std::make_shared<int>(++made);
    if (made == 1) self->drop(value, Error{ErrorKind::plugin_died, "it broke", {}});
    return value;
  });
  self = &lazy;
  const auto broken = lazy.get();
  REQUIRE(broken.error().kind == ErrorKind::plugin_died);
  REQUIRE(lazy.borrow() == nullptr);
  REQUIRE(lazy.state() == LazyState::failed);
  self = nullptr;
}

TEST_CASE("lazy: drop() forgets only the service that it names") {
  Lazy<int> lazy("brittle", []() -> Made { return std::make_shared<int>(1); });
  const auto first = *lazy.get();
  lazy.drop(std::make_shared<int>(1), Error{});
  REQUIRE(lazy.peek() == first);
  lazy.drop(first, Error{});
  REQUIRE(lazy.borrow() == nullptr);
  REQUIRE(lazy.state() == LazyState::empty);
  REQUIRE(*lazy.get() != first);
}
