// SPDX-License-Identifier: Apache-2.0
//
// host/tasks/restart_window.hpp: counts recent restarts, as in Erlang/OTP (design principles,
// "Maximum Restart Intensity").
//
// Thread rule: guarded by its owner's lock.
#pragma once

#include <algorithm>
#include <deque>
#include <gantry/retry.hpp>
#include <utility>

namespace gantry {

class RestartWindow {
 public:
  /// Counts a restart. False: more than `intensity` within `period`.
  [[nodiscard]] bool count(TimePoint now, int intensity, Duration period) {
    at_.push_back(now);
    while (at_.front() + period < now) at_.pop_front();
    return std::cmp_less_equal(at_.size(), intensity);
  }
  /// Would count() say so?
  [[nodiscard]] bool has_room(TimePoint now, int intensity, Duration period) const {
    return std::cmp_less(std::ranges::count_if(at_, [&](TimePoint at) { return at + period >= now; }), intensity);
  }
  /// The n-th delay of `policy`, n being the restarts of late less `skip`. The first one when there are none.
  [[nodiscard]] Duration delay(const RetryPolicy& policy, std::size_t skip = 0) const {
    Backoff backoff(policy);
    Duration delay = policy.initial_delay;
    for (std::size_t i = skip; i < at_.size(); ++i) delay = backoff.next().value_or(policy.max_delay);
    return delay;
  }
  /// As many as the last count() found.
  [[nodiscard]] std::size_t size() const { return at_.size(); }
  void clear() { at_.clear(); }

 private:
  std::deque<TimePoint> at_;
};

}  // namespace gantry
