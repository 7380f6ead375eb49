// SPDX-License-Identifier: Apache-2.0
//
// oneshot, broadcast, watch and the SPSC ring. mpsc has a file of its own.
#include <gantry/channel/broadcast.hpp>
#include <gantry/channel/oneshot.hpp>
#include <gantry/channel/spsc_ring.hpp>
#include <gantry/channel/watch.hpp>
#include <gantry/coro.hpp>
#include <numeric>
#include <string>
#include <thread>

#include "tests/unit/support/threads.hpp"

using namespace gantry;
using core_test::Counted;
using namespace std::chrono_literals;

TEST_CASE("oneshot: whichever end goes last destroys what was sent and not received") {
  {
    auto [reply, answer] = oneshot::channel<Counted>();
    REQUIRE(reply.send(Counted(1, 1)));
    REQUIRE(answer.done());
  }
  {
    auto [reply, answer] = oneshot::channel<Counted>();
    {
      auto gone = std::move(answer);
    }
    REQUIRE(reply.closed());
    REQUIRE(!reply.send(Counted(1, 1)));
  }
  REQUIRE(Counted::live == 0);
}

TEST_CASE("oneshot: after a time-out or a cancel the receiver may wait again") {
  auto [reply, answer] = oneshot::channel<int>();
  CancelSource cancel;
  cancel.request_stop();
  REQUIRE(answer.recv_for(1ms).error().kind == ErrorKind::timeout);
  REQUIRE(answer.recv({.until = {}, .token = cancel.get_token()}).error().kind == ErrorKind::cancelled);
  std::thread sender([r = std::move(reply)] mutable { (void)r.send(7); });
  REQUIRE(answer.recv_for(60s) == 7);
  sender.join();
  REQUIRE(answer.recv_for(60s).error().kind == ErrorKind::unavailable);  // it was received
}

TEST_CASE("oneshot: a value that is there counts before a cancelled token") {
  auto [reply, answer] = oneshot::channel<int>();
  CancelSource cancel;
  cancel.request_stop();
  REQUIRE(reply.send(7));
  REQUIRE(answer.recv({.until = {}, .token = cancel.get_token()}) == 7);
}

TEST_CASE("oneshot: a coroutine asks another and gets its answer, or learns that it is gone") {
  struct Parts {
    static Task<void> serve(oneshot::Sender<int> reply, bool answers) {
      if (answers) (void)reply.send(42);
      co_return;
    }
    static Task<std::optional<int>> ask(Executor* executor, bool answers) {
      auto [reply, answer] = oneshot::channel<int>();
      (void)spawn(*executor, serve(std::move(reply), answers));
      co_return co_await answer.async_recv();
    }
  };
  LocalExecutor executor;
  std::thread loop([&] { executor.run(); });
  REQUIRE(*spawn(executor, Parts::ask(&executor, true)).join() == 42);
  REQUIRE(*spawn(executor, Parts::ask(&executor, false)).join() == std::nullopt);
  executor.stop();
  loop.join();
}

TEST_CASE("broadcast: every receiver sees every value in order, from where it subscribed") {
  auto [tx, first] = broadcast::channel<int>(8);
  REQUIRE(*tx.send(1) == 1);
  auto second = tx.subscribe();
  REQUIRE(*tx.send(2) == 2);
  REQUIRE(first.try_recv()->value == 1);
  REQUIRE(first.try_recv()->value == 2);
  REQUIRE(!first.try_recv());
  REQUIRE(second.try_recv()->value == 2);
  REQUIRE(!second.try_recv());
}

TEST_CASE("broadcast: a receiver that lags goes on with the oldest that is kept and is told how many it missed") {
  // Capacities around the size of a block, and places within one.
  for (const std::uint64_t capacity : {1, 2, 3, 31, 32, 33, 100}) {
    CAPTURE(capacity);
    auto [tx, rx] = broadcast::channel<std::uint64_t>(capacity);
    auto fast = tx.subscribe();
    std::uint64_t sent = 0;
    std::uint64_t next = 0;
    core_test::Random random(7);
    for (int round = 0; round < 50; ++round) {
      for (auto burst = random.below(3 * capacity); burst != 0; --burst) {
        REQUIRE(tx.send(std::uint64_t{sent++}));
        REQUIRE(fast.try_recv()->value == sent - 1);
      }
      for (auto reads = random.below(2 * capacity); reads != 0 && next != sent; --reads) {
        const auto got = rx.try_recv();
        const auto oldest = std::max(next, sent - std::min(sent, capacity));
        REQUIRE(got->missed == oldest - next);
        REQUIRE(got->value == oldest);
        next = oldest + 1;
      }
    }
    REQUIRE(!fast.try_recv());
  }
}

