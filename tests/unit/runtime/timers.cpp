// SPDX-License-Identifier: Apache-2.0
//
// Timers: the queue behind every clock, and the workers' own.
#include <atomic>
#include <map>
#include <vector>

#include "tests/unit/support/host.hpp"
#include "tests/unit/support/threads.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
using namespace std::chrono_literals;

TEST_CASE("timers: they run in the order of their times, and those of one time in the order they were set") {
  ManualTimers timers;
  std::vector<int> ran;
  const auto run = [&](int n) { return [&ran, n] { ran.push_back(n); }; };
  timers.after(3s, run(4));
  timers.after(1s, run(1));
  timers.after(2s, run(2));
  timers.after(2s, run(3));
  timers.advance(1s - 1ns);
  REQUIRE(ran.empty());
  timers.advance(1ns);
  REQUIRE(ran == std::vector{1});
  timers.advance(2s);
  REQUIRE(ran == std::vector{1, 2, 3, 4});
}

TEST_CASE("timers: one beyond the end of time never runs") {
  ManualTimers timers;
  bool ran = false;
  timers.after(Duration::max(), [&] { ran = true; });
  timers.advance(100h);
  REQUIRE_FALSE(ran);
}

TEST_CASE("timers: whatever is set and cancelled, each runs once, unless it was cancelled, which is told truly") {
  core_test::Random random(core_test::seed());
  ManualTimers timers;
  std::vector<int> runs;
  std::map<TimerKey, std::size_t> live;
  std::vector<TimerKey> old;
  std::size_t cancelled = 0;
  for (int i = 0; i < 20'000; ++i) {
    if (random.below(3) != 0) {
      const auto n = runs.size();
      runs.push_back(0);
      const auto key = timers.after(std::chrono::milliseconds(random.below(50)), [&runs, n] { ++runs[n]; });
      REQUIRE(key != 0);
      REQUIRE(live.emplace(key, n).second);
    } else if (!live.empty()) {
      const auto it = std::next(live.begin(), static_cast<std::ptrdiff_t>(random.below(live.size())));
      const bool waits = runs[it->second] == 0;
      REQUIRE(timers.cancel(it->first) == waits);
      if (waits) ++runs[it->second];
      cancelled += waits ? 1 : 0;
      old.push_back(it->first);
      live.erase(it);
    }
    if (!old.empty() && random.one_in(10)) REQUIRE_FALSE(timers.cancel(old[random.below(old.size())]));
    if (random.one_in(100)) timers.advance(std::chrono::milliseconds(random.below(20)));
  }
  timers.advance(1s);
  REQUIRE(cancelled != 0);
  REQUIRE(std::all_of(runs.begin(), runs.end(), [](int n) { return n == 1; }));
  REQUIRE_FALSE(timers.next_in());
}

TEST_CASE("timers: the workers' own run whichever was set first, and go on after one that throws or is cancelled") {
  Workers workers(1);
  std::atomic<int> escaped{0};
  std::thread running([&] { (void)workers.run([&](std::string_view) { ++escaped; }); });
  Timers& timers = workers.timers();
  const auto far = timers.after(1h, [] {});
  for (int round = 0; round < 20; ++round) {
    std::latch ran(1);
    const auto earlier = timers.after(1ms, [] {});
    timers.after(2ms, [] { throw std::runtime_error("on purpose"); });
    timers.after(3ms, [&] { ran.count_down(); });
    (void)timers.cancel(earlier);
    ran.wait();
  }
  REQUIRE(escaped == 20);
  REQUIRE(timers.cancel(far));
  workers.stop();
  running.join();
}
