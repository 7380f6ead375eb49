// SPDX-License-Identifier: Apache-2.0
//
// gantry/guarded.hpp: a value with a lock: code can touch the value only through closures that run
// under the lock.
//
//   gantry::Guarded<Metrics> metrics{"metrics"};
//   metrics.with([](Metrics& m) { ++m.calls; });
//
// Thread rule: any thread. A closure must not touch the same Guarded again, nor block, nor call
// foreign code.
// Exceptions: an exception from a closure reaches the caller; the value stays as the closure left
// it, and usable.
// Never: a reference to the value leaves a closure as its result (it does not compile).
#pragma once

#include <functional>
#include <gantry/mutex.hpp>
#include <type_traits>
#include <utility>

namespace gantry {

template <class T>
class Guarded {
 public:
  template <class... Args>
  explicit Guarded(const char* name, Args&&... args) : mutex_(name), value_(std::forward<Args>(args)...) {}

  /// Runs `f(T&)` alone; returns its result.
  template <class F>
  auto with(F&& f) {
    static_assert(!std::is_reference_v<std::invoke_result_t<F, T&>>, "a reference would outlive the lock");
    const Lock lock(mutex_);
    return std::invoke(std::forward<F>(f), value_);
  }
  template <class F>
  auto with(F&& f) const {
    static_assert(!std::is_reference_v<std::invoke_result_t<F, const T&>>, "a reference would outlive the lock");
    const Lock lock(mutex_);
    return std::invoke(std::forward<F>(f), std::as_const(value_));
  }

  [[nodiscard]] const char* name() const noexcept { return mutex_.name(); }
  [[nodiscard]] LockCounts counts() const noexcept { return mutex_.counts(); }

  /// Runs `f(T&, T&)` with both locked, in the order of their addresses. `a` and `b` may be the
  /// same object: then both references are, too.
  template <class F>
  friend auto with_both(Guarded& a, Guarded& b, F&& f) {
    static_assert(!std::is_reference_v<std::invoke_result_t<F, T&, T&>>, "a reference would outlive the locks");
    const LockBoth both(a.mutex_, b.mutex_);
    return std::invoke(std::forward<F>(f), a.value_, b.value_);
  }

 private:
  mutable Mutex mutex_;
  T value_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry
