// SPDX-License-Identifier: Apache-2.0
//
// gantry/detail/completion.hpp: one word between the side that completes an operation once and the
// side that waits for it.
//
// Each side changes the word with one atomic read-modify-write, so that of two changes the later
// one sees the earlier. Used by oneshot (the sender finishes) and by spawned tasks (the coroutine
// finishes). Model: tests/model/oneshot.pml.
//
// Thread rule: finish() by one side, once, as its last access; the rest by the other side;
// withdraw() by any thread, until the waiting side goes on.
#pragma once

#include <atomic>
#include <cstdint>
#include <gantry/waiting.hpp>

namespace gantry::detail {

class Completion {
 public:
  /// Wakes the waiting side. False: nobody will look any more, and the caller frees the object that
  /// holds this word.
  [[nodiscard]] bool finish() noexcept {
    const auto before = word_.fetch_or(kDone, std::memory_order_acq_rel);
    if ((before & kGone) != 0) return false;
    // With kCancelled the cancelling thread wakes; without it the waiting side waits for this wake,
    // so the object stays.
    if ((before & (kWaits | kCancelled)) == kWaits) wake(waiter_);
    return true;
  }
  [[nodiscard]] bool done() const noexcept { return (word_.load(std::memory_order_acquire) & kDone) != 0; }
  [[nodiscard]] bool gone() const noexcept { return (word_.load(std::memory_order_acquire) & kGone) != 0; }

  /// True: there is nothing to wait for.
  bool enter(Waiter& waiter) noexcept {
    waiter_ = &waiter;
    return (word_.fetch_or(kWaits, std::memory_order_acq_rel) & (kDone | kCancelled)) != 0;
  }
  /// Leaves a mark that a later enter() finds, so withdraw() may come first.
  bool withdraw() noexcept {
    constexpr std::uint32_t kAll = kWaits | kDone | kCancelled;
    return (word_.fetch_or(kCancelled, std::memory_order_acq_rel) & kAll) == kWaits;
  }
  /// Ready for the next wait.
  void reset() noexcept { word_.fetch_and(~(kWaits | kCancelled), std::memory_order_acq_rel); }
  /// The waiting side leaves. True: the other side has finished, and the caller frees the object
  /// that holds this word.
  [[nodiscard]] bool leave() noexcept {
    return done() || (word_.fetch_or(kGone, std::memory_order_acq_rel) & kDone) != 0;
  }

 private:
  static constexpr std::uint32_t kDone = 1;
  static constexpr std::uint32_t kGone = 2;
  static constexpr std::uint32_t kWaits = 4;
  static constexpr std::uint32_t kCancelled = 8;
  std::atomic<std::uint32_t> word_{0};
  Waiter* waiter_;  ///< set before kWaits

 public:
  Completion() noexcept {}  // NOLINT(cppcoreguidelines-pro-type-member-init, modernize-use-equals-default)
};

}  // namespace gantry::detail
