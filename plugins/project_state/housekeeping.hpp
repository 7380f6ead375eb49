// SPDX-License-Identifier: Apache-2.0
//
// housekeeping.hpp: what the plugin does by itself, now and then: samples of the host's own numbers become metrics;
// once an hour stale sessions go, and the file of the database shrinks.
//
// Thread rule: serial, as the plugin's handlers.
#pragma once

#include <chrono>
#include <gantry/json.hpp>
#include <gantry/plugin/host.hpp>

#include "plugins/project_state/metrics_thread.hpp"
#include "plugins/project_state/writer.hpp"

namespace gantry::state {

class Housekeeping {
 public:
  /// `writer` and `metrics` are there until stop().
  Housekeeping(Host host, Writer& writer, MetricsThread& metrics)
      : host_(std::move(host)), writer_(writer), metrics_(metrics) {}
  Housekeeping(const Housekeeping&) = delete;
  Housekeeping& operator=(const Housekeeping&) = delete;

  void start() {
    sample_host();
    tidy_up();
  }
  void stop() { stopped_ = true; }
  /// `host_metrics` 0: no samples; `stale_days` 0: no session goes.
  void set(std::chrono::seconds host_metrics, std::int64_t stale_days) {
    host_metrics_ = host_metrics;
    stale_days_ = stale_days;
  }

 private:
  void sample_host();
  void tidy_up();

  Host host_;
  Writer& writer_;
  MetricsThread& metrics_;
  std::chrono::seconds host_metrics_{};
  std::int64_t stale_days_ = 0;
  json sample_;  ///< the answer of host.metrics before
  bool stopped_ = false;
};

}  // namespace gantry::state
