// SPDX-License-Identifier: Apache-2.0
//
// Subscribers to the state, with the real project state behind the host: no event is missed, and none comes twice.
#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "host/protocols/rpc/subscriptions.hpp"
#include "tests/unit/support/rpc_client.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

constexpr Duration kWait = std::chrono::seconds(60);

/// With the real project state, and whatever else `change` asks for.
[[nodiscard]] std::function<void(Config&)> with_state(const std::function<void(Config&)>& change = {}) {
  return [change](Config& c) {
    c.plugins["project_state"].path = gantry::folders::build() + "/plugins/project_state.so";
    c.plugins["project_state"].grants = {"call:host.metrics", "publish:metrics.**"};
    if (change) change(c);
  };
}
void with_buffer_of_16(Config& c) { c.async.event_bus_buffer_size = 16; }

/// A client of its own, with what has come so far.
class Subscriber {
 public:
  explicit Subscriber(TestDaemon& t) : raw_(t.socket()) {}

  json ask(const std::string& method, const json& params) {
    const int id = next_++;
    REQUIRE(raw_.line(request(id, method, params)));
    while (true) {
      auto message = raw_.receive();
      REQUIRE_FALSE(message.is_null());
      if (message.contains("method")) {
        waiting_.push_back(message["params"]);
      } else if (message["id"] == id) {
        return message;
      }
    }
  }
  /// Of a call that must succeed.
  json good(const std::string& method, const json& params) {
    const auto message = ask(method, params);
    CAPTURE(message);
    REQUIRE(message.contains("result"));
    return message["result"];
  }
  [[nodiscard]] std::string bad(const std::string& method, const json& params) { return kind_of(ask(method, params)); }
  json subscribe(const json& scopes, const json& since = nullptr) {
    json params{{"scopes", scopes}};
    if (!since.is_null()) params["since"] = since;
    return good("state.subscribe", params);
  }
  /// The next `$/event`.
  json event() {
    if (waiting_.empty()) return raw_.receive()["params"];
    auto first = waiting_.front();
    waiting_.erase(waiting_.begin());
    return first;
  }
  /// Events up to this one of the log.
  std::vector<json> events_to(std::uint64_t seq) {
    std::vector<json> out;
    while (out.empty() || out.back()["seq"] < seq) out.push_back(event());
    return out;
  }

 private:
  Raw raw_;
  int next_ = 1;
  std::vector<json> waiting_;
};

[[nodiscard]] std::uint64_t make_sessions(TestDaemon& t, int count) {
  std::uint64_t seq = 0;
  for (int i = 0; i < count; ++i) {
    const auto made = t.call("state.session.create", {{"name", "s" + std::to_string(i)}});
    REQUIRE(made);
    seq = (*made)["seq"];
  }
  return seq;
}

[[nodiscard]] std::vector<std::string> topics(const std::vector<json>& events) {
  std::vector<std::string> out;
  for (const auto& event : events) out.push_back(event["topic"]);
  return out;
}

/// Each event of the log from `after` on, without a gap and in order.
void require_unbroken(const std::vector<json>& events, std::uint64_t after) {
  for (const auto& event : events) {
    CAPTURE(event);
    REQUIRE(event["prev"] == after);
    REQUIRE(event["seq"] == after + 1);
    after = event["seq"];
  }
}

}  // namespace

TEST_CASE("sync: a subscriber gets the events of its scopes once and in order, and now and then the log's head") {
  TestDaemon t(with_state());
  Subscriber c(t);
  const auto begun = c.subscribe({"panes", "settings"});
  REQUIRE(begun["mode"] == "live");
  REQUIRE(begun["seq"] == 0);
  REQUIRE_FALSE(begun.contains("follow"));
  const std::string session = (*t.call("state.session.create", {{"name", "n"}}))["session"]["id"];
  REQUIRE(t.call("state.pane.create", {{"session_id", session}, {"kind", "terminal"}}));
  const auto last = (*t.call("state.settings.set", {{"key", "a"}, {"value", 1}}))["seq"].get<std::uint64_t>();
  const auto events = c.events_to(last);
  REQUIRE(topics(events) == std::vector<std::string>{"state.pane.created", "state.setting.changed"});
  REQUIRE(events[0]["log"] == "state");
  REQUIRE(events[0]["epoch"] == begun["epoch"]);
  REQUIRE(events[0]["subscription"] == begun["subscription"]);
  REQUIRE(events[0]["prev"] == 0);
  REQUIRE(events[1]["prev"] == events[0]["seq"]);
  Subscriber other(t);
  (void)other.subscribe({"sessions"});
  const auto head = make_sessions(t, 1);
  (void)other.events_to(head);  // the bus has it
  t.timers.advance(RpcSubscriptions::kHeartbeat);
  const auto beat = c.event();
  REQUIRE(beat == json{{"subscription", begun["subscription"]},
                       {"log", "state"},
                       {"epoch", begun["epoch"]},
                       {"head", head},
                       {"prev", last}});
  REQUIRE(c.good("events.unsubscribe", {{"subscription", begun["subscription"]}}) == json::object());
}

