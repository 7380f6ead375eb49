// SPDX-License-Identifier: Apache-2.0
//
// broadcast and the event bus. A burst is over when its last delivery wakes the publisher.
#include <gantry/channel/broadcast.hpp>
#include <gantry/channel/mpsc.hpp>

#include "groups.hpp"

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
  return all;
}
