// SPDX-License-Identifier: Apache-2.0
//
// host/bus/event.hpp: an event, and the options of a subscription.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <gantry/json.hpp>
#include <gantry/result.hpp>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace gantry::host {

namespace bus {
struct Share;
}  // namespace bus

struct Event {
  std::string topic;
  std::string epoch;
  std::uint64_t seq = 0;
  std::string payload;  ///< the text of one JSON value

  /// The payload as a T, by nlohmann's from_json. `invalid_params`: the payload is no T.
  template <class T>
  [[nodiscard]] Result<T> as() const {
    try {
      return json::parse(payload).get<T>();
    } catch (const std::exception& e) {
      return fail(ErrorKind::invalid_params, "the payload of an event on " + topic + " is no such value: " + e.what());
    }
  }
};

/// The plugin that owns a log of its own.
struct LogOwner {
  std::string plugin;
  bool bundled = false;  ///< it came with the host
};

struct Delivery {
  Event event;
  std::uint64_t prev = 0;  ///< 0: the first event of its log for this subscription
};

/// What happens when a subscription that is full gets another event.
enum class Overflow : std::uint8_t {
  drop_oldest,  ///< the oldest event is dropped, and counted
  coalesce,     ///< of events with one key only the newest waits, in the place of the first; then as drop_oldest
  disconnect,   ///< the subscription ends: events that wait can still be taken, then the end and its reason are seen
};

/// Where a subscriber wants to resume: an epoch and the last sequence number that it saw, for each
/// log.
using Since = std::map<std::string, std::uint64_t>;

struct SubscribeOptions {
  Since since{};
  Overflow overflow = Overflow::drop_oldest;
  std::size_t buffer = 0;  ///< events that may wait; 0: as many as the bus keeps, which is also the maximum
  /// Subscriptions with the same share, made by EventBus::share(), have one limit for the bytes
  /// that wait. nullptr: the subscription has a limit of its own.
  std::shared_ptr<bus::Share> share{};
  std::string name = "a subscriber";
  /// Is the event wanted? Must be quick. Called without a lock: on the publisher's thread, where
  /// `seq` is not set yet, or on the subscriber's thread for a replayed event. An exception counts
  /// as no; it is counted and kept as a dead letter.
  std::function<bool(const Event&)> filter{};
  /// The key for `coalesce`; called as `filter` is. Empty: the topic is the key.
  std::function<std::string(const Event&)> key{};
};

/// An event that could not be delivered to a subscriber.
struct DeadLetter {
  std::string topic;
  std::string epoch;
  std::uint64_t seq = 0;
  std::string payload;  ///< the first kPayload bytes of the payload
  std::string subscriber;
  std::string error;
  int attempts = 0;
  static constexpr std::size_t kPayload = 4096;
};

}  // namespace gantry::host
