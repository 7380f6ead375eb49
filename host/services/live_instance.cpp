// SPDX-License-Identifier: Apache-2.0
#include "host/services/live_instance.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace gantry::host {

LiveInstance::~LiveInstance() {
  const Lock lock(mutex_);
  assert(waiting_.empty());
}

void LiveInstance::get_async(Callback done) {
  PluginInstance now;
  bool first = false;
  {
    const Lock lock(mutex_);
    now = instance_;
    if (!now) {
      waiting_.push_back(std::move(done));
      first = !std::exchange(wanted_, true);
    }
  }
  if (now) {
    done(std::move(now));  // NOLINT(bugprone-use-after-move): it was moved only where there is no instance
  } else if (first) {
    want_();
  }
}

std::optional<Duration> LiveInstance::held_for() const {
  const Lock lock(mutex_);
  if (!held_until_) return std::nullopt;
  return std::max(*held_until_ - clock_.now(), Duration::zero());
}

void LiveInstance::take_want() {
  const Lock lock(mutex_);
  wanted_ = false;
}

void LiveInstance::serve(const PluginInstance& instance) {
  PluginInstance before;
  std::vector<Callback> waiting;
  {
    const Lock lock(mutex_);
    before = std::exchange(instance_, instance);
    waiting.swap(waiting_);
  }
  for (auto& done : waiting) done(instance);
}

void LiveInstance::refuse(const Error& error) {
  std::vector<Callback> waiting;
  {
    const Lock lock(mutex_);
    waiting.swap(waiting_);
  }
  for (auto& done : waiting) done(std::unexpected(error));
}

void LiveInstance::withdraw(const PluginInstance& instance) {
  PluginInstance last;  // it may end here, after the lock
  const Lock lock(mutex_);
  if (!instance || instance_ == instance) last = std::exchange(instance_, nullptr);
}

void LiveInstance::hold(std::optional<TimePoint> until) {
  const Lock lock(mutex_);
  held_until_ = until;
}

void LiveInstance::release() {
  const Lock lock(mutex_);
  held_until_ = TimePoint{};
}

}  // namespace gantry::host
