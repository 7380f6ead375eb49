// SPDX-License-Identifier: Apache-2.0
//
// The workload snapshot.read.2r: two threads look up random keys while a third replaces one value a
// millisecond. A value's low half is its key, its high half counts the changes.
#pragma once

#include <unordered_map>

#include "tests/bench/peers/common.hpp"

namespace peer {

using Map = std::unordered_map<u64, u64>;
inline constexpr u64 kEntries = 1024;

inline Map first_map() {
  Map map;
  for (u64 key = 0; key < kEntries; ++key) map[key] = key;
  return map;
}

/// `read(key)` returns the value; `replace(key, value)` stores another; `enter` and `leave` run
/// before and after each reader.
template <class Read, class Replace>
u64 read_while_replacing(
    u64 ops, Timer& timer, const Read& read, const Replace& replace, const std::function<void()>& enter = [] {},
    const std::function<void()>& leave = [] {}) {
  constexpr std::size_t kReaders = 2;
  std::atomic<bool> stop{false};
  Team writer(1, [&](std::size_t) {
    for (u64 i = 1; !stop.load(std::memory_order_relaxed); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      replace(i % kEntries, (i << 32U) | (i % kEntries));
    }
  });
  Team readers(kReaders, [&](std::size_t index) {
    enter();
    Random random(index);
    const u64 mine = share(ops, kReaders, index);
    for (u64 i = 0; i < mine; ++i) {
      const u64 key = random() % kEntries;
      require((read(key) & 0xFFFFFFFFU) == key, "a wrong value");
    }
    leave();
  });
  timer.start();
  writer.go();
  readers.go();
  readers.join();
  timer.stop();
  stop = true;
  writer.join();
  return ops;
}

}  // namespace peer
