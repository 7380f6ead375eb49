// SPDX-License-Identifier: Apache-2.0
//
// Helpers for the tests of the concurrency core: seeds that are printed, values that count their
// live copies.
#pragma once

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdint>
#include <cstdlib>
#include <gantry/detail/spin.hpp>
#include <latch>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include "tests/eventually.hpp"

namespace core_test {

using gantry::test::eventually;

/// A seed, printed when the case fails; GANTRY_SEED sets it.
inline std::uint64_t seed() {
  const char* const wanted = std::getenv("GANTRY_SEED");
  return wanted != nullptr ? std::stoull(wanted) : std::random_device{}();
}

/// The number of repetitions of a stress case: `usual` times GANTRY_STRESS (./dev full sets it).
inline int rounds(int usual) {
  const char* const factor = std::getenv("GANTRY_STRESS");
  return usual * (factor != nullptr ? std::max(1, std::atoi(factor)) : 1);
}

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t below(std::uint64_t n) { return engine_() % n; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  /// Lets some time pass, or none.
  void dawdle() {
    for (auto i = below(4) == 0 ? below(200) : 0; i != 0; --i) gantry::detail::cpu_pause();
    if (one_in(64)) std::this_thread::yield();
  }

 private:
  std::mt19937_64 engine_;
};

/// Counts its live objects, so that a value that is lost without being destroyed is detected.
struct Counted {
  static inline std::atomic<int> live{0};
  std::uint64_t sender = 0;
  std::uint64_t seq = 0;
  bool full = false;

  Counted() = default;
  Counted(std::uint64_t s, std::uint64_t q) : sender(s), seq(q), full(true) { ++live; }
  Counted(Counted&& other) noexcept : sender(other.sender), seq(other.seq), full(std::exchange(other.full, false)) {}
  Counted& operator=(Counted&& other) noexcept {
    if (full) --live;
    sender = other.sender;
    seq = other.seq;
    full = std::exchange(other.full, false);
    return *this;
  }
  Counted(const Counted& other) : sender(other.sender), seq(other.seq), full(other.full) {
    if (full) ++live;
  }
  ~Counted() {
    if (full) --live;
  }
};

}  // namespace core_test
