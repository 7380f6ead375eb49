// SPDX-License-Identifier: Apache-2.0
#include <gantry/channel/oneshot.hpp>
#include <gantry/coro.hpp>
#include <gantry/worker_pool.hpp>
#include <stdexcept>
#include <thread>

#include "tests/unit/support/threads.hpp"

using namespace gantry;
using core_test::eventually;

namespace {
/// A job that runs until it is let go.
struct Gate {
  std::latch entered{1};
  std::latch open{1};
  void pass() {
    entered.count_down();
    open.wait();
  }
};
}  // namespace

TEST_CASE("pool: spawn_blocking hands back results, and exceptions as errors, to threads and coroutines") {
  WorkerPool pool(2, 100, [](std::string_view) {});
  REQUIRE(spawn_blocking(pool, [] { return 42; })->recv() == Result<int>(42));
  REQUIRE(spawn_blocking(pool, [] {})->recv()->has_value());
  const auto failed = spawn_blocking(pool, []() -> int { throw std::runtime_error("broken"); })->recv();
  REQUIRE(failed->error().kind == ErrorKind::internal);
  REQUIRE(failed->error().message == "broken");
  REQUIRE(!spawn_blocking(pool, []() -> int { throw 7; })->recv()->has_value());

  struct Parts {
    static Task<int> ask(WorkerPool* pool) {
      auto answer = spawn_blocking(*pool, [] { return 43; });
      const auto got = co_await answer->async_recv();
      co_return got->value();
    }
  };
  LocalExecutor executor;
  std::thread loop([&] { executor.run(); });
  REQUIRE(spawn(executor, Parts::ask(&pool)).join() == 43);
  executor.stop();
  loop.join();
}

TEST_CASE("pool: what a job holds is gone when its answer is there") {
  WorkerPool pool(1, 10, [](std::string_view) {});
  auto held = std::make_shared<int>(1);
  REQUIRE(spawn_blocking(pool, [held] { return *held; })->recv());
  REQUIRE(held.use_count() == 1);
  struct Slow {
    std::atomic<bool>* gone;
    explicit Slow(std::atomic<bool>* flag) : gone(flag) {}
    Slow(Slow&& other) noexcept : gone(std::exchange(other.gone, nullptr)) {}
    ~Slow() {
      for (int i = 0; gone != nullptr && i < 100; ++i) std::this_thread::yield();  // time for the answer, if it came
      if (gone != nullptr) *gone = true;
    }
  };
  std::atomic<bool> gone{false};
  REQUIRE(spawn_blocking(pool, [slow = Slow(&gone)] {})->recv());
  REQUIRE(gone);
}

TEST_CASE("pool: a job that throws is told, and its thread goes on") {
  std::mutex mutex;
  std::vector<std::string> told;
  WorkerPool pool(1, 10, [&](std::string_view what) {
    const std::lock_guard guard(mutex);
    told.emplace_back(what);
  });
  REQUIRE(pool.spawn([] { throw std::runtime_error("broken"); }));
  REQUIRE(pool.spawn([] { throw 7; }));
  REQUIRE(spawn_blocking(pool, [] { return 1; })->recv() == Result<int>(1));
  const std::lock_guard guard(mutex);
  REQUIRE(told == std::vector<std::string>{"broken", "an exception of unknown type"});
}

TEST_CASE("pool: it is idle when no job runs or waits, and not before what the last one held is gone") {
  WorkerPool pool(2, 10, [](std::string_view) {});
  REQUIRE(pool.block_until_idle());
  Gate gate;
  std::atomic<bool> gone{false};
  struct Held {
    std::atomic<bool>& gone;
    ~Held() { gone = true; }
  };
  REQUIRE(pool.spawn([&gate, held = std::make_unique<Held>(gone)] { gate.pass(); }));
  REQUIRE_FALSE(pool.block_until_idle(TimePoint{}));
  gate.open.count_down();
  REQUIRE(pool.block_until_idle());
  REQUIRE(gone);
}

TEST_CASE("pool: when it stops, answers of queued jobs close, also one that a running job waits for") {
  Gate gate;
  WorkerPool pool(1, 10, [](std::string_view) {});
  std::optional<oneshot::Receiver<Result<int>>> queued;
  bool closed = false;
  const auto running = spawn_blocking(pool, [&] {
    gate.pass();
    closed = !queued->recv();
  });
  REQUIRE(running);
  gate.entered.wait();
  queued.emplace(std::move(*spawn_blocking(pool, [] { return 1; })));
  gate.open.count_down();
  REQUIRE(pool.stop());
  REQUIRE(closed);
  const auto late = spawn_blocking(pool, [] { return 1; });
  REQUIRE(late.error().kind == ErrorKind::unavailable);
}

