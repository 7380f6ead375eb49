// SPDX-License-Identifier: Apache-2.0
//
// BlockingConcurrentQueue as an unbounded mpsc, ReaderWriterQueue as an SPSC ring.
#include <concurrentqueue/blockingconcurrentqueue.h>
#include <readerwriterqueue/readerwriterqueue.h>

#include "tests/bench/peers/spsc.hpp"

namespace {

using namespace peer;

u64 mpsc(std::size_t senders, u64 ops, Timer& timer) {
  moodycamel::BlockingConcurrentQueue<Message> queue;
  Order order(senders);
  Team team(senders, [&](std::size_t sender) {
    const moodycamel::ProducerToken token(queue);
    const u64 mine = share(ops, senders, sender);
    for (u64 i = 0; i < mine; ++i) require(queue.enqueue(token, Message{sender, i}), "out of memory");
  });
  moodycamel::ConsumerToken token(queue);
  std::array<Message, 64> got;
  timer.start();
  team.go();
  for (u64 i = 0; i < ops;) {
    const std::size_t count = queue.wait_dequeue_bulk(token, got.data(), got.size());
    for (std::size_t k = 0; k < count; ++k) order.got(got[k]);
    i += count;
  }
  timer.stop();
  team.join();
  order.finished(ops);
  return ops;
}

template <class Shape>
auto with_ring(Shape shape) {
  return [shape](u64 ops, Timer& timer) {
    moodycamel::ReaderWriterQueue<Block> ring(kRingFloats / Block{}.size());
    const auto write = [&](const Block& block) {
      while (!ring.try_enqueue(block)) {
      }
    };
    const auto read = [&](Block& block) {
      while (!ring.try_dequeue(block)) {
      }
    };
    return shape(ops, timer, write, read);
  };
}

}  // namespace

int main(int argc, char** argv) {
  constexpr const char* kQueue = "blocking, unbounded, FIFO for each sender; receiver takes up to 64 at once";
  return run({{"mpsc.unbounded.1p.thr", kQueue, [](u64 ops, Timer& t) { return mpsc(1, ops, t); }},
              {"mpsc.unbounded.4p.thr", kQueue, [](u64 ops, Timer& t) { return mpsc(4, ops, t); }},
              {"spsc.480.1t", "an element is a block", with_ring([](auto&&... args) { return in_turn(args...); })},
              {"spsc.480.2t", "an element is a block", with_ring([](auto&&... args) { return two_threads(args...); })}},
             argc, argv);
}
