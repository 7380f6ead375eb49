// SPDX-License-Identifier: Apache-2.0
//
// Helpers for the tests of the sdk: a clock that stands still until a test moves it.
#pragma once

#include <atomic>
#include <gantry/deadline.hpp>

namespace sdk_test {

class StillClock final : public gantry::Clock {
 public:
  [[nodiscard]] gantry::TimePoint now() const override { return gantry::TimePoint(gantry::Duration(now_.load())); }
  void advance(gantry::Duration by) { now_ += by.count(); }

 private:
  std::atomic<gantry::Duration::rep> now_{1'000'000'000'000};
};

}  // namespace sdk_test
