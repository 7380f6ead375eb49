// SPDX-License-Identifier: Apache-2.0
#include <oneapi/tbb/concurrent_hash_map.h>
#include <oneapi/tbb/concurrent_queue.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

#include <limits>

#include "tests/bench/peers/common.hpp"

namespace {

using namespace peer;
namespace tbb = oneapi::tbb;

constexpr u64 kKeys = 65'536;

u64 mpsc(std::size_t senders, bool bounded, u64 ops, Timer& timer) {
  tbb::concurrent_bounded_queue<Message> queue;
  if (bounded) queue.set_capacity(kCapacity);
  Order order(senders);
  Team team(senders, [&](std::size_t sender) {
    const u64 mine = share(ops, senders, sender);
    for (u64 i = 0; i < mine; ++i) queue.push({sender, i});
  });
  Message message;
  timer.start();
  team.go();
  for (u64 i = 0; i < ops; ++i) {
    queue.pop(message);
    order.got(message);
  }
  timer.stop();
  team.join();
  order.finished(ops);
  return ops;
}

/// A value's low half is its key.
u64 map(std::size_t threads, u64 ops, Timer& timer) {
  using Values = tbb::concurrent_hash_map<u64, u64>;
  Values values;
  for (u64 key = 0; key < kKeys; ++key) values.insert({key, key});
  return run_threads(threads, ops, timer, [&](std::size_t index, u64 mine) {
    Random random(index);
    for (u64 i = 0; i < mine; ++i) {
      const u64 key = random() % kKeys;
      if (i % 10 == 9) {
        Values::accessor place;
        values.insert(place, key);
        place->second = (i << 32U) | key;
      } else {
        Values::const_accessor place;
        if (!values.find(place, key) || (place->second & 0xFFFFFFFFU) != key) wrong("a wrong value");
      }
    }
  });
}

u64 pool(u64 ops, Timer& timer) {
  tbb::task_arena arena(2);
  std::vector<u64> out(ops);
  arena.execute([&] {
    tbb::task_group group;
    timer.start();
    for (u64 i = 0; i < ops; ++i) group.run([&out, i] { out[i] = i + 1; });
    group.wait();
    timer.stop();
  });
  for (u64 i = 0; i < ops; ++i) require(out[i] == i + 1, "a job did not run");
  return ops;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Workload> all{
      {"pool.2", "task_group in a task_arena of 2, the caller is one of them; work stealing", pool}};
  for (const std::size_t n : {1, 4}) {
    const std::string suffix = "." + std::to_string(n) + "p.thr";
    constexpr const char* kNote = "concurrent_bounded_queue; any number of receivers";
    all.push_back({"mpsc.bounded" + suffix, kNote, [=](u64 ops, Timer& t) { return mpsc(n, true, ops, t); }});
    all.push_back({"mpsc.unbounded" + suffix, kNote, [=](u64 ops, Timer& t) { return mpsc(n, false, ops, t); }});
  }
  for (const std::size_t n : {1, 2, 4, 8}) {
    all.push_back({"map." + std::to_string(n), "concurrent_hash_map; a lock for each element",
                   [=](u64 ops, Timer& t) { return map(n, ops, t); }});
  }
  return run(all, argc, argv);
}
