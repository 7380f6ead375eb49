// SPDX-License-Identifier: Apache-2.0
//
// How many locks a common call takes, and how many allocations it makes, on the host's workers: from the bytes on the
// socket to the answer's bytes, through an inline plugin that says nonblocking(). Debug builds count the locks,
// builds with AddressSanitizer the allocations.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <string>

#include "host/runtime/worker.hpp"
#include "tests/folders.hpp"
#include "tests/other_user.hpp"
#include "tests/unit/support/rpc_client.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define GANTRY_COUNTS_ALLOCATIONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GANTRY_COUNTS_ALLOCATIONS 1
#endif
#endif
#if GANTRY_COUNTS_ALLOCATIONS
#include <sanitizer/allocator_interface.h>
#endif

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

std::atomic<bool> g_counting{false};
std::atomic<std::uint64_t> g_mutexes{0};
std::atomic<std::uint64_t> g_spin_locks{0};
std::atomic<std::uint64_t> g_allocations{0};
/// The names of mutexes are literals: the addresses tell them apart.
std::array<std::atomic<const char*>, 64> g_names{};
std::array<std::atomic<std::uint64_t>, 64> g_counts{};

[[nodiscard]] bool counts_here() { return g_counting.load(std::memory_order_relaxed) && Worker::current() != nullptr; }

void note(const char* name) {
  for (std::size_t i = 0; i < g_names.size(); ++i) {
    const char* known = nullptr;
    if (g_names[i].compare_exchange_strong(known, name) || known == name) {
      ++g_counts[i];
      return;
    }
  }
}

struct Counted {
  double mutexes = 0;
  double spin_locks = 0;
  double allocations = 0;
  std::string names;
};

/// What one of `calls` calls costs, of which `depth` are open at once.
[[nodiscard]] Counted cost_of(Raw& client, int calls, int depth) {
  const auto rounds = [&](int count) {
    for (int done = 0; done < count; done += depth) {
      std::string text;
      for (int i = 0; i < depth; ++i)
        text += request(done + i, "quick.echo", {{"text", std::string(150, 'x')}}).dump() + "\n";
      REQUIRE(client.send(text));
      for (int i = 0; i < depth; ++i) REQUIRE(client.receive().contains("result"));
    }
  };
  rounds(4 * depth);  // what is made once is there
  g_mutexes = g_spin_locks = g_allocations = 0;
  for (auto& count : g_counts) count = 0;
  g_counting = true;
  rounds(calls);
  g_counting = false;
  Counted out{static_cast<double>(g_mutexes) / calls,
              static_cast<double>(g_spin_locks) / calls,
              static_cast<double>(g_allocations) / calls,
              {}};
  std::map<std::string, double> by_name;
  for (std::size_t i = 0; i < g_names.size() && g_names[i] != nullptr; ++i)
    by_name[g_names[i].load()] += static_cast<double>(g_counts[i]) / calls;
  for (const auto& [name, count] : by_name) {
    if (count >= 0.01) out.names += name + " " + std::to_string(count) + "; ";
  }
  return out;
}

}  // namespace

extern "C" void gantry_test_lock_taken(const char* name) noexcept {
  if (!counts_here()) return;
  ++(std::string_view(name) == "spin lock" ? g_spin_locks : g_mutexes);
  note(name);
}

TEST_CASE("rpc: a common call locks at most 8 mutexes and makes at most 10 allocations") {
#ifdef NDEBUG
  gantry::test::skip("a build without assertions does not count locks");
#endif
  TestDaemon t([](Config& c) { c.plugins["quick"].path = gantry::folders::build() + "/tests/plugins/more/quick.so"; },
               true);  // the clock of other tests has a lock
  Raw client(t.socket());
  REQUIRE(client.line(request("first", "quick.echo")));
  REQUIRE(client.receive().contains("result"));
#if GANTRY_COUNTS_ALLOCATIONS
  static const bool hooked = __sanitizer_install_malloc_and_free_hooks(
                                 [](const volatile void*, std::size_t) {
                                   if (counts_here()) ++g_allocations;
                                 },
                                 [](const volatile void*) {}) != 0;
  REQUIRE(hooked);
#endif
  for (const int depth : {1, 64}) {
    const Counted cost = cost_of(client, 640, depth);
    CAPTURE(depth, cost.names);
    if (std::getenv("GANTRY_PRINT_COUNTS") != nullptr)
      std::printf("%d open: %.2f mutexes, %.2f spin locks, %.2f allocations a call (%s)\n", depth, cost.mutexes,
                  cost.spin_locks, cost.allocations, cost.names.c_str());
    REQUIRE(cost.mutexes > 1);  // they are counted
    REQUIRE(cost.mutexes <= 8.01);
    REQUIRE(cost.spin_locks > 0.9);
    REQUIRE(cost.spin_locks <= (depth == 1 ? 7.5 : 2));
#if GANTRY_COUNTS_ALLOCATIONS
    REQUIRE(cost.allocations > 1);
    REQUIRE(cost.allocations <= 10);
#endif
  }
}
