// SPDX-License-Identifier: Apache-2.0
//
// gantry/executor.hpp: an executor is a thread's queue of coroutines that are ready to run.
//
// A coroutine that is ready is an intrusive node, so that scheduling allocates nothing. A node that
// this thread makes ready goes to the end of a plain list; a node that another thread makes ready
// is pushed on a lock-free stack, which the owner takes as a whole, in order. Only the push that
// finds the owner asleep wakes it: one wake-up, however many nodes follow.
//
// Executors of one group share floating work: a coroutine that waits goes on with the member that
// woke it, so that a message costs no thread switch. A coroutine that was woken from outside the
// group goes on where it was.
//
// Thread rule: schedule() from any thread; the protected functions by the owner's thread.
// Bounds: the queue holds nodes that live in their owners' frames; it allocates no nodes.
// Life: an executor outlives all code that may schedule on it. A node that is ready or waits when
// the executor is destroyed never runs, and its frame stays: end the tasks first. stop() leaves
// ready nodes to the next run(); a member of a group is stopped when the group's tasks have ended,
// because floating work may have come to it.
// Never: a node runs twice for one schedule(); a wake-up is lost; a node is touched after run() was
// called.
#pragma once

#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <gantry/detail/spin.hpp>
#include <gantry/waiting.hpp>
#include <utility>

namespace gantry {

class Executor {
 public:
  struct Ready {
    Ready* next;
    void (*run)(Ready&) noexcept;
    Ready() : next(nullptr), run(nullptr) {}
    explicit Ready(Unset /*all*/) {}  // NOLINT(cppcoreguidelines-pro-type-member-init)
  };

  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// The executor that runs on this thread, or nullptr.
  [[nodiscard]] static Executor* current() noexcept { return here(); }

  /// The executor that runs on this thread. Without one the process ends.
  [[nodiscard]] static Executor& required() noexcept {
    Executor* const executor = here();
    if (executor == nullptr) [[unlikely]] {
      std::fputs("gantry: a coroutine waits on a thread that runs no gantry::Executor\n", stderr);
      std::abort();
    }
    return *executor;
  }

  /// Runs `node` on this executor's thread, never within this call. Any thread.
  void schedule(Ready& node) noexcept {
    if (here() == this) {
      push(node);
    } else {
      push_remote(node);
    }
  }
  /// Runs `node` on the calling thread's executor when that belongs to the same group, else on this
  /// one. Any thread.
  void schedule_floating(Ready& node) noexcept {
    Executor* const caller = here();
    if (caller != nullptr && caller->group_ == group_) {
      caller->push(node);
    } else {
      push_remote(node);
    }
  }

  /// A coroutine that never has to wait yields to others after this many steps.
  static constexpr std::uint32_t kStepsATurn = 256;
  /// Called by a coroutine that runs here, for each step without waiting. False: it is time to
  /// yield.
  [[nodiscard]] bool take_step() noexcept {
    if (steps_ == 0) return false;
    --steps_;
    return true;
  }

 protected:
  /// `group`: any address that the members of the group share; nullptr: this executor is a group of
  /// its own.
  explicit Executor(const void* group = nullptr) noexcept : group_(group == nullptr ? this : group) {}
  /// Nothing is ready to run here any more.
  ~Executor() {
    [[maybe_unused]] const Ready* const top = remote_.load(std::memory_order_relaxed);
    assert(first_ == nullptr && (top == nullptr || top == &asleep_));
  }

  /// Wakes the owner, which sleeps while a node came in. Any thread. Must not block.
  virtual void notify() noexcept = 0;

  /// Makes this the thread's executor for a scope.
  class Entered {
   public:
    explicit Entered(Executor& executor) noexcept : before_(std::exchange(here(), &executor)) {}
    ~Entered() { here() = before_; }
    Entered(const Entered&) = delete;
    Entered& operator=(const Entered&) = delete;

   private:
    Executor* before_;
  };

