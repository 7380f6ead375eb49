// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/inline/delivery_watch.hpp: finds a delivery to a plugin that does not return.
//
// Each delivery has a number; a word holds it while the plugin is inside the delivery. A timer
// looks at the word a few times within `timeout`: if the number is the same each time, the plugin
// hangs. A delivery sets the timer if it is not set, and only a look that finds a delivery sets it
// again: a plugin that has nothing to do causes no wake-ups.
//
// Thread rule: enter() and leave() serially, a few plain stores; the rest by the timer, where
// `hung` is called, once. The word and the timer are Dekker's pattern (asymmetric_fence.hpp): a
// delivery writes its number, then looks for the timer; the look takes the timer away, then looks
// for a number.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <gantry/detail/asymmetric_fence.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "host/runtime/timers.hpp"

namespace gantry::host {

class DeliveryWatch : public std::enable_shared_from_this<DeliveryWatch> {
 public:
  /// A hang is found after `timeout`, and at most a quarter of it later.
  static constexpr int kLooks = 4;
  using OnHung = std::function<void(const std::string& what)>;

  /// `timeout` zero: deliveries are not watched.
  DeliveryWatch(Timers& timers, Duration timeout, OnHung hung)
      : timers_(timers), timeout_(timeout), hung_(std::move(hung)) {}

  void enter(std::string_view what) noexcept {
    if (timeout_ == Duration::zero()) return;
    std::array<std::uint64_t, kWords> text{};
    std::memcpy(text.data(), what.data(), std::min(what.size(), sizeof text));
    for (std::size_t i = 0; i < kWords; ++i) what_[i].store(text[i], std::memory_order_relaxed);
    number_.store(number_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    asymmetric_ ? detail::light_fence() : std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!armed_.load(std::memory_order_relaxed) && !armed_.exchange(true)) arm();
  }
  /// Any thread: `hung` is not called any more, except for a call that has begun.
  void end() { ended_.store(true, std::memory_order_relaxed); }
  void leave() noexcept {
    if (timeout_ == Duration::zero()) return;
    number_.store(number_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }

 private:
  static constexpr std::size_t kWords = 8;

  void arm() {
    (void)timers_.after(timeout_ / kLooks, [weak = weak_from_this()] {
      if (const auto watch = weak.lock()) watch->look();
    });
  }
  void look() {
    if (ended_.load(std::memory_order_relaxed)) return;
    const auto number = number_.load(std::memory_order_acquire);
    if (!is_inside(number)) {
      armed_.store(false, std::memory_order_relaxed);
      asymmetric_ ? detail::heavy_fence() : std::atomic_thread_fence(std::memory_order_seq_cst);
      if (is_inside(number_.load(std::memory_order_relaxed)) && !armed_.exchange(true)) arm();
      return;
    }
    if (number != seen_) {
      seen_ = number;
      looks_ = 0;
    } else if (++looks_ == kLooks) {
      report(number);
      return;
    }
    arm();
  }
  void report(std::uint64_t number) {
    std::array<char, kWords * sizeof(std::uint64_t) + 1> text{};
    for (std::size_t i = 0; i < kWords; ++i) {
      const auto word = what_[i].load(std::memory_order_relaxed);
      std::memcpy(text.data() + i * sizeof word, &word, sizeof word);
    }
    std::atomic_thread_fence(std::memory_order_acquire);
    if (number_.load(std::memory_order_relaxed) != number) {  // the delivery has returned at the last moment
      arm();
      return;
    }
    hung_(text.data());
  }
  [[nodiscard]] static bool is_inside(std::uint64_t number) { return number % 2 != 0; }

  Timers& timers_;
  const Duration timeout_;
  const OnHung hung_;
  const bool asymmetric_ = detail::asymmetric_fences();
  std::atomic<std::uint64_t> number_{0};  ///< odd: the plugin is in a delivery
  std::array<std::atomic<std::uint64_t>, kWords> what_{};
  std::atomic<bool> armed_{false};
  std::atomic<bool> ended_{false};
  // These are the timer's; there is only one.
  std::uint64_t seen_ = 0;
  int looks_ = 0;
};

}  // namespace gantry::host
