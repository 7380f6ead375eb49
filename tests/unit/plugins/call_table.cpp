// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/call_table.hpp"

#include <atomic>
#include <thread>

#include "tests/unit/support/host.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

[[nodiscard]] PluginCallPtr some_call() { return new WithSink<PluginCall>({}, std::make_shared<Recorder>()); }

/// The id that it has been given; 0: it was refused.
std::uint64_t enter(CallTable& table, const PluginCallPtr& call, std::uint64_t id = 0) {
  return table.enter(call, id, [] {}) == CallTable::Entered::yes ? call->id() : 0;
}

}  // namespace

TEST_CASE("call table: a call is found by its id until it is taken, and taken once") {
  CallTable table(1000, 0);
  std::map<std::uint64_t, PluginCallPtr> calls;
  for (int i = 0; i < 500; ++i) {
    auto call = some_call();
    const auto id = enter(table, call);
    REQUIRE(id != 0);
    REQUIRE((id & GANTRY_OWN_CALL) == 0);
    REQUIRE(calls.emplace(id, std::move(call)).second);
  }
  REQUIRE(table.size() == 500);
  for (const auto& [id, call] : calls) {
    CAPTURE(id, call);
    REQUIRE(table.find(id) == call);
    REQUIRE_FALSE(table.take_if(id, [](const PluginCall&) { return false; }));
    REQUIRE(table.take(id) == call);
    REQUIRE_FALSE(table.find(id));
    REQUIRE_FALSE(table.take(id));
  }
  REQUIRE(table.size() == 0);
}

TEST_CASE("call table: a full one refuses, and one that is closed as well") {
  CallTable table(100, 0);
  for (int i = 0; i < 100; ++i) REQUIRE(enter(table, some_call()) != 0);
  REQUIRE(enter(table, some_call()) == 0);
  REQUIRE(table.take_all().size() == 100);
  REQUIRE(enter(table, some_call()) != 0);
  table.close();
  REQUIRE(enter(table, some_call()) == 0);
  REQUIRE(table.size() == 1);
}

TEST_CASE("call table: the ids of a plugin's next instance are higher than those of the one before") {
  CallTable table(100, 0);
  std::uint64_t highest = table.fresh_id();
  for (int i = 0; i < 20; ++i) highest = std::max(highest, enter(table, some_call()));
  highest = std::max(highest, enter(table, some_call(), 1001));  // in a process of its own they are the host's
  CallTable next(100, table.next_id());
  REQUIRE(enter(next, some_call()) > highest);
  REQUIRE(next.fresh_id() > highest);
}

TEST_CASE("call table: of threads that enter, take and close at once each call is taken exactly once") {
  constexpr int kThreads = 4;
  constexpr int kCalls = 5000;
  CallTable table(std::size_t{1} << 20, 0);
  std::atomic<int> entered{0};
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kCalls; ++i) {
        const auto id = enter(table, some_call());
        if (id == 0) return;
        ++entered;
        if (i % 2 == 0 && table.take(id)) ++taken;
      }
    });
  }
  threads.emplace_back([&] {
    for (int i = 0; i < 200; ++i) taken += static_cast<int>(table.take_all().size());
    table.close();
  });
  for (auto& thread : threads) thread.join();
  taken += static_cast<int>(table.take_all().size());
  REQUIRE(taken == entered);
  REQUIRE(table.size() == 0);
}
