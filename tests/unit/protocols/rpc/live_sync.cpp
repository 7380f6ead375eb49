// SPDX-License-Identifier: Apache-2.0
//
// Subscribers to the state, with the real project state behind the host: no event is missed, and none comes twice.
#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "host/protocols/rpc/log_follower.hpp"
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
    c.plugins["project_state"].grants = {"call:host.metrics", "publish:metrics.**", "subscribe:turn.**"};
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
  json subscribe(const json& scopes, const json& since = nullptr, const json& more = json::object()) {
    json params{{"scopes", scopes}};
    if (!since.is_null()) params["since"] = since;
    params.update(more);
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

TEST_CASE("sync: of a slow client's events those that change an object become one, and none is lost in that") {
  TestDaemon t(with_state(with_buffer_of_16));
  constexpr std::uint64_t kUpdates = 300;
  const json session = (*t.call("state.session.create", {{"name", "n"}}))["session"];
  Subscriber slow(t);
  Subscriber each(t);
  (void)slow.subscribe({"sessions"});
  (void)each.subscribe({"sessions"}, nullptr, {{"coalesce", false}});
  std::uint64_t last = 0;
  for (std::uint64_t i = 0; i < kUpdates; ++i) {
    const std::string text(20'000, static_cast<char>('a' + i % 26));
    const json attributes{{"text", text}, {"m" + std::to_string(i % 3), i}};
    const auto made = t.call("state.session.update",
                             {{"id", session["id"]}, {"rev", nullptr}, {"patch", {{"attributes", attributes}}}});
    REQUIRE(made);
    last = (*made)["seq"];
  }
  json mirror = session;
  std::uint64_t stands_for = 0;
  const auto events = slow.events_to(last);
  for (const auto& event : events) {
    const json& told = event["payload"];
    REQUIRE(told["from_rev"] == mirror["rev"]);
    mirror.merge_patch(told["patch"]);
    mirror["rev"] = told["rev"];
    stands_for += told.value("coalesced", std::uint64_t{1});
  }
  REQUIRE(events.size() < kUpdates / 2);
  REQUIRE(stands_for == kUpdates);
  REQUIRE(mirror == (*t.call("state.session.get", {{"id", session["id"]}}))["session"]);
  require_unbroken(each.events_to(last), 1);
}

TEST_CASE("sync: a subscription that is debounced gets what a time has brought at once, an object's changes as one") {
  TestDaemon t(with_state());
  constexpr auto kDebounce = std::chrono::milliseconds(7);
  Subscriber c(t);
  (void)c.subscribe({"sessions", "settings"}, nullptr, {{"debounce_ms", kDebounce.count()}});
  const auto end_of_time = [&] {
    eventually("a time begins", [&] { return t.timers.next_in().value_or(kWait) <= kDebounce; });
    t.timers.advance(kDebounce);
  };
  const json id = (*t.call("state.session.create", {{"name", "n"}}))["session"]["id"];
  for (int i = 0; i < 5; ++i) {
    const json patch{{"name", "n" + std::to_string(i)}, {"attributes", {{"m" + std::to_string(i), i}}}};
    REQUIRE(t.call("state.session.update", {{"id", id}, {"rev", nullptr}, {"patch", patch}}));
  }
  for (int i = 0; i < 3; ++i) REQUIRE(t.call("state.settings.set", {{"key", "a"}, {"value", i}}));
  REQUIRE(t.call("state.settings.set", {{"key", "b"}, {"value", 1}}));
  end_of_time();
  const auto events = c.events_to(10);
  REQUIRE(topics(events) == std::vector<std::string>{"state.session.created", "state.session.updated",
                                                     "state.setting.changed", "state.setting.changed"});
  const json& update = events[1]["payload"];
  REQUIRE(events[1]["seq"] == 6);
  REQUIRE(events[1]["prev"] == 1);
  REQUIRE(update["from_rev"] == 1);
  REQUIRE(update["rev"] == 6);
  REQUIRE(update["coalesced"] == 5);
  REQUIRE(update["patch"]["name"] == "n4");
  REQUIRE(update["patch"]["attributes"].size() == 5);
  REQUIRE(events[2]["payload"]["value"] == 2);
  REQUIRE(events[2]["payload"]["coalesced"] == 3);
  REQUIRE(events[2]["seq"] == 9);
  REQUIRE_FALSE(events[3]["payload"].contains("coalesced"));
  // And so on.
  (void)make_sessions(t, 2);
  end_of_time();
  require_unbroken(c.events_to(12), 10);
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
      const json each{{"coalesce", false}};
      REQUIRE(c.subscribe({"settings"}, {{"epoch", epoch}, {"seq", since}}, each)["mode"] == "replay");
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
  auto event = late.event();
  if (event["seq"] == after) event = late.event();  // an event may come after its answer
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
  REQUIRE(wrong({{"scopes", {"panes"}}, {"debounce_ms", 10'001}}) == "invalid_params");
  REQUIRE(wrong({{"scopes", {"panes"}}, {"coalesce", 1}}) == "invalid_params");
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

TEST_CASE("sync: a page that cannot be read now is asked for again, and one that is wrong ends the subscription") {
  TestDaemon t(
      [](Config& c) { c.plugins["chronicle"].path = gantry::folders::build() + "/tests/plugins/chronicle.so"; });
  Subscriber c(t);
  const auto follow = [&](const std::string& kind) { return c.ask("chronicle.follow", {{"kind", kind}}); };
  const auto ends = [&](const std::string& kind) {
    const auto begun = follow(kind);
    CAPTURE(kind, begun);
    REQUIRE(begun["result"].contains("subscription"));
    json event = c.event();
    while (event.contains("topic")) event = c.event();
    REQUIRE(event["subscription"] == begun["result"]["subscription"]);
    return event["end"];
  };
  REQUIRE(follow("well").contains("result"));
  require_unbroken(c.events_to(3), 0);
  REQUIRE(follow("not at once").contains("result"));
  for (int i = 0; i < 3; ++i) {  // reads that fail
    eventually("a pause", [&] { return t.timers.next_in().value_or(kWait) <= LogFollower::kTryAgain; });
    t.timers.advance(LogFollower::kTryAgain);
  }
  require_unbroken(c.events_to(3), 0);
  REQUIRE(ends("refused")["kind"] == "permission_denied");
  for (const char* const kind : {"no events", "another topic", "no payload"}) REQUIRE(ends(kind)["kind"] == "internal");
  // A `follow` that is wrong, and none.
  for (const char* const kind : {"no place", "no topics"}) REQUIRE(kind_of(follow(kind)) == "internal");
  REQUIRE(follow("no follow")["result"] == json::object());
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
