// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <catch2/catch.hpp>
#include <gantry/coro.hpp>
#include <gantry/lazy.hpp>
#include <gantry/quiescence.hpp>
#include <latch>
#include <thread>

#include "tests/unit/sdk/lazy_support.hpp"

using namespace gantry;
using sdk_test::StillClock;

TEST_CASE("lazy: many first callers construct once and get the same service") {
  std::atomic<int> constructed{0};
  Lazy<int> lazy("number", [&]() -> Result<std::shared_ptr<int>> {
    ++constructed;
    return std::make_shared<int>(42);
  });
  REQUIRE(lazy.borrow() == nullptr);
  std::vector<std::thread> callers;
  std::array<int*, 8> seen{};
  for (std::size_t i = 0; i < seen.size(); ++i) callers.emplace_back([&, i] { seen[i] = lazy.get()->get(); });
  for (auto& caller : callers) caller.join();
  REQUIRE(constructed == 1);
  for (int* p : seen) REQUIRE(p == lazy.borrow());
  REQUIRE(*lazy.borrow() == 42);
}

TEST_CASE("lazy: a failed attempt is not remembered as success, and is tried again after the back-off") {
  StillClock clock;
  int attempts = 0;
  LazyOptions options;
  options.clock = &clock;
  options.backoff.initial_delay = std::chrono::seconds(1);
  Lazy<int> lazy(
      "number",
      [&]() -> Result<std::shared_ptr<int>> {
        if (++attempts < 3) return fail(ErrorKind::unavailable, "attempt " + std::to_string(attempts));
        return std::make_shared<int>(1);
      },
      options);
  REQUIRE(lazy.get().error().message == "attempt 1");
  REQUIRE(lazy.get().error().message == "attempt 1");
  REQUIRE(attempts == 1);
  clock.advance(std::chrono::seconds(1));
  REQUIRE(lazy.get().error().message == "attempt 2");
  clock.advance(std::chrono::seconds(1));
  REQUIRE(lazy.get().error().message == "attempt 2");  // the delay has doubled
  clock.advance(std::chrono::seconds(1));
  REQUIRE(lazy.get());
  REQUIRE(attempts == 3);
}

TEST_CASE("lazy: services that construct each other on one thread are reported with the path") {
  Lazy<int>* other = nullptr;
  Lazy<int> a("a", [&]() -> Result<std::shared_ptr<int>> { return other->get(); });
  Lazy<int> b("b", [&]() -> Result<std::shared_ptr<int>> { return a.get(); });
  other = &b;
  const auto result = a.get();
  REQUIRE(!result);
  REQUIRE(result.error().message.find("a -> b -> a") != std::string::npos);
}

TEST_CASE("lazy: get_async constructs elsewhere and calls everybody who waits") {
  std::vector<std::move_only_function<void()>> elsewhere;
  LazyOptions options;
  options.spawn = [&](std::move_only_function<void()> job) { elsewhere.push_back(std::move(job)); };
  Lazy<int> lazy("number", []() -> Result<std::shared_ptr<int>> { return std::make_shared<int>(5); }, options);
  int called = 0;
  for (int i = 0; i < 3; ++i) lazy.get_async([&](const Result<std::shared_ptr<int>>& r) { called += **r; });
  REQUIRE(called == 0);
  REQUIRE(elsewhere.size() == 1);
  elsewhere[0]();
  REQUIRE(called == 15);
}

TEST_CASE("lazy: an exception in the factory is a failure, not a crash") {
  Lazy<int> lazy("number", []() -> Result<std::shared_ptr<int>> { throw std::runtime_error("boom"); });
  const auto result = lazy.get();
  REQUIRE(!result);
  REQUIRE(result.error().message.find("boom") != std::string::npos);
}

TEST_CASE("lazy: services that construct each other on two threads are reported with the path") {
  // Each factory waits until the other has begun: both are then under construction, each by a thread of its own.
  for (int round = 0; round < 50; ++round) {
    std::latch begun(2);
    std::unique_ptr<Lazy<int>> a;
    std::unique_ptr<Lazy<int>> b;
    const auto needs = [&begun](std::unique_ptr<Lazy<int>>& other) -> Lazy<int>::Factory {
      return [&begun, &other]() -> Result<std::shared_ptr<int>> {
        begun.arrive_and_wait();
        auto got = other->get();
        if (!got) return fail(ErrorKind::unavailable, got.error().message);
        return std::make_shared<int>(1);
      };
    };
    a = std::make_unique<Lazy<int>>("a", needs(b));
    b = std::make_unique<Lazy<int>>("b", needs(a));
    Result<std::shared_ptr<int>> from_b;
    std::thread other([&] { from_b = b->get(); });
    const auto from_a = a->get();
    other.join();
    REQUIRE(!from_a);
    REQUIRE(!from_b);
    const auto& why = from_a.error().message;
    const bool named = why.find("a -> b -> a") != std::string::npos || why.find("b -> a -> b") != std::string::npos;
    REQUIRE(named);
  }
}

