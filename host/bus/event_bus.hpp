// SPDX-License-Identifier: Apache-2.0
//
// host/bus/event_bus.hpp: publish-subscribe.
//
// Every event belongs to a log, named by its epoch, in which its sequence number grows. The bus's
// own log lives as long as the bus; a plugin that keeps a log of its own (project state) publishes
// with its own epoch and sequence number. A log belongs to the plugin that named its epoch first; a
// plugin that came with the host gets the log even then.
//
// One mutex guards the bus and the queues of its subscriptions: publishing to a hundred
// subscribers, or taking a batch, locks once. An event is stored once; the number of queues that
// hold it is counted under that mutex.
//
// Thread rule: any thread; a Subscription's drain() and take() by one thread at a time. publish()
// never blocks, and calls only the `wake`, `filter` and `key` functions, without a lock held.
// Order: each subscription receives events in publish order.
// Full: as the subscription's Overflow says; over the limit of bytes, the subscription of the share
// that holds most loses its oldest event. `prev` is the sequence number of the preceding event of
// the same log that matched this subscription, delivered or not. A subscriber that sees an unknown
// `prev` has missed something, and may subscribe again with `since`.
// Replay: the last `buffer` events are kept, of at most kMaxKeptBytes together.
// After close(): publish refuses with `unavailable`, "closed"; queued events can still be taken,
// then the end is seen.
// Bounds: `buffer` events and kMaxKeptBytes for replay; each subscription's own number, and
// kMaxWaitingBytes of its share; kMaxLogs logs of a plugin (its oldest is forgotten);
// kMaxDeadLetters; kMaxEventBytes an event.
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

  /// Passes up to `most` events to `use`, the oldest first; returns how many. The events stay in
  /// memory until the next drain().
  std::size_t drain(std::size_t most, const std::function<void(const Event&, std::uint64_t prev)>& use);
  /// A copy of the next event, or empty. Never waits.
  [[nodiscard]] std::optional<Delivery> take();
  [[nodiscard]] std::uint64_t dropped() const;
  /// Empty while events wait or may come; else the reason of the end. `overloaded`: the subscriber
  /// was too slow, and asked for `disconnect`.
  [[nodiscard]] std::optional<Error> ended() const;

  /// Waits until there is an event, or the end. False: the limits ended the wait. `co_await`
  /// async_ready(), with gantry/coro.hpp, does the same.
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
  std::uint64_t seq = 0;  ///< the newest sequence number of the bus's log when the subscription began
  /// Logs of `since` that could not be resumed: their epochs, and "unknown_epoch" or "too_old".
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

  /// `epoch` names the bus's own log. `on_dead` is called for each dead letter, without a lock; it
  /// must not block. It lives as long as the bus and its subscriptions.
  EventBus(std::string epoch, std::size_t buffer, std::function<void(const DeadLetter&)> on_dead = {});
  /// Ends the subscriptions as close() does, but calls no `wake`.
  ~EventBus();
  EventBus(const EventBus&) = delete;
  EventBus& operator=(const EventBus&) = delete;

  /// `payload` is the text of one JSON value, already validated. Returns the sequence number. Never
  /// blocks. `unavailable`: the bus is closed.
  Result<std::uint64_t> publish(std::string topic, std::string payload);
  /// Publishes an event of a plugin's own log. `permission_denied`: the log is another plugin's, or
  /// the bus's own.
  Result<std::uint64_t> publish_logged(std::string topic, std::string epoch, std::uint64_t seq, std::string payload,
                                       const LogOwner& owner = {});
  /// Before the log's first event: the log of this epoch is `owner`'s, and `head` is its newest
  /// event. Errors as publish_logged().
  [[nodiscard]] Result<void> claim_log(const std::string& epoch, std::uint64_t head, const LogOwner& owner);
  struct KnownLog {
    std::string plugin;      ///< whose log it is
    std::uint64_t head = 0;  ///< the sequence number of its newest event
  };
  /// The log of this epoch; empty: it is the bus's own, or no plugin has named it.
  [[nodiscard]] std::optional<KnownLog> find_log(const std::string& epoch) const;
  /// A share for subscriptions that may hold kMaxWaitingBytes together: those of one client, say.
  [[nodiscard]] static std::shared_ptr<bus::Share> share();
  /// As publish(), for a value that nlohmann's to_json knows; Event::as() is the inverse.
  template <class T>
  Result<std::uint64_t> publish_value(std::string topic, const T& value) {
    return publish(std::move(topic), dump_json(json(value)));
  }

  /// `wake` is called when the subscription stops being empty, and at its end; it must not block.
  [[nodiscard]] Result<Subscribed> subscribe(std::vector<std::string> patterns, std::function<void()> wake,
                                             SubscribeOptions options = {});
  /// The subscription takes no more events; those that wait can still be taken.
  void unsubscribe(const std::shared_ptr<Subscription>& subscription);
  void close();

  /// Records that a subscriber failed for good; with kMaxDeadLetters letters the oldest is dropped.
  void add_dead_letter(const Event& event, const std::string& subscriber, const std::string& error, int attempts);
  /// All dead letters, the newest last.
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
