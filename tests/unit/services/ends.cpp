// SPDX-License-Identifier: Apache-2.0
//
// What is left when an instance of a plugin ends, and who has its place then.
#include <sys/wait.h>

#include "host/plugins/bus_port.hpp"
#include "host/plugins/crash_mark.hpp"
#include "host/plugins/inline/inline_plugin.hpp"
#include "tests/unit/support/plugin_set.hpp"
#include "tests/unit/support/rpc_client.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

constexpr std::array kIsolations{Isolation::in_line, Isolation::child};

[[nodiscard]] std::size_t count_of(const std::string& text, const std::string& what) {
  std::size_t times = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++times;
  return times;
}

}  // namespace

TEST_CASE("ends: a plugin that was unsubscribed before it had subscribed has no subscription") {
  const TempDir dir;
  const auto log = log_in(dir.path() / "log");
  EventBus bus{"epoch", 100};
  BusPort port(
      LogOwner{"p"}, bus, *log, [](OriginId) { return std::nullopt; }, PermitQueue::make(4, 4),
      BusPort::Caller{0, nullptr, [](OriginId) {}});
  port.unsubscribe();
  port.subscribe({"a.**"}, [] {});
  REQUIRE(bus.counts().subscriptions == 0);
}

TEST_CASE("plugins: no more process events at once than there are permits, and who waits is told to ask again") {
  const TempDir dir;
  const auto log = log_in(dir.path() / "log");
  EventBus bus{"epoch", 100};
  const auto permits = PermitQueue::make(1, 1);
  const auto port = [&](const std::string& name) {
    return std::make_unique<BusPort>(
        LogOwner{name}, bus, *log, [](OriginId) { return std::nullopt; }, permits,
        BusPort::Caller{0, nullptr, [](OriginId) {}});
  };
  auto first = port("first");
  const auto second = port("second");
  const auto third = port("third");
  int told = 0;
  REQUIRE(first->begin_events([] {}) == PluginPort::Go::now);
  REQUIRE(second->begin_events([&] { ++told; }) == PluginPort::Go::later);
  REQUIRE(third->begin_events([] {}) == PluginPort::Go::no);
  REQUIRE(told == 0);
  first->end_events();
  REQUIRE(told == 1);
  REQUIRE(permits->counts().in_use == 0);  // to be told so is no permit
  REQUIRE(second->begin_events([] {}) == PluginPort::Go::now);
  second->end_events();
  second->end_events();  // of which it has none
  REQUIRE(permits->counts().in_use == 0);

  permits->set_limit(2);
  REQUIRE(first->begin_events([] {}) == PluginPort::Go::now);
  REQUIRE(first->begin_events([] {}) == PluginPort::Go::now);  // which only a process that lies does
  REQUIRE(permits->counts().in_use == 1);
  first.reset();
  REQUIRE(permits->counts().in_use == 0);
}

TEST_CASE("ends: an event handler that hangs does not keep its permit") {
  TestDaemon t([](Config& c) {
    c.supervisor.hung_seconds = 60;
    c.async.event_processing_concurrency = 1;
  });
  REQUIRE(t.call("faulty.attempts", {{"key", ""}}));
  REQUIRE(t.daemon().bus().publish("to_faulty.a", json{{"file", (t.dir() / "go").string()}}.dump()));
  wait_for_log(t, "blocks until");
  const auto in_use = [&] { return (*t.call("host.metrics"))["event_processing"]["in_use"].get<int>(); };
  REQUIRE(in_use() == 1);
  for (int i = 0; i < 5; ++i) t.timers.advance(std::chrono::seconds(15));
  REQUIRE(in_use() == 0);
  std::ofstream(t.dir() / "go") << "go";
  eventually("the dead letter", [&] { return !t.daemon().bus().dead_letters().empty(); });
}

