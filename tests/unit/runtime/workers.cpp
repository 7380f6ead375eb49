// SPDX-License-Identifier: Apache-2.0
//
// Workers: where deliveries run, what happens to plugins that keep a worker, and the queue between the two.
#include <unistd.h>

#include <atomic>
#include <random>
#include <set>

#include "host/plugins/inline/serial_queue.hpp"
#include "tests/unit/support/rpc_client.hpp"
#include "tests/unit/support/threads.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

constexpr auto kTimeout = std::chrono::seconds(10);

/// The thread of a worker, as the system numbers it.
[[nodiscard]] std::int64_t thread_of(Worker& worker) {
  auto [reply, answer] = oneshot::channel<std::int64_t>();
  auto shared = std::make_shared<oneshot::Sender<std::int64_t>>(std::move(reply));
  worker.post([shared] { (void)shared->send(::gettid()); });
  return *answer.recv_for(kTimeout);
}

[[nodiscard]] std::int64_t delivered_on(Client& client) {
  const auto answer = client.call("hasty.thread", json::object(), kTimeout);
  REQUIRE(answer);
  return (*answer)["id"];
}

[[nodiscard]] json plugin_entry(TestDaemon& t, const std::string& name) {
  for (auto& entry : *t.call("host.plugins")) {
    if (entry["name"] == name) return entry;
  }
  return nullptr;
}

/// Has a delivery to hasty begin that returns when `file` is there, and waits until it has begun.
[[nodiscard]] TestDaemon::Begun begin_blocking(TestDaemon& t, const std::filesystem::path& file) {
  auto begun = t.begin("hasty.blocks", {{"file", file.string()}});
  wait_for_log(t, "blocks until " + file.string());
  return begun;
}

void touch(const std::filesystem::path& file) { std::ofstream(file) << "now"; }

}  // namespace

TEST_CASE("workers: there is one for each core that the host may use, unless the configuration says how many") {
  const auto cores = std::max(1U, std::thread::hardware_concurrency());
  cpu_set_t set;
  CPU_ZERO(&set);
  REQUIRE(::sched_getaffinity(0, sizeof set, &set) == 0);
  REQUIRE(CPU_COUNT(&set) <= static_cast<int>(cores));
  REQUIRE(Workers().size() == static_cast<std::size_t>(CPU_COUNT(&set)));
  TestDaemon t([](Config& c) { c.host.workers = 3; });
  REQUIRE(t.daemon().workers().size() == 3);
  REQUIRE((*t.call("host.metrics"))["workers"].size() == 3);
}

TEST_CASE("workers: a nonblocking plugin is delivered to on the worker of the connection that calls") {
  TestDaemon t([](Config& c) { c.host.workers = 2; });
  auto first = t.connect();
  REQUIRE(first.call("host.status", json::object(), kTimeout));  // it has its place before the second comes
  auto second = t.connect();
  REQUIRE(plugin_entry(t, "hasty")["runs_on"].get<std::string>().empty());
  const auto a = thread_of(t.daemon().workers().at(0));
  const auto b = thread_of(t.daemon().workers().at(1));
  REQUIRE(a != b);
  (void)delivered_on(first);  // starts it
  for (int i = 0; i < 3; ++i) {
    REQUIRE(delivered_on(first) == a);
    REQUIRE(delivered_on(second) == b);
  }
  REQUIRE(plugin_entry(t, "hasty")["runs_on"] == "workers");
  REQUIRE(t.call("faulty.thread"));
  REQUIRE(plugin_entry(t, "faulty")["runs_on"] == "own thread");
}

