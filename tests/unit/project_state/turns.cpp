// SPDX-License-Identifier: Apache-2.0
//
// The turns of AI agents.
#include <set>
#include <thread>

#include "tests/unit/project_state/support.hpp"

using namespace state_test;

namespace {

const json kPlan{{"steps", {"read", "write"}}, {"note", nullptr}};

struct Turns {
  TempDir dir;
  std::unique_ptr<TestHost> host = std::make_unique<TestHost>(kPlugin, config(dir.path()));
  const std::string session = good(call("session.create", {{"name", "n"}}))["session"]["id"];

  [[nodiscard]] gantry::Result<json> call(const std::string& method, const json& params) const {
    return host->call("state." + method, params);
  }
  [[nodiscard]] json turn(const std::string& method, const json& params) const {
    return good(call(method, params))["turn"];
  }
  [[nodiscard]] json created(const json& more = json::object()) const {
    json params{{"session_id", session}};
    params.update(more);
    return turn("turn.create", params);
  }
  [[nodiscard]] json approved(const json& more = json::object()) const {
    const json made = created({{"plan", kPlan}});
    json params{{"id", made["id"]}, {"rev", 1}, {"plan_hash", made["plan_hash"]}};
    params.update(more);
    return turn("turn.approve", params);
  }
  [[nodiscard]] gantry::Result<json> step(const json& of, const char* to, const json& fence = nullptr) const {
    json params{{"id", of["id"]}, {"rev", of["rev"]}, {"to", to}};
    if (!fence.is_null()) params["fence"] = fence;
    return call("turn.transition", params);
  }
  [[nodiscard]] json stepped(const json& of, const char* to, const json& fence = nullptr) const {
    return good(step(of, to, fence))["turn"];
  }
  [[nodiscard]] json get(const json& of) const { return turn("turn.get", {{"id", of["id"]}}); }
  template <class F>
  void restart_after(F&& change) {
    host->stop();
    change();
    restart(true);
  }
  /// Another host, over the same folder.
  void restart(bool kill = false) {
    if (!kill) host->stop();
    host.reset();
    host = std::make_unique<TestHost>(kPlugin, config(dir.path()));
    REQUIRE(host->started() == 0);
  }
};

}  // namespace

TEST_CASE_METHOD(Turns,
                 "state.turn: a plan is proposed, approved by its hash, carried out under a fence, and completed") {
  const json made = created();
  REQUIRE(made["state"] == "created");
  REQUIRE(made["fence"] == 0);
  REQUIRE(made["rev"] == 1);
  const json planning = stepped(made, "planning");
  const json proposed = turn("turn.propose", {{"id", made["id"]}, {"rev", 2}, {"plan", kPlan}});
  REQUIRE(proposed["state"] == "plan_proposed");
  REQUIRE(proposed["plan"] == kPlan);
  // As any program has it: printf '{"note":null,"steps":["read","write"]}' | sha256sum
  REQUIRE(proposed["plan_hash"] == "bc6406ecb816dc00473f5d2a7279794b87eb09f49c7e3232abe6ff88cd7313e5");
  const json done = good(call("turn.approve", {{"id", made["id"]}, {"rev", 3}, {"plan_hash", proposed["plan_hash"]}}));
  REQUIRE(done["durability"] == "D3");
  REQUIRE(done["turn"]["state"] == "plan_approved");
  REQUIRE(done["turn"]["approval"]["rev"] == 3);
  const json executing = stepped(done["turn"], "executing");
  REQUIRE(executing["fence"] == 1);
  const json completed = stepped(executing, "completed", 1);
  REQUIRE(completed["state"] == "completed");
  REQUIRE(completed["rev"] == 6);
  REQUIRE(get(made) == completed);
  settle(*host);
  std::vector<std::string> states;
  for (const auto& event : host->events()) {
    if (event.topic == "state.turn.updated") states.push_back(event.payload["to"]);
  }
  REQUIRE(states == std::vector<std::string>{"planning", "plan_proposed", "plan_approved", "executing", "completed"});
  host->stop();
  check_store(dir.path());
  REQUIRE(RawDatabase(dir.path()).one("SELECT count(*) FROM audit") == "1");
}

