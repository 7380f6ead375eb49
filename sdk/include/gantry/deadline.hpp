// SPDX-License-Identifier: Apache-2.0
//
// gantry/deadline.hpp: clocks, which are passed in, and deadlines, which are absolute.
//
// Thread rule: Deadline is a value; a Clock may be read from any thread.
#pragma once

#include <chrono>
#include <optional>

namespace gantry {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

/// The one source of time. It is steady: it never jumps back.
class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;
  [[nodiscard]] virtual TimePoint now() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return std::chrono::steady_clock::now(); }
};

/// A point in time, or none.
class Deadline {
 public:
  Deadline() = default;
  explicit Deadline(TimePoint at) : at_(at) {}
  /// A negative budget means no deadline.
  [[nodiscard]] static Deadline in(Duration budget, TimePoint now) {
    return budget < Duration::zero() ? Deadline() : Deadline(now + budget);
  }

  [[nodiscard]] bool exists() const { return at_.has_value(); }
  /// Ask exists() first.
  [[nodiscard]] TimePoint at() const { return *at_; }  // NOLINT(bugprone-unchecked-optional-access)
  [[nodiscard]] bool passed(TimePoint now) const { return at_ && now >= *at_; }
  /// The time until then, at least zero; empty when there is no deadline.
  [[nodiscard]] std::optional<Duration> remaining(TimePoint now) const {
    if (!at_) return std::nullopt;
    return *at_ > now ? *at_ - now : Duration::zero();
  }
  /// The earlier of the two.
  [[nodiscard]] Deadline min(Deadline other) const {
    if (!at_) return other;
    if (!other.at_) return *this;
    return Deadline(std::min(*at_, *other.at_));
  }

 private:
  std::optional<TimePoint> at_;
};

}  // namespace gantry
