// SPDX-License-Identifier: Apache-2.0
//
// gantry/detail/futex.hpp: a thread sleeps until a word changes. futex(2), private to the process.
//
// Thread rule: any thread. A wake on a word that no longer exists is harmless: it wakes nobody, or
// a thread that checks its own word again.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <ctime>
#include <gantry/deadline.hpp>
#include <optional>

namespace gantry::detail {

using FutexWord = std::atomic<std::uint32_t>;
static_assert(sizeof(FutexWord) == sizeof(std::uint32_t) && FutexWord::is_always_lock_free);

/// Sleeps while `word` is `expected`, at most until `until`. False: the time is up. Spurious
/// wake-ups happen.
inline bool futex_wait(FutexWord& word, std::uint32_t expected,
                       std::optional<TimePoint> until = std::nullopt) noexcept {
  timespec at{};
  if (until) {
    const auto ns = until->time_since_epoch().count();
    at.tv_sec = static_cast<time_t>(ns / 1'000'000'000);
    at.tv_nsec = static_cast<long>(ns % 1'000'000'000);
    if (ns < 0) at = {};
  }
  // FUTEX_WAIT_BITSET takes an absolute time of CLOCK_MONOTONIC, which steady_clock is.
  const long rc = ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, until ? &at : nullptr,
                            nullptr, FUTEX_BITSET_MATCH_ANY);
  return rc == 0 || errno != ETIMEDOUT;
}

inline void futex_wake(FutexWord* word, int count) noexcept {
  ::syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, nullptr, nullptr, 0);
}

}  // namespace gantry::detail
