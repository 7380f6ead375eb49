// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/plugin.hpp"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <gantry/plugin/host.hpp>
#include <utility>

#include "host/bus/topic.hpp"
#include "host/plugins/handover.hpp"
#include "host/runtime/json_text.hpp"

namespace gantry::host {

using detail::make_msg;
using detail::to_bytes;
using detail::to_view;

namespace {

constexpr std::size_t kMaxPluginJsonDepth = 1000;
constexpr std::size_t kMaxMethod = 256;
constexpr std::size_t kMaxEpoch = 64;
/// A message as version 1.0 has it. Later members are looked at only when `size` covers them.
constexpr std::size_t kMessageOf1 = offsetof(gantry_msg, epoch) + sizeof(gantry_bytes);

[[nodiscard]] bool any_matches(const std::vector<std::string>& patterns, std::string_view topic) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const auto& p) { return topic_matches(p, topic); });
}

}  // namespace

Plugin::Plugin(PluginBasics basics)
    : basics_(std::move(basics)), calls_(kMaxOpenCalls, basics_.handed_over ? basics_.handed_over->next_id() : 0) {}

// One that has not started was never stopped either.
Plugin::~Plugin() {
  own_calls_.close();
  assert(calls_.size() == 0);  // each was answered
}

Result<void> Plugin::open(const PluginCallPtr& call, std::uint64_t id) {
  const std::uint32_t attempt = call->begin_attempt();
  if (attempt == 0) return {};
  const auto entered = calls_.enter(call, id, [&] { call->enter(*this); });
  if (entered == CallTable::Entered::yes) {
    deliver_call(call);
    call->begun(attempt);
    return {};
  }
  call->end_attempt();
  if (entered == CallTable::Entered::closed) return fail(ErrorKind::unavailable, "plugin " + name() + " is stopping");
  return fail(ErrorKind::overloaded, "plugin " + name() + " has " + std::to_string(calls_.size()) + " open calls",
              R"({"retry_after_ms":100})");
}

// For who waits until it has none, while it stops.
void Plugin::fewer_are_open() {
  if (!calls_.is_closed()) return;
  Lock lock(mutex_);
  idle_.notify_all();
}

PluginCallPtr Plugin::take_out(std::uint64_t id) {
  auto call = calls_.take(id);
  fewer_are_open();
  return call;
}

std::vector<PluginCallPtr> Plugin::take_out(const std::function<bool(const PluginCall&)>& wanted) {
  std::vector<PluginCallPtr> out;
  calls_.each([&](PluginCall& call) {
    if (wanted(call)) out.emplace_back(&call);
  });
  std::erase_if(out, [this](const auto& call) { return !forget(*call); });  // answered meanwhile
  return out;
}

bool Plugin::forget(const PluginCall& call) {
  const auto last = calls_.take_if(call.id(), [&](const PluginCall& found) { return &found == &call; });
  if (last) fewer_are_open();
  return last != nullptr;
}

void Plugin::deliver_call(PluginCallPtr call) {
  PluginCall& called = *call;
  if (has_room() && deliver([call = std::move(call)](Plugin& p) { call->deliver(p); })) return;
  if (!forget(called)) return;
  called.finish(has_room() ? fail(ErrorKind::unavailable, "plugin " + name() + " is stopping")
                           : fail(ErrorKind::overloaded, "the mailbox of plugin " + name() + " is full",
                                  R"({"retry_after_ms":100})"));
}

void Plugin::reconfigure(std::function<json()> config) {
  if (reconfigure_waits_.exchange(true)) return;
  const bool taken = deliver([ask = std::move(config)](Plugin& p) {
    p.reconfigure_waits_ = false;
    const std::string text = dump_json(ask());
    auto msg = make_msg(GANTRY_EVENT, 0);
    msg.topic = to_bytes("host.plugin.config");
    msg.payload = to_bytes(text);
    (void)p.hand(msg, {});
  });
  if (!taken) reconfigure_waits_ = false;
}

void Plugin::gone(OriginId origin) {
  {
    Lock lock(mutex_);
    gone_.push_back(origin);
    if (std::exchange(gone_waits_, true)) return;
  }
  const bool taken = deliver([](Plugin& p) {
    std::vector<OriginId> origins;
    {
      Lock lock(p.mutex_);
      p.gone_waits_ = false;
      origins.swap(p.gone_);
    }
    for (const OriginId gone : origins) {
      auto msg = make_msg(GANTRY_GONE, 0);
      msg.origin = gone;
      (void)p.hand(msg, {});
    }
  });
  if (taken) return;
  Lock lock(mutex_);
  gone_waits_ = false;  // the next one takes it along
}