TEST_CASE("sync: who says what was seen gets what was missed, also after the host was started anew") {
  TempDir state;
  json since;
  std::uint64_t last = 0;
  {
    TestDaemon t(with_state(), false, false, state.path());
    Subscriber c(t);
    const auto begun = c.subscribe({"sessions"});
    since = {{"epoch", begun["epoch"]}, {"seq", make_sessions(t, 2)}};
    last = make_sessions(t, 600);  // some pages
  }
  TestDaemon t(with_state(), false, false, state.path());
  Subscriber c(t);
  const auto begun = c.subscribe({"sessions"}, since);
  REQUIRE(begun["mode"] == "replay");
  REQUIRE(begun["epoch"] == since["epoch"]);
  const auto seen = since["seq"].get<std::uint64_t>();
  require_unbroken(c.events_to(last), seen);
  Subscriber other(t);
  const std::string epoch = since["epoch"];
  const auto subscribed = other.good("events.subscribe", {{"topics", {"state.session.*"}}, {"since", {{epoch, seen}}}});
  REQUIRE(subscribed["gaps"] == json::object());
  require_unbroken(other.events_to(last), seen);
  const auto more = make_sessions(t, 1);
  require_unbroken(c.events_to(more), last);
  require_unbroken(other.events_to(more), last);
}

TEST_CASE("sync: a log that nobody keeps is a gap, and one that has been pruned names why") {
  TestDaemon t(with_state([](Config& c) { c.state.max_events = 4; }));
  const auto last = make_sessions(t, 20);
  Subscriber c(t);
  const std::string epoch = c.subscribe({"sessions"})["epoch"];
  REQUIRE(c.good("events.subscribe", {{"topics", {"state.**"}}, {"since", {{"nobodys", 1}}}})["gaps"] ==
          json{{"nobodys", "unknown_epoch"}});
  const auto begun = c.subscribe({"sessions", "panes"}, {{"epoch", epoch}, {"seq", 1}});
  REQUIRE(begun["mode"] == "snapshot");
  REQUIRE(begun["reason"] == "too_old");
  const auto sessions = c.event();
  REQUIRE(sessions["topic"] == "state.snapshot");
  REQUIRE(sessions["seq"] == last);
  REQUIRE(sessions["payload"]["scope"] == "sessions");
  REQUIRE(sessions["payload"]["items"].size() == 20);
  REQUIRE(sessions["payload"]["last"] == true);
  const auto panes = c.event();
  REQUIRE(panes["payload"] ==
          json{{"scope", "panes"}, {"items", json::array()}, {"last", true}, {"reason", "too_old"}});
  const auto more = make_sessions(t, 1);
  const auto live = c.events_to(more);
  REQUIRE(live.front()["prev"] == last);
}

TEST_CASE("sync: the objects as of one point come in parts, and then what has changed since") {
  TestDaemon t(with_state());
  const auto last = make_sessions(t, 700);
  Subscriber c(t);
  const auto begun = c.subscribe({"sessions"}, {{"epoch", "another"}, {"seq", 5}});
  REQUIRE(begun["reason"] == "epoch_changed");
  std::set<std::string> names;
  json part;
  int parts = 0;
  do {
    part = c.event();
    REQUIRE(part["seq"] == last);
    for (const auto& item : part["payload"]["items"]) names.insert(item["name"]);
    ++parts;
  } while (part["payload"]["last"] == false);
  REQUIRE(parts > 1);
  REQUIRE(names.size() == 700);
  require_unbroken(c.events_to(make_sessions(t, 3)), last);
}

