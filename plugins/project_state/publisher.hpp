// SPDX-License-Identifier: Apache-2.0
//
// publisher.hpp: publishes committed events, in order, each once.
//
// The log on the disk is the queue: events that the host's bus does not take now stay there and are
//   read again later. So no event is sent that was not committed, none is left out, and no memory
//   grows while the bus is full.
//
// Thread rule: serial, with the plugin's handlers.
// Bounds: one batch of kBatch events in memory. If the bus is full for so long that the log is
//   pruned past the publisher's place, the pruned events are lost; that is logged, and subscribers
//   see the gap in seq.
#pragma once

#include <chrono>
#include <cstdint>
#include <gantry/plugin/host.hpp>
#include <optional>

#include "plugins/project_state/store.hpp"

namespace gantry::state {

class Publisher {
 public:
  Publisher(Host host, Store& store) : host_(std::move(host)), store_(store) {}
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;
  ~Publisher() { stop(); }

  /// Sends all events that it can; a timer repeats it when the bus was full. If the store cannot be
  /// read now, the next call tries again.
  void send_committed() {
    const CleanMark head = store_.head();
    announce();
    while (place_.seq < head.seq) {
      const auto events = store_.events_after(place_.seq, kBatch);
      if (!events || events->empty()) return;
      for (const auto& event : *events) {
        if (!send(head.epoch, event)) return;
      }
    }
  }

  /// Tells the host whose log this is, before the log's first event.
  void announce() {
    if (store_.head().epoch == place_.epoch) return;
    place_ = store_.opened_at();  // another log: its past is not news
    host_.claim_log(place_.epoch, place_.seq);
  }

  void stop() {
    if (timer_) (void)host_.cancel(*timer_);
    timer_.reset();
  }

 private:
  static constexpr std::uint64_t kBatch = 16;
  static constexpr auto kPause = std::chrono::milliseconds(20);

  [[nodiscard]] bool send(const std::string& epoch, const LoggedEvent& event) {
    if (event.seq != place_.seq + 1) {
      host_.log(Level::error, "events " + std::to_string(place_.seq + 1) + " to " + std::to_string(event.seq - 1) +
                                  " were pruned before the bus took them");
    }
    const auto sent = host_.publish(event.topic, epoch, event.seq, event.payload);
    if (!sent && sent.error().kind == ErrorKind::overloaded) {
      retry();
      return false;
    }
    if (!sent && sent.error().kind == ErrorKind::unavailable) return false;  // the host is stopping
    if (!sent) host_.log(Level::error, sent.error().message);
    place_.seq = event.seq;
    return true;
  }

  void retry() {
    if (timer_) return;
    // Without a timer the next commit tries again.
    timer_ = host_.after(kPause, [this] {
      timer_.reset();
      send_committed();
    });
  }

  Host host_;
  Store& store_;
  CleanMark place_;
  std::optional<TimerId> timer_;
};

}  // namespace gantry::state
