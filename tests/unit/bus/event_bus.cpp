// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <random>
#include <thread>

#include "host/bus/bus_state.hpp"
#include "host/bus/event_bus.hpp"
#include "host/bus/topic.hpp"

using namespace gantry;
using namespace gantry::host;

namespace {
std::vector<std::string> drain(Subscription& s) {
  std::vector<std::string> out;
  while (auto next = s.take())
    out.push_back(next->event.topic + "@" + std::to_string(next->event.seq) + "<" + std::to_string(next->prev));
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
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "a b", "a.*", "a.\n"}) {
    CAPTURE(bad);
    REQUIRE(!check_topic(bad));
  }
  for (const char* bad : {"", "a.**b", "***", "a..*"}) {
    CAPTURE(bad);
    REQUIRE(!check_pattern(bad));
  }
  REQUIRE(!check_topic(std::string(300, 'a')));
  REQUIRE(check_pattern("a.*.**"));
  const std::string deep = "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16";
  REQUIRE(check_topic(deep));
  REQUIRE(!check_topic(deep + ".17"));
  REQUIRE(check_pattern("**.**.**.**"));
  REQUIRE(!check_pattern("**.**.**.**.**"));
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
  auto sub = *bus.subscribe({"**"}, [] {}, {.since = {{"epoch", 3}}});
  REQUIRE(sub.gaps.empty());
  REQUIRE(bus.publish("a", "1"));
  REQUIRE(drain(*sub.subscription) == std::vector<std::string>{"a@4<3", "a@5<4", "a@6<5"});
}

TEST_CASE("bus: what can no longer be replayed is said") {
  EventBus bus("epoch", 3);
  for (int i = 0; i < 10; ++i) REQUIRE(bus.publish("a", "1"));
  REQUIRE(bus.subscribe({"**"}, [] {}, {.since = {{"epoch", 2}}})->gaps.at("epoch") == "too_old");
  REQUIRE(bus.subscribe({"**"}, [] {}, {.since = {{"another", 2}}})->gaps.at("another") == "unknown_epoch");
  REQUIRE(bus.subscribe({"**"}, [] {}, {.since = {{"epoch", 11}}})->gaps.at("epoch") == "unknown_epoch");
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
    if (next) in_order = in_order && next->event.seq == ++expected;
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
  REQUIRE(bus.subscribe({"s.**"}, [] {}, {.since = {{"store", 4}}})->gaps.at("store") == "unknown_epoch");
  REQUIRE(bus.publish_logged("s.a", "store", 8, "{}"));
  REQUIRE(bus.publish_logged("s.a", "store", 9, "{}"));
  REQUIRE(bus.subscribe({"s.**"}, [] {}, {.since = {{"store", 4}}})->gaps.at("store") ==
          "too_old");  // 5 to 7 were never here
  const auto resumed = *bus.subscribe({"s.**"}, [] {}, {.since = {{"store", 7}}});
  REQUIRE(resumed.gaps.empty());
  const auto first = resumed.subscription->take();
  REQUIRE(first->event.seq == 8);
  REQUIRE(first->prev == 7);
}

TEST_CASE("bus: a filter decides what a subscription gets, also of what is replayed") {
  EventBus bus("epoch", 100);
  REQUIRE(bus.publish("a", "1"));
  REQUIRE(bus.publish("a", "2"));
  const auto even = [](const Event& e) { return *e.as<int>() % 2 == 0; };
  auto sub = *bus.subscribe({"**"}, [] {}, {.since = {{"epoch", 0}}, .filter = even});
  for (int i = 3; i <= 6; ++i) REQUIRE(bus.publish_value("a", i));
  REQUIRE(drain(*sub.subscription) == std::vector<std::string>{"a@2<1", "a@4<2", "a@6<4"});
}

TEST_CASE("bus: typed payloads go in and come out, and what is none is said") {
  EventBus bus("epoch", 100);
  auto sub = *bus.subscribe({"**"}, [] {});
  REQUIRE(bus.publish_value("a", std::map<std::string, int>{{"x", 1}}));
  const auto next = sub.subscription->take();
  REQUIRE(next->event.payload == R"({"x":1})");
  REQUIRE(next->event.as<std::map<std::string, int>>() == std::map<std::string, int>{{"x", 1}});
  REQUIRE(next->event.as<std::vector<int>>().error().kind == ErrorKind::invalid_params);
}

TEST_CASE("bus: a filter that throws is counted and kept as a dead letter, and harms no other subscriber") {
  std::vector<std::string> told;
  EventBus bus("epoch", 10, [&](const DeadLetter& letter) { told.push_back(letter.subscriber + ": " + letter.error); });
  auto good = *bus.subscribe({"**"}, [] {});
  auto bad = *bus.subscribe(
      {"**"}, [] {}, {.name = "bad", .filter = [](const Event&) -> bool { throw std::runtime_error("broken"); }});
  REQUIRE(bus.publish("a.b", "1"));
  REQUIRE(drain(*good.subscription) == std::vector<std::string>{"a.b@1<0"});
  REQUIRE(drain(*bad.subscription).empty());
  REQUIRE(told == std::vector<std::string>{"bad: broken"});
  REQUIRE(bus.counts().dead == 1);
  REQUIRE(bus.dead_letters().at(0).topic == "a.b");
  REQUIRE(bus.dead_letters().at(0).seq == 1);
}

