// SPDX-License-Identifier: Apache-2.0
//
// gantry/detail/sequence_core.hpp: what broadcast and watch share: how many hold each end of the channel, how many
// values were sent, and who waits for the next.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <gantry/detail/spin.hpp>
#include <gantry/waiting.hpp>
#include <memory>
#include <utility>

namespace gantry::detail {

/// Begins with one sender, and with the given number of receivers.
class SequenceCore {
 public:
  explicit SequenceCore(std::size_t receivers) : receivers_(receivers) {}
  SequenceCore(const SequenceCore&) = delete;
  SequenceCore& operator=(const SequenceCore&) = delete;

  /// How many values were sent. With acquire: those values are there.
  [[nodiscard]] std::uint64_t sent() const noexcept { return sent_.load(std::memory_order_acquire); }

  /// True: there is no need to wait, since `seen` are not all, or nobody sends any more, or it was withdrawn before.
  bool enter(WaitQueue::Place& place, std::uint64_t seen, Waiter& waiter) {
    const SpinGuard guard(lock_);
    if (senders_ == 0 || sent_.load(std::memory_order_relaxed) != seen) return true;
    return !waiting_.enter(place, waiter);
  }
  bool withdraw(WaitQueue::Place& place) {
    const SpinGuard guard(lock_);
    return waiting_.withdraw(place);
  }

  void add_sender() {
    const SpinGuard guard(lock_);
    ++senders_;
  }
  void drop_sender() {
    WakeList woken;
    const SpinGuard guard(lock_);
    if (--senders_ == 0) waiting_.take_all(woken);
  }

 protected:
  ~SequenceCore() = default;

  /// One value more; who waits is to be woken.
  void publish(WakeList& woken) GANTRY_REQUIRES(lock_) {
    sent_.store(sent_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    waiting_.take_all(woken);
  }

  mutable SpinLock lock_;
  std::atomic<std::uint64_t> sent_{0};  ///< changed under the lock, read also without
  std::size_t senders_ GANTRY_GUARDED_BY(lock_) = 1;
  std::size_t receivers_ GANTRY_GUARDED_BY(lock_);
  WaitQueue waiting_ GANTRY_GUARDED_BY(lock_);
};

/// A sender's share of a core: each copy counts as one sender. The first takes over the one that a core begins with.
template <class Core>
class SenderShare {
 public:
  explicit SenderShare(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  SenderShare(const SenderShare& other) : core_(other.core_) {
    if (core_) core_->add_sender();
  }
  SenderShare(SenderShare&&) noexcept = default;
  SenderShare& operator=(SenderShare other) noexcept {
    core_.swap(other.core_);
    return *this;
  }
  ~SenderShare() {
    if (core_) core_->drop_sender();
  }

  /// Null: moved from.
  [[nodiscard]] const std::shared_ptr<Core>& core() const noexcept { return core_; }

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace gantry::detail
