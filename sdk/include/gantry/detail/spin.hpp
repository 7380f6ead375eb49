// SPDX-License-Identifier: Apache-2.0
//
// gantry/detail/spin.hpp: the lock inside the channels, and a back-off for conditions that are
// about to hold.
//
// SpinLock guards a few dozen instructions that call no other code and allocate rarely. Its unlock
// is a plain store, which costs half as much as that of a futex mutex; this is why SpinLock exists.
// No other lock is taken under it, nothing blocks under it. A thread that finds it taken pauses,
// then gives its time slice away, then sleeps: so a holder that was preempted, even one of lower
// real-time priority, gets to run.
//
// Thread rule: any thread; not recursive; unlocked by the thread that locked.
#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>
#include <ctime>
#include <gantry/annotations.hpp>

#if !defined(NDEBUG)
// A test that counts locks defines this function, and exports it to the plugins that it loads.
extern "C" __attribute__((weak, visibility("default"))) void gantry_test_lock_taken(const char* name) noexcept;
#endif

namespace gantry::detail {

/// Called for each lock that is taken. A release build has none of this.
inline void count_lock([[maybe_unused]] const char* name) noexcept {
#if !defined(NDEBUG)
  if (gantry_test_lock_taken != nullptr) gantry_test_lock_taken(name);
#endif
}

inline constexpr std::size_t kCacheLine = 64;

inline void cpu_pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// True: pausing is of no use, because no other thread runs meanwhile. Looked up once in a process.
[[nodiscard]] inline bool single_processor() noexcept {
  static constinit std::atomic<int> known{0};
  int processors = known.load(std::memory_order_relaxed);
  if (processors == 0) {
    cpu_set_t set;
    processors = ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 2;
    known.store(processors, std::memory_order_relaxed);
  }
  return processors == 1;
}

/// First 2^first ... 64 pauses, then yields. It has an end: see spent().
class Backoff {
 public:
  explicit Backoff(std::uint32_t first = 0) noexcept : round_(single_processor() ? kPauseRounds : first) {}
  void wait() noexcept {
    if (round_ < kPauseRounds) {
      for (std::uint32_t i = 0; i < (1U << round_); ++i) cpu_pause();
    } else {
      ::sched_yield();
    }
    ++round_;
  }
  /// True: pauses and yields are used up; the caller should sleep.
  [[nodiscard]] bool spent() const noexcept { return round_ >= kPauseRounds + kYieldRounds; }

 private:
  static constexpr std::uint32_t kPauseRounds = 7;
  static constexpr std::uint32_t kYieldRounds = 6;
  std::uint32_t round_;
};

class GANTRY_CAPABILITY("spin lock") SpinLock {
 public:
  SpinLock() = default;
  SpinLock(const SpinLock&) = delete;
  SpinLock& operator=(const SpinLock&) = delete;

  void lock() noexcept GANTRY_ACQUIRE() {
    if (taken_.exchange(true, std::memory_order_acquire)) [[unlikely]]
      lock_slowly();
    count_lock("spin lock");
  }
  void unlock() noexcept GANTRY_RELEASE() { taken_.store(false, std::memory_order_release); }

 private:
  void lock_slowly() noexcept {
    Backoff backoff;
    do {
      while (taken_.load(std::memory_order_relaxed)) {
        if (backoff.spent()) {
          const timespec nap{0, 50'000};
          ::nanosleep(&nap, nullptr);
        } else {
          backoff.wait();
        }
      }
    } while (taken_.exchange(true, std::memory_order_acquire));
  }
  std::atomic<bool> taken_{false};
};

class GANTRY_SCOPED_CAPABILITY SpinGuard {
 public:
  explicit SpinGuard(SpinLock& lock) noexcept GANTRY_ACQUIRE(lock) : lock_(lock) { lock_.lock(); }
  ~SpinGuard() GANTRY_RELEASE() { lock_.unlock(); }
  SpinGuard(const SpinGuard&) = delete;
  SpinGuard& operator=(const SpinGuard&) = delete;

 private:
  SpinLock& lock_;
};

}  // namespace gantry::detail
