// SPDX-License-Identifier: Apache-2.0
//
// The worker by itself: its channel, its oneshots, and what is left when it is gone.
#include <catch2/catch.hpp>

#include "ai_fault_server.hpp"
#include "dispatcher.hpp"
#include "model_manager.hpp"

using namespace gantry;
using namespace gantry::ai;

namespace {

struct Started {
  Result<void> sent;
  Inlet inlet;
};

Target embedded() {
  auto provider = std::make_shared<ProviderConfig>();
  provider->kind = ProviderKind::embedded;
  return Target{"embedded", provider, "embedded"};
}

Target at(const std::string& url) {
  auto provider = std::make_shared<ProviderConfig>();
  provider->name = "local";
  provider->base_url = url;
  return Target{"m", provider, "m"};
}

Started start(ModelManager& manager, Target target, std::function<void()> notify = [] {}) {
  auto job = std::make_shared<Job>();
  job->prefix = "one two one two one ";
  auto channel = attempt_channel(std::move(notify));
  auto sent = manager.start(StartAttempt{job, std::move(target), std::move(channel.outlet)});
  return Started{std::move(sent), std::move(channel.inlet)};
}

}  // namespace

TEST_CASE("ai worker: each command gets its own outcome through its own oneshot") {
  ModelManager manager([](Level, const std::string&) {});
  std::vector<Started> started;
  for (int i = 0; i < 50; ++i) started.push_back(start(manager, embedded()));
  for (auto& one : started) {
    REQUIRE(one.sent);
    const auto outcome = one.inlet.answer.recv();
    REQUIRE(outcome);
    REQUIRE(*outcome);
    REQUIRE((**outcome)["text"].get<std::string>().starts_with("two"));
  }
}

TEST_CASE("ai worker: when it is gone, new commands are refused and say so") {
  ModelManager manager([](Level, const std::string&) {});
  manager.shutdown();
  const auto late = start(manager, embedded());
  REQUIRE(!late.sent);
  REQUIRE(late.sent.error().kind == ErrorKind::unavailable);
  REQUIRE(json::parse(late.sent.error().data)["reason"] == "worker_channel_closed");
}

TEST_CASE("ai worker: when it goes, open attempts see their oneshot closed, which is no time-out") {
  fault::Server server({{fault::hold()}});
  ModelManager manager([](Level, const std::string&) {});
  std::atomic<int> notified{0};
  auto open = start(manager, at(server.url()), [&] { ++notified; });
  server.wait_holding(1);
  manager.shutdown();
  REQUIRE(open.inlet.answer.recv_for(std::chrono::seconds(1)).error().kind == ErrorKind::unavailable);
  REQUIRE(open.inlet.items.drained());
  REQUIRE(notified == 1);
  server.wait_disconnects(1);
}

TEST_CASE("ai worker: an attempt whose control says cancelled is dropped") {
  fault::Server server({{fault::hold()}});
  ModelManager manager([](Level, const std::string&) {});
  auto open = start(manager, at(server.url()));
  server.wait_holding(1);
  open.inlet.control->cancelled.store(true);
  manager.wake();
  server.wait_disconnects(1);
  REQUIRE(!open.inlet.answer.recv());
}
