// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <thread>

#include "host/bus/event_bus.hpp"
#include "host/bus/topic.hpp"

using namespace gantry;
using namespace gantry::host;

namespace {
std::vector<std::string> drain(Subscription& s) {
  std::vector<std::string> out;
  while (auto next = s.take())
    out.push_back(next->event->topic + "@" + std::to_string(next->event->seq) + "<" + std::to_string(next->prev));
  return out;
}
}  // namespace

TEST_CASE("topic: patterns match whole segments") {
  REQUIRE(topic_matches("a.b", "a.b"));
  REQUIRE(!topic_matches("a.b", "a.b.c"));
  REQUIRE(topic_matches("a.*", "a.b"));
  REQUIRE(!topic_matches("a.*", "a"));
  REQUIRE(!topic_matches("a.*", "a.b.c"));
  REQUIRE(topic_matches("**", "a.b.c"));
  REQUIRE(topic_matches("a.**", "a"));
  REQUIRE(topic_matches("a.**", "a.b.c"));
  REQUIRE(topic_matches("**.c", "a.b.c"));
  REQUIRE(topic_matches("a.**.c", "a.c"));
  REQUIRE(!topic_matches("a.**.c", "a.b"));
  REQUIRE(!topic_matches("ab.*", "abc.d"));
}

TEST_CASE("topic: names and patterns that cannot be are refused") {
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "a b", "a.*", "a.\n"}) REQUIRE(!check_topic(bad));
  for (const char* bad : {"", "a.**b", "***", "a..*"}) REQUIRE(!check_pattern(bad));
  REQUIRE(!check_topic(std::string(300, 'a')));
  REQUIRE(check_pattern("a.*.**"));
}

TEST_CASE("bus: a subscription gets what matches, in publish order, and knows the event before") {
  EventBus bus("epoch", 10);
  auto sub = *bus.subscribe({"a.*"}, [] {});
  REQUIRE(*bus.publish("a.x", "1") == 1);
  REQUIRE(*bus.publish("b.x", "1") == 2);
  REQUIRE(*bus.publish("a.y", "1") == 3);
  REQUIRE(drain(*sub.subscription) == std::vector<std::string>{"a.x@1<0", "a.y@3<1"});
}

TEST_CASE("bus: a full subscription drops its oldest, counts, and `prev` shows the gap") {
  EventBus bus("epoch", 2);
  auto sub = *bus.subscribe({"**"}, [] {});
  for (int i = 0; i < 5; ++i) REQUIRE(bus.publish("a", "1"));
  REQUIRE(sub.subscription->dropped() == 3);
  REQUIRE(drain(*sub.subscription) == std::vector<std::string>{"a@4<3", "a@5<4"});
  REQUIRE(bus.counts().dropped == 3);
}

TEST_CASE("bus: a subscriber that goes on after a sequence number misses nothing and gets nothing twice") {
  EventBus bus("epoch", 100);
  for (int i = 0; i < 5; ++i) REQUIRE(bus.publish("a", "1"));
  auto sub = *bus.subscribe({"**"}, [] {}, {{"epoch", 3}});
  REQUIRE(sub.gaps.empty());
  REQUIRE(bus.publish("a", "1"));
  REQUIRE(drain(*sub.subscription) == std::vector<std::string>{"a@4<3", "a@5<4", "a@6<5"});
}

TEST_CASE("bus: what can no longer be replayed is said") {
  EventBus bus("epoch", 3);
  for (int i = 0; i < 10; ++i) REQUIRE(bus.publish("a", "1"));
  REQUIRE(bus.subscribe({"**"}, [] {}, {{"epoch", 2}})->gaps.at("epoch") == "too_old");
  REQUIRE(bus.subscribe({"**"}, [] {}, {{"another", 2}})->gaps.at("another") == "unknown_epoch");
  REQUIRE(bus.subscribe({"**"}, [] {}, {{"epoch", 11}})->gaps.at("epoch") == "unknown_epoch");
}

TEST_CASE("bus: a plugin's own log keeps its epoch and numbers") {
  EventBus bus("epoch", 10);
  auto sub = *bus.subscribe({"**"}, [] {});
  REQUIRE(bus.publish_logged("state.x", "store", 41, "1"));
  REQUIRE(bus.publish("a", "1"));
  REQUIRE(bus.publish_logged("state.y", "store", 42, "1"));
  REQUIRE(drain(*sub.subscription) == std::vector<std::string>{"state.x@41<0", "a@1<0", "state.y@42<41"});
}

TEST_CASE("bus: after close publish says closed, and what was queued is still there") {
  EventBus bus("epoch", 10);
  auto sub = *bus.subscribe({"**"}, [] {});
  REQUIRE(bus.publish("a", "1"));
  bus.close();
  REQUIRE(bus.publish("a", "1").error().kind == ErrorKind::unavailable);
  REQUIRE(drain(*sub.subscription).size() == 1);
}

TEST_CASE("bus: with four publishers and a subscriber nothing is lost and the numbers rise by one") {
  constexpr int kEach = 2000;
  EventBus bus("epoch", 4 * kEach);
  std::atomic<int> woken{0};
  auto sub = *bus.subscribe({"**"}, [&] { ++woken; });
  std::vector<std::thread> publishers;
  for (int p = 0; p < 4; ++p) {
    publishers.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) (void)bus.publish("a", "1");
    });
  }
  std::uint64_t expected = 0;
  bool in_order = true;
  while (expected < 4 * kEach) {
    const auto next = sub.subscription->take();
    if (next) in_order = in_order && next->event->seq == ++expected;
  }
  for (auto& p : publishers) p.join();
  REQUIRE(in_order);
  REQUIRE(woken > 0);
}

TEST_CASE("bus: an event over 1 MiB, and more than 64 patterns, are refused") {
  EventBus bus("e", 10);
  REQUIRE(bus.publish("a.b", std::string(1 << 20, '1')));
  REQUIRE(bus.publish("a.b", std::string((1 << 20) + 1, '1')).error().kind == ErrorKind::too_large);
  REQUIRE(bus.subscribe(std::vector<std::string>(64, "a.b"), [] {}));
  REQUIRE(bus.subscribe(std::vector<std::string>(65, "a.b"), [] {}).error().kind == ErrorKind::invalid_params);
  REQUIRE(bus.subscribe({}, [] {}).error().kind == ErrorKind::invalid_params);
}

TEST_CASE("bus: a log that is older than the bus is resumed from what this bus has seen, and no further back") {
  EventBus bus("e", 10);
  REQUIRE(bus.subscribe({"s.**"}, [] {}, {{"store", 4}})->gaps.at("store") == "unknown_epoch");
  REQUIRE(bus.publish_logged("s.a", "store", 8, "{}"));
  REQUIRE(bus.publish_logged("s.a", "store", 9, "{}"));
  REQUIRE(bus.subscribe({"s.**"}, [] {}, {{"store", 4}})->gaps.at("store") == "too_old");  // 5 to 7 were never here
  const auto resumed = *bus.subscribe({"s.**"}, [] {}, {{"store", 7}});
  REQUIRE(resumed.gaps.empty());
  const auto first = resumed.subscription->take();
  REQUIRE(first->event->seq == 8);
  REQUIRE(first->prev == 7);
}
