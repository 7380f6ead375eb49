// SPDX-License-Identifier: Apache-2.0
#include <gantry/channel/mpsc.hpp>
#include <gantry/coro.hpp>
#include <string>
#include <thread>

#include "tests/unit/support/threads.hpp"

using namespace gantry;
using core_test::Counted;
using namespace std::chrono_literals;

namespace {

/// Runs an operation by hand, so that a test decides when it waits and when it goes on.
struct Hand final : Waiter {
  int woken = 0;
  Hand() {
    wake = [](Waiter& self) noexcept { ++static_cast<Hand&>(self).woken; };
  }
};

template <class T>
std::vector<T> drain(mpsc::Receiver<T>& rx) {
  std::vector<T> all;
  while (auto value = rx.try_recv()) all.push_back(std::move(*value));
  return all;
}

}  // namespace

TEST_CASE(
    "mpsc: senders that wait are served in the order of their arrival, each as soon as there is room, before "
    "newcomers") {
  auto& core = *new mpsc::detail::Core<int>(1);  // gone with its last end
  Hand first;
  Hand second;
  int a = 1;
  int b = 2;
  int c = 3;
  REQUIRE(core.try_put({&a, 1}).state == mpsc::detail::Put::done);
  mpsc::detail::SendOp<int> wait_b(&core);
  mpsc::detail::SendOp<int> wait_c(&core);
  REQUIRE(!wait_b.start({&b, 1}, first));
  REQUIRE(!wait_c.start({&c, 1}, second));
  REQUIRE(core.take() == 1);
  REQUIRE(first.woken == 1);
  REQUIRE(second.woken == 0);
  REQUIRE(core.try_put({&a, 1}).state == mpsc::detail::Put::full);
  REQUIRE(core.take() == 2);
  REQUIRE(second.woken == 1);
  REQUIRE(core.take() == 3);
  REQUIRE(core.try_put({&a, 1}).state == mpsc::detail::Put::done);
  REQUIRE(core.take() == 1);
  core.drop_sender();
  core.drop_receiver();
}

TEST_CASE("mpsc: a send that is withdrawn sent nothing, leaves the value alone and lets the next one in") {
  auto [tx, rx] = mpsc::channel<std::string>(1);
  REQUIRE(tx.try_send("one"));
  std::string two = "two";
  const auto timed_out = tx.send_for(std::move(two), 1ms);
  REQUIRE(timed_out.error().kind == ErrorKind::timeout);
  REQUIRE(two == "two");
  CancelSource cancel;
  std::thread canceller([&] { cancel.request_stop(); });
  const auto cancelled = tx.send(std::move(two), {.until = {}, .token = cancel.get_token()});
  canceller.join();
  REQUIRE(cancelled.error().kind == ErrorKind::cancelled);
  REQUIRE(two == "two");
  REQUIRE(rx.try_recv() == "one");
  REQUIRE(tx.try_send("three"));
  REQUIRE(rx.try_recv() == "three");
  REQUIRE(!rx.try_recv());
}

TEST_CASE("mpsc: a token that was cancelled before refuses at once, and one that is there is received first") {
  auto [tx, rx] = mpsc::channel<int>(1);
  CancelSource cancel;
  cancel.request_stop();
  const WaitLimits limits{.until = {}, .token = cancel.get_token()};
  REQUIRE(rx.recv(limits).error().kind == ErrorKind::cancelled);
  REQUIRE(tx.send(1, limits));  // there is room: nothing to wait for
  REQUIRE(tx.send(2, limits).error().kind == ErrorKind::cancelled);
  REQUIRE(rx.recv(limits) == 1);
}

TEST_CASE("mpsc: close() by the receiver refuses what comes, and what was accepted is still received") {
  auto [tx, rx] = mpsc::channel<int>(4);
  REQUIRE(tx.try_send(1));
  REQUIRE(tx.try_send(2));
  rx.close();
  REQUIRE(tx.closed());
  REQUIRE(tx.try_send(3).error().kind == ErrorKind::unavailable);
  REQUIRE(tx.send(3).error().kind == ErrorKind::unavailable);
  REQUIRE(!rx.drained());
  REQUIRE(rx.recv() == 1);
  REQUIRE(rx.recv() == 2);
  REQUIRE(!rx.recv());
  REQUIRE(rx.drained());
}

