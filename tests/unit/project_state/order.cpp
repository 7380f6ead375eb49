// SPDX-License-Identifier: Apache-2.0
//
// What many callers see at once, and what they see while the disk stands still.
#include <algorithm>
#include <atomic>
#include <gantry/mutex.hpp>
#include <set>
#include <thread>

#include "tests/unit/project_state/support.hpp"
#include "tests/unit/project_state/vfs.hpp"

using namespace state_test;
using gantry::CondVar;
using gantry::Lock;
using gantry::Mutex;

namespace {

/// Where syncs of the disk wait while it is closed.
class Gate {
 public:
  void close() { set(true); }
  void open() { set(false); }
  void pass() {
    const Lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    while (closed_) changed_.wait(mutex_);
    --waiting_;
  }
  void wait_for_one() {
    const Lock lock(mutex_);
    while (waiting_ == 0) changed_.wait(mutex_);
  }

 private:
  void set(bool closed) {
    const Lock lock(mutex_);
    closed_ = closed;
    changed_.notify_all();
  }
  Mutex mutex_{"gate"};
  CondVar changed_;
  bool closed_ GANTRY_GUARDED_BY(mutex_) = false;
  int waiting_ GANTRY_GUARDED_BY(mutex_) = 0;
};
Gate& gate() {
  static auto* const one = new Gate;
  return *one;
}

constexpr sqlite3_io_methods syncs_wait() {
  auto methods = kPassing;
  methods.xSync = [](sqlite3_file* file, int flags) {
    gate().pass();
    return real(file)->pMethods->xSync(real(file), flags);
  };
  return methods;
}
constexpr sqlite3_io_methods kSyncsWait = syncs_wait();

/// A call that was answered: when it was made, when it was answered, and the rev that it saw or made.
struct Operation {
  std::uint64_t begun, ended, rev;
  bool update;
};

}  // namespace

TEST_CASE("state: a disk that takes its time for a sync delays changes, and no read") {
  const TestVfs<kSyncsWait> vfs("gantry-syncs-wait");
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  const json made = good(host.call("state.session.create", {{"name", "before"}}));
  const std::string id = made["session"]["id"];
  (void)good(host.call("state.session.get", {{"id", id}}));
  (void)good(host.call("state.flush"));  // it is in memory now
  gate().close();
  const auto change = host.begin("state.session.update", {{"id", id}, {"rev", 1}, {"patch", {{"name", "after"}}}});
  gate().wait_for_one();
  for (int i = 0; i < 50; ++i) {
    REQUIRE(good(host.call("state.session.get", {{"id", id}}))["session"]["name"] == "before");
    REQUIRE(good(host.call("state.session.list"))["items"][0]["name"] == "before");
    REQUIRE(good(host.call("state.at", {{"seq", 1}, {"scope", "sessions"}}))["items"].size() == 1);
    REQUIRE(good(host.call("state.subscribe", {{"scopes", {"sessions"}}}))["seq"] == 1);
    REQUIRE(good(host.call("state.log", {{"from", {{"epoch", made["epoch"]}, {"seq", 0}}}}))["events"].size() == 1);
  }
  REQUIRE_FALSE(change.answered());
  REQUIRE(std::ranges::count(host.events(), "state.session.updated", &gantry::testing::Event::topic) == 0);
  gate().open();
  REQUIRE(host.call("state.flush"));
  REQUIRE(change.answered());
  REQUIRE(good(host.call("state.session.get", {{"id", id}}))["session"]["name"] == "after");
}

// Each change takes the next rev and the next seq.
TEST_CASE("state: what is read from memory while it changes is of the point that the answer names") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  const json session = good(host.call("state.session.create", {{"name", "n"}}))["session"]["id"];
  const auto update = [&](int i) {
    return host.call("state.session.update",
                     {{"id", session}, {"rev", nullptr}, {"patch", {{"name", "n" + std::to_string(i)}}}});
  };
  (void)good(host.call("state.session.get", {{"id", session}}));
  settle(host);  // it is in memory now
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) (void)update(i);
  });
  std::uint64_t last = 0;
  for (int i = 0; i < 6000; ++i) {
    const json got = good(host.call("state.session.get", {{"id", session}}));
    const std::uint64_t rev = got["session"]["rev"];
    if (got["seq"] != rev || rev < last) stop = true;
    CHECK(got["seq"] == rev);
    CHECK(rev >= last);
    last = rev;
  }
  stop = true;
  writer.join();
}

