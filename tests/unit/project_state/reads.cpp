// SPDX-License-Identifier: Apache-2.0
//
// Reads from memory: what was read once is kept there, and follows each commit.
#include <atomic>
#include <random>
#include <thread>

#include "plugins/project_state/object_cache.hpp"
#include "tests/unit/project_state/support.hpp"

using namespace state_test;
using gantry::state::ObjectCache;
using gantry::state::StateSnapshot;
using gantry::state::Type;

namespace {

[[nodiscard]] std::shared_ptr<const std::string> text_of(const std::string& text) {
  return std::make_shared<const std::string>(text);
}
[[nodiscard]] std::size_t kept(const StateSnapshot& snapshot, int ids) {
  std::size_t out = 0;
  for (int i = 0; i < ids; ++i) out += snapshot.find(Type::pane, std::to_string(i)) != nullptr ? 1U : 0U;
  return out;
}

}  // namespace

TEST_CASE("state: a read follows each answer to a change, and says what the database says") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  std::minstd_rand random(7);  // NOLINT: the same each time
  std::vector<std::string> ids;
  for (int i = 0; i < 8; ++i) ids.push_back(good(host.call("state.session.create", {{"name", "n"}}))["session"]["id"]);
  for (int i = 0; i < 400; ++i) {
    CAPTURE(i);
    const auto& id = ids[random() % ids.size()];
    if (random() % 2 == 0) {
      const auto done = good(host.call("state.session.update",
                                       {{"id", id}, {"rev", nullptr}, {"patch", {{"name", "n" + std::to_string(i)}}}}));
      const auto got = good(host.call("state.session.get", {{"id", id}}));
      REQUIRE(got["session"] == done["session"]);
      REQUIRE(got["seq"] >= done["seq"]);
      REQUIRE(got["epoch"] == done["epoch"]);
    } else {
      const auto got = good(host.call("state.session.get", {{"id", id}}));
      const auto all = good(host.call("state.session.list"));
      const auto listed = std::ranges::find_if(all["items"], [&](const json& item) { return item["id"] == id; });
      REQUIRE(*listed == got["session"]);
    }
  }
}

TEST_CASE("state: a setting is read as it was set last, from memory or from the disk") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  std::minstd_rand random(11);  // NOLINT: the same each time
  for (int i = 0; i < 300; ++i) {
    CAPTURE(i);
    json which{{"key", std::string("k") + static_cast<char>('a' + random() % 3)}};
    if (random() % 2 == 0) which.update({{"scope", "workspace"}, {"workspace", dir.path()}});
    json set = which;
    const std::vector<json> values{i, nullptr, {{"value", nullptr}}, "text", true};
    set.update({{"value", values[random() % values.size()]}, {"retype", true}});
    const json done = random() % 3 == 0 ? good(host.call("state.settings.set", set)) : json();
    const json got = good(host.call("state.settings.get", which));
    REQUIRE(good(host.call("state.settings.get", which)) == got);
    if (!done.is_null()) REQUIRE(got == done);
    which["type"] = got["value"].is_null() ? "string" : std::string(got["value"].type_name());
    REQUIRE(good(host.call("state.settings.get", which)) == got);
  }
  // What is in memory is not read again.
  auto profile = host.begin("state.profile", {{"seconds", 1}});
  (void)good(host.call("state.settings.set", {{"key", "new"}, {"value", 1}}));
  for (int i = 0; i < 5; ++i) {
    settle(host);
    (void)good(host.call("state.settings.get", {{"key", "new"}}));
  }
  host.advance(std::chrono::seconds(1));
  const json trace = good(profile.result())["trace"];
  REQUIRE(std::ranges::count(trace["traceEvents"], "setting", [](const json& e) { return e["name"]; }) == 1);
}

