// SPDX-License-Identifier: Apache-2.0
//
// gantry/striped.hpp: a T for each of a few threads, on cache lines of its own, so that many threads can write at once.
//
//   gantry::Striped<std::atomic<std::uint64_t>> calls;
//   calls.mine().fetch_add(1, std::memory_order_relaxed);                 // on any thread
//   for (const auto& stripe : calls) sum += stripe.load(std::memory_order_relaxed);
//
// Thread rule: any thread. When there are more than kStripes threads some share a stripe, so a T is atomic or has a
//   lock.
// Order: none of its own. Whoever adds the stripes up while others write sees no single moment.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <gantry/detail/spin.hpp>

namespace gantry {

namespace detail {
/// Counts the threads, from 1, in the order in which they first ask.
inline std::size_t thread_number() noexcept {
  static constinit std::atomic<std::size_t> next{0};
  static constinit thread_local std::size_t mine = 0;
  if (mine == 0) [[unlikely]]
    mine = next.fetch_add(1, std::memory_order_relaxed) + 1;
  return mine;
}
}  // namespace detail

template <class T>
class Striped {
  struct alignas(detail::kCacheLine) Stripe : T {};

 public:
  static constexpr std::size_t kStripes = 8;

  /// The number of the calling thread's stripe, always the same one.
  [[nodiscard]] static std::size_t mine_at() noexcept { return detail::thread_number() % kStripes; }
  [[nodiscard]] T& mine() noexcept { return stripes_[mine_at()]; }
  [[nodiscard]] T& operator[](std::size_t at) noexcept { return stripes_[at]; }
  [[nodiscard]] const T& operator[](std::size_t at) const noexcept { return stripes_[at]; }

  [[nodiscard]] auto begin() noexcept { return stripes_.begin(); }
  [[nodiscard]] auto end() noexcept { return stripes_.end(); }
  [[nodiscard]] auto begin() const noexcept { return stripes_.begin(); }
  [[nodiscard]] auto end() const noexcept { return stripes_.end(); }

 private:
  std::array<Stripe, kStripes> stripes_;
};

}  // namespace gantry
