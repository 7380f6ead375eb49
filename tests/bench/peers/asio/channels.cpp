// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "tests/bench/peers/asio/asio.hpp"

namespace {

using namespace peer;

template <int Threads>
Task<> send(Channel<Threads, Message>& channel, u64 sender, u64 count) {
  for (u64 i = 0; i < count; ++i) co_await channel.async_send(error_code{}, Message{sender, i}, kAwait);
}

template <int Threads>
Task<> receive(Channel<Threads, Message>& channel, Order& order, u64 count) {
  for (u64 i = 0; i < count; ++i) order.got(co_await channel.async_receive(kAwait));
}

/// The same, but suspending only when there is no room.
template <int Threads>
Task<> send_trying(Channel<Threads, Message>& channel, u64 sender, u64 count) {
  for (u64 i = 0; i < count; ++i) {
    const Message message{sender, i};
    if (!channel.try_send(error_code{}, message)) co_await channel.async_send(error_code{}, message, kAwait);
  }
}

template <int Threads>
Task<> receive_trying(Channel<Threads, Message>& channel, Order& order, u64 count) {
  for (u64 i = 0; i < count; ++i) {
    if (!channel.try_receive([&](error_code, const Message& message) { order.got(message); }))
      order.got(co_await channel.async_receive(kAwait));
  }
}

template <int Threads>
u64 mpsc(std::size_t senders, std::size_t capacity, bool trying, u64 ops, Timer& timer) {
  asio::io_context context(Threads);
  Channel<Threads, Message> channel(context, capacity);
  Order order(senders);
  for (std::size_t i = 0; i < senders; ++i) {
    const u64 mine = share(ops, senders, i);
    co_spawn(context, trying ? send_trying<Threads>(channel, i, mine) : send<Threads>(channel, i, mine),
             asio::detached);
  }
  co_spawn(context, trying ? receive_trying<Threads>(channel, order, ops) : receive<Threads>(channel, order, ops),
           asio::detached);
  run_all<Threads>(context, timer);
  order.finished(ops);
  return ops;
}

Task<> oneshots(Executor executor, Order& order, u64 count) {
  for (u64 i = 0; i < count; ++i) {
    Channel<1, Message> channel(executor, 1);
    co_await channel.async_send(error_code{}, Message{0, i}, kAwait);
    order.got(co_await channel.async_receive(kAwait));
  }
}

u64 oneshot(u64 ops, Timer& timer) {
  asio::io_context context(1);
  Order order(1);
  co_spawn(context, oneshots(context.get_executor(), order, ops), asio::detached);
  run_all<1>(context, timer);
  order.finished(ops);
  return ops;
}

/// The reply is shared: a concurrent channel still uses itself after it has woken its receiver.
template <int Threads>
struct Question {
  u64 value = 0;
  std::shared_ptr<Channel<Threads, u64>> reply;
};

template <int Threads>
Task<> serve(Channel<Threads, Question<Threads>>& requests, u64 count) {
  for (u64 i = 0; i < count; ++i) {
    const auto question = co_await requests.async_receive(kAwait);
    require(question.reply->try_send(error_code{}, question.value + 1), "no room for a reply");
  }
}

template <int Threads>
Task<> ask(Executor executor, Channel<Threads, Question<Threads>>& requests, u64 count) {
  for (u64 i = 0; i < count; ++i) {
    const auto reply = std::make_shared<Channel<Threads, u64>>(executor, 1);
    co_await requests.async_send(error_code{}, Question<Threads>{i, reply}, kAwait);
    const u64 answer = co_await reply->async_receive(kAwait);
    require(answer == i + 1, "a wrong answer");
  }
}

template <int Threads>
u64 request(std::size_t clients, u64 ops, Timer& timer) {
  asio::io_context context(Threads);
  Channel<Threads, Question<Threads>> requests(context, kCapacity);
  co_spawn(context, serve<Threads>(requests, ops), asio::detached);
  std::size_t finished = 0;
  std::atomic<std::size_t> left{clients};
  for (std::size_t i = 0; i < clients; ++i) {
    co_spawn(context, ask<Threads>(context.get_executor(), requests, share(ops, clients, i)),
             [&](std::exception_ptr failed) {
               require(failed == nullptr, "a client failed");
               if (left.fetch_sub(1) == 1) finished = clients;
             });
  }
  run_all<Threads>(context, timer);
  require(finished == clients, "a request is lost");
  return ops;
}

}  // namespace

template <int Threads>
void add_channels(std::vector<Workload>& all, const std::string& suffix) {
  for (const std::size_t n : {1, 4}) {
    const std::string senders = "." + std::to_string(n) + "p." + suffix;
    for (const bool trying : {false, true}) {
      const std::string variant = trying ? "+try_first" : "";
      const std::string note = trying ? "suspends only when full or empty" : "closing loses messages";
      all.push_back({"mpsc.bounded" + senders + variant, note,
                     [=](u64 ops, Timer& t) { return mpsc<Threads>(n, kCapacity, trying, ops, t); }});
      all.push_back({"mpsc.unbounded" + senders + variant, note, [=](u64 ops, Timer& t) {
                       return mpsc<Threads>(n, std::numeric_limits<std::size_t>::max(), trying, ops, t);
                     }});
    }
  }
  for (const std::size_t n : {1, 64}) {
    all.push_back({"request." + std::to_string(n) + "." + suffix, "the reply is a channel of 1",
                   [=](u64 ops, Timer& t) { return request<Threads>(n, ops, t); }});
  }
  if (Threads == 1) all.push_back({"oneshot.ct", "a channel of 1", oneshot});
}

template void add_channels<1>(std::vector<Workload>&, const std::string&);
template void add_channels<2>(std::vector<Workload>&, const std::string&);
