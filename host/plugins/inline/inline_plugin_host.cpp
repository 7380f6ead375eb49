// SPDX-License-Identifier: Apache-2.0
//
// The host as a plugin sees it: what it calls back, from any thread. See inline_plugin.cpp for who may touch what.
#include <algorithm>
#include <gantry/plugin/host.hpp>
#include <utility>

#include "host/plugins/inline/inline_plugin.hpp"

namespace gantry::host {

using detail::to_bytes;
using detail::to_view;

namespace {

[[nodiscard]] InlinePlugin& self(void* ctx) { return *static_cast<InlinePlugin*>(ctx); }

}  // namespace

void InlinePlugin::fill_host_table() {
  host_.size = sizeof host_;
  host_.ctx = this;
  host_.send = [](void* ctx, const gantry_msg* msg) {
    // An abandoned one that comes back has nobody to speak to.
    return self(ctx).abandoned_ ? static_cast<std::int32_t>(GANTRY_CLOSED) : self(ctx).take(*msg, {});
  };
  host_.post = [](void* ctx, void (*fn)(void*), void* arg) { return self(ctx).on_post(fn, arg); };
  host_.log = [](void* ctx, std::int32_t level, gantry_bytes line) {
    if (!self(ctx).abandoned_) self(ctx).take_log(level, to_view(line));
  };
  host_.cancelled = [](void* ctx, std::uint64_t id) { return self(ctx).is_cancelled(id); };
  host_.extension = [](void*, const char* id) -> const void* {
    static const gantry_timers timers{
        sizeof(gantry_timers), 0,
        [](void* c) -> std::int64_t { return self(c).timers().now().time_since_epoch().count(); },
        [](void* c, std::int64_t delay, void (*fn)(void*), void* arg) {
          return self(c).on_timer_start(delay, fn, arg);
        },
        [](void* c, std::uint64_t timer) { return self(c).on_timer_cancel(timer); }};
    static const gantry_origins origins{
        sizeof(gantry_origins), 0,
        [](void* c, std::uint64_t origin, void* out, void (*sink)(void*, gantry_bytes)) -> std::int32_t {
          const auto described = self(c).abandoned_ ? std::nullopt : self(c).port().describe(origin);
          if (!described) return 0;
          sink(out, to_bytes(*described));
          return 1;
        }};
    static const gantry_descriptors descriptors{
        sizeof(gantry_descriptors), 0,
        [](void* c, const gantry_msg* msg, const std::int32_t* fds, std::uint32_t count) {
          return self(c).on_send(*msg, fds, count);
        },
        [](void* c, std::int32_t* fds, std::uint32_t max) { return self(c).on_take(fds, max); }};
    static const gantry_handover handover{sizeof(gantry_handover), 0,
                                          [](void* c, gantry_bytes state) {
                                            return self(c).abandoned_ ? static_cast<std::int32_t>(GANTRY_CLOSED)
                                                                      : self(c).take_handover_state(to_view(state));
                                          },
                                          [](void* c, std::uint64_t id) {
                                            return self(c).abandoned_ ? static_cast<std::int32_t>(GANTRY_CLOSED)
                                                                      : self(c).give_stream(id);
                                          },
                                          [](void* c, void* out, void (*sink)(void*, gantry_bytes)) -> std::int32_t {
                                            const auto* const state = self(c).handed_over();
                                            if (state == nullptr || self(c).started_) return 0;
                                            sink(out, to_bytes(*state));
                                            return 1;
                                          }};
    const std::string_view wanted(id);
    if (wanted == GANTRY_TIMERS_EXT) return &timers;
    if (wanted == GANTRY_ORIGINS_EXT) return &origins;
    if (wanted == GANTRY_DESCRIPTORS_EXT) return &descriptors;
    if (wanted == GANTRY_HANDOVER_EXT) return &handover;
    return nullptr;
  };
}

// In a process of its own the host must have stopped sending before the plugin is told that it has given the stream.
std::int32_t InlinePlugin::give_stream(std::uint64_t id) {
  const std::int32_t status = take_stream(id);
  if (status == GANTRY_OK) port().gave_stream(id);
  return status;
}

std::int32_t InlinePlugin::on_post(void (*fn)(void*), void* arg) {
  if (abandoned_) return GANTRY_CLOSED;
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

std::int32_t InlinePlugin::on_send(const gantry_msg& msg, const std::int32_t* fds, std::uint32_t count) {
  if ((msg.kind != GANTRY_CALL && msg.kind != GANTRY_RESPONSE) || count > GANTRY_MAX_DESCRIPTORS) return GANTRY_INVALID;
  if (abandoned_) return GANTRY_CLOSED;
  Descriptors copies;
  for (std::uint32_t i = 0; i < count; ++i) {
    auto copy = Descriptor::duplicate(fds[i]);
    if (!copy) return copy.error().kind == ErrorKind::overloaded ? GANTRY_FULL : GANTRY_INVALID;
    copies.push_back(std::move(*copy));
  }
  return take(msg, std::move(copies));
}

// Serial.
std::uint32_t InlinePlugin::on_take(std::int32_t* fds, std::uint32_t max) {
  std::uint32_t count = 0;
  for (auto& descriptor : handed_) {
    if (count == max) break;
    fds[count++] = descriptor.release();
  }
  handed_.clear();
  return count;
}

std::uint64_t InlinePlugin::on_timer_start(std::int64_t delay_ns, void (*fn)(void*), void* arg) {
  if (abandoned_) return 0;
  std::uint64_t id = 0;
  {
    Lock lock(mutex_);
    if (destroyed_ || timers_.size() >= kMaxTimers) return 0;
    id = next_timer_++;
    timers_.emplace(id, 0);
  }
  const auto key = timers().after(Duration(std::max<std::int64_t>(delay_ns, 0)), [weak = weak_self(), id, fn, arg] {
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

std::int32_t InlinePlugin::on_timer_cancel(std::uint64_t id) {
  TimerKey key = 0;
  {
    Lock lock(mutex_);
    const auto it = timers_.find(id);
    if (it == timers_.end()) return 0;
    key = it->second;
    timers_.erase(it);
  }
  (void)timers().cancel(key);
  return 1;
}

}  // namespace gantry::host
