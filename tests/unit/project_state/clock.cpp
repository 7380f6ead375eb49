// SPDX-License-Identifier: Apache-2.0
//
// A wall clock that is set while the store is in use: the order of what happened is that of the log.
#include <sys/syscall.h>

#include <atomic>
#include <ctime>

#include "tests/unit/project_state/support.hpp"

using namespace state_test;

namespace {

std::atomic<std::int64_t> wall_offset{0};  // seconds

struct WallClock {
  ~WallClock() { wall_offset = 0; }
  void set_by(std::chrono::seconds offset) { wall_offset += offset.count(); }
};

}  // namespace

/// In the place of the library's, for the whole process, the plugin included.
extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const auto result = static_cast<int>(::syscall(SYS_clock_gettime, clock, time));
  if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += wall_offset.load();
  return result;
}

TEST_CASE("state: a wall clock that is set to another time reorders nothing, and makes nothing forgotten") {
  constexpr std::chrono::hours kDay{24};
  WallClock clock;
  TempDir dir;
  const json mutation{{"client_id", "c"}, {"mutation_id", 1}};
  json first;
  std::string id;
  {
    TestHost host(kPlugin, config(dir.path(), {{"backup_keep", 2}, {"max_age_days", 1}}));
    first = good(host.call("state.session.create", {{"name", "n"}, {"mutation", mutation}}));
    id = first["session"]["id"];
    std::uint64_t seq = 1;
    for (const auto jump : {-3 * kDay, 400 * kDay, -1000 * kDay}) {
      clock.set_by(jump);
      const json made = good(host.call("state.session.update",
                                       {{"id", id}, {"rev", nullptr}, {"patch", {{"attributes", {{"seq", ++seq}}}}}}));
      REQUIRE(made["seq"] == seq);
      REQUIRE(made["session"]["rev"] == seq);
      REQUIRE(good(host.call("state.session.create", {{"name", "n"}, {"mutation", mutation}})) == first);
      // The newest backup is the one that was made last, whatever its time.
      const json backup = good(host.call("state.backup.create"))["backup"];
      const json kept = good(host.call("state.backup.list"))["items"];
      REQUIRE(kept[0] == backup);
      REQUIRE(backup["seq"] == seq);
      REQUIRE(kept.size() <= 2);
    }
    settle(host);
    const auto events = host.events();
    REQUIRE(events.size() == seq);
    for (std::size_t i = 0; i < events.size(); ++i) REQUIRE(events[i].seq == i + 1);
    host.stop();
  }
  clock.set_by(5 * kDay);
  {
    TestHost host(kPlugin, config(dir.path()));
    REQUIRE(host.started() == 0);
    REQUIRE(good(host.call("state.session.create", {{"name", "n"}, {"mutation", mutation}})) == first);
    REQUIRE(good(host.call("state.at", {{"seq", 2}, {"scope", "sessions"}}))["items"][0]["attributes"]["seq"] == 2);
    REQUIRE(good(host.call("state.session.list"))["items"].size() == 1);
    host.stop();
  }
  REQUIRE(check_store(dir.path()) == 4);
  // After a loss the store goes on from that backup.
  std::filesystem::resize_file(dir / "state.db", 0);
  std::filesystem::remove(dir / "state.clean");
  TestHost host(kPlugin, config(dir.path()));
  REQUIRE(host.started() == 0);
  REQUIRE(good(host.call("state.session.get", {{"id", id}}))["session"]["attributes"]["seq"] == 4);
}

TEST_CASE("state: an approval ends when the wall clock says so, also if the clock was set meanwhile") {
  WallClock clock;
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  const json session = good(host.call("state.session.create", {{"name", "n"}}))["session"]["id"];
  const json made = good(host.call("state.turn.create", {{"session_id", session}, {"plan", 1}}))["turn"];
  (void)good(
      host.call("state.turn.approve",
                {{"id", made["id"]}, {"rev", 1}, {"plan_hash", made["plan_hash"]}, {"expires_in_seconds", 1000}}));
  const auto state = [&] {
    settle(host);
    return good(host.call("state.turn.get", {{"id", made["id"]}}))["turn"]["state"];
  };
  clock.set_by(std::chrono::hours(-1));
  settle(host);
  REQUIRE(state() == "plan_approved");
  clock.set_by(std::chrono::hours(2));
  settle(host);
  REQUIRE(state() == "plan_proposed");
}

TEST_CASE("state: a clock that is set back makes no approval last longer, also over a restart") {
  WallClock clock;
  TempDir dir;
  auto host = std::make_unique<TestHost>(kPlugin, config(dir.path()));
  const json session = good(host->call("state.session.create", {{"name", "n"}}))["session"]["id"];
  const auto approved = [&] {
    const json made = good(host->call("state.turn.create", {{"session_id", session}, {"plan", 1}}))["turn"];
    return good(host->call(
        "state.turn.approve",
        {{"id", made["id"]}, {"rev", 1}, {"plan_hash", made["plan_hash"]}, {"expires_in_seconds", 1000}}))["turn"];
  };
  const auto begins = [](TestHost& at, const json& turn) {
    return at.call("state.turn.transition", {{"id", turn["id"]}, {"rev", turn["rev"]}, {"to", "executing"}});
  };
  const json first = approved();
  clock.set_by(std::chrono::hours(-1));
  host->advance(std::chrono::seconds(999));
  settle(*host);
  REQUIRE(good(host->call("state.turn.get", {{"id", first["id"]}}))["turn"]["state"] == "plan_approved");
  host->advance(std::chrono::seconds(2));
  REQUIRE(bad(begins(*host, first)).kind == ErrorKind::conflict);
  // An approval of now is good for its time, though the clock was set back before.
  REQUIRE(good(begins(*host, approved()))["turn"]["state"] == "executing");
  const json later = approved();
  host->stop();
  host.reset();
  clock.set_by(std::chrono::hours(-1));
  TestHost next(kPlugin, config(dir.path()));
  const auto refused = bad(begins(next, later));
  REQUIRE(refused.kind == ErrorKind::conflict);
  REQUIRE(refused.message.find("the clock was set back") != std::string::npos);
}