TEST_CASE("workers: what is answered on one worker to another's connection leaves, in order") {
  TestDaemon t([](Config& c) { c.host.workers = 2; });
  auto first = t.connect();
  REQUIRE(first.call("hasty.thread", json::object(), kTimeout));  // it has its place before the second comes
  Raw second(t.socket());
  constexpr int kCalls = 10;
  std::string calls;
  for (int i = 0; i < kCalls; ++i) calls += request(std::to_string(i), "hasty.slow").dump() + "\n";
  REQUIRE(second.send(calls + request("behind", "hasty.thread").dump() + "\n"));
  REQUIRE(second.receive()["result"]["id"] == thread_of(t.daemon().workers().at(1)));
  REQUIRE(first.call("hasty.release", json::object(), kTimeout));
  for (int i = 0; i < kCalls; ++i) {
    CAPTURE(i);
    REQUIRE(second.receive()["id"] == std::to_string(i));
  }
  REQUIRE(plugin_entry(t, "hasty")["runs_on"] == "workers");
}

TEST_CASE("workers: a nonblocking plugin whose delivery took more than 5 ms has a thread of its own from then on") {
  TestDaemon t([](Config& c) { c.host.workers = 1; });
  REQUIRE(t.call("hasty.thread"));
  const auto worker = thread_of(t.daemon().workers().first());
  auto blocked = begin_blocking(t, t.dir() / "five");
  t.timers.advance(std::chrono::milliseconds(5));
  touch(t.dir() / "five");
  REQUIRE(blocked.recorder->wait());
  // That was just within the limit, unless the worker was given up first by who watches in real time.
  if ((*t.call("host.metrics"))["workers"][0]["taken_over"] == 0)
    REQUIRE(plugin_entry(t, "hasty")["runs_on"] == "workers");
  blocked = begin_blocking(t, t.dir() / "six");
  t.timers.advance(std::chrono::milliseconds(6));
  touch(t.dir() / "six");
  REQUIRE(blocked.recorder->wait());
  eventually("the move", [&] { return plugin_entry(t, "hasty")["runs_on"] == "own thread"; });
  REQUIRE((*t.call("hasty.thread"))["id"] != worker);
  REQUIRE(t.log_text().find("it says `nonblocking`, and gets a thread of its own") != std::string::npos);
}

TEST_CASE("workers: a worker whose delivery does not return is taken over, and nothing of its connections is lost") {
  TestDaemon t([](Config& c) { c.host.workers = 1; });
  REQUIRE(t.call("hasty.thread"));
  const auto before = thread_of(t.daemon().workers().first());
  const auto file = t.dir() / "go";
  Raw client(t.socket());
  // One write: what follows the delivery that blocks waits on the same worker.
  REQUIRE(client.send(request("blocks", "hasty.blocks", {{"file", file.string()}}).dump() + "\n" +
                      request("status", "host.status").dump() + "\n" + request("behind", "hasty.thread").dump() +
                      "\n"));
  REQUIRE(client.receive()["id"] == "status");
  auto other = t.connect();
  REQUIRE(other.call("host.status", json::object(), kTimeout));
  eventually("the take-over", [&] { return (*t.call("host.metrics"))["workers"][0]["taken_over"] == 1; });
  REQUIRE(thread_of(t.daemon().workers().first()) != before);
  REQUIRE(plugin_entry(t, "hasty")["runs_on"] == "own thread");
  touch(file);
  REQUIRE(client.receive()["id"] == "blocks");
  const auto behind = client.receive();
  REQUIRE(behind["id"] == "behind");
  REQUIRE(behind["result"]["id"] == before);  // the thread that it held is its own now
  REQUIRE(t.log_text().find("a delivery does not return, and its worker was taken over") != std::string::npos);
}

TEST_CASE("workers: a delivery that never returns does not keep the host from stopping, which says so") {
  TempDir keep;
  {
    TestDaemon t([](Config& c) {
      c.host.workers = 1;
      c.host.stop_budget_seconds = 1;
    });
    const auto hung = t.begin("hasty.hangs");
    eventually("the take-over", [&] { return (*t.call("host.metrics"))["workers"][0]["taken_over"] == 1; });
    t.daemon().request_stop("the test");
    REQUIRE(hung.recorder->wait().error().kind == ErrorKind::cancelled);
    wait_for_log(t, "something did not end in time");
    REQUIRE_FALSE(t.daemon().clean());
  }
}