TEST_CASE("state: a setting that was answered before its commit is read as it was set") {
  const TestVfs<kSyncsWait> vfs("gantry-syncs-wait");
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  const auto get = [&] { return host.begin("state.settings.get", {{"key", "k"}}); };
  (void)good(host.call("state.settings.set", {{"key", "k"}, {"value", 0}}));
  (void)good(get().result());
  settle(host);  // it is in memory now
  for (const char* durability : {"D0", "D1"}) {
    for (int i = 1; i < 20; ++i) {
      gate().close();
      (void)good(host.call("state.settings.set", {{"key", "k"}, {"value", i}, {"durability", durability}}));
      gate().wait_for_one();
      auto read = get();
      gate().open();
      REQUIRE(good(read.result())["value"] == i);
      REQUIRE(good(get().result())["value"] == i);
    }
  }
}

TEST_CASE("state: changes and backups for which there is no room are refused, and no other is lost") {
  const TestVfs<kSyncsWait> vfs("gantry-syncs-wait");
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  (void)good(host.call("state.flush"));
  constexpr std::uint64_t kWait = 4096;
  constexpr std::uint64_t kMore = 32;
  std::vector<gantry::testing::TestStream> calls;
  const auto set = [&] {
    calls.push_back(host.begin("state.settings.set", {{"key", "k" + std::to_string(calls.size())}, {"value", 1}}));
  };
  gate().close();
  set();
  gate().wait_for_one();
  while (calls.size() < 1 + kWait + kMore) set();
  std::vector<gantry::testing::TestStream> backups;
  while (backups.size() < 1 + 16 + 4) backups.push_back(host.begin("state.backup.create"));
  // Whoever is refused is told at once.
  for (std::size_t i = 1 + kWait; i < calls.size(); ++i) {
    const auto error = bad(calls[i].result());
    REQUIRE(error.kind == ErrorKind::overloaded);
    REQUIRE(json::parse(error.data)["retry_after_ms"] > 0);
  }
  REQUIRE(bad(backups.back().result()).kind == ErrorKind::overloaded);
  gate().open();
  for (std::size_t i = 0; i < 1 + kWait; ++i) REQUIRE(calls[i].result());
  REQUIRE(std::ranges::count_if(backups, [](auto& call) { return call.result().has_value(); }) >= 16);
  settle(host);
  host.stop();
  REQUIRE(check_store(dir.path()) == 1 + kWait);
}

// Each change of an object makes the rev before it plus one. So calls of one object are linearizable if a call never
// sees less than one that had ended before it began, and a change makes more.
TEST_CASE("state: reads and changes of many callers have one order, which none of them sees otherwise") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  const std::string id = good(host.call("state.session.create", {{"name", "n"}}))["session"]["id"];
  std::atomic<std::uint64_t> clock{0};
  Mutex mutex;
  std::vector<Operation> history;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 6; ++caller) {
    callers.emplace_back([&, caller] {
      std::uint64_t seen = 1;
      for (int i = 0; i < 80; ++i) {
        const bool update = (i + caller) % 2 == 0;
        const auto begun = ++clock;
        const auto answer = update ? host.call("state.session.update",
                                               {{"id", id}, {"rev", seen}, {"patch", {{"name", std::to_string(i)}}}})
                                   : host.call("state.session.get", {{"id", id}});
        const auto ended = ++clock;
        if (!answer) continue;  // another one was first
        seen = (*answer)["session"]["rev"];
        const Lock lock(mutex);
        history.push_back({begun, ended, seen, update});
      }
    });
  }
  for (auto& caller : callers) caller.join();
  std::set<std::uint64_t> made;
  for (const auto& operation : history) {
    if (operation.update) REQUIRE(made.insert(operation.rev).second);
  }
  REQUIRE(made.size() > 10);
  REQUIRE(*made.rbegin() == made.size() + 1);
  std::size_t wrong = 0;
  for (const auto& first : history) {
    for (const auto& second : history) {
      if (first.ended > second.begun) continue;
      if (second.update ? second.rev <= first.rev : second.rev < first.rev) ++wrong;
    }
  }
  REQUIRE(wrong == 0);
}
