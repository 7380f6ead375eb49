// SPDX-License-Identifier: Apache-2.0
//
// The host as a plugin sees it: what it calls back, from any thread. See inline_plugin.cpp for who may touch what.
#include <algorithm>
#include <utility>

#include "host/plugins/inline/inline_plugin.hpp"

namespace gantry::host {

// life_ is changed before using_host_ is read, and using_host_ before life_: one of the two threads sees the other.
void InlinePlugin::end_use() {
  if (--using_host_ != 0 || !is_cut_off()) return;
  Lock lock(mutex_);
  outside_.notify_all();
}

void InlinePlugin::wait_until_outside(Duration budget) {
  const auto until = std::chrono::steady_clock::now() + budget;
  Lock lock(mutex_);
  while (using_host_ != 0)
    if (!outside_.wait_until(mutex_, until)) return;
}

// In a process of its own the host must have stopped sending before the plugin is told that it has given the stream.
std::int32_t InlinePlugin::on_give_stream(std::uint64_t id) {
  const UsesHost host(*this);
  if (!host) return GANTRY_CLOSED;
  const std::int32_t status = take_stream(id);
  if (status == GANTRY_OK) port().gave_stream(id);
  return status;
}

std::int32_t InlinePlugin::on_post(void (*fn)(void*), void* arg) {
  const UsesHost host(*this);
  if (!host) return GANTRY_CLOSED;
  if (posts_.fetch_add(1) >= kMaxPosts) {
    posts_.fetch_sub(1);
    return GANTRY_FULL;
  }
  // `this` outlives the queue's tasks: destroy comes after the queue has drained.
  const bool taken = serial_->push([this, fn, arg] {
    posts_.fetch_sub(1);
    const Inside inside(*this, "a posted task");
    fn(arg);
  });
  if (!taken) posts_.fetch_sub(1);
  return taken ? GANTRY_OK : GANTRY_CLOSED;
}

std::int32_t InlinePlugin::on_send(const gantry_msg& msg, Descriptors descriptors) {
  const UsesHost host(*this);
  return host ? take(msg, std::move(descriptors)) : static_cast<std::int32_t>(GANTRY_CLOSED);
}

void InlinePlugin::on_log(std::int32_t level, std::string_view line) {
  if (const UsesHost host(*this); host) take_log(level, line);
}

std::optional<std::string> InlinePlugin::on_describe(std::uint64_t origin) {
  const UsesHost host(*this);
  return host ? port().describe(origin) : std::nullopt;
}

std::int32_t InlinePlugin::on_give_state(std::string_view state) {
  const UsesHost host(*this);
  return host ? take_handover_state(state) : static_cast<std::int32_t>(GANTRY_CLOSED);
}

std::optional<std::string> InlinePlugin::on_take_state() const {
  const auto* const state = handed_over();
  return state == nullptr || life_ != Life::loaded ? std::nullopt : std::optional(*state);
}

TimePoint InlinePlugin::on_now() {
  const UsesHost host(*this);
  return host ? timers().now() : TimePoint::clock::now();
}

std::uint64_t InlinePlugin::on_timer_start(Duration delay, void (*fn)(void*), void* arg) {
  const UsesHost host(*this);
  if (!host) return 0;
  std::uint64_t id = 0;
  {
    Lock lock(mutex_);
    if (life_ >= Life::destroying || timers_.size() >= kMaxTimers) return 0;
    id = next_timer_++;
    timers_.emplace(id, 0);
  }
  const auto key = timers().after(std::max(delay, Duration::zero()), [weak = weak_self(), id, fn, arg] {
    const auto plugin = weak.lock();
    if (!plugin) return;
    // It counts until it runs, and can be cancelled until then.
    (void)plugin->serial_->push([p = plugin.get(), id, fn, arg] {
      {
        Lock lock(p->mutex_);
        if (p->timers_.erase(id) == 0) return;
      }
      const Inside inside(*p, "a timer");
      fn(arg);
    });
  });
  Lock lock(mutex_);
  if (const auto it = timers_.find(id); it != timers_.end()) it->second = key;
  return id;
}

bool InlinePlugin::on_timer_cancel(std::uint64_t id) {
  const UsesHost host(*this);
  if (!host) return false;
  TimerKey key = 0;
  {
    Lock lock(mutex_);
    const auto it = timers_.find(id);
    if (it == timers_.end()) return false;
    key = it->second;
    timers_.erase(it);
  }
  (void)timers().cancel(key);
  return true;
}

}  // namespace gantry::host
