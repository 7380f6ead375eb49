// SPDX-License-Identifier: Apache-2.0
//
// The host as a plugin sees it: what it calls back, from any thread. See inline_plugin.cpp for who may touch what.
#include <algorithm>
#include <gantry/plugin/host.hpp>
#include <utility>

#include "host/bus/topic.hpp"
#include "host/plugins/inline_plugin.hpp"
#include "host/plugins/plugin_call.hpp"
#include "host/runtime/json_text.hpp"

namespace gantry::host {

using detail::to_bytes;
using detail::to_view;

namespace {

constexpr std::size_t kMaxPluginJsonDepth = 1000;

[[nodiscard]] InlinePlugin& self(void* ctx) { return *static_cast<InlinePlugin*>(ctx); }

[[nodiscard]] bool any_matches(const std::vector<std::string>& patterns, std::string_view topic) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const auto& p) { return topic_matches(p, topic); });
}

/// The wire's error of a plugin: {"message", "data"?}.
[[nodiscard]] Error parse_error_payload(std::int32_t status, std::string_view payload, const std::string& name) {
  const ErrorKind kind = is_error_kind(status) ? static_cast<ErrorKind>(status) : ErrorKind::internal;
  const auto doc = parse_json(payload);
  if (!doc || !doc->is_object()) return Error{kind, name + " answered with an error that is no object", {}};
  const auto text = doc->find("message");
  Error error{kind, text != doc->end() && text->is_string() ? text->get<std::string>() : name + " failed", {}};
  if (const auto data = doc->find("data"); data != doc->end() && data->is_object()) error.data = dump_json(*data);
  return error;
}

}  // namespace

void InlinePlugin::fill_host_table() {
  host_.size = sizeof host_;
  host_.ctx = this;
  host_.send = [](void* ctx, const gantry_msg* msg) { return self(ctx).on_send(*msg); };
  host_.post = [](void* ctx, void (*fn)(void*), void* arg) { return self(ctx).on_post(fn, arg); };
  host_.log = [](void* ctx, std::int32_t level, gantry_bytes line) { self(ctx).on_log(level, to_view(line)); };
  host_.cancelled = [](void* ctx, std::uint64_t id) { return self(ctx).on_cancelled(id); };
  host_.extension = [](void*, const char* id) -> const void* {
    static const gantry_timers timers{
        sizeof(gantry_timers), 0,
        [](void* c) -> std::int64_t { return self(c).deps_.timers.now().time_since_epoch().count(); },
        [](void* c, std::int64_t delay, void (*fn)(void*), void* arg) {
          return self(c).on_timer_start(delay, fn, arg);
        },
        [](void* c, std::uint64_t timer) { return self(c).on_timer_cancel(timer); }};
    static const gantry_origins origins{
        sizeof(gantry_origins), 0,
        [](void* c, std::uint64_t origin, void* out, void (*sink)(void*, gantry_bytes)) -> std::int32_t {
          const auto described = self(c).deps_.describe_origin(origin);
          if (!described) return 0;
          sink(out, to_bytes(*described));
          return 1;
        }};
    const std::string_view wanted(id);
    if (wanted == GANTRY_TIMERS_EXT) return &timers;
    if (wanted == GANTRY_ORIGINS_EXT) return &origins;
    return nullptr;
  };
}

std::int32_t InlinePlugin::on_send(const gantry_msg& msg) {
  if (msg.size < sizeof(gantry_msg)) return GANTRY_INVALID;
  if (msg.kind == GANTRY_CREDIT) {
    const auto call = find(msg.id);
    return call ? call->take_credit(msg.credit) : GANTRY_CLOSED;
  }
  const bool end = msg.kind == GANTRY_ITEM && (msg.flags & GANTRY_END) != 0;
  if (end) {
    const auto call = find(msg.id);
    return call ? call->take_end() : GANTRY_CLOSED;
  }
  if (msg.encoding != GANTRY_JSON || msg.payload.size > deps_.max_payload_bytes) {
    on_log(GANTRY_ERROR, "sent a payload that is no JSON, or larger than the limit; it was refused");
    if (msg.kind != GANTRY_RESPONSE) return GANTRY_INVALID;
    return on_response(msg, "");
  }
  std::string payload;
  payload.reserve(msg.payload.size + 64);
  payload = to_view(msg.payload);
  if (auto ok = check_json(payload, kMaxPluginJsonDepth); !ok) {
    on_log(GANTRY_ERROR, "sent a payload that is refused: " + ok.error().message);
    if (msg.kind != GANTRY_RESPONSE) return GANTRY_INVALID;
    payload.clear();
  }
  switch (msg.kind) {
    case GANTRY_RESPONSE:
      return on_response(msg, std::move(payload));
    case GANTRY_EVENT:
      return on_event(msg, std::move(payload));
    case GANTRY_ITEM: {
      const auto call = find(msg.id);
      return call ? call->take_item(payload) : GANTRY_CLOSED;
    }
    case GANTRY_PROGRESS: {
      const auto call = find(msg.id);
      return call ? call->take_progress(payload) : GANTRY_CLOSED;
    }
    default:
      return GANTRY_INVALID;
  }
}

