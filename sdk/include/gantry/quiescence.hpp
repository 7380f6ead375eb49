// SPDX-License-Identifier: Apache-2.0
//
// gantry/quiescence.hpp: waits until no thread can still use an object that was withdrawn.
//
//   gantry::Quiescence quiescence;
//   gantry::Quiescence::Participant me(quiescence);      // once for each thread
//   { gantry::Quiescence::Section section(me);  use(*lazy.borrow()); }
//   quiescence.wait();                                   // every section that was open when this began has ended
//
// Thread rule: a Participant and its Sections are used by one thread; wait() is called by any
// thread outside of its own sections.
// Cost: a section costs one fence, whatever is borrowed inside.
// Bound: a section that never ends keeps wait() waiting: pass a time.
// Source: epoch-based reclamation; McKenney, "Is Parallel Programming Hard", chapter 9; Fraser
// 2004.
#pragma once

#include <atomic>
#include <cassert>
#include <cstdint>
#include <gantry/detail/spin.hpp>
#include <gantry/mutex.hpp>
#include <optional>
#include <vector>

namespace gantry {

class Quiescence {
 public:
  Quiescence() = default;
  Quiescence(const Quiescence&) = delete;
  Quiescence& operator=(const Quiescence&) = delete;
  /// Every participant is gone.
  ~Quiescence() {
    const Lock lock(mutex_);
    assert(participants_.empty());
  }

  class Participant {
   public:
    explicit Participant(Quiescence& domain) : domain_(domain) {
      const Lock lock(domain_.mutex_);
      domain_.participants_.push_back(this);
    }
    ~Participant() {
      const Lock lock(domain_.mutex_);
      std::erase(domain_.participants_, this);
    }
    Participant(const Participant&) = delete;
    Participant& operator=(const Participant&) = delete;

   private:
    friend class Quiescence;
    Quiescence& domain_;
    std::uint32_t depth_ = 0;
    // 0: outside of a section. Else the epoch in which the section began.
    alignas(detail::kCacheLine) std::atomic<std::uint64_t> inside_{0};
  };

  /// Nested sections count as their outermost section.
  class Section {
   public:
    explicit Section(Participant& participant) noexcept : participant_(participant) {
      if (participant_.depth_++ != 0) return;
      // One of two things holds by the fences here and in wait(): this section is seen there, or
      // the withdrawal is seen here. Release: a thread that sees this section knows that the
      // section before is over.
      participant_.inside_.store(participant_.domain_.epoch_.load(std::memory_order_acquire),
                                 std::memory_order_release);
      std::atomic_thread_fence(std::memory_order_seq_cst);
    }
    ~Section() {
      if (--participant_.depth_ == 0) participant_.inside_.store(0, std::memory_order_release);
    }
    Section(const Section&) = delete;
    Section& operator=(const Section&) = delete;

   private:
    Participant& participant_;
  };

  /// Waits until every section that is open now has ended. False: some section was still open at
  /// `until`.
  [[nodiscard]] bool wait(std::optional<TimePoint> until = std::nullopt) {
    const std::uint64_t epoch = epoch_.fetch_add(1, std::memory_order_acq_rel) + 1;
    std::atomic_thread_fence(std::memory_order_seq_cst);
    detail::Backoff backoff;
    while (any_before(epoch)) {
      if (until && std::chrono::steady_clock::now() >= *until) return false;
      if (!backoff.spent()) {
        backoff.wait();
      } else {
        // Nobody wakes this thread: leaving a section must stay free of cost.
        detail::FutexWord never{0};
        (void)detail::futex_wait(never, 0, TimePoint(std::chrono::steady_clock::now() + std::chrono::milliseconds(1)));
      }
    }
    return true;
  }

 private:
  [[nodiscard]] bool any_before(std::uint64_t epoch) {
    const Lock lock(mutex_);
    for (const Participant* const participant : participants_) {
      const auto inside = participant->inside_.load(std::memory_order_acquire);
      if (inside != 0 && inside < epoch) return true;
    }
    return false;
  }

  std::atomic<std::uint64_t> epoch_{1};
  Mutex mutex_{"quiescence"};
  std::vector<Participant*> participants_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry
