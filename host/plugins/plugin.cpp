// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/plugin.hpp"

#include <algorithm>
#include <cstddef>
#include <gantry/plugin/host.hpp>
#include <utility>

#include "host/bus/topic.hpp"
#include "host/plugins/handover.hpp"
#include "host/plugins/plugin_call.hpp"
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

Plugin::Plugin(PluginBasics basics) : basics_(std::move(basics)) {
  if (basics_.handed_over) next_id_ = basics_.handed_over->next_id();
}

// One that has not started was never stopped either.
Plugin::~Plugin() { own_calls_.close(); }

std::shared_ptr<PluginCall> Plugin::open(std::shared_ptr<CallSink> sink, std::uint64_t id) {
  Lock lock(mutex_);
  if (id == 0) id = next_id_;
  next_id_ = std::max(next_id_, id + 1);
  auto call = std::make_shared<PluginCall>(weak_from_this(), id, std::move(sink));
  if (stopping_) {
    call->refuse(Error{ErrorKind::unavailable, "plugin " + name() + " is stopping", {}});
  } else if (calls_.size() >= kMaxOpenCalls) {
    call->refuse(Error{ErrorKind::overloaded,
                       "plugin " + name() + " has " + std::to_string(calls_.size()) + " open calls",
                       R"({"retry_after_ms":100})"});
  } else {
    calls_.emplace(id, call);
  }
  return call;
}

void Plugin::begin(const std::shared_ptr<PluginCall>& call, CallRequest request) {
  if (call->refused()) {
    call->finish(std::unexpected(std::move(*call->refused())));
    return;
  }
  call->name(request.method, request.origin);
  call->allow(request.stream_credit.value_or(0));
  if (request.background) call->background();
  if (request.stream_credit) {
    const auto declared = manifest().methods.find(request.method);
    if (declared != manifest().methods.end() && declared->second.attach) call->attach();
    call->stream();
    if (manifest().handover) call->keep(request);
  }
  deliver_call(call, std::move(request));
  call->begun();
  if (call->is_attach() || call->is_background()) stopping_has_begun(*call);
}

// drain() may have seen it before it was marked as what it is.
void Plugin::stopping_has_begun(PluginCall& call) {
  {
    Lock lock(mutex_);
    if (!stopping_) return;
    idle_.notify_all();
  }
  if (call.is_background()) call.cancel();
}

std::shared_ptr<PluginCall> Plugin::take_out(std::uint64_t id) {
  const auto it = calls_.find(id);
  if (it == calls_.end()) return nullptr;
  auto call = std::move(it->second);
  calls_.erase(it);
  if (stopping_) idle_.notify_all();
  return call;
}

void Plugin::forget(std::uint64_t id) {
  std::shared_ptr<PluginCall> last;
  Lock lock(mutex_);
  last = take_out(id);
}

void Plugin::deliver_call(const std::shared_ptr<PluginCall>& call, CallRequest request) {
  const bool taken = has_room() && deliver([call, r = std::move(request)](Plugin& p) mutable {
                       // Cancelled before its turn came: the plugin never hears of it.
                       if (call->over() && !call->is_resumed()) {
                         p.forget(call->id());
                         call->finish(fail(ErrorKind::cancelled, "cancelled"));
                         return;
                       }
                       auto msg = make_msg(GANTRY_CALL, call->id());
                       msg.flags = r.stream_credit ? GANTRY_STREAM : 0;
                       if (call->is_resumed()) msg.flags |= GANTRY_RESUMED;
                       msg.credit = r.stream_credit.value_or(0);
                       if (const auto left = r.deadline.left(p.timers().now())) msg.budget_ns = left->count();
                       msg.origin = r.origin;
                       msg.topic = to_bytes(r.method);
                       msg.payload = to_bytes(r.params);
                       msg.traceparent = to_bytes(r.traceparent);
                       msg.idempotency_key = to_bytes(r.idempotency_key);
                       const std::int32_t status = p.hand(msg, std::move(r.descriptors));
                       if (status >= 0) return;
                       p.forget(call->id());
                       call->finish(fail(ErrorKind::internal, "plugin " + p.name() + " could not take " + r.method));
                     });
  if (taken) return;
  forget(call->id());
  call->finish(has_room() ? fail(ErrorKind::unavailable, "plugin " + name() + " is stopping")
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
  std::unordered_map<std::uint64_t, std::shared_ptr<PluginCall>> calls;
  {
    Lock lock(mutex_);
    calls.swap(calls_);
    idle_.notify_all();
  }
  for (auto& [id, call] : calls) call->finish(std::unexpected(error));
}

void Plugin::answer_all(const Error& error) {
  answer_open(error);
  own_calls_.close();
  port().left();
}

std::shared_ptr<PluginCall> Plugin::find(std::uint64_t id) const {
  Lock lock(mutex_);
  const auto it = calls_.find(id);
  return it == calls_.end() ? nullptr : it->second;
}

bool Plugin::serves(OriginId origin) const {
  Lock lock(mutex_);
  return std::any_of(calls_.begin(), calls_.end(), [&](const auto& call) { return call.second->origin() == origin; });
}

OpenMethods Plugin::open_methods() const {
  std::vector<std::shared_ptr<PluginCall>> calls;
  {
    Lock lock(mutex_);
    for (const auto& [id, call] : calls_) calls.push_back(call);
  }
  std::ranges::sort(calls, {}, &PluginCall::id);
  OpenMethods out;
  for (const auto& call : calls) {
    if (out.oldest.size() == OpenMethods::kMax) break;
    out.oldest.push_back(call->method());
  }
  out.more = calls.size() - out.oldest.size();
  return out;
}

std::size_t Plugin::open_calls() const {
  Lock lock(mutex_);
  return calls_.size();
}

Result<std::string> Plugin::checked_payload(const gantry_msg& msg) const {
  if (msg.encoding != GANTRY_JSON) return fail(ErrorKind::invalid_params, "it is no JSON");
  const std::size_t limit = basics_.max_payload_bytes;
  if (msg.payload.size > limit)
    return fail(ErrorKind::too_large,
                "it has " + std::to_string(msg.payload.size) + " bytes, a message may have " + std::to_string(limit) +
                    " (host.max_message_bytes)",
                dump_json({{"limit", limit}}));
  std::string payload;
  payload.reserve(msg.payload.size + 64);
  payload = to_view(msg.payload);
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
      return take_response(msg, std::move(payload), std::move(descriptors));
    case GANTRY_EVENT:
      return take_event(msg, std::move(*payload));
    case GANTRY_ITEM: {
      const auto call = find(msg.id);
      if (!call) return GANTRY_CLOSED;
      return tries_again() ? call->take_item(*payload) : call->take_item_for_good(std::move(*payload));
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
  return own_calls_.take(*this, msg, std::move(*payload), std::move(descriptors));
}

std::int32_t Plugin::take_response(const gantry_msg& msg, Result<std::string> payload, Descriptors descriptors) {
  std::shared_ptr<PluginCall> call;
  std::optional<std::pair<std::uint64_t, oneshot::Sender<bool>>> stopped;
  {
    Lock lock(mutex_);
    if (stop_reply_ && stop_reply_->first == msg.id) {
      stopped = std::move(stop_reply_);
      stop_reply_.reset();
    } else {
      call = take_out(msg.id);
    }
  }
  if (stopped) {
    (void)stopped->second.send(true);
    return GANTRY_OK;
  }
  if (!call) return GANTRY_CLOSED;
  if (msg.status != 0) {
    call->finish(std::unexpected(detail::parse_error(msg.status, payload.value_or(""), "plugin " + name())));
  } else if (payload) {
    call->finish(Answer(std::move(*payload), std::move(descriptors)));
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

std::int32_t Plugin::is_cancelled(std::uint64_t id) const {
  if ((id & GANTRY_OWN_CALL) != 0) return own_calls_.over(id) ? 1 : 0;
  const auto call = find(id);
  return !call || call->over() ? 1 : 0;
}

bool Plugin::is_stopping() const {
  Lock lock(mutex_);
  return stopping_;
}

std::string Plugin::last_error() const {
  Lock lock(mutex_);
  return last_error_;
}

void Plugin::refuse_calls() {
  Lock lock(mutex_);
  stopping_ = true;
}

std::pair<std::uint64_t, oneshot::Receiver<bool>> Plugin::expect_stop() {
  auto [reply, answer] = oneshot::channel<bool>();
  Lock lock(mutex_);
  const std::uint64_t id = next_id_++;
  stop_reply_.emplace(id, std::move(reply));
  return {id, std::move(answer)};
}

}  // namespace gantry::host
