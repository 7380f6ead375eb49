// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/inline/inline_plugin.hpp"
#include "tests/folders.hpp"
#include "tests/unit/support/host.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
namespace fs = std::filesystem;

namespace {

const fs::path kPlugins = gantry::folders::build() + "/tests/plugins";

PluginEntry at(const fs::path& path) {
  PluginEntry entry;
  entry.path = path.string();
  return entry;
}

std::string read(const fs::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

json status_of(TestDaemon& t, const std::string& name) {
  const auto plugins = t.call("host.plugins");
  for (const auto& p : *plugins) {
    if (p["name"] == name) return p;
  }
  return {};
}

/// A copy of `library` as NAME.so with a manifest of the test's.
fs::path place(const TempDir& dir, const std::string& name, const fs::path& library, const std::string& manifest) {
  const auto so = dir.path() / (name + ".so");
  fs::copy_file(library, so);
  if (!manifest.empty()) std::ofstream(dir.path() / (name + ".json")) << manifest;
  return so;
}

std::string manifest_for(const std::string& name, int major = 1) {
  return json{{"id", name},
              {"version", "1.0.0"},
              {"abi", {{"major", major}, {"minor", 0}}},
              {"services", {name}},
              {"methods", {{{"name", name + ".do"}}}}}
      .dump();
}

}  // namespace

TEST_CASE("plugins: known until first called, then ready: the first caller starts it once") {
  TestDaemon t;
  REQUIRE(status_of(t, "echo")["state"] == "known");
  std::vector<TestDaemon::Begun> calls;
  for (int i = 0; i < 8; ++i) calls.push_back(t.begin("echo.say", {{"i", i}}));
  for (auto& c : calls) {
    CAPTURE(&c - calls.data());
    REQUIRE(c.recorder->wait());
  }
  REQUIRE(status_of(t, "echo")["state"] == "ready");
  const auto log = t.log_text();
  REQUIRE(log.find("echo 1.0.0 is ready") != std::string::npos);
  REQUIRE(log.find("echo 1.0.0 is ready", log.find("echo 1.0.0 is ready") + 1) == std::string::npos);
}

TEST_CASE(
    "plugins: one that is missing, or no plugin, or for another ABI, or not what its manifest says, is `failed` with "
    "the reason: the others serve") {
  TempDir dir;
  const auto text = dir.path() / "text.so";
  std::ofstream(text) << "this is no shared library";
  std::ofstream(dir.path() / "text.json") << manifest_for("text");
  auto lying = json::parse(read(kPlugins / "echo.json"));
  lying["version"] = "9.9.9";
  const auto liar = place(dir, "liar", kPlugins / "echo.so", lying.dump());
  const auto stranger = place(dir, "stranger", kPlugins / "bad" / "not_a_plugin.so", manifest_for("stranger"));
  const auto future = place(dir, "future", kPlugins / "bad" / "other_abi.so", manifest_for("future", 2));
  const auto masked = place(dir, "masked", kPlugins / "bad" / "other_abi.so", manifest_for("masked"));
  const auto foreign = place(dir, "foreign", kPlugins / "bad" / "other_magic.so", manifest_for("foreign"));
  const auto bare = place(dir, "bare", kPlugins / "bad" / "not_a_plugin.so", "");
  const auto broken = place(dir, "broken", kPlugins / "echo.so", "{\"id\": ");
  TestDaemon t([&](Config& c) {
    c.plugins["missing"] = at(dir.path() / "missing.so");
    for (const auto& [name, path] : std::map<std::string, fs::path>{{"text", text},
                                                                    {"liar", liar},
                                                                    {"stranger", stranger},
                                                                    {"future", future},
                                                                    {"masked", masked},
                                                                    {"foreign", foreign},
                                                                    {"bare", bare},
                                                                    {"broken", broken}})
      c.plugins[name] = at(path);
  });
  // These are seen without loading anything.
  const auto failed = [&](const std::string& name, const std::string& why) {
    const auto status = status_of(t, name);
    INFO(status.dump());
    REQUIRE(status["state"] == "failed");
    REQUIRE(status["reason"].get<std::string>().find(why) != std::string::npos);
  };
  failed("missing", "does not exist");
  failed("future", "ABI major version 2");
  failed("bare", "no manifest");
  failed("broken", "malformed JSON");
  // These at their first call.
  REQUIRE(t.call("text.do").error().kind == ErrorKind::unavailable);
  failed("text", "cannot be loaded: " + text.string() + " is no shared library");
  REQUIRE(status_of(t, "text")["reason"].get<std::string>().find("boost") == std::string::npos);
  REQUIRE(t.call("stranger.do").error().kind == ErrorKind::unavailable);
  failed("stranger", "does not export gantry_entry");
  REQUIRE(t.call("masked.do").error().kind == ErrorKind::unavailable);
  failed("masked", "ABI major version 2");
  REQUIRE(t.call("foreign.do").error().kind == ErrorKind::unavailable);
  failed("foreign", "another magic number");
  failed("liar", "the service echo, which plugin echo offers already");
  REQUIRE(t.call("faulty.attempts", {{"key", "x"}}));
  REQUIRE(t.call("echo.say", {{"a", 1}}));
}

TEST_CASE("plugins: a bundled one whose library is gone is `failed`, not forgotten") {
  TempDir dir;
  std::ofstream(dir.path() / "orphan.json") << manifest_for("orphan");
  const auto specs = find_plugins(dir.path(), {});
  REQUIRE(specs.size() == 1);
  REQUIRE(specs[0].name == "orphan");
  REQUIRE(!specs[0].manifest);
  REQUIRE(specs[0].failure.find("orphan.so does not exist") != std::string::npos);
}

TEST_CASE("plugins: of two that offer one service the second is `failed` and says so") {
  TempDir dir;
  const auto twin = place(dir, "twin", kPlugins / "echo.so", read(kPlugins / "echo.json"));
  TestDaemon t([&](Config& c) { c.plugins["twin"] = at(twin); });
  REQUIRE(status_of(t, "twin")["state"] == "failed");
  REQUIRE(status_of(t, "twin")["reason"].get<std::string>().find("which plugin echo offers already") !=
          std::string::npos);
  REQUIRE(t.call("echo.say", {{"a", 1}}));
}

TEST_CASE("plugins: a manifest that disagrees with the plugin is named member by member") {
  TempDir dir;
  auto lying = json::parse(read(kPlugins / "echo.json"));
  lying["version"] = "9.9.9";
  const auto liar = place(dir, "echo", kPlugins / "echo.so", lying.dump());
  TestDaemon t([&](Config& c) { c.plugins["echo"] = at(liar); });
  const auto error = t.call("echo.say").error();
  REQUIRE(error.kind == ErrorKind::unavailable);
  REQUIRE(error.message.find("manifest disagrees") != std::string::npos);
  REQUIRE(error.message.find("version") != std::string::npos);
  REQUIRE(status_of(t, "echo")["state"] == "failed");
}

TEST_CASE("plugins: one that refuses to start is `failed` with its own words, and the others serve") {
  TestDaemon t([](Config& c) { c.plugins["faulty"].settings = {{"refuse_to_start", true}}; });
  auto first = t.begin("faulty.fail_times_once", {{"key", "k"}, {"times", 0}});
  REQUIRE(first.recorder->wait().error().message.find("told to refuse") != std::string::npos);
  REQUIRE(status_of(t, "faulty")["state"] == "failed");
  REQUIRE(t.call("echo.say"));
}

TEST_CASE(
    "plugins: one that refuses to start is no origin of calls any more, and the others are told that it has gone") {
  for (const auto isolation : {Isolation::in_line, Isolation::child}) {
    CAPTURE(isolation);
    TestDaemon t([&](Config& c) {
      c.plugins["busy"].settings = {{"refuse_to_start", true}};
      c.plugins["busy"].isolation = isolation;
    });
    REQUIRE((*t.call("faulty.who"))["gone"] == 0);
    REQUIRE(t.call("busy.fail_times_once", {{"key", "k"}}).error().kind == ErrorKind::unavailable);
    eventually("the news", [&] { return (*t.call("faulty.who"))["gone"] == 1; });
  }
}

TEST_CASE("plugins: a disabled one is `disabled` and its methods are `unavailable`") {
  TestDaemon t([](Config& c) { c.plugins["echo"].enabled = false; });
  REQUIRE(status_of(t, "echo")["state"] == "disabled");
  const auto error = t.call("echo.say").error();
  REQUIRE(error.kind == ErrorKind::unavailable);
  REQUIRE(error.message.find("enabled = true") != std::string::npos);
}

TEST_CASE("plugins: a topic that the manifest does not list is refused, and events reach those that subscribe") {
  TestDaemon t;
  REQUIRE((*t.call("faulty.forbidden_event"))["refused"] == true);
  REQUIRE(t.daemon().bus().publish("test.hello", "{}"));
  REQUIRE(t.daemon().bus().publish("other.hello", "{}"));
  eventually("the event", [&] { return (*t.call("faulty.seen_events"))["topics"] == json{"test.hello"}; });
}

TEST_CASE("plugins: a flood of events costs a subscriber its oldest, never the host's memory") {
  TestDaemon t([](Config& c) { c.async.event_bus_buffer_size = 50; });
  auto sub = *t.daemon().bus().subscribe({"faulty.flood"}, [] {});
  REQUIRE((*t.call("faulty.flood_events", {{"events", 5000}}))["published"] == 5000);
  REQUIRE(sub.subscription->dropped() == 4950);
}

TEST_CASE(
    "plugins: an event whose handler fails is delivered again, before those behind it, and delays no other plugin",
    "[clock]") {
  TestDaemon t;
  for (const char* plugin : {"faulty", "busy"}) {
    CAPTURE(plugin);
    REQUIRE(t.call(std::string(plugin) + ".attempts", {{"key", ""}}));
  }
  REQUIRE(t.daemon().bus().publish("to_faulty.a", R"({"failures":2})"));
  REQUIRE(t.daemon().bus().publish("to_faulty.b", "{}"));
  REQUIRE(t.daemon().bus().publish("to_busy.c", "{}"));
  eventually("the other's", [&] { return (*t.call("busy.seen_events"))["topics"] == json{"to_busy.c"}; });
  for (int i = 0; i < 2; ++i) t.advance_to_next(std::chrono::seconds(1));
  eventually("its own",
             [&] { return (*t.call("faulty.seen_events"))["topics"] == json{"to_faulty.a", "to_faulty.b"}; });
  REQUIRE((*t.call("events.dead"))["items"].empty());
}

TEST_CASE(
    "plugins: an event that a handler never takes becomes a dead letter, logged and counted, and the next one comes",
    "[clock]") {
  TestDaemon t;
  REQUIRE(t.call("faulty.attempts", {{"key", ""}}));
  REQUIRE(t.daemon().bus().publish("to_faulty.a", R"({"failures":100})"));
  REQUIRE(t.daemon().bus().publish("to_faulty.b", R"({"failures":100})"));
  for (int i = 0; i < 4; ++i) t.advance_to_next(std::chrono::seconds(1));
  eventually("the letters", [&] { return (*t.call("events.dead"))["total"] == 2; });
  const auto dead = *t.call("events.dead");
  const auto& letter = dead["items"][0];
  REQUIRE(letter["topic"] == "to_faulty.a");
  REQUIRE(letter["seq"].get<std::uint64_t>() > 0);
  REQUIRE(letter["subscriber"] == "plugin faulty");
  REQUIRE(letter["attempts"] == 3);
  REQUIRE(letter["payload"] == R"({"failures":100})");
  REQUIRE((*t.call("host.metrics"))["events"]["dead"] == 2);
  const auto log = t.log_text();
  REQUIRE(log.find("on to_faulty.a is a dead letter: plugin faulty failed 3 times") != std::string::npos);
}

namespace {
/// Two plugins that block where they are told to, of which one may process events at a time.
struct OneAtATime {
  TempDir files;
  TestDaemon t{[](Config& c) { c.async.event_processing_concurrency = 1; }};
  OneAtATime() {
    for (const char* plugin : {"faulty", "busy"}) {
      CAPTURE(plugin);
      REQUIRE(t.call(std::string(plugin) + ".attempts", {{"key", ""}}));
    }
  }
  ~OneAtATime() {
    for (const char* name : {"one", "two"}) release(name);
  }
  [[nodiscard]] json until(const std::string& name) const { return {{"file", (files.path() / name).string()}}; }
  void release(const std::string& name) const { std::ofstream(files.path() / name) << ""; }
  void publish(const std::string& topic, const json& payload) {
    REQUIRE(t.daemon().bus().publish(topic, payload.dump()));
  }
  void wait_until_blocked(const std::string& plugin, const std::string& name) {
    eventually("the block", [&] {
      return t.log_text().find(plugin + ": blocks until " + (files.path() / name).string()) != std::string::npos;
    });
  }
  [[nodiscard]] json seen(const std::string& plugin) { return (*t.call(plugin + ".seen_events"))["topics"]; }
};
}  // namespace

TEST_CASE("plugins: no more than event_processing_concurrency of them process events at once") {
  OneAtATime o;
  o.publish("to_busy.a", o.until("one"));
  o.wait_until_blocked("busy", "one");
  o.publish("to_faulty.a", json::object());
  REQUIRE(o.seen("faulty").empty());  // it is free, and was asked after its event was there
  o.release("one");
  eventually("both", [&] { return o.seen("faulty").size() == 1 && o.seen("busy").size() == 1; });
}

TEST_CASE("plugins: one that is busy with a call does not keep the others from processing events") {
  OneAtATime o;
  o.publish("to_busy.a", o.until("one"));
  o.wait_until_blocked("busy", "one");
  o.publish("to_faulty.a", json::object());
  REQUIRE(o.seen("faulty").empty());  // it waits for busy
  const auto call = o.t.begin("faulty.blocks", o.until("two"));
  o.wait_until_blocked("faulty", "two");
  o.release("one");
  eventually("the end of its turn", [&] { return o.seen("busy").size() == 1; });  // now it is faulty's, who has no time
  o.publish("to_busy.b", json::object());
  eventually("the event of the other", [&] { return o.seen("busy").size() == 2; });
  o.release("two");
  REQUIRE(call.recorder->wait());
  eventually("its own", [&] { return o.seen("faulty").size() == 1; });
}

TEST_CASE("plugins: one that asks for it is started with the host, the others are not") {
  TestDaemon t;
  eventually("its start", [&] { return status_of(t, "plain")["state"] == "ready"; });
  REQUIRE(status_of(t, "echo")["state"] == "known");
}

TEST_CASE("plugins: one in plain C works as any other, and a delivery that it refuses is answered `internal`") {
  TestDaemon t;
  REQUIRE((*t.call("plain.echo", {{"a", 1}}))["a"] == 1);
  REQUIRE(t.call("plain.refuse").error().kind == ErrorKind::internal);
}

TEST_CASE("plugins: posted tasks and timers are bounded", "[clock]") {
  TestDaemon t;
  REQUIRE((*t.call("plain.posts"))["taken"] == InlinePlugin::kMaxPosts);
  REQUIRE((*t.call("plain.timers"))["taken"] == InlinePlugin::kMaxTimers);
  REQUIRE((*t.call("plain.timers"))["taken"] == 0);
  t.timers.advance(std::chrono::hours(1));
  REQUIRE((*t.call("plain.timers"))["taken"] == InlinePlugin::kMaxTimers);
}

TEST_CASE("plugins: a call that is cancelled in the mailbox never reaches the plugin") {
  TestDaemon t;
  auto busy = t.begin("faulty.blocks");
  wait_for_log(t, "blocks until");
  auto next = t.begin("faulty.fail_times_once", {{"key", "w"}, {"times", 0}});
  next.call->cancel();
  REQUIRE(next.recorder->wait().error().kind == ErrorKind::cancelled);
  busy.call->cancel();  // its process hears of this after the other cancel
  REQUIRE(busy.recorder->wait().error().kind == ErrorKind::cancelled);
  REQUIRE((*t.call("faulty.attempts", {{"key", "w"}}))["attempts"] == 0);
}

TEST_CASE("plugins: one learns of a workspace that was opened while it started") {
  TempDir files;
  TempDir workspace;
  const auto file = files.path() / "go";
  TestDaemon t([&](Config& c) { c.plugins["faulty"].settings = {{"start_file", file.string()}}; });
  auto first = t.begin("faulty.workspaces");
  wait_for_log(t, "blocks until");
  const auto opened = t.daemon().open_workspace(workspace.path().string());
  REQUIRE(opened);
  std::ofstream(file) << "";
  REQUIRE(first.recorder->wait());
  eventually("the workspace", [&] { return *t.call("faulty.workspaces") == json{*opened}; });
}

TEST_CASE("plugins: a build that comes between the reading of a manifest and of its library is read as a whole") {
  const TempDir dir;
  const auto library = dir.path() / "a.so";
  const auto build = [&](int number) {
    std::ifstream in(gantry::folders::build() + "/tests/plugins/echo.json");
    auto manifest = json::parse(in);
    manifest["version"] = std::to_string(number) + ".0.0";
    std::ofstream(manifest_path(library)) << manifest.dump();
    std::ofstream(library) << number;
  };
  std::string taken;
  int builds = 1;
  int times = 0;
  const auto read = [&] {
    build(1);
    return read_manifest_with(library, [&]() -> Result<void> {
      if (++times <= builds) build(1 + times);
      std::ifstream(library) >> taken;
      return {};
    });
  };
  const auto manifest = read();
  REQUIRE(manifest);
  REQUIRE(manifest->version == "2.0.0");
  REQUIRE(taken == "2");
  builds = 1000;
  REQUIRE(read().error().kind == ErrorKind::conflict);
}
