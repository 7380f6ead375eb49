// SPDX-License-Identifier: Apache-2.0
//
// Helpers for the stress tests: short times, and tokens that are cancelled at any moment.
#pragma once

#include <gantry/waiting.hpp>
#include <thread>

#include "tests/unit/support/threads.hpp"

namespace core_test {

using namespace gantry;

inline TimePoint soon(Random& random) {
  return std::chrono::steady_clock::now() + std::chrono::microseconds(random.below(50));
}

/// A source whose token is cancelled by another thread at any moment, again and again.
class Canceller {
 public:
  explicit Canceller(std::uint64_t seed) {
    thread_ = std::thread([this, seed] {
      Random random(seed);
      while (!over_) {
        random.dawdle();
        CancelSource old;
        {
          const detail::SpinGuard guard(lock_);
          std::swap(old, source_);
        }
        old.request_stop();
      }
    });
  }
  ~Canceller() {
    over_ = true;
    thread_.join();
  }
  CancelToken token() {
    const detail::SpinGuard guard(lock_);
    return source_.get_token();
  }

 private:
  detail::SpinLock lock_;
  CancelSource source_;
  std::atomic<bool> over_{false};
  std::thread thread_;
};

/// A wait that ends soon, by time or by the canceller.
inline WaitLimits some_limit(Random& random, Canceller& canceller) {
  if (random.one_in(2)) return {.until = soon(random), .token = {}};
  return {.until = {}, .token = canceller.token()};
}

}  // namespace core_test