TEST_CASE(
    "lazy: a service that needs another one that is under construction elsewhere waits for it, and no circle is seen") {
  for (int round = 0; round < 50; ++round) {
    Lazy<int> base("base", []() -> Result<std::shared_ptr<int>> {
      std::this_thread::yield();
      return std::make_shared<int>(2);
    });
    Lazy<int> upper("upper", [&]() -> Result<std::shared_ptr<int>> {
      auto below = base.get();
      if (!below) return std::unexpected(below.error());
      return std::make_shared<int>(**below + 1);
    });
    std::thread one([&] { (void)base.get(); });
    std::thread two([&] { (void)upper.get(); });
    const auto got = upper.get();
    one.join();
    two.join();
    REQUIRE(got);
    REQUIRE(**got == 3);
  }
}

TEST_CASE("lazy: who gives up waiting leaves the attempt to the others") {
  std::latch begun(1);
  std::latch go(1);
  Lazy<int> lazy("slow", [&]() -> Result<std::shared_ptr<int>> {
    begun.count_down();
    go.wait();
    return std::make_shared<int>(5);
  });
  std::thread first([&] { (void)lazy.get(); });
  begun.wait();
  const auto timed_out =
      lazy.get({.until = std::chrono::steady_clock::now() + std::chrono::milliseconds(1), .token = {}});
  REQUIRE(timed_out.error().kind == ErrorKind::timeout);
  CancelSource cancel;
  cancel.request_stop();
  REQUIRE(lazy.get({.until = {}, .token = cancel.get_token()}).error().kind == ErrorKind::cancelled);
  go.count_down();
  REQUIRE(**lazy.get() == 5);
  first.join();
}

TEST_CASE("lazy: coroutines wait for one attempt that runs elsewhere, without blocking their thread") {
  std::vector<std::move_only_function<void()>> jobs;
  LazyOptions options;
  options.spawn = [&](std::move_only_function<void()> job) { jobs.push_back(std::move(job)); };
  int attempts = 0;
  Lazy<int> lazy(
      "service",
      [&]() -> Result<std::shared_ptr<int>> {
        ++attempts;
        return std::make_shared<int>(6);
      },
      options);
  struct Parts {
    static Task<void> ask(Lazy<int>* lazy, int* sum, LocalExecutor* executor, int* waiting) {
      const auto got = co_await lazy->async_get();
      *sum += **got;
      if (--*waiting == 0) executor->stop();
    }
    static Task<void> run_jobs(std::vector<std::move_only_function<void()>>* jobs) {
      for (auto& job : *jobs) job();
      co_return;
    }
  };
  LocalExecutor executor;
  int sum = 0;
  int waiting = 3;
  for (int i = 0; i < 3; ++i) (void)spawn(executor, Parts::ask(&lazy, &sum, &executor, &waiting));
  (void)spawn(executor, Parts::run_jobs(&jobs));
  executor.run();
  REQUIRE(sum == 18);
  REQUIRE(attempts == 1);
  REQUIRE(jobs.size() == 1);
}

TEST_CASE("lazy: retire waits for the sections in which the service was borrowed, and says when one does not end") {
  struct Service {
    std::atomic<bool>* gone;
    explicit Service(std::atomic<bool>* flag) : gone(flag) {}
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;
    ~Service() { *gone = true; }
  };
  std::atomic<bool> gone{false};
  Quiescence quiescence;
  LazyOptions options;
  options.quiescence = &quiescence;
  std::optional<Lazy<Service>> lazy;
  lazy.emplace(
      "service", [&]() -> Result<std::shared_ptr<Service>> { return std::make_shared<Service>(&gone); }, options);
  REQUIRE(lazy->get());

  std::latch borrowed(1);
  std::latch go(1);
  bool there_to_the_end = false;
  std::thread borrower([&] {
    Quiescence::Participant me(quiescence);
    const Quiescence::Section section(me);
    const auto* const service = lazy->borrow();
    borrowed.count_down();
    go.wait();
    there_to_the_end = !*service->gone;
  });
  borrowed.wait();
  const auto soon = std::chrono::steady_clock::now() + std::chrono::milliseconds(2);
  REQUIRE(lazy->retire(TimePoint(soon)).error().kind == ErrorKind::timeout);
  REQUIRE(lazy->borrow() == nullptr);
  REQUIRE(!gone);  // kept: somebody may still use it
  go.count_down();
  borrower.join();
  REQUIRE(there_to_the_end);
  REQUIRE(lazy->get());
  {
    const auto old = lazy->retire();
    REQUIRE(old);
    REQUIRE(*old);
  }
  REQUIRE(gone);
  lazy.reset();
}