TEST_CASE("broadcast: memory is bounded by the capacity and a block for each receiver") {
  {
    auto [tx, slow] = broadcast::channel<Counted>(64);
    REQUIRE(tx.send(Counted(0, 0)));
    REQUIRE(slow.try_recv());  // it stays in the first block
    for (std::uint64_t i = 1; i < 10'000; ++i) REQUIRE(tx.send(Counted(0, i)));
    REQUIRE(Counted::live <= 64 + 32 + 32);
    REQUIRE(slow.try_recv()->missed == 10'000 - 64 - 1);
    {
      auto gone = std::move(slow);
    }
    REQUIRE(Counted::live == 0);  // nobody is left to see them
    REQUIRE(tx.send(Counted(0, 1)).error().kind == ErrorKind::unavailable);
    auto late = tx.subscribe();
    REQUIRE(tx.send(Counted(0, 2)));
    REQUIRE(late.try_recv()->value.seq == 2);
  }
  REQUIRE(Counted::live == 0);
}

TEST_CASE("broadcast: the largest capacity keeps everything, and a receiver that is assigned to leaves its place") {
  auto [tx, rx] = broadcast::channel<int>(std::numeric_limits<std::size_t>::max());
  for (int i = 0; i < 200; ++i) REQUIRE(tx.send(i));
  for (int i = 0; i < 200; ++i) REQUIRE(rx.try_recv()->value == i);
  auto other = tx.subscribe();
  REQUIRE(*tx.send(200) == 2);
  rx = std::move(other);
  REQUIRE(*tx.send(201) == 1);
  REQUIRE(rx.try_recv()->value == 200);
}

TEST_CASE("broadcast: when the last sender is gone, receivers drain and then see the end") {
  auto [tx, rx] = broadcast::channel<int>(4);
  auto waiting = tx.subscribe();
  REQUIRE(tx.send(1));
  std::vector<int> got;
  std::thread receiver([&] {
    while (auto value = waiting.recv()) got.push_back(value->value);
  });
  {
    auto gone = std::move(tx);
    auto copy = gone;
  }
  receiver.join();
  REQUIRE(got == std::vector{1});
  REQUIRE(rx.recv()->value == 1);
  REQUIRE(!rx.recv());
  REQUIRE(rx.recv_for(1ms).error().kind == ErrorKind::unavailable);
}

TEST_CASE("broadcast: a wait ends by time or token, and misses nothing by it") {
  auto [tx, rx] = broadcast::channel<int>(4);
  CancelSource cancel;
  cancel.request_stop();
  REQUIRE(rx.recv_for(1ms).error().kind == ErrorKind::timeout);
  REQUIRE(rx.recv({.until = {}, .token = cancel.get_token()}).error().kind == ErrorKind::cancelled);
  REQUIRE(tx.send(5));
  REQUIRE(rx.recv_for(60s)->value == 5);
}

TEST_CASE("broadcast: coroutines that wait are all woken by one value") {
  struct Parts {
    static Task<int> sum(broadcast::Receiver<int> rx) {
      int total = 0;
      while (auto got = co_await rx.async_recv()) total += got->value;
      co_return total;
    }
  };
  LocalExecutor executor;
  std::thread loop([&] { executor.run(); });
  auto [tx, rx] = broadcast::channel<int>(256);
  std::vector<JoinHandle<int>> handles;
  for (int i = 0; i < 20; ++i) handles.push_back(spawn(executor, Parts::sum(tx.subscribe())));
  for (int i = 1; i <= 100; ++i) REQUIRE(tx.send(int{i}));
  {
    auto gone = std::move(tx);
  }
  for (auto& handle : handles) {
    CAPTURE(&handle - handles.data());
    REQUIRE(*handle.join() == 5050);
  }
  executor.stop();
  loop.join();
}

TEST_CASE("watch: the newest value is seen, what nobody looked at is replaced, and a seen one is not a change") {
  auto [tx, rx] = watch::channel<int>(1);
  REQUIRE(!rx.has_changed());
  REQUIRE(*rx.get() == 1);
  REQUIRE(tx.send(2));
  REQUIRE(tx.send(3));
  REQUIRE(rx.has_changed());
  const auto kept = rx.get();
  REQUIRE(*kept == 3);
  REQUIRE(!rx.has_changed());
  REQUIRE(rx.changed({.until = std::chrono::steady_clock::now() + 1ms, .token = {}}).error().kind ==
          ErrorKind::timeout);
  REQUIRE(tx.send(4));
  REQUIRE(rx.changed());
  REQUIRE(*rx.get() == 4);
  REQUIRE(*kept == 3);  // a value that was handed out does not change
}

TEST_CASE("watch: the last value before the end is seen, then the end") {
  auto [tx, rx] = watch::channel<int>(1);
  auto copy = rx;
  std::vector<int> seen;
  std::thread watcher([&] {
    while (copy.changed()) seen.push_back(*copy.get());
  });
  REQUIRE(tx.send(2));
  {
    auto gone = std::move(tx);
  }
  watcher.join();
  REQUIRE(seen.back() == 2);
  REQUIRE(rx.changed());
  REQUIRE(!rx.changed());
  REQUIRE(rx.changed(WaitLimits{}).error().kind == ErrorKind::unavailable);
}

TEST_CASE("watch: without a receiver send refuses, and a token ends a wait") {
  auto [tx, rx] = watch::channel<int>(1);
  CancelSource cancel;
  std::thread canceller([&] { cancel.request_stop(); });
  REQUIRE(rx.changed({.until = {}, .token = cancel.get_token()}).error().kind == ErrorKind::cancelled);
  canceller.join();
  {
    auto gone = std::move(rx);
  }
  REQUIRE(!tx.has_receivers());
  REQUIRE(tx.send(2).error().kind == ErrorKind::unavailable);
}

TEST_CASE("watch: a coroutine waits for a change") {
  struct Parts {
    static Task<int> last(watch::Receiver<int> rx) {
      while (co_await rx.async_changed()) {
      }
      co_return *rx.get();
    }
  };
  LocalExecutor executor;
  std::thread loop([&] { executor.run(); });
  auto [tx, rx] = watch::channel<int>(0);
  auto handle = spawn(executor, Parts::last(rx));
  for (int i = 1; i <= 1000; ++i) REQUIRE(tx.send(i));
  {
    auto gone = std::move(tx);
  }
  REQUIRE(*handle.join() == 1000);
  executor.stop();
  loop.join();
}

TEST_CASE("spsc: what does not fit is counted as overrun and dropped, what is stored is read in order") {
  SpscRing<int> ring(5);
  REQUIRE(ring.capacity() == 8);
  std::vector<int> ten(10);
  std::iota(ten.begin(), ten.end(), 0);
  REQUIRE(ring.write(ten) == 8);
  REQUIRE(ring.overruns() == 1);
  REQUIRE(ring.lost() == 2);
  REQUIRE(ring.write(ten) == 0);
  REQUIRE(ring.overruns() == 2);
  REQUIRE(ring.lost() == 12);
  std::vector<int> out(3);
  REQUIRE(ring.read(out) == 3);
  REQUIRE(out == std::vector{0, 1, 2});
  REQUIRE(ring.write({ten.data(), 2}) == 2);  // around the end
  out.assign(16, -1);
  REQUIRE(ring.read(out) == 7);
  out.resize(7);
  REQUIRE(out == std::vector{3, 4, 5, 6, 7, 0, 1});
  REQUIRE(ring.read(out) == 0);
  REQUIRE(ring.size() == 0);
  REQUIRE(ring.overruns() == 2);
  REQUIRE(ring.lost() == 12);
}

TEST_CASE("spsc: two threads, blocks of any size, nothing lost, doubled or reordered") {
  const auto seed = core_test::seed();
  INFO("GANTRY_SEED=" << seed);
  SpscRing<std::uint32_t> ring(256);
  const std::uint32_t total = 300'000;
  std::thread writer([&] {
    core_test::Random random(seed);
    std::vector<std::uint32_t> block(64);
    for (std::uint32_t next = 0; next < total;) {
      const auto size = std::min<std::uint64_t>(1 + random.below(64), total - next);
      std::iota(block.begin(), block.end(), next);
      next += static_cast<std::uint32_t>(ring.write({block.data(), size}));
    }
  });
  core_test::Random random(seed + 1);
  std::vector<std::uint32_t> block(64);
  std::uint32_t next = 0;
  bool in_order = true;
  while (next < total) {
    const auto count = ring.read({block.data(), 1 + random.below(64)});
    for (std::size_t i = 0; i < count; ++i) in_order = in_order && block[i] == next++;
    if (count == 0) std::this_thread::yield();
  }
  writer.join();
  REQUIRE(in_order);
  REQUIRE(ring.size() == 0);
}
