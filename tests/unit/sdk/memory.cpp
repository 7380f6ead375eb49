// SPDX-License-Identifier: Apache-2.0
//
// The memory of coroutine frames and oneshot slots: what is kept, by whom, and how much of it.
#include <malloc.h>

#include <array>
#include <gantry/detail/pool.hpp>
#include <set>
#include <thread>

#include "tests/unit/support/threads.hpp"

using gantry::detail::SmallPool;

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define COUNTS_MEMORY 0  // mallinfo2() says nothing there
#endif
#endif
#ifndef COUNTS_MEMORY
#define COUNTS_MEMORY 1
#endif

#if !GANTRY_ASAN
TEST_CASE("memory: what a thread freed it gets again, the last first, for any size of the same step") {
  // In threads of their own: what other cases left behind is not there.
  std::thread([] {
    bool right = true;
    const auto check = [&](bool holds) { right = right && holds; };
    void* const small = SmallPool::allocate(1);
    void* const large = SmallPool::allocate(SmallPool::kStep);
    SmallPool::free(small, 1);
    SmallPool::free(large, SmallPool::kStep);
    void* const other = SmallPool::allocate(SmallPool::kStep + 1);
    check(other != small && other != large);
    check(SmallPool::allocate(SmallPool::kStep) == large);
    check(SmallPool::allocate(SmallPool::kStep) == small);
    for (void* const memory : {small, large}) SmallPool::free(memory, 1);
    SmallPool::free(other, SmallPool::kStep + 1);
    // The largest of all has its list too.
    void* const largest = SmallPool::allocate(SmallPool::kLargest);
    SmallPool::free(largest, SmallPool::kLargest);
    check(SmallPool::allocate(SmallPool::kLargest - 1) == largest);
    SmallPool::free(largest, SmallPool::kLargest);
    if (!right) std::abort();
  }).join();
  SUCCEED();
}

TEST_CASE("memory: what one thread allocates another may free, and keeps it for itself") {
  void* const memory = SmallPool::allocate(200);
  void* again = nullptr;
  std::thread([&] {
    SmallPool::free(memory, 200);
    again = SmallPool::allocate(200);
  }).join();
  REQUIRE(again == memory);
  SmallPool::free(again, 200);
  REQUIRE(SmallPool::allocate(200) == again);
  SmallPool::free(again, 200);
}

#if COUNTS_MEMORY
namespace {

/// Bytes that operator new has given out, of the arena that the main thread uses.
std::size_t in_use() { return ::mallinfo2().uordblks; }

std::vector<void*> take(std::size_t count, std::size_t size) {
  std::vector<void*> out(count);
  for (auto& memory : out) memory = SmallPool::allocate(size);
  return out;
}
void give_back(const std::vector<void*>& all, std::size_t size) {
  for (void* const memory : all) SmallPool::free(memory, size);
}

}  // namespace

TEST_CASE("memory: no more than the bound is kept of a size, and what is larger than the largest is not") {
  constexpr std::size_t kMany = 4 * SmallPool::kKeptBytes / SmallPool::kLargest;
  constexpr std::size_t kAll = kMany * SmallPool::kLargest;
  const auto blocks = take(kMany, SmallPool::kLargest);
  const auto before = in_use();
  give_back(blocks, SmallPool::kLargest);
  const auto given = before - in_use();
  REQUIRE(given >= kAll - SmallPool::kKeptBytes - SmallPool::kLargest);
  REQUIRE(given <= kAll - SmallPool::kKeptBytes / 2);
  // What was kept comes again before anything new does, and is counted out: as much is kept the next time.
  const auto kept = in_use();
  const auto again = take(SmallPool::kKeptBytes / SmallPool::kLargest, SmallPool::kLargest);
  REQUIRE(in_use() - kept < SmallPool::kLargest * 8);
  const auto held = in_use();
  give_back(again, SmallPool::kLargest);
  REQUIRE(held - in_use() < SmallPool::kLargest * 8);

  const auto large = take(100, SmallPool::kLargest + 1);
  const auto full = in_use();
  give_back(large, SmallPool::kLargest + 1);
  REQUIRE(full - in_use() >= 90 * SmallPool::kLargest);
}

TEST_CASE("memory: a thread that ends gives back what it kept, also what is freed while it ends") {
  // Made before the thread's first free(), and so destroyed after what empties its lists.
  struct Late {
    std::vector<void*> blocks;
    void touch() {}
    ~Late() {
      give_back(blocks, 512);
      SmallPool::free(SmallPool::allocate(512), 512);
    }
  };
  constexpr std::size_t kBlocks = 200;
  const auto blocks = take(2 * kBlocks, 512);
  const auto before = in_use();
  std::thread([&] {
    static thread_local Late late;
    late.blocks.assign(blocks.begin(), blocks.begin() + kBlocks);
    give_back({blocks.begin() + kBlocks, blocks.end()}, 512);
  }).join();
  REQUIRE(before - in_use() >= (2 * kBlocks - 10) * 512);
}
#endif
#endif

TEST_CASE("memory: every size is usable to its last byte, whoever frees it") {
  std::vector<std::pair<void*, std::size_t>> all;
  for (std::size_t size = 1; size <= SmallPool::kLargest + SmallPool::kStep; size += 31) {
    void* const memory = SmallPool::allocate(size);
    std::fill_n(static_cast<unsigned char*>(memory), size, static_cast<unsigned char>(size));
    all.emplace_back(memory, size);
  }
  REQUIRE(std::set(all.begin(), all.end()).size() == all.size());
  bool whole = true;
  std::thread([&] {
    for (const auto& [memory, size] : all) {
      for (std::size_t i = 0; i < size; ++i)
        whole = whole && static_cast<const unsigned char*>(memory)[i] == static_cast<unsigned char>(size);
      SmallPool::free(memory, size);
    }
  }).join();
  REQUIRE(whole);
}
