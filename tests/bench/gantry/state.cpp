// SPDX-License-Identifier: Apache-2.0
//
// Lazy, Snapshot, Shared, locks, maps, counters and the SPSC ring.
#include <gantry/channel/spsc_ring.hpp>
#include <gantry/counter.hpp>
#include <gantry/guarded.hpp>
#include <gantry/lazy.hpp>
#include <gantry/sharded_map.hpp>
#include <gantry/shared.hpp>
#include <gantry/snapshot.hpp>

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

u64 map(std::size_t threads, u64 ops, Timer& timer) {
  constexpr u64 kKeys = 65'536;
  gantry::ShardedMap<u64, u64> values;
  for (u64 key = 0; key < kKeys; ++key) (void)values.insert_or_assign(key, key);
  return run_threads(threads, ops, timer, [&](std::size_t index, u64 mine) {
    Random random(index);
    for (u64 i = 0; i < mine; ++i) {
      const u64 key = random() % kKeys;
      if (i % 10 == 9) {
        (void)values.insert_or_assign(key, (i << 32U) | key);
      } else {
        require((values.find(key).value_or(0) & 0xFFFFFFFFU) == key, "a wrong value");
      }
    }
  });
}

u64 counter(std::size_t threads, u64 ops, Timer& timer) {
  gantry::StripedCounter count;
  run_threads(threads, ops, timer, [&](std::size_t, u64 mine) {
    for (u64 i = 0; i < mine; ++i) count.add();
  });
  require(count.get() == ops, "increments are lost");
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

u64 shared_read(u64 ops, Timer& timer) {
  gantry::Shared<Map> shared("map", first_map());
  return read_while_replacing(
      ops, timer, [&](u64 key) { return shared.read([&](const Map& map) { return map.find(key)->second; }); },
      [&](u64 key, u64 value) { shared.write([&](Map& map) { map[key] = value; }); });
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
    all.push_back({"map" + suffix, "ShardedMap, 32 shards", [=](u64 ops, Timer& t) { return map(n, ops, t); }});
    all.push_back({"counter" + suffix, "StripedCounter: exact when the writers rest",
                   [=](u64 ops, Timer& t) { return counter(n, ops, t); }});
  }
  all.push_back({"snapshot.read.2r", "Snapshot: a copy for each write", snapshot_read});
  all.push_back({"shared.read.2r", "Shared: fair by phases, counts waits", shared_read});
  for (const std::size_t n : {1, 2}) {
    all.push_back({"lazy.borrow." + std::to_string(n) + "t", "Lazy::borrow",
                   [=](u64 ops, Timer& t) { return borrow(n, ops, t); }});
  }
  all.push_back({"spsc.480.1t", "counts overruns", ring_in_turn});
  all.push_back({"spsc.480.2t", "counts overruns", ring_two_threads});
  return all;
}
