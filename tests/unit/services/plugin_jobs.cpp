// SPDX-License-Identifier: Apache-2.0
//
// Starts and ends of plugins when something goes wrong with their threads: whoever waits for one is told.
#include <atomic>
#include <gantry/channel/oneshot.hpp>
#include <stdexcept>
#include <thread>

#include "host/services/live_instance.hpp"
#include "host/services/plugin_jobs.hpp"
#include "tests/unit/support/child.hpp"

using namespace gantry;
using namespace gantry::host;

namespace {

void nothing_is_unhandled(std::string_view what) { FAIL("unhandled: " << what); }

[[nodiscard]] Result<void> refusal(const std::string& why) { return fail(ErrorKind::internal, why); }

/// What a job that is `work` ends with.
template <class Work>
[[nodiscard]] Result<void> outcome_of(PluginJobs& jobs, Work work) {
  return wait_for<void>([&](auto done) { jobs.run(std::move(work), refusal, std::move(done)); });
}

int without_threads() {
  PluginJobs jobs([](std::string_view) {});
  if (!jobs.block_until_idle(std::nullopt)) return 1;
  if (!core_test::refuse(SYS_clone, SYS_clone3, EAGAIN)) return core_test::kNoFilter;
  const auto here = std::this_thread::get_id();
  std::atomic<int> elsewhere{0};
  std::atomic<int> done{0};
  for (int i = 0; i < 100; ++i) {
    jobs.run(
        [&]() -> Result<void> {
          if (std::this_thread::get_id() != here) ++elsewhere;
          return {};
        },
        refusal, [&](const Result<void>& result) { done += result ? 1 : 0; });
  }
  if (!jobs.block_until_idle(std::nullopt)) return 2;
  return elsewhere == 100 && done == 100 ? 0 : 3;
}

}  // namespace

TEST_CASE("services: whoever waits for a start or an end is told of what it throws, whatever that is") {
  PluginJobs jobs(nothing_is_unhandled);
  REQUIRE(outcome_of(jobs, []() -> Result<void> { return {}; }));
  REQUIRE(outcome_of(jobs, []() -> Result<void> { throw std::runtime_error("broken"); }).error().message == "broken");
  REQUIRE(outcome_of(jobs, []() -> Result<void> { throw 7; }).error().message == "an exception of unknown type");
  REQUIRE(outcome_of(jobs, []() -> Result<void> { return {}; }));
}

TEST_CASE("services: a start or an end that comes when the threads have stopped is refused, not forgotten") {
  PluginJobs jobs(nothing_is_unhandled);
  jobs.stop();
  REQUIRE(outcome_of(jobs, []() -> Result<void> { return {}; }).error().message == "the worker pool has stopped");
}

TEST_CASE("services: where the system gives no more threads, starts and ends run on the one that is there") {
  REQUIRE(core_test::exit_code_of([] { return without_threads(); }) == 0);
}
