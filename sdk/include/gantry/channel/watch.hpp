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
// Lagging: a watcher sees the newest value and no history; it learns that there was a change, not how many there were.
// Closed: when the last Sender is gone, changed() reports a change that was not seen yet, then the end. When the last
//   Receiver is gone, send() refuses with `unavailable`; has_receivers() says whether one is there.
// Cancelled, timed out: the change, if there is one, is still unseen.
// Never: the last value that was sent is missed; changed() returns for a value that this watcher has marked as seen.
#pragma once

#include <cstdint>
#include <gantry/detail/sequence_core.hpp>
#include <gantry/detail/spin.hpp>
#include <gantry/result.hpp>
#include <gantry/waiting.hpp>
#include <memory>
#include <type_traits>
#include <utility>

namespace gantry::watch {

namespace detail {

using gantry::detail::SequenceCore;
using gantry::detail::SpinGuard;
using gantry::detail::WaitQueue;
using gantry::detail::WakeList;

/// A value's version is how many were sent before it and with it.
template <class T>
class Core final : public SequenceCore {
 public:
  explicit Core(std::shared_ptr<const T> value) : SequenceCore(1), value_(std::move(value)) {}

  Result<void> send(std::shared_ptr<const T> value) {
    WakeList woken;
    {
      const SpinGuard guard(lock_);
      if (receivers_ == 0) return fail(ErrorKind::unavailable, "closed");
      value_.swap(value);
      publish(woken);
    }
    return {};  // the old value dies here, outside of the lock
  }
  /// The value and its version.
  [[nodiscard]] std::pair<std::shared_ptr<const T>, std::uint64_t> get() const {
    const SpinGuard guard(lock_);
    return {value_, sent_.load(std::memory_order_relaxed)};
  }
  [[nodiscard]] std::size_t receivers() const {
    const SpinGuard guard(lock_);
    return receivers_;
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
  std::shared_ptr<const T> value_ GANTRY_GUARDED_BY(lock_);
};

/// A wait for a version newer than `*seen`.
template <class T, class R>
struct ChangedOp {
  std::shared_ptr<Core<T>> core;
  std::uint64_t* seen;
  WaitQueue::Place place{};

  // The end is looked for by start(), under the lock that it takes anyway.
  bool poll() { return core == nullptr || core->sent() != *seen; }
  bool start(Waiter& waiter) { return core->enter(place, *seen, waiter); }
  bool cancel() { return core->withdraw(place); }
  R finish(WaitEnd end) {
    const auto version = core == nullptr ? *seen : core->sent();
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
  explicit Sender(std::shared_ptr<detail::Core<T>> core) : share_(std::move(core)) {}

  /// Never waits. `unavailable`: there is no receiver any more, and the value was dropped.
  Result<void> send(T value) { return send(std::make_shared<const T>(std::move(value))); }
  Result<void> send(std::shared_ptr<const T> value) {
    if (!share_.core()) return fail(ErrorKind::unavailable, "closed");
    return share_.core()->send(std::move(value));
  }
  [[nodiscard]] bool has_receivers() const { return share_.core() && share_.core()->receivers() != 0; }

 private:
  gantry::detail::SenderShare<detail::Core<T>> share_;
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
  [[nodiscard]] bool has_changed() const { return core_ && core_->sent() != seen_; }

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
