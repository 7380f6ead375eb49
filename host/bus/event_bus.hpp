// SPDX-License-Identifier: Apache-2.0
//
// host/bus/event_bus.hpp: publish-subscribe.
//
// Every event belongs to a log, named by its epoch, in which its sequence number grows. The bus's own log lives as long
// as the bus; a plugin that keeps a log of its own (project state) publishes with its epoch and sequence.
//
// Thread rule: any thread. publish() never blocks and calls nobody back but the `wake` functions, without a lock held.
// Order: each subscription receives events in publish order.
// Full: a subscription holds at most `buffer` events; a full one drops its oldest. `prev` names the sequence number of
// the
//   event of the same log that matched this subscription before, delivered or not: who sees a `prev` that it does not
//   know has missed something and may subscribe again with `since`.
// Replay: the last `buffer` events are kept.
// After close(): publish refuses with `unavailable`, what is queued can still be taken.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::host {

struct Event {
  std::string topic;
  std::string epoch;
  std::uint64_t seq = 0;
  std::string payload;  ///< the text of one JSON value
};

struct Delivery {
  std::shared_ptr<const Event> event;
  std::uint64_t prev = 0;  ///< 0: the first of its log for this subscription
};

class Subscription {
 public:
  /// The next event, or empty.
  [[nodiscard]] std::optional<Delivery> take();
  [[nodiscard]] std::uint64_t dropped() const;

 private:
  friend class EventBus;
  Subscription(std::vector<std::string> patterns, std::size_t buffer, std::function<void()> wake)
      : patterns_(std::move(patterns)), buffer_(buffer), wake_(std::move(wake)) {}
  [[nodiscard]] bool matches(std::string_view topic) const;
  // True: it was empty, wake the owner.
  [[nodiscard]] bool push(const std::shared_ptr<const Event>& event);

  const std::vector<std::string> patterns_;
  const std::size_t buffer_;
  const std::function<void()> wake_;
  mutable Mutex mutex_;
  std::deque<Delivery> queue_ GANTRY_GUARDED_BY(mutex_);
  std::map<std::string, std::uint64_t> prev_ GANTRY_GUARDED_BY(mutex_);
  std::uint64_t dropped_ GANTRY_GUARDED_BY(mutex_) = 0;
};

/// Where a subscriber wants to go on, per log.
using Since = std::map<std::string, std::uint64_t>;

struct Subscribed {
  std::shared_ptr<Subscription> subscription;
  std::uint64_t seq = 0;  ///< the bus log's head at the cut
  /// Logs of `since` that could not be resumed: their epoch, and "unknown_epoch" or "too_old".
  std::map<std::string, std::string> gaps;
};

class EventBus {
 public:
  /// `epoch` names the bus's own log.
  EventBus(std::string epoch, std::size_t buffer) : epoch_(std::move(epoch)), buffer_(buffer == 0 ? 1 : buffer) {}

  /// `payload` is the text of one JSON value, already validated. Returns the sequence number.
  Result<std::uint64_t> publish(std::string topic, std::string payload);
  Result<std::uint64_t> publish_logged(std::string topic, std::string epoch, std::uint64_t seq, std::string payload);

  /// `wake` is called when the subscription stops being empty; it must not block.
  [[nodiscard]] Result<Subscribed> subscribe(std::vector<std::string> patterns, std::function<void()> wake,
                                             const Since& since = {});
  void unsubscribe(const std::shared_ptr<Subscription>& subscription);
  void close();

  [[nodiscard]] const std::string& epoch() const { return epoch_; }
  struct Counts {
    std::uint64_t published, dropped;
    std::size_t subscriptions;
  };
  [[nodiscard]] Counts counts() const;

 private:
  Result<std::uint64_t> put(Event event, bool own);
  void replay(Subscription& subscription, const Since& since, Subscribed& out) GANTRY_REQUIRES(mutex_);

  const std::string epoch_;
  const std::size_t buffer_;
  mutable Mutex mutex_;
  bool closed_ GANTRY_GUARDED_BY(mutex_) = false;
  std::uint64_t seq_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::uint64_t published_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::uint64_t dropped_before_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::deque<std::shared_ptr<const Event>> ring_ GANTRY_GUARDED_BY(mutex_);
  /// The newest sequence number of each log that has left the ring: what lies before cannot be replayed.
  std::map<std::string, std::uint64_t> floor_ GANTRY_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Subscription>> subscriptions_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
