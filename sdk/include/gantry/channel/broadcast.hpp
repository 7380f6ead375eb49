// SPDX-License-Identifier: Apache-2.0
//
// gantry/channel/broadcast.hpp: every value to every subscriber, from any sender, without waiting for the slow.
//
//   auto [tx, rx] = gantry::broadcast::channel<Event>(1024);
//   auto another = tx.subscribe();                     // sees what is sent from now on
//   while (auto got = rx.recv()) use(got->value);      // got->missed: values lost right before this one
//
// Thread rule: Sender is copyable, each copy for one thread at a time, copies by any threads at once; Receiver is
//   move-only, for one thread at a time. Receiving comes as try_recv (never waits), recv (waits with the thread, until
//   a time or a token if given) and async_recv (`co_await`, with gantry/coro.hpp). send() never waits.
// Order: all receivers see the values in the one order in which they were sent.
// Lagging: the last `capacity` values are kept. A receiver that is further behind goes on with the oldest that is
//   kept and learns exactly how many it missed. It delays nobody.
// Memory: values lie in blocks of up to 32; a block lives while it holds one of the last `capacity` values or a
//   receiver is in it, so at most `capacity` values, a block more, and one block for each receiver.
// Closed: when the last Sender is gone, receivers drain and then see the end. When the last Receiver is gone, send()
//   refuses with `unavailable`; a Sender can subscribe again.
// Cancelled, timed out: nothing was received; what comes next is the same.
// Never: a value is received twice, or out of order, or missed without being counted; a value is copied or
//   destroyed under the lock.
// T is copied out for each receiver, and moved without exceptions.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <gantry/detail/sequence_core.hpp>
#include <gantry/detail/spin.hpp>
#include <gantry/result.hpp>
#include <gantry/waiting.hpp>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace gantry::broadcast {

template <class T>
struct Received {
  std::uint64_t missed = 0;  ///< values between the one before and this one that were overwritten
  T value;
};

namespace detail {

using gantry::detail::SequenceCore;
using gantry::detail::SpinGuard;
using gantry::detail::WaitQueue;
using gantry::detail::WakeList;

/// The values at [first, first + used), in place. Immutable once published.
template <class T>
struct Block {
  std::uint64_t first;
  std::size_t size;
  std::size_t used = 0;       ///< by senders, under the core's lock
  std::size_t receivers = 0;  ///< that are in it, under the core's lock
  bool kept = true;           ///< by the core, under its lock

  [[nodiscard]] static Block* make(std::uint64_t first, std::size_t size) {
    static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
    return new (::operator new(offset() + size * sizeof(T))) Block{first, size};
  }
  static void destroy(Block* block) noexcept {
    if (block == nullptr) return;
    std::destroy_n(block->cells(), block->used);
    ::operator delete(block);
  }
  [[nodiscard]] T* cells() noexcept {
    return std::launder(reinterpret_cast<T*>(reinterpret_cast<std::byte*>(this) + offset()));
  }

 private:
  [[nodiscard]] static constexpr std::size_t offset() {
    return (sizeof(Block) + alignof(T) - 1) / alignof(T) * alignof(T);
  }
};

template <class T>
class Core final : public SequenceCore {
  static_assert(std::is_nothrow_move_constructible_v<T>, "a value is moved under a lock: its move must not throw");

 public:
  using Cells = Block<T>;

  explicit Core(std::size_t capacity)
      : SequenceCore(0),
        capacity_(std::max<std::size_t>(capacity, 1)),
        block_size_(std::min<std::size_t>(std::bit_floor(capacity_), 32)) {}
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;
  ~Core() {
    for (auto* const block : blocks_) Cells::destroy(block);
  }

  Result<std::size_t> send(T&& value) {
    Cells* old = nullptr;
    std::size_t count = 0;
    {
      WakeList woken;
      const SpinGuard guard(lock_);
      count = receivers_;
      if (count == 0) return fail(ErrorKind::unavailable, "closed");
      const auto at = sent_.load(std::memory_order_relaxed);
      if (blocks_.empty() || blocks_.back()->used == block_size_) blocks_.push_back(Cells::make(at, block_size_));
      Cells& block = *blocks_.back();
      new (static_cast<void*>(block.cells() + block.used)) T(std::move(value));
      ++block.used;
      publish(woken);
      // At most one block falls out of the kept ones with each value.
      if (Cells* const front = blocks_.front();
          at + 1 >= front->first + front->size && at + 1 - (front->first + front->size) >= capacity_) {
        blocks_.pop_front();
        front->kept = false;
        if (front->receivers == 0) old = front;
      }
    }
    Cells::destroy(old);
    return count;
  }

  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  /// Out of `block`, into the one that holds `at`, or the oldest that is kept when that is gone; returns the place.
  std::uint64_t move_to(Cells*& block, std::uint64_t at) {
    Cells* old = nullptr;
    {
      const SpinGuard guard(lock_);
      old = leave(block);
      const auto sent = sent_.load(std::memory_order_relaxed);
      if (sent > capacity_) at = std::max(at, sent - capacity_);
      block = blocks_[(at - blocks_.front()->first) / block_size_];
      ++block->receivers;
    }
    Cells::destroy(old);
    return at;
  }