void Plugin::answer_open(const Error& error) {
  const auto calls = calls_.take_all();
  fewer_are_open();
  for (const auto& call : calls) call->finish(std::unexpected(error));
}

void Plugin::answer_all(const Error& error) {
  answer_open(error);
  own_calls_.close();
  port().left();
}

bool Plugin::serves(OriginId origin) const {
  bool found = false;
  calls_.each([&](const PluginCall& call) { found = found || call.request().origin == origin; });
  return found;
}

OpenMethods Plugin::open_methods() const {
  std::vector<PluginCallPtr> calls;
  calls_.each([&](PluginCall& call) { calls.emplace_back(&call); });
  std::ranges::sort(calls, {}, [](const auto& call) { return call->id(); });
  OpenMethods out;
  for (const auto& call : calls) {
    if (out.oldest.size() == OpenMethods::kMax) break;
    out.oldest.push_back(call->request().method);
  }
  out.more = calls.size() - out.oldest.size();
  return out;
}

Result<std::string_view> Plugin::checked_payload(const gantry_msg& msg) const {
  if (msg.encoding != GANTRY_JSON) return fail(ErrorKind::invalid_params, "it is no JSON");
  const std::size_t limit = basics_.max_payload_bytes;
  if (msg.payload.size > limit)
    return fail(ErrorKind::too_large,
                "it has " + std::to_string(msg.payload.size) + " bytes, a message may have " + std::to_string(limit) +
                    " (host.max_message_bytes)",
                dump_json({{"limit", limit}}));
  const std::string_view payload = to_view(msg.payload);
  if (auto ok = check_json(payload, kMaxPluginJsonDepth); !ok) return std::unexpected(ok.error());
  return payload;
}

std::int32_t Plugin::take(const gantry_msg& msg, Descriptors descriptors) {
  if (msg.size < kMessageOf1) return GANTRY_INVALID;
  if ((msg.id & GANTRY_OWN_CALL) != 0 && msg.kind != GANTRY_EVENT) return take_own(msg, std::move(descriptors));
  const bool end = msg.kind == GANTRY_ITEM && (msg.flags & GANTRY_END) != 0;
  if (end || msg.kind == GANTRY_CREDIT) {
    const auto call = find(msg.id);
    if (!call) return GANTRY_CLOSED;
    return end ? call->take_end() : call->take_credit(msg.credit);
  }
  auto payload = checked_payload(msg);
  if (!payload) {
    take_log(GANTRY_ERROR, "sent a payload that is refused: " + payload.error().message);
    if (msg.kind != GANTRY_RESPONSE) return GANTRY_INVALID;
  }
  switch (msg.kind) {
    case GANTRY_RESPONSE:
      return take_response(msg, payload, std::move(descriptors));
    case GANTRY_EVENT:
      return take_event(msg, std::string(*payload));
    case GANTRY_ITEM: {
      const auto call = find(msg.id);
      if (!call) return GANTRY_CLOSED;
      if (tries_again()) return call->take_item(*payload);
      const std::int32_t taken = call->take_item_for_good(std::string(*payload));
      if (taken != GANTRY_FULL) return taken;
      // A stream does not go on with a hole in it.
      if (const auto ended = take_out(msg.id)) {
        ended->cancel();
        ended->finish(
            fail(ErrorKind::plugin_died, "plugin " + name() + " sent more items than there was credit or room"));
      }
      return taken;
    }
    case GANTRY_PROGRESS: {
      const auto call = find(msg.id);
      return call ? call->take_progress(*payload) : GANTRY_CLOSED;
    }
    default:
      return GANTRY_INVALID;
  }
}

