// SPDX-License-Identifier: Apache-2.0
//
// Lazy, Snapshot, locks, counters and the SPSC ring.
#include <gantry/channel/spsc_ring.hpp>
#include <gantry/lazy.hpp>
#include <gantry/mutex.hpp>
#include <gantry/snapshot.hpp>
#include <gantry/striped.hpp>

#include "tests/bench/gantry/groups.hpp"
#include "tests/bench/peers/snapshot.hpp"
#include "tests/bench/peers/spsc.hpp"

namespace {

using namespace peer;

u64 lock(std::size_t threads, u64 ops, Timer& timer) {
  gantry::Mutex mutex("counters");
  std::array<u64, 2> counters{};
  run_threads(threads, ops, timer, [&](std::size_t, u64 mine) {
    for (u64 i = 0; i < mine; ++i) {
      const gantry::Lock guard(mutex);
      ++counters[0];
      ++counters[1];
    }
  });
  require(counters[0] == ops && counters[1] == ops, "increments are lost");
  return ops;
}

u64 counter(std::size_t threads, u64 ops, Timer& timer) {
  gantry::Striped<std::atomic<u64>> counts;
  run_threads(threads, ops, timer, [&](std::size_t, u64 mine) {
    for (u64 i = 0; i < mine; ++i) counts.mine().fetch_add(1, std::memory_order_relaxed);
  });
  u64 sum = 0;
  for (const auto& count : counts) sum += count.load(std::memory_order_relaxed);
  require(sum == ops, "increments are lost");
  return ops;
}

u64 snapshot_read(u64 ops, Timer& timer) {
  gantry::Snapshot<Map> shared(first_map());
  thread_local gantry::Snapshot<Map>::Reader* reader = nullptr;
  return read_while_replacing(
      ops, timer, [](u64 key) { return reader->get().find(key)->second; },
      [&](u64 key, u64 value) {
        shared.update([&](const Map& old) {
          Map next = old;
          next[key] = value;
          return next;
        });
      },
      [&] { reader = new gantry::Snapshot<Map>::Reader(shared); }, [] { delete reader; });
}

u64 borrow(std::size_t threads, u64 ops, Timer& timer) {
  gantry::Lazy<u64> lazy("number", []() -> gantry::Result<std::shared_ptr<u64>> { return std::make_shared<u64>(42); });
  require(lazy.get().has_value(), "not constructed");
  return run_threads(threads, ops, timer, [&](std::size_t, u64 mine) {
    for (u64 i = 0; i < mine; ++i) keep_pointer(lazy.borrow());
  });
}

u64 ring_in_turn(u64 ops, Timer& timer) {
  gantry::SpscRing<float> ring(kRingFloats);
  return in_turn(
      ops, timer, [&](const Block& block) { require(ring.write(block) == block.size(), "full"); },
      [&](Block& block) { require(ring.read(block) == block.size(), "empty"); });
}
u64 ring_two_threads(u64 ops, Timer& timer) {
  gantry::SpscRing<float> ring(kRingFloats);
  return two_threads(
      ops, timer,
      [&](const Block& block) {
        for (std::size_t done = 0; done != block.size();) done += ring.write(std::span(block).subspan(done));
      },
      [&](Block& block) {
        for (std::size_t done = 0; done != block.size();) done += ring.read(std::span(block).subspan(done));
      });
}

}  // namespace

std::vector<Workload> state() {
  std::vector<Workload> all;
  for (const std::size_t n : {1, 2, 4, 8}) {
    const std::string suffix = "." + std::to_string(n);
    all.push_back(
        {"lock" + suffix, "Mutex: named, counts holds and waits", [=](u64 ops, Timer& t) { return lock(n, ops, t); }});
    all.push_back({"counter" + suffix, "Striped atomics: exact when the writers rest",
                   [=](u64 ops, Timer& t) { return counter(n, ops, t); }});
  }
  all.push_back({"snapshot.read.2r", "Snapshot: a copy for each write", snapshot_read});
  for (const std::size_t n : {1, 2}) {
    all.push_back({"lazy.borrow." + std::to_string(n) + "t", "Lazy::borrow",
                   [=](u64 ops, Timer& t) { return borrow(n, ops, t); }});
  }
  all.push_back({"spsc.480.1t", "counts overruns", ring_in_turn});
  all.push_back({"spsc.480.2t", "counts overruns", ring_two_threads});
  return all;
}
