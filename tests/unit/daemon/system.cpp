// SPDX-License-Identifier: Apache-2.0
//
// What the system refuses a host while it runs.
#include <sys/syscall.h>

#include "tests/unit/support/child.hpp"
#include "tests/unit/support/host.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

int without_threads() {
  TestDaemon t([](Config& c) {
    c.plugins["plain"].enabled = false;  // it starts with the host
    c.host.stop_budget_seconds = 20;
  });
  std::atomic<std::size_t> up{0};
  for (std::size_t i = 0; i < t.daemon().workers().size(); ++i) t.daemon().workers().at(i).post([&] { ++up; });
  eventually("the workers", [&] { return up == t.daemon().workers().size(); });
  if (!core_test::refuse(SYS_clone, SYS_clone3, EAGAIN)) return core_test::kNoFilter;
  // The one thread that starts plugins was there before.
  if (!t.call("hasty.thread")) return 2;
  const auto refused = t.call("faulty.thread");
  if (refused || refused.error().message.find("gives no thread") == std::string::npos) return 3;
  if (!t.call("hasty.thread")) return 4;
  t.daemon().request_stop("the test");
  t.end();
  return t.daemon().clean() ? 0 : 5;
}

}  // namespace

TEST_CASE("daemon: one that gets no more threads fails what needs one, serves the rest, and stops cleanly") {
  REQUIRE(core_test::exit_code_of([] {
            try {
              return without_threads();
            } catch (...) {
              return 1;
            }
          }) == 0);
}