TEST_CASE("ends: a plugin whose destructor waits for its threads is not held by what they wait for") {
  for (const auto isolation : kIsolations) {
    CAPTURE(isolation);
    PluginSet t({"clingy"}, isolation);
    REQUIRE(t.call("clingy.asks_on"));
    const auto stream = t.test().begin("clingy.sends_on", json::object(), 1);
    stream.recorder->wait_for_items(1);
    REQUIRE(t.call("plugin.restart", {{"name", "clingy"}}));
    REQUIRE(stream.recorder->wait().error().kind == ErrorKind::plugin_died);
    REQUIRE(t.entry("clingy")["state"] == "ready");
    REQUIRE(t.entry("clingy")["evidence"].is_null());
  }
}

TEST_CASE("ends: calls that hold each other go with their plugin") {
  for (const auto isolation : kIsolations) {
    CAPTURE(isolation);
    PluginSet t({"clingy"}, isolation);
    std::vector<TestDaemon::Begun> calls;
    for (int i = 0; i < 10; ++i) calls.push_back(t.begin("clingy.pairs"));
    eventually("the calls", [&] { return t.entry("clingy")["open_calls"] == 10; });
    REQUIRE(t.call("plugin.restart", {{"name", "clingy"}}));
    for (const auto& call : calls) {
      CAPTURE(&call - calls.data());
      REQUIRE(call.recorder->wait().error().kind == ErrorKind::plugin_died);
    }
  }
}

TEST_CASE("ends: what a plugin has called in a start that failed is cancelled") {
  for (const auto isolation : kIsolations) {
    CAPTURE(isolation);
    PluginSet t({"clingy"}, isolation,
                [](Config& c) { c.plugins["clingy"].settings = {{"calls", "faulty.never"}, {"refuses", true}}; });
    REQUIRE(t.call("faulty.attempts", {{"key", ""}}));
    REQUIRE_FALSE(t.call("clingy.asks_on"));
    // Or before it was told of the call at all.
    eventually("the cancellation",
               [&] { return t.call("faulty.cancelled")->at("count") == 1 || t.entry("faulty")["open_calls"] == 0; });
  }
}

TEST_CASE("ends: a client that leaves while a plugin starts is told to it afterwards") {
  for (const auto isolation : kIsolations) {
    CAPTURE(isolation);
    const TempDir dir;
    const auto file = dir.path() / "go";
    std::ofstream(file) << "go";
    TestDaemon t([&](Config& c) {
      c.plugins["faulty"].isolation = isolation;
      c.plugins["faulty"].settings = {{"start_file", file.string()}};
      c.plugins["faulty"].grants = std::vector<std::string>{"read:" + dir.path().string()};
    });
    REQUIRE((*t.call("faulty.who"))["gone"] == 0);
    std::filesystem::remove(file);
    const auto times = [&] { return count_of(t.log_text(), "blocks until"); };
    REQUIRE(times() == 1);
    const auto restarted = t.begin("plugin.restart", {{"name", "faulty"}});
    eventually("the next start", [&] { return times() == 2; });
    {
      Raw client(t.socket());
      client.line(request(1, "host.status"));
      REQUIRE(client.answer()["result"]["connections"] == 1);
    }
    eventually("its end", [&] { return (*t.call("host.status"))["connections"] == 0; });
    std::ofstream(file) << "go";
    REQUIRE(restarted.recorder->wait());
    REQUIRE((*t.call("faulty.who"))["gone"] == 2);  // the client, and the instance before
  }
}

TEST_CASE("ends: an event that failed waits for its time though another one comes meanwhile") {
  TestDaemon t;
  REQUIRE(t.call("faulty.attempts", {{"key", ""}}));
  const auto failures = [&] { return count_of(t.log_text(), "not to its liking"); };
  const auto file = t.dir() / "go";
  REQUIRE(t.daemon().bus().publish("to_faulty.a", json{{"file", file.string()}, {"failures", 1}}.dump()));
  wait_for_log(t, "blocks until");
  REQUIRE(t.daemon().bus().publish("to_faulty.b", "{}"));  // while its handler runs
  std::ofstream(file) << "go";
  eventually("the failure", [&] { return failures() == 1; });
  REQUIRE(t.call("faulty.attempts", {{"key", ""}}));
  REQUIRE(t.call("faulty.seen_events")->at("topics").empty());
  t.advance_to_next(std::chrono::seconds(10));
  eventually("both", [&] { return t.call("faulty.seen_events")->at("topics") == json{"to_faulty.a", "to_faulty.b"}; });
  REQUIRE(failures() == 1);
}

