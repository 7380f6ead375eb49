// SPDX-License-Identifier: Apache-2.0
//
// broadcast and watch under everything at once; see stress.cpp.
#include <gantry/channel/broadcast.hpp>
#include <gantry/channel/watch.hpp>

#include "tests/unit/sdk/stress.hpp"

using namespace gantry;
using core_test::Canceller;
using core_test::Counted;
using core_test::Random;
using core_test::rounds;
using core_test::some_limit;

TEST_CASE("stress: broadcast, receivers that come, lag, give up and go, and every value seen or counted as missed") {
  const auto seed = core_test::seed();
  INFO("GANTRY_SEED=" << seed);
  Random random(seed);
  for (int round = 0; round < rounds(12); ++round) {
    auto [tx, first] = broadcast::channel<Counted>(1 + random.below(70));
    Canceller canceller(random.below(1 << 30));
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    const std::uint64_t total = 4'000;
    const auto receive = [&](broadcast::Receiver<Counted> rx, Random r, bool from_start) {
      std::uint64_t next = 0;
      bool known = from_start;
      for (auto left = from_start ? total * 4 : r.below(total); left != 0; --left) {
        const auto got = rx.recv(some_limit(r, canceller));
        if (got) {
          if (!known) next = got->value.seq - got->missed;
          known = true;
          if (got->value.seq != next + got->missed) ++wrong;
          next = got->value.seq + 1;
        } else if (got.error().kind == ErrorKind::unavailable) {
          if (known && next != total) ++wrong;
          return;
        }
        r.dawdle();
      }
    };
    threads.emplace_back(receive, std::move(first), Random(random.below(1 << 30)), true);
    for (int i = 0; i < 3; ++i) threads.emplace_back(receive, tx.subscribe(), Random(random.below(1 << 30)), i == 0);
    for (std::uint64_t i = 0; i < total; ++i) {
      (void)tx.send(Counted(0, i));
      if (random.one_in(500)) threads.emplace_back(receive, tx.subscribe(), Random(random.below(1 << 30)), false);
      random.dawdle();
    }
    {
      auto gone = std::move(tx);
    }
    for (auto& thread : threads) thread.join();
    REQUIRE(wrong == 0);
    REQUIRE(Counted::live == 0);
  }
}

TEST_CASE("stress: watch, every watcher sees the last value and never goes back") {
  const auto seed = core_test::seed();
  INFO("GANTRY_SEED=" << seed);
  Random random(seed);
  for (int round = 0; round < rounds(20); ++round) {
    auto [tx, rx] = watch::channel<int>(0);
    Canceller canceller(random.below(1 << 30));
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int w = 0; w < 3; ++w) {
      threads.emplace_back([&, mine = rx, r = Random(random.below(1 << 30))]() mutable {
        int last = 0;
        while (true) {
          const auto changed = mine.changed(some_limit(r, canceller));
          const int now = *mine.get();
          if (now < last) ++wrong;
          last = now;
          if (!changed && changed.error().kind == ErrorKind::unavailable) break;
        }
        if (last != 500) ++wrong;
      });
    }
    for (int i = 1; i <= 500; ++i) {
      REQUIRE(tx.send(i));
      random.dawdle();
    }
    {
      auto gone = std::move(tx);
    }
    for (auto& thread : threads) thread.join();
    REQUIRE(wrong == 0);
  }
}