TEST_CASE("sync: a session's scope has all that belongs to the session, and nothing of others") {
  TestDaemon t(with_state());
  const std::string mine = (*t.call("state.session.create", {{"name", "mine"}}))["session"]["id"];
  const std::string other = (*t.call("state.session.create", {{"name", "other"}}))["session"]["id"];
  Subscriber c(t);
  (void)c.subscribe({"session:" + mine});
  const auto pane = [&](const std::string& session) {
    return (*t.call("state.pane.create", {{"session_id", session}, {"kind", "editor"}, {"path", "/" + mine}}))["seq"]
        .get<std::uint64_t>();
  };
  (void)pane(other);
  (void)pane(mine);
  const json ops = json::array(
      {{{"method", "state.session.update"}, {"params", {{"id", other}, {"rev", nullptr}, {"patch", {{"name", "o"}}}}}},
       {{"method", "state.session.update"}, {"params", {{"id", mine}, {"rev", nullptr}, {"patch", {{"name", "m"}}}}}}});
  const auto batch = (*t.call("state.batch", {{"ops", ops}}))["seq"].get<std::uint64_t>();
  auto events = c.events_to(batch);
  REQUIRE(topics(events) ==
          std::vector<std::string>{"state.pane.created", "state.session.updated", "state.project.changed"});
  const auto gone = (*t.call("state.session.delete", {{"id", mine}, {"rev", nullptr}}))["seq"].get<std::uint64_t>();
  events = c.events_to(gone);
  REQUIRE(std::ranges::count(topics(events), "state.session.deleted") == 1);
  REQUIRE(std::ranges::count(topics(events), "state.pane.deleted") == 1);
}