  /// Returns where it begins.
  std::uint64_t add_receiver() {
    const SpinGuard guard(lock_);
    ++receivers_;
    return sent_.load(std::memory_order_relaxed);
  }
  void drop_receiver(Cells* block) {
    Cells* old = nullptr;
    std::deque<Cells*> unread;
    {
      const SpinGuard guard(lock_);
      old = leave(block);
      if (--receivers_ == 0) unread.swap(blocks_);
    }
    Cells::destroy(old);
    for (auto* const block_left : unread) Cells::destroy(block_left);
  }

 private:
  /// The block, when nobody needs it any more.
  [[nodiscard]] Cells* leave(Cells* block) GANTRY_REQUIRES(lock_) {
    return block != nullptr && --block->receivers == 0 && !block->kept ? block : nullptr;
  }

  const std::size_t capacity_;
  const std::size_t block_size_;
  std::deque<Cells*> blocks_ GANTRY_GUARDED_BY(lock_);
};

/// A receiver's place. Not moved while it waits.
template <class T>
struct Cursor {
  std::shared_ptr<Core<T>> core;
  std::uint64_t next = 0;
  Block<T>* block = nullptr;

  std::optional<Received<T>> take() {
    const auto sent = core->sent();
    if (next == sent) return std::nullopt;
    std::uint64_t at = next;
    if (sent - at > core->capacity()) at = sent - core->capacity();
    if (block == nullptr || at - block->first >= block->size) at = core->move_to(block, at);
    std::optional<Received<T>> got(std::in_place, at - next, block->cells()[at - block->first]);
    next = at + 1;
    return got;
  }
};

template <class T, class R>
struct RecvOp {
  Cursor<T>* cursor;
  WaitQueue::Place place{};

  // The end is looked for by start(), under the lock that it takes anyway.
  bool poll() { return cursor->core == nullptr || cursor->core->sent() != cursor->next; }
  bool start(Waiter& waiter) { return cursor->core->enter(place, cursor->next, waiter); }
  bool cancel() { return cursor->core->withdraw(place); }
  R finish(WaitEnd end) {
    auto got = cursor->core != nullptr ? cursor->take() : std::nullopt;
    if constexpr (std::is_same_v<R, std::optional<Received<T>>>) {
      return got;
    } else {
      if (got) return std::move(*got);
      return end == WaitEnd::complete ? fail(ErrorKind::unavailable, "closed") : wait_failed(end);
    }
  }
};

}  // namespace detail

template <class T>
class Receiver {
 public:
  explicit Receiver(std::shared_ptr<detail::Core<T>> core) : cursor_{std::move(core)} {
    cursor_.next = cursor_.core->add_receiver();
  }
  Receiver(Receiver&& other) noexcept : cursor_(std::exchange(other.cursor_, {})) {}
  Receiver& operator=(Receiver&& other) noexcept {
    Receiver moved(std::move(other));
    std::swap(cursor_, moved.cursor_);
    return *this;
  }
  ~Receiver() {
    if (cursor_.core) cursor_.core->drop_receiver(cursor_.block);
  }

  /// Empty when there is nothing now.
  [[nodiscard]] std::optional<Received<T>> try_recv() { return cursor_.core ? cursor_.take() : std::nullopt; }
  /// Waits. Empty: every sender is gone, and all was received.
  [[nodiscard]] std::optional<Received<T>> recv() {
    return block(detail::RecvOp<T, std::optional<Received<T>>>{&cursor_});
  }
  /// Waits. `unavailable`: the end; `timeout`, `cancelled`: nothing came.
  [[nodiscard]] Result<Received<T>> recv(const WaitLimits& limits) {
    return block(detail::RecvOp<T, Result<Received<T>>>{&cursor_}, limits);
  }
  [[nodiscard]] Result<Received<T>> recv_for(Duration time) { return recv({.until = time_after(time), .token = {}}); }
  /// std::optional<Received<T>>, as recv(). This receiver must stay until it is complete.
  [[nodiscard]] auto async_recv() {
    return Await<detail::RecvOp<T, std::optional<Received<T>>>>(CancelToken(), &cursor_);
  }
  /// Result<Received<T>>, as recv(limits).
  [[nodiscard]] auto async_recv(CancelToken token) {
    return Await<detail::RecvOp<T, Result<Received<T>>>>(std::move(token), &cursor_);
  }

 private:
  detail::Cursor<T> cursor_;
};

template <class T>
class Sender {
 public:
  explicit Sender(std::shared_ptr<detail::Core<T>> core) : share_(std::move(core)) {}

  /// Never waits. How many receivers it is for, or `unavailable` when there is none; then `value` is untouched.
  Result<std::size_t> send(T&& value) {
    if (!share_.core()) return fail(ErrorKind::unavailable, "closed");
    return share_.core()->send(std::move(value));
  }
  Result<std::size_t> send(const T& value) { return send(T(value)); }
  /// Sees what is sent from now on. Not on a moved-from sender.
  [[nodiscard]] Receiver<T> subscribe() const { return Receiver<T>(share_.core()); }

 private:
  gantry::detail::SenderShare<detail::Core<T>> share_;
};

template <class T>
struct Channel {
  Sender<T> tx;
  Receiver<T> rx;
};

/// Keeps the last `capacity` values (at least 1).
template <class T>
[[nodiscard]] Channel<T> channel(std::size_t capacity) {
  auto core = std::make_shared<detail::Core<T>>(capacity);
  Receiver<T> rx(core);
  return Channel<T>{Sender<T>(std::move(core)), std::move(rx)};
}

}  // namespace gantry::broadcast
