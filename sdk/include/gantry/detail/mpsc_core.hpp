// SPDX-License-Identifier: Apache-2.0
//
// gantry/detail/mpsc_core.hpp: what the two ends of an mpsc channel share.
//
// Values lie in a chain of blocks, at positions that only grow: [head_, tail_). Senders put them there under lock_, one
// RMW for a batch of any size; the receiver takes them without the lock. The lock is also where those who wait are
// entered, so that "nothing to do" is decided and the wait begun in one step. The essay is in docs/threads.md.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <gantry/detail/asymmetric_fence.hpp>
#include <gantry/detail/mpsc_ops.hpp>
#include <gantry/detail/spin.hpp>
#include <gantry/result.hpp>
#include <gantry/waiting.hpp>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace gantry::mpsc::detail {

using gantry::detail::kCacheLine;
using gantry::detail::SpinGuard;
using gantry::detail::SpinLock;
using gantry::detail::wake;
using gantry::detail::WakeList;

template <class T>
class Core {
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                "a value is moved under a lock: its move must not throw");

 public:
  struct PutResult {
    Put state;
    std::size_t count;
  };

  /// `capacity` 0: unbounded.
  explicit Core(std::size_t capacity)
      : capacity_(capacity),
        asymmetric_(capacity == 0 || (capacity >= kAsymmetricFrom && gantry::detail::asymmetric_fences())) {}
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // -- senders ---------------------------------------------------------------------------------------------------

  void add_sender() noexcept { senders_.fetch_add(1, std::memory_order_relaxed); }
  void drop_sender() noexcept {
    if (senders_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    Waiter* waiting = nullptr;
    {
      SpinGuard guard(lock_);
      set_flag(kNoSenders);
      waiting = std::exchange(receiver_, nullptr);
    }
    wake(waiting);
    drop_half();
  }
  [[nodiscard]] bool receiver_closed() const noexcept {
    return (flags_.load(std::memory_order_acquire) & kReceiverClosed) != 0;
  }
  /// A guess, without the lock.
  [[nodiscard]] bool looks_full() const noexcept {
    if (receiver_closed() || capacity_ == 0) return false;
    return tail_.load(std::memory_order_relaxed) - head_.load(std::memory_order_relaxed) >= capacity_;
  }

  /// As try_put() with one value.
  Put put_one(T& value) {
    Waiter* waiting = nullptr;
    {
      SpinGuard guard(lock_);
      if ((flags_.load(std::memory_order_relaxed) & (kReceiverClosed | kSendersWait)) != 0) [[unlikely]]
        return (flags_.load(std::memory_order_relaxed) & kReceiverClosed) != 0 ? Put::closed : Put::full;
      if (room(1) == 0) return Put::full;
      put(std::span<T>(&value, 1));
      waiting = receiver_;
      if (waiting != nullptr) [[unlikely]]
        receiver_ = nullptr;
    }
    wake(waiting);
    return Put::done;
  }
  /// Puts the first values that there is room for.
  PutResult try_put(std::span<T> values) {
    std::size_t count = 0;
    Waiter* waiting = nullptr;
    {
      SpinGuard guard(lock_);
      if ((flags_.load(std::memory_order_relaxed) & kReceiverClosed) != 0) return {Put::closed, 0};
      if (values.empty()) return {Put::done, 0};
      if (!waiting_.empty()) return {Put::full, 0};  // those who wait came first
      count = std::min(values.size(), room(values.size()));
      put(values.first(count));
      if (count != 0) waiting = std::exchange(receiver_, nullptr);
    }
    wake(waiting);
    return {count == values.size() ? Put::done : Put::full, count};
  }

  // First marked, then looked: a receiver that makes room either sees the flag, or its room is seen here. In between,
  // without the lock, others may serve, refuse or withdraw the operation; as it has no waiter yet, none of them wakes
  // anybody.
  bool enter(SendOp<T>& op, std::span<T> values, Waiter& waiter) {
    {
      SpinGuard guard(lock_);
      op.closed_ = (flags_.load(std::memory_order_relaxed) & kReceiverClosed) != 0;
      op.rest_ = values.data();
      op.rest_size_ = values.size();
      op.unfinished_ = true;
      if (op.closed_ || op.cancelled_) return true;
      op.waiter_ = nullptr;
      op.linked_ = true;
      waiting_.push_back(op);
      set_flag(kSendersWait);
    }
    if (asymmetric_) {
      gantry::detail::heavy_fence();
    } else {
      std::atomic_thread_fence(std::memory_order_seq_cst);
    }
    WakeList woken;
    SpinGuard guard(lock_);
    const auto before = tail_.load(std::memory_order_relaxed);
    serve(woken);
    if (tail_.load(std::memory_order_relaxed) != before) woken.add(std::exchange(receiver_, nullptr));
    if (op.linked_ && op.cancelled_) unlink(op);
    if (!op.linked_) return true;
    op.waiter_ = &waiter;
    return false;
  }
  bool withdraw(SendOp<T>& op) {
    SpinGuard guard(lock_);
    op.cancelled_ = true;
    if (!op.linked_ || op.waiter_ == nullptr) return false;
    unlink(op);
    return true;
  }

  // -- the receiver ----------------------------------------------------------------------------------------------

  [[nodiscard]] bool readable() noexcept {
    if (available() != 0) return true;
    if (!ended()) return false;
    (void)available();  // what a sender sent before it went
    return true;
  }
  [[nodiscard]] bool drained() const noexcept {
    return ended() && tail_.load(std::memory_order_acquire) == head_.load(std::memory_order_relaxed);
  }
  /// Any thread. The head first: a tail that was read before it may be behind it.
  [[nodiscard]] std::size_t size() const noexcept {
    const auto head = head_.load(std::memory_order_acquire);
    return tail_.load(std::memory_order_acquire) - head;
  }

  std::optional<T> take() {
    if (available() == 0) return std::nullopt;
    const auto at = head_.load(std::memory_order_relaxed);
    T* const cell = read_cell(at);
    std::optional<T> value(std::move(*cell));
    std::destroy_at(cell);
    advance(at + 1);
    return value;
  }
  std::size_t take_many(std::vector<T>& out, std::size_t max) {
    const std::size_t count = std::min(max, available());
    if (count == 0) return 0;
    out.reserve(out.size() + count);  // may throw; nothing is taken yet
    const auto at = head_.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < count; ++i) {
      T* const cell = read_cell(at + i);
      out.push_back(std::move(*cell));
      std::destroy_at(cell);
    }
    advance(at + count);
    return count;
  }

  bool enter(RecvOp<T>& op, Waiter& waiter) {
    SpinGuard guard(lock_);
    if (op.cancelled_ || ended() || tail_.load(std::memory_order_relaxed) != head_.load(std::memory_order_relaxed))
      return true;
    op.waiter_ = &waiter;
    receiver_ = &waiter;
    return false;
  }
  bool withdraw(RecvOp<T>& op) {
    SpinGuard guard(lock_);
    op.cancelled_ = true;
    if (op.waiter_ == nullptr || receiver_ != op.waiter_) return false;
    receiver_ = nullptr;
    return true;
  }

  void close_receiver() {
    WakeList woken;
    SpinGuard guard(lock_);
    set_flag(kReceiverClosed);
    clear_flag(kSendersWait);
    while (auto* const op = waiting_.pop_front()) {
      op->closed_ = true;
      op->linked_ = false;
      woken.add(op->waiter_);
    }
  }
  // Nor is it woken any more: the end of the last sender may come after the waiter's.
  void drop_receiver() {
    close_receiver();
    {
      SpinGuard guard(lock_);
      receiver_ = nullptr;
    }
    while (take()) {
    }
    drop_half();
  }

 private:
  static constexpr std::uint32_t kSendersWait = 1;
  static constexpr std::uint32_t kReceiverClosed = 2;
  static constexpr std::uint32_t kNoSenders = 4;
  // About two KiB, a power of two.
  static constexpr std::size_t kCells = std::bit_floor(std::clamp<std::size_t>(2048 / sizeof(T), 4, 256));
  static constexpr std::size_t kKeptUnbounded = 16;
  // In a smaller channel senders wait so often that their heavy fence would cost more than the receiver's full one.
  static constexpr std::size_t kAsymmetricFrom = 64;

  struct Block {
    Block* next = nullptr;
    alignas(T) std::array<std::byte, kCells * sizeof(T)> cells;
    [[nodiscard]] T* cell(std::uint64_t at) {
      return std::launder(reinterpret_cast<T*>(cells.data()) + (at & (kCells - 1)));
    }
  };

  ~Core() {
    delete head_block_;
    if (head_block_ == nullptr) delete first_;
    Block* block = free_.load(std::memory_order_acquire);
    while (block != nullptr) delete std::exchange(block, block->next);
  }
  // The senders together are one half, the receiver the other.
  void drop_half() noexcept {
    if (halves_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  void set_flag(std::uint32_t flag) GANTRY_REQUIRES(lock_) {
    flags_.store(flags_.load(std::memory_order_relaxed) | flag, std::memory_order_release);
  }
  void clear_flag(std::uint32_t flag) GANTRY_REQUIRES(lock_) {
    flags_.store(flags_.load(std::memory_order_relaxed) & ~flag, std::memory_order_release);
  }
  [[nodiscard]] bool ended() const noexcept {
    return (flags_.load(std::memory_order_acquire) & (kNoSenders | kReceiverClosed)) != 0;
  }

  /// Places, at least min(wanted, what there is).
  [[nodiscard]] std::size_t room(std::size_t wanted) GANTRY_REQUIRES(lock_) {
    if (capacity_ == 0) return wanted;
    const auto tail = tail_.load(std::memory_order_relaxed);
    if (tail + wanted > head_seen_ + capacity_) head_seen_ = head_.load(std::memory_order_acquire);
    return capacity_ - (tail - head_seen_);
  }
  void put(std::span<T> values) GANTRY_REQUIRES(lock_) {
    auto tail = tail_.load(std::memory_order_relaxed);
    for (T& value : values) {
      if ((tail & (kCells - 1)) == 0) [[unlikely]] {
        Block* const block = new_block();
        (tail_block_ != nullptr ? tail_block_->next : first_) = block;
        tail_block_ = block;
      }
      new (static_cast<void*>(tail_block_->cell(tail))) T(std::move(value));
      ++tail;
    }
    tail_.store(tail, std::memory_order_release);
  }
  // Only one thread pops at a time, the one with the lock, so a popped block cannot come back in between.
  // Without memory the process ends here: half way through a step nothing could be undone.
  [[nodiscard]] Block* new_block() noexcept GANTRY_REQUIRES(lock_) {
    Block* block = free_.load(std::memory_order_acquire);
    while (block != nullptr && !free_.compare_exchange_weak(block, block->next, std::memory_order_acq_rel)) {
    }
    if (block == nullptr) return new Block;  // NOLINT(bugprone-unhandled-exception-at-new): as said above
    kept_.fetch_sub(1, std::memory_order_relaxed);
    block->next = nullptr;
    return block;
  }
  void unlink(SendOp<T>& op) GANTRY_REQUIRES(lock_) {
    op.linked_ = false;
    waiting_.remove(op);
    if (waiting_.empty()) clear_flag(kSendersWait);
  }
  /// Moves the values of those who wait into the room that there is.
  void serve(WakeList& woken) GANTRY_REQUIRES(lock_) {
    while (SendOp<T>* const op = waiting_.front()) {
      const std::size_t count = std::min(op->rest_size_, room(op->rest_size_));
      put(std::span(op->rest_, count));
      op->rest_ += count;
      op->rest_size_ -= count;
      op->accepted_ += count;
      if (op->rest_size_ != 0) return;
      op->unfinished_ = false;
      op->linked_ = false;
      waiting_.remove(*op);
      woken.add(op->waiter_);
    }
    clear_flag(kSendersWait);
  }

  [[nodiscard]] std::size_t available() noexcept {
    const auto head = head_.load(std::memory_order_relaxed);
    if (head == tail_seen_) tail_seen_ = tail_.load(std::memory_order_acquire);
    return tail_seen_ - head;
  }
  [[nodiscard]] T* read_cell(std::uint64_t at) {
    if ((at & (kCells - 1)) == 0) {
      Block* const old = std::exchange(head_block_, head_block_ == nullptr ? first_ : head_block_->next);
      if (old != nullptr) recycle(old);
    }
    return head_block_->cell(at);
  }
  void recycle(Block* block) {
    const std::size_t keep = capacity_ == 0 ? kKeptUnbounded : capacity_ / kCells + 1;
    if (kept_.load(std::memory_order_relaxed) >= keep) {
      delete block;
      return;
    }
    kept_.fetch_add(1, std::memory_order_relaxed);
    block->next = free_.load(std::memory_order_relaxed);
    while (!free_.compare_exchange_weak(block->next, block, std::memory_order_release)) {
    }
  }
  void advance(std::uint64_t to) {
    head_.store(to, std::memory_order_release);
    if (asymmetric_) [[likely]] {
      gantry::detail::light_fence();
    } else if (capacity_ != 0) {
      std::atomic_thread_fence(std::memory_order_seq_cst);
    }
    if ((flags_.load(std::memory_order_relaxed) & kSendersWait) != 0) [[unlikely]]
      serve_waiting();
  }
  [[gnu::noinline]] void serve_waiting() {
    WakeList woken;
    SpinGuard guard(lock_);
    serve(woken);
  }

  // The senders' line.
  alignas(kCacheLine) SpinLock lock_;
  std::atomic<std::uint64_t> tail_{0};
  std::uint64_t head_seen_ GANTRY_GUARDED_BY(lock_) = 0;
  Block* tail_block_ GANTRY_GUARDED_BY(lock_) = nullptr;
  Waiter* receiver_ GANTRY_GUARDED_BY(lock_) = nullptr;
  NodeList<SendOp<T>> waiting_ GANTRY_GUARDED_BY(lock_);
  // The receiver's line.
  alignas(kCacheLine) std::atomic<std::uint64_t> head_{0};
  std::uint64_t tail_seen_ = 0;
  Block* head_block_ = nullptr;
  // Rarely written.
  alignas(kCacheLine) std::atomic<std::uint32_t> flags_{0};
  std::atomic<std::uint32_t> halves_{2};
  const std::size_t capacity_;
  const bool asymmetric_;   ///< how who waits for room and who makes it fence; without a bound nobody waits
  Block* first_ = nullptr;  ///< written before the first value, read after it
  std::atomic<std::size_t> senders_{1};
  std::atomic<Block*> free_{nullptr};
  std::atomic<std::size_t> kept_{0};
};

}  // namespace gantry::mpsc::detail