TEST_CASE("state: what was deleted, restored or replaced by a backup is not read from memory") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  const std::string id = good(host.call("state.session.create", {{"name", "a"}}))["session"]["id"];
  const std::string pane =
      good(host.call("state.pane.create", {{"session_id", id}, {"kind", "terminal"}}))["pane"]["id"];
  const auto name = [&] { return good(host.call("state.session.get", {{"id", id}}))["session"]["name"]; };
  const auto read_all = [&] {
    for (int i = 0; i < 3; ++i) {
      (void)host.call("state.session.get", {{"id", id}});
      (void)host.call("state.pane.get", {{"id", pane}});
      (void)host.call("state.layout.get", {{"session_id", id}});
      (void)good(host.call("state.flush"));
    }
  };
  const std::string backup = good(host.call("state.backup.create"))["backup"]["file"];
  read_all();
  const auto then =
      good(host.call("state.session.update", {{"id", id}, {"rev", 1}, {"patch", {{"name", "b"}}}}))["seq"];
  REQUIRE(name() == "b");
  const json root{{"kind", "pane"}, {"order", 0}, {"pane_id", pane}};
  (void)good(host.call("state.layout.update",
                       {{"session_id", id}, {"rev", 0}, {"patch", {{"root", "r"}, {"nodes", {{"r", root}}}}}}));
  REQUIRE(good(host.call("state.layout.get", {{"session_id", id}}))["layout"]["root"] == "r");
  (void)good(host.call("state.session.delete", {{"id", id}, {"rev", nullptr}}));
  REQUIRE(bad(host.call("state.session.get", {{"id", id}})).kind == ErrorKind::not_found);
  REQUIRE(bad(host.call("state.pane.get", {{"id", pane}})).kind == ErrorKind::not_found);
  (void)good(host.call("state.restore", {{"seq", then}, {"scope", "session:" + id}}));
  read_all();
  REQUIRE(name() == "b");
  const auto before = good(host.call("state.session.get", {{"id", id}}))["epoch"];
  (void)good(host.call("state.backup.restore", {{"file", backup}}));
  REQUIRE(name() == "a");
  REQUIRE(good(host.call("state.session.get", {{"id", id}}))["epoch"] != before);
}

TEST_CASE("state: memory for readers is bounded, and none at all is only slower") {
  for (const int mib : {0, 1}) {
    CAPTURE(mib);
    TempDir dir;
    TestHost host(kPlugin, config(dir.path(), {{"cache_mib", mib}}));
    const std::string text(200'000, 'x');
    std::vector<std::string> ids;
    for (int i = 0; i < 20; ++i) {
      ids.push_back(good(host.call("state.session.create",
                                   {{"name", std::to_string(i)}, {"attributes", {{"text", text}}}}))["session"]["id"]);
    }
    for (int round = 0; round < 2; ++round) {
      for (std::size_t i = 0; i < ids.size(); ++i)
        REQUIRE(good(host.call("state.session.get", {{"id", ids[i]}}))["session"]["name"] == std::to_string(i));
      (void)good(host.call("state.flush"));
    }
  }
}

TEST_CASE("state: a snapshot keeps no more than its bytes, and keeps what it has while others are made") {
  ObjectCache cache(100'000);
  const std::string text(1000, 'x');
  for (int i = 0; i < 1000; ++i) cache.put(Type::pane, std::to_string(i), text_of(text));
  cache.publish("e", 1);
  gantry::Snapshot<StateSnapshot>::Reader reader(cache.snapshots());
  const auto& first = reader.get();
  const auto count = kept(first, 1000);
  REQUIRE(count > 10);
  REQUIRE(count <= 100);
  REQUIRE(first.find(Type::session, "999") == nullptr);
  cache.set_most(0);
  cache.put(Type::pane, "1", text_of("y"));
  cache.publish("e", 2);
  REQUIRE(kept(first, 1000) == count);
  REQUIRE(kept(reader.get(), 1000) == 0);
  REQUIRE(reader.get().seq == 2);
}

TEST_CASE("state: a snapshot that is read while it is replaced is of one point") {
  ObjectCache cache(1 << 20);
  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  std::atomic<int> seen{0};
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      gantry::Snapshot<StateSnapshot>::Reader reader(cache.snapshots());
      std::uint64_t last = 0;
      while (!stop) {
        const auto& now = reader.get();
        const auto* const a = now.find(Type::session, "a");
        const auto* const b = now.find(Type::turn, "b");
        if (a == nullptr || b == nullptr) continue;
        if (*a != *b || *a != std::to_string(now.seq) || now.seq < last) std::abort();
        if (std::exchange(last, now.seq) != now.seq) ++seen;
      }
    });
  }
  for (std::uint64_t seq = 1; seq <= 2000 || seen < 4; ++seq) {
    cache.put(Type::session, "a", text_of(std::to_string(seq)));
    cache.put(Type::turn, "b", text_of(std::to_string(seq)));
    cache.publish("e", seq);
  }
  stop = true;
  for (auto& reader : readers) reader.join();
}
