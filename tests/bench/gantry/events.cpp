// SPDX-License-Identifier: Apache-2.0
//
// broadcast and the event bus. A burst is over when its last delivery wakes the publisher.
#include <gantry/channel/broadcast.hpp>
#include <gantry/channel/mpsc.hpp>

#include "host/bus/event_bus.hpp"
#include "tests/bench/gantry/groups.hpp"

namespace {

using namespace peer;
using gantry::Task;
namespace broadcast = gantry::broadcast;
namespace mpsc = gantry::mpsc;

/// Counts down subscribers and wakes the publisher at zero.
struct Burst {
  std::atomic<u64> left{0};
  mpsc::Channel<bool> over = mpsc::channel<bool>(1);
  void done() {
    if (left.fetch_sub(1, std::memory_order_acq_rel) == 1) (void)over.tx.try_send(true);
  }
};

Task<u64> subscribe(broadcast::Receiver<Message> rx, Burst* state, u64 burst) {
  u64 next = 0;
  while (const auto got = co_await rx.async_recv()) {
    if (got->missed != 0) wrong("a subscriber fell behind");
    if (got->value.sequence != next) wrong("an event is lost or out of order");
    if (++next % burst == 0) state->done();
  }
  co_return next;
}

Task<void> publish(core::Loops* loops, u64 burst, u64 subscribers, u64 bursts, Timer* timer) {
  Burst state;
  auto [tx, first] = broadcast::channel<Message>(kCapacity);
  std::vector<gantry::JoinHandle<u64>> handles;
  for (u64 s = 0; s < subscribers; ++s)
    handles.push_back(gantry::spawn((*loops)[s], subscribe(tx.subscribe(), &state, burst)));
  {
    auto gone = std::move(first);
  }
  co_await gantry::yield();
  timer->start();
  for (u64 i = 0; i < bursts; ++i) {
    state.left.store(subscribers, std::memory_order_release);
    for (u64 k = 0; k < burst; ++k) (void)tx.send(Message{0, i * burst + k, {}});
    (void)co_await state.over.rx.async_recv();
  }
  timer->stop();
  {
    auto gone = std::move(tx);
  }
  for (auto& handle : handles) {
    const auto got = co_await handle.async_join();
    if (*got != bursts * burst) wrong("an event is lost");
  }
}

u64 broadcasts(std::size_t workers, u64 burst, u64 subscribers, u64 ops, Timer& timer) {
  const u64 bursts = std::max<u64>(1, ops / (burst * subscribers));
  core::Loops loops(workers);
  loops.run(publish(&loops, burst, subscribers, bursts, &timer));
  return bursts * burst * subscribers;
}

namespace host = gantry::host;

Task<u64> handle_events(std::shared_ptr<host::Subscription> subscription, Burst* state, u64 burst) {
  u64 next = 0;
  while (co_await subscription->async_ready()) {
    while (subscription->drain(kBurst, [&](const host::Event& event, u64 prev) {
      if (event.seq != ++next || prev + 1 != next) wrong("an event is lost or out of order");
      keep(event);
      if (next % burst == 0) state->done();
    }) != 0) {
    }
    if (subscription->ended()) break;
  }
  co_return next;
}

Task<void> publish_topics(core::Loops* loops, u64 subscribers, u64 bursts, Timer* timer) {
  Burst state;
  host::EventBus bus("bench", kCapacity);
  std::vector<gantry::JoinHandle<u64>> handles;
  for (u64 s = 0; s < subscribers; ++s) {
    auto subscribed = bus.subscribe({s % 2 == 0 ? "bench.*" : "**"}, {});
    handles.push_back(gantry::spawn((*loops)[s], handle_events(subscribed->subscription, &state, kBurst)));
  }
  co_await gantry::yield();
  timer->start();
  for (u64 i = 0; i < bursts; ++i) {
    state.left.store(subscribers, std::memory_order_release);
    for (u64 k = 0; k < kBurst; ++k) {
      if (!bus.publish("bench.event", std::string(64, '1'))) wrong("refused");
    }
    (void)co_await state.over.rx.async_recv();
  }
  timer->stop();
  bus.close();
  for (auto& handle : handles) {
    const auto got = co_await handle.async_join();
    if (*got != bursts * kBurst) wrong("an event is lost");
  }
}

u64 bus_events(std::size_t workers, u64 ops, Timer& timer) {
  constexpr u64 kSubscribers = 100;
  const u64 bursts = std::max<u64>(1, ops / (kBurst * kSubscribers));
  core::Loops loops(workers);
  loops.run(publish_topics(&loops, kSubscribers, bursts, &timer));
  return bursts * kBurst * kSubscribers;
}

}  // namespace

std::vector<Workload> events() {
  std::vector<Workload> all;
  const std::string note = "one ring; a slow subscriber is told how many it missed";
  for (const u64 burst : {256, 1}) {
    for (const u64 subscribers : {1, 10, 100, 1000}) {
      for (const std::size_t workers : {1, 2}) {
        all.push_back({"broadcast.burst" + std::to_string(burst) + "." + std::to_string(subscribers) +
                           (workers == 1 ? ".ct" : ".mt2"),
                       note, [=](u64 n, Timer& t) { return broadcasts(workers, burst, subscribers, n, t); }});
      }
    }
  }
  for (const std::size_t workers : {1, 2}) {
    all.push_back({std::string("bus.100.burst256") + (workers == 1 ? ".ct" : ".mt2"),
                   "topics, a queue and a policy each, replay, gaps seen",
                   [=](u64 n, Timer& t) { return bus_events(workers, n, t); }});
  }
  return all;
}
