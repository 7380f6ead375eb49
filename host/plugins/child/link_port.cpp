// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/child/link_port.hpp"

#include <gantry/plugin/host.hpp>
#include <utility>

#include "host/bus/event_bus.hpp"

namespace gantry::host {

using detail::make_msg;
using detail::to_bytes;
using detail::to_view;

namespace {

/// One call of the plugin's, on its way over the link. OwnCall has checked what goes through here.
class LinkCall final : public ActiveCall {
 public:
  LinkCall(std::shared_ptr<Link> link, std::uint64_t id) : link_(std::move(link)), id_(id) {}
  [[nodiscard]] Result<void> send_item(std::string payload) override {
    auto msg = make_msg(GANTRY_ITEM, id_);
    msg.payload = to_bytes(payload);
    if (!link_->send(msg)) return fail(ErrorKind::unavailable, "the host is gone");
    return {};
  }
  void send_end() override {
    auto msg = make_msg(GANTRY_ITEM, id_);
    msg.flags = GANTRY_END;
    (void)link_->send(msg);
  }
  void give_credit(std::uint32_t items) override {
    auto msg = make_msg(GANTRY_CREDIT, id_);
    msg.credit = items;
    (void)link_->send(msg);
  }
  void cancel() override { (void)link_->send(make_msg(GANTRY_CANCEL, id_)); }

 private:
  const std::shared_ptr<Link> link_;
  const std::uint64_t id_;
};

}  // namespace

void LinkPort::log(Level level, std::string_view line) {
  auto msg = wire::make(wire::kLog);
  msg.status = static_cast<std::int32_t>(level);
  msg.payload = to_bytes(line);
  (void)link_->send(msg);
}

Result<void> LinkPort::publish(std::string topic, std::string epoch, std::uint64_t seq, std::string payload) {
  if (payload.size() > EventBus::kMaxEventBytes)
    return fail(ErrorKind::too_large, "an event of " + std::to_string(payload.size()) + " bytes");
  auto msg = make_msg(GANTRY_EVENT, seq);
  msg.topic = to_bytes(topic);
  msg.epoch = to_bytes(epoch);
  msg.payload = to_bytes(payload);
  if (!link_->send(msg)) return fail(ErrorKind::unavailable, "the host is gone");
  return {};
}

std::optional<std::string> LinkPort::describe(OriginId origin) {
  const Lock lock(mutex_);
  const auto it = origins_.find(origin);
  return it == origins_.end() ? std::nullopt : std::optional(it->second);
}

void LinkPort::learn(OriginId origin, std::string_view text) {
  const Lock lock(mutex_);
  origins_[origin] = text;
}

void LinkPort::forget(OriginId origin) {
  const Lock lock(mutex_);
  origins_.erase(origin);
}

CallPtr LinkPort::call(CallRequest request, std::shared_ptr<CallSink> sink) {
  std::uint64_t id = 0;
  {
    const Lock lock(mutex_);
    id = next_call_++;
    calls_.emplace(id, sink);
  }
  auto msg = make_msg(GANTRY_CALL, id);
  if (request.stream_credit) msg.flags = GANTRY_STREAM;
  msg.credit = request.stream_credit.value_or(0);
  if (const auto left = request.deadline.remaining(std::chrono::steady_clock::now())) msg.budget_ns = left->count();
  msg.origin = request.client;
  msg.topic = to_bytes(request.method);
  msg.payload = to_bytes(request.params);
  msg.traceparent = to_bytes(request.traceparent);
  msg.idempotency_key = to_bytes(request.idempotency_key);
  if (!link_->send(msg, std::move(request.descriptors))) {
    {
      const Lock lock(mutex_);
      calls_.erase(id);
    }
    sink->answered(fail(ErrorKind::unavailable, "the host is gone"));
    return CallPtr(new NoCall);
  }
  return CallPtr(new LinkCall(link_, id));
}

void LinkPort::answer(const gantry_msg& msg, Descriptors descriptors) {
  std::shared_ptr<CallSink> sink;
  {
    const Lock lock(mutex_);
    const auto it = calls_.find(msg.id);
    if (it == calls_.end()) return;
    sink = it->second;
    if (msg.kind == GANTRY_RESPONSE) calls_.erase(it);
  }
  switch (msg.kind) {
    case GANTRY_ITEM:
      if ((msg.flags & GANTRY_END) != 0) {
        sink->item_end();
      } else {
        sink->item(to_view(msg.payload));
      }
      return;
    case GANTRY_CREDIT:
      sink->credit(msg.credit);
      return;
    case GANTRY_PROGRESS:
      sink->progress(to_view(msg.payload));
      return;
    case GANTRY_RESPONSE:
      if (msg.status == 0) {
        sink->answered(Answer(std::string(to_view(msg.payload)), std::move(descriptors)));
      } else {
        sink->answered(std::unexpected(detail::parse_error(msg.status, to_view(msg.payload), "the host")));
      }
      return;
    default:
      return;
  }
}

void LinkPort::subscribe(const std::vector<std::string>& /*patterns*/, std::function<void()> wake) {
  const Lock lock(mutex_);
  wake_ = std::move(wake);
}

void LinkPort::unsubscribe() {
  const Lock lock(mutex_);
  wake_ = nullptr;
  events_.clear();
}

PluginPort::Go LinkPort::begin_events(std::function<void()> again) {
  {
    const Lock lock(mutex_);
    if (may_process_) return Go::now;
    again_ = std::move(again);
  }
  (void)link_->send(wire::make(wire::kEventsAsk));
  return Go::later;
}

void LinkPort::end_events() {
  {
    const Lock lock(mutex_);
    may_process_ = false;
  }
  (void)link_->send(wire::make(wire::kEventsOver));
}

void LinkPort::answer_events(bool go) {
  std::function<void()> again;
  {
    const Lock lock(mutex_);
    may_process_ = go;
    again = std::exchange(again_, nullptr);
  }
  if (again) again();
}

void LinkPort::gave_stream(std::uint64_t id) {
  {
    const Lock lock(mutex_);
    giving_.insert(id);
  }
  auto msg = wire::make(wire::kGiveStream);
  msg.id = id;
  (void)link_->send(msg);
}

void LinkPort::stream_is_given(std::uint64_t id) {
  const Lock lock(mutex_);
  giving_.erase(id);
  if (giving_.empty()) given_.notify_all();
}

void LinkPort::wait_until_given() {
  const Lock lock(mutex_);
  while (!giving_.empty()) given_.wait(mutex_);
}

std::optional<Event> LinkPort::take_event() {
  const Lock lock(mutex_);
  if (events_.empty()) return std::nullopt;
  std::optional<Event> event(std::move(events_.front()));
  events_.pop_front();
  return event;
}

void LinkPort::event_over(const Event& /*event*/, const std::string& failure, int tries) {
  auto msg = wire::make(wire::kEventOver);
  msg.status = tries;
  msg.payload = to_bytes(failure);
  (void)link_->send(msg);
}

void LinkPort::arrived(Event event) {
  std::function<void()> wake;
  {
    const Lock lock(mutex_);
    if (!wake_) return;
    events_.push_back(std::move(event));
    wake = wake_;
  }
  wake();
}

}  // namespace gantry::host
