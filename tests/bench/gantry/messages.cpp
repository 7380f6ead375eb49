// SPDX-License-Identifier: Apache-2.0
//
// mpsc, oneshot, requests, spawned tasks, the worker pool. On two workers a task goes on with the worker that woke it.
#include <gantry/channel/mpsc.hpp>
#include <gantry/worker_pool.hpp>

#include "tests/bench/gantry/groups.hpp"

namespace {

using namespace peer;
using gantry::Task;
namespace mpsc = gantry::mpsc;
namespace oneshot = gantry::oneshot;

mpsc::Channel<Message> channel(bool bounded) {
  return bounded ? mpsc::channel<Message>(kCapacity) : mpsc::unbounded_channel<Message>();
}

Task<void> send(mpsc::Sender<Message> tx, u64 sender, u64 count) {
  for (u64 i = 0; i < count; ++i) {
    if (!co_await tx.async_send(Message{sender, i, {}})) wrong("closed");
  }
}
Task<void> receive(mpsc::Receiver<Message> rx, std::size_t senders, u64 total) {
  Order order(senders);
  while (const auto message = co_await rx.async_recv()) order.got(*message);
  order.finished(total);
}

u64 tasks(std::size_t workers, bool bounded, std::size_t senders, u64 ops, Timer& timer) {
  core::Loops loops(workers);
  auto [tx, rx] = channel(bounded);
  timer.start();
  for (std::size_t s = 0; s < senders; ++s) (void)gantry::spawn(loops[s], send(tx, s, share(ops, senders, s)));
  tx.close();
  loops.run(receive(std::move(rx), senders, ops));
  timer.stop();
  return ops;
}

void send_each(mpsc::Sender<Message> tx, u64 sender, u64 count) {
  for (u64 i = 0; i < count; ++i) {
    if (!tx.send(Message{sender, i, {}})) wrong("closed");
  }
}
void receive_each(mpsc::Receiver<Message>& rx, Order& order) {
  while (const auto message = rx.recv()) order.got(*message);
}

constexpr std::size_t kBatch = 64;

void send_many(mpsc::Sender<Message> tx, u64 sender, u64 count) {
  std::vector<Message> batch;
  for (u64 i = 0; i < count;) {
    batch.clear();
    for (; batch.size() < kBatch && i < count; ++i) batch.push_back(Message{sender, i, {}});
    if (!tx.send_many(batch).status) wrong("closed");
  }
}
void receive_many(mpsc::Receiver<Message>& rx, Order& order) {
  std::vector<Message> got;
  while (rx.recv_many(got, kBatch) != 0) {
    for (const auto& message : got) order.got(message);
    got.clear();
  }
}

/// Each sender is a thread that runs `send_all`; this one runs `receive_all`.
template <class Send, class Receive>
u64 threads(bool bounded, std::size_t senders, u64 ops, Timer& timer, Send send_all, Receive receive_all) {
  auto [tx, rx] = channel(bounded);
  std::vector<mpsc::Sender<Message>> ends(senders, tx);
  tx.close();
  Team team(senders, [&](std::size_t index) { send_all(std::move(ends[index]), index, share(ops, senders, index)); });
  Order order(senders);
  timer.start();
  team.go();
  receive_all(rx, order);
  timer.stop();
  team.join();
  order.finished(ops);
  return ops;
}

Task<void> answer_itself(u64 count) {
  for (u64 i = 0; i < count; ++i) {
    auto [reply, answer] = oneshot::channel<u64>();
    (void)reply.send(i);
    const auto got = co_await answer.async_recv();
    if (got != i) wrong("a wrong answer");
  }
}
u64 oneshots(u64 ops, Timer& timer) {
  core::Loops loops(1);
  timer.start();
  loops.run(answer_itself(ops));
  timer.stop();
  return ops;
}

struct Request {
  u64 value;
  oneshot::Sender<u64> reply;
};
Task<void> serve(mpsc::Receiver<Request> rx) {
  while (auto request = co_await rx.async_recv()) (void)request->reply.send(request->value + 1);
}
Task<void> ask(mpsc::Sender<Request> tx, u64 count) {
  for (u64 i = 0; i < count; ++i) {
    auto [reply, answer] = oneshot::channel<u64>();
    if (!co_await tx.async_send(Request{i, std::move(reply)})) wrong("closed");
    const auto got = co_await answer.async_recv();
    if (got != i + 1) wrong("a wrong answer");
  }
}
u64 requests(std::size_t workers, std::size_t clients, u64 ops, Timer& timer) {
  core::Loops loops(workers);
  auto [tx, rx] = mpsc::channel<Request>(kCapacity);
  timer.start();
  for (std::size_t c = 0; c < clients; ++c) (void)gantry::spawn(loops[c], ask(tx, share(ops, clients, c)));
  tx.close();
  loops.run(serve(std::move(rx)));
  timer.stop();
  return ops;
}

Task<u64> small(u64 i) { co_return i; }
Task<void> spawn_and_join(core::Loops* loops, u64 count) {
  std::vector<gantry::JoinHandle<u64>> handles;
  handles.reserve(count);
  for (u64 i = 0; i < count; ++i) handles.push_back(gantry::spawn((*loops)[i], small(i)));
  u64 sum = 0;
  for (auto& handle : handles) {
    const auto got = co_await handle.async_join();
    sum += *got;
  }
  if (sum != count * (count - 1) / 2) wrong("a task is lost");
}
u64 spawns(std::size_t workers, u64 ops, Timer& timer) {
  core::Loops loops(workers);
  timer.start();
  loops.run(spawn_and_join(&loops, ops));
  timer.stop();
  return ops;
}

u64 pool(u64 ops, Timer& timer) {
  gantry::WorkerPool pool(2, ops + 1, [](std::string_view) {});
  std::atomic<u64> left{ops};
  auto [over, wait] = oneshot::channel<bool>();
  timer.start();
  for (u64 i = 0; i < ops; ++i) {
    const auto spawned = pool.spawn([&] {
      if (left.fetch_sub(1, std::memory_order_acq_rel) == 1) (void)over.send(true);
    });
    if (!spawned) wrong("refused");
  }
  (void)wait.recv();
  timer.stop();
  return ops;
}

}  // namespace

