// SPDX-License-Identifier: Apache-2.0
//
// Bounds, not peers: the least that a workload can cost on this machine.
#include <cstring>
#include <memory>

#include "common.hpp"

namespace {

using namespace peer;

constexpr std::size_t kBlock = 480;
constexpr std::size_t kRing = 16'384;

/// Into the ring and out of it again, without indices that two threads share.
u64 two_memcpys(u64 ops, Timer& timer) {
  std::vector<float> ring(kRing);
  std::array<float, kBlock> in{};
  std::array<float, kBlock> out{};
  std::size_t at = 0;
  timer.start();
  for (u64 i = 0; i < ops; ++i) {
    const auto mark = static_cast<float>(i % 65'536);
    in[0] = in[kBlock - 1] = mark;
    keep(in);
    if (at + kBlock > kRing) at = 0;
    std::memcpy(ring.data() + at, in.data(), sizeof in);
    keep(ring[at]);
    std::memcpy(out.data(), ring.data() + at, sizeof out);
    keep(out);
    at += kBlock;
    if (out[0] != mark || out[kBlock - 1] != mark) wrong("a wrong block");
  }
  timer.stop();
  return ops;
}

u64 acquire_load(std::size_t threads, u64 ops, Timer& timer) {
  const auto thing = std::make_unique<u64>(1);
  std::atomic<u64*> pointer{thing.get()};
  return run_threads(threads, ops, timer, [&](std::size_t, u64 mine) {
    for (u64 i = 0; i < mine; ++i) keep_pointer(pointer.load(std::memory_order_acquire));
    require(*pointer.load() == 1, "no object");
  });
}

}  // namespace

int main(int argc, char** argv) {
  return run({{"spsc.480.1t+two_memcpys", "no ring, no check for room", two_memcpys},
              {"lazy.borrow.1t+acquire_load", "no check whether it is built",
               [](u64 ops, Timer& t) { return acquire_load(1, ops, t); }},
              {"lazy.borrow.2t+acquire_load", "no check whether it is built",
               [](u64 ops, Timer& t) { return acquire_load(2, ops, t); }}},
             argc, argv);
}
