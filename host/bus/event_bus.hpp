// SPDX-License-Identifier: Apache-2.0
//
// host/bus/event_bus.hpp: publish-subscribe.
//
// Every event belongs to a log, named by its epoch, in which its sequence number grows. The bus's own log lives as long
// as the bus; a plugin that keeps a log of its own (project state) publishes with its epoch and sequence. A log belongs
// to the plugin that named its epoch first; one that came with the host has it even then.
//
// One mutex guards the bus and the queues of its subscriptions: publishing to a hundred subscribers, or taking a batch,
// is one acquisition. An event is stored once, and counted under that mutex by the queues that hold it.
//
// Thread rule: any thread; a Subscription's drain() and take() by one thread at a time. publish() never blocks, and
// calls nobody back but the `wake`, `filter` and `key` functions, without a lock held.
// Order: each subscription receives events in publish order.
// Full: as its Overflow says; by bytes, the subscription of the share that holds most loses its oldest. `prev` names
// the sequence number of the event of the same log that matched this subscription before, delivered or not. Who sees a
// `prev` that is not known has missed something, and may subscribe again with `since`.
// Replay: the last `buffer` events are kept, of kMaxKeptBytes at most.
// After close(): publish refuses with `unavailable`, "closed"; what is queued can still be taken, then the end is seen.
// Bounds: `buffer` events and kMaxKeptBytes for replay; each subscription's own number, and kMaxWaitingBytes of its
// share; kMaxLogs of a plugin (its oldest is forgotten); kMaxDeadLetters; kMaxEventBytes an event.
#pragma once

#include <cstdint>
#include <functional>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <gantry/waiting.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/bus/event.hpp"

namespace gantry::host {

namespace bus {
struct BusState;
struct HeldEvent;
struct Queue;
}  // namespace bus

class Subscription {
  struct ReadyOp {
    Subscription* subscription;
    gantry::detail::WaitQueue::Place place{};
    bool poll() { return subscription->has_something(); }
    bool start(Waiter& waiter) { return subscription->enter(place, waiter); }
    bool cancel() { return subscription->withdraw(place); }
    bool finish(WaitEnd end) { return end == WaitEnd::complete; }
  };

 public:
  explicit Subscription(std::shared_ptr<bus::BusState> bus, std::unique_ptr<bus::Queue> queue);
  ~Subscription();
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

  /// Hands up to `most` events to `use`, the oldest first; returns how many. They stay in memory until the next
  /// drain().
  std::size_t drain(std::size_t most, const std::function<void(const Event&, std::uint64_t prev)>& use);
  /// A copy of the next one, or empty.
  [[nodiscard]] std::optional<Delivery> take();
  [[nodiscard]] std::uint64_t dropped() const;
  /// Nothing more will come, and all was taken: why. `overloaded`: it was too slow and wanted `disconnect`.
  [[nodiscard]] std::optional<Error> ended() const;

  /// Waits until there is something, or the end. False: the limits ended it. `co_await` async_ready(), with
  /// gantry/coro.hpp, does the same.
  bool ready(const WaitLimits& limits = {}) { return block(ReadyOp{this}, limits); }
  template <class Op = ReadyOp>  // looked up only where it is called
  [[nodiscard]] auto async_ready(CancelToken token = {}) {
    return Await<Op>(std::move(token), this);
  }

 private:
  friend class EventBus;
  [[nodiscard]] bool has_something() const;
  bool enter(gantry::detail::WaitQueue::Place& place, Waiter& waiter);
  bool withdraw(gantry::detail::WaitQueue::Place& place);
  std::size_t take_batch(std::size_t most);
  [[nodiscard]] bool wants(const Event& replayed) const;

  const std::shared_ptr<bus::BusState> bus_;
  const std::unique_ptr<bus::Queue> queue_;
};

struct Subscribed {
  std::shared_ptr<Subscription> subscription;
  std::uint64_t seq = 0;  ///< the bus log's head at the cut
  /// Logs of `since` that could not be resumed: their epoch, and "unknown_epoch" or "too_old".
  std::map<std::string, std::string> gaps;
};

class EventBus {
 public:
  static constexpr std::size_t kMaxEventBytes = 1024 * 1024;
  static constexpr std::size_t kMaxKeptBytes = std::size_t{32} << 20;
  static constexpr std::size_t kMaxWaitingBytes = std::size_t{64} << 20;
  static constexpr std::size_t kMaxLogs = 64;
  static constexpr std::size_t kMaxDeadLetters = 256;
  static constexpr std::size_t kMaxPatterns = 64;

  /// `epoch` names the bus's own log. `on_dead` is told of each dead letter, without a lock; it must not block. It
  /// lives as long as the bus and its subscriptions.
  EventBus(std::string epoch, std::size_t buffer, std::function<void(const DeadLetter&)> on_dead = {});
  /// Ends the subscriptions as close() does, but calls no `wake`.
  ~EventBus();
  EventBus(const EventBus&) = delete;
  EventBus& operator=(const EventBus&) = delete;

  /// `payload` is the text of one JSON value, already validated. Returns the sequence number.
  Result<std::uint64_t> publish(std::string topic, std::string payload);
  /// `permission_denied`: the log is another plugin's, or the bus's own.
  Result<std::uint64_t> publish_logged(std::string topic, std::string epoch, std::uint64_t seq, std::string payload,
                                       const LogOwner& owner = {});
  /// Before its first event: the log of this epoch is `owner`'s, and ends with `head`. As publish_logged().
  [[nodiscard]] Result<void> claim_log(const std::string& epoch, std::uint64_t head, const LogOwner& owner);
  /// For subscriptions that are to hold kMaxWaitingBytes together: of one client, say.
  [[nodiscard]] static std::shared_ptr<bus::Share> share();
  /// As publish(), of a value that nlohmann's to_json knows; Event::as() is the way back.
  template <class T>
  Result<std::uint64_t> publish_value(std::string topic, const T& value) {
    return publish(std::move(topic), dump_json(json(value)));
  }

  /// `wake` is called when the subscription stops being empty, and at its end; it must not block.
  [[nodiscard]] Result<Subscribed> subscribe(std::vector<std::string> patterns, std::function<void()> wake,
                                             SubscribeOptions options = {});
  /// Takes no more; what waits can still be taken.
  void unsubscribe(const std::shared_ptr<Subscription>& subscription);
  void close();

  /// A subscriber failed for good; the oldest letter goes when there are kMaxDeadLetters.
  void add_dead_letter(const Event& event, const std::string& subscriber, const std::string& error, int attempts);
  /// The newest last.
  [[nodiscard]] std::vector<DeadLetter> dead_letters() const;

  [[nodiscard]] const std::string& epoch() const;
  struct Counts {
    std::uint64_t published, dropped, coalesced, dead;
    std::size_t subscriptions;
  };
  [[nodiscard]] Counts counts() const;

 private:
  Result<std::uint64_t> put(Event event, const LogOwner* owner);
  [[nodiscard]] std::vector<std::shared_ptr<Subscription>> end_all();
  const std::shared_ptr<bus::BusState> state_;
};

}  // namespace gantry::host
