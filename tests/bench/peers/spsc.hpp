// SPDX-License-Identifier: Apache-2.0
//
// The workloads spsc.480.*: blocks of 480 floats through a ring. The first and the last float carry
// the block's number.
#pragma once

#include "tests/bench/peers/common.hpp"

namespace peer {

using Block = std::array<float, 480>;
inline constexpr std::size_t kRingFloats = 16'384;

inline void mark(Block& block, u64 i) { block.front() = block.back() = static_cast<float>(i % 65'536); }
inline void check(const Block& block, u64 i) {
  const auto expected = static_cast<float>(i % 65'536);
  if (block.front() != expected || block.back() != expected) wrong("a wrong block");
}

/// `write(block)` and `read(block)` move one whole block or spin.
template <class Write, class Read>
u64 in_turn(u64 ops, Timer& timer, const Write& write, const Read& read) {
  Block in{};
  Block out{};
  timer.start();
  for (u64 i = 0; i < ops; ++i) {
    mark(in, i);
    keep(in);
    write(in);
    read(out);
    keep(out);
    check(out, i);
  }
  timer.stop();
  return ops;
}

template <class Write, class Read>
u64 two_threads(u64 ops, Timer& timer, const Write& write, const Read& read) {
  Team writer(1, [&](std::size_t) {
    Block in{};
    for (u64 i = 0; i < ops; ++i) {
      mark(in, i);
      keep(in);
      write(in);
    }
  });
  Block out{};
  timer.start();
  writer.go();
  for (u64 i = 0; i < ops; ++i) {
    read(out);
    keep(out);
    check(out, i);
  }
  timer.stop();
  writer.join();
  return ops;
}

}  // namespace peer
