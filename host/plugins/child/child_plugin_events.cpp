// SPDX-License-Identifier: Apache-2.0
//
// The events of a plugin in a process of its own: so many are with it at once, and it asks for its turn.
#include <deque>
#include <gantry/plugin/host.hpp>
#include <utility>

#include "host/plugins/child/child_plugin.hpp"

namespace gantry::host {

using detail::make_msg;
using detail::to_bytes;
using detail::to_view;

void ChildPlugin::schedule_events() {
  {
    const Lock lock(mutex_);
    if (stopping_ || std::exchange(sending_events_, true)) return;
  }
  const bool taken = push([](Plugin* self) {
    if (self != nullptr) static_cast<ChildPlugin*>(self)->send_events();
  });
  if (taken) return;
  const Lock lock(mutex_);
  sending_events_ = false;
}

// Serial.
void ChildPlugin::send_events() {
  {
    const Lock lock(mutex_);
    sending_events_ = false;           // before the port is seen empty: an event that comes now asks again
    if (!events_out_.empty()) return;  // the last of those that are out asks again
  }
  for (std::size_t i = 0; i < kEventsOut; ++i) {
    auto event = port().take_event();
    if (!event) return;
    auto msg = make_msg(GANTRY_EVENT, event->seq);
    {
      const Lock lock(mutex_);
      events_out_.push_back(*event);
    }
    msg.topic = to_bytes(event->topic);
    msg.epoch = to_bytes(event->epoch);
    msg.payload = to_bytes(event->payload);
    (void)link_->send(msg);
  }
}

void ChildPlugin::ask_for_events() {
  const auto retry = [weak = weak_self()] {
    if (const auto plugin = weak.lock()) (void)plugin->link_->send(wire::make(wire::kEventsRetry));
  };
  const auto go = port().begin_events(retry);
  if (go == PluginPort::Go::now) (void)link_->send(wire::make(wire::kEventsGo));
  if (go == PluginPort::Go::no) (void)timers().after(std::chrono::seconds(1), retry);
}

void ChildPlugin::event_over(const gantry_msg& msg) {
  std::optional<Event> event;
  bool more = false;
  {
    const Lock lock(mutex_);
    if (events_out_.empty()) return;
    event = std::move(events_out_.front());
    events_out_.pop_front();
    more = events_out_.empty();
  }
  port().event_over(*event, std::string(to_view(msg.payload)), msg.status);
  if (more) schedule_events();
}

void ChildPlugin::dead_letter_events(const std::string& why) {
  std::deque<Event> events;
  {
    const Lock lock(mutex_);
    events.swap(events_out_);
  }
  port().end_events();
  for (const auto& event : events) port().event_over(event, why, 1);
}

}  // namespace gantry::host
