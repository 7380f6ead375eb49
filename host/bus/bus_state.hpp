// SPDX-License-Identifier: Apache-2.0
//
// host/bus/bus_state.hpp: the state that the bus and its subscriptions share. BusState::mutex
// guards everything here.
#pragma once

#include <algorithm>
#include <deque>
#include <unordered_map>

#include "host/bus/event_bus.hpp"

namespace gantry::host::bus {

using gantry::detail::WaitQueue;
using gantry::detail::WakeList;

/// An event, stored once for all queues that hold it.
struct HeldEvent {
  Event event;
  std::uint32_t refs = 0;
  [[nodiscard]] std::size_t bytes() const {
    return sizeof(HeldEvent) + event.topic.size() + event.epoch.size() + event.payload.size();
  }
};

struct Queue;

/// The bytes that may wait for several subscriptions together.
struct Share {
  std::size_t most = EventBus::kMaxWaitingBytes;
  std::size_t held = 0;
  std::vector<Queue*> queues;
};

struct Entry {
  HeldEvent* node = nullptr;  ///< nullptr: coalesced into a later entry
  std::uint64_t prev = 0;
  bool unfiltered = false;  ///< a replayed event: the subscriber's own thread calls the filter
};

/// A first-in, first-out queue in one piece of memory, which grows as needed and does not shrink.
class Entries {
 public:
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] Entry& operator[](std::size_t i) { return ring_[(head_ + i) & (ring_.size() - 1)]; }
  [[nodiscard]] Entry& front() { return (*this)[0]; }
  void push_back(Entry entry) {
    if (size_ == ring_.size()) [[unlikely]]
      grow();
    (*this)[size_++] = entry;
  }
  void pop_front() {
    ++head_;
    --size_;
  }
  void truncate(std::size_t size) { size_ = size; }

 private:
  void grow() {
    std::vector<Entry> larger(std::max<std::size_t>(16, 2 * ring_.size()));
    for (std::size_t i = 0; i < size_; ++i) larger[i] = (*this)[i];
    ring_.swap(larger);
    head_ = 0;
  }
  std::vector<Entry> ring_;  ///< a power of two
  std::size_t head_ = 0;
  std::size_t size_ = 0;
};

/// Events that no queue holds any more; they are destroyed after the mutex is free.
class DeferredDestruction {
 public:
  DeferredDestruction() = default;
  DeferredDestruction(const DeferredDestruction&) = delete;
  DeferredDestruction& operator=(const DeferredDestruction&) = delete;
  ~DeferredDestruction() {
    for (HeldEvent* const node : nodes_) delete node;
  }
  void drop(HeldEvent* node) {
    if (node != nullptr && --node->refs == 0) nodes_.push_back(node);
  }

 private:
  std::vector<HeldEvent*> nodes_;
};

struct Queue {
  // The members that each event touches, side by side.
  Entries entries;
  std::size_t live = 0;           ///< entries that were not coalesced away
  std::uint64_t first_place = 0;  ///< of entries.front()
  std::uint64_t prev_own = 0;
  std::size_t buffer = 0;
  Overflow overflow = Overflow::drop_oldest;
  bool over = false;      ///< `end` says why
  std::size_t bytes = 0;  ///< of the events that wait
  std::shared_ptr<Share> share;

  // Set once.
  std::vector<std::string> patterns;
  SubscribeOptions options;
  std::function<void()> wake;

  std::unordered_map<std::string, std::uint64_t> place_of_key;
  std::vector<Entry> in_hand;                 ///< events that the last drain() has handed out
  std::map<std::string, std::uint64_t> prev;  ///< of logs other than the bus's own
  std::uint64_t dropped = 0;
  std::uint64_t coalesced = 0;
  std::optional<Error> end;
  WaitQueue waiting;

  [[nodiscard]] bool matches(std::string_view topic) const;
  void finish(Error why) {
    if (std::exchange(over, true)) return;
    end = std::move(why);
  }
  /// hold(): an event of `size` bytes waits from now on; let_go(): it waits no more.
  void hold(std::size_t size) {
    bytes += size;
    share->held += size;
  }
  void let_go(std::size_t size) {
    bytes -= size;
    share->held -= size;
  }
  [[nodiscard]] bool plain() const { return !options.filter && overflow != Overflow::coalesce; }
};

struct Member {
  std::shared_ptr<Subscription> owner;
  Queue* queue;
};

/// The subscriptions that a topic reaches.
struct Route {
  std::vector<Member> to;
  bool plain = true;  ///< no subscription has a filter or coalesces
};

/// A log of a plugin's own.
struct Log {
  LogOwner owner;
  std::uint64_t number = 0;  ///< an older log has a smaller number
  std::uint64_t head = 0;    ///< its newest event
};

struct BusState {
  static constexpr std::size_t kMaxRoutes = 1024;

  BusState(std::string epoch_of_bus, std::size_t most) : epoch(std::move(epoch_of_bus)), buffer(most) {}
  BusState(const BusState&) = delete;
  BusState& operator=(const BusState&) = delete;
  ~BusState() {
    for (HeldEvent* const node : ring) {
      if (--node->refs == 0) delete node;
    }
  }

  const std::string epoch;
  const std::size_t buffer;
  std::function<void(const DeadLetter&)> on_dead;

  mutable Mutex mutex{"event bus"};
  bool closed GANTRY_GUARDED_BY(mutex) = false;
  std::uint64_t seq GANTRY_GUARDED_BY(mutex) = 0;
  std::uint64_t published GANTRY_GUARDED_BY(mutex) = 0;
  std::uint64_t dropped_before GANTRY_GUARDED_BY(mutex) = 0;  ///< by subscriptions that are gone
  std::uint64_t coalesced_before GANTRY_GUARDED_BY(mutex) = 0;
  std::uint64_t dead GANTRY_GUARDED_BY(mutex) = 0;
  std::uint64_t version GANTRY_GUARDED_BY(mutex) = 0;  ///< of `subscriptions`
  std::deque<HeldEvent*> ring GANTRY_GUARDED_BY(mutex);
  std::size_t ring_bytes GANTRY_GUARDED_BY(mutex) = 0;
  std::map<std::string, Log> logs GANTRY_GUARDED_BY(mutex);  ///< but the bus's own, by epoch
  std::uint64_t logs_named GANTRY_GUARDED_BY(mutex) = 0;
  /// The newest sequence number of each log that has left the ring: what lies before cannot be replayed.
  std::map<std::string, std::uint64_t> floor GANTRY_GUARDED_BY(mutex);
  std::vector<Member> subscriptions GANTRY_GUARDED_BY(mutex);
  /// Made when a topic is published; forgotten when subscriptions change.
  std::unordered_map<std::string, Route> routes GANTRY_GUARDED_BY(mutex);
  std::deque<DeadLetter> letters GANTRY_GUARDED_BY(mutex);
};

/// Keeps and reports a dead letter. Must not be called under the mutex.
void add_dead_letter(BusState& bus, const Event& event, const std::string& subscriber, const std::string& error,
                     int attempts);

}  // namespace gantry::host::bus
