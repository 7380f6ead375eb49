// SPDX-License-Identifier: Apache-2.0
//
// One worker without a daemon: what it runs, who watches its turns, and whose the threads are that were lost in one.
#include <unistd.h>

#include <atomic>
#include <functional>
#include <future>
#include <latch>
#include <utility>

#include "host/plugins/inline/serial_queue.hpp"
#include "tests/unit/support/host.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

/// Workers, and who watches them.
struct RunningWorkers {
  explicit RunningWorkers(std::size_t count = 1) : workers(count) {}
  Workers workers;
  std::thread thread{[this] { (void)workers.run([](std::string_view) {}); }};
  RunningWorkers(const RunningWorkers&) = delete;
  RunningWorkers& operator=(const RunningWorkers&) = delete;
  ~RunningWorkers() { end(); }
  void end() {
    workers.stop();
    if (thread.joinable()) thread.join();
  }
  /// Until the worker has lost that many threads.
  void wait_until_taken_over(std::uint64_t times) {
    (void)gantry::test::polled([&] { return workers.counts()[0].taken_over >= times; });
  }
};

}  // namespace

TEST_CASE("workers: an exception in a task is told, and its queue goes on, wherever it runs") {
  RunningWorkers running;
  ManualTimers clock;
  std::atomic<int> told{0};
  const auto on_unhandled_exception = [&](std::string_view what) {
    if (what == "on purpose" || what == "an exception of unknown type") ++told;
  };
  const auto borrowed =
      SerialQueue::borrowed(on_unhandled_exception, {running.workers, clock, [](const std::string&) {}});
  for (const auto& queue : {borrowed, SerialQueue::with_thread(on_unhandled_exception).value()}) {
    told = 0;
    queue->release();
    std::atomic<bool> later{false};
    REQUIRE(queue->push([] { throw std::runtime_error("on purpose"); }));
    REQUIRE(queue->push([] { throw 7; }));
    REQUIRE(queue->push([&] { later = true; }));
    queue->close();
    REQUIRE(queue->join(std::chrono::steady_clock::now() + std::chrono::seconds(20)));
    REQUIRE(later);
    REQUIRE(told == 2);
  }
}

TEST_CASE("workers: what waits behind a task that has not returned in time is dropped, wherever it runs") {
  RunningWorkers running;
  ManualTimers clock;
  const auto borrowed =
      SerialQueue::borrowed([](std::string_view) {}, {running.workers, clock, [](const std::string&) {}});
  for (const auto& queue : {borrowed, SerialQueue::with_thread([](std::string_view) {}).value()}) {
    std::latch inside(1);
    std::latch go(1);
    std::atomic<bool> later{false};
    REQUIRE(queue->push([&] {
      inside.count_down();
      go.wait();
    }));
    REQUIRE(queue->push([&] { later = true; }));
    queue->release();
    inside.wait();
    queue->close();
    const bool in_time = queue->join(std::chrono::steady_clock::now());
    go.count_down();
    REQUIRE_FALSE(in_time);
    REQUIRE(queue->join(gantry::test::latest()));
    REQUIRE_FALSE(later);
  }
}

TEST_CASE("workers: what a worker posts while it goes to rest is run before it sleeps") {
  Workers workers(1);
  std::promise<void> ran;
  bool posted = false;
  workers.first().on_rest([&] {
    if (!std::exchange(posted, true)) workers.first().post([&] { ran.set_value(); });
  });
  std::thread thread([&] { (void)workers.run([](std::string_view) {}); });
  const auto outcome = ran.get_future().wait_for(std::chrono::seconds(20));
  workers.stop();
  thread.join();
  REQUIRE(outcome == std::future_status::ready);
}

// Two workers that fought over the queue for each task would move what the plugin uses from core to core each time.
TEST_CASE("workers: what two workers have brought to a plugin's queue is drained by one of them") {
  RunningWorkers running(2);
  ManualTimers clock;
  auto queue = SerialQueue::borrowed([](std::string_view) {}, {running.workers, clock, [](const std::string&) {}});
  queue->release();
  constexpr int kEach = 200;
  std::vector<const Worker*> ran;  // serial
  std::atomic<bool> brought{false};
  const auto bring = [&] {
    for (int i = 0; i < kEach; ++i) (void)queue->push([&] { ran.push_back(Worker::current()); });
  };
  REQUIRE(queue->push([&] {
    ran.push_back(Worker::current());
    Worker& other = running.workers.at(ran.front() == &running.workers.first() ? 1 : 0);
    other.post([&] {
      bring();
      brought = true;
    });
    bring();
    while (!brought) std::this_thread::yield();
    queue->close();
  }));
  REQUIRE(queue->join(std::chrono::steady_clock::now() + std::chrono::seconds(20)));
  REQUIRE(ran.size() == 2 * kEach + 1);
  REQUIRE(ran.front() != nullptr);
  REQUIRE(std::ranges::all_of(ran, [&](const Worker* worker) { return worker == ran.front(); }));
}

