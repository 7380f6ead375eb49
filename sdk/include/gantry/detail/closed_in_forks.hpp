// SPDX-License-Identifier: Apache-2.0
//
// gantry/detail/closed_in_forks.hpp: descriptors that a process forked from this one must not keep
// open: a lock that is bound to its open file, a listener, a client's connection. Close-on-exec
// does nothing for a child that is forked and runs no other program. Such a child closes them
// before fork() returns in it.
//
// Thread rule: any thread. The child may be that of a process with threads: it only calls close(2),
// which is safe there.
// Bounds: descriptors below kMax; the others stay open in such a child.
// Never: a descriptor of other code is closed: code that has added a descriptor removes it before
// closing it.
#pragma once

#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace gantry::detail {

class ClosedInForks {
 public:
  static constexpr int kMax = 1 << 16;

  static void add(int fd) noexcept {
    // NOLINTNEXTLINE(cert-err58-cpp): without memory for it, children keep what they inherit
    static const bool asked = ::pthread_atfork(nullptr, nullptr, &close_all) == 0;
    (void)asked;
    if (fd >= 0 && fd < kMax) word_of(fd).fetch_or(bit_of(fd));
  }
  static void remove(int fd) noexcept {
    if (fd >= 0 && fd < kMax) word_of(fd).fetch_and(~bit_of(fd));
  }

 private:
  using Word = std::atomic<std::uint64_t>;
  static constexpr int kBits = 64;

  // A process has one table of descriptors, so this is one for the process, too.
  [[nodiscard]] static std::array<Word, kMax / kBits>& words() noexcept {
    static constinit std::array<Word, kMax / kBits> words{};
    return words;
  }
  [[nodiscard]] static Word& word_of(int fd) noexcept { return words()[static_cast<std::size_t>(fd / kBits)]; }
  [[nodiscard]] static std::uint64_t bit_of(int fd) noexcept { return std::uint64_t{1} << (fd % kBits); }

  static void close_all() noexcept {
    int first = 0;
    for (auto& word : words()) {
      for (auto left = word.exchange(0); left != 0; left &= left - 1) (void)::close(first + std::countr_zero(left));
      first += kBits;
    }
  }
};

}  // namespace gantry::detail
