// SPDX-License-Identifier: Apache-2.0
//
// What lies between two threads: each case repeats a meeting many times, at moments that a printed seed decides.
#include <sys/socket.h>

#include <random>

#include <gantry/detail/spin.hpp>

#include "host/plugins/plugin_call.hpp"
#include "tests/unit/support/host.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

/// GANTRY_SEED=N repeats a run as far as the threads allow it.
class Moments {
 public:
  Moments() : seed_(seed()), random_(seed_) { UNSCOPED_INFO("GANTRY_SEED=" << seed_); }
  /// Lets some time pass, or none.
  void some_time() {
    const auto turns = std::uniform_int_distribution<int>(0, 2000)(random_);
    for (int i = 0; i < turns; ++i) nothing_ = i;
  }

 private:
  static std::uint64_t seed() {
    const char* given = std::getenv("GANTRY_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
  }
  std::uint64_t seed_;
  std::mt19937_64 random_;
  volatile int nothing_ = 0;
};

json service(TestDaemon& t, const std::string& name) {
  const auto services = t.call("host.services");
  for (const auto& s : *services) {
    if (s["name"] == name) return s;
  }
  return {};
}

std::uint64_t open_calls(TestDaemon& t, const std::string& name) {
  const auto plugins = t.call("host.plugins");
  for (const auto& p : *plugins) {
    if (p["name"] == name) return p["open_calls"];
  }
  return 0;
}

}  // namespace

TEST_CASE("race: a call that is cancelled at any moment is answered once, and nothing of it is left") {
  Moments moments;
  TestDaemon t([](Config& c) { c.host.max_calls_per_service = 4; });
  std::vector<TestDaemon::Begun> calls;
  for (int i = 0; i < 500; ++i) {
    calls.push_back(t.begin("faulty.never"));
    std::thread canceller([call = calls.back().call] { call->cancel(); });
    moments.some_time();
    if (calls.size() % 3 == 0) calls.back().call->cancel();
    canceller.join();
  }
  for (const auto& call : calls) {
    CAPTURE(&call - calls.data());
    REQUIRE(call.recorder->wait().error().kind == ErrorKind::cancelled);
  }
  REQUIRE(t.call("faulty.release"));
  eventually("an empty plugin", [&] { return open_calls(t, "faulty") == 0; });
  eventually("the permits", [&] { return service(t, "faulty")["permits"]["in_use"] == 0; });
  for (const auto& call : calls) {
    CAPTURE(&call - calls.data());
    REQUIRE(call.recorder->answers() == 1);
  }
}

TEST_CASE("race: credit that comes at any moment of a stream's beginning counts") {
  Moments moments;
  TestDaemon t;
  for (int i = 0; i < 300; ++i) {
    constexpr int kItems = 20;
    auto stream = t.begin("faulty.flood", {{"items", kItems}}, 1);
    std::thread giver([call = stream.call] {
      for (int n = 1; n < kItems / 2; ++n) call->give_credit(1);
    });
    moments.some_time();
    for (int n = kItems / 2; n < kItems; ++n) stream.call->give_credit(1);
    giver.join();
    REQUIRE((*stream.recorder->wait())["sent"] == kItems);
    REQUIRE(stream.recorder->items().size() == kItems);
  }
}

TEST_CASE("race: an end that is sent at any moment of a stream's beginning arrives") {
  Moments moments;
  TestDaemon t;
  for (int i = 0; i < 300; ++i) {
    auto stream = t.begin("faulty.echo_stream", {{"grant", 4}}, 10);
    moments.some_time();
    std::thread ender([call = stream.call] { call->send_end(); });
    ender.join();
    REQUIRE((*stream.recorder->wait())["seen"] == 0);
  }
}

TEST_CASE("race: an end that is sent while another thread hands the call to the plugin follows the call") {
  Moments moments;
  TestDaemon t;
  REQUIRE(t.call("faulty.attempts"));
  const auto plugin = t.daemon().services().instance("faulty")->peek();
  for (int i = 0; i < 5000; ++i) {
    const auto recorder = std::make_shared<Recorder>();
    CallRequest request;
    request.method = "faulty.echo_stream";
    request.stream_credit = 1;
    const PluginCallPtr call(new WithSink<PluginCall>(std::move(request), recorder));
    std::atomic<int> ready{0};
    const auto meet = [&] {
      ++ready;
      while (ready != 2) gantry::detail::cpu_pause();
    };
    std::thread beginner([&] {
      meet();
      if (!plugin->open(call)) std::abort();
    });
    meet();
    moments.some_time();
    call->send_end();
    beginner.join();
    REQUIRE((*recorder->wait())["seen"] == 0);
  }
}

TEST_CASE("race: a client that half-closes at once gets its answer and then the end") {
  TestDaemon t;
  for (int i = 0; i < 300; ++i) {
    auto client = t.connect();
    REQUIRE(client.send(R"({"jsonrpc":"2.0","id":1,"method":"echo.say","params":{"a":1}})"));
    ::shutdown(client.fd(), SHUT_WR);
    const auto answer = client.receive(std::chrono::seconds(20));
    REQUIRE(answer);
    REQUIRE((*answer)["result"]["a"] == 1);
    REQUIRE(client.receive(std::chrono::seconds(20)).error().kind == ErrorKind::unavailable);
  }
}

TEST_CASE("race: a subscriber that falls behind by more than an outbox gets every event once it reads") {
  TestDaemon t([](Config& c) { c.async.event_bus_buffer_size = 3000; });
  auto client = t.connect();
  REQUIRE(client.call("events.subscribe", {{"topics", {"mine.**"}}}, std::chrono::seconds(20)));
  const std::string filler(1000, 'x');
  constexpr int kEvents = 2000;  // two megabytes: more than the socket and the outbox take before they say stop
  std::thread publisher([&] {
    for (int i = 0; i < kEvents; ++i)
      (void)t.daemon().bus().publish("mine.event", json{{"n", i}, {"filler", filler}}.dump());
  });
  for (int i = 0; i < kEvents; ++i) {
    const auto event = client.receive(std::chrono::seconds(20));
    REQUIRE(event);
    REQUIRE((*event)["params"]["payload"]["n"] == i);
    if (i == 0) publisher.join();  // nothing was read while they came
  }
  if (publisher.joinable()) publisher.join();
}

TEST_CASE("pool: a job that does not end keeps stop() no longer than it was told") {
  std::latch begun(1);
  std::latch go(1);
  WorkerPool pool(2, 10, [](std::string_view) {});
  REQUIRE(pool.spawn([&] {
    begun.count_down();
    go.wait();
  }));
  begun.wait();
  REQUIRE(!pool.stop(std::chrono::steady_clock::now() + std::chrono::milliseconds(1)));
  REQUIRE(pool.spawn([] {}).error().kind == ErrorKind::unavailable);
  go.count_down();
  REQUIRE(pool.stop());
}

TEST_CASE("pool: a job that throws is told, and the next one runs") {
  std::atomic<int> told{0};
  std::atomic<bool> ran{false};
  WorkerPool pool(1, 10, [&](std::string_view what) { told += what == "boom" ? 1 : 0; });
  REQUIRE(pool.spawn([] { throw std::runtime_error("boom"); }));
  REQUIRE(pool.spawn([&] { ran = true; }));
  REQUIRE(spawn_blocking(pool, [] {})->recv());  // the one thread has done what came before
  REQUIRE(told == 1);
  REQUIRE(ran);
}
