// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/own_call.hpp"

#include <algorithm>
#include <gantry/plugin/call.hpp>
#include <gantry/plugin/host.hpp>
#include <utility>

#include "host/plugins/plugin.hpp"

namespace gantry::host {

using detail::make_msg;
using detail::to_bytes;
using detail::to_view;

void OwnCall::begun(const CallPtr& call) {
  bool unwanted = false;
  {
    Lock lock(mutex_);
    unwanted = cancelled_ || over_;
    if (!over_) call_ = call;
  }
  if (unwanted) call->cancel();
}

CallPtr OwnCall::active() const {
  Lock lock(mutex_);
  return cancelled_ ? nullptr : call_;
}

bool OwnCall::over() const {
  Lock lock(mutex_);
  return over_ || cancelled_;
}

std::int32_t OwnCall::take_item(std::string payload) {
  CallPtr call;
  {
    Lock lock(mutex_);
    if (over_ || cancelled_) return GANTRY_CLOSED;
    if (!call_ || !out_credit_.take()) return GANTRY_FULL;
    call = call_;
  }
  if (call->send_item(std::move(payload))) return GANTRY_OK;
  Lock lock(mutex_);
  out_credit_.add(1);
  return GANTRY_FULL;
}

std::int32_t OwnCall::take_end() {
  const auto call = active();
  if (!call) return GANTRY_CLOSED;
  call->send_end();
  return GANTRY_OK;
}

std::int32_t OwnCall::take_credit(std::uint32_t items) {
  const auto call = active();
  if (!call) return GANTRY_CLOSED;
  call->give_credit(items);
  return GANTRY_OK;
}

std::int32_t OwnCall::take_cancel() {
  CallPtr call;
  {
    Lock lock(mutex_);
    if (over_ || std::exchange(cancelled_, true)) return GANTRY_CLOSED;
    call = call_;
  }
  if (call) call->cancel();
  return GANTRY_OK;
}

void OwnCall::drop() {
  CallPtr call;
  {
    Lock lock(mutex_);
    over_ = true;
    call = std::move(call_);
    call_.reset();
  }
  if (call) call->cancel();
}

void OwnCall::hand_over(gantry_kind kind, std::uint16_t flags, std::uint32_t credit, std::string payload) {
  const auto plugin = plugin_.lock();
  if (!plugin) return;
  (void)plugin->deliver([id = id_, kind, flags, credit, text = std::move(payload)](Plugin& p) {
    auto msg = make_msg(kind, id);
    msg.flags = flags;
    msg.credit = credit;
    msg.payload = to_bytes(text);
    (void)p.hand(msg, {});
  });
}

void OwnCall::item(std::string_view payload) {
  if (over()) return;
  const auto plugin = plugin_.lock();
  if (!plugin) return;
  if (plugin->has_room()) {
    hand_over(GANTRY_ITEM, 0, 0, std::string(payload));
    return;
  }
  const auto call = active();
  answered(
      fail(ErrorKind::overloaded, "the mailbox of plugin " + plugin->name() + " is full; its credit was too much"));
  if (call) call->cancel();
}

void OwnCall::item_end() {
  if (!over()) hand_over(GANTRY_ITEM, GANTRY_END, 0, {});
}

void OwnCall::credit(std::uint32_t items) {
  {
    Lock lock(mutex_);
    if (over_ || cancelled_) return;
    const bool waiting = !undelivered_credit_.empty();
    out_credit_.add(items);
    undelivered_credit_.add(items);
    if (waiting || undelivered_credit_.empty()) return;
  }
  // A mailbox has room for one such message of each open call.
  const auto plugin = plugin_.lock();
  if (!plugin) return;
  (void)plugin->deliver([self = shared_from_this()](Plugin& p) {
    auto msg = make_msg(GANTRY_CREDIT, self->id_);
    {
      Lock lock(self->mutex_);
      msg.credit = self->undelivered_credit_.take_all();
    }
    if (msg.credit != 0) (void)p.hand(msg, {});
  });
}

void OwnCall::progress(std::string_view payload) {
  const auto plugin = plugin_.lock();
  if (!over() && plugin && plugin->has_room()) hand_over(GANTRY_PROGRESS, 0, 0, std::string(payload));
}

void OwnCall::answered(Result<Answer> answer) {
  CallPtr last;
  {
    Lock lock(mutex_);
    if (std::exchange(over_, true)) return;
    last = std::move(call_);
    call_.reset();
  }
  const auto plugin = plugin_.lock();
  if (!plugin) return;
  plugin->own_calls().forget(id_);  // before the plugin hears of it: it may use the id again
  const auto status = answer ? 0 : static_cast<std::int32_t>(answer.error().kind);
  if (!answer) answer = Answer(detail::error_payload(answer.error()));
  (void)plugin->deliver([id = id_, status, a = std::move(*answer)](Plugin& p) mutable {
    auto msg = make_msg(GANTRY_RESPONSE, id);
    msg.status = status;
    msg.payload = to_bytes(a.text);
    (void)p.hand(msg, std::move(a.descriptors));
  });
}

std::int32_t OwnCalls::take(Plugin& plugin, const gantry_msg& msg, std::string payload, Descriptors descriptors) {
  if (msg.kind == GANTRY_CALL) return begin(plugin, msg, std::move(payload), std::move(descriptors));
  const auto call = find(msg.id);
  if (!call) return GANTRY_CLOSED;
  switch (msg.kind) {
    case GANTRY_ITEM:
      return (msg.flags & GANTRY_END) != 0 ? call->take_end() : call->take_item(std::move(payload));
    case GANTRY_CREDIT:
      return call->take_credit(msg.credit);
    case GANTRY_CANCEL:
      return call->take_cancel();
    default:
      return GANTRY_INVALID;
  }
}

std::int32_t OwnCalls::begin(Plugin& plugin, const gantry_msg& msg, std::string params, Descriptors descriptors) {
  const bool stream = (msg.flags & GANTRY_STREAM) != 0;
  auto call = std::make_shared<OwnCall>(plugin.weak_from_this(), msg.id, params.size());
  {
    Lock lock(mutex_);
    if (closed_) return GANTRY_CLOSED;
    if (calls_.size() >= kMaxOpen) return GANTRY_FULL;
    if (!calls_.empty() && bytes_ + params.size() > kMaxOpenBytes) return GANTRY_FULL;
    if (!calls_.emplace(msg.id, call).second) return GANTRY_INVALID;
    bytes_ += params.size();
  }
  if (msg.origin != 0 && !plugin.serves(msg.origin)) {
    call->answered(fail(ErrorKind::permission_denied,
                        "plugin " + plugin.name() + " may ask a client only while a call of that client is open"));
    return GANTRY_OK;
  }
  CallRequest request;
  request.method = to_view(msg.topic);
  request.params = std::move(params);
  if (msg.budget_ns >= 0) request.deadline = Deadline::in(Duration(msg.budget_ns), plugin.timers().now());
  if (stream) request.stream_credit = msg.credit;
  request.traceparent = to_view(msg.traceparent);
  request.idempotency_key = to_view(msg.idempotency_key);
  request.client = msg.origin;
  request.descriptors = std::move(descriptors);
  call->begun(plugin.port().call(std::move(request), call));
  return GANTRY_OK;
}

std::shared_ptr<OwnCall> OwnCalls::find(std::uint64_t id) const {
  Lock lock(mutex_);
  const auto it = calls_.find(id);
  return it == calls_.end() ? nullptr : it->second;
}

bool OwnCalls::over(std::uint64_t id) const {
  const auto call = find(id);
  return !call || call->over();
}

void OwnCalls::forget(std::uint64_t id) {
  std::shared_ptr<OwnCall> last;
  Lock lock(mutex_);
  const auto it = calls_.find(id);
  if (it == calls_.end()) return;
  last = std::move(it->second);
  bytes_ -= last->bytes();
  calls_.erase(it);
}

void OwnCalls::close() {
  std::unordered_map<std::uint64_t, std::shared_ptr<OwnCall>> calls;
  {
    Lock lock(mutex_);
    closed_ = true;
    bytes_ = 0;
    calls.swap(calls_);
  }
  for (const auto& [id, call] : calls) call->drop();
}

}  // namespace gantry::host