TEST_CASE("workers: a borrowed queue runs its tasks one at a time and in each sender's order, also while it moves") {
  const auto seed = static_cast<unsigned>(core_test::seed());
  INFO("GANTRY_SEED=" << seed);
  constexpr int kSenders = 4;
  constexpr int kEach = 2000;
  for (int round = 0; round < core_test::rounds(10); ++round) {
    Workers workers(2);
    ManualTimers clock;
    std::thread running([&] { (void)workers.run([](std::string_view) {}); });
    std::atomic<int> moves{0};
    auto queue = SerialQueue::borrowed([](std::string_view) {}, {workers, clock, [&](const std::string&) { ++moves; }});
    std::vector<int> next(kSenders, 0);  // plain: serial
    std::atomic<bool> inside{false};
    std::atomic<int> wrong{0};
    const int slow = round % 2 == 0 ? -1 : static_cast<int>((seed + static_cast<unsigned>(round)) % kEach);
    queue->release();
    std::vector<std::thread> senders;
    for (int s = 0; s < kSenders; ++s) {
      senders.emplace_back([&, s] {
        std::mt19937 random(seed + static_cast<unsigned>(s));
        for (int i = 0; i < kEach; ++i) {
          const auto task = [&, s, i] {
            if (inside.exchange(true)) ++wrong;
            if (next[static_cast<std::size_t>(s)]++ != i) ++wrong;
            if (s == 0 && i == slow) clock.advance(std::chrono::milliseconds(6));
            inside = false;
          };
          const auto where = random() % 3;  // from this thread, or from either worker, in order
          if (where == 2) {
            if (!queue->push(task)) ++wrong;
            continue;
          }
          std::atomic<bool> pushed{false};
          workers.at(where).post([&] {
            if (!queue->push(task)) ++wrong;
            pushed = true;
            pushed.notify_one();
          });
          pushed.wait(false);
        }
      });
    }
    for (auto& sender : senders) sender.join();
    queue->close();
    REQUIRE_FALSE(queue->push([] {}));
    REQUIRE(queue->join(std::chrono::steady_clock::now() + std::chrono::seconds(20)));
    REQUIRE(wrong == 0);
    REQUIRE(next == std::vector<int>(kSenders, kEach));
    REQUIRE(moves == (slow < 0 ? 0 : 1));
    REQUIRE(queue->where() == (slow < 0 ? SerialQueue::Where::worker : SerialQueue::Where::own_thread));
    workers.stop();
    running.join();
  }
}

TEST_CASE("workers: a queue that is full refuses, and what it took before runs") {
  auto queue = SerialQueue::with_thread([](std::string_view) {}).value();
  std::size_t ran = 0;
  for (std::size_t i = 0; i < SerialQueue::kMaxTasks; ++i) REQUIRE(queue->push([&] { ++ran; }));
  REQUIRE_FALSE(queue->push([&] { ++ran; }));
  queue->release();
  queue->close();
  REQUIRE(queue->join(std::chrono::steady_clock::now() + std::chrono::seconds(20)));
  REQUIRE(ran == SerialQueue::kMaxTasks);
}

TEST_CASE("workers: one is woken once for however much is posted to it, and runs it in order") {
  Workers workers(1);
  std::thread running([&] { (void)workers.run([](std::string_view) {}); });
  std::latch inside(1);
  std::latch go(1);
  workers.first().post([&] {
    inside.count_down();
    go.wait();
  });
  inside.wait();
  const auto before = workers.counts()[0].sleeps;
  constexpr int kTasks = 10'000;
  std::vector<int> order;
  std::latch done(kTasks);
  for (int i = 0; i < kTasks; ++i) {
    workers.first().post([&, i] {
      order.push_back(i);
      done.count_down();
    });
  }
  go.count_down();
  done.wait();
  const auto sleeps = workers.counts()[0].sleeps - before;
  workers.stop();
  running.join();
  REQUIRE(order.size() == kTasks);
  REQUIRE(std::is_sorted(order.begin(), order.end()));
  REQUIRE(sleeps <= 2);
}