TEST_CASE("mpsc: close() wakes senders that wait, and their values are theirs") {
  auto [tx, rx] = mpsc::channel<std::string>(1);
  REQUIRE(tx.try_send("in"));
  std::string value = "out";
  Result<void> result;
  std::thread sender([&, out = tx] mutable { result = out.send(std::move(value)); });
  rx.close();
  sender.join();
  REQUIRE(result.error().kind == ErrorKind::unavailable);
  REQUIRE(value == "out");
  REQUIRE(rx.recv() == "in");
  REQUIRE(!rx.recv());
}

TEST_CASE("mpsc: send_many accepts what there is room for, waits for the rest and keeps its order") {
  auto [tx, rx] = mpsc::channel<int>(3);
  std::vector<int> five{1, 2, 3, 4, 5};
  const auto some = tx.try_send_many(five);
  REQUIRE(some.accepted == 3);
  REQUIRE(some.status.error().kind == ErrorKind::overloaded);
  REQUIRE(drain(rx) == std::vector{1, 2, 3});

  mpsc::SentMany sent;
  std::thread sender([&, out = tx] mutable { sent = out.send_many(five); });
  std::vector<int> got;
  while (got.size() < 5) (void)rx.recv_many(got, 5 - got.size());
  sender.join();
  REQUIRE(sent.status.has_value());
  REQUIRE(sent.accepted == 5);
  REQUIRE(got == five);
}

TEST_CASE("mpsc: a send_many that is cut off says how many were accepted") {
  auto [tx, rx] = mpsc::channel<std::string>(2);
  std::vector<std::string> three{"a", "b", "c"};
  const auto late = tx.send_many(three, {.until = std::chrono::steady_clock::now() + 1ms, .token = {}});
  REQUIRE(late.accepted == 2);
  REQUIRE(late.status.error().kind == ErrorKind::timeout);
  REQUIRE(three[2] == "c");
  REQUIRE(drain(rx) == std::vector<std::string>{"a", "b"});
}

TEST_CASE("mpsc: one wake-up for a batch") {
  auto& core = *new mpsc::detail::Core<int>(8);  // gone with its last end
  Hand receiver;
  mpsc::detail::RecvOp<int> recv(&core);
  REQUIRE(!recv.start(receiver));
  std::vector<int> five{1, 2, 3, 4, 5};
  REQUIRE(core.try_put(five).count == 5);
  REQUIRE(receiver.woken == 1);
  std::vector<int> got;
  REQUIRE(core.take_many(got, 3) == 3);
  REQUIRE(core.take_many(got, 9) == 2);
  REQUIRE(got == five);
  core.drop_sender();
  core.drop_receiver();
}

TEST_CASE("mpsc: recv_many waits for the first, takes at most what was asked for, and ends at the end") {
  auto [tx, rx] = mpsc::channel<int>(8);
  std::vector<int> got;
  REQUIRE(rx.recv_many(got, 4, {.until = std::chrono::steady_clock::now() + 1ms, .token = {}}) == 0);
  for (int i = 0; i < 6; ++i) REQUIRE(tx.try_send(i));
  REQUIRE(rx.recv_many(got, 4) == 4);
  tx.close();
  REQUIRE(rx.recv_many(got, 4) == 2);
  REQUIRE(rx.recv_many(got, 4) == 0);
  REQUIRE(got == std::vector{0, 1, 2, 3, 4, 5});
}