  /// Runs up to `most` nodes, the oldest first. False: there was no node.
  bool run_ready(std::size_t most) noexcept {
    if (first_ == nullptr && !take_remote()) return false;
    for (std::size_t i = 0; i < most; ++i) {
      // Nodes from other threads must not wait until this thread's own nodes run out.
      if (first_ == nullptr || i % kRemoteEvery == kRemoteEvery - 1) {
        if (!take_remote() && first_ == nullptr) break;
      }
      Ready& node = *first_;
      first_ = node.next;
      if (first_ == nullptr) last_ = &first_;
      steps_ = kStepsATurn;
      node.run(node);
    }
    return true;
  }
  [[nodiscard]] bool has_ready() const noexcept {
    return first_ != nullptr || (remote_.load(std::memory_order_relaxed) != nullptr);
  }
  /// True: nothing is ready, and the next schedule() from another thread calls notify(). awake()
  /// ends this state.
  [[nodiscard]] bool fall_asleep() noexcept {
    if (first_ != nullptr) return false;
    Ready* none = nullptr;
    return remote_.compare_exchange_strong(none, asleep(), std::memory_order_acq_rel);
  }
  void awake() noexcept {
    Ready* expected = asleep();
    (void)remote_.compare_exchange_strong(expected, nullptr, std::memory_order_acq_rel);
  }

 private:
  static constexpr std::size_t kRemoteEvery = 61;

  [[nodiscard]] static Executor*& here() noexcept {
    static constinit thread_local Executor* executor = nullptr;
    return executor;
  }
  [[nodiscard]] Ready* asleep() noexcept { return &asleep_; }

  void push(Ready& node) noexcept {
    node.next = nullptr;
    *last_ = &node;
    last_ = &node.next;
  }
  void push_remote(Ready& node) noexcept {
    Ready* top = remote_.load(std::memory_order_relaxed);
    do {
      node.next = top == asleep() ? nullptr : top;
    } while (!remote_.compare_exchange_weak(top, &node, std::memory_order_acq_rel, std::memory_order_relaxed));
    if (top == asleep()) notify();
  }
  bool take_remote() noexcept {
    if (remote_.load(std::memory_order_relaxed) == nullptr) return false;
    Ready* newest = remote_.exchange(nullptr, std::memory_order_acquire);
    if (newest == asleep()) newest = nullptr;
    Ready* oldest = nullptr;
    while (newest != nullptr) {
      Ready* const next = newest->next;
      newest->next = oldest;
      oldest = newest;
      newest = next;
    }
    const bool any = oldest != nullptr;
    while (oldest != nullptr) {
      Ready* const next = oldest->next;
      push(*oldest);
      oldest = next;
    }
    return any;
  }

  const void* const group_;
  Ready asleep_;  ///< only its address is used: no node is ready, and the owner sleeps
  Ready* first_ = nullptr;
  Ready** last_ = &first_;
  std::uint32_t steps_ = kStepsATurn;
  alignas(detail::kCacheLine) std::atomic<Ready*> remote_{nullptr};
};

/// An executor that runs on the thread that calls run(), and sleeps in a futex. For programs and
/// tests without an event loop of their own.
class LocalExecutor final : public Executor {
 public:
  explicit LocalExecutor(const void* group = nullptr) noexcept : Executor(group) {}

  /// Runs nodes as they become ready, until stop(). May be called again.
  void run() noexcept {
    const Entered entered(*this);
    while ((wake_word_.load(std::memory_order_acquire) & kStop) == 0) {
      if (!run_ready(kBatch)) sleep();
    }
    wake_word_.fetch_and(~kStop, std::memory_order_acq_rel);
  }
  /// Makes run() return. From any thread, or from a node that runs.
  void stop() noexcept {
    wake_word_.fetch_or(kStop, std::memory_order_acq_rel);
    detail::futex_wake(&wake_word_, 1);  // by its address: the executor may be gone already
  }

 private:
  static constexpr std::size_t kBatch = 128;

  void sleep() noexcept {
    const auto seen = wake_word_.load(std::memory_order_acquire);
    for (detail::Backoff backoff; !backoff.spent(); backoff.wait()) {
      if (has_ready() || wake_word_.load(std::memory_order_relaxed) != seen) return;
    }
    if ((seen & kStop) != 0 || !fall_asleep()) return;
    (void)detail::futex_wait(wake_word_, seen);
    awake();
  }
  void notify() noexcept override {
    wake_word_.fetch_add(kWake, std::memory_order_acq_rel);
    detail::futex_wake(&wake_word_, 1);
  }

  static constexpr std::uint32_t kStop = 1;
  static constexpr std::uint32_t kWake = 2;
  detail::FutexWord wake_word_{0};  ///< the bit kStop, and a count of wake-ups
};

}  // namespace gantry
