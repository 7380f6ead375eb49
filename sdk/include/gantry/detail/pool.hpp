// SPDX-License-Identifier: Apache-2.0
//
// gantry/detail/pool.hpp: a memory pool for small objects that come and go: coroutine frames,
// oneshot slots.
//
// Each thread keeps the memory that it freed, by size, and hands it out again without a lock.
// Memory that one thread allocates another may free. Bounds: kKeptBytes of each size class stay
// with a thread; the rest, and objects larger than kLargest, go to operator new and delete. Under
// AddressSanitizer nothing is kept, so that a use after free is detected.
//
// Thread rule: any thread, also while its thread_locals are being destroyed.
#pragma once

#include <array>
#include <cstddef>
#include <gantry/annotations.hpp>
#include <new>
#include <utility>

namespace gantry::detail {

class SmallPool {
 public:
  static constexpr std::size_t kStep = 64;
  static constexpr std::size_t kLargest = 1024;
  static constexpr std::size_t kKeptBytes = 256UL * 1024;

  [[nodiscard]] static void* allocate(std::size_t size) {
#if !GANTRY_ASAN
    if (size <= kLargest) [[likely]] {
      List& list = here().lists[index(size)];
      if (Free* const first = list.first) {
        list.first = first->next;
        list.bytes -= rounded(size);
        return first;
      }
      return ::operator new(rounded(size));
    }
#endif
    return ::operator new(size);
  }
  static void free(void* memory, [[maybe_unused]] std::size_t size) noexcept {
#if !GANTRY_ASAN
    if (size <= kLargest) [[likely]] {
      Lists& all = here();
      List& list = all.lists[index(size)];
      if (list.bytes < kKeptBytes && may_keep(all)) {
        list.first = new (memory) Free{list.first};
        list.bytes += rounded(size);
        return;
      }
    }
#endif
    ::operator delete(memory);
  }

 private:
  struct Free {
    Free* next;
  };
  struct List {
    Free* first = nullptr;
    std::size_t bytes = 0;
  };
  struct Lists {
    std::array<List, kLargest / kStep> lists{};
    bool armed = false;
    bool dead = false;
  };
  // The lists themselves are never destroyed; this object empties them when the thread ends.
  struct Emptier {
    ~Emptier() {
      Lists& all = here();
      all.dead = true;
      for (auto& list : all.lists) {
        while (list.first != nullptr) ::operator delete(std::exchange(list.first, list.first->next));
      }
    }
  };
  [[nodiscard]] static constexpr std::size_t index(std::size_t size) { return (size + kStep - 1) / kStep - 1; }
  [[nodiscard]] static constexpr std::size_t rounded(std::size_t size) { return (index(size) + 1) * kStep; }
  [[nodiscard]] static bool may_keep(Lists& all) {
    if (!all.armed) [[unlikely]] {
      static thread_local Emptier emptier;
      (void)emptier;
      all.armed = true;
    }
    return !all.dead;
  }
  [[nodiscard]] static Lists& here() {
    static constinit thread_local Lists all{};
    return all;
  }
};

}  // namespace gantry::detail
