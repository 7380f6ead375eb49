// SPDX-License-Identifier: Apache-2.0
//
// gantry/channel/watch.hpp: the latest value, from many writers to many watchers.
//
//   auto [tx, rx] = gantry::watch::channel<Settings>(initial);
//   tx.send(changed);                 // never waits; what nobody looked at is replaced
//   while (rx.changed()) use(*rx.get());
//
// Thread rule: Sender and Receiver are copyable; each copy is used by one thread at a time, copies by any threads at
// once. Values: immutable once sent. get() hands out shared ownership, so a watcher may keep one as long as it likes.
// Lagging: a watcher sees the newest value and no history; it is told that there was a change, not how many.
// Closed: when the last Sender is gone, changed() reports a change that was not seen yet, then the end. When the last
//   Receiver is gone, send() refuses with `unavailable`; has_receivers() tells.
// Cancelled, timed out: the change, if there is one, is still unseen.
// Never: the last value that was sent is missed; changed() returns for a value that this watcher has marked as seen.
#pragma once

#include <cstdint>
#include <gantry/detail/spin.hpp>
#include <gantry/result.hpp>
#include <gantry/waiting.hpp>
#include <memory>
#include <utility>

namespace gantry::watch {

namespace detail {

using gantry::detail::SpinGuard;
using gantry::detail::SpinLock;
using gantry::detail::WaitQueue;
using gantry::detail::WakeList;

template <class T>
class Core {
 public:
  explicit Core(std::shared_ptr<const T> value) : value_(std::move(value)) {}

  Result<void> send(std::shared_ptr<const T> value) {
    WakeList woken;
    {
      const SpinGuard guard(lock_);
      if (receivers_ == 0) return fail(ErrorKind::unavailable, "closed");
      value_.swap(value);
      version_.store(version_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
      waiting_.take_all(woken);
    }
    return {};  // the old value dies here, outside of the lock
  }
  /// The value and its version.
  [[nodiscard]] std::pair<std::shared_ptr<const T>, std::uint64_t> get() const {
    const SpinGuard guard(lock_);
    return {value_, version_.load(std::memory_order_relaxed)};
  }
  [[nodiscard]] std::uint64_t version() const noexcept { return version_.load(std::memory_order_acquire); }
  [[nodiscard]] std::size_t receivers() const {
    const SpinGuard guard(lock_);
    return receivers_;
  }

  bool enter(WaitQueue::Place& place, std::uint64_t seen, Waiter& waiter) {
    const SpinGuard guard(lock_);
    if (senders_ == 0 || version_.load(std::memory_order_relaxed) != seen) return true;
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
  void add_receiver() {
    const SpinGuard guard(lock_);
    ++receivers_;
  }
  void drop_receiver() {
    const SpinGuard guard(lock_);
    --receivers_;
  }

 private:
  mutable SpinLock lock_;
  std::atomic<std::uint64_t> version_{0};  ///< changed under the lock, read also without
  std::shared_ptr<const T> value_ GANTRY_GUARDED_BY(lock_);
  std::size_t senders_ GANTRY_GUARDED_BY(lock_) = 1;
  std::size_t receivers_ GANTRY_GUARDED_BY(lock_) = 1;
  WaitQueue waiting_ GANTRY_GUARDED_BY(lock_);
};

/// A wait for a version newer than `*seen`.
template <class T, class R>
struct ChangedOp {
  std::shared_ptr<Core<T>> core;
  std::uint64_t* seen;
  WaitQueue::Place place{};

  // The end is looked for by start(), under the lock that it takes anyway.
  bool poll() { return core == nullptr || core->version() != *seen; }
  bool start(Waiter& waiter) { return core->enter(place, *seen, waiter); }
  bool cancel() { return core->withdraw(place); }
  R finish(WaitEnd end) {
    const auto version = core == nullptr ? *seen : core->version();
    const bool changed = std::exchange(*seen, version) != version;
    if constexpr (std::is_same_v<R, bool>) {
      return changed;
    } else {
      if (changed) return {};
      return end == WaitEnd::complete ? fail(ErrorKind::unavailable, "closed") : wait_failed(end);
    }
  }
};

}  // namespace detail

template <class T>
class Sender {
 public:
  explicit Sender(std::shared_ptr<detail::Core<T>> core) : core_(std::move(core)) {}
  Sender(const Sender& other) : core_(other.core_) {
    if (core_) core_->add_sender();
  }
  Sender(Sender&&) noexcept = default;
  Sender& operator=(Sender other) noexcept {
    core_.swap(other.core_);
    return *this;
  }
  ~Sender() {
    if (core_) core_->drop_sender();
  }

  /// Never waits. `unavailable`: there is no receiver any more, and the value was dropped.
  Result<void> send(T value) { return send(std::make_shared<const T>(std::move(value))); }
  Result<void> send(std::shared_ptr<const T> value) {
    if (!core_) return fail(ErrorKind::unavailable, "closed");
    return core_->send(std::move(value));
  }
  [[nodiscard]] bool has_receivers() const { return core_ && core_->receivers() != 0; }

 private:
  std::shared_ptr<detail::Core<T>> core_;
};

template <class T>
class Receiver {
 public:
  explicit Receiver(std::shared_ptr<detail::Core<T>> core) : core_(std::move(core)) {}
  /// A copy has seen what this one has seen.
  Receiver(const Receiver& other) : core_(other.core_), seen_(other.seen_) {
    if (core_) core_->add_receiver();
  }
  Receiver(Receiver&&) noexcept = default;
  Receiver& operator=(Receiver other) noexcept {
    core_.swap(other.core_);
    std::swap(seen_, other.seen_);
    return *this;
  }
  ~Receiver() {
    if (core_) core_->drop_receiver();
  }

  /// The newest value, which counts as seen from now on. Not on a moved-from receiver.
  [[nodiscard]] std::shared_ptr<const T> get() {
    auto [value, version] = core_->get();
    seen_ = version;
    return value;
  }
  /// Is there a value that was not seen? Does not wait.
  [[nodiscard]] bool has_changed() const { return core_ && core_->version() != seen_; }

  /// Waits for a value that was not seen, and counts it as seen. False: every sender is gone.
  [[nodiscard]] bool changed() { return block(detail::ChangedOp<T, bool>{core_, &seen_}); }
  /// `unavailable`: every sender is gone; `timeout`, `cancelled`.
  [[nodiscard]] Result<void> changed(const WaitLimits& limits) {
    return block(detail::ChangedOp<T, Result<void>>{core_, &seen_}, limits);
  }
  /// bool, as changed(). This receiver must stay until it is complete.
  [[nodiscard]] auto async_changed() { return Await<detail::ChangedOp<T, bool>>(CancelToken(), core_, &seen_); }
  [[nodiscard]] auto async_changed(CancelToken token) {
    return Await<detail::ChangedOp<T, Result<void>>>(std::move(token), core_, &seen_);
  }

 private:
  std::shared_ptr<detail::Core<T>> core_;
  std::uint64_t seen_ = 0;
};

template <class T>
struct Channel {
  Sender<T> tx;
  Receiver<T> rx;
};

/// The initial value counts as seen; get() returns it.
template <class T>
[[nodiscard]] Channel<T> channel(T initial) {
  auto core = std::make_shared<detail::Core<T>>(std::make_shared<const T>(std::move(initial)));
  return Channel<T>{Sender<T>(core), Receiver<T>(core)};
}

}  // namespace gantry::watch
