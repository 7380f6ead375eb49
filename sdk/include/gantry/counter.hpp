// SPDX-License-Identifier: Apache-2.0
//
// gantry/counter.hpp: counters for statistics: relaxed atomics, on cache lines of their own.
//
// Counter is one word, for code that counts on one thread, or seldom. StripedCounter has a word for
// each of a few threads, so that many can count at once without sharing a cache line; reading it
// adds them up.
//
// Thread rule: any thread.
// Order: none. A count orders no other memory access; an addition that happens before a read is
// seen by that read.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <gantry/detail/spin.hpp>

namespace gantry {

class alignas(detail::kCacheLine) Counter {
 public:
  void add(std::uint64_t n = 1) noexcept { value_.fetch_add(n, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

namespace detail {
/// A small number for each thread; shared when there are more threads than numbers.
inline std::size_t thread_number() noexcept {
  static constinit std::atomic<std::size_t> next{0};
  static constinit thread_local std::size_t mine = 0;
  if (mine == 0) [[unlikely]]
    mine = next.fetch_add(1, std::memory_order_relaxed) + 1;
  return mine;
}
}  // namespace detail

class StripedCounter {
 public:
  static constexpr std::size_t kStripes = 8;

  void add(std::uint64_t n = 1) noexcept { stripes_[detail::thread_number() % kStripes].add(n); }
  /// The sum of all additions so far; inexact while others add.
  [[nodiscard]] std::uint64_t get() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& stripe : stripes_) sum += stripe.get();
    return sum;
  }

 private:
  std::array<Counter, kStripes> stripes_;
};

}  // namespace gantry
