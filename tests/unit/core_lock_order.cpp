// SPDX-License-Identifier: Apache-2.0
//
// What a debug build finds: locks that are ever taken in opposite orders.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <gantry/mutex.hpp>
#include <gantry/shared.hpp>
#include <memory>
#include <string>

#include "core_support.hpp"

using namespace gantry;

#if GANTRY_LOCK_ORDER
namespace {

/// What a child process said on stderr before it was ended by SIGABRT; empty when it was not.
std::string abort_message(void (*body)()) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], 2);
    std::signal(SIGABRT, SIG_DFL);
    body();
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string said;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    said.append(buffer, static_cast<std::size_t>(n));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? said : "";
}

}  // namespace

TEST_CASE("lock order: two mutexes that are ever locked in opposite orders end a debug build, with their names") {
  const auto said = abort_message([] {
    Mutex a("accounts");
    Mutex b("bus");
    Shared<int> c("cache", 0);
    {
      const Lock first(a);
      const Lock second(b);
    }
    {
      const Lock second(b);
      c.write([](int&) {});
    }
    c.read([&](int) {
      const Lock late(a);  // a -> b -> c -> a
      return 0;
    });
  });
  REQUIRE(said.find("opposite orders") != std::string::npos);
  for (const char* const name : {"accounts", "bus", "cache"}) REQUIRE(said.find(name) != std::string::npos);
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
#endif