TEST_CASE_METHOD(Turns, "state.turn: approvals that somebody has changed or taken away behind the host are found") {
  for (int i = 0; i < 4; ++i) (void)approved();
  const auto checked = [&](const char* sql) {
    restart_after([&] { (void)RawDatabase(dir.path()).rows(sql); });
    return good(call("check", json::object()));
  };
  REQUIRE(checked("SELECT 1")["sound"] == true);
  REQUIRE(checked("DELETE FROM audit WHERE n = 1")["sound"] == true);  // as the oldest are forgotten
  const auto changed = checked("UPDATE audit SET entry = replace(entry, '\"rev\":2', '\"rev\":3') WHERE n = 4");
  REQUIRE(changed["sound"] == false);
  REQUIRE(changed["damage"].get<std::string>().find("approvals is broken at entry 4") != std::string::npos);
  REQUIRE(checked("UPDATE audit SET entry = replace(entry, '\"rev\":3', '\"rev\":2') WHERE n = 4")["sound"] == true);
  REQUIRE(checked("DELETE FROM audit WHERE n = 3")["damage"] == "the chain of approvals is broken at entry 4");
  REQUIRE(checked("SELECT 1")["sound"] == false);  // no backup takes its place
}

TEST_CASE_METHOD(Turns, "state.turn: a plan that is changed after its approval voids it, with an event") {
  const json approval = approved();
  const json other = turn("turn.propose", {{"id", approval["id"]}, {"rev", 2}, {"plan", {{"steps", {"delete all"}}}}});
  REQUIRE(other["state"] == "plan_proposed");
  REQUIRE_FALSE(other.contains("approval"));
  const auto event = host->event("state.turn.approval_voided");
  REQUIRE(event.payload["plan_hash"] == approval["plan_hash"]);
  REQUIRE(event.payload["reason"] == "plan_changed");
  REQUIRE(bad(step(other, "executing")).kind == ErrorKind::conflict);
  // An approval of the plan before is none of this one.
  const auto error = bad(call("turn.approve", {{"id", other["id"]}, {"rev", 3}, {"plan_hash", approval["plan_hash"]}}));
  REQUIRE(error.kind == ErrorKind::conflict);
  REQUIRE(json::parse(error.data)["plan_hash"] == other["plan_hash"]);
  // The same plan again changes nothing.
  const json again = approved();
  REQUIRE(turn("turn.propose", {{"id", again["id"]}, {"rev", 2}, {"plan", kPlan}}) == again);
}

TEST_CASE_METHOD(Turns, "state.turn: steps that the table forbids are conflicts that name what is allowed") {
  const json made = created();
  for (const char* to : {"executing", "completed", "interrupted", "failed", "created"}) {
    CAPTURE(to);
    const auto error = bad(step(made, to));
    REQUIRE(error.kind == ErrorKind::conflict);
    REQUIRE(json::parse(error.data)["allowed"] == json{"planning", "plan_proposed", "cancelled"});
  }
  REQUIRE(bad(step(made, "plan_approved")).kind == ErrorKind::invalid_params);
  REQUIRE(bad(step(made, "flying")).kind == ErrorKind::invalid_params);
  REQUIRE(bad(step(made, "plan_proposed")).kind == ErrorKind::conflict);  // it has no plan
  REQUIRE(bad(call("turn.approve", {{"id", made["id"]}, {"rev", 1}, {"plan_hash", ""}})).kind == ErrorKind::conflict);
  const json over = stepped(made, "cancelled");
  REQUIRE(bad(step(over, "planning")).kind == ErrorKind::conflict);
  REQUIRE(bad(call("turn.propose", {{"id", made["id"]}, {"rev", nullptr}, {"plan", 1}})).kind == ErrorKind::conflict);
  REQUIRE(bad(call("turn.transition", {{"id", made["id"]}, {"to", "planning"}})).kind == ErrorKind::invalid_params);
}

