// SPDX-License-Identifier: Apache-2.0
#include "host/bus/event_bus.hpp"

#include <algorithm>

#include "host/bus/topic.hpp"

namespace gantry::host {

namespace {
constexpr std::size_t kMaxEventBytes = 1024 * 1024;
}

std::optional<Delivery> Subscription::take() {
  Lock lock(mutex_);
  if (queue_.empty()) return std::nullopt;
  std::optional<Delivery> next(std::move(queue_.front()));
  queue_.pop_front();
  return next;
}

std::uint64_t Subscription::dropped() const {
  Lock lock(mutex_);
  return dropped_;
}

bool Subscription::matches(std::string_view topic) const {
  return std::any_of(patterns_.begin(), patterns_.end(), [&](const auto& p) { return topic_matches(p, topic); });
}

bool Subscription::push(const std::shared_ptr<const Event>& event) {
  std::optional<Delivery> oldest;
  Lock lock(mutex_);
  auto& prev = prev_[event->epoch];
  const bool was_empty = queue_.empty();
  if (queue_.size() >= buffer_) {
    oldest = std::move(queue_.front());
    queue_.pop_front();
    ++dropped_;
  }
  queue_.push_back(Delivery{event, prev});
  prev = event->seq;
  return was_empty;
}

Result<std::uint64_t> EventBus::publish(std::string topic, std::string payload) {
  return put(Event{std::move(topic), epoch_, 0, std::move(payload)}, true);
}

Result<std::uint64_t> EventBus::publish_logged(std::string topic, std::string epoch, std::uint64_t seq,
                                               std::string payload) {
  return put(Event{std::move(topic), std::move(epoch), seq, std::move(payload)}, false);
}

Result<std::uint64_t> EventBus::put(Event event, bool own) {
  if (auto ok = check_topic(event.topic); !ok) return std::unexpected(ok.error());
  if (event.payload.size() > kMaxEventBytes)
    return fail(ErrorKind::too_large, "an event on " + event.topic + " is larger than 1 MiB");
  std::vector<std::shared_ptr<Subscription>> woken;
  std::shared_ptr<const Event> oldest;
  std::uint64_t seq = 0;
  {
    Lock lock(mutex_);
    if (closed_) return fail(ErrorKind::unavailable, "the event bus is closed");
    if (own) {
      event.seq = ++seq_;
    } else if (!floor_.contains(event.epoch) && event.seq > 0) {
      floor_[event.epoch] = event.seq - 1;  // a log that is older than this bus: what came before was never here
    }
    seq = event.seq;
    ++published_;
    const auto shared = std::make_shared<const Event>(std::move(event));
    ring_.push_back(shared);
    if (ring_.size() > buffer_) {
      oldest = std::move(ring_.front());
      ring_.pop_front();
      auto& floor = floor_[oldest->epoch];
      floor = std::max(floor, oldest->seq);
    }
    for (const auto& subscription : subscriptions_) {
      if (subscription->matches(shared->topic) && subscription->push(shared)) woken.push_back(subscription);
    }
  }
  for (const auto& subscription : woken) subscription->wake_();
  return seq;
}

Result<Subscribed> EventBus::subscribe(std::vector<std::string> patterns, std::function<void()> wake,
                                       const Since& since) {
  constexpr std::size_t kMaxPatterns = 64;
  if (patterns.empty()) return fail(ErrorKind::invalid_params, "topics is empty; name at least one pattern");
  if (patterns.size() > kMaxPatterns) return fail(ErrorKind::invalid_params, "more than 64 topic patterns");
  for (const auto& pattern : patterns) {
    if (auto ok = check_pattern(pattern); !ok) return std::unexpected(ok.error());
  }
  Subscribed out;
  out.subscription.reset(new Subscription(std::move(patterns), buffer_, std::move(wake)));
  Lock lock(mutex_);
  if (closed_) return fail(ErrorKind::unavailable, "the event bus is closed");
  out.seq = seq_;
  replay(*out.subscription, since, out);
  subscriptions_.push_back(out.subscription);
  return out;
}

void EventBus::replay(Subscription& subscription, const Since& since, Subscribed& out) {
  for (const auto& [epoch, seq] : since) {
    const auto floor = floor_.find(epoch);
    const bool known = epoch == epoch_ || floor != floor_.end() ||
                       std::any_of(ring_.begin(), ring_.end(), [&](const auto& e) { return e->epoch == epoch; });
    if (!known || (epoch == epoch_ && seq > seq_)) {
      out.gaps[epoch] = "unknown_epoch";
    } else if (floor != floor_.end() && seq < floor->second) {
      out.gaps[epoch] = "too_old";
    } else {
      Lock lock(subscription.mutex_);
      subscription.prev_[epoch] = seq;
    }
  }
  for (const auto& event : ring_) {
    const auto from = since.find(event->epoch);
    if (from == since.end() || event->seq <= from->second || !subscription.matches(event->topic)) continue;
    (void)subscription.push(event);
  }
}

void EventBus::unsubscribe(const std::shared_ptr<Subscription>& subscription) {
  Lock lock(mutex_);
  const auto it = std::find(subscriptions_.begin(), subscriptions_.end(), subscription);
  if (it == subscriptions_.end()) return;
  dropped_before_ += subscription->dropped();
  subscriptions_.erase(it);
}

void EventBus::close() {
  Lock lock(mutex_);
  closed_ = true;
}

EventBus::Counts EventBus::counts() const {
  Lock lock(mutex_);
  std::uint64_t dropped = dropped_before_;
  for (const auto& subscription : subscriptions_) dropped += subscription->dropped();
  return Counts{published_, dropped, subscriptions_.size()};
}

}  // namespace gantry::host
