// SPDX-License-Identifier: Apache-2.0
#include <gantry/striped.hpp>
#include <set>
#include <thread>
#include <vector>

#include "tests/unit/support/threads.hpp"

using namespace gantry;

TEST_CASE("striped: many threads lose no count, each counts in one stripe, and stripes share no cache line") {
  Striped<std::atomic<std::uint64_t>> counts;
  std::vector<std::thread> threads;
  std::atomic<int> moved{0};
  for (int t = 0; t < 10; ++t) {
    threads.emplace_back([&] {
      auto& mine = counts.mine();
      for (int i = 0; i < 5000; ++i) {
        counts.mine().fetch_add(2, std::memory_order_relaxed);
        if (&counts.mine() != &mine || &counts[counts.mine_at()] != &mine) ++moved;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::uint64_t sum = 0;
  std::set<std::uintptr_t> lines;
  for (const auto& count : counts) {
    sum += count.load();
    lines.insert(reinterpret_cast<std::uintptr_t>(&count) / detail::kCacheLine);
  }
  REQUIRE(sum == 100'000);
  REQUIRE(moved == 0);
  REQUIRE(lines.size() == counts.kStripes);
}