TEST_CASE_METHOD(Turns, "state.turn: whoever carries a turn out names its fence, and an old one is refused") {
  const json executing = stepped(approved(), "executing");
  REQUIRE(bad(step(executing, "completed")).kind == ErrorKind::invalid_params);
  const auto old = bad(step(executing, "completed", 0));
  REQUIRE(old.kind == ErrorKind::conflict);
  REQUIRE(json::parse(old.data)["fence"] == 1);
  const json interrupted = stepped(executing, "interrupted", 1);
  REQUIRE(interrupted["fence"] == 2);
  REQUIRE(bad(step(interrupted, "executing", 2)).kind == ErrorKind::conflict);
  // The way back leads through an approval of the plan.
  const json proposed = stepped(interrupted, "plan_proposed", 2);
  REQUIRE(proposed["plan_hash"] == executing["plan_hash"]);
  const json again =
      turn("turn.approve", {{"id", proposed["id"]}, {"rev", proposed["rev"]}, {"plan_hash", proposed["plan_hash"]}});
  REQUIRE(stepped(again, "executing")["fence"] == 3);
}

TEST_CASE_METHOD(Turns,
                 "state.turn: what was executing when the host ended is interrupted, and never goes on by itself") {
  const bool kill = GENERATE(false, true);
  CAPTURE(kill);
  const json executing = stepped(approved(), "executing");
  const json waiting = approved();
  restart(kill);
  const json after = get(executing);
  REQUIRE(after["state"] == "interrupted");
  REQUIRE(after["fence"] == 2);
  REQUIRE(after["rev"] == executing["rev"].get<int>() + 1);
  REQUIRE(host->event("state.turn.updated").payload["to"] == "interrupted");
  REQUIRE(get(waiting) == waiting);
  // The result of whoever was at it comes late, whatever rev it names.
  json late = executing;
  REQUIRE(bad(step(late, "completed", 1)).kind == ErrorKind::conflict);
  late["rev"] = nullptr;
  REQUIRE(bad(step(late, "completed", 1)).kind == ErrorKind::conflict);
  REQUIRE(get(executing) == after);
  restart();
  REQUIRE(get(executing) == after);
  host->stop();
  check_store(dir.path());
}

TEST_CASE_METHOD(
    Turns, "state.turn: what was executing is interrupted, also where a full log refuses all changes of clients") {
  const json executing = stepped(approved(), "executing");
  restart_after([&] {
    RawDatabase(dir.path())
        .run(
            "UPDATE events SET bytes = bytes + (5 << 30) WHERE seq = 1; "
            "UPDATE store SET log_bytes = (SELECT sum(bytes) FROM events)");
  });
  REQUIRE(get(executing)["state"] == "interrupted");
  REQUIRE(bad(call("settings.set", {{"key", "k"}, {"value", 1}})).kind == ErrorKind::too_large);
}

TEST_CASE_METHOD(Turns, "state.turn: a reload of the plugin interrupts nothing") {
  const json executing = stepped(approved(), "executing");
  host->stop();
  const auto given = host->given();
  REQUIRE(given);
  host = std::make_unique<TestHost>(kPlugin, config(dir.path()), gantry::testing::Time::manual, given);
  REQUIRE(get(executing) == executing);
  REQUIRE(stepped(executing, "completed", 1)["state"] == "completed");
}

TEST_CASE_METHOD(Turns, "state.turn: an approval expires, also while the host is down") {
  const json short_lived = approved({{"expires_in_seconds", 1}});
  const json used = stepped(approved({{"expires_in_seconds", 1}}), "executing");
  const json later = approved({{"expires_in_seconds", 3600}});
  if (GENERATE(false, true)) restart(true);
  const auto event = host->event("state.turn.approval_voided");
  REQUIRE(event.payload["turn_id"] == short_lived["id"]);
  REQUIRE(event.payload["reason"] == "expired");
  REQUIRE(get(short_lived)["state"] == "plan_proposed");
  REQUIRE(get(later) == later);
  REQUIRE(get(used)["state"] != "plan_proposed");
  settle(*host);
  const auto events = host->events();
  REQUIRE(std::ranges::count(events, "state.turn.approval_voided", &gantry::testing::Event::topic) == 1);
}

