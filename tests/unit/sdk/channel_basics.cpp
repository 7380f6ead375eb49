// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <gantry/channel/mpsc.hpp>
#include <gantry/channel/oneshot.hpp>
#include <numeric>
#include <thread>

using namespace gantry;

TEST_CASE("mpsc: a full channel refuses try_send and leaves the value alone") {
  auto [tx, rx] = mpsc::channel<std::string>(1);
  REQUIRE(tx.try_send("one"));
  std::string two = "two";
  const auto refused = tx.try_send(std::move(two));
  REQUIRE(!refused);
  REQUIRE(refused.error().kind == ErrorKind::overloaded);
  REQUIRE(two == "two");
  REQUIRE(rx.try_recv() == "one");
}

TEST_CASE("mpsc: what was accepted is received after the last sender is gone") {
  auto [tx, rx] = mpsc::channel<int>(4);
  REQUIRE(tx.try_send(1));
  REQUIRE(tx.try_send(2));
  tx.close();
  REQUIRE(rx.recv() == 1);
  REQUIRE(rx.recv() == 2);
  REQUIRE(!rx.recv());
  REQUIRE(rx.drained());
}

TEST_CASE("mpsc: a receiver that goes wakes the senders that wait and refuses them") {
  auto [tx, rx] = mpsc::channel<int>(1);
  REQUIRE(tx.try_send(1));
  Result<void> result;
  std::thread sender([&result, out = tx] mutable { result = out.send(2); });
  rx.close();
  sender.join();
  REQUIRE(!result);
  REQUIRE(result.error().kind == ErrorKind::unavailable);
}

TEST_CASE("mpsc: the last sender that goes wakes the receiver") {
  auto [tx, rx] = mpsc::channel<int>(1);
  std::optional<int> got = 7;
  std::thread receiver([&got, r = std::move(rx)] mutable { got = r.recv(); });
  tx.close();
  receiver.join();
  REQUIRE(!got);
}

TEST_CASE("mpsc: nothing is lost, duplicated or reordered between four waiting senders and one receiver") {
  constexpr int kEach = 5000;
  auto [tx, rx] = mpsc::channel<std::pair<int, int>>(8);
  std::vector<std::thread> senders;
  for (int s = 0; s < 4; ++s) {
    senders.emplace_back([s, out = tx] mutable {
      for (int i = 0; i < kEach; ++i) {
        if (!out.send({s, i})) return;
      }
    });
  }
  tx.close();
  std::array<int, 4> next{};
  int received = 0;
  bool in_order = true;
  while (auto value = rx.recv()) {
    in_order = in_order && value->second == next[static_cast<std::size_t>(value->first)]++;
    ++received;
  }
  for (auto& sender : senders) sender.join();
  REQUIRE(in_order);
  REQUIRE(received == 4 * kEach);
}

TEST_CASE("mpsc: recv_for gives up when nothing comes, and the channel lives on") {
  auto [tx, rx] = mpsc::channel<int>(1);
  REQUIRE(!rx.recv_for(std::chrono::milliseconds(1)));
  REQUIRE(!rx.drained());
  REQUIRE(tx.try_send(3));
  REQUIRE(rx.recv_for(std::chrono::seconds(10)) == 3);
}

TEST_CASE("oneshot: one value arrives once") {
  auto [reply, answer] = oneshot::channel<std::string>();
  std::thread sender([r = std::move(reply)] mutable { (void)r.send("hello"); });
  REQUIRE(answer.recv() == "hello");
  sender.join();
  REQUIRE(!answer.recv());
}

TEST_CASE("oneshot: a time-out and a sender that is gone are told apart") {
  auto [reply, answer] = oneshot::channel<int>();
  REQUIRE(answer.recv_for(std::chrono::milliseconds(1)).error().kind == ErrorKind::timeout);
  {
    auto dropped = std::move(reply);
  }
  REQUIRE(answer.recv_for(std::chrono::seconds(10)).error().kind == ErrorKind::unavailable);
}

TEST_CASE("oneshot: a receiver that is gone refuses the value") {
  auto [reply, answer] = oneshot::channel<int>();
  {
    auto dropped = std::move(answer);
  }
  REQUIRE(reply.send(1).error().kind == ErrorKind::unavailable);
}
