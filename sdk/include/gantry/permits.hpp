// SPDX-License-Identifier: Apache-2.0
//
// gantry/permits.hpp: at most `limit` at once, and a bounded, fair queue behind.
//
// Thread rule: any thread. `granted` is called without a lock held, on the caller's thread or on the thread that
//   releases the permit before; it must not block.
// Full: acquire refuses with `overloaded`. Order: first come, first served.
// Never: more permits than the limit are out (a lowered limit takes effect as permits come back); a waiter that
//   was withdrawn is called.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace gantry {

class PermitQueue;

/// The right to be one of the `limit`. Given back when it dies.
class Permit {
 public:
  Permit() = default;
  Permit(Permit&&) noexcept = default;
  inline Permit& operator=(Permit&& other) noexcept;
  inline ~Permit();
  inline void release();
  [[nodiscard]] explicit operator bool() const { return queue_ != nullptr; }

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

  /// Grants now or later. Returns a ticket for `withdraw`; 0 when it was granted at once.
  [[nodiscard]] Result<std::uint64_t> acquire(Granted granted) {
    {
      Lock lock(mutex_);
      if (in_use_ >= limit_ || !waiting_.empty()) {
        if (waiting_.size() >= max_waiting_) {
          ++refused_;
          return fail(ErrorKind::overloaded,
                      "all " + std::to_string(limit_) + " permits are taken and " + std::to_string(waiting_.size()) +
                          " calls wait; try again later",
                      R"({"retry_after_ms":1000})");
        }
        waiting_.push_back(Waiter{++last_ticket_, std::move(granted)});
        return last_ticket_;
      }
      ++in_use_;
    }
    granted(Permit(shared_from_this()));
    return 0;
  }

  /// A permit that is free now, or an empty one.
  [[nodiscard]] Permit try_acquire() {
    Lock lock(mutex_);
    if (in_use_ >= limit_ || !waiting_.empty()) return {};
    ++in_use_;
    return Permit(shared_from_this());
  }

  /// True: that waiter will not be called. False: it was called, or is about to be.
  bool withdraw(std::uint64_t ticket) {
    Granted dropped;
    Lock lock(mutex_);
    for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
      if (it->ticket != ticket) continue;
      dropped = std::move(it->granted);
      waiting_.erase(it);
      return true;
    }
    return false;
  }

  void set_limit(std::size_t limit) {
    {
      Lock lock(mutex_);
      limit_ = limit == 0 ? 1 : limit;
    }
    grant_waiting();
  }

  [[nodiscard]] Counts counts() const {
    Lock lock(mutex_);
    return Counts{limit_, in_use_, waiting_.size(), refused_};
  }

 private:
  friend class Permit;
  struct Waiter {
    std::uint64_t ticket;
    Granted granted;
  };

  PermitQueue(std::size_t limit, std::size_t max_waiting) : max_waiting_(max_waiting), limit_(limit == 0 ? 1 : limit) {}

  void give_back() {
    {
      Lock lock(mutex_);
      --in_use_;
      if (waiting_.empty()) return;
    }
    grant_waiting();
  }

  // One thread grants at a time, in a loop: a `granted` that gives its permit back at once must not recurse.
  void grant_waiting() {
    {
      Lock lock(mutex_);
      grant_again_ = true;
      if (granting_) return;
      granting_ = true;
    }
    while (true) {
      std::vector<Granted> ready;
      {
        Lock lock(mutex_);
        if (!grant_again_) {
          granting_ = false;
          return;
        }
        grant_again_ = false;
        while (in_use_ < limit_ && !waiting_.empty()) {
          ready.push_back(std::move(waiting_.front().granted));
          waiting_.pop_front();
          ++in_use_;
        }
      }
      for (auto& granted : ready) granted(Permit(shared_from_this()));
    }
  }

  const std::size_t max_waiting_;
  mutable Mutex mutex_;
  std::size_t limit_ GANTRY_GUARDED_BY(mutex_);
  std::size_t in_use_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::size_t refused_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::uint64_t last_ticket_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool granting_ GANTRY_GUARDED_BY(mutex_) = false;
  bool grant_again_ GANTRY_GUARDED_BY(mutex_) = false;
  std::deque<Waiter> waiting_ GANTRY_GUARDED_BY(mutex_);
};

// Giving back may call others, who may touch this very object: it is empty before they do.
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