TEST_CASE_METHOD(Turns, "state.turn: of those who approve, start or end a turn at once one wins") {
  const json made = created({{"plan", kPlan}});
  const auto race = [&](const std::function<gantry::testing::TestStream(int)>& begin) {
    std::vector<std::vector<gantry::testing::TestStream>> calls(8);
    {
      std::vector<std::jthread> threads;
      for (std::size_t t = 0; t < calls.size(); ++t) {
        threads.emplace_back([&, t] {
          for (int i = 0; i < 4; ++i) calls[t].push_back(begin(static_cast<int>(t)));
        });
      }
    }
    int won = 0;
    for (auto& of_thread : calls) {
      for (auto& one : of_thread) {
        const auto result = one.result();
        won += result ? 1 : 0;
        if (!result) REQUIRE(result.error().kind == ErrorKind::conflict);
      }
    }
    return won;
  };
  REQUIRE(race([&](int) {
            return host->begin("state.turn.approve",
                               {{"id", made["id"]}, {"rev", 1}, {"plan_hash", made["plan_hash"]}});
          }) == 1);
  REQUIRE(race([&](int) {
            return host->begin("state.turn.transition", {{"id", made["id"]}, {"rev", nullptr}, {"to", "executing"}});
          }) == 1);
  REQUIRE(race([&](int t) {
            return host->begin(
                "state.turn.transition",
                {{"id", made["id"]}, {"rev", nullptr}, {"to", t % 2 == 0 ? "completed" : "cancelled"}, {"fence", 1}});
          }) == 1);
  REQUIRE(get(made)["rev"] == 4);
}

TEST_CASE_METHOD(Turns, "state.turn: a session with a turn that executes cannot be deleted, nor can that turn") {
  const json executing = stepped(approved(), "executing");
  const json other = created();
  REQUIRE(bad(call("session.delete", {{"id", session}})).kind == ErrorKind::conflict);
  REQUIRE(bad(call("turn.delete", {{"id", executing["id"]}})).kind == ErrorKind::conflict);
  REQUIRE(good(call("turn.list", {{"filter", {{"session_id", session}, {"state", "executing"}}}}))["items"] ==
          json::array({executing}));
  REQUIRE(turn("turn.delete", {{"id", other["id"]}, {"rev", 1}})["deleted"] == true);
  REQUIRE(stepped(executing, "failed", 1)["state"] == "failed");
  REQUIRE(call("session.delete", {{"id", session}}));
  REQUIRE(bad(call("turn.get", {{"id", executing["id"]}})).kind == ErrorKind::not_found);
  settle(*host);
  REQUIRE(host->events().back().topic == "state.session.deleted");
  host->stop();
  check_store(dir.path());
}

TEST_CASE_METHOD(Turns, "state.turn: plans that are no I-JSON are refused as they were written") {
  const json made = created();
  const auto propose = [&](const std::string& plan) {
    gantry::testing::CallWith with;
    with.raw_params = R"({"id":")" + made["id"].get<std::string>() + R"(","rev":1,"plan":)" + plan + "}";
    return host->begin("state.turn.propose", {}, std::move(with)).result();
  };
  for (const char* plan : {R"({"a":1,"a":2})", "9007199254740992", "null"}) {
    CAPTURE(plan);
    REQUIRE(bad(propose(plan)).kind == ErrorKind::invalid_params);
  }
  REQUIRE(get(made) == made);
  REQUIRE(good(propose("[9007199254740991]"))["turn"]["state"] == "plan_proposed");
}