TEST_CASE("ends: a mark of a host that is dead and that nobody has waited for yet counts") {
  const TempDir dir;
  const pid_t dead = ::fork();
  if (dead == 0) ::_exit(0);
  eventually("its end", [&] { return state_of(dead) == 'Z'; });
  std::ofstream(dir.path() / "mark") << dead << " 11\n";
  const auto blame = read_crash_mark(dir.path() / "mark");
  REQUIRE(::waitpid(dead, nullptr, 0) == dead);
  REQUIRE(blame);
  REQUIRE(blame->is_evidence());
  REQUIRE(blame->text().find("died of signal 11") != std::string::npos);
}

TEST_CASE("ends: a mark whose process has a number that is another's by now, or this host's own, counts") {
  const TempDir dir;
  const auto file = dir.path() / "mark";
  {
    const StartMark own(file);
    REQUIRE_FALSE(read_crash_mark(file));  // its process still runs
  }
  for (const pid_t reused : {::getpid(), ::getppid()}) {
    CAPTURE(reused);
    std::ofstream(file) << reused << " 11 0 1\n";  // whose process was started at another time
    REQUIRE(read_crash_mark(file));
    std::ofstream(file) << reused << " 11\n";  // of a host that did not write that; neither is called gantry
    REQUIRE(read_crash_mark(file));
  }
}

TEST_CASE(
    "ends: a process that ended during a start is no evidence, two in a row are, and one that was outlived ends the "
    "row") {
  const TempDir dir;
  const auto file = dir.path() / "mark";
  const auto die_in_a_start = [&](const std::optional<CrashMark>& before) {
    const pid_t child = ::fork();
    if (child == 0) {
      const StartMark mark(file, before);
      ::_exit(0);
    }
    REQUIRE(::waitpid(child, nullptr, 0) == child);
    const auto left = read_crash_mark(file);
    REQUIRE(left);
    REQUIRE(left->pid == child);
    return *left;
  };
  const auto first = die_in_a_start(std::nullopt);
  REQUIRE_FALSE(first.is_evidence());
  REQUIRE(die_in_a_start(first).is_evidence());
  {
    const StartMark outlived(file, first);
  }
  REQUIRE_FALSE(read_crash_mark(file));
  REQUIRE_FALSE(die_in_a_start(std::nullopt).is_evidence());
}

TEST_CASE("ends: a fatal signal inside a plugin is evidence, one that another process has sent is none") {
  const TempDir dir;
  const std::string file = dir.path() / "mark";
  const auto dies = [&](bool by_itself) {
    std::array<int, 2> ready{};
    REQUIRE(::pipe(ready.data()) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      for (const int signal : {SIGABRT, SIGSEGV}) (void)::signal(signal, SIG_DFL);  // NOLINT: a sanitizer's, Catch's
      mark_fatal_signals();
      const DeliveryMark mark(file.c_str());
      (void)!::write(ready[1], "x", 1);
      if (by_itself) (void)::raise(SIGSEGV);
      while (true) (void)::pause();
    }
    char byte = 0;
    REQUIRE(::read(ready[0], &byte, 1) == 1);
    if (!by_itself) ::kill(child, SIGSEGV);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    REQUIRE(WTERMSIG(status) == SIGSEGV);
    for (const int fd : ready) ::close(fd);
    return read_crash_mark(file);
  };
  REQUIRE_FALSE(dies(false));
  const auto left = dies(true);
  REQUIRE(left);
  REQUIRE(left->is_evidence());
  REQUIRE(left->text().find("it was being called when") == 0);
}
