// SPDX-License-Identifier: Apache-2.0
//
// What the core does when the system refuses: no thread, no membarrier; and where nobody runs coroutines.
#include <cstdlib>
#include <gantry/channel/mpsc.hpp>
#include <gantry/detail/asymmetric_fence.hpp>
#include <gantry/executor.hpp>
#include <gantry/worker_pool.hpp>
#include <thread>

#include "tests/unit/support/child.hpp"
#include "tests/unit/support/threads.hpp"

using namespace gantry;
using core_test::abort_message;
using core_test::exit_code_of;
using core_test::kNoFilter;
using core_test::refuse;

namespace {
#if defined(SYS_clone3)
constexpr long kCloneToo = SYS_clone3;
#else
constexpr long kCloneToo = SYS_clone;
#endif
bool refuse_threads() { return refuse(SYS_clone, kCloneToo, EAGAIN); }
}  // namespace

TEST_CASE("pool: where the system starts no thread, spawn says so and leaves the job to its owner") {
  REQUIRE(exit_code_of([] {
            if (!refuse_threads()) return kNoFilter;
            bool ran = false;
            WorkerPool pool(4, 10, [](std::string_view) {});
            WorkerPool::Job job = [&] { ran = true; };
            const auto spawned = pool.spawn(std::move(job));
            if (spawned || spawned.error().kind != ErrorKind::unavailable) return 1;
            if (spawned.error().message != "the system starts no thread for the worker pool") return 2;
            if (!job || ran) return 3;
            job();
            if (!ran) return 4;
            for (int i = 0; i < 20; ++i) {  // and nothing is left in the queue
              const auto answer = spawn_blocking(pool, [] { return 1; });
              if (answer || answer.error().kind != ErrorKind::unavailable) return 5;
            }
            return pool.stop() ? 0 : 6;
          }) == 0);
}

TEST_CASE("pool: where the system starts no more threads, those that are there do the work") {
  REQUIRE(exit_code_of([] {
            std::latch entered(1);
            std::latch go(1);
            std::latch ran(3);
            WorkerPool pool(4, 10, [](std::string_view) {});
            const auto first = pool.spawn([&] {
              entered.count_down();
              go.wait();
            });
            if (!first) return 1;
            entered.wait();
            if (!refuse_threads()) return kNoFilter;
            for (int i = 0; i < 3; ++i) {
              if (!pool.spawn([&] { ran.count_down(); })) return 2;
            }
            pool.add_thread();
            go.count_down();
            ran.wait();
            return pool.stop() ? 0 : 3;
          }) == 0);
}

TEST_CASE("executor: a coroutine that waits where no executor runs ends the process, and says why") {
  REQUIRE(Executor::current() == nullptr);
  REQUIRE(abort_message([] { (void)Executor::required(); }) ==
          "gantry: a coroutine waits on a thread that runs no gantry::Executor\n");
}

namespace {
/// Senders that wait for room again and again, in a channel that is large enough for asymmetric fences.
void crowd() {
  constexpr std::size_t kSenders = 3;
  constexpr int kEach = 5000;
  auto [tx, rx] = mpsc::channel<std::pair<std::size_t, int>>(64);
  std::vector<std::thread> threads;
  for (std::size_t s = 0; s < kSenders; ++s) {
    threads.emplace_back([tx, s]() mutable {
      for (int i = 0; i < kEach; ++i) (void)tx.send({s, i});
    });
  }
  std::vector<int> next(kSenders);
  bool in_order = true;
  for (int i = 0; i < static_cast<int>(kSenders) * kEach; ++i) {
    const auto got = rx.recv();
    in_order = in_order && got && got->second == next[got->first]++;
  }
  for (auto& thread : threads) thread.join();
  REQUIRE(in_order);
}
constexpr const char* kRefused = "GANTRY_TEST_NO_MEMBARRIER";
}  // namespace

TEST_CASE("fences: senders that wait for room are all woken, with membarrier and where the system refuses it") {
  if (std::getenv(kRefused) != nullptr) {
    REQUIRE(!detail::asymmetric_fences());
    crowd();
    return;
  }
  crowd();
  // Each process asks only once: this needs a new one.
  REQUIRE(exit_code_of([] {
            if (!refuse(SYS_membarrier, SYS_membarrier, EPERM)) return kNoFilter;
            ::setenv(kRefused, "1", 1);
            ::execl("/proc/self/exe", "test_core", "fences: *", nullptr);
            return 1;
          }) == 0);
}