TEST_CASE(
    "state.turn: a table of the user's own holds, if it keeps what a turn promises, and lacks no state of a turn") {
  TempDir dir;
  const json table{
      {"states", {"created", "plan_proposed", "plan_approved", "scheduled", "executing", "done", "interrupted"}},
      {"final_states", {"done"}},
      {"transitions",
       {"created -> plan_proposed", "plan_proposed -> plan_proposed", "plan_proposed -> plan_approved",
        "plan_approved -> plan_proposed", "plan_approved -> scheduled", "scheduled -> executing", "executing -> done",
        "executing -> interrupted", "interrupted -> plan_proposed"}}};
  std::string session;
  {
    TestHost host(kPlugin, config(dir.path(), {{"turns", table}}));
    REQUIRE(host.started() == 0);
    session = good(host.call("state.session.create", {{"name", "n"}}))["session"]["id"];
    const json made = good(host.call("state.turn.create", {{"session_id", session}, {"plan", 1}}))["turn"];
    REQUIRE(host.call("state.turn.approve", {{"id", made["id"]}, {"rev", 1}, {"plan_hash", made["plan_hash"]}}));
    const auto step = [&](const char* to) {
      return host.call("state.turn.transition", {{"id", made["id"]}, {"rev", nullptr}, {"to", to}});
    };
    REQUIRE(bad(step("executing")).kind == ErrorKind::conflict);
    REQUIRE(bad(step("cancelled")).kind == ErrorKind::invalid_params);
    REQUIRE(step("scheduled"));
    REQUIRE(good(step("executing"))["turn"]["fence"] == 1);
    // Without the state that the turn is in; and then one that skips the approval.
    json other = table;
    other["transitions"].push_back("plan_proposed -> executing");
    host.reconfigure(config(dir.path(), {{"turns", other}}));
    REQUIRE(host.log().find("without an approval; the old settings stay") != std::string::npos);
    host.reconfigure(config(dir.path(), {{"turns", json::object()}}));
    REQUIRE(good(host.call("state.turn.create", {{"session_id", session}}))["turn"]["state"] == "created");
    host.stop();
  }
  // The turn was executing, which the standard table has, too: it is interrupted by whatever table there is.
  TestHost host(kPlugin, config(dir.path()));
  REQUIRE(host.started() == 0);
  const json items = good(host.call("state.turn.list"))["items"];
  REQUIRE(items[0]["state"] == "interrupted");
  host.stop();
  RawDatabase(dir.path())
      .run("UPDATE objects SET body = json_set(body, '$.state', 'scheduled'), crc = 0 WHERE type = 'turn' AND n = 2");
  TestHost refused(kPlugin, config(dir.path()));
  REQUIRE(refused.started() == static_cast<int>(ErrorKind::unavailable));
  REQUIRE(refused.log().find("is in the state scheduled") != std::string::npos);
}

TEST_CASE("state.turn: a table that is none keeps the plugin from starting, and says why") {
  TempDir dir;
  const auto refusal = [&](const json& table) {
    TestHost host(kPlugin, config(dir.path(), {{"turns", table}}));
    REQUIRE(host.started() == static_cast<int>(ErrorKind::invalid_params));
    return host.log();
  };
  REQUIRE(refusal({{"states", {"created"}}}).find("[state.turns] state plan_proposed is missing") != std::string::npos);
  REQUIRE(refusal({{"transitions", {"created, done"}}}).find("is not FROM -> TO") != std::string::npos);
  for (const char* row : {"created -> cancelled", "created after s -> cancelled", "created after 1.5 s -> cancelled",
                          "created after 1 s"})
    REQUIRE(refusal({{"timers", {row}}}).find("is not FROM after SECONDS s -> TO") != std::string::npos);
  REQUIRE(refusal({{"topics", {"created -> cancelled"}}}).find("is not FROM on turn.NAME -> TO") != std::string::npos);
}

TEST_CASE("state.turn: the time takes the steps that the table gives to it, also those of a table that came later") {
  TempDir dir;
  const auto settings = [](const json& timers) { return json{{"turns", {{"timers", timers}}}}; };
  json old;
  json approved;
  {
    TestHost host(kPlugin, config(dir.path(), settings({"plan_proposed after 1 s -> cancelled"})));
    REQUIRE(host.started() == 0);
    const json session = good(host.call("state.session.create", {{"name", "n"}}))["session"]["id"];
    old = good(host.call("state.turn.create", {{"session_id", session}}))["turn"];
    const json made = good(host.call("state.turn.create", {{"session_id", session}, {"plan", 1}}))["turn"];
    approved = good(host.call("state.turn.create", {{"session_id", session}, {"plan", 2}}))["turn"];
    approved = good(host.call("state.turn.approve", {{"id", approved["id"]},
                                                     {"rev", 1},
                                                     {"plan_hash", approved["plan_hash"]},
                                                     {"expires_in_seconds", 100}}))["turn"];
    const auto cancelled = [&] {
      for (const auto& event : host.events()) {
        if (event.payload.value("to", "") == "cancelled") return event.payload;
      }
      return json();
    };
    eventually("the step", [&] { return !cancelled().is_null(); });
    REQUIRE(cancelled()["turn_id"] == made["id"]);
    REQUIRE(cancelled()["trigger"] == "timer");
    REQUIRE(good(host.call("state.turn.get", {{"id", old["id"]}}))["turn"] == old);
    host.stop();
  }
  TestHost host(kPlugin, config(dir.path(), settings({"created after 1 s -> planning"})));
  const auto state = [&](const json& turn) {
    return good(host.call("state.turn.get", {{"id", turn["id"]}}))["turn"]["state"];
  };
  eventually("the turn that was created before", [&] { return state(old) == "planning"; });
  REQUIRE(state(approved) == "plan_approved");
  // One that replaces the table of a store that runs.
  host.reconfigure(
      config(dir.path(), settings({"plan_approved after 1 s -> cancelled", "planning after 1 s -> cancelled"})));
  eventually("the one that is approved", [&] { return state(approved) == "cancelled"; });
  eventually("the one that is planned", [&] { return state(old) == "cancelled"; });
  host.stop();
  (void)check_store(dir.path());
}

