// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_failures.hpp: counts a plugin's recent failures, decides what follows from
// them, and keeps the evidence of the last one.
//
// The first failure within the period has no consequence; the next ones cost a back-off; after more
// than `intensity` the plugin is quarantined.
//
// Thread rule: keep_line() from any thread; the rest by one thread at a time, the plugin's strand.
// Bounds: the last kLastLog log lines of the plugin, kMaxLine bytes of each.
#pragma once

#include <deque>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <gantry/restart_window.hpp>
#include <string>
#include <string_view>

#include "host/services/life_table.hpp"

namespace gantry::host {

struct RestartPolicy {
  bool restart = true;  ///< false: a plugin that failed is not restarted
  int intensity = 3;
  Duration period = std::chrono::seconds(60);
  RetryPolicy backoff{.initial_delay = std::chrono::milliseconds(200),
                      .max_delay = std::chrono::seconds(30),
                      .jitter = 0.25,
                      .seed = 0};
};

class PluginFailures {
 public:
  static constexpr std::size_t kLastLog = 20;
  static constexpr std::size_t kMaxLine = 512;

  explicit PluginFailures(RestartPolicy policy) : policy_(policy) {}

  /// A start begins. `reload`: it does not count as a restart.
  void starts(bool reload) {
    if (!reload || starts_ == 0) ++starts_;
  }
  struct Verdict {
    LifeEvent event;   ///< one of broke_*
    Duration after{};  ///< of broke_back_off
  };
  /// A start failed, or an instance died. `details`: further facts. `too_many`: a reason to
  /// quarantine the plugin whatever happened before; empty: there is none.
  [[nodiscard]] Verdict judge(const std::string& reason, json details, TimePoint now, const std::string& too_many = {});
  /// A restart by hand: forgets all failures.
  void forgive() {
    window_.clear();
    reason_.clear();
  }
  void blame(std::string reason) { reason_ = std::move(reason); }

  void keep_line(std::string_view line);
  [[nodiscard]] const std::string& reason() const { return reason_; }
  [[nodiscard]] const json& evidence() const { return evidence_; }
  [[nodiscard]] std::uint64_t restarts() const { return starts_ == 0 ? 0 : starts_ - 1; }

 private:
  const RestartPolicy policy_;
  RestartWindow window_;
  std::string reason_;  ///< of the last failure, until it is forgiven
  json evidence_;
  std::uint64_t starts_ = 0;
  Mutex mutex_{"last lines of a plugin"};
  std::deque<std::string> lines_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
