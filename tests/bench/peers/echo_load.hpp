// SPDX-License-Identifier: Apache-2.0
//
// The common part of the clients of the echo rows that call through a library of their own:
//
//     load-NAME SOCKET CONNECTIONS DEPTH [WORD...]
//
// connects and prints "ready". For each line on stdin, which is a number of seconds, it keeps DEPTH
// calls in flight on each connection for that time, waits for the last answers and prints one line
// of JSON: calls, seconds, p50_ns, p99_ns. Any other line is an error message, and the program
// ends. Every answer is checked; every call has a time-out.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace echo_load {

using Clock = std::chrono::steady_clock;

/// The time-out of each call.
inline constexpr std::chrono::seconds kTimeout{10};

/// Prints what is wrong and ends the program.
[[noreturn, gnu::cold]] inline void fail(const std::string& what) {
  std::printf("%s\n", what.c_str());
  std::fflush(stdout);
  std::_Exit(1);
}

struct Load {
  std::string socket;
  std::size_t connections;
  std::size_t depth;
  std::vector<std::string> words;

  Load(int argc, char** argv)
      : socket(argc > 3 ? argv[1] : ""),
        connections(argc > 3 ? std::strtoul(argv[2], nullptr, 10) : 0),
        depth(argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 0) {
    if (connections == 0 || depth == 0) fail("usage: SOCKET CONNECTIONS DEPTH [WORD...]");
    for (int i = 4; i < argc; ++i) words.emplace_back(argv[i]);
  }
  [[nodiscard]] bool has(std::string_view word) const { return std::ranges::find(words, word) != words.end(); }
};

/// A library implements ask() and wait(). A slot is one of the calls in flight; `slot / depth` is
/// its connection.
class Client {
 public:
  explicit Client(const Load& load) : load_(load), sent_(load.connections * load.depth), pending_(sent_.size()) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  virtual ~Client() = default;

  /// Serves the commands on stdin until it ends.
  int run() {
    std::puts("ready");
    std::fflush(stdout);
    std::array<char, 64> line{};
    while (std::fgets(line.data(), line.size(), stdin) != nullptr) call_for(std::strtod(line.data(), nullptr));
    return 0;
  }

 protected:
  /// Starts a call with the params `n` and text().
  virtual void ask(std::size_t slot, std::uint64_t n) = 0;
  /// Waits for events, and passes each answer to answered().
  virtual void wait() = 0;

  [[nodiscard]] const Load& load() const { return load_; }
  /// A text of the same length as in the JSON-RPC request of 200 bytes.
  [[nodiscard]] const std::string& text() const { return text_; }
  void answered(std::size_t slot, std::uint64_t n, std::string_view text) {
    if (n != pending_[slot] || text != text_) fail("an answer with other params");
    const auto now = Clock::now();
    ns_.push_back(std::chrono::duration<float, std::nano>(now - sent_[slot]).count());
    --in_flight_;
    if (now < until_) start(slot, now);
  }

 private:
  void start(std::size_t slot, Clock::time_point now) {
    pending_[slot] = ++serial_;
    sent_[slot] = now;
    ++in_flight_;
    ask(slot, pending_[slot]);
  }
  [[nodiscard]] double percentile(double part) {
    const auto at = ns_.begin() + static_cast<std::ptrdiff_t>(static_cast<double>(ns_.size() - 1) * part);
    std::nth_element(ns_.begin(), at, ns_.end());
    return *at;
  }
  void call_for(double seconds) {
    ns_.clear();
    ns_.reserve(static_cast<std::size_t>(seconds * 600'000));
    const auto begun = Clock::now();
    until_ = begun + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    for (std::size_t slot = 0; slot < sent_.size(); ++slot) start(slot, Clock::now());
    while (in_flight_ != 0) wait();
    const double took = std::chrono::duration<double>(Clock::now() - begun).count();
    std::printf("{\"calls\":%zu,\"seconds\":%.9f,\"p50_ns\":%.0f,\"p99_ns\":%.0f}\n", ns_.size(), took, percentile(0.5),
                percentile(0.99));
    std::fflush(stdout);
  }
  [[nodiscard]] static std::string make_text() {
    std::string text;
    while (text.size() < 107) text += "the quick brown fox "[text.size() % 20];
    return text;
  }

  const Load load_;
  const std::string text_ = make_text();
  std::vector<Clock::time_point> sent_;
  std::vector<std::uint64_t> pending_;  ///< for each slot the `n` that it waits for
  std::vector<float> ns_;
  std::uint64_t serial_ = 100'000'000'000;
  std::size_t in_flight_ = 0;
  Clock::time_point until_;
};

}  // namespace echo_load
