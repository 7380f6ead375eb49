// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <exception>

#include "host/bus/bus_state.hpp"
#include "host/bus/topic.hpp"

namespace gantry::host {

bool bus::Queue::matches(std::string_view topic) const {
  return std::any_of(patterns.begin(), patterns.end(), [&](const auto& p) { return topic_matches(p, topic); });
}

Subscription::Subscription(std::shared_ptr<bus::BusState> bus, std::unique_ptr<bus::Queue> queue)
    : bus_(std::move(bus)), queue_(std::move(queue)) {}

Subscription::~Subscription() {
  bus::DeferredDestruction dead;
  const Lock lock(bus_->mutex);
  for (const auto& entry : queue_->in_hand) dead.drop(entry.node);
  for (; !queue_->entries.empty(); queue_->entries.pop_front()) dead.drop(queue_->entries.front().node);
  queue_->let_go(queue_->bytes);
  std::erase(queue_->share->queues, queue_.get());
}

std::size_t Subscription::take_batch(std::size_t most) {
  bus::DeferredDestruction dead;
  const Lock lock(bus_->mutex);
  auto& q = *queue_;
  for (const auto& entry : q.in_hand) dead.drop(entry.node);
  q.in_hand.clear();
  while (!q.entries.empty() && q.in_hand.size() < most) {
    if (q.entries.front().node != nullptr) {
      q.in_hand.push_back(q.entries.front());
      q.let_go(q.entries.front().node->bytes());
      --q.live;
    }
    q.entries.pop_front();
    ++q.first_place;
  }
  if (q.entries.empty()) q.place_of_key.clear();
  return q.in_hand.size();
}

bool Subscription::wants(const Event& replayed) const {
  std::string failed = "an exception of unknown type";
  try {
    return queue_->options.filter(replayed);
  } catch (const std::exception& e) {
    failed = e.what();
  } catch (...) {  // NOLINT(bugprone-empty-catch): `failed` says it already
  }
  bus::add_dead_letter(*bus_, replayed, queue_->options.name, failed, 1);
  return false;
}

std::size_t Subscription::drain(std::size_t most, const std::function<void(const Event&, std::uint64_t prev)>& use) {
  std::size_t used = 0;
  // Replayed events may turn out not to be wanted; then there may be more.
  while (used == 0 && take_batch(most) != 0) {
    for (const auto& entry : queue_->in_hand) {
      if (entry.unfiltered && !wants(entry.node->event)) continue;
      use(entry.node->event, entry.prev);
      ++used;
    }
  }
  return used;
}

std::optional<Delivery> Subscription::take() {
  std::optional<Delivery> next;
  (void)drain(1, [&](const Event& event, std::uint64_t prev) { next.emplace(event, prev); });
  return next;
}

std::uint64_t Subscription::dropped() const {
  const Lock lock(bus_->mutex);
  return queue_->dropped;
}

std::optional<Error> Subscription::ended() const {
  const Lock lock(bus_->mutex);
  return queue_->live == 0 ? queue_->end : std::nullopt;
}

bool Subscription::has_something() const {
  const Lock lock(bus_->mutex);
  return queue_->live != 0 || queue_->over;
}

bool Subscription::enter(gantry::detail::WaitQueue::Place& place, Waiter& waiter) {
  const Lock lock(bus_->mutex);
  if (queue_->live != 0 || queue_->over) return true;
  return !queue_->waiting.enter(place, waiter);
}

bool Subscription::withdraw(gantry::detail::WaitQueue::Place& place) {
  const Lock lock(bus_->mutex);
  return queue_->waiting.withdraw(place);
}

}  // namespace gantry::host
