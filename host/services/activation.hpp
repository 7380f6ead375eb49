// SPDX-License-Identifier: Apache-2.0
//
// host/services/activation.hpp: waits for the first event on some topics, for plugins that start by
// an event.
//
// Thread rule: any thread; nothing blocks. `fired` is called once, on the thread that publishes or
// arms, without a lock held: it must not block. It is not called after disarm() has returned,
// except for a call that has begun.
#pragma once

#include <functional>
#include <gantry/mutex.hpp>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "host/bus/event_bus.hpp"

namespace gantry::host {

class Activation : public std::enable_shared_from_this<Activation> {
 public:
  /// `since`: where a subscription has to begin to include the event.
  using Fired = std::function<void(const Since& since)>;

  Activation(EventBus& bus, Fired fired) : bus_(bus), fired_(std::move(fired)) {}
  Activation(const Activation&) = delete;
  Activation& operator=(const Activation&) = delete;
  ~Activation() { disarm(); }

  /// Called once. `invalid_params`: a pattern is invalid.
  [[nodiscard]] Result<void> arm(const std::string& plugin, std::vector<std::string> patterns) {
    auto subscribed = bus_.subscribe(std::move(patterns),
                                     [weak = weak_from_this()] {
                                       if (const auto self = weak.lock()) self->rung();
                                     },
                                     {.name = "the activation of plugin " + plugin});
    if (!subscribed) return std::unexpected(subscribed.error());
    bool has_rung = false;
    {
      Lock lock(mutex_);
      events_ = std::move(subscribed->subscription);
      has_rung = rung_;
    }
    if (has_rung) fire();
    return {};
  }
  void disarm() {
    std::shared_ptr<Subscription> events;
    {
      Lock lock(mutex_);
      events.swap(events_);
    }
    if (events) bus_.unsubscribe(events);
  }

 private:
  void rung() {
    {
      Lock lock(mutex_);
      rung_ = true;
      if (!events_) return;  // the thread in arm() handles it
    }
    fire();
  }
  void fire() {
    std::shared_ptr<Subscription> events;
    {
      Lock lock(mutex_);
      events.swap(events_);
    }
    if (!events) return;
    const auto first = events->take();
    bus_.unsubscribe(events);
    if (first) fired_({{first->event.epoch, first->event.seq - 1}});
  }

  EventBus& bus_;
  const Fired fired_;
  Mutex mutex_;
  bool rung_ GANTRY_GUARDED_BY(mutex_) = false;
  std::shared_ptr<Subscription> events_ GANTRY_GUARDED_BY(mutex_);
};

/// The activations of all plugins, each once.
class Activations {
 public:
  explicit Activations(EventBus& bus) : bus_(bus) {}
  Activations(const Activations&) = delete;
  Activations& operator=(const Activations&) = delete;
  ~Activations() { disarm(); }

  /// Does nothing if the plugin's activation was armed before. `invalid_params`: a pattern is
  /// invalid.
  [[nodiscard]] Result<void> arm(const std::string& plugin, std::vector<std::string> patterns,
                                 Activation::Fired fired) {
    auto activation = std::make_shared<Activation>(bus_, std::move(fired));
    {
      const Lock lock(mutex_);
      if (over_ || !armed_.emplace(plugin, activation).second) return {};
    }
    return activation->arm(plugin, std::move(patterns));
  }
  /// Disarms all of them, for good.
  void disarm() {
    std::map<std::string, std::shared_ptr<Activation>> armed;
    {
      const Lock lock(mutex_);
      over_ = true;
      armed.swap(armed_);
    }
    for (const auto& [plugin, activation] : armed) activation->disarm();
  }

 private:
  EventBus& bus_;
  Mutex mutex_{"activations"};
  bool over_ GANTRY_GUARDED_BY(mutex_) = false;
  std::map<std::string, std::shared_ptr<Activation>> armed_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
