// SPDX-License-Identifier: Apache-2.0
//
// std::mutex, a map behind it, and one atomic counter.
#include <mutex>
#include <unordered_map>

#include "tests/bench/peers/std/groups.hpp"

namespace {

using namespace peer;

constexpr u64 kKeys = 65'536;

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

/// A value's low half is its key.
u64 map(std::size_t threads, u64 ops, Timer& timer) {
  std::mutex mutex;
  std::unordered_map<u64, u64> values;
  for (u64 key = 0; key < kKeys; ++key) values[key] = key;
  return run_threads(threads, ops, timer, [&](std::size_t index, u64 mine) {
    Random random(index);
    for (u64 i = 0; i < mine; ++i) {
      const u64 key = random() % kKeys;
      if (i % 10 == 9) {
        const std::lock_guard guard(mutex);
        values.insert_or_assign(key, (i << 32U) | key);
      } else {
        u64 value = 0;
        {
          const std::lock_guard guard(mutex);
          value = values.find(key)->second;
        }
        require((value & 0xFFFFFFFFU) == key, "a wrong value");
      }
    }
  });
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
    all.push_back({"map" + suffix, "std::unordered_map behind one std::mutex",
                   [=](u64 ops, Timer& t) { return map(n, ops, t); }});
    all.push_back({"counter" + suffix, "one std::atomic, relaxed fetch_add; exact at any moment",
                   [=](u64 ops, Timer& t) { return counter(n, ops, t); }});
  }
  return all;
}