TEST_CASE("mpsc: an unbounded channel takes everything and loses nothing") {
  auto [tx, rx] = mpsc::unbounded_channel<Counted>();
  for (std::uint64_t i = 0; i < 10'000; ++i) REQUIRE(tx.try_send(Counted(0, i)));
  for (std::uint64_t i = 0; i < 5'000; ++i) REQUIRE(rx.try_recv()->seq == i);
  REQUIRE(Counted::live == 5'000);
  {
    auto gone = std::move(rx);
  }
  REQUIRE(Counted::live == 0);
  REQUIRE(tx.try_send(Counted(0, 1)).error().kind == ErrorKind::unavailable);
}

TEST_CASE("mpsc: what a receiver that is gone left is destroyed, and so is what a channel without ends held") {
  {
    auto [tx, rx] = mpsc::channel<Counted>(64);
    for (std::uint64_t i = 0; i < 40; ++i) REQUIRE(tx.try_send(Counted(0, i)));
    tx.close();
    REQUIRE(rx.try_recv());
  }
  REQUIRE(Counted::live == 0);
}

namespace {

Task<std::vector<int>> receive_all(mpsc::Receiver<int> rx) {
  std::vector<int> got;
  while (auto value = co_await rx.async_recv()) got.push_back(*value);
  co_return got;
}
Task<int> send_range(mpsc::Sender<int> tx, int from, int to) {
  int sent = 0;
  for (int i = from; i < to; ++i) sent += (co_await tx.async_send(i)).has_value() ? 1 : 0;
  co_return sent;
}
Task<void> stop_after(LocalExecutor* executor, std::vector<JoinHandle<int>> handles) {
  for (auto& handle : handles) (void)co_await handle.async_join();
  executor->stop();
}
template <class Handle>
Task<void> stop_when(LocalExecutor* executor, Handle* handle, std::optional<Result<std::vector<int>>>* out) {
  *out = co_await handle->async_join();
  executor->stop();
}

}  // namespace

TEST_CASE("mpsc: coroutines on one thread exchange everything in order through a channel of one") {
  LocalExecutor executor;
  auto [tx, rx] = mpsc::channel<int>(1);
  auto all = spawn(executor, receive_all(std::move(rx)));
  (void)spawn(executor, send_range(std::move(tx), 0, 1000));
  std::optional<Result<std::vector<int>>> got;
  (void)spawn(executor, stop_when(&executor, &all, &got));
  executor.run();
  REQUIRE(got->has_value());
  std::vector<int> expected(1000);
  for (int i = 0; i < 1000; ++i) expected[static_cast<std::size_t>(i)] = i;
  REQUIRE(**got == expected);
}

TEST_CASE("mpsc: a coroutine that waits on one thread is woken by a plain thread, and the other way round") {
  LocalExecutor executor;
  auto [tx, rx] = mpsc::channel<int>(2);
  auto [back_tx, back_rx] = mpsc::channel<int>(2);
  std::thread loop([&] { executor.run(); });
  struct Echo {
    static Task<void> run(mpsc::Receiver<int> in, mpsc::Sender<int> out) {
      while (auto value = co_await in.async_recv()) (void)co_await out.async_send(*value + 1);
    }
  };
  auto echo = spawn(executor, Echo::run(std::move(rx), std::move(back_tx)));
  std::thread sender([&, out = std::move(tx)] mutable {
    for (int i = 0; i < 2000; ++i) (void)out.send(i);
  });
  for (int i = 0; i < 2000; ++i) REQUIRE(back_rx.recv() == i + 1);
  REQUIRE(!back_rx.recv());
  sender.join();
  REQUIRE(echo.join());
  executor.stop();
  loop.join();
}

TEST_CASE("mpsc: a coroutine's wait ends when its token is cancelled, and nothing was sent or received") {
  struct Waits {
    static Task<ErrorKind> send(mpsc::Sender<int> tx, CancelToken token) {
      const auto result = co_await tx.async_send(2, token);
      co_return result ? ErrorKind::internal : result.error().kind;
    }
    static Task<ErrorKind> recv(mpsc::Receiver<int> rx, CancelToken token) {
      const auto result = co_await rx.async_recv(token);
      co_return result ? ErrorKind::internal : result.error().kind;
    }
  };
  LocalExecutor executor;
  std::thread loop([&] { executor.run(); });
  auto [tx, rx] = mpsc::channel<int>(1);
  REQUIRE(tx.try_send(1));
  auto [unused_tx, empty_rx] = mpsc::channel<int>(1);
  CancelSource cancel;
  auto sends = spawn(executor, Waits::send(tx, cancel.get_token()));
  auto receives = spawn(executor, Waits::recv(std::move(empty_rx), cancel.get_token()));
  cancel.request_stop();
  REQUIRE(sends.join() == ErrorKind::cancelled);
  REQUIRE(receives.join() == ErrorKind::cancelled);
  REQUIRE(rx.try_recv() == 1);
  REQUIRE(!rx.try_recv());
  executor.stop();
  loop.join();
}

TEST_CASE("mpsc: a receiver that finds everything ready gives way to others on its thread") {
  struct Parts {
    static Task<int> consume(mpsc::Receiver<int> rx, bool* other_ran, int until) {
      for (int i = 0; i < until; ++i) {
        (void)co_await rx.async_recv();
        if (*other_ran) co_return i;
      }
      co_return until;
    }
    static Task<int> other(bool* ran) {
      *ran = true;
      co_return 0;
    }
  };
  LocalExecutor executor;
  auto [tx, rx] = mpsc::channel<int>(4096);
  for (int i = 0; i < 4096; ++i) REQUIRE(tx.try_send(i));
  bool ran = false;
  std::vector<JoinHandle<int>> handles;
  auto consumer = spawn(executor, Parts::consume(std::move(rx), &ran, 4096));
  handles.push_back(spawn(executor, Parts::other(&ran)));
  (void)spawn(executor, stop_after(&executor, std::move(handles)));
  executor.run();
  std::thread loop([&] { executor.run(); });
  REQUIRE(*consumer.join() < 4096);
  executor.stop();
  loop.join();
}

TEST_CASE("mpsc: an empty batch is sent at once, also to a full channel, and makes no receiver see an end") {
  auto& core = *new mpsc::detail::Core<int>(1);  // gone with its last end
  Hand sender;
  Hand receiver;
  int a = 1;
  int b = 2;
  REQUIRE(core.try_put({&a, 1}).state == mpsc::detail::Put::done);
  mpsc::detail::SendOp<int> wait_b(&core);
  REQUIRE(!wait_b.start({&b, 1}, sender));
  REQUIRE(core.try_put({}).state == mpsc::detail::Put::done);
  REQUIRE(core.take() == 1);
  REQUIRE(core.take() == 2);
  mpsc::detail::RecvOp<int> recv(&core);
  REQUIRE(!recv.start(receiver));
  mpsc::detail::SendOp<int> nothing(&core);
  Hand empty;
  REQUIRE(nothing.start({}, empty));
  REQUIRE(receiver.woken == 0);
  core.drop_sender();
  REQUIRE(receiver.woken == 1);
  core.drop_receiver();
}

TEST_CASE("mpsc: the longest time is no time-out, and no values are received at once") {
  auto [tx, rx] = mpsc::channel<int>(1);
  std::thread sender([&, out = tx] mutable { (void)out.send(3); });
  REQUIRE(rx.recv_for(Duration::max()) == 3);
  sender.join();
  std::vector<int> none;
  REQUIRE(rx.recv_many(none, 0) == 0);
  struct Parts {
    static Task<std::size_t> receive_none(mpsc::Receiver<int> in) {
      std::vector<int> out;
      co_return co_await in.async_recv_many(out, 0);
    }
  };
  LocalExecutor executor;
  std::thread loop([&] { executor.run(); });
  REQUIRE(spawn(executor, Parts::receive_none(std::move(rx))).join() == 0U);
  executor.stop();
  loop.join();
}

TEST_CASE("mpsc: the size that another thread sees is never beyond what can be there") {
  constexpr std::size_t kMost = 8;
  auto [tx, rx] = mpsc::channel<int>(kMost);
  std::atomic<bool> done{false};
  std::size_t largest = 0;
  std::thread looks([&, &in = rx] {
    while (!done) largest = std::max(largest, in.size());
  });
  std::thread sends([out = std::move(tx)] mutable {
    for (int i = 0; i < 200'000; ++i) (void)out.send(i);
  });
  while (rx.recv()) {
  }
  sends.join();
  done = true;
  looks.join();
  // It may count what was taken while it looked, hardly more than another filling.
  REQUIRE(largest <= 200'000);
}

TEST_CASE("mpsc: a loop of one's own is woken once, when there is something or the end") {
  auto [tx, rx] = mpsc::channel<int>(4);
  Hand hand;
  REQUIRE_FALSE(rx.ready_or_wake(hand));
  REQUIRE(tx.try_send(1));
  REQUIRE(tx.try_send(2));
  REQUIRE(hand.woken == 1);
  REQUIRE(rx.ready_or_wake(hand));
  REQUIRE(rx.try_recv() == 1);
  REQUIRE(rx.try_recv() == 2);
  REQUIRE_FALSE(rx.ready_or_wake(hand));
  tx.close();
  REQUIRE(hand.woken == 2);
  REQUIRE(rx.ready_or_wake(hand));
  REQUIRE(rx.drained());
}

TEST_CASE("mpsc: a receiver that is gone wakes nobody, whatever its senders do") {
  auto [tx, rx] = mpsc::channel<int>(1);
  Hand hand;
  REQUIRE_FALSE(rx.ready_or_wake(hand));
  {
    const auto gone = std::move(rx);
  }
  tx.close();
  REQUIRE(hand.woken == 0);
}
