// SPDX-License-Identifier: Apache-2.0
//
// gantry/waiting.hpp: how code waits here: a thread, or a coroutine, with the same code in the
// channel.
//
// Code waits for an operation, an object with these functions that lives in the frame of the
// waiting code:
//
//   bool poll()            completes at once if it can, without a place in any queue; cheap when it cannot
//   bool start(Waiter& w)  completes (true), or enters `w`, which is then woken exactly once, unless cancel() says true
//   bool cancel()          true: it was withdrawn, `w` will not be woken. false: it is complete, or not entered yet; in
//                          the second case start() will complete at once. Any thread.
//   R finish(WaitEnd)      the result, once, called by the code that waits
//
// block() waits with the thread: some pauses, some yields, then a futex. `co_await` on Await<Op>
// (gantry/coro.hpp) waits with a coroutine.
//
// Thread rule: an operation is used by the code that waits; cancel() by any thread, until that code
// goes on.
// Never: a wake-up is lost; a waiter is touched after it was woken.
#pragma once

#include <atomic>
#include <cassert>
#include <cstdint>
#include <gantry/deadline.hpp>
#include <gantry/detail/futex.hpp>
#include <gantry/detail/spin.hpp>
#include <gantry/result.hpp>
#include <optional>
#include <stop_token>
#include <utility>

namespace gantry {

/// Cancels operations that wait: pass token() on, call request_stop(). The standard's own types.
using CancelSource = std::stop_source;
using CancelToken = std::stop_token;

/// A tag for nodes whose members are set only when they are needed.
struct Unset {};

/// A thread or coroutine that waits. Lives in its frame; woken once.
struct Waiter {
  Waiter* next;
  void (*wake)(Waiter&) noexcept;
  Waiter() : next(nullptr), wake(nullptr) {}
  explicit Waiter(Unset /*all*/) {}  // NOLINT(cppcoreguidelines-pro-type-member-init)
};

/// Runs a member function of its owner, on the thread that wakes:
///   Waker<Reactor, &Reactor::wake_up> waker_{*this};
template <class Owner, auto kFunction>
struct Waker final : Waiter {
  explicit Waker(Owner& of) : owner(of) {
    wake = [](Waiter& self) noexcept { (static_cast<Waker&>(self).owner.*kFunction)(); };
  }
  Owner& owner;
};

enum class WaitEnd : std::uint8_t { complete, timeout, cancelled };

/// The error for a wait that ended without a result. Not for `complete`.
[[nodiscard]] inline std::unexpected<Error> wait_failed(WaitEnd end) {
  return end == WaitEnd::timeout ? fail(ErrorKind::timeout, "timeout") : fail(ErrorKind::cancelled, "cancelled");
}

/// The time point `time` from now; the largest time point when that would overflow.
[[nodiscard]] inline TimePoint time_after(Duration time) {
  const TimePoint now = std::chrono::steady_clock::now();
  return time > TimePoint::max() - now ? TimePoint::max() : now + time;
}

/// How long code may wait. The default is without a limit.
struct WaitLimits {
  std::optional<TimePoint> until;
  CancelToken token;
};

namespace detail {

/// Waiters that are collected under a lock and woken outside of it, in order.
class WakeList {
 public:
  WakeList() = default;
  WakeList(const WakeList&) = delete;
  WakeList& operator=(const WakeList&) = delete;
  ~WakeList() { wake(); }
  void add(Waiter* waiter) noexcept {
    if (waiter == nullptr) return;
    waiter->next = nullptr;
    *last_ = waiter;
    last_ = &waiter->next;
  }
  void wake() noexcept {
    Waiter* waiter = std::exchange(first_, nullptr);
    last_ = &first_;
    while (waiter != nullptr) {
      Waiter* const next = waiter->next;  // the waiter may be gone after the wake
      waiter->wake(*waiter);
      waiter = next;
    }
  }

 private:
  Waiter* first_ = nullptr;
  Waiter** last_ = &first_;
};

inline void wake(Waiter* waiter) noexcept {
  if (waiter != nullptr) waiter->wake(*waiter);
}

/// A first-in, first-out list of nodes with `next` and `prev`; any node can leave. Guarded by its
/// owner's lock.
template <class Node>
class NodeList {
 public:
  NodeList() = default;
  NodeList(const NodeList&) = delete;
  NodeList& operator=(const NodeList&) = delete;
  /// Nobody waits in it any more.
  ~NodeList() { assert(empty()); }
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] Node* front() const noexcept { return first_; }
  void push_back(Node& node) noexcept {
    node.next = nullptr;
    node.prev = last_;
    (last_ != nullptr ? last_->next : first_) = &node;
    last_ = &node;
  }
  void remove(Node& node) noexcept {
    (node.prev != nullptr ? node.prev->next : first_) = node.next;
    (node.next != nullptr ? node.next->prev : last_) = node.prev;
  }
  Node* pop_front() noexcept {
    Node* const node = first_;
    if (node != nullptr) remove(*node);
    return node;
  }

