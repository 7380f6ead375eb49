// SPDX-License-Identifier: Apache-2.0
//
// What a connection has yet to write, on a socket whose other end the test reads.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <string>
#include <thread>

#include "host/runtime/outbox.hpp"

using namespace gantry;
using namespace gantry::host;
using State = Outbox::State;
using When = Outbox::When;

namespace {

struct Pair {
  std::array<int, 2> fds{};
  Pair() { REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()) == 0); }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;
  ~Pair() {
    ::close(fds[0]);
    close_reader();
  }
  void close_reader() {
    if (fds[1] >= 0) ::close(fds[1]);
    fds[1] = -1;
  }
  /// What is there now.
  [[nodiscard]] std::string read() const {
    std::string all;
    std::array<char, 65536> some{};
    for (ssize_t got = 0; (got = ::recv(fds[1], some.data(), some.size(), 0)) > 0;)
      all.append(some.data(), static_cast<std::size_t>(got));
    return all;
  }
};

constexpr std::size_t kPlenty = std::size_t{64} << 20;

}  // namespace

TEST_CASE("outbox: what has time gathers until it is flushed, what has none is written at once behind it") {
  const Pair pair;
  Outbox box(pair.fds[0], kPlenty);
  REQUIRE(box.put(Framing::lines, "a", When::later) == State::gathered);
  REQUIRE(pair.read().empty());
  REQUIRE(box.put(Framing::lines, "b", When::now) == State::empty);
  REQUIRE(pair.read() == "a\nb\n");
  REQUIRE(box.put(Framing::headers, "c", When::later) == State::gathered);
  REQUIRE(box.flush() == State::empty);
  REQUIRE(pair.read() == "Content-Length: 1\r\n\r\nc");
  REQUIRE(box.size() == 0);
}

TEST_CASE("outbox: while it is corked everything gathers, up to a bound") {
  const Pair pair;
  Outbox box(pair.fds[0], kPlenty);
  box.cork();
  REQUIRE(box.put(Framing::lines, "a", When::now) == State::empty);
  REQUIRE(box.put(Framing::lines, "b", When::later) == State::empty);
  REQUIRE(pair.read().empty());
  REQUIRE(box.uncork() == State::empty);
  REQUIRE(pair.read() == "a\nb\n");
  for (const bool corked : {true, false}) {
    CAPTURE(corked);
    if (corked) box.cork();
    const std::string most(Outbox::kCorkedBytes - 1, 'x');  // and its line end
    REQUIRE(box.put(Framing::lines, most.substr(1), When::later) == (corked ? State::empty : State::gathered));
    REQUIRE(pair.read().empty());
    (void)box.put(Framing::lines, "", When::later);
    REQUIRE(!pair.read().empty());
    while (box.uncork() == State::waiting) (void)pair.read();
    (void)pair.read();
  }
}

TEST_CASE("outbox: what the socket does not take waits, in order, and more than the bound is refused") {
  const Pair pair;
  constexpr std::size_t kMost = 1 << 20;
  Outbox box(pair.fds[0], kMost);
  std::string all;
  State state = State::empty;
  for (int i = 0; state != State::full; ++i) {
    const std::string message = std::to_string(i) + std::string(10'000, 'x');
    state = box.put(Framing::lines, message, When::now);
    if (state != State::full) all += message + "\n";
    REQUIRE(box.size() <= kMost + 1);  // the bound is on messages, not on their frames
  }
  REQUIRE(box.size() > kMost - 11'000);
  REQUIRE(box.flush() == State::waiting);
  std::string got;
  while (box.flush() == State::waiting) got += pair.read();
  got += pair.read();
  REQUIRE(got == all);
  REQUIRE(box.size() == 0);
  REQUIRE(box.put(Framing::lines, "again", When::now) == State::empty);
  REQUIRE(pair.read() == "again\n");
}

TEST_CASE("outbox: what gathered is written before a message is refused") {
  const Pair pair;
  Outbox box(pair.fds[0], 100);
  const std::string message(90, 'x');
  REQUIRE(box.put(Framing::lines, message, When::later) == State::gathered);
  REQUIRE(box.put(Framing::lines, message, When::later) == State::gathered);
  REQUIRE(pair.read() == message + "\n");
  REQUIRE(box.put(Framing::lines, std::string(101, 'x'), When::later) == State::full);
  REQUIRE(pair.read() == message + "\n");
}

TEST_CASE("outbox: one whose reader is gone is broken for good, and so is one that was closed") {
  Pair pair;
  Outbox box(pair.fds[0], 100);
  REQUIRE(box.put(Framing::lines, std::string(90, 'x'), When::later) == State::gathered);
  pair.close_reader();
  REQUIRE(box.put(Framing::lines, std::string(90, 'x'), When::later) == State::broken);
  REQUIRE(box.put(Framing::lines, "a", When::later) == State::broken);
  REQUIRE(box.flush() == State::broken);

  const Pair other;
  Outbox closed(other.fds[0], 100);
  REQUIRE(closed.put(Framing::lines, "a", When::later) == State::gathered);
  closed.close();
  REQUIRE(closed.size() == 0);
  REQUIRE(closed.put(Framing::lines, "b", When::now) == State::broken);
  REQUIRE(closed.uncork() == State::broken);
  REQUIRE(other.read().empty());
}

// Who sees bytes wait, waits for the news that they have left; of bytes that leave at once there is no news.
TEST_CASE("outbox: bytes that are being written by another thread do not count as waiting") {
  constexpr int kRounds = 2000;
  const Pair pair;
  Outbox box(pair.fds[0], kPlenty);
  const std::string message(100'000, 'x');
  std::atomic<bool> over{false};
  std::atomic<std::size_t> seen{0};
  std::thread observer([&] {
    while (!over) seen = std::max(seen.load(), box.size());
  });
  bool at_once = true;
  for (int i = 0; i < kRounds; ++i) {
    at_once = box.put(Framing::lines, message, When::now) == State::empty && at_once;
    (void)pair.read();
  }
  over = true;
  observer.join();
  REQUIRE(at_once);
  REQUIRE(seen == 0);
}