TEST_CASE("quiescence: a wait lasts until the outermost of nested sections has ended, and ends with its time") {
  Quiescence quiescence;
  const auto past = std::chrono::steady_clock::now();
  Quiescence::Participant me(quiescence);
  auto gone = std::make_unique<Quiescence::Participant>(quiescence);
  REQUIRE(quiescence.wait(past));
  {
    const Quiescence::Section outer(me);
    {
      const Quiescence::Section inner(me);
      REQUIRE(!quiescence.wait(past));
    }
    REQUIRE(!quiescence.wait(past));
    {
      const Quiescence::Section again(me);
      REQUIRE(!quiescence.wait(past));
    }
    REQUIRE(!quiescence.wait(past));
    const Quiescence::Section other(*gone);
  }
  gone.reset();
  REQUIRE(quiescence.wait(past));
}

TEST_CASE("quiescence: under looping readers nothing is used after it was retired") {
  Quiescence quiescence;
  std::atomic<int*> shared{new int(1)};
  std::atomic<bool> over{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t) {
    readers.emplace_back([&] {
      Quiescence::Participant me(quiescence);
      while (!over) {
        const Quiescence::Section section(me);
        if (*shared.load(std::memory_order_acquire) < 1) ++wrong;
      }
    });
  }
  for (int i = 2; i < 300; ++i) {
    int* const old = shared.exchange(new int(i), std::memory_order_acq_rel);
    REQUIRE(quiescence.wait());
    *old = 0;
    delete old;
  }
  over = true;
  for (auto& reader : readers) reader.join();
  REQUIRE(wrong == 0);
  delete shared.load();
}

TEST_CASE("lazy: an attempt that its spawn drops or throws at fails for all that wait, and a later call tries again") {
  StillClock clock;
  int spawned = 0;
  LazyOptions options;
  options.clock = &clock;
  options.spawn = [&](std::move_only_function<void()> job) {
    ++spawned;
    if (spawned == 1) return;  // dropped, as a full pool does
    if (spawned == 2) throw std::runtime_error("no");
    job();
  };
  Lazy<int> lazy("service", []() -> Result<std::shared_ptr<int>> { return std::make_shared<int>(1); }, options);
  for (int i = 0; i < 2; ++i) {
    CAPTURE(i);
    std::optional<Result<std::shared_ptr<int>>> got;
    lazy.get_async([&](auto result) { got = std::move(result); });
    REQUIRE(got);
    REQUIRE(got->error().kind == ErrorKind::unavailable);
    REQUIRE(lazy.state() == LazyState::failed);
    clock.advance(std::chrono::minutes(1));
  }
  std::optional<Result<std::shared_ptr<int>>> got;
  lazy.get_async([&](auto result) { got = std::move(result); });
  REQUIRE(**got);
}

TEST_CASE("lazy: a job in front of the attempt may wait for it: it constructs itself, once") {
  std::vector<std::move_only_function<void()>> queue;
  LazyOptions options;
  options.spawn = [&](std::move_only_function<void()> job) { queue.push_back(std::move(job)); };
  int attempts = 0;
  Lazy<int> lazy(
      "service",
      [&]() -> Result<std::shared_ptr<int>> {
        ++attempts;
        return std::make_shared<int>(1);
      },
      options);
  int told = 0;
  lazy.get_async([&](auto) { ++told; });
  REQUIRE(told == 0);
  REQUIRE(**lazy.get() == 1);  // with the attempt still in the queue
  REQUIRE(told == 1);
  for (auto& job : queue) job();
  REQUIRE(attempts == 1);
}

TEST_CASE("lazy: a callback that throws keeps nobody from the result") {
  std::vector<std::move_only_function<void()>> queue;
  LazyOptions options;
  options.spawn = [&](std::move_only_function<void()> job) { queue.push_back(std::move(job)); };
  Lazy<int> lazy("service", []() -> Result<std::shared_ptr<int>> { return std::make_shared<int>(1); }, options);
  int told = 0;
  lazy.get_async([&](auto) {
    ++told;
    throw std::runtime_error("no");
  });
  lazy.get_async([&](auto) { ++told; });
  queue.front()();
  REQUIRE(told == 2);
}
