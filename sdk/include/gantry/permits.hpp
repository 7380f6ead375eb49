// SPDX-License-Identifier: Apache-2.0
//
// gantry/permits.hpp: a counting semaphore of `limit` permits with a bounded, fair queue.
//
// The number of permits in use is one atomic word: as long as nobody waits, a permit is taken and
//   given back by one operation on that word, without the lock.
//
// Thread rule: any thread. `granted` is called without a lock held, on the caller's thread or on
//   the thread that releases the permit before; it must not block.
// Full: acquire refuses with `overloaded`. Order: first come, first served.
// Never: more permits than the limit are out (a lowered limit takes effect as permits come back); a
//   waiter that was withdrawn is called.
#pragma once

#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <memory>
#include <string>
#include <utility>

namespace gantry {

class PermitQueue;

/// The right to be one of `limit`. The destructor gives the permit back.
class Permit {
 public:
  Permit() = default;
  Permit(Permit&&) noexcept = default;
  inline Permit& operator=(Permit&& other) noexcept;
  inline ~Permit();
  inline void release();
  [[nodiscard]] explicit operator bool() const { return queue_ != nullptr; }
  /// Detaches the permit: its holder gives it back by PermitQueue::give_back().
  void keep() { queue_.reset(); }

 private:
  friend class PermitQueue;
  explicit Permit(std::shared_ptr<PermitQueue> queue) : queue_(std::move(queue)) {}
  std::shared_ptr<PermitQueue> queue_;
};

class PermitQueue : public std::enable_shared_from_this<PermitQueue> {
 public:
  using Granted = std::move_only_function<void(Permit)>;
  struct Counts {
    std::size_t limit, in_use, waiting, refused;
  };

  [[nodiscard]] static std::shared_ptr<PermitQueue> make(std::size_t limit, std::size_t max_waiting) {
    return std::shared_ptr<PermitQueue>(new PermitQueue(limit, max_waiting));
  }

  PermitQueue(const PermitQueue&) = delete;
  PermitQueue& operator=(const PermitQueue&) = delete;
  /// Every permit was given back, and nobody waits for one.
  ~PermitQueue() { assert(word_.load(std::memory_order_relaxed) == 0); }

  /// Grants now or later. Returns a ticket for `withdraw`; 0 when it was granted at once.
  [[nodiscard]] Result<std::uint64_t> acquire(Granted granted) {
    if (!try_take()) {
      Lock lock(mutex_);
      // First the mark is set, then the word is checked: a thread that gives a permit back either
      // finds the mark, or its permit is seen here.
      (void)word_.fetch_or(kWaiting, std::memory_order_seq_cst);
      if (!waiting_.empty() || !take_one_more()) {
        if (waiting_.size() >= max_waiting_) {
          ++refused_;
          const std::size_t waiting = waiting_.size();
          nobody_waits();
          return fail(ErrorKind::overloaded,
                      "all " + std::to_string(limit_.load(std::memory_order_relaxed)) + " permits are taken and " +
                          std::to_string(waiting) + " calls wait; try again later",
                      R"({"retry_after_ms":1000})");
        }
        waiting_.push_back(Waiter{++last_ticket_, std::move(granted)});
        return last_ticket_;
      }
      nobody_waits();
    }
    granted(Permit(shared_from_this()));
    return 0;
  }

  /// Returns a permit that is free now, or an empty one. Never waits.
  [[nodiscard]] Permit try_acquire() { return try_take() ? Permit(shared_from_this()) : Permit(); }
  /// As try_acquire(), for a caller that remembers by itself that it has a permit, and calls
  /// give_back().
  [[nodiscard]] bool try_take() {
    std::uint64_t word = word_.load(std::memory_order_relaxed);
    do {
      if (word >= limit_.load(std::memory_order_relaxed)) return false;  // also false while somebody waits
    } while (!word_.compare_exchange_weak(word, word + 1, std::memory_order_acq_rel, std::memory_order_relaxed));
    return true;
  }
  void give_back() {
    if ((word_.fetch_sub(1, std::memory_order_seq_cst) & kWaiting) != 0) grant_waiting();
  }

  /// True: the waiter will not be called. False: it was called, or is about to be.
  bool withdraw(std::uint64_t ticket) {
    Granted dropped;
    Lock lock(mutex_);
    for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
      if (it->ticket != ticket) continue;
      dropped = std::move(it->granted);
      waiting_.erase(it);
      nobody_waits();
      return true;
    }
    return false;
  }

  void set_limit(std::size_t limit) {
    limit_.store(limit == 0 ? 1 : limit, std::memory_order_seq_cst);
    grant_waiting();
  }

  [[nodiscard]] Counts counts() const {
    Lock lock(mutex_);
    return Counts{limit_.load(std::memory_order_relaxed),
                  static_cast<std::size_t>(word_.load(std::memory_order_relaxed) & ~kWaiting), waiting_.size(),
                  refused_};
  }

 private:
  friend class Permit;
  struct Waiter {
    std::uint64_t ticket;
    Granted granted;
  };

  PermitQueue(std::size_t limit, std::size_t max_waiting) : max_waiting_(max_waiting), limit_(limit == 0 ? 1 : limit) {}

  // While the mark is set, no other thread takes a permit.
  [[nodiscard]] bool take_one_more() GANTRY_REQUIRES(mutex_) {
    if ((word_.load(std::memory_order_seq_cst) & ~kWaiting) >= limit_.load(std::memory_order_seq_cst)) return false;
    (void)word_.fetch_add(1, std::memory_order_acq_rel);
    return true;
  }
  void nobody_waits() GANTRY_REQUIRES(mutex_) {
    if (waiting_.empty()) (void)word_.fetch_and(~kWaiting, std::memory_order_seq_cst);
  }

  // One thread grants at a time, in a loop: a `granted` that gives its permit back at once must not
  // recurse. A permit that another thread gives back meanwhile is seen by the next round.
  void grant_waiting() {
    for (bool mine = false;; mine = true) {
      Granted next;
      {
        Lock lock(mutex_);
        if (granting_ && !mine) return;
        granting_ = !waiting_.empty() && take_one_more();
        if (granting_) {
          next = std::move(waiting_.front().granted);
          waiting_.pop_front();
        }
        nobody_waits();
        if (!granting_) return;
      }
      next(Permit(shared_from_this()));
    }
  }

  static constexpr std::uint64_t kWaiting = std::uint64_t{1} << 63;  ///< somebody may wait: nobody passes

  const std::size_t max_waiting_;
  std::atomic<std::uint64_t> word_{0};  ///< the number of permits in use, and the mark
  std::atomic<std::uint64_t> limit_;
  mutable Mutex mutex_;
  std::size_t refused_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::uint64_t last_ticket_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool granting_ GANTRY_GUARDED_BY(mutex_) = false;
  std::deque<Waiter> waiting_ GANTRY_GUARDED_BY(mutex_);
};

// Giving the permit back may call other code, which may touch this very object: it is empty before
// that.
inline void Permit::release() {
  if (const auto queue = std::exchange(queue_, nullptr)) queue->give_back();
}
inline Permit::~Permit() { release(); }
inline Permit& Permit::operator=(Permit&& other) noexcept {
  if (this != &other) {
    const Permit old(std::move(*this));
    queue_ = std::exchange(other.queue_, nullptr);
  }
  return *this;
}

}  // namespace gantry
