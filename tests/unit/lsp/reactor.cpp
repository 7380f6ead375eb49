// SPDX-License-Identifier: Apache-2.0
//
// The reactor by itself, on pipes and sockets of the test.
#include "plugins/lsp/reactor.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <gantry/channel/oneshot.hpp>

using namespace gantry;
using namespace gantry::lsp;

namespace {

constexpr std::chrono::seconds kWaitTimeout{60};

/// Declared after what its handlers use: they may run until it ends.
struct Running {
  std::unique_ptr<Reactor> reactor = std::move(*Reactor::make());
  /// Runs `task` on the reactor's thread and waits for it. No other task waits behind it then.
  void run(Reactor::Task task) const {
    auto [tx, rx] = oneshot::channel<bool>();
    reactor->post([task = std::move(task), done = std::move(tx)]() mutable {
      task();
      (void)done.send(true);
    });
    REQUIRE(rx.recv_for(kWaitTimeout).has_value());
  }
};

/// Two ends of a connection, closed with it.
struct Ends {
  std::array<int, 2> fds{};
  Ends() { REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) == 0); }
  Ends(const Ends&) = delete;
  Ends& operator=(const Ends&) = delete;
  ~Ends() {
    ::close(fds[0]);
    ::close(fds[1]);
  }
  void make_readable() const { REQUIRE(::send(fds[1], "x", 1, MSG_NOSIGNAL) == 1); }
};

}  // namespace

TEST_CASE("lsp reactor: tasks run in their order, and a descriptor's handler when what it waits for is there") {
  std::vector<int> order;
  const Ends ends;
  auto [tx, seen] = mpsc::channel<std::uint32_t>(16);
  std::atomic<bool> added{false};
  const Running r;
  for (int i = 0; i < 100; ++i) r.reactor->post([&order, i] { order.push_back(i); });
  r.run([] {});
  REQUIRE(order.size() == 100);
  REQUIRE(std::is_sorted(order.begin(), order.end()));

  r.run([&] {
    added = r.reactor->add(ends.fds[0], EPOLLIN | EPOLLET, [&](std::uint32_t events) { (void)tx.try_send(events); });
  });
  REQUIRE(added);
  ends.make_readable();
  REQUIRE(seen.recv_for(kWaitTimeout) == EPOLLIN);
  r.run([&] { r.reactor->set(ends.fds[0], EPOLLOUT | EPOLLET); });
  REQUIRE(seen.recv_for(kWaitTimeout) == EPOLLOUT);
}

TEST_CASE("lsp reactor: what was removed is not told of, can be added again, and an unknown one is no mistake") {
  const Ends ends;
  std::atomic<int> before{0};
  auto [tx, after] = mpsc::channel<int>(16);
  std::atomic<bool> added{false};
  const Running r;
  r.run([&] {
    (void)r.reactor->add(ends.fds[0], EPOLLIN | EPOLLET, [&](std::uint32_t) { ++before; });
    r.reactor->remove(ends.fds[0]);
    r.reactor->remove(ends.fds[0]);
    r.reactor->set(ends.fds[0], EPOLLIN);
    added = r.reactor->add(ends.fds[0], EPOLLIN | EPOLLET, [&](std::uint32_t) { (void)tx.try_send(1); });
  });
  REQUIRE(added);
  ends.make_readable();
  REQUIRE(after.recv_for(kWaitTimeout) == 1);
  REQUIRE(before == 0);
}

TEST_CASE("lsp reactor: a descriptor that the kernel refuses is said to be refused, and leaves nothing") {
  const Running r;
  const auto held = std::make_shared<int>(0);
  std::atomic<bool> added{true};
  r.run([&] { added = r.reactor->add(-1, EPOLLIN, [held](std::uint32_t) {}); });
  REQUIRE(!added);
  REQUIRE(held.use_count() == 1);
}

TEST_CASE("lsp reactor: an event that was fetched does not reach who got the same number meanwhile") {
  const Ends a;
  const Ends b;
  const Ends quiet;
  auto [tx, ran] = mpsc::channel<int>(16);
  std::atomic<int> first{0};
  std::atomic<int> wrong{0};
  const Running r;
  // Whichever handler runs first removes the other, whose number another descriptor gets.
  const auto take_the_place_of = [&](int other) {
    if (++first != 1) return;
    r.reactor->remove(other);
    (void)::dup2(quiet.fds[0], other);
    (void)r.reactor->add(other, EPOLLIN, [&](std::uint32_t) { ++wrong; });
    (void)tx.try_send(other);
  };
  a.make_readable();
  b.make_readable();
  r.run([&] {
    (void)r.reactor->add(a.fds[0], EPOLLIN | EPOLLET, [&](std::uint32_t) { take_the_place_of(b.fds[0]); });
    (void)r.reactor->add(b.fds[0], EPOLLIN | EPOLLET, [&](std::uint32_t) { take_the_place_of(a.fds[0]); });
  });
  REQUIRE(ran.recv_for(kWaitTimeout).has_value());
  r.run([] {});
  REQUIRE(first == 1);
  REQUIRE(wrong == 0);
}

