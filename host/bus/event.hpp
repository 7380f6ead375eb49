// SPDX-License-Identifier: Apache-2.0
//
// host/bus/event.hpp: what is published, and how a subscriber wants it.
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

  /// The payload as a T, by nlohmann's from_json. `invalid_params`: it is none.
  template <class T>
  [[nodiscard]] Result<T> as() const {
    try {
      return json::parse(payload).get<T>();
    } catch (const std::exception& e) {
      return fail(ErrorKind::invalid_params, "the payload of an event on " + topic + " is no such value: " + e.what());
    }
  }
};

/// Whose a log of its own is.
struct LogOwner {
  std::string plugin;
  bool bundled = false;  ///< it came with the host
};

struct Delivery {
  Event event;
  std::uint64_t prev = 0;  ///< 0: the first of its log for this subscription
};

/// What happens when a subscription that is full gets another event.
enum class Overflow : std::uint8_t {
  drop_oldest,  ///< the oldest goes, and is counted
  coalesce,     ///< of those with one key only the newest waits, at its place in the order; then as drop_oldest
  disconnect,   ///< the subscription ends: what waits can still be taken, then the end and its reason are seen
};

/// Where a subscriber wants to go on, per log.
using Since = std::map<std::string, std::uint64_t>;

struct SubscribeOptions {
  Since since{};
  Overflow overflow = Overflow::drop_oldest;
  std::size_t buffer = 0;  ///< events that may wait; 0: the bus's own, which is also the most
  /// The bytes that may wait are counted for all subscriptions of this share together, as EventBus::share() made it;
  /// nullptr: it has one of its own.
  std::shared_ptr<bus::Share> share{};
  std::string name = "a subscriber";
  /// Is the event wanted? Called on the publisher's thread, or on the subscriber's for what is replayed, without a
  /// lock; `seq` is not set yet on the publisher's. Must be quick. An exception is no, and is
  /// counted and kept as a dead letter.
  std::function<bool(const Event&)> filter{};
  /// For coalesce; called as `filter` is. Empty: the topic.
  std::function<std::string(const Event&)> key{};
};

/// An event that a subscriber could not be given.
struct DeadLetter {
  std::string topic;
  std::string epoch;
  std::uint64_t seq = 0;
  std::string payload;  ///< its first kPayload bytes
  std::string subscriber;
  std::string error;
  int attempts = 0;
  static constexpr std::size_t kPayload = 4096;
};

}  // namespace gantry::host
