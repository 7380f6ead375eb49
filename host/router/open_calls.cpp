// SPDX-License-Identifier: Apache-2.0
#include "host/router/open_calls.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "host/router/routed_call.hpp"

namespace gantry::host {

struct OpenCalls::Part {
  struct DeadlineOf {
    using type = TimePoint;
    type operator()(const Place& place) const { return place.deadline_; }
  };
  mutable Mutex mutex{"open calls"};
  boost::intrusive::multiset<Place, boost::intrusive::key_of_value<DeadlineOf>,
                             boost::intrusive::constant_time_size<false>>
      calls GANTRY_GUARDED_BY(mutex);
  TimePoint timer_at GANTRY_GUARDED_BY(mutex) = TimePoint::max();  ///< max: no timer is set
  TimerKey timer GANTRY_GUARDED_BY(mutex) = 0;
};

OpenCalls::OpenCalls(Timers& timers) : timers_(timers), parts_(std::make_unique<Striped<Part>>()) {}

OpenCalls::~OpenCalls() {
  for (auto& part : *parts_) {
    const Lock lock(part.mutex);
    assert(part.calls.empty());
    (void)timers_.cancel(part.timer);
  }
}

bool OpenCalls::enter(RoutedCall& call) {
  Part& part = parts_->mine();
  Place& place = call;
  if (call.request().deadline.exists()) place.deadline_ = call.request().deadline.at();
  const Lock lock(part.mutex);
  if (is_closed()) return false;
  place.part_ = &part;
  part.calls.insert(part.calls.end(), place);  // most often the latest deadline
  if (place.deadline_ < part.timer_at) set_timer(part, place.deadline_);
  return true;
}

void OpenCalls::leave(RoutedCall& call) {
  Place& place = call;
  if (place.part_ == nullptr) return;
  Part& part = *std::exchange(place.part_, nullptr);
  const Lock lock(part.mutex);
  part.calls.erase(part.calls.iterator_to(place));
}

// A timer never runs inside at() or cancel().
void OpenCalls::set_timer(Part& part, TimePoint when) GANTRY_REQUIRES(part.mutex) {
  if (part.timer != 0) (void)timers_.cancel(part.timer);
  part.timer_at = when;
  part.timer = timers_.at(when, [this, &part] { expire(part); });
}

// A call that has expired stays in the set until it has left by itself.
void OpenCalls::expire(Part& part) {
  std::vector<RoutedCallPtr> late;
  {
    const Lock lock(part.mutex);
    part.timer = 0;
    part.timer_at = TimePoint::max();
    const auto next = part.calls.upper_bound(timers_.now());
    for (auto it = part.calls.begin(); it != next; ++it) late.emplace_back(static_cast<RoutedCall*>(&*it));
    if (next != part.calls.end() && next->deadline_ != TimePoint::max()) set_timer(part, next->deadline_);
  }
  for (const auto& call : late) call->expire();
}

bool OpenCalls::empty() const {
  return std::ranges::all_of(*parts_, [](const auto& part) {
    const Lock lock(part.mutex);
    return part.calls.empty();
  });
}

std::vector<RoutedCallPtr> OpenCalls::all() const {
  std::vector<RoutedCallPtr> out;
  for (auto& part : *parts_) {
    const Lock lock(part.mutex);
    for (Place& place : part.calls) out.emplace_back(static_cast<RoutedCall*>(&place));
  }
  return out;
}

}  // namespace gantry::host
