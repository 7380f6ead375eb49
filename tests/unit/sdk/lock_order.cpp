// SPDX-License-Identifier: Apache-2.0
//
// What a debug build finds: locks that are ever taken in opposite orders.
#include <gantry/mutex.hpp>
#include <memory>
#include <string>

#include "tests/unit/support/child.hpp"

#if GANTRY_ASAN
#include <sanitizer/lsan_interface.h>
#endif

using namespace gantry;

#if GANTRY_LOCK_ORDER

using core_test::abort_message;

TEST_CASE("lock order: two mutexes that are ever locked in opposite orders end a debug build, with their names") {
  const auto said = abort_message([] {
    Mutex a("accounts");
    Mutex b("bus");
    Mutex c("cache");
    {
      const Lock first(a);
      const Lock second(b);
    }
    {
      const Lock second(b);
      const Lock third(c);
    }
    const Lock first(c);
    const Lock late(a);  // a -> b -> c -> a
  });
  REQUIRE(said.find("opposite orders") != std::string::npos);
  for (const char* const name : {"accounts", "bus", "cache"}) {
    CAPTURE(name);
    REQUIRE(said.find(name) != std::string::npos);
  }
}

TEST_CASE("lock order: a mutex that its holder locks again ends a debug build, with its name") {
  const auto said = abort_message([]() GANTRY_NO_TSA {
    Mutex a("accounts");
    a.lock();
    a.lock();
  });
  REQUIRE(said.find("by the thread that holds it: accounts") != std::string::npos);
}

TEST_CASE("lock order: LockBoth, the same order twice, and memory that becomes another mutex are no inversion") {
  const auto fine = [] {
    auto a = std::make_unique<Mutex>("a");
    Mutex b("b");
    for (int i = 0; i < 3; ++i) {
      const LockBoth both(*a, b);
    }
    for (int i = 0; i < 3; ++i) {
      const LockBoth both(b, *a);
    }
    std::optional<Mutex> one(std::in_place, "one");
    {
      const Lock first(*one);
      const Lock second(b);
    }
    one.reset();
    one.emplace("another");
    const Lock first(b);
    const Lock second(*one);
  };
  fine();
  SUCCEED();
}

#if GANTRY_ASAN
TEST_CASE("lock order: what leaks with a mutex in it is still found") {
  REQUIRE(core_test::exit_code_of([] {
            for (int i = 0; i < 100; ++i) {
              auto* const lost = new Mutex("lost");
              const Lock lock(*lost);
            }
            return ::__lsan_do_recoverable_leak_check() != 0 ? 0 : 1;
          }) == 0);
}
#endif
#endif