TEST_CASE("workers: a thread that has lost its worker serves its plugin and no worker, also after an exception") {
  RunningWorkers running;
  ManualTimers clock;
  std::atomic<int> told{0};
  auto queue =
      SerialQueue::borrowed([&](std::string_view) { ++told; }, {running.workers, clock, [](const std::string&) {}});
  queue->release();
  std::atomic<std::int64_t> lost{0};
  std::atomic<std::int64_t> later{0};
  std::atomic<const Worker*> on{nullptr};
  REQUIRE(queue->push([&] {
    lost = ::gettid();
    running.wait_until_taken_over(1);
    throw std::runtime_error("on purpose");
  }));
  REQUIRE(queue->push([&] {
    later = ::gettid();
    on = Worker::current();
    throw std::runtime_error("again");
  }));
  queue->close();
  REQUIRE(queue->join(std::chrono::steady_clock::now() + std::chrono::seconds(20)));
  REQUIRE(told == 2);
  REQUIRE(later == lost);
  REQUIRE(on == nullptr);
  std::promise<std::int64_t> now;
  running.workers.first().post([&] { now.set_value(::gettid()); });
  REQUIRE(now.get_future().get() != lost);
}

TEST_CASE("workers: who watches rests while no turn is taken, and is there again for one that does not return") {
  RunningWorkers running;
  ManualTimers clock;
  for (std::uint64_t lost = 0; lost < 2; ++lost) {
    CAPTURE(lost);
    const auto queue =
        SerialQueue::borrowed([](std::string_view) {}, {running.workers, clock, [](const std::string&) {}});
    queue->release();
    eventually("the rest", [&] { return running.workers.watch_rests(); });
    REQUIRE(queue->push([&running, lost] { running.wait_until_taken_over(lost + 1); }));
    queue->close();
    REQUIRE(queue->join(std::chrono::steady_clock::now() + std::chrono::seconds(20)));
  }
}

TEST_CASE("workers: what a task holds is gone before its queue moves to a thread of its own") {
  RunningWorkers running;
  ManualTimers clock;
  std::weak_ptr<int> held;
  std::atomic<bool> gone{false};
  auto queue = SerialQueue::borrowed([](std::string_view) {},
                                     {running.workers, clock, [&](const std::string&) { gone = held.expired(); }});
  auto own = std::make_shared<int>(0);
  held = own;
  REQUIRE(queue->push([&clock, own = std::move(own)] { clock.advance(2 * SerialQueue::kSlow); }));
  queue->release();
  eventually("the move", [&] { return queue->where() == SerialQueue::Where::own_thread; });
  queue->close();
  REQUIRE(queue->join(std::chrono::steady_clock::now() + std::chrono::seconds(20)));
  running.end();
  REQUIRE(gone);
}

TEST_CASE("workers: what a lost thread posts to its old worker wakes who serves that now") {
  RunningWorkers running;
  ManualTimers clock;
  const auto queue =
      SerialQueue::borrowed([](std::string_view) {}, {running.workers, clock, [](const std::string&) {}});
  queue->release();
  std::atomic<int> ran{0};
  REQUIRE(queue->push([&] {
    running.wait_until_taken_over(1);
    for (int i = 0; i < 100; ++i) {
      auto posted = std::make_shared<std::promise<void>>();
      auto done = posted->get_future();
      running.workers.first().post([posted] { posted->set_value(); });
      if (done.wait_for(std::chrono::seconds(20)) != std::future_status::ready) return;
      ++ran;
    }
  }));
  queue->close();
  REQUIRE(queue->join(latest()));
  REQUIRE(ran == 100);
}

TEST_CASE("workers: an inbox that is never empty does not keep a worker from its descriptors and timers") {
  RunningWorkers running;
  Worker& worker = running.workers.first();
  std::atomic<bool> over{false};
  std::promise<void> fired;
  const std::function<void()> again = [&] {
    if (!over) worker.post(again);
  };
  worker.post(again);
  (void)running.workers.timers().after(std::chrono::milliseconds(1), [&] { fired.set_value(); });
  const bool in_between = fired.get_future().wait_for(gantry::test::kWaitTimeout) == std::future_status::ready;
  over = true;
  running.end();
  REQUIRE(in_between);
}

TEST_CASE("workers: what is posted when they have ended is run before run() returns") {
  Workers workers(2);
  int ran = 0;
  // From one to the other and back: each had nothing left when it was asked first.
  workers.at(1).post([&] {
    workers.at(0).post([&] {
      ++ran;
      workers.at(1).post([&] { ++ran; });
    });
  });
  workers.stop();
  REQUIRE(workers.run([](std::string_view) {}));
  REQUIRE(ran == 2);
}

TEST_CASE("workers: turns that take their time do not keep a worker from its descriptors") {
  RunningWorkers running;
  ManualTimers clock;
  Worker& worker = running.workers.first();
  const auto queue =
      SerialQueue::borrowed([](std::string_view) {}, {running.workers, clock, [](const std::string&) {}});
  const auto other =
      SerialQueue::borrowed([](std::string_view) {}, {running.workers, clock, [](const std::string&) {}});
  int ran = 0;
  int ran_before = -1;
  for (int i = 0; i < 20; ++i) {
    for (const auto& each : {queue, other}) {
      REQUIRE(each->push([&] {
        // What io_context has is looked at between this one and the next but one, of whichever queue.
        if (ran == 0) boost::asio::post(worker.context(), [&] { ran_before = ran; });
        ++ran;
        clock.advance(Worker::kLookAfter + std::chrono::microseconds(1));
      }));
    }
  }
  worker.post([&] {
    queue->release();
    other->release();
  });
  for (const auto& each : {queue, other}) {
    each->close();
    REQUIRE(each->join(std::chrono::steady_clock::now() + std::chrono::seconds(20)));
  }
  running.end();
  REQUIRE(ran == 40);
  REQUIRE((ran_before == 1 || ran_before == 2));
}
