// SPDX-License-Identifier: Apache-2.0
//
// Subscriptions that come, go and end while somebody publishes, waits or is asked.
#include <catch2/catch.hpp>
#include <thread>

#include "host/bus/event_bus.hpp"
#include "tests/unit/support/host.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {
std::vector<std::uint64_t> numbers(Subscription& s) {
  std::vector<std::uint64_t> out;
  while (const auto next = s.take()) out.push_back(next->event.seq);
  return out;
}
using Numbers = std::vector<std::uint64_t>;
}  // namespace

TEST_CASE("bus: what is replayed matches the topics that were asked for") {
  EventBus bus("epoch", 10);
  for (const char* const topic : {"a", "b", "a"}) {
    CAPTURE(topic);
    REQUIRE(bus.publish(topic, "1"));
  }
  auto sub = *bus.subscribe({"a"}, [] {}, {.since = {{"epoch", 0}}});
  REQUIRE(numbers(*sub.subscription) == Numbers{1, 3});
}

TEST_CASE("bus: what was dropped and coalesced stays counted when its subscription has gone") {
  for (const bool by_close : {true, false}) {
    CAPTURE(by_close);
    EventBus bus("epoch", 10);
    auto full = *bus.subscribe({"**"}, [] {}, {.buffer = 2});
    auto newest = *bus.subscribe({"**"}, [] {}, {.overflow = Overflow::coalesce});
    for (int i = 0; i < 5; ++i) REQUIRE(bus.publish("a", "1"));
    if (by_close) {
      bus.close();
    } else {
      bus.unsubscribe(full.subscription);
      bus.unsubscribe(newest.subscription);
    }
    const auto counts = bus.counts();
    REQUIRE(counts.dropped == 3);
    REQUIRE(counts.coalesced == 4);
    REQUIRE(counts.subscriptions == 0);
  }
}

TEST_CASE("bus: a subscription that comes while a filter is asked is asked too, or gets the event unasked") {
  for (const bool asks : {true, false}) {
    CAPTURE(asks);
    EventBus bus("epoch", 10);
    std::optional<Subscribed> second;
    int asked = 0;
    const auto comes = [&](const Event&) {
      if (++asked > 1) return true;
      SubscribeOptions options;
      if (asks) options.filter = [](const Event&) { return false; };
      second = *bus.subscribe({"**"}, [] {}, std::move(options));
      return false;
    };
    auto first = *bus.subscribe({"**"}, [] {}, {.filter = comes});
    REQUIRE(bus.publish("a", "1"));
    REQUIRE(asked == 2);
    REQUIRE(numbers(*first.subscription) == Numbers{1});
    REQUIRE(numbers(*second->subscription) == (asks ? Numbers{} : Numbers{1}));
  }
}

TEST_CASE("bus: one that goes while a filter is asked gets nothing, and takes no answer from those that stay") {
  for (const bool itself : {true, false}) {
    CAPTURE(itself);
    EventBus bus("epoch", 10);
    std::optional<Subscribed> goes;
    const auto leaves = [&](const Event&) {
      bus.unsubscribe(goes->subscription);
      return false;
    };
    std::optional<Subscribed> other;
    if (itself) {
      goes = *bus.subscribe({"**"}, [] {}, {.filter = leaves});
    } else {
      goes = *bus.subscribe({"**"}, [] {});
      other = *bus.subscribe({"**"}, [] {}, {.filter = leaves});
    }
    auto stays = *bus.subscribe({"**"}, [] {});
    REQUIRE(bus.publish("a", "1"));
    REQUIRE(numbers(*goes->subscription).empty());
    REQUIRE(numbers(*stays.subscription) == Numbers{1});
    if (other) REQUIRE(numbers(*other->subscription).empty());
  }
}

TEST_CASE("bus: who waits is woken by an event, by its unsubscribe and by the end of the bus") {
  for (const int by : {0, 1, 2}) {
    EventBus bus("epoch", 10);
    auto sub = *bus.subscribe({"**"}, [] {});
    CAPTURE(by);
    std::latch about(1);
    bool woken = false;
    std::thread waiter([&] {
      about.count_down();
      woken =
          sub.subscription->ready({.until = std::chrono::steady_clock::now() + std::chrono::seconds(60), .token = {}});
    });
    about.wait();
    for (int i = 0; i < 50; ++i) std::this_thread::yield();  // it sleeps, or is about to
    if (by == 0) REQUIRE(bus.publish("a", "1"));
    if (by == 1) bus.unsubscribe(sub.subscription);
    if (by == 2) bus.close();
    waiter.join();
    REQUIRE(woken);
    REQUIRE(sub.subscription->ended().has_value() == (by != 0));
    // And who comes later need not wait.
    REQUIRE(sub.subscription->ready({.until = std::chrono::steady_clock::now(), .token = {}}));
  }
}

TEST_CASE("bus: a subscription's end calls its wake once more, and keeps its first reason") {
  EventBus bus("epoch", 10);
  int woken = 0;
  auto open = *bus.subscribe({"**"}, [&] { ++woken; });
  auto slow = *bus.subscribe({"**"}, [] {}, {.overflow = Overflow::disconnect, .buffer = 1});
  for (int i = 0; i < 2; ++i) REQUIRE(bus.publish("a", "1"));
  REQUIRE(woken == 1);
  bus.unsubscribe(slow.subscription);
  REQUIRE(numbers(*slow.subscription) == Numbers{1});
  REQUIRE(slow.subscription->ended()->kind == ErrorKind::overloaded);
  bus.close();
  REQUIRE(woken == 2);
  REQUIRE(bus.subscribe({"**"}, [] {}).error().kind == ErrorKind::unavailable);
}

TEST_CASE("bus: no subscription's buffer is larger than the bus's, and one that the replay fills is over at once") {
  EventBus bus("epoch", 3);
  auto greedy = *bus.subscribe({"**"}, [] {}, {.buffer = 100});
  for (int i = 0; i < 5; ++i) REQUIRE(bus.publish("a", "1"));
  REQUIRE(numbers(*greedy.subscription) == Numbers{3, 4, 5});
  REQUIRE(greedy.subscription->dropped() == 2);
  const auto before = bus.counts().subscriptions;
  auto filled = *bus.subscribe({"**"}, [] {}, {.since = {{"epoch", 2}}, .overflow = Overflow::disconnect, .buffer = 2});
  REQUIRE(bus.counts().subscriptions == before);
  REQUIRE(numbers(*filled.subscription) == Numbers{3, 4});
  REQUIRE(filled.subscription->ended()->kind == ErrorKind::overloaded);
}
