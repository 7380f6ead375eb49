// SPDX-License-Identifier: Apache-2.0
//
// 500 lives in one process. What a library sets up once and keeps (kWarmUp lives are given for that) is no growth; what
// comes with each life is. Memory is what the allocator has given out, which is exact, and the resident size, which
// also sees what the plugin maps itself, but moves by whole arenas: each has a tolerance of its own.
//
// docs/plugin-check.md says how the tolerances were found.
#include <dirent.h>
#include <malloc.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "host/check/drive.hpp"

/// Of a sanitizer's allocator, where there is one: glibc's is not used then.
extern "C" __attribute__((weak)) std::size_t __sanitizer_get_current_allocated_bytes();  // NOLINT: its name

namespace gantry::host::check {

namespace {

constexpr int kWarmUp = 50;
constexpr int kLives = 500;
constexpr std::int64_t kHeapALife = 64;                     ///< bytes, for each life
constexpr std::int64_t kResident = std::int64_t{16} << 20;  ///< bytes, for all of them
constexpr auto kMostOfIt = std::chrono::seconds(90);

[[nodiscard]] std::int64_t entries(const char* folder) {
  DIR* const dir = ::opendir(folder);
  if (dir == nullptr) return 0;
  std::int64_t count = 0;
  while (::readdir(dir) != nullptr) ++count;
  (void)::closedir(dir);
  return count;
}

struct Sizes {
  std::int64_t heap = 0;
  std::int64_t resident = 0;
  std::int64_t threads = 0;
  std::int64_t descriptors = 0;
};

[[nodiscard]] Sizes measure() {
  Sizes out;
  const bool sanitized = &__sanitizer_get_current_allocated_bytes != nullptr;
  if (!sanitized) (void)::malloc_trim(0);
  out.heap = sanitized ? static_cast<std::int64_t>(__sanitizer_get_current_allocated_bytes())
                       : static_cast<std::int64_t>(::mallinfo2().uordblks);
  std::ifstream in("/proc/self/statm");
  std::int64_t pages = 0;
  in >> pages >> out.resident;
  out.resident *= 4096;
  if (sanitized) out.resident = 0;  // what is freed stays resident in its quarantine
  out.threads = entries("/proc/self/task");
  out.descriptors = entries("/proc/self/fd");
  return out;
}

[[nodiscard]] std::string bytes(std::int64_t count) { return std::to_string(count / 1024) + " KiB"; }

[[nodiscard]] std::optional<Outcome> judge(const Sizes& from, const Sizes& to, int lives) {
  const auto grown = [&](const std::string& what, const std::string& advice) {
    return Outcome::failed("the process is after " + std::to_string(lives) + " lives of the plugin as it was before",
                           what, advice);
  };
  if (to.threads > from.threads)
    return grown(std::to_string(to.threads - from.threads) + " threads more", "join every thread in the destructor");
  if (to.descriptors > from.descriptors)
    return grown(std::to_string(to.descriptors - from.descriptors) + " descriptors more",
                 "close in the destructor what was opened");
  const std::int64_t heap = to.heap - from.heap;
  if (heap > kHeapALife * lives)
    return grown(bytes(heap) + " of memory more, " + std::to_string(heap / lives) + " bytes with each",
                 "free in `destroy` what the object holds; a build with -fsanitize=address names what leaks");
  if (to.resident - from.resident > kResident)
    return grown(bytes(to.resident - from.resident) + " resident more", "unmap in `destroy` what was mapped");
  return std::nullopt;
}

}  // namespace

Outcome check_growth(Subject& s) {
  const auto until = std::chrono::steady_clock::now() + kMostOfIt;
  const json config = s.config();
  BareHost host(*s.entry, s.report);
  host.be_quiet();
  Sizes before;
  int lives = 0;
  for (; lives < kWarmUp + kLives; ++lives) {
    if (lives == kWarmUp) before = measure();
    if (std::chrono::steady_clock::now() > until) break;
    const bool lived = host.create() && host.start(config, kLongTimeout) == 0 &&
                       host.stop(kStopBudget, kLongTimeout).answered && host.destroy(kLongTimeout);
    if (!lived)
      return Outcome::failed("it starts and stops again and again with the same state_dir",
                             "it did not at life " + std::to_string(lives + 1) + ": " + host.last_error(),
                             "give back in `stop` and `destroy` what `start` takes");
  }
  lives -= kWarmUp;
  if (lives <= 0)
    return Outcome::warned("500 lives within 90 s", "not even " + std::to_string(kWarmUp) + " were, so nothing is said",
                           "start and stop faster");
  const Sizes after = measure();
  if (auto grown = judge(before, after, lives)) return *grown;
  const std::string note = std::to_string(lives) + " lives, " + std::to_string(after.heap - before.heap) +
                           " bytes of memory more, " + bytes(after.resident - before.resident) + " resident";
  if (lives == kLives) return Outcome::passed(note);
  return Outcome::warned("500 lives within 90 s", note, "start and stop faster");
}

}  // namespace gantry::host::check