TEST_CASE("lsp reactor: a handler may remove itself, and what it holds lives until it returns") {
  const Ends ends;
  auto held = std::make_shared<int>(7);
  const std::weak_ptr<int> lives = held;
  auto [tx, seen] = mpsc::channel<int>(16);
  const Running r;
  ends.make_readable();
  r.run([&] {
    (void)r.reactor->add(ends.fds[0], EPOLLIN, [&, own = std::move(held)](std::uint32_t) {
      r.reactor->remove(ends.fds[0]);
      (void)tx.try_send(lives.expired() ? -1 : *own);
    });
  });
  REQUIRE(seen.recv_for(kWaitTimeout) == 7);
  r.run([] {});
  REQUIRE(lives.expired());
}

TEST_CASE("lsp reactor: a signal does not end it") {
  const Running r;
  struct ::sigaction ignore{};
  struct ::sigaction before{};
  ignore.sa_handler = [](int) {};
  REQUIRE(::sigaction(SIGUSR1, &ignore, &before) == 0);
  std::atomic<int> thread{0};
  r.run([&] { thread = ::gettid(); });
  for (int i = 0; i < 100; ++i) {
    REQUIRE(::tgkill(::getpid(), thread, SIGUSR1) == 0);
    r.run([] {});
  }
  REQUIRE(::sigaction(SIGUSR1, &before, nullptr) == 0);
}

TEST_CASE("lsp reactor: stop() destroys the handlers, and what is posted after it") {
  const Running r;
  const Ends ends;
  const auto held = std::make_shared<int>(0);
  std::atomic<bool> ran{false};
  r.run([&] { (void)r.reactor->add(ends.fds[0], EPOLLIN, [held](std::uint32_t) {}); });
  REQUIRE(held.use_count() == 2);
  r.reactor->stop();
  REQUIRE(held.use_count() == 1);
  r.reactor->post([held, &ran] { ran = true; });
  REQUIRE(held.use_count() == 1);
  REQUIRE(!ran);
}

TEST_CASE("lsp reactor: what was posted and did not run is destroyed by stop()") {
  const Running r;
  const auto held = std::make_shared<int>(0);
  std::atomic<bool> stops{false};
  r.reactor->post([&, held] {
    stops.wait(false);
    // By one of them it has been told to stop; what it runs nevertheless is gone as well.
    for (int i = 0; i < 2000; ++i) r.reactor->post([held] {});
  });
  stops = true;
  stops.notify_one();
  r.reactor->stop();
  REQUIRE(held.use_count() == 1);
}

TEST_CASE(
    "lsp reactor: a descriptor that is paused is watched again when the pause is over, unless it is gone by then") {
  const Ends ends, gone;
  auto [tx, seen] = mpsc::channel<int>(16);
  std::atomic<int> added{0};
  const Running r;
  r.run([&] {
    for (const auto* each : {&ends, &gone}) {
      const int fd = each->fds[0];
      added += r.reactor->add(fd, EPOLLIN,
                              [&, fd](std::uint32_t) {
                                char byte = 0;
                                (void)!::read(fd, &byte, 1);
                                (void)tx.try_send(fd);
                                r.reactor->set_after(std::chrono::milliseconds(1), fd, EPOLLIN);
                              })
                   ? 1
                   : 0;
    }
  });
  REQUIRE(added == 2);
  for (int i = 0; i < 3; ++i) {
    ends.make_readable();
    REQUIRE(seen.recv_for(kWaitTimeout) == ends.fds[0]);
  }
  gone.make_readable();
  REQUIRE(seen.recv_for(kWaitTimeout) == gone.fds[0]);
  r.run([&] { r.reactor->remove(gone.fds[0]); });
  gone.make_readable();
  ends.make_readable();
  REQUIRE(seen.recv_for(kWaitTimeout) == ends.fds[0]);
  REQUIRE_FALSE(seen.try_recv());
}
