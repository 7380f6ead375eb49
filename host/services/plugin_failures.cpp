// SPDX-License-Identifier: Apache-2.0
#include "host/services/plugin_failures.hpp"

#include <chrono>
#include <utility>

#include "host/observe/wall_clock.hpp"

namespace gantry::host {

PluginFailures::Verdict PluginFailures::judge(const std::string& reason, json details, TimePoint now,
                                              const std::string& too_many) {
  details["died_at"] = wall_clock();
  details["reason"] = reason;
  details["restarts"] = restarts();
  {
    const Lock lock(mutex_);
    details["last_log"] = lines_;
  }
  evidence_ = std::move(details);
  reason_ = reason;
  if (!policy_.restart) return {LifeEvent::broke_hold};
  const bool in_bounds = window_.count(now, policy_.intensity, policy_.period);
  if (!too_many.empty() || !in_bounds) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(policy_.period).count();
    reason_ = !too_many.empty()
                  ? too_many
                  : "it failed " + std::to_string(window_.size()) + (window_.size() == 1 ? " time" : " times") +
                        " within " + std::to_string(seconds) + " s, the last time: " + reason;
    return {LifeEvent::broke_quarantine};
  }
  if (window_.size() == 1) return {LifeEvent::broke_again};
  RetryPolicy backoff = policy_.backoff;
  backoff.max_retries = kNoLimit;
  backoff.seed += starts_;
  return {LifeEvent::broke_back_off, window_.delay(backoff, 1)};
}

void PluginFailures::keep_line(std::string_view line) {
  const Lock lock(mutex_);
  if (lines_.size() == kLastLog) lines_.pop_front();
  lines_.emplace_back(line.substr(0, kMaxLine));
}

}  // namespace gantry::host