TEST_CASE("bus: a filter that throws on a replayed event is counted, told and kept as a dead letter as on a live one") {
  std::vector<std::string> told;
  EventBus bus("epoch", 10, [&](const DeadLetter& letter) { told.push_back(letter.subscriber + ": " + letter.error); });
  for (const char* const payload : {"1", "2", "3"}) {
    CAPTURE(payload);
    REQUIRE(bus.publish("a.b", payload));
  }
  const auto picky = [](const Event& event) -> bool {
    if (event.payload == "1") throw std::runtime_error("broken");
    if (event.payload == "2") throw 2;
    return true;
  };
  auto sub = *bus.subscribe({"**"}, [] {}, {.since = {{"epoch", 0}}, .name = "picky", .filter = picky});
  REQUIRE(told.empty());
  REQUIRE(drain(*sub.subscription) == std::vector<std::string>{"a.b@3<2"});
  REQUIRE(told == std::vector<std::string>{"picky: broken", "picky: an exception of unknown type"});
  REQUIRE(bus.counts().dead == 2);
  const auto letters = bus.dead_letters();
  REQUIRE(letters[0].topic == "a.b");
  REQUIRE(letters[0].seq == 1);
  REQUIRE(letters[0].payload == "1");
  REQUIRE(letters[0].attempts == 1);
}

TEST_CASE("bus: the dead letter of a filter that throws names the log of its event, and holds its payload") {
  EventBus bus("epoch", 10);
  auto bad = *bus.subscribe({"**"}, [] {}, {.filter = [](const Event&) -> bool { throw std::runtime_error("no"); }});
  REQUIRE(bus.publish_logged("state.x", "store", 41, "\"kept\""));
  const auto letter = bus.dead_letters().at(0);
  REQUIRE(letter.epoch == "store");
  REQUIRE(letter.seq == 41);
  REQUIRE(letter.payload == "\"kept\"");
}

