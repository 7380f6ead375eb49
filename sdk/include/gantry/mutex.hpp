// SPDX-License-Identifier: Apache-2.0
//
// gantry/mutex.hpp: a mutex that clang's -Wthread-safety understands, with a name and counts.
//
//   gantry::Mutex mutex{"router"};      gantry::Lock lock(mutex);      gantry::LockBoth both(a, b);
//
// Thread rule: any thread; a mutex is unlocked by the thread that locked it. Not recursive: a
//   thread that locks it twice is a mistake of ours. No lock is held across a callback, a call into
//   a plugin, a suspension point or I/O.
// Waiting: a few looks, each after a longer pause, then a futex. Not fair: a thread that comes at the
//   right moment may pass threads that sleep; none sleeps while the mutex is free.
// Exceptions: a Lock unlocks when an exception leaves its scope; the mutex stays usable (there is
//   no poisoning).
// Two at once: LockBoth locks two mutexes in the order of their addresses, so that two threads that
//   name them in opposite orders cannot deadlock; the same mutex twice is locked once.
// A debug build (no NDEBUG) ends the process, with the names, when two mutexes are ever locked in
// opposite orders or one is locked twice by a thread.
// Source: the three-state futex mutex of Drepper, "Futexes Are Tricky", 2011.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <gantry/annotations.hpp>
#include <gantry/detail/futex.hpp>
#include <gantry/detail/lock_order.hpp>
#include <gantry/detail/spin.hpp>

namespace gantry {

class CondVar;

/// How often a lock was taken, and how often a thread had to wait for it.
struct LockCounts {
  std::uint64_t holds = 0;
  std::uint64_t waits = 0;
};

class GANTRY_CAPABILITY("mutex") Mutex {
 public:
  /// `name` must outlive the mutex.
  explicit constexpr Mutex(const char* name = "mutex") noexcept : name_(name) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
#if GANTRY_LOCK_ORDER
  ~Mutex() { detail::LockOrder::destroyed(this); }
#endif

  void lock() GANTRY_ACQUIRE() {
#if GANTRY_LOCK_ORDER
    detail::LockOrder::about_to_lock(this, name_);
#endif
    std::uint32_t free = kFree;
    const bool at_once = word_.compare_exchange_strong(free, kHeld, std::memory_order_acquire);
    if (!at_once) [[unlikely]] {
      lock_slowly();
      add(waits_);
    }
    taken();
  }
  [[nodiscard]] bool try_lock() GANTRY_TRY_ACQUIRE(true) {
    std::uint32_t free = kFree;
    if (!word_.compare_exchange_strong(free, kHeld, std::memory_order_acquire)) return false;
    taken();
    return true;
  }
  void unlock() GANTRY_RELEASE() {
#if GANTRY_LOCK_ORDER
    detail::LockOrder::unlocked(this);
#endif
    if (word_.exchange(kFree, std::memory_order_release) == kAwaited) detail::futex_wake(&word_, 1);
  }

  [[nodiscard]] const char* name() const noexcept { return name_; }
  [[nodiscard]] LockCounts counts() const noexcept {
    return {holds_.load(std::memory_order_relaxed), waits_.load(std::memory_order_relaxed)};
  }

 private:
  static constexpr std::uint32_t kFree = 0;
  static constexpr std::uint32_t kHeld = 1;
  static constexpr std::uint32_t kAwaited = 2;  ///< held, and a thread may sleep
  static constexpr int kFirstPauses = 8;
  static constexpr int kMostPauses = 64;

  // Each look takes the cache line from the holder, which costs the holder more than its critical section often takes:
  // so a waiting thread looks rarely.
  void lock_slowly() noexcept {
    const int most = detail::single_processor() ? 0 : kMostPauses;
    for (int pauses = kFirstPauses; pauses <= most; pauses *= 2) {
      for (int i = 0; i < pauses; ++i) detail::cpu_pause();
      std::uint32_t free = kFree;
      if (word_.load(std::memory_order_relaxed) == kFree &&
          word_.compare_exchange_weak(free, kHeld, std::memory_order_acquire))
        return;
    }
    // A thread that slept marks the mutex as awaited: others may sleep too.
    while (word_.exchange(kAwaited, std::memory_order_acquire) != kFree) (void)detail::futex_wait(word_, kAwaited);
  }
  void taken() {
    add(holds_);
    detail::count_lock(name_);
#if GANTRY_LOCK_ORDER
    detail::LockOrder::locked(this, name_);
#endif
  }
  // Only the holder writes the counter, so a load and a store suffice.
  static void add(std::atomic<std::uint64_t>& count) noexcept {
    count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  detail::FutexWord word_{kFree};
  const char* const name_;
  std::atomic<std::uint64_t> holds_{0};
  std::atomic<std::uint64_t> waits_{0};
};

/// Holds a Mutex for a scope.
class GANTRY_SCOPED_CAPABILITY Lock {
 public:
  explicit Lock(Mutex& mutex) GANTRY_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~Lock() GANTRY_RELEASE() { mutex_.unlock(); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  Mutex& mutex_;
};

/// Holds two mutexes for a scope, locked in the order of their addresses. The same mutex twice is
/// locked once.
class GANTRY_SCOPED_CAPABILITY LockBoth {
 public:
  LockBoth(Mutex& a, Mutex& b) GANTRY_ACQUIRE(a, b) GANTRY_NO_TSA : first_(std::less<Mutex*>{}(&a, &b) ? a : b),
                                                                    second_(std::less<Mutex*>{}(&a, &b) ? b : a) {
    first_.lock();
    if (&first_ != &second_) second_.lock();
  }
  ~LockBoth() GANTRY_RELEASE() GANTRY_NO_TSA {
    if (&first_ != &second_) second_.unlock();
    first_.unlock();
  }
  LockBoth(const LockBoth&) = delete;
  LockBoth& operator=(const LockBoth&) = delete;

 private:
  Mutex& first_;
  Mutex& second_;
};

/// A condition variable for Mutex. Spurious wake-ups happen: wait in a loop over the condition,
/// which is changed under the mutex.
class CondVar {
 public:
  CondVar() = default;
  CondVar(const CondVar&) = delete;
  CondVar& operator=(const CondVar&) = delete;

  void wait(Mutex& mutex) GANTRY_REQUIRES(mutex) { (void)sleep(mutex, std::nullopt); }
  /// False: `until` has passed.
  [[nodiscard]] bool wait_until(Mutex& mutex, std::chrono::steady_clock::time_point until) GANTRY_REQUIRES(mutex) {
    return sleep(mutex, until);
  }

  void notify_one() noexcept { notify(1); }
  void notify_all() noexcept { notify(INT_MAX); }

 private:
  bool sleep(Mutex& mutex, std::optional<TimePoint> until) GANTRY_REQUIRES(mutex) GANTRY_NO_TSA {
    // Both happen under the mutex: a thread that changes the condition after this sees a sleeper,
    // and changes the turn.
    sleepers_.fetch_add(1, std::memory_order_relaxed);
    const auto turn = turn_.load(std::memory_order_relaxed);
    mutex.unlock();
    const bool in_time = detail::futex_wait(turn_, turn, until);
    mutex.lock();
    sleepers_.fetch_sub(1, std::memory_order_relaxed);
    return in_time;
  }
  void notify(int count) noexcept {
    if (sleepers_.load(std::memory_order_relaxed) == 0) return;
    turn_.fetch_add(1, std::memory_order_relaxed);
    detail::futex_wake(&turn_, count);
  }
  detail::FutexWord turn_{0};
  std::atomic<std::uint32_t> sleepers_{0};
};

}  // namespace gantry
