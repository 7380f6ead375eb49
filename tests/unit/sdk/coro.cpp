// SPDX-License-Identifier: Apache-2.0
#include <gantry/channel/oneshot.hpp>
#include <gantry/coro.hpp>
#include <stdexcept>
#include <thread>

#include "tests/unit/support/threads.hpp"

using namespace gantry;

namespace {

Task<int> add(int a, int b) { co_return a + b; }
Task<int> sum_to(int n) {
  int total = 0;
  for (int i = 1; i <= n; ++i) total = co_await add(total, i);
  co_return total;
}
Task<int> throws() {
  throw std::runtime_error("broken");
  co_return 0;
}
Task<std::string> catches() {
  try {
    (void)co_await throws();
  } catch (const std::runtime_error& e) {
    co_return e.what();
  }
  co_return "nothing";
}
Task<void> note(std::vector<int>* order, int what, int yields) {
  for (int i = 0; i < yields; ++i) co_await yield();
  order->push_back(what);
}

struct Running {
  LocalExecutor executor;
  std::thread thread{[this] { executor.run(); }};
  ~Running() {
    executor.stop();
    thread.join();
  }
};

}  // namespace

TEST_CASE("coro: tasks await tasks, however many, without using up the stack") {
  Running running;
  REQUIRE(*spawn(running.executor, sum_to(60'000)).join() == 1'800'030'000);
}

TEST_CASE("coro: an exception is thrown where the task is awaited, and is an error of the handle of a spawned one") {
  Running running;
  REQUIRE(*spawn(running.executor, catches()).join() == "broken");
  const auto failed = spawn(running.executor, throws()).join();
  REQUIRE(failed.error().kind == ErrorKind::internal);
  REQUIRE(failed.error().message == "broken");
}

TEST_CASE("coro: what is ready runs in order, and yield lets the others go first") {
  LocalExecutor executor;
  std::vector<int> order;
  (void)spawn(executor, note(&order, 1, 2));
  (void)spawn(executor, note(&order, 2, 1));
  (void)spawn(executor, note(&order, 3, 0));
  struct Stop {
    static Task<void> run(LocalExecutor* e) {
      for (int i = 0; i < 4; ++i) co_await yield();
      e->stop();
    }
  };
  (void)spawn(executor, Stop::run(&executor));
  executor.run();
  REQUIRE(order == std::vector{3, 2, 1});
}

TEST_CASE("coro: a handle that is dropped lets its task run on") {
  std::latch ran(1);
  struct Note {
    static Task<void> run(std::latch* told) {
      told->count_down();
      co_return;
    }
  };
  Running running;
  (void)spawn(running.executor, Note::run(&ran));
  ran.wait();
}

TEST_CASE("coro: what floats goes on with the executor that woke it, if that is of its group") {
  static int group = 0;
  LocalExecutor a(&group);
  LocalExecutor b(&group);
  LocalExecutor stranger;
  std::thread thread_a([&] { a.run(); });
  std::thread thread_b([&] { b.run(); });
  std::thread thread_c([&] { stranger.run(); });
  struct Parts {
    static Task<std::thread::id> waits(oneshot::Receiver<int> answer) {
      (void)co_await answer.async_recv();
      co_return std::this_thread::get_id();
    }
    static Task<void> wakes(oneshot::Sender<int> reply) {
      (void)reply.send(1);
      co_return;
    }
  };
  const auto meet = [&](LocalExecutor& waker) {
    auto [reply, answer] = oneshot::channel<int>();
    auto waiting = spawn(a, Parts::waits(std::move(answer)));
    // Behind the waiting one on its thread: it waits when this has run.
    REQUIRE(spawn(a, add(1, 1)).join());
    REQUIRE(spawn(waker, Parts::wakes(std::move(reply))).join());
    return *waiting.join();
  };
  REQUIRE(meet(b) == thread_b.get_id());
  REQUIRE(meet(a) == thread_a.get_id());
  REQUIRE(meet(stranger) == thread_a.get_id());
  for (auto* executor : {&a, &b, &stranger}) executor->stop();
  for (auto* thread : {&thread_a, &thread_b, &thread_c}) thread->join();
}

TEST_CASE("coro: many threads schedule on one executor, and everything runs once") {
  Running running;
  std::atomic<int> ran{0};
  struct Count {
    static Task<void> run(std::atomic<int>* n) {
      ++*n;
      co_return;
    }
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5'000; ++i) {
        auto handle = spawn(running.executor, Count::run(&ran));
        if (i % 16 == 0) (void)handle.join();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  REQUIRE(spawn(running.executor, add(1, 2)).join() == 3);
  REQUIRE(ran == 20'000);
}

TEST_CASE("coro: what a task owns is gone when its end is heard of") {
  struct Owned {
    std::atomic<bool>* gone;
    explicit Owned(std::atomic<bool>* flag) : gone(flag) {}
    Owned(Owned&& other) noexcept : gone(std::exchange(other.gone, nullptr)) {}
    ~Owned() {
      if (gone != nullptr) *gone = true;
    }
  };
  struct Parts {
    static Task<int> use(Owned owned) { co_return owned.gone != nullptr ? 1 : 0; }
  };
  Running running;
  for (int i = 0; i < 200; ++i) {
    std::atomic<bool> gone{false};
    REQUIRE(spawn(running.executor, Parts::use(Owned(&gone))).join() == 1);
    REQUIRE(gone);
  }
}
