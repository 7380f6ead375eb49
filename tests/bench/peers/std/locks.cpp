// SPDX-License-Identifier: Apache-2.0
//
// std::mutex, and one atomic counter.
#include <mutex>

#include "tests/bench/peers/std/groups.hpp"

namespace {

using namespace peer;

u64 lock(std::size_t threads, u64 ops, Timer& timer) {
  std::mutex mutex;
  std::array<u64, 2> counters{};
  run_threads(threads, ops, timer, [&](std::size_t, u64 mine) {
    for (u64 i = 0; i < mine; ++i) {
      const std::lock_guard guard(mutex);
      ++counters[0];
      ++counters[1];
    }
  });
  require(counters[0] == ops && counters[1] == ops, "increments are lost");
  return ops;
}

u64 counter(std::size_t threads, u64 ops, Timer& timer) {
  std::atomic<u64> count{0};
  run_threads(threads, ops, timer, [&](std::size_t, u64 mine) {
    for (u64 i = 0; i < mine; ++i) count.fetch_add(1, std::memory_order_relaxed);
  });
  require(count.load() == ops, "increments are lost");
  return ops;
}

}  // namespace

std::vector<Workload> locks() {
  std::vector<Workload> all;
  for (const std::size_t n : {1, 2, 4, 8}) {
    const std::string suffix = "." + std::to_string(n);
    all.push_back({"lock" + suffix, "std::mutex", [=](u64 ops, Timer& t) { return lock(n, ops, t); }});
    all.push_back({"counter" + suffix, "one std::atomic, relaxed fetch_add; exact at any moment",
                   [=](u64 ops, Timer& t) { return counter(n, ops, t); }});
  }
  return all;
}