TEST_CASE("state.turn: an event takes the steps that the table gives to it, of the turns that it names") {
  TempDir dir;
  const json topics{"executing on turn.tests.failed -> failed", "created on turn.stale -> cancelled",
                    "interrupted on turn.stale -> plan_proposed"};
  TestHost host(kPlugin, config(dir.path(), {{"turns", {{"topics", topics}}}}));
  REQUIRE(host.started() == 0);
  REQUIRE(host.manifest()["subscribes"] == json{"turn.**"});
  const auto session = [&] { return good(host.call("state.session.create", {{"name", "n"}}))["session"]["id"]; };
  const json one = session();
  const json two = session();
  const auto create = [&](const json& of) {
    return good(host.call("state.turn.create", {{"session_id", of}}))["turn"]["id"];
  };
  const std::vector<json> turns{create(one), create(one), create(two)};
  const auto states = [&] {
    settle(host);
    json out = json::array();
    for (const auto& id : turns) out.push_back(good(host.call("state.turn.get", {{"id", id}}))["turn"]["state"]);
    return out;
  };
  // What names no turn, another one, or comes on a topic that the table does not have.
  for (const json& payload : {json(), json(1), json::object(), json{{"turn_id", "none"}}, json{{"turn_id", 1}},
                              json{{"turn_id", 1}, {"session_id", one}}, json{{"session_id", ""}}})
    host.publish("turn.stale", payload);
  host.publish("turn.other", {{"turn_id", turns[0]}});
  REQUIRE(states() == json{"created", "created", "created"});
  host.publish("turn.stale", {{"session_id", one}});
  REQUIRE(states() == json{"cancelled", "cancelled", "created"});

  // Who executes is meant by the fence only.
  const json params{{"id", turns[2]}, {"rev", nullptr}};
  const auto with = [&](const json& more) {
    json out = params;
    out.update(more);
    return out;
  };
  const json proposed = good(host.call("state.turn.propose", with({{"plan", 1}})))["turn"];
  (void)good(host.call("state.turn.approve", with({{"plan_hash", proposed["plan_hash"]}})));
  (void)good(host.call("state.turn.transition", with({{"to", "executing"}})));
  host.publish("turn.tests.failed", {{"turn_id", turns[2]}});
  host.publish("turn.tests.failed", {{"turn_id", turns[2]}, {"fence", 0}});
  REQUIRE(states()[2] == "executing");
  host.publish("turn.tests.failed", {{"turn_id", turns[2]}, {"fence", 1}});
  REQUIRE(states()[2] == "failed");
  eventually("the event", [&] { return host.events().back().payload.value("trigger", "") == "turn.tests.failed"; });
  host.stop();
  (void)check_store(dir.path());
}

TEST_CASE("state.turn: what the disk refuses when the time comes is done when the disk takes it") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  const json session = good(host.call("state.session.create", {{"name", "n"}}))["session"]["id"];
  const json made = good(host.call("state.turn.create", {{"session_id", session}, {"plan", 1}}))["turn"];
  (void)good(host.call("state.turn.approve",
                       {{"id", made["id"]}, {"rev", 1}, {"plan_hash", made["plan_hash"]}, {"expires_in_seconds", 1}}));
  settle(host);
  {
    RawDatabase other(dir.path());
    other.run("BEGIN IMMEDIATE");  // another program writes
    eventually("it is said", [&] { return host.log().find("turns stay whose time has come") != std::string::npos; });
    REQUIRE(good(host.call("state.turn.list"))["items"][0]["state"] == "plan_approved");
    other.run("COMMIT");
  }
  (void)host.event("state.turn.approval_voided");
  settle(host);
  REQUIRE(good(host.call("state.turn.get", {{"id", made["id"]}}))["turn"]["state"] == "plan_proposed");
}
