// SPDX-License-Identifier: Apache-2.0
//
// What the store's threads do, as a trace.
#include "tests/unit/project_state/support.hpp"

using namespace state_test;

namespace {

struct Profiled {
  TempDir dir{};
  TestHost host{kPlugin, config(dir.path())};

  /// The trace of what `work` does.
  template <class F>
  json during(F&& work) {
    auto call = host.begin("state.profile", {{"seconds", 5}});
    settle(host);
    work();
    host.advance(std::chrono::seconds(5));
    return good(call.result())["trace"];
  }
};

json only(const json& trace, const std::string& name) {
  json out = json::array();
  for (const auto& event : trace["traceEvents"]) {
    if (event["name"] == name) out.push_back(event);
  }
  return out;
}

bool lies_within(const json& inner, const json& outer) {
  const auto end = [](const json& of) { return of["ts"].get<double>() + of["dur"].get<double>(); };
  return inner["tid"] == outer["tid"] && inner["ts"] >= outer["ts"] && end(inner) <= end(outer) + 0.002;
}

}  // namespace

TEST_CASE("state.profile: the trace has what each thread did, how long changes waited, and nothing from before") {
  Profiled p;
  (void)good(p.host.call("state.session.create", {{"name", "before"}}));
  const json trace = p.during([&] {
    (void)good(p.host.call("state.settings.set", {{"key", "k"}, {"value", 1}}));
    (void)good(p.host.call("state.settings.list"));
    (void)good(p.host.call("state.backup.create"));
    (void)good(p.host.call("state.check"));
    settle(p.host);
  });
  REQUIRE(trace["dropped"] == 0);
  REQUIRE(only(trace, "thread_name").size() == 4);
  REQUIRE(only(trace, "state.session.create").empty());
  const json set = only(trace, "state.settings.set");
  REQUIRE(set.size() == 3);  // the beginning and the end of its wait, and what it did
  REQUIRE(set[0]["ph"] == "b");
  REQUIRE(set[1]["ph"] == "e");
  REQUIRE(set[0]["id"] == set[1]["id"]);
  REQUIRE(set[0]["ts"] <= set[1]["ts"]);
  const json all = only(trace, "transaction");
  REQUIRE(all.size() == 1);
  REQUIRE(all[0]["args"] == json{{"changes", 1}, {"seq", 2}});
  REQUIRE(lies_within(set[2], all[0]));
  REQUIRE(only(trace, "COMMIT").size() == 1);
  REQUIRE(lies_within(only(trace, "COMMIT")[0], all[0]));
  REQUIRE(only(trace, "publish")[0]["args"]["events"] == 1);
  REQUIRE(only(trace, "state.settings.list").size() == 1);
  REQUIRE(only(trace, "backup").size() == 1);
  // What reads all of the store has a thread of its own.
  REQUIRE(only(trace, "state.check").size() == 1);
  REQUIRE(only(trace, "state.check")[0]["tid"] != only(trace, "state.settings.list")[0]["tid"]);
  // And once more, from the beginning.
  REQUIRE(only(p.during([] {}), "backup").empty());
}

TEST_CASE("state.profile: one at a time, for so long as is allowed, and a stop ends it") {
  Profiled p;
  for (const json& seconds : {json(0), json(61), json("5"), json()})
    REQUIRE(bad(p.host.call("state.profile", {{"seconds", seconds}})).kind == ErrorKind::invalid_params);
  auto first = p.host.begin("state.profile", {{"seconds", 60}});
  REQUIRE(bad(p.host.call("state.profile", {{"seconds", 1}})).kind == ErrorKind::conflict);
  // Who has asked goes away.
  first.cancel();
  auto second = p.host.begin("state.profile", {{"seconds", 60}});
  settle(p.host);
  p.host.stop();
  REQUIRE(good(second.result())["trace"].contains("traceEvents"));
}

TEST_CASE("state.profile: what has no room in an answer is counted") {
  TempDir dir;
  json settings = config(dir.path());
  settings["max_message_bytes"] = 4096;
  TestHost host(kPlugin, settings);
  auto call = host.begin("state.profile", {{"seconds", 1}});
  for (int i = 0; i < 20; ++i) (void)good(host.call("state.settings.set", {{"key", "k"}, {"value", i}}));
  host.advance(std::chrono::seconds(1));
  const auto answer = good(call.result());
  REQUIRE(answer["trace"]["dropped"] > 0);
  REQUIRE(answer.dump().size() < 4096);
  REQUIRE_FALSE(answer["trace"]["traceEvents"].empty());
}