TEST_CASE("workers: the polling window opens after short sleeps, is bounded, and shuts after long ones") {
  PollWindow window;
  REQUIRE(window.length() == Duration::zero());
  window.slept(std::chrono::milliseconds(5));
  REQUIRE(window.length() == Duration::zero());
  window.slept(PollWindow::kMost);
  REQUIRE(window.length() == PollWindow::kFirst);
  for (int i = 0; i < 20; ++i) window.slept(std::chrono::microseconds(1));
  REQUIRE(window.length() == PollWindow::kMost);
  for (int i = 0; i < 20; ++i) window.slept(std::chrono::milliseconds(5));
  REQUIRE(window.length() == Duration::zero());
}

TEST_CASE("workers: a machine is on its battery when that discharges and nothing else feeds it") {
  TempDir dir;
  const auto supply = [&](const std::string& name, const std::string& file, const std::string& text) {
    std::filesystem::create_directories(dir.path() / name);
    std::ofstream(dir.path() / name / file) << text << "\n";
  };
  REQUIRE_FALSE(on_battery(dir.path() / "none"));
  REQUIRE_FALSE(on_battery(dir.path()));
  supply("mouse", "type", "Battery");
  supply("mouse", "scope", "Device");
  supply("mouse", "status", "Discharging");
  REQUIRE_FALSE(on_battery(dir.path()));
  supply("BAT0", "type", "Battery");
  supply("BAT0", "status", "Discharging");
  REQUIRE(on_battery(dir.path()));
  supply("AC", "type", "Mains");
  supply("AC", "online", "1");
  REQUIRE_FALSE(on_battery(dir.path()));
  supply("AC", "online", "0");
  REQUIRE(on_battery(dir.path()));
  supply("BAT0", "status", "Full");
  REQUIRE_FALSE(on_battery(dir.path()));
}

TEST_CASE(
    "workers: polling is off when the configuration says so, may be switched while the host runs, and is counted") {
  TestDaemon t([](Config& c) { c.host.polling = Polling::off; });
  REQUIRE((*t.call("host.metrics"))["polling"] == false);
  auto client = t.connect();
  for (int i = 0; i < 100; ++i) REQUIRE(client.call("host.status", json::object(), kTimeout));
  for (const auto& worker : (*t.call("host.metrics"))["workers"]) {
    CAPTURE(worker);
    REQUIRE(worker["polls"] == 0);
  }
  t.daemon().workers().set_polling(true, true);
  REQUIRE((*t.call("host.metrics"))["polling"] == (Workers().size() > 1));
  REQUIRE(client.call("host.status", json::object(), kTimeout));
}

TEST_CASE("workers: one that polls finds work that comes in quick succession without having slept") {
  Workers workers(1);
  std::thread running([&] { (void)workers.run([](std::string_view) {}); });
  workers.set_polling(true, true);
  if (workers.polling()) {          // not on one core
    for (int i = 0; i < 20; ++i) {  // each change wakes it
      const auto before = workers.counts()[0].sleeps;
      workers.set_polling(false, true);
      workers.set_polling(true, true);
      eventually("another sleep", [&] { return workers.counts()[0].sleeps != before; });
    }
    std::atomic<std::uint64_t> done{0};
    std::uint64_t posted = 0;
    core_test::Random random(core_test::seed());
    // Until it looks just when there is something: the pauses must be short.
    for (const auto until = latest(); workers.counts()[0].poll_hits == 0 && std::chrono::steady_clock::now() < until;) {
      workers.first().post([&] { ++done; });
      ++posted;
      random.dawdle();
    }
    eventually("the rest", [&] { return done == posted; });
    const auto counts = workers.counts()[0];
    REQUIRE(counts.sleeps != 0);
    REQUIRE(counts.poll_hits != 0);
    REQUIRE(counts.polls >= counts.poll_hits);
    REQUIRE(counts.polled > Duration::zero());
  }
  workers.stop();
  running.join();
}
