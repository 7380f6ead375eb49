// SPDX-License-Identifier: Apache-2.0
//
// Bounds, not peers: the least that a workload can cost on this machine.
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "tests/bench/peers/common.hpp"

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

/// `there` says it to the other one, which answers so that `back` returns. Each round trip is timed.
template <class There, class Back>
u64 round_trips(u64 ops, Timer& timer, There there, Back back) {
  timer.start();
  auto begun = std::chrono::steady_clock::now();
  for (u64 i = 0; i < ops; ++i) {
    there();
    back();
    const auto ended = std::chrono::steady_clock::now();
    timer.sample(std::chrono::duration<double, std::nano>(ended - begun).count());
    begun = ended;
  }
  timer.stop();
  return ops;
}

/// Two threads wake each other.
u64 eventfd_round_trip(u64 ops, Timer& timer) {
  const std::array<int, 2> ends{::eventfd(0, EFD_CLOEXEC), ::eventfd(0, EFD_CLOEXEC)};
  const auto wait = [&](std::size_t end) {
    u64 value = 0;
    require(::read(ends[end], &value, sizeof value) == sizeof value && value == 1, "no wake-up");
  };
  const auto wake = [&](std::size_t end) {
    constexpr u64 kOne = 1;
    require(::write(ends[end], &kOne, sizeof kOne) == sizeof kOne, "no wake-up");
  };
  std::thread other([&] {
    for (u64 i = 0; i < ops; ++i) {
      wait(0);
      wake(1);
    }
  });
  (void)round_trips(ops, timer, [&] { wake(0); }, [&] { wait(1); });
  other.join();
  for (const int end : ends) ::close(end);
  return ops;
}

/// Two processes send each other 64 bytes.
u64 socketpair_round_trip(u64 ops, Timer& timer) {
  std::array<int, 2> ends{};
  require(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0, "no socket pair");
  const pid_t other = ::fork();
  std::array<char, 64> bytes{};
  if (other == 0) {
    ::close(ends[0]);
    while (::recv(ends[1], bytes.data(), bytes.size(), MSG_WAITALL) == ssize_t{bytes.size()} &&
           ::send(ends[1], bytes.data(), bytes.size(), MSG_NOSIGNAL) == ssize_t{bytes.size()}) {
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  (void)round_trips(
      ops, timer, [&] { require(::send(ends[0], bytes.data(), bytes.size(), 0) == 64, "not sent"); },
      [&] { require(::recv(ends[0], bytes.data(), bytes.size(), MSG_WAITALL) == 64, "nothing came"); });
  ::close(ends[0]);
  ::waitpid(other, nullptr, 0);
  return ops;
}

}  // namespace

int main(int argc, char** argv) {
  return run(
      {{"plugin.call.thread+eventfd", "two threads wake each other; nothing is said", eventfd_round_trip},
       {"plugin.call.child+socketpair", "64 bytes there and back, blocking; CPU of one end", socketpair_round_trip},
       {"spsc.480.1t+two_memcpys", "no ring, no check for room", two_memcpys},
       {"lazy.borrow.1t+acquire_load", "no check whether it is built",
        [](u64 ops, Timer& t) { return acquire_load(1, ops, t); }},
       {"lazy.borrow.2t+acquire_load", "no check whether it is built",
        [](u64 ops, Timer& t) { return acquire_load(2, ops, t); }}},
      argc, argv);
}
