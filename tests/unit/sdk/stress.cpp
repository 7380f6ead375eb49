// SPDX-License-Identifier: Apache-2.0
//
// Channels under everything at once: threads and coroutines, time-outs, cancels, close and drop at any point. Each case
// prints its seed when it fails; GANTRY_SEED repeats it as far as the threads allow, GANTRY_STRESS=N makes it N times
// as long. Checked: nothing accepted is lost, doubled or reordered, nothing leaks, nobody sleeps for ever.
#include <gantry/channel/mpsc.hpp>
#include <gantry/channel/oneshot.hpp>
#include <gantry/coro.hpp>
#include <thread>

#include "tests/unit/sdk/stress.hpp"

using namespace gantry;
using core_test::Canceller;
using core_test::Counted;
using core_test::Random;
using core_test::rounds;
using core_test::some_limit;
using core_test::soon;

namespace {

enum class End { drain, close, drop };

/// Sends until `most` are accepted or the channel refuses; returns how many were accepted.
std::uint64_t send_all(mpsc::Sender<Counted> tx, std::uint64_t sender, std::uint64_t most, Random random,
                       Canceller& canceller) {
  std::uint64_t next = 0;
  while (next < most) {
    mpsc::SentMany sent;
    const auto one = [&](Result<void> result) {
      sent.accepted = result ? 1 : 0;
      sent.status = std::move(result);
    };
    switch (random.below(5)) {
      case 0:
        one(tx.try_send(Counted(sender, next)));
        break;
      case 1:
        one(tx.send(Counted(sender, next)));
        break;
      case 2:
        one(tx.send(Counted(sender, next), {.until = soon(random), .token = {}}));
        break;
      case 3:
        one(tx.send(Counted(sender, next), {.until = {}, .token = canceller.token()}));
        break;
      default: {
        std::vector<Counted> batch;
        for (auto n = 1 + random.below(6); n != 0 && next + batch.size() < most; --n)
          batch.emplace_back(sender, next + batch.size());
        sent = random.one_in(2) ? tx.send_many(batch, {.until = soon(random), .token = canceller.token()})
                                : tx.try_send_many(batch);
        for (std::size_t i = 0; i < batch.size(); ++i) {
          if (batch[i].full == (i < sent.accepted)) std::abort();  // moved from exactly when it was accepted
        }
      }
    }
    next += sent.accepted;
    if (!sent.status && sent.status.error().kind == ErrorKind::unavailable) return next;
    random.dawdle();
  }
  return next;
}

/// What a receiver saw of each sender: 0, 1, 2 ... without a hole.
class Seen {
 public:
  explicit Seen(std::size_t senders) : next_(senders) {}
  void add(const Counted& value) { in_order_ = in_order_ && value.full && value.seq == next_[value.sender]++; }
  [[nodiscard]] bool in_order() const { return in_order_; }
  [[nodiscard]] std::uint64_t of(std::size_t sender) const { return next_[sender]; }

 private:
  std::vector<std::uint64_t> next_;
  bool in_order_ = true;
};

/// A receiver and how long it lasts: until the end, or for `some` values and then what `end` says.
struct Reading {
  mpsc::Receiver<Counted> rx;
  Seen* seen;
  End end;
  std::uint64_t some;
  std::uint64_t received = 0;
  std::vector<Counted> batch{};

  /// Before each look, whose values go to `batch`. False: it goes, whatever may still come.
  bool goes_on() {
    batch.clear();
    if (end == End::drain || received < some) return true;
    if (end == End::drop) return false;
    rx.close();
    end = End::drain;
    return true;
  }
  /// After each look. True: everything that was accepted was seen.
  bool complete() {
    for (const auto& value : batch) seen->add(value);
    received += batch.size();
    return batch.empty() && rx.drained();
  }
};

/// True: everything that was accepted was seen.
bool receive_all(Reading reading, Random random, Canceller& canceller) {
  auto& rx = reading.rx;
  auto& batch = reading.batch;
  while (reading.goes_on()) {
    switch (random.below(5)) {
      case 0:
        if (auto value = rx.try_recv()) batch.push_back(std::move(*value));
        break;
      case 1:
        if (auto value = rx.recv()) batch.push_back(std::move(*value));
        break;
      case 2:
        if (auto value = rx.recv({.until = soon(random), .token = {}})) batch.push_back(std::move(*value));
        break;
      case 3:
        if (auto value = rx.recv({.until = {}, .token = canceller.token()})) batch.push_back(std::move(*value));
        break;
      default:
        (void)rx.recv_many(batch, 1 + random.below(8), {.until = soon(random), .token = canceller.token()});
    }
    if (reading.complete()) return true;
    random.dawdle();
  }
  return false;
}

/// One round of either test of mpsc: what is drawn for it, and what came of it.
struct Round {
  std::size_t senders;
  std::size_t capacity;  ///< 0: unbounded; on both sides of asymmetric fences
  End end;
  std::uint64_t each;  ///< values that a sender sends
  std::vector<std::uint64_t> accepted{};
  Seen seen{senders};
  bool complete = false;

