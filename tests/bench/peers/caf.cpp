// SPDX-License-Identifier: Apache-2.0
//
// C++ Actor Framework: one (ct) or two (mt2) scheduler threads. A mailbox is an unbounded queue of many senders.
#include <caf/all.hpp>
#include <future>

#include "tests/bench/peers/common.hpp"

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(peer::Message)

namespace {

using namespace peer;

using go_atom = caf::atom_constant<caf::atom("go")>;
using over_atom = caf::atom_constant<caf::atom("over")>;

struct Config : caf::actor_system_config {
  explicit Config(std::size_t threads) { set("scheduler.max-threads", threads); }
};

u64 mpsc(std::size_t threads, std::size_t senders, u64 ops, Timer& timer) {
  Config config(threads);
  caf::actor_system system(config);
  std::promise<void> over;
  Order order(senders);
  u64 left = ops;
  const auto receiver = system.spawn([&](caf::event_based_actor* self) -> caf::behavior {
    return {[&, self](const Message& message) {
      order.got(message);
      if (--left == 0) {
        over.set_value();
        self->quit();
      }
    }};
  });
  std::vector<caf::actor> actors;
  for (std::size_t i = 0; i < senders; ++i) {
    actors.push_back(system.spawn([&, i](caf::event_based_actor* self) -> caf::behavior {
      return {[&, i, self](go_atom) {
        const u64 mine = share(ops, senders, i);
        for (u64 k = 0; k < mine; ++k) self->send(receiver, Message{i, k});
        self->quit();
      }};
    }));
  }
  timer.start();
  for (const auto& actor : actors) caf::anon_send(actor, go_atom::value);
  over.get_future().wait();
  timer.stop();
  order.finished(ops);
  return ops;
}

struct Asker {
  u64 next = 0;
  u64 count = 0;
};

/// Asks again when the answer is there.
void ask(caf::stateful_actor<Asker>* self, const caf::actor& server, const std::function<void()>& finished) {
  if (self->state.next == self->state.count) return finished();
  self->request(server, caf::infinite, self->state.next).then([=](u64 answer) {
    require(answer == self->state.next + 1, "a wrong answer");
    ++self->state.next;
    ask(self, server, finished);
  });
}

u64 request(std::size_t threads, std::size_t clients, u64 ops, Timer& timer) {
  Config config(threads);
  caf::actor_system system(config);
  std::promise<void> over;
  std::atomic<std::size_t> left{clients};
  const std::function<void()> finished = [&] {
    if (left.fetch_sub(1) == 1) over.set_value();
  };
  const auto server = system.spawn([]() -> caf::behavior { return {[](u64 value) { return value + 1; }}; });
  std::vector<caf::actor> actors;
  for (std::size_t i = 0; i < clients; ++i) {
    actors.push_back(system.spawn([&, i](caf::stateful_actor<Asker>* self) -> caf::behavior {
      return {[&, i, self](go_atom) {
        self->state.count = share(ops, clients, i);
        ask(self, server, finished);
      }};
    }));
  }
  timer.start();
  for (const auto& actor : actors) caf::anon_send(actor, go_atom::value);
  over.get_future().wait();
  timer.stop();
  for (const auto& actor : actors) caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(server, caf::exit_reason::user_shutdown);
  return ops;
}

/// One message object for all subscribers of an event.
u64 broadcast(std::size_t threads, u64 burst, std::size_t subscribers, u64 ops, Timer& timer) {
  const u64 bursts = std::max<u64>(1, ops / (burst * subscribers));
  Config config(threads);
  caf::actor_system system(config);
  std::promise<void> over;
  std::atomic<std::size_t> left{0};
  std::atomic<u64> got{0};
  caf::actor publisher;
  std::vector<caf::actor> actors;
  for (std::size_t i = 0; i < subscribers; ++i) {
    actors.push_back(system.spawn([&](caf::event_based_actor*) -> caf::behavior {
      auto next = std::make_shared<u64>(0);
      return {[&, next](const Message& message) {
        require(message.sequence == *next, "an event is lost or out of order");
        if (++*next % burst != 0) return;
        got.fetch_add(burst);
        if (left.fetch_sub(1) == 1) caf::anon_send(publisher, over_atom::value);
      }};
    }));
  }
  u64 done = 0;
  publisher = system.spawn([&](caf::event_based_actor* self) -> caf::behavior {
    return {[&, self](over_atom) {
      if (done == bursts) return over.set_value();
      left.store(subscribers);
      for (u64 k = 0; k < burst; ++k) {
        const auto event = caf::make_message(Message{0, done * burst + k});
        for (const auto& actor : actors) self->send(actor, event);
      }
      ++done;
    }};
  });
  timer.start();
  caf::anon_send(publisher, over_atom::value);
  over.get_future().wait();
  timer.stop();
  require(got.load() == burst * bursts * subscribers, "an event is lost");
  for (const auto& actor : actors) caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(publisher, caf::exit_reason::user_shutdown);
  publisher = nullptr;
  return burst * bursts * subscribers;
}

u64 spawn(std::size_t threads, u64 ops, Timer& timer) {
  Config config(threads);
  caf::actor_system system(config);
  std::vector<u64> out(ops);
  timer.start();
  for (u64 i = 0; i < ops; ++i) system.spawn([&out, i] { out[i] = i + 1; });
  system.await_all_actors_done();
  timer.stop();
  for (u64 i = 0; i < ops; ++i) require(out[i] == i + 1, "an actor did not run");
  return ops;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Workload> all;
  for (const std::size_t threads : {1, 2}) {
    const std::string suffix = threads == 1 ? ".ct" : ".mt2";
    for (const std::size_t n : {1, 4}) {
      all.push_back({"mpsc.unbounded." + std::to_string(n) + "p" + suffix, "actors; messages are typed at run time",
                     [=](u64 ops, Timer& t) { return mpsc(threads, n, ops, t); }});
    }
    for (const std::size_t n : {1, 64}) {
      all.push_back({"request." + std::to_string(n) + suffix, "actors; unbounded mailbox",
                     [=](u64 ops, Timer& t) { return request(threads, n, ops, t); }});
    }
    for (const u64 burst : {kBurst, std::size_t{1}}) {
      for (const std::size_t n : {1, 10, 100, 1000}) {
        all.push_back({"broadcast.burst" + std::to_string(burst) + "." + std::to_string(n) + suffix,
                       "an unbounded mailbox for each subscriber",
                       [=](u64 ops, Timer& t) { return broadcast(threads, burst, n, ops, t); }});
      }
    }
    all.push_back({"spawn" + suffix, "actors; no result", [=](u64 ops, Timer& t) { return spawn(threads, ops, t); }});
  }
  return run(all, argc, argv);
}