TEST_CASE("pool: a full queue refuses and leaves the job to its owner: the others run in order") {
  Gate gate;
  WorkerPool pool(1, 2, [](std::string_view) {});
  REQUIRE(pool.spawn([&] { gate.pass(); }));
  gate.entered.wait();
  std::vector<int> order;
  REQUIRE(pool.spawn([&] { order.push_back(1); }));
  REQUIRE(pool.spawn([&] { order.push_back(2); }));
  WorkerPool::Job third = [&] { order.push_back(3); };
  REQUIRE(pool.spawn(std::move(third)).error().kind == ErrorKind::overloaded);
  gate.open.count_down();
  REQUIRE(third);
  eventually("a place in the queue", [&] { return pool.spawn(std::move(third)).has_value(); });
  std::optional<Result<oneshot::Receiver<Result<void>>>> last;
  eventually("another place", [&] { return last.emplace(spawn_blocking(pool, [] {})).has_value(); });
  REQUIRE((*last)->recv());
  REQUIRE(order == std::vector{1, 2, 3});
}

TEST_CASE("pool: a running job that outlasts the time is told, and is waited for later") {
  Gate gate;
  WorkerPool pool(1, 2, [](std::string_view) {});
  REQUIRE(pool.spawn([&] { gate.pass(); }));
  gate.entered.wait();
  REQUIRE(!pool.stop(std::chrono::steady_clock::now() + std::chrono::milliseconds(1)));
  gate.open.count_down();
  REQUIRE(pool.stop());
}

TEST_CASE("pool: a thread more than before also serves the jobs that wait already") {
  for (const bool one_more : {true, false}) {
    CAPTURE(one_more);
    Gate gate;
    WorkerPool pool(1, 10, [](std::string_view) {});
    REQUIRE(pool.spawn([&] { gate.pass(); }));
    gate.entered.wait();
    auto waiting = spawn_blocking(pool, [] { return 1; });
    auto also = spawn_blocking(pool, [] { return 2; });
    if (one_more) {
      pool.add_thread();
    } else {
      pool.set_threads(2);
    }
    REQUIRE(waiting->recv() == Result<int>(1));
    REQUIRE(also->recv() == Result<int>(2));
    gate.open.count_down();
  }
}

TEST_CASE("pool: jobs that come at once run at once, also when one thread sleeps already") {
  for (int round = 0; round < core_test::rounds(50); ++round) {
    WorkerPool pool(2, 10, [](std::string_view) {});
    REQUIRE(spawn_blocking(pool, [] {})->recv());  // its thread is idle, or soon
    std::latch first(1);
    std::latch both(2);
    auto one = spawn_blocking(pool, [&] {
      first.count_down();
      both.arrive_and_wait();
    });
    if (round % 2 == 1) first.wait();
    auto two = spawn_blocking(pool, [&] { both.arrive_and_wait(); });
    REQUIRE(one->recv());
    REQUIRE(two->recv());
  }
}

TEST_CASE("pool: never more jobs at once than threads, after some were added and taken back, and never none") {
  WorkerPool one(1, 10, [](std::string_view) {});
  one.drop_thread();
  REQUIRE(spawn_blocking(one, [] { return 1; })->recv() == Result<int>(1));

  WorkerPool pool(2, 100, [](std::string_view) {});
  for (int i = 0; i < 3; ++i) pool.add_thread();
  for (int i = 0; i < 3; ++i) pool.drop_thread();
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::vector<oneshot::Receiver<Result<void>>> answers;
  const auto crowd = [&] {
    for (int i = 0; i < 10; ++i) {
      answers.push_back(std::move(*spawn_blocking(pool, [&] {
        const int now = ++inside;
        for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
        }
        for (int turns = 0; turns < 100; ++turns) std::this_thread::yield();
        --inside;
      })));
    }
  };
  crowd();
  pool.add_thread();  // while they wait
  crowd();
  for (auto& answer : answers) {
    CAPTURE(&answer - answers.data());
    REQUIRE(answer.recv());
  }
  REQUIRE(most <= 3);
}
