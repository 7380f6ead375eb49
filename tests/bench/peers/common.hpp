// SPDX-License-Identifier: Apache-2.0
//
// The common part of the C++ programs of `./dev bench`: the protocol of README.md, the clock,
// threads that start together, and the check of received messages.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <latch>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace peer {

using u64 = std::uint64_t;

struct Message {
  u64 sender = 0;
  u64 sequence = 0;
  std::array<u64, 6> padding{};
};
static_assert(sizeof(Message) == 64);

inline constexpr std::size_t kCapacity = 1024;
inline constexpr std::size_t kBurst = 256;

/// Prints what is wrong and ends the program.
[[noreturn, gnu::cold, gnu::noinline]] inline void wrong(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::_Exit(1);
}
inline void require(bool holds, const char* what) {
  if (!holds) wrong(what);
}

/// Makes the optimiser assume that this value is read, and that all memory changes.
template <class T>
inline void keep(const T& value) {
  asm volatile("" : : "r"(&value) : "memory");
}
template <class T>
inline void keep_pointer(T* pointer) {
  asm volatile("" : : "r"(pointer) : "memory");
}

/// The wall-clock and processor time between start() and stop().
class Timer {
 public:
  void start() {
    cpu_ = cpu_now();
    at_ = std::chrono::steady_clock::now();
  }
  void stop() {
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - at_).count();
    cpu_seconds = cpu_now() - cpu_;
  }
  /// Adds the time of one operation, for rows that show the median of operations.
  void sample(double nanoseconds) { ns.push_back(static_cast<float>(nanoseconds)); }
  double seconds = 0;
  double cpu_seconds = 0;
  std::vector<float> ns;

 private:
  static double cpu_now() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto of = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return of(usage.ru_utime) + of(usage.ru_stime);
  }
  std::chrono::steady_clock::time_point at_;
  double cpu_ = 0;
};

/// Checks that all messages of each sender arrive, in order.
class Order {
 public:
  explicit Order(std::size_t senders) : next_(senders) {}
  void got(u64 sender, u64 sequence) {
    if (sender >= next_.size() || next_[sender]++ != sequence) wrong("a message is lost or out of order");
    ++total_;
  }
  void got(const Message& message) { got(message.sender, message.sequence); }
  void finished(u64 total) const {
    if (total_ != total) wrong(std::to_string(total_) + " of " + std::to_string(total) + " messages");
  }

 private:
  std::vector<u64> next_;
  u64 total_ = 0;
};

/// The share of `ops` for the `index`th of `count` threads.
constexpr u64 share(u64 ops, std::size_t count, std::size_t index) {
  return ops / count + (index < ops % count ? 1 : 0);
}

/// Threads that wait for go() before they run `body(index)`; the destructor joins them.
class Team {
 public:
  Team(std::size_t count, const std::function<void(std::size_t)>& body) : ready_(static_cast<std::ptrdiff_t>(count)) {
    for (std::size_t i = 0; i < count; ++i) {
      threads_.emplace_back([this, i, body] {
        ready_.count_down();
        go_.wait();
        body(i);
      });
    }
    ready_.wait();
  }
  void go() { go_.count_down(); }
  void join() {
    for (auto& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  std::latch ready_;
  std::latch go_{1};
  std::vector<std::thread> threads_;
};

/// Runs `body(index, its share of ops)` on `count` threads; timed from go() to the end of the last
/// thread.
inline u64 run_threads(std::size_t count, u64 ops, Timer& timer, const std::function<void(std::size_t, u64)>& body) {
  Team team(count, [&](std::size_t i) { body(i, share(ops, count, i)); });
  timer.start();
  team.go();
  team.join();
  timer.stop();
  return ops;
}

/// xorshift64*: the same cheap source of keys in every program.
class Random {
 public:
  explicit Random(u64 seed) : state_(seed * 0x9E3779B97F4A7C15U + 1) {}
  u64 operator()() {
    state_ ^= state_ >> 12U;
    state_ ^= state_ << 25U;
    state_ ^= state_ >> 27U;
    return (state_ * 0x2545F4914F6CDD1DU) >> 32U;
  }

 private:
  u64 state_;
};

/// The peak memory of this program alone; getrusage's figure survives exec and so includes the
/// parent's memory.
inline long max_rss_kib() {
  long kib = 0;
  if (std::FILE* file = std::fopen("/proc/self/status", "r"); file != nullptr) {
    std::array<char, 256> line{};
    while (std::fgets(line.data(), line.size(), file) != nullptr && std::sscanf(line.data(), "VmHWM: %ld", &kib) != 1) {
    }
    std::fclose(file);
  }
  return kib;
}

struct Workload {
  std::string name;
  std::string note;
  /// Runs about `ops` operations and returns how many they were.
  std::function<u64(u64 ops, Timer& timer)> run;
};

inline int run(const std::vector<Workload>& workloads, int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--list") {
    for (const auto& workload : workloads) std::printf("%s\t%s\n", workload.name.c_str(), workload.note.c_str());
    return 0;
  }
  const auto found = std::find_if(workloads.begin(), workloads.end(),
                                  [&](const Workload& w) { return argc == 3 && w.name == argv[1]; });
  const u64 ops = argc == 3 ? std::strtoull(argv[2], nullptr, 10) : 0;
  if (found == workloads.end() || ops == 0) wrong(std::string("usage: ") + argv[0] + " --list | NAME OPS");
  Timer warm_up;
  (void)found->run(std::max<u64>(1, ops / 10), warm_up);
  Timer timer;
  const u64 done = found->run(ops, timer);
  std::sort(timer.ns.begin(), timer.ns.end());
  const auto percentile = [&](double part) {
    return timer.ns.empty() ? 0.0 : timer.ns[static_cast<std::size_t>(static_cast<double>(timer.ns.size() - 1) * part)];
  };
  std::printf(
      "{\"ops\":%llu,\"seconds\":%.9f,\"cpu_seconds\":%.6f,\"max_rss_kib\":%ld,\"p50_ns\":%.0f,\"p99_ns\":%.0f}\n",
      static_cast<unsigned long long>(done), timer.seconds, timer.cpu_seconds, max_rss_kib(), percentile(0.5),
      percentile(0.99));
  std::fflush(stdout);
  return 0;
}

}  // namespace peer
