// SPDX-License-Identifier: Apache-2.0
//
// A plugin without a daemon around it: what it answers, refuses and leaves behind when it is stopped.
#include <fstream>

#include "host/plugins/bus_port.hpp"
#include "host/plugins/inline/inline_plugin.hpp"
#include "tests/folders.hpp"
#include "tests/unit/support/host.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {
/// A plugin without a daemon around it.
struct Alone {
  TempDir dir;
  std::shared_ptr<Log> log = log_in(dir.path() / "log");
  ManualTimers timers;
  EventBus bus{"epoch", 100};
  Workers workers{1};
  std::shared_ptr<InlinePlugin> plugin;
  explicit Alone(const std::string& name) {
    const auto library = std::filesystem::path(gantry::folders::build() + "/tests/plugins") / (name + ".so");
    const auto manifest = read_manifest(library);
    REQUIRE(manifest);
    PluginBasics basics{name, *manifest, timers,
                        std::make_shared<BusPort>(
                            LogOwner{name}, bus, *log, [](OriginId) { return std::nullopt; }, PermitQueue::make(4, 4),
                            BusPort::Caller{0, nullptr, [](OriginId) {}}),
                        1 << 20};
    auto loaded = InlinePlugin::load(library, std::move(basics), workers);
    REQUIRE(loaded);
    plugin = *loaded;
    REQUIRE(plugin->start(json{{"name", name},
                               {"state_dir", dir.path().string()},
                               {"workspaces", json::array()},
                               {"async", json::object()},
                               {"settings", json::object()}}));
  }
  [[nodiscard]] std::string log_text() const {
    std::ifstream in(dir.path() / "log");
    return {std::istreambuf_iterator<char>(in), {}};
  }
  [[nodiscard]] static PluginCallPtr call_of(const std::string& method, std::shared_ptr<Recorder> recorder) {
    CallRequest request;
    request.method = method;
    return new WithSink<PluginCall>(std::move(request), std::move(recorder));
  }
  std::shared_ptr<Recorder> call(const std::string& method) {
    auto recorder = std::make_shared<Recorder>();
    if (auto opened = plugin->open(call_of(method, recorder)); !opened)
      recorder->answered(std::unexpected(opened.error()));
    return recorder;
  }
};
}  // namespace

TEST_CASE(
    "plugins: what one has not answered when it is stopped is answered `plugin_died`, and later calls are refused") {
  Alone a("plain");
  const auto open = a.call("plain.never");
  eventually("the call", [&] { return a.plugin->open_calls() == 1; });
  REQUIRE(a.plugin->stop(std::chrono::seconds(10)));
  REQUIRE(open->wait().error().kind == ErrorKind::plugin_died);
  REQUIRE(open->answers() == 1);
  REQUIRE(a.call("plain.never")->wait().error().kind == ErrorKind::unavailable);
}

TEST_CASE("plugins: an event that waits for its retry when the plugin is stopped becomes a dead letter") {
  Alone a("faulty");
  REQUIRE(a.bus.publish("to_faulty.a", R"({"failures":100})"));
  eventually("its retry's timer", [&] { return a.timers.next_in().has_value(); });
  REQUIRE(a.plugin->stop(std::chrono::seconds(10)));
  const auto letters = a.bus.dead_letters();
  REQUIRE(letters.size() == 1);
  REQUIRE(letters[0].topic == "to_faulty.a");
  REQUIRE(letters[0].seq == 1);
  REQUIRE(letters[0].attempts == 1);
  REQUIRE(letters[0].payload == R"({"failures":100})");
  REQUIRE(letters[0].subscriber == "plugin faulty");
  REQUIRE(letters[0].error.find("stopped") != std::string::npos);
}

TEST_CASE("plugins: an event whose handler does not return becomes a dead letter when its plugin is abandoned") {
  Alone a("faulty");
  const auto file = a.dir.path() / "go";
  REQUIRE(a.bus.publish("to_faulty.a", json{{"file", file.string()}, {"failures", 1}}.dump()));
  wait_for_log(a, "blocks until");
  REQUIRE_FALSE(a.plugin->stop(std::chrono::milliseconds(10)));
  const auto letters = a.bus.dead_letters();
  REQUIRE(letters.size() == 1);
  REQUIRE(letters[0].topic == "to_faulty.a");
  REQUIRE(letters[0].attempts == 1);
  REQUIRE(letters[0].error == "its handler did not return");
  std::ofstream(file) << "";
  eventually("its return", [&] { return a.plugin->stop(std::chrono::milliseconds(10)); });
  REQUIRE(a.bus.dead_letters().size() == 1);
  REQUIRE_FALSE(a.timers.next_in());  // that it failed in the end is nobody's concern
}

TEST_CASE("plugins: one that stop() had to leave in a handler reaches nothing of the host, which may be gone") {
  for (const bool gone : {false, true}) {
    CAPTURE(gone);
    const TempDir dir;
    const auto file = dir.path() / "go";
    const auto report = dir.path() / "report";
    std::optional<Alone> a(std::in_place, "faulty");
    REQUIRE(a->bus.publish("to_faulty.a", json{{"file", file.string()}, {"report", report.string()}}.dump()));
    wait_for_log(*a, "blocks until");
    REQUIRE_FALSE(a->plugin->stop(std::chrono::milliseconds(10)));
    if (gone) a.reset();
    std::ofstream(file) << "";
    eventually("what the handler says", [&] { return std::filesystem::exists(report); });
    std::ifstream said(report);
    REQUIRE(json::parse(said) == json::array());
    if (gone) continue;
    REQUIRE(a->log_text().find("uses the host") == std::string::npos);
    REQUIRE_FALSE(a->timers.next_in());
    eventually("its return", [&] { return a->plugin->stop(std::chrono::milliseconds(10)); });
  }
}

TEST_CASE("plugins: more open calls than the bound are `overloaded`") {
  Alone a("plain");
  std::vector<PluginCallPtr> calls;
  for (std::size_t i = 0; i < InlinePlugin::kMaxOpenCalls; ++i) {
    calls.push_back(Alone::call_of("plain.never", std::make_shared<Recorder>()));
    REQUIRE(a.plugin->open(calls.back()));
  }
  const auto error = a.call("plain.echo")->wait().error();
  REQUIRE(error.kind == ErrorKind::overloaded);
  REQUIRE(error.data.find("retry_after_ms") != std::string::npos);
  calls.front()->cancel();
  REQUIRE(a.plugin->stop(std::chrono::seconds(10)));
}