std::int32_t InlinePlugin::on_response(const gantry_msg& msg, std::string payload) {
  std::shared_ptr<PluginCall> call;
  std::optional<std::pair<std::uint64_t, oneshot::Sender<bool>>> stopped;
  {
    Lock lock(mutex_);
    if (stop_reply_ && stop_reply_->first == msg.id) {
      stopped = std::move(stop_reply_);
      stop_reply_.reset();
    } else if (const auto it = calls_.find(msg.id); it != calls_.end()) {
      call = std::move(it->second);
      calls_.erase(it);
    }
  }
  if (stopped) {
    (void)stopped->second.send(true);
    return GANTRY_OK;
  }
  if (!call) return GANTRY_CLOSED;
  if (msg.status != 0) {
    call->finish(std::unexpected(parse_error_payload(msg.status, payload, "plugin " + name_)));
  } else if (payload.empty()) {
    call->finish(fail(ErrorKind::internal, "plugin " + name_ + " answered with something that is not valid JSON"));
  } else {
    call->finish(std::move(payload));
  }
  return GANTRY_OK;
}

std::int32_t InlinePlugin::on_event(const gantry_msg& msg, std::string payload) {
  const std::string topic(to_view(msg.topic));
  if (!check_topic(topic) || !any_matches(manifest_.publishes, topic)) {
    on_log(GANTRY_WARN, "published on \"" + topic + "\", which its manifest does not list; the event was refused");
    return GANTRY_INVALID;
  }
  const bool own_log = msg.epoch.size != 0;
  if (own_log && (!any_matches(manifest_.logs, topic) || msg.epoch.size > 64)) return GANTRY_INVALID;
  const auto published =
      own_log ? deps_.bus.publish_logged(topic, std::string(to_view(msg.epoch)), msg.id, std::move(payload))
              : deps_.bus.publish(topic, std::move(payload));
  if (published) return GANTRY_OK;
  return published.error().kind == ErrorKind::unavailable ? GANTRY_CLOSED : GANTRY_INVALID;
}

std::int32_t InlinePlugin::on_post(void (*fn)(void*), void* arg) {
  if (posts_.fetch_add(1) >= kMaxPosts) {
    posts_.fetch_sub(1);
    return GANTRY_FULL;
  }
  // `this` outlives the queue's tasks: destroy comes after the queue has drained.
  const bool taken = serial_->push([this, fn, arg] {
    posts_.fetch_sub(1);
    fn(arg);
  });
  if (!taken) posts_.fetch_sub(1);
  return taken ? GANTRY_OK : GANTRY_CLOSED;
}

void InlinePlugin::on_log(std::int32_t level, std::string_view line) {
  const auto known =
      std::clamp(level, static_cast<std::int32_t>(GANTRY_TRACE), static_cast<std::int32_t>(GANTRY_ERROR));
  if (known == GANTRY_ERROR) {
    Lock lock(mutex_);
    last_error_.assign(line.substr(0, 1024));
  }
  deps_.log.write(static_cast<Level>(known), name_, line);
}

std::int32_t InlinePlugin::on_cancelled(std::uint64_t id) const {
  const auto call = find(id);
  return !call || call->over() ? 1 : 0;
}

std::uint64_t InlinePlugin::on_timer_start(std::int64_t delay_ns, void (*fn)(void*), void* arg) {
  std::uint64_t id = 0;
  {
    Lock lock(mutex_);
    if (destroyed_ || timers_.size() >= kMaxTimers) return 0;
    id = next_timer_++;
    timers_.emplace(id, 0);
  }
  const auto key =
      deps_.timers.after(Duration(std::max<std::int64_t>(delay_ns, 0)), [weak = weak_from_this(), id, fn, arg] {
        const auto plugin = weak.lock();
        if (!plugin) return;
        // It counts until it runs, and can be cancelled until then.
        (void)plugin->serial_->push([p = plugin.get(), id, fn, arg] {
          {
            Lock lock(p->mutex_);
            if (p->timers_.erase(id) == 0) return;
          }
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
  (void)deps_.timers.cancel(key);
  return 1;
}

}  // namespace gantry::host
