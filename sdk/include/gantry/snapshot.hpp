// SPDX-License-Identifier: Apache-2.0
//
// gantry/snapshot.hpp: an immutable value that is replaced as a whole; readers access it without a
// lock or a shared reference count.
//
//   gantry::Snapshot<Routes> routes{Routes{}};
//   gantry::Snapshot<Routes>::Reader reader(routes);    // one for each thread, or each object that a thread owns
//   const Routes& now = reader.get();                   // one acquire load while nothing has changed
//   routes.update([&](const Routes& old) { return old.with(topic); });
//
// Thread rule: Snapshot by any thread. A Reader by one thread at a time; it must not outlive the
//   Snapshot.
// Reading: get() returns the newest value that was published before the call, and never an older
//   one than the same Reader saw. The reference is valid until the same Reader's next get() or
//   release().
// Writing: publish() never waits for readers. update() reads, computes and publishes as one step,
//   one writer at a time; an exception publishes nothing.
// Memory: an old value lives until each Reader that saw it has called get() again, released it, or
//   died: at most one for each Reader. Values are destroyed outside of locks.
// Never: a reader writes a cache line that other readers use, except in its first get() after a
//   change, or after release().
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <gantry/detail/spin.hpp>
#include <gantry/mutex.hpp>
#include <memory>
#include <utility>

namespace gantry {

template <class T>
class Snapshot {
 public:
  explicit Snapshot(T initial) : Snapshot(std::make_shared<const T>(std::move(initial))) {}
  explicit Snapshot(std::shared_ptr<const T> initial) : value_(std::move(initial)) {}
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  /// A shared pointer to the newest value, for code that reads now and then. Takes the lock for a
  /// moment.
  [[nodiscard]] std::shared_ptr<const T> load() const {
    const detail::SpinGuard guard(lock_);
    return value_;
  }
  void publish(T value) { publish(std::make_shared<const T>(std::move(value))); }
  void publish(std::shared_ptr<const T> value) {
    const Lock writing(writers_);
    swap_in(value);
  }
  /// Publishes the result of `f(const T&)`.
  template <class F>
  void update(F&& f) {
    std::shared_ptr<const T> value;  // the old value is destroyed after the lock is released
    const Lock writing(writers_);
    value = std::make_shared<const T>(std::invoke(std::forward<F>(f), std::as_const(*load())));
    swap_in(value);
  }

  class Reader {
   public:
    explicit Reader(const Snapshot& snapshot) : snapshot_(&snapshot) {}
    Reader(Reader&& other) noexcept
        : snapshot_(other.snapshot_), value_(std::move(other.value_)), seen_(std::exchange(other.seen_, 0)) {}
    Reader& operator=(Reader&&) = delete;
    [[nodiscard]] const T& get() {
      if (snapshot_->version_.load(std::memory_order_acquire) != seen_) [[unlikely]]
        refresh();
      return *value_;
    }
    /// Releases the value until the next get().
    void release() {
      value_.reset();
      seen_ = 0;
    }

   private:
    void refresh() {
      std::shared_ptr<const T> old = std::move(value_);
      const detail::SpinGuard guard(snapshot_->lock_);
      value_ = snapshot_->value_;
      seen_ = snapshot_->version_.load(std::memory_order_relaxed);
    }
    const Snapshot* snapshot_;
    std::shared_ptr<const T> value_;
    std::uint64_t seen_ = 0;
  };

 private:
  // Afterwards `value` is the old value.
  void swap_in(std::shared_ptr<const T>& value) {
    const detail::SpinGuard guard(lock_);
    value_.swap(value);
    version_.store(version_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }

  Mutex writers_{"snapshot"};
  mutable detail::SpinLock lock_;
  std::shared_ptr<const T> value_ GANTRY_GUARDED_BY(lock_);
  // Alone on its cache line: readers load it all the time.
  alignas(detail::kCacheLine) std::atomic<std::uint64_t> version_{1};
};

}  // namespace gantry