  static Round draw(Random& random, std::uint64_t each) {
    const std::size_t senders = 1 + random.below(4);
    const std::size_t capacity = random.one_in(5) ? 0 : 1 + random.below(100);
    return {.senders = senders, .capacity = capacity, .end = static_cast<End>(random.below(3)), .each = each};
  }
  [[nodiscard]] auto channel() const {
    return capacity == 0 ? mpsc::unbounded_channel<Counted>() : mpsc::channel<Counted>(capacity);
  }
  void check() const {
    REQUIRE(seen.in_order());
    for (std::size_t s = 0; s < senders; ++s) {
      if (complete) {
        REQUIRE(seen.of(s) == accepted[s]);
      } else {
        REQUIRE(seen.of(s) <= accepted[s]);
      }
      if (end == End::drain) REQUIRE(accepted[s] == each);
    }
    REQUIRE(Counted::live == 0);
  }
};

}  // namespace

TEST_CASE("stress: mpsc between threads, with time-outs, cancels, batches, close and drop at any point") {
  const auto seed = core_test::seed();
  INFO("GANTRY_SEED=" << seed);
  Random random(seed);
  for (int i = 0; i < rounds(60); ++i) {
    auto round = Round::draw(random, 600);
    const std::uint64_t some = random.below(round.each * round.senders);
    round.accepted.resize(round.senders);
    {
      Canceller canceller(random.below(1 << 30));
      auto [tx, rx] = round.channel();
      std::vector<std::thread> threads;
      for (std::size_t s = 0; s < round.senders; ++s) {
        threads.emplace_back([&, s, out = tx, r = Random(random.below(1 << 30))]() mutable {
          round.accepted[s] = send_all(std::move(out), s, round.each, r, canceller);
        });
      }
      tx.close();
      round.complete = receive_all({.rx = std::move(rx), .seen = &round.seen, .end = round.end, .some = some},
                                   Random(random.below(1 << 30)), canceller);
      for (auto& thread : threads) thread.join();
    }
    round.check();
  }
}

namespace {

Task<std::uint64_t> send_coro(mpsc::Sender<Counted> tx, std::uint64_t sender, std::uint64_t most, std::uint64_t seed,
                              Canceller* canceller) {
  Random random(seed);
  std::uint64_t next = 0;
  while (next < most) {
    const bool plain = random.one_in(2);
    const auto sent = plain ? co_await tx.async_send(Counted(sender, next))
                            : co_await tx.async_send(Counted(sender, next), canceller->token());
    if (sent) ++next;
    if (!sent && sent.error().kind == ErrorKind::unavailable) break;
    if (random.one_in(16)) co_await yield();
  }
  co_return next;
}

Task<bool> receive_coro(Reading reading, std::uint64_t seed, Canceller* canceller) {
  Random random(seed);
  auto& rx = reading.rx;
  auto& batch = reading.batch;
  while (reading.goes_on()) {
    const auto how = random.below(3);
    if (how == 0) {
      if (auto value = co_await rx.async_recv()) batch.push_back(std::move(*value));
    } else if (how == 1) {
      if (auto value = co_await rx.async_recv(canceller->token())) batch.push_back(std::move(*value));
    } else {
      (void)co_await rx.async_recv_many(batch, 1 + random.below(8), canceller->token());
    }
    if (reading.complete()) co_return true;
  }
  co_return false;
}

/// Executors on threads of their own; `together` in one group.
class Loops {
 public:
  Loops(std::size_t count, bool together) {
    for (std::size_t i = 0; i < count; ++i)
      executors_.push_back(std::make_unique<LocalExecutor>(together ? this : nullptr));
    for (auto& executor : executors_) threads_.emplace_back([&executor] { executor->run(); });
  }
  ~Loops() {
    for (auto& executor : executors_) executor->stop();
    for (auto& thread : threads_) thread.join();
  }
  LocalExecutor& operator[](std::size_t i) { return *executors_[i % executors_.size()]; }

 private:
  std::vector<std::unique_ptr<LocalExecutor>> executors_;
  std::vector<std::thread> threads_;
};

}  // namespace

