// SPDX-License-Identifier: Apache-2.0
//
// gantry/shared.hpp: a value with many readers or one writer, through closures.
//
//   gantry::Shared<Routes> routes{"routes"};
//   routes.read([&](const Routes& r) { return r.find(topic); });
//   routes.write([&](Routes& r) { r.add(topic, subscriber); });
//
// Thread rule: any thread. A closure must not touch the same Shared again (a read inside a read can
//   wait for a writer that waits for the first read), nor block, nor call foreign code.
// Fair, by phases: a writer that waits stops new readers, so looping readers cannot starve it; when
//   the writer is done, the readers that came meanwhile go before the next writer, so looping
//   writers cannot starve them.
// Exceptions: an exception from a closure reaches the caller; the lock is given back.
// Counts: writers that held the lock, and readers and writers that waited. Reads that did not wait
//   are not counted: that would cost every reader a second shared cache line.
// For values that are read far more often than written and can be copied, Snapshot is faster
// (gantry/snapshot.hpp).
// Source: Brandenburg and Anderson, "Reader-Writer Synchronization for Shared-Memory Multiprocessor
//   Real-Time Systems", 2009 (phase fairness).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <gantry/detail/lock_order.hpp>
#include <gantry/detail/spin.hpp>
#include <gantry/mutex.hpp>
#include <gantry/waiting.hpp>
#include <type_traits>
#include <utility>

namespace gantry {

/// The lock of Shared. lock_shared and lock are those of std::shared_mutex.
class GANTRY_CAPABILITY("shared mutex") SharedMutex {
 public:
  explicit SharedMutex(const char* name = "shared") noexcept : writers_(name) {}
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;
#if GANTRY_LOCK_ORDER
  ~SharedMutex() { detail::LockOrder::destroyed(this); }
#endif

  void lock_shared() GANTRY_TSA(acquire_shared_capability()) {
#if GANTRY_LOCK_ORDER
    detail::LockOrder::about_to_lock(this, name());
#endif
    if ((word_.fetch_add(1, std::memory_order_acquire) & kWriter) != 0) [[unlikely]]
      wait_to_read();
#if GANTRY_LOCK_ORDER
    detail::LockOrder::locked(this, name());
#endif
  }
  void unlock_shared() GANTRY_TSA(release_shared_capability()) {
#if GANTRY_LOCK_ORDER
    detail::LockOrder::unlocked(this);
#endif
    leave_as_reader();
  }

  void lock() GANTRY_ACQUIRE() GANTRY_NO_TSA {
#if GANTRY_LOCK_ORDER
    detail::LockOrder::about_to_lock(this, name());
#endif
    writers_.lock();
    detail::ThreadWaiter waiter;
    bool waits = false;
    {
      const detail::SpinGuard guard(lock_);
      waits = (word_.fetch_or(kWriter, std::memory_order_acquire) & kReaders) != 0;
      if (waits) {
        writer_ = &waiter;
        ++waits_;
      }
    }
    if (waits) (void)waiter.park(std::nullopt);
#if GANTRY_LOCK_ORDER
    detail::LockOrder::locked(this, name());
#endif
  }
  void unlock() GANTRY_RELEASE() GANTRY_NO_TSA {
#if GANTRY_LOCK_ORDER
    detail::LockOrder::unlocked(this);
#endif
    {
      detail::WakeList woken;
      const detail::SpinGuard guard(lock_);
      // These readers hold the lock from here on, before any next writer.
      word_.fetch_add(std::exchange(waiting_readers_, 0) - kWriter, std::memory_order_release);
      readers_.take_all(woken);
    }
    writers_.unlock();
  }

  [[nodiscard]] const char* name() const noexcept { return writers_.name(); }
  [[nodiscard]] LockCounts counts() const {
    auto counts = writers_.counts();
    const detail::SpinGuard guard(lock_);
    counts.waits += waits_;
    return counts;
  }

 private:
  static constexpr std::uint32_t kWriter = 1U << 31U;
  static constexpr std::uint32_t kReaders = kWriter - 1;

  void leave_as_reader() {
    if (word_.fetch_sub(1, std::memory_order_acq_rel) != (kWriter | 1)) return;
    // The last reader that leaves while a writer holds the lock or waits.
    Waiter* writer = nullptr;
    {
      const detail::SpinGuard guard(lock_);
      if ((word_.load(std::memory_order_acquire) & kReaders) == 0) writer = std::exchange(writer_, nullptr);
    }
    detail::wake(writer);
  }
  void wait_to_read() {
    leave_as_reader();
    detail::ThreadWaiter waiter;
    detail::WaitQueue::Place place;
    {
      const detail::SpinGuard guard(lock_);
      if ((word_.load(std::memory_order_relaxed) & kWriter) == 0) {
        word_.fetch_add(1, std::memory_order_acquire);  // a writer sets its bit under this lock
        return;
      }
      (void)readers_.enter(place, waiter);
      ++waiting_readers_;
      ++waits_;
    }
    (void)waiter.park(std::nullopt);
  }

  std::atomic<std::uint32_t> word_{0};  ///< the number of readers, and the bit of a writer that holds or awaits it
  Mutex writers_;                       ///< one writer at a time
  mutable detail::SpinLock lock_;
  std::uint32_t waiting_readers_ GANTRY_GUARDED_BY(lock_) = 0;
  detail::WaitQueue readers_ GANTRY_GUARDED_BY(lock_);
  Waiter* writer_ GANTRY_GUARDED_BY(lock_) = nullptr;
  std::uint64_t waits_ GANTRY_GUARDED_BY(lock_) = 0;
};

template <class T>
class Shared {
 public:
  template <class... Args>
  explicit Shared(const char* name, Args&&... args) : mutex_(name), value_(std::forward<Args>(args)...) {}

  /// Runs `f(const T&)`, perhaps while other readers run; returns its result.
  template <class F>
  auto read(F&& f) const GANTRY_NO_TSA {
    static_assert(!std::is_reference_v<std::invoke_result_t<F, const T&>>, "a reference would outlive the lock");
    struct Reading {
      SharedMutex& mutex;
      explicit Reading(SharedMutex& m) : mutex(m) { mutex.lock_shared(); }
      ~Reading() { mutex.unlock_shared(); }
      Reading(const Reading&) = delete;
      Reading& operator=(const Reading&) = delete;
    } const reading(mutex_);
    return std::invoke(std::forward<F>(f), std::as_const(value_));
  }
  /// Runs `f(T&)` alone; returns its result.
  template <class F>
  auto write(F&& f) GANTRY_NO_TSA {
    static_assert(!std::is_reference_v<std::invoke_result_t<F, T&>>, "a reference would outlive the lock");
    struct Writing {
      SharedMutex& mutex;
      explicit Writing(SharedMutex& m) : mutex(m) { mutex.lock(); }
      ~Writing() { mutex.unlock(); }
      Writing(const Writing&) = delete;
      Writing& operator=(const Writing&) = delete;
    } const writing(mutex_);
    return std::invoke(std::forward<F>(f), value_);
  }

  [[nodiscard]] const char* name() const noexcept { return mutex_.name(); }
  [[nodiscard]] LockCounts counts() const { return mutex_.counts(); }

 private:
  mutable SharedMutex mutex_;
  T value_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry
