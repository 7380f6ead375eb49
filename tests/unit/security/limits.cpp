// SPDX-License-Identifier: Apache-2.0
//
// What is counted by bytes besides its number: events that are kept or wait, messages that have not come to their end,
// a plugin's own calls. And patterns, whose time does not grow with their `**`.
#include <random>

#include "host/bus/bus_state.hpp"
#include "host/bus/topic.hpp"
#include "tests/unit/support/rpc_client.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

const std::string kMebibyte(EventBus::kMaxEventBytes, '1');
constexpr std::size_t kMiB = std::size_t{1} << 20;

[[nodiscard]] std::size_t drained(Subscription& subscription) {
  std::size_t count = 0;
  while (subscription.drain(1, [](const Event&, std::uint64_t) {}) != 0) ++count;
  return count;
}

/// As the words say it.
[[nodiscard]] bool matches(const std::vector<std::string>& pattern, std::size_t p, const std::vector<std::string>& name,
                           std::size_t n) {
  if (p == pattern.size()) return n == name.size();
  if (pattern[p] == "**") {
    for (std::size_t rest = n; rest <= name.size(); ++rest) {
      if (matches(pattern, p + 1, name, rest)) return true;
    }
    return false;
  }
  return n < name.size() && (pattern[p] == "*" || pattern[p] == name[n]) && matches(pattern, p + 1, name, n + 1);
}
[[nodiscard]] std::string joined(const std::vector<std::string>& segments) {
  std::string out;
  for (const auto& segment : segments) out += (out.empty() ? "" : ".") + segment;
  return out;
}

}  // namespace

TEST_CASE("security: a pattern matches what its words say") {
  constexpr unsigned kSeed = 13;
  INFO("seed " << kSeed);
  std::mt19937 random(kSeed);
  const auto some = [&](std::size_t most, const std::vector<std::string>& of) {
    std::vector<std::string> out(1 + random() % most);
    for (auto& segment : out) segment = of[random() % of.size()];
    return out;
  };
  for (int i = 0; i < 20'000; ++i) {
    const auto pattern = some(5, {"a", "b", "*", "**"});
    const auto name = some(6, {"a", "b"});
    INFO(joined(pattern) << " " << joined(name));
    REQUIRE(topic_matches(joined(pattern), joined(name)) == matches(pattern, 0, name, 0));
  }
}

TEST_CASE("security: a pattern with many `**` answers at once") {
  std::string pattern;
  std::string name;
  for (int i = 0; i < 15; ++i) pattern += "**.";
  for (int i = 0; i < 120; ++i) name += "a.";
  REQUIRE_FALSE(topic_matches(pattern + "never", name + "a"));
  REQUIRE(topic_matches(pattern + "a", name + "a"));
}

TEST_CASE("security: events that are kept for replay are so many bytes at most") {
  EventBus bus("epoch", 1000);
  constexpr std::size_t kMany = EventBus::kMaxKeptBytes / kMiB + 8;
  for (std::size_t i = 0; i < kMany; ++i) REQUIRE(bus.publish("a", kMebibyte));
  REQUIRE(bus.subscribe({"**"}, [] {}, {.since = {{"epoch", 0}}})->gaps.at("epoch") == "too_old");
  const auto resumed = bus.subscribe({"**"}, [] {}, {.since = {{"epoch", kMany - 20}}});
  REQUIRE(resumed->gaps.empty());
  REQUIRE(drained(*resumed->subscription) == 20);
}

TEST_CASE("security: what waits for the subscriptions of one client is so many bytes at most, the fullest loses") {
  EventBus bus("epoch", 1000);
  const auto share = EventBus::share();
  const auto large = bus.subscribe({"large"}, [] {}, {.share = share})->subscription;
  const auto small = bus.subscribe({"small"}, [] {}, {.share = share})->subscription;
  const auto alone = bus.subscribe({"small", "large"}, [] {})->subscription;
  for (int i = 0; i < 5; ++i) REQUIRE(bus.publish("small", "1"));
  constexpr std::size_t kMany = EventBus::kMaxWaitingBytes / kMiB + 8;
  for (std::size_t i = 0; i < kMany; ++i) REQUIRE(bus.publish("large", kMebibyte));
  // There is room for two of these at most: for the others, large ones go.
  for (int i = 0; i < 5; ++i) REQUIRE(bus.publish("small", std::string(kMiB / 2, '1')));
  REQUIRE(share->held <= EventBus::kMaxWaitingBytes);
  REQUIRE(drained(*small) == 10);
  REQUIRE(small->dropped() == 0);
  const auto got = drained(*large);
  REQUIRE(got + large->dropped() == kMany);
  REQUIRE(got >= EventBus::kMaxWaitingBytes / kMiB - 4);
  REQUIRE(share->held == 0);
  REQUIRE(alone->dropped() >= 8);  // it has a share of its own
}

TEST_CASE("security: a subscription that is to end when it is full ends by bytes too, and others of its client go on") {
  EventBus bus("epoch", 1000);
  const auto share = EventBus::share();
  const auto ends = bus.subscribe({"large"}, [] {}, {.overflow = Overflow::disconnect, .share = share})->subscription;
  const auto other = bus.subscribe({"small"}, [] {}, {.share = share})->subscription;
  std::size_t kept = 1;
  for (; share->held + 2 * kMiB <= EventBus::kMaxWaitingBytes; ++kept) REQUIRE(bus.publish("large", kMebibyte));
  REQUIRE(bus.publish("small", std::string(kMiB / 2, '1')));
  REQUIRE(bus.publish("large", kMebibyte));
  REQUIRE(bus.publish("small", kMebibyte));  // what is full must not lose anything: this one goes
  REQUIRE(other->dropped() == 2);            // with the one before, whose room was not enough
  REQUIRE(bus.publish("small", "1"));
  REQUIRE(bus.publish("large", kMebibyte));  // and ends, without a loss to the other
  REQUIRE(drained(*ends) == kept);
  REQUIRE(ends->dropped() == 0);
  REQUIRE(ends->ended()->kind == ErrorKind::overloaded);
  REQUIRE(drained(*other) == 1);
  REQUIRE(other->dropped() == 2);
  REQUIRE(bus.publish("small", "1"));
  REQUIRE(drained(*other) == 1);
}

TEST_CASE("security: a coalesced event gives back what the older one held") {
  EventBus bus("epoch", 1000);
  const auto share = EventBus::share();
  const auto newest = bus.subscribe({"**"}, [] {}, {.overflow = Overflow::coalesce, .share = share})->subscription;
  for (int i = 0; i < 100; ++i) REQUIRE(bus.publish("a", kMebibyte));
  REQUIRE(share->held < 2 * kMiB);
  REQUIRE(newest->dropped() == 0);
  REQUIRE(drained(*newest) == 1);
  REQUIRE(share->held == 0);
}

TEST_CASE("security: messages without an end hold so many bytes at most, on however many connections") {
  constexpr std::size_t kMost = kMiB;
  TestDaemon t([](Config& c) { c.host.max_message_bytes = kMost; });
  const std::string begun =
      R"({"jsonrpc":"2.0","id":1,"method":"echo.say","params":{"p":")" + std::string(kMost - 200, 'x');
  std::vector<std::unique_ptr<Raw>> clients;
  for (int i = 0; i < 12; ++i) {
    clients.push_back(std::make_unique<Raw>(t.socket()));
    REQUIRE(clients.back()->send(begun));
  }
  // Eight of the largest are held; who came behind them is told.
  int refused = 0;
  for (const auto& client : clients) {
    CAPTURE(&client - clients.data());
    REQUIRE(client->send("\"}}\n"));
    const auto answer = client->answer();
    if (answer["id"] == 1) continue;
    REQUIRE(kind_of(answer) == "overloaded");
    ++refused;
  }
  REQUIRE(refused >= 4);
  REQUIRE(refused < 12);
  for (const auto& client : clients) {
    CAPTURE(&client - clients.data());
    REQUIRE(client->line(request(2, "echo.say")));
    REQUIRE(client->answer()["id"] == 2);
    REQUIRE(client->send(begun + "\"}}\n"));
    REQUIRE(client->answer()["id"] == 1);
  }
}

TEST_CASE("security: params of the session's own methods that are no use to them are not parsed") {
  TestDaemon t;
  Raw c(t.socket());
  REQUIRE(c.line(request(1, "events.publish", {{"topic", "a.b"}, {"payload", std::string(5 * kMiB, 'x')}})));
  REQUIRE(kind_of(c.answer()) == "too_large");
  // Parsed, this would be a name that nobody has.
  REQUIRE(c.line(request(3, "events.unsubscribe", {{"subscription", std::string(5 * kMiB, 'x')}})));
  REQUIRE(kind_of(c.answer()) == "too_large");
  REQUIRE(c.line(request(2, "events.publish", {{"topic", "a.b"}, {"payload", std::string(kMiB - 2, 'x')}})));
  REQUIRE(c.answer().contains("result"));
}

TEST_CASE("security: the calls that a plugin makes hold so many bytes of params at most") {
  TestDaemon t;
  constexpr std::size_t kSize = 4 * kMiB;
  const auto answer = t.call("lsp_shaped.many", {{"count", 17}, {"bytes", kSize}});
  INFO((answer ? "" : answer.error().message));
  REQUIRE((*answer)["taken"] == OwnCalls::kMaxOpenBytes / kSize - 1);  // with their quotes and braces
  REQUIRE((*t.call("lsp_shaped.many", {{"count", 1}}))["taken"] == 1);
  // A call that is answered holds nothing any more.
  const json unknown{{"method", "nobody.none"}, {"params", {{"p", std::string(2 * kMiB, 'x')}}}};
  for (int i = 0; i < 3; ++i) REQUIRE(t.call("lsp_shaped.relay", unknown).error().kind == ErrorKind::method_not_found);
}