// Of a call that the plugin makes itself.
std::int32_t Plugin::take_own(const gantry_msg& msg, Descriptors descriptors) {
  const bool end = msg.kind == GANTRY_ITEM && (msg.flags & GANTRY_END) != 0;
  const bool call = msg.kind == GANTRY_CALL;
  if (end || (!call && msg.kind != GANTRY_ITEM)) return own_calls_.take(*this, msg, {}, {});
  auto payload = checked_payload(msg);
  if (payload && call && payload->front() != '{')
    payload = fail(ErrorKind::invalid_params, "the params of a call are one JSON object");
  if (!payload || (call && (msg.topic.size == 0 || msg.topic.size > kMaxMethod || msg.traceparent.size > kMaxMethod ||
                            msg.idempotency_key.size > kMaxMethod))) {
    take_log(GANTRY_ERROR, "sent a call that is refused: " +
                               (payload ? "its method, trace or key is empty or too long" : payload.error().message));
    return GANTRY_INVALID;
  }
  return own_calls_.take(*this, msg, std::string(*payload), std::move(descriptors));
}

std::int32_t Plugin::take_response(const gantry_msg& msg, Result<std::string_view> payload, Descriptors descriptors) {
  if (msg.id != 0 && msg.id == stop_id_.load(std::memory_order_acquire)) {
    std::optional<oneshot::Sender<bool>> stopped;
    {
      Lock lock(mutex_);
      stopped.swap(stop_reply_);
    }
    if (!stopped) return GANTRY_CLOSED;
    (void)stopped->send(true);
    return GANTRY_OK;
  }
  const auto call = take_out(msg.id);
  if (!call) return GANTRY_CLOSED;
  if (msg.status != 0) {
    call->finish(
        std::unexpected(detail::parse_error(msg.status, payload.value_or(std::string_view()), "plugin " + name())));
  } else if (payload && descriptors.empty()) {
    call->finish(PluginAnswer(*payload));
  } else if (payload) {
    call->finish(Result<Answer>(Answer(std::string(*payload), std::move(descriptors))));
  } else if (payload.error().kind == ErrorKind::too_large) {
    call->finish(fail(
        ErrorKind::too_large,
        "the answer of plugin " + name() + " is too large: " + payload.error().message + "; ask for less at a time",
        payload.error().data));
  } else {
    call->finish(fail(ErrorKind::internal, "plugin " + name() + " answered with something that is not valid JSON"));
  }
  return GANTRY_OK;
}

std::int32_t Plugin::take_event(const gantry_msg& msg, std::string payload) {
  const std::string topic(to_view(msg.topic));
  const bool names_log = topic.empty() && msg.epoch.size != 0 && !manifest().logs.empty();
  if (!names_log && (!check_topic(topic) || !any_matches(manifest().publishes, topic))) {
    take_log(GANTRY_WARN, "published on \"" + topic +
                              "\", which its manifest does not list, or nothing grants; the event was refused");
    return GANTRY_INVALID;
  }
  const bool own_log = msg.epoch.size != 0;
  if (own_log && ((!names_log && !any_matches(manifest().logs, topic)) || msg.epoch.size > kMaxEpoch))
    return GANTRY_INVALID;
  const auto published =
      port().publish(topic, std::string(to_view(msg.epoch)), own_log ? msg.id : 0, std::move(payload));
  if (published) return GANTRY_OK;
  if (published.error().kind == ErrorKind::permission_denied) take_log(GANTRY_WARN, published.error().message);
  return published.error().kind == ErrorKind::unavailable ? GANTRY_CLOSED : GANTRY_INVALID;
}

void Plugin::take_log(std::int32_t level, std::string_view line) {
  const auto known =
      std::clamp(level, static_cast<std::int32_t>(GANTRY_TRACE), static_cast<std::int32_t>(GANTRY_ERROR));
  if (known == GANTRY_ERROR) {
    Lock lock(mutex_);
    last_error_.assign(line.substr(0, 1024));
  }
  port().log(static_cast<Level>(known), line);
}

bool Plugin::is_cancelled(std::uint64_t id) const {
  if ((id & GANTRY_OWN_CALL) != 0) return own_calls_.over(id);
  const auto call = find(id);
  return !call || call->is_over();
}

std::string Plugin::last_error() const {
  Lock lock(mutex_);
  return last_error_;
}

std::pair<std::uint64_t, oneshot::Receiver<bool>> Plugin::expect_stop() {
  auto [reply, answer] = oneshot::channel<bool>();
  const std::uint64_t id = calls_.fresh_id();
  Lock lock(mutex_);
  stop_reply_.emplace(std::move(reply));
  stop_id_.store(id, std::memory_order_release);
  return {id, std::move(answer)};
}

}  // namespace gantry::host
