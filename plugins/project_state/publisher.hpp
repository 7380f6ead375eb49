// SPDX-License-Identifier: Apache-2.0
//
// publisher.hpp: publishes committed events, in order, each once.
//
// The log on the disk is the queue: events that the host's bus does not take now stay there and are
//   read again later. So no event is sent that was not committed, none is left out, and no memory
//   grows while the bus is full.
//
// Thread rule: the writer's thread.
// Bounds: one batch of kBatch events in memory. If the bus is full for so long that the log is
//   pruned past the publisher's place, the pruned events are lost; that is logged, and subscribers
//   see the gap in seq.
#pragma once

#include <cstdint>
#include <gantry/plugin/host.hpp>

#include "plugins/project_state/store.hpp"

namespace gantry::state {

class Publisher {
 public:
  Publisher(Host host, Store& store) : host_(std::move(host)), store_(store) {}
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  /// Sends all events that it can. False: the bus is full; call again after a pause. If the store
  /// cannot be read now, the next call tries again.
  bool send_committed() {
    const CleanMark head = store_.head();
    announce();
    if (place_.seq == head.seq) return true;
    Span span(store_.profile(), Profile::Thread::writer, "publish");
    span.note("events", head.seq - place_.seq);
    while (place_.seq < head.seq) {
      const auto events = store_.events_after(place_.seq, kBatch);
      if (!events || events->empty()) return true;
      for (const auto& event : *events) {
        const auto sent = send(head.epoch, event);
        if (!sent) return sent.error().kind != ErrorKind::overloaded;
      }
    }
    return true;
  }

  /// Tells the host whose log this is, before the log's first event.
  void announce() {
    if (store_.head().epoch == place_.epoch) return;
    place_ = store_.opened_at();  // another log: its past is not news
    host_.claim_log(place_.epoch, place_.seq);
  }

 private:
  static constexpr std::uint64_t kBatch = 16;

  /// `overloaded`, `unavailable` (the host is stopping): the event was not sent.
  [[nodiscard]] Result<void> send(const std::string& epoch, const LoggedEvent& event) {
    if (event.seq != place_.seq + 1) {
      host_.log(Level::error, "events " + std::to_string(place_.seq + 1) + " to " + std::to_string(event.seq - 1) +
                                  " were pruned before the bus took them");
    }
    const auto sent = host_.publish_raw(event.topic, epoch, event.seq, event.payload);
    if (!sent && (sent.error().kind == ErrorKind::overloaded || sent.error().kind == ErrorKind::unavailable))
      return sent;
    if (!sent) host_.log(Level::error, sent.error().message);
    place_.seq = event.seq;
    return {};
  }

  Host host_;
  Store& store_;
  CleanMark place_;
};

}  // namespace gantry::state