TEST_CASE("sync: a client that does not read holds nobody up, and has missed nothing when it reads") {
  TestDaemon t(with_state(with_buffer_of_16));
  Subscriber slow(t);
  const auto begun = slow.subscribe({"sessions"});
  const std::string text(20'000, 'x');
  std::uint64_t last = 0;
  for (int i = 0; i < 300; ++i) {
    const auto made = t.call("state.session.create", {{"name", "n"}, {"attributes", {{"text", text}}}});
    REQUIRE(made);
    last = (*made)["seq"];
  }
  const auto events = slow.events_to(last);
  REQUIRE(events.size() == 300);
  require_unbroken(events, begun["seq"]);
  REQUIRE(t.call("host.metrics").value()["events"]["dropped"] > 0);  // which were read from the log
}

TEST_CASE("sync: subscriptions that begin while others write have neither a gap nor an event twice") {
  TestDaemon t(with_state(with_buffer_of_16), true);
  std::atomic<bool> stop{false};
  const std::string epoch = (*t.call("state.info"))["epoch"];
  std::thread writer([&] {
    for (int i = 0; !stop && i < 100'000; ++i) {
      if (!t.call("state.settings.set", {{"key", "k" + std::to_string(i % 7)}, {"value", i}})) return;
    }
  });
  for (int round = 0; round < 10; ++round) {
    CAPTURE(round);
    const auto now = (*t.call("state.info"))["seq"].get<std::uint64_t>();
    const auto since = now * static_cast<std::uint64_t>(round) / 10;
    Subscriber c(t);
    if (round % 2 == 0) {
      REQUIRE(c.subscribe({"settings"}, {{"epoch", epoch}, {"seq", since}})["mode"] == "replay");
    } else {
      REQUIRE(c.good("events.subscribe", {{"topics", {"state.**"}}, {"since", {{epoch, since}}}})["gaps"].empty());
    }
    require_unbroken(c.events_to(now + 200), since);
  }
  stop = true;
  writer.join();
}

TEST_CASE("sync: a store that goes on from a backup tells its subscribers what there is now") {
  TestDaemon t(with_state());
  (void)make_sessions(t, 2);
  const std::string file = (*t.call("state.backup.create"))["backup"]["file"];
  (void)make_sessions(t, 3);
  Subscriber c(t);
  const auto begun = c.subscribe({"sessions"});
  REQUIRE(t.call("state.backup.restore", {{"file", file}}));
  json event = c.event();
  while (event["topic"] != "state.snapshot") event = c.event();
  REQUIRE(event["epoch"] != begun["epoch"]);
  REQUIRE(event["payload"]["reason"] == "epoch_changed");
  REQUIRE(event["payload"]["items"].size() == 2);
  const auto events = c.events_to(make_sessions(t, 1));
  REQUIRE(topics(events).back() == "state.session.created");
  REQUIRE(events.back()["epoch"] == event["epoch"]);
}

// superfly/corrosion#521
TEST_CASE("sync: events.subscribe from a point of the log loses nothing either, however slow its client") {
  TestDaemon t(with_state(with_buffer_of_16));
  Subscriber slow(t);
  const auto info = *t.call("state.info");
  const std::string epoch = info["epoch"];
  const auto now = info["seq"].get<std::uint64_t>();
  REQUIRE(slow.good("events.subscribe", {{"topics", {"state.**"}}, {"since", {{epoch, now}}}})["gaps"].empty());
  const std::string text(20'000, 'x');
  std::uint64_t last = 0;
  for (int i = 0; i < 200; ++i) {
    const auto made = t.call("state.session.create", {{"name", "n"}, {"attributes", {{"text", text}}}});
    REQUIRE(made);
    last = (*made)["seq"];
  }
  require_unbroken(slow.events_to(last), now);
}

// Gusto/baerly-storage#80, etcd#9775
TEST_CASE("sync: events.subscribe is told that a log does not go on from a point before a restore, or to come") {
  TestDaemon t(with_state());
  const auto before = make_sessions(t, 1);
  const std::string epoch = (*t.call("state.info"))["epoch"];
  const std::string file = (*t.call("state.backup.create"))["backup"]["file"];
  Subscriber c(t);
  const auto gaps_at = [&](std::uint64_t seq) {
    return c.good("events.subscribe", {{"topics", {"state.**"}}, {"since", {{epoch, seq}}}})["gaps"];
  };
  REQUIRE(gaps_at(before + 1000) == json{{epoch, "unknown_epoch"}});
  (void)make_sessions(t, 1);
  REQUIRE(gaps_at(before).empty());
  REQUIRE(t.call("state.backup.restore", {{"file", file}}));
  const auto after = make_sessions(t, 1);
  Subscriber late(t);
  REQUIRE(late.good("events.subscribe", {{"topics", {"state.**"}}, {"since", {{epoch, before}}}})["gaps"] ==
          json{{epoch, "unknown_epoch"}});
  const auto more = make_sessions(t, 1);
  const auto event = late.event();
  REQUIRE(event["seq"] == more);
  REQUIRE(event["epoch"] != epoch);
  REQUIRE(after + 1 == more);
}

TEST_CASE("sync: scopes that are none and points that are none are refused") {
  TestDaemon t(with_state());
  Subscriber c(t);
  const auto wrong = [&](const json& params) {
    const auto message = c.ask("state.subscribe", params);
    return message.contains("error") ? kind_of(message) : message.dump();
  };
  REQUIRE(wrong(json::object()) == "invalid_params");
  REQUIRE(wrong({{"scopes", json::array()}}) == "invalid_params");
  REQUIRE(wrong({{"scopes", {"session"}}}) == "invalid_params");
  REQUIRE(wrong({{"scopes", {"session:"}}}) == "invalid_params");
  REQUIRE(wrong({{"scopes", {std::string(300, 'x')}}}) == "invalid_params");
  REQUIRE(wrong({{"scopes", std::vector<std::string>(65, "panes")}}) == "invalid_params");
  REQUIRE(wrong({{"scopes", {"panes"}}, {"since", {{"epoch", "x"}}}}) == "invalid_params");
  REQUIRE(wrong({{"scopes", {"panes"}}, {"since", {{"epoch", "x"}, {"seq", -1}}}}) == "invalid_params");
  REQUIRE(wrong({{"scopes", {"panes"}}, {"since", {{"epoch", 1}, {"seq", 1}}}}) == "invalid_params");
  REQUIRE(wrong({{"scopes", {"panes"}}, {"sinse", {}}}) == "invalid_params");
  const std::string epoch = c.subscribe({"panes"})["epoch"];
  const auto beyond = c.subscribe({"panes"}, {{"epoch", epoch}, {"seq", 1000}});
  REQUIRE(beyond["mode"] == "snapshot");
  REQUIRE(beyond["reason"] == "beyond_log");
  REQUIRE(c.bad("state.log", {{"from", {{"epoch", "x"}, {"seq", 0}}}}) == "not_found");
  REQUIRE(c.bad("state.log", {{"from", {{"seq", 0}}}}) == "invalid_params");
  REQUIRE(c.bad("state.snapshot", {{"scope", "metrics"}}) == "invalid_params");
  for (std::size_t i = 2; i < RpcSubscriptions::kMax; ++i) (void)c.subscribe({"panes"});
  REQUIRE(wrong({{"scopes", {"panes"}}}) == "overloaded");
}

TEST_CASE("sync: metrics come live, and a snapshot of the state has all pages as of one point") {
  TestDaemon t(with_state());
  Subscriber c(t);
  REQUIRE(c.subscribe({"metrics"})["mode"] == "live");
  (void)make_sessions(t, 3);
  const auto first = c.good("state.snapshot", {{"scope", "sessions"}, {"limit", 2}});
  REQUIRE(first["items"].size() == 2);
  REQUIRE(first["scope"] == "sessions");
  (void)make_sessions(t, 1);
  const auto second = c.good("state.snapshot", {{"scope", "sessions"}, {"limit", 2}, {"cursor", first["next_cursor"]}});
  REQUIRE(second["seq"] == first["seq"]);
  REQUIRE(second["items"].size() == 1);
  REQUIRE_FALSE(second.contains("next_cursor"));
  for (const char* const cursor : {"", "x", "1:", "1:x", ":", "99:1-1"})
    REQUIRE(c.bad("state.snapshot", {{"scope", "sessions"}, {"cursor", cursor}}) == "invalid_params");
}
