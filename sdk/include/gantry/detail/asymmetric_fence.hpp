// SPDX-License-Identifier: Apache-2.0
//
// gantry/detail/asymmetric_fence.hpp: a full memory fence whose whole price is paid by the side
// that seldom runs.
//
// Two threads that each write one word and then read the other's (Dekker) need a full fence each in
// between. Where one side runs a million times for each time of the other, the frequent side calls
// light_fence(), which only keeps the compiler from reordering, and the rare side heavy_fence(),
// which is membarrier(2): when it returns, every thread of the process has passed a full fence at
// some point after the call. So either the light side's read came after that point, and sees the
// heavy side's write; or the read came before, then so did the light side's write, and the heavy
// side sees that.
//
// Thread rule: any thread. Where the kernel or a sandbox has no membarrier, asymmetric_fences() is
// false, and both sides must use std::atomic_thread_fence(seq_cst). Source: membarrier(2); P1202
// "Asymmetric Fences"; as in folly and liburcu.
#pragma once

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

namespace gantry::detail {

/// Asks the kernel once in a process.
[[nodiscard]] inline bool asymmetric_fences() noexcept {
  static constinit std::atomic<int> known{0};
  int state = known.load(std::memory_order_relaxed);
  if (state == 0) {
    state = ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 ? 1 : 2;
    known.store(state, std::memory_order_relaxed);
  }
  return state == 1;
}

inline void light_fence() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }
inline void heavy_fence() noexcept {
  // Without the fence the algorithm is wrong. Only a seccomp filter that was installed later can
  // refuse the call to a registered process, and our own filters allow it.
  if (::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) std::abort();
}

}  // namespace gantry::detail