TEST_CASE("stress: mpsc between coroutines on one and on two threads, with cancels, close and drop at any point") {
  const auto seed = core_test::seed();
  INFO("GANTRY_SEED=" << seed);
  Random random(seed);
  for (int i = 0; i < rounds(60); ++i) {
    auto round = Round::draw(random, 400);
    {
      Canceller canceller(random.below(1 << 30));
      Loops loops(1 + random.below(2), random.one_in(2));
      auto [tx, rx] = round.channel();
      std::vector<JoinHandle<std::uint64_t>> handles;
      for (std::size_t s = 0; s < round.senders; ++s)
        handles.push_back(spawn(loops[s], send_coro(tx, s, round.each, random.below(1 << 30), &canceller)));
      tx.close();
      const std::uint64_t some = random.below(round.each * round.senders);
      auto receiver =
          spawn(loops[1], receive_coro({.rx = std::move(rx), .seen = &round.seen, .end = round.end, .some = some},
                                       random.below(1 << 30), &canceller));
      round.complete = *receiver.join();
      for (auto& handle : handles) round.accepted.push_back(*handle.join());
    }
    round.check();
  }
}

TEST_CASE("stress: oneshot, each end cancelled, timed out or dropped at any point") {
  const auto seed = core_test::seed();
  INFO("GANTRY_SEED=" << seed);
  Random random(seed);
  Canceller canceller(random.below(1 << 30));
  auto [tx, rx] = mpsc::channel<oneshot::Sender<Counted>>(8);
  std::atomic<std::uint64_t> sent{0};
  std::thread sender([&, in = std::move(rx), r = Random(seed + 1)]() mutable {
    std::uint64_t i = 0;
    while (auto reply = in.recv()) {
      r.dawdle();
      if (!r.one_in(4) && reply->send(Counted(0, i++))) ++sent;
    }
  });
  std::uint64_t received = 0;
  std::uint64_t dropped = 0;
  for (int i = 0; i < rounds(20'000); ++i) {
    auto [reply, answer] = oneshot::channel<Counted>();
    REQUIRE(tx.send(std::move(reply)));
    random.dawdle();
    if (random.one_in(8)) {
      ++dropped;
      continue;
    }
    // As often as it takes: the sender sends, or goes.
    while (true) {
      const auto got = answer.recv(some_limit(random, canceller));
      if (got) ++received;
      if (got || got.error().kind == ErrorKind::unavailable) break;
    }
  }
  tx.close();
  sender.join();
  REQUIRE(received <= sent);
  REQUIRE(sent - received <= dropped);
  REQUIRE(Counted::live == 0);
}

TEST_CASE("stress: oneshot between coroutines on two threads") {
  const auto seed = core_test::seed();
  INFO("GANTRY_SEED=" << seed);
  struct Parts {
    static Task<std::uint64_t> serve(mpsc::Receiver<oneshot::Sender<std::uint64_t>> rx) {
      std::uint64_t n = 0;
      while (auto reply = co_await rx.async_recv()) (void)reply->send(n++);
      co_return n;
    }
    static Task<bool> ask(mpsc::Sender<oneshot::Sender<std::uint64_t>> tx, std::uint64_t seed, int times,
                          Canceller* canceller) {
      Random random(seed);
      for (int i = 0; i < times; ++i) {
        auto [reply, answer] = oneshot::channel<std::uint64_t>();
        if (!co_await tx.async_send(std::move(reply))) co_return false;
        if (random.one_in(8)) continue;  // dropped
        if (random.one_in(2)) {
          if (!co_await answer.async_recv()) co_return false;
          continue;
        }
        while (true) {
          const auto got = co_await answer.async_recv(canceller->token());
          if (got) break;
          if (got.error().kind != ErrorKind::cancelled) co_return false;
        }
      }
      co_return true;
    }
  };
  Random random(seed);
  for (int round = 0; round < rounds(4); ++round) {
    Canceller canceller(random.below(1 << 30));
    Loops loops(2, round % 2 == 0);
    auto [tx, rx] = mpsc::channel<oneshot::Sender<std::uint64_t>>(4);
    auto server = spawn(loops[0], Parts::serve(std::move(rx)));
    std::vector<JoinHandle<bool>> clients;
    for (std::size_t c = 0; c < 6; ++c)
      clients.push_back(spawn(loops[c], Parts::ask(tx, random.below(1 << 30), 1000, &canceller)));
    tx.close();
    for (auto& client : clients) {
      CAPTURE(&client - clients.data());
      REQUIRE(*client.join());
    }
    REQUIRE(*server.join() == 6000);
  }
}