 private:
  Node* first_ = nullptr;
  Node* last_ = nullptr;
};

/// Waiters for the same thing, all woken at once. Guarded by the owner's lock.
class WaitQueue {
 public:
  struct Place {
    Place* next = nullptr;
    Place* prev = nullptr;
    Waiter* waiter = nullptr;
    bool linked = false;
    bool cancelled = false;  ///< withdrawn, perhaps before it entered
  };
  /// False: the place was withdrawn before.
  [[nodiscard]] bool enter(Place& place, Waiter& waiter) noexcept {
    if (place.cancelled) return false;
    place.waiter = &waiter;
    place.linked = true;
    places_.push_back(place);
    return true;
  }
  bool withdraw(Place& place) noexcept {
    place.cancelled = true;
    if (!std::exchange(place.linked, false)) return false;
    places_.remove(place);
    return true;
  }
  void take_all(WakeList& woken) noexcept {
    while (Place* const place = places_.pop_front()) {
      place->linked = false;
      woken.add(place->waiter);
    }
  }
  [[nodiscard]] bool empty() const noexcept { return places_.empty(); }

 private:
  NodeList<Place> places_;
};

/// A thread that sleeps until it is woken.
class ThreadWaiter final : public Waiter {
 public:
  ThreadWaiter() {
    wake = [](Waiter& self) noexcept {
      auto& word = static_cast<ThreadWaiter&>(self).word_;
      // After the exchange the frame may be gone; a futex wake on its address is harmless then.
      if (word.exchange(kWoken, std::memory_order_acq_rel) == kAsleep) futex_wake(&word, 1);
    };
  }
  /// False: the time is up, and nobody woke the thread.
  bool park(std::optional<TimePoint> until) noexcept {
    std::uint32_t idle = kAwake;
    if (!word_.compare_exchange_strong(idle, kAsleep, std::memory_order_acq_rel)) return true;
    while (word_.load(std::memory_order_acquire) != kWoken) {
      if (futex_wait(word_, kAsleep, until)) continue;
      std::uint32_t asleep = kAsleep;
      if (word_.compare_exchange_strong(asleep, kAwake, std::memory_order_acq_rel)) return false;
    }
    return true;
  }

 private:
  static constexpr std::uint32_t kAwake = 0;
  static constexpr std::uint32_t kAsleep = 1;
  static constexpr std::uint32_t kWoken = 2;
  FutexWord word_{kAwake};
};

/// The stop callback of an operation that waits.
template <class Op>
struct CancelWait {
  Op& op;
  Waiter& waiter;
  std::atomic<bool>& cancelled;
  void operator()() const noexcept {
    // Stored before cancel(): the code that cancel() wakes must see the reason.
    cancelled.store(true, std::memory_order_release);
    if (op.cancel()) waiter.wake(waiter);
  }
};

template <class Op>
[[nodiscard]] WaitEnd park(Op& op, const WaitLimits& limits) {
  ThreadWaiter waiter;
  std::atomic<bool> cancelled{false};
  // Registered before start(): from start() on, a cancel finds it. Removed before the operation's
  // frame goes.
  const std::stop_callback on_cancel(limits.token, CancelWait<Op>{op, waiter, cancelled});
  if (!op.start(waiter) && !waiter.park(limits.until)) {
    if (op.cancel()) return WaitEnd::timeout;
    (void)waiter.park(std::nullopt);
  }
  return cancelled.load(std::memory_order_acquire) ? WaitEnd::cancelled : WaitEnd::complete;
}

}  // namespace detail

/// Waits with this thread. `op.finish()` decides between an end that came too late and a result
/// that is there.
template <class Op>
auto block(Op op, const WaitLimits& limits = {}) {
  if (op.poll()) return op.finish(WaitEnd::complete);
  // The first look is not immediate: each look takes a cache line from the other side, and values
  // that come in numbers are best taken in numbers.
  constexpr std::uint32_t kFirst = 4;
  for (detail::Backoff backoff(kFirst); !backoff.spent();) {
    backoff.wait();
    if (op.poll()) return op.finish(WaitEnd::complete);
  }
  return op.finish(detail::park(op, limits));
}

/// The awaitable of an operation, for `co_await`. Defined in gantry/coro.hpp.
template <class Op>
class Await;

}  // namespace gantry
