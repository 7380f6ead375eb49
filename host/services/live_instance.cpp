// SPDX-License-Identifier: Apache-2.0
#include "host/services/live_instance.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "host/runtime/worker.hpp"

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
    now = peek();
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
  PluginInstance before;  // it may end here, after the lock
  std::vector<Callback> waiting;
  {
    const Lock lock(mutex_);
    before = peek();
    instance_.publish(instance);
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
  last = peek();
  if (last && (!instance || last == instance)) instance_.publish(PluginInstance());
}

void LiveInstance::hold(std::optional<TimePoint> until) {
  const Lock lock(mutex_);
  held_until_ = until;
}

void LiveInstance::release() {
  const Lock lock(mutex_);
  held_until_ = TimePoint{};
}

// The thread of a worker serves one host.
InstanceReaders& InstanceReaders::here() {
  thread_local InstanceReaders readers;
  return readers;
}

InstanceReaders::Borrowed InstanceReaders::borrow(const LiveInstance& of) {
  if (Worker::current() == nullptr) return {};
  InstanceReaders& here = InstanceReaders::here();
  if (here.lent_) return {};  // what is lent must not be replaced by a newer one
  if (of.number_ >= here.readers_.size()) here.readers_.resize(of.number_ + 1);
  auto& reader = here.readers_[of.number_];
  if (!reader) reader.emplace(of.instance_);
  here.lent_ = true;  // from here on: the end of an older instance may lead to another call
  Plugin* const plugin = reader->get().get();
  here.lent_ = plugin != nullptr;
  if (plugin == nullptr) return {};
  return {here, plugin};
}

// The end of an instance may lead to a call that borrows.
void InstanceReaders::release() {
  InstanceReaders& here = InstanceReaders::here();
  here.readers_.swap(here.released_);
  here.released_.clear();
}

}  // namespace gantry::host
