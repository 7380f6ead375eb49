// SPDX-License-Identifier: Apache-2.0
//
// gantry/mutex.hpp: a mutex that clang's -Wthread-safety understands.
//
// Members that a Mutex protects carry GANTRY_GUARDED_BY(mutex_); functions that want it held carry
// GANTRY_REQUIRES(mutex_). No lock is held across a callback, a call into a plugin, a suspension point or I/O.
//
// Thread rule: any thread. A Mutex is not recursive: locking it twice from one thread is a mistake of ours.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <gantry/annotations.hpp>
#include <mutex>

namespace gantry {

class CondVar;

class GANTRY_CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() GANTRY_ACQUIRE() { native_.lock(); }
  void unlock() GANTRY_RELEASE() { native_.unlock(); }
  [[nodiscard]] bool try_lock() GANTRY_TRY_ACQUIRE(true) { return native_.try_lock(); }

 private:
  friend class CondVar;
  std::mutex native_;
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

/// Holds two mutexes for a scope, locked in the order of their addresses, so that two threads that name them in
/// opposite orders cannot deadlock. The same mutex twice is locked once.
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

/// A condition variable for Mutex. Spurious wake-ups happen: wait in a loop over the condition.
class CondVar {
 public:
  void wait(Mutex& mutex) GANTRY_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.native_, std::adopt_lock);
    native_.wait(lock);
    lock.release();
  }

  /// False when `until` has passed.
  [[nodiscard]] bool wait_until(Mutex& mutex, std::chrono::steady_clock::time_point until) GANTRY_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.native_, std::adopt_lock);
    const auto status = native_.wait_until(lock, until);
    lock.release();
    return status == std::cv_status::no_timeout;
  }

  void notify_one() { native_.notify_one(); }
  void notify_all() { native_.notify_all(); }

 private:
  std::condition_variable native_;
};

}  // namespace gantry
