// SPDX-License-Identifier: Apache-2.0
//
// Measurements over time, in a database of their own.
#include "plugins/project_state/metrics.hpp"

#include <fstream>
#include <limits>

#include "tests/unit/project_state/support.hpp"

using namespace gantry::state;
using namespace state_test;

namespace {

constexpr std::int64_t kDay = 24LL * 3600 * 1000;
constexpr std::int64_t kNow = 1'800'000'000'000;  // a whole hour

struct Metrics {
  TempDir dir;
  std::string log;
  MetricsStore store{dir.path(), [this](gantry::Level, const std::string& line) { log += line + "\n"; }};

  void add(const std::string& name, double value, std::int64_t at_ms, const json& labels = json::object()) {
    REQUIRE(store.add({name, labels, value, at_ms}));
  }
  json points(std::int64_t from, std::int64_t to, std::int64_t step, std::int64_t now = kNow,
              std::optional<json> labels = std::nullopt) {
    return good(store.query({"m", std::move(labels), from, to, step}, now))["points"];
  }
};

}  // namespace

TEST_CASE_METHOD(Metrics, "state.metrics: measurements are told step by step: count, sum, least, greatest, last") {
  add("m", 1, kNow);
  add("m", 2.5, kNow + 10);
  add("m", -4, kNow + 1000);
  add("m", 3, kNow + 2000, {{"host", "b"}});
  add("other", 9, kNow);
  REQUIRE(points(kNow, kNow + 5000, 1000) ==
          json{{{"t", kNow}, {"count", 2}, {"sum", 3.5}, {"min", 1}, {"max", 2.5}, {"last", 2.5}},
               {{"t", kNow + 1000}, {"count", 1}, {"sum", -4}, {"min", -4}, {"max", -4}, {"last", -4}},
               {{"t", kNow + 2000}, {"count", 1}, {"sum", 3}, {"min", 3}, {"max", 3}, {"last", 3}}});
  REQUIRE(points(kNow, kNow + 5000, 5000) ==
          json{{{"t", kNow}, {"count", 4}, {"sum", 2.5}, {"min", -4}, {"max", 3}, {"last", 3}}});
  REQUIRE(points(kNow, kNow + 5000, 5000, kNow, json::object())[0]["count"] == 3);
  REQUIRE(points(kNow, kNow + 5000, 5000, kNow, json{{"host", "b"}})[0]["count"] == 1);
  REQUIRE(points(kNow + 1000, kNow + 2000, 1000).size() == 1);  // `to` is excluded
  // What comes later joins what is on the disk.
  add("m", 7, kNow + 20);
  REQUIRE(points(kNow, kNow + 1000, 1000)[0]["count"] == 3);
  REQUIRE(points(kNow, kNow + 1000, 1000)[0]["last"] == 7);
}

