// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/peers/asio/asio.hpp"

namespace {

using namespace peer;

/// A channel for each subscriber; the last one to have a burst wakes the publisher.
template <int Threads>
struct Topic {
  Topic(asio::io_context& context, std::size_t subscribers) : over(context, 1) {
    for (std::size_t i = 0; i < subscribers; ++i)
      channels.push_back(std::make_unique<Channel<Threads, Message>>(context, kCapacity));
  }
  std::vector<std::unique_ptr<Channel<Threads, Message>>> channels;
  std::atomic<std::size_t> left{0};
  Channel<Threads, u64> over;
};

template <int Threads>
Task<> publish(Topic<Threads>& topic, u64 burst, u64 bursts) {
  for (u64 i = 0; i < bursts; ++i) {
    topic.left.store(topic.channels.size());
    for (u64 k = 0; k < burst; ++k) {
      for (const auto& channel : topic.channels)
        co_await channel->async_send(error_code{}, Message{0, i * burst + k}, kAwait);
    }
    co_await topic.over.async_receive(kAwait);
  }
}

template <int Threads>
Task<> subscribe(Topic<Threads>& topic, std::size_t index, u64 burst, u64 bursts, std::atomic<u64>& got) {
  auto& channel = *topic.channels[index];
  for (u64 i = 0; i < bursts; ++i) {
    for (u64 k = 0; k < burst; ++k) {
      const Message message = co_await channel.async_receive(kAwait);
      require(message.sequence == i * burst + k, "an event is lost or out of order");
    }
    if (topic.left.fetch_sub(1) == 1) require(topic.over.try_send(error_code{}, 0), "no room");
  }
  got.fetch_add(burst * bursts);
}

template <int Threads>
u64 broadcast(u64 burst, std::size_t subscribers, u64 ops, Timer& timer) {
  const u64 bursts = std::max<u64>(1, ops / (burst * subscribers));
  asio::io_context context(Threads);
  Topic<Threads> topic(context, subscribers);
  std::atomic<u64> got{0};
  for (std::size_t i = 0; i < subscribers; ++i)
    co_spawn(context, subscribe(topic, i, burst, bursts, got), asio::detached);
  co_spawn(context, publish(topic, burst, bursts), asio::detached);
  run_all<Threads>(context, timer);
  require(got.load() == burst * bursts * subscribers, "an event is lost");
  return burst * bursts * subscribers;
}

}  // namespace

template <int Threads>
void add_broadcast(std::vector<Workload>& all, const std::string& suffix) {
  for (const u64 burst : {kBurst, std::size_t{1}}) {
    for (const std::size_t n : {1, 10, 100, 1000}) {
      all.push_back({"broadcast.burst" + std::to_string(burst) + "." + std::to_string(n) + "." + suffix,
                     "a channel for each subscriber",
                     [=](u64 ops, Timer& t) { return broadcast<Threads>(burst, n, ops, t); }});
    }
  }
}

template void add_broadcast<1>(std::vector<Workload>&, const std::string&);
template void add_broadcast<2>(std::vector<Workload>&, const std::string&);