TEST_CASE("bus: what is remembered of topics is bounded, and more of them than that are delivered all the same") {
  constexpr auto kMost = bus::BusState::kMaxRoutes;
  EventBus bus("epoch", 10'000);
  auto sub = *bus.subscribe({"**"}, [] {});
  for (std::size_t i = 0; i < 3 * kMost; ++i) {
    CAPTURE(i);
    REQUIRE(bus.publish("t" + std::to_string(i), "1"));
    // Each topic that is remembered holds whom it reaches.
    REQUIRE(sub.subscription.use_count() <= static_cast<long>(kMost) + 2);
  }
  REQUIRE(sub.subscription.use_count() > 2);
  REQUIRE(bus.publish("t0", "1"));
  REQUIRE(drain(*sub.subscription).size() == 3 * kMost + 1);
}

TEST_CASE("bus: nothing of a subscription is left when its holder and the bus are gone, in either order") {
  for (const bool bus_first : {true, false}) {
    CAPTURE(bus_first);
    const auto held = std::make_shared<int>(1);
    auto bus = std::make_unique<EventBus>("epoch", 10);
    auto sub = *bus->subscribe({"**"}, [held] {}, {.filter = [held](const Event&) { return true; }});
    REQUIRE(bus->publish("a", "1"));
    if (bus_first) bus.reset();
    sub.subscription.reset();
    bus.reset();
    REQUIRE(held.use_count() == 1);
  }
}

TEST_CASE("bus: dead letters are bounded, the oldest goes, and a long payload is cut") {
  EventBus bus("epoch", 10);
  for (std::uint64_t i = 0; i < EventBus::kMaxDeadLetters + 5; ++i)
    bus.add_dead_letter(Event{"a", "epoch", i, std::string(10'000, 'x')}, "s", "e", 1);
  REQUIRE(bus.dead_letters().size() == EventBus::kMaxDeadLetters);
  REQUIRE(bus.dead_letters().front().seq == 5);
  REQUIRE(bus.dead_letters().front().payload.size() == DeadLetter::kPayload);
  REQUIRE(bus.counts().dead == EventBus::kMaxDeadLetters + 5);
}

TEST_CASE("bus: a coalescing subscription keeps the newest of each key, at its place in the order") {
  EventBus bus("epoch", 100);
  auto by_topic = *bus.subscribe({"**"}, [] {}, {.overflow = Overflow::coalesce, .buffer = 3});
  auto by_key = *bus.subscribe({"**"}, [] {}, {.overflow = Overflow::coalesce, .key = [](const Event& e) {
                                                 return std::to_string(*e.as<int>() % 2);
                                               }});
  for (int i = 1; i <= 50; ++i) {
    REQUIRE(bus.publish_value("a", i));
    REQUIRE(bus.publish_value("b", i));
  }
  REQUIRE(bus.publish_value("c", 1));
  REQUIRE(drain(*by_topic.subscription) == std::vector<std::string>{"a@99<98", "b@100<99", "c@101<100"});
  REQUIRE(by_topic.subscription->dropped() == 0);
  REQUIRE(drain(*by_key.subscription) == std::vector<std::string>{"b@100<99", "c@101<100"});
  REQUIRE(bus.counts().coalesced == 98 + 99);
  // More keys than places: the oldest goes.
  for (const char* topic : {"p", "q", "r", "s", "q"}) {
    CAPTURE(topic);
    REQUIRE(bus.publish(topic, "1"));
  }
  REQUIRE(drain(*by_topic.subscription) == std::vector<std::string>{"r@104<103", "s@105<104", "q@106<105"});
  REQUIRE(by_topic.subscription->dropped() == 1);
}

TEST_CASE("bus: coalescing by random keys agrees with a plain list, whatever is taken in between") {
  const auto seed = std::random_device()();
  INFO("GANTRY_SEED=" << seed);
  std::mt19937 random(seed);
  EventBus bus("epoch", 1000);
  auto sub = *bus.subscribe({"**"}, [] {}, {.overflow = Overflow::coalesce, .buffer = 40});
  std::vector<std::pair<std::string, std::uint64_t>> expected;
  for (std::uint64_t seq = 1; seq <= 5000; ++seq) {
    const std::string topic = "t" + std::to_string(random() % 70);
    REQUIRE(bus.publish(topic, "1"));
    std::erase_if(expected, [&](const auto& e) { return e.first == topic; });
    if (expected.size() == 40) expected.erase(expected.begin());
    expected.emplace_back(topic, seq);
    if (random() % 3 == 0) {
      const auto got = sub.subscription->take();
      REQUIRE(got->event.seq == expected.front().second);
      expected.erase(expected.begin());
    }
  }
  for (const auto& [topic, seq] : expected) {
    CAPTURE(topic, seq);
    REQUIRE(sub.subscription->take()->event.seq == seq);
  }
  REQUIRE(!sub.subscription->take());
}

TEST_CASE("bus: a subscription that wants it is ended when it is full: what waited is taken, then the reason is seen") {
  EventBus bus("epoch", 100);
  int woken = 0;
  auto slow = *bus.subscribe({"**"}, [&] { ++woken; }, {.overflow = Overflow::disconnect, .buffer = 2});
  auto other = *bus.subscribe({"**"}, [] {});
  for (int i = 0; i < 4; ++i) REQUIRE(bus.publish("a", "1"));
  REQUIRE(woken == 2);  // by the first event, and by the end
  REQUIRE(!slow.subscription->ended());
  REQUIRE(drain(*slow.subscription) == std::vector<std::string>{"a@1<0", "a@2<1"});
  REQUIRE(slow.subscription->ended()->kind == ErrorKind::overloaded);
  REQUIRE(drain(*other.subscription).size() == 4);
  REQUIRE(bus.counts().subscriptions == 1);
}

TEST_CASE("bus: a thread waits for events and sees the end: a token ends a wait") {
  EventBus bus("epoch", 100);
  auto sub = *bus.subscribe({"**"}, [] {});
  CancelSource cancel;
  cancel.request_stop();
  REQUIRE(!sub.subscription->ready({.until = {}, .token = cancel.get_token()}));
  std::uint64_t seen = 0;
  std::thread reader([&] {
    while (sub.subscription->ready() && !sub.subscription->ended())
      (void)sub.subscription->drain(16, [&](const Event& event, std::uint64_t) { seen += event.seq; });
  });
  for (int i = 0; i < 100; ++i) {
    REQUIRE(bus.publish("a", "1"));
    if (i % 10 == 0) std::this_thread::yield();
  }
  bus.close();
  reader.join();
  REQUIRE(seen + sub.subscription->dropped() >= 5050);
  REQUIRE(sub.subscription->ended()->kind == ErrorKind::unavailable);
}

TEST_CASE("bus: subscriptions that come and go while others publish get a run of numbers without a hole") {
  EventBus bus("epoch", 100'000);
  std::atomic<bool> over{false};
  std::vector<std::thread> publishers;
  for (int p = 0; p < 3; ++p) {
    publishers.emplace_back([&, p] {
      for (int i = 0; i < 3000; ++i) (void)bus.publish("t" + std::to_string(p) + "." + std::to_string(i % 5), "1");
    });
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> subscribers;
  for (int s = 0; s < 3; ++s) {
    subscribers.emplace_back([&, s] {
      while (!over) {
        SubscribeOptions options;
        if (s == 1) options.filter = [](const Event&) { return true; };
        auto sub = bus.subscribe({"**"}, [] {}, std::move(options));
        std::uint64_t last = sub->seq;
        for (int i = 0; i < 20; ++i) {
          (void)sub->subscription->drain(50, [&](const Event& event, std::uint64_t prev) {
            if (event.seq != last + 1 || (prev != 0 && prev != last)) ++wrong;
            last = event.seq;
          });
        }
        bus.unsubscribe(sub->subscription);
      }
    });
  }
  for (auto& publisher : publishers) publisher.join();
  over = true;
  for (auto& subscriber : subscribers) subscriber.join();
  REQUIRE(wrong == 0);
  REQUIRE(bus.counts().published == 9000);
}