TEST_CASE_METHOD(
    Metrics,
    "state.metrics: a time holds what was measured in it, whatever the step, and adjacent times nothing twice") {
  for (const int second : {10, 40, 70, 80, 100, 110}) add("m", second, kNow + second * 1000);
  const auto counts = [&](std::int64_t from, std::int64_t to, std::int64_t step, std::int64_t now = kNow + 200'000) {
    json out = json::array();
    for (const auto& point : points(kNow + from * 1000, kNow + to * 1000, step * 1000, now))
      out.push_back({(point["t"].get<std::int64_t>() - kNow) / 1000, point["count"]});
    return out;
  };
  REQUIRE(counts(30, 60, 1) == json{{40, 1}});
  REQUIRE(counts(30, 90, 60) == json{{0, 1}, {60, 2}});
  REQUIRE(counts(0, 30, 60) == json{{0, 1}});
  REQUIRE(counts(30, 60, 60) == json{{0, 1}});
  REQUIRE(counts(60, 65, 60) == json::array());
  REQUIRE(counts(30, 60, 3600) == json{{0, 1}});
  REQUIRE(counts(0, 180, 90) == json{{0, 4}, {90, 2}});
  REQUIRE(counts(0, 120, 60) == json{{0, 2}, {60, 4}});
  // When only minutes are left, each counts once, and a step holds whole ones.
  const std::int64_t later = kNow + kDay;
  REQUIRE(counts(0, 60, 60, later) == json{{0, 2}});
  REQUIRE(counts(0, 30, 60, later) == json{{0, 2}});
  REQUIRE(counts(30, 60, 60, later) == json::array());
  REQUIRE(counts(0, 180, 90, later) == json{{0, 6}});
  REQUIRE(good(store.query({"m", std::nullopt, kNow, kNow + 180'000, 90'000}, later))["step"] == 120'000);
  add("m", 1e308, kNow + 130'000);
  add("m", 1e308, kNow + 130'000);
  REQUIRE(points(kNow + 130'000, kNow + 131'000, 1000)[0]["sum"] == std::numeric_limits<double>::max());
}

TEST_CASE_METHOD(Metrics, "state.metrics: old seconds are forgotten, then old minutes, and the sums of hours stay") {
  for (std::int64_t t = kNow - 2 * kDay; t < kNow; t += 600'000) add("m", 1, t);
  REQUIRE(good(store.flush(kNow)).size() == 288);
  RawDatabase db(dir / "metrics.db", true);
  REQUIRE(db.one("SELECT count(*) FROM points WHERE level = 1000") == "6");
  REQUIRE(db.one("SELECT count(*) FROM points WHERE level = 60000") == "288");
  REQUIRE(db.one("SELECT count(*) FROM points WHERE level = 3600000") == "48");
  // A step that is finer than what is kept gets what is kept.
  REQUIRE(points(kNow - 2 * kDay, kNow, 3'600'000).size() == 48);
  REQUIRE(points(kNow - 2 * kDay, kNow - 2 * kDay + 3'600'000, 1000).size() == 6);
  const std::int64_t later = kNow + 10 * kDay;
  add("m", 1, later);
  REQUIRE(store.flush(later));
  REQUIRE(db.one("SELECT count(*) FROM points WHERE level = 60000") == "1");
  REQUIRE(points(kNow - 2 * kDay, later, kDay, later).size() == 3);
}

TEST_CASE_METHOD(Metrics, "state.metrics: a damaged file is moved aside, and only what it held is lost") {
  add("m", 1, kNow);
  REQUIRE(store.flush(kNow));
  store.close();
  std::ofstream(dir / "metrics.db") << std::string(8192, 'x');
  add("m", 2, kNow);
  REQUIRE(points(kNow, kNow + 1000, 1000)[0]["sum"] == 2);
  REQUIRE(std::filesystem::exists(dir / "metrics.db.damaged"));
  REQUIRE(log.find("damaged") != std::string::npos);
}

TEST_CASE_METHOD(Metrics, "state.metrics: the number of series is bounded") {
  for (std::size_t i = 0; i < MetricsStore::kMaxSeries; ++i) add("m" + std::to_string(i), 1, kNow);
  REQUIRE(store.flush(kNow));
  const auto refused = store.add({"one-more", json::object(), 1, kNow});
  REQUIRE_FALSE(refused);
  REQUIRE(refused.error().kind == ErrorKind::too_large);
  add("m7", 1, kNow);
}

TEST_CASE("state.metrics: what was recorded is acknowledged, asked for, flushed, and there after a restart") {
  TempDir dir;
  const auto now = [] {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  };
  const std::int64_t from = now() / 1000 * 1000 - 1000;
  const auto asked = [&](TestHost& host) {
    return good(
        host.call("state.metrics.query",
                  {{"name", "build.seconds"}, {"from", from}, {"to", now() + 10'000}, {"step", 60'000}}))["points"];
  };
  {
    TestHost host(kPlugin, config(dir.path()));
    for (int i = 1; i <= 3; ++i) {
      REQUIRE(good(host.call(
                  "state.metrics.record",
                  {{"name", "build.seconds"}, {"value", i}, {"labels", {{"target", "all"}}}}))["durability"] == "D1");
    }
    double sum = 0;
    for (const auto& point : asked(host)) sum += point["sum"].get<double>();
    REQUIRE(sum == 6);
    const auto event = host.event("metrics.recorded");
    REQUIRE(event.payload["points"][0]["name"] == "build.seconds");
    REQUIRE(event.epoch.empty());  // of the bus's log: nobody resumes it
    REQUIRE(host.call("state.metrics.record", {{"name", "build.seconds"}, {"value", 4}}));
    REQUIRE(host.call("state.flush"));
    host.destroy();  // without a stop
  }
  TestHost host(kPlugin, config(dir.path()));
  double sum = 0;
  for (const auto& point : asked(host)) sum += point["sum"].get<double>();
  REQUIRE(sum == 10);
}

TEST_CASE("state.metrics: bad names, values, labels and times are refused") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  const auto record = [&](const json& params) { return bad(host.call("state.metrics.record", params)).kind; };
  REQUIRE(record({{"name", ""}, {"value", 1}}) == ErrorKind::invalid_params);
  REQUIRE(record({{"name", "a b"}, {"value", 1}}) == ErrorKind::invalid_params);
  REQUIRE(record({{"name", std::string(129, 'a')}, {"value", 1}}) == ErrorKind::invalid_params);
  REQUIRE(record({{"name", "a"}, {"value", "1"}}) == ErrorKind::invalid_params);
  REQUIRE(record({{"name", "a"}}) == ErrorKind::invalid_params);
  REQUIRE(record({{"name", "a"}, {"value", 1}, {"labels", {{"l", 1}}}}) == ErrorKind::invalid_params);
  REQUIRE(record({{"name", "a"}, {"value", 1}, {"labels", {{"l", std::string(300, 'x')}}}}) == ErrorKind::too_large);
  const auto query = [&](std::int64_t from, std::int64_t to, std::int64_t step) {
    return bad(host.call("state.metrics.query", {{"name", "a"}, {"from", from}, {"to", to}, {"step", step}})).kind;
  };
  REQUIRE(query(5000, 5000, 1000) == ErrorKind::invalid_params);
  REQUIRE(query(0, 5000, 999) == ErrorKind::invalid_params);
  REQUIRE(query(0, kNow, 1000) == ErrorKind::invalid_params);
  REQUIRE(query(-1, 5000, 1000) == ErrorKind::invalid_params);
}

TEST_CASE("state.metrics: the host's own numbers are among them") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path(), {{"host_metrics_seconds", 10}}));
  json sample{{"rss_bytes", 1000},
              {"connections", 2},
              {"methods", {{"echo.say", {{"calls", 5}, {"errors", 0}, {"seconds", 1.5}}}}}};
  host.on_call("host.metrics", [&](const json&, const auto& answer) { answer(gantry::CallAnswer{sample, {}}); });
  host.advance(std::chrono::seconds(10));
  sample["methods"]["echo.say"]["calls"] = 8;
  sample["rss_bytes"] = 3000;
  host.advance(std::chrono::seconds(10));
  const auto asked = [&](const char* name) {
    const json points = good(
        host.call("state.metrics.query",
                  {{"name", name}, {"from", 0}, {"to", 4'000'000'000'000}, {"step", 1'000'000'000'000}}))["points"];
    return points.empty() ? json() : points[0];
  };
  REQUIRE(asked("host.rss_bytes")["max"] == 3000);
  REQUIRE(asked("host.rss_bytes")["count"] == 2);
  REQUIRE(asked("host.calls")["sum"] == 3);
  REQUIRE(asked("host.errors").is_null());
}
