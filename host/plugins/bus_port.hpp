// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/bus_port.hpp: the port of a plugin in the host's own process: access to the bus, the
// log and the origins.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <gantry/mutex.hpp>
#include <gantry/permits.hpp>

#include "host/bus/event_bus.hpp"
#include "host/plugins/port.hpp"

namespace gantry::host {

class BusPort : public PluginPort {
 public:
  using DescribeOrigin = std::function<std::optional<std::string>(OriginId)>;
  /// A plugin as the caller of others.
  struct Caller {
    OriginId origin = 0;
    MakeCall call;
    std::function<void(OriginId)> left;
    std::shared_ptr<const CallerRights> rights = nullptr;
  };

  /// `permits` bounds how many plugins process events at once. `since`: where the plugin's
  /// subscription begins; empty: now.
  BusPort(LogOwner plugin, EventBus& bus, Log& log, DescribeOrigin describe, std::shared_ptr<PermitQueue> permits,
          Caller caller, Since since = {})
      : owner_(std::move(plugin)),
        bus_(bus),
        log_(log),
        describe_(std::move(describe)),
        permits_(std::move(permits)),
        caller_(std::move(caller)),
        since_(std::move(since)) {}

  void log(Level level, std::string_view line) override { log_.write(level, owner_.plugin, line); }
  [[nodiscard]] Result<void> publish(std::string topic, std::string epoch, std::uint64_t seq,
                                     std::string payload) override {
    if (topic.empty()) return bus_.claim_log(epoch, seq, owner_);
    const auto published =
        epoch.empty() ? bus_.publish(std::move(topic), std::move(payload))
                      : bus_.publish_logged(std::move(topic), std::move(epoch), seq, std::move(payload), owner_);
    if (!published) return std::unexpected(published.error());
    return {};
  }
  [[nodiscard]] std::optional<std::string> describe(OriginId origin) override { return describe_(origin); }

  [[nodiscard]] CallPtr call(CallRequest request, std::shared_ptr<CallSink> sink) override {
    request.origin = caller_.origin;
    request.rights = caller_.rights;
    return caller_.call(std::move(request), std::move(sink));
  }
  void left() override { caller_.left(caller_.origin); }

  void subscribe(const std::vector<std::string>& patterns, std::function<void()> wake) override {
    auto subscribed = bus_.subscribe(patterns, std::move(wake), {.since = since_, .name = "plugin " + owner_.plugin});
    if (!subscribed) return;
    {
      const Lock lock(mutex_);
      if (!left_) events_ = subscribed->subscription;
      if (!left_) return;
    }
    bus_.unsubscribe(subscribed->subscription);  // the plugin has left meanwhile
  }
  void unsubscribe() override {
    {
      const Lock lock(mutex_);
      left_ = true;
    }
    if (const auto events = this->events()) bus_.unsubscribe(events);
  }
  // A plugin whose event handler waits for its mailbox must not keep others from their turn. So a
  // permit that the queue grants later is only a sign that another try is worth it, and is given
  // back at once.
  [[nodiscard]] Go begin_events(std::function<void()> again) override {
    if (Permit permit = permits_->try_acquire()) {
      const Lock lock(mutex_);
      std::swap(permit, permit_);  // one that it has still, though it asks again, goes back without the lock
      return Go::now;
    }
    return permits_->acquire([again = std::move(again)](const Permit& /*sign*/) { again(); }) ? Go::later : Go::no;
  }
  void end_events() override {
    Permit last;  // given back without the lock
    const Lock lock(mutex_);
    last = std::move(permit_);
  }
  [[nodiscard]] std::optional<Event> take_event() override {
    const auto events = this->events();
    auto next = events ? events->take() : std::nullopt;
    if (!next) return std::nullopt;
    return std::move(next->event);
  }
  void event_over(const Event& event, const std::string& failure, int tries) override {
    if (!failure.empty()) bus_.add_dead_letter(event, "plugin " + owner_.plugin, failure, tries);
  }

 private:
  [[nodiscard]] std::shared_ptr<Subscription> events() const {
    const Lock lock(mutex_);
    return events_;
  }

  const LogOwner owner_;
  EventBus& bus_;
  Log& log_;
  const DescribeOrigin describe_;
  const std::shared_ptr<PermitQueue> permits_;
  const Caller caller_;
  const Since since_;
  mutable Mutex mutex_;
  bool left_ GANTRY_GUARDED_BY(mutex_) = false;  ///< unsubscribe() was called
  std::shared_ptr<Subscription> events_ GANTRY_GUARDED_BY(mutex_);
  Permit permit_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