std::vector<Workload> messages() {
  const std::string strict = "close, cancel, FIFO-fair";
  std::vector<Workload> all;
  for (const bool bounded : {true, false}) {
    for (const std::size_t senders : {1, 4}) {
      const std::string name =
          std::string("mpsc.") + (bounded ? "bounded." : "unbounded.") + std::to_string(senders) + "p";
      all.push_back({name + ".ct", strict, [=](u64 n, Timer& t) { return tasks(1, bounded, senders, n, t); }});
      all.push_back({name + ".mt2", strict + "; goes on with the worker that woke it",
                     [=](u64 n, Timer& t) { return tasks(2, bounded, senders, n, t); }});
      all.push_back({name + ".thr", strict + "; pauses, yields, then parks",
                     [=](u64 n, Timer& t) { return threads(bounded, senders, n, t, send_each, receive_each); }});
      all.push_back({name + ".thr+many", strict + "; 64 a step",
                     [=](u64 n, Timer& t) { return threads(bounded, senders, n, t, send_many, receive_many); }});
    }
  }
  all.push_back({"oneshot.ct", "close, cancel", oneshots});
  for (const std::size_t clients : {1, 64}) {
    const std::string name = "request." + std::to_string(clients);
    all.push_back({name + ".ct", strict, [=](u64 n, Timer& t) { return requests(1, clients, n, t); }});
    all.push_back({name + ".mt2", strict + "; goes on with the worker that woke it",
                   [=](u64 n, Timer& t) { return requests(2, clients, n, t); }});
  }
  all.push_back({"spawn.ct", "result, exceptions", [](u64 n, Timer& t) { return spawns(1, n, t); }});
  all.push_back({"spawn.mt2", "result, exceptions", [](u64 n, Timer& t) { return spawns(2, n, t); }});
  all.push_back({"pool.2", "bounded queue, exceptions, shutdown", pool});
  return all;
}
