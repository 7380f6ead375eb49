// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/plugin_call.hpp"

#include <algorithm>
#include <gantry/plugin/host.hpp>
#include <iterator>
#include <limits>
#include <utility>

namespace gantry::host {

using detail::make_msg;

namespace {
constexpr std::uint64_t kMostCredit = std::numeric_limits<std::uint32_t>::max();
}  // namespace

std::shared_ptr<Plugin> PluginCall::plugin() const {
  Lock lock(mutex_);
  return plugin_.lock();
}

bool PluginCall::is_with(const Plugin& plugin) const { return begun_ && plugin_.lock().get() == &plugin; }

Result<void> PluginCall::send_item(std::string payload) {
  if (const auto owner = plugin(); owner && !owner->has_room())
    return fail(ErrorKind::overloaded, "the mailbox of plugin " + owner->name() + " is full; its credit was too much");
  {
    Lock lock(mutex_);
    if (!sink_ || cancelled_ || ended_) return {};  // it crossed the end on its way
    if (in_credit_ == 0) return fail(ErrorKind::overloaded, "an item was sent without credit; wait for $/credit");
    --in_credit_;
    items_.push_back(std::move(payload));
    if (!begun_) return {};
  }
  deliver_item();
  return {};
}

std::optional<std::string> PluginCall::next_item(const Plugin& plugin) {
  Lock lock(mutex_);
  if (items_.empty() || !is_with(plugin)) return std::nullopt;
  std::optional<std::string> text(std::move(items_.front()));
  items_.pop_front();
  return text;
}

void PluginCall::hand_item(Plugin& plugin, std::uint64_t id, const std::string& text) {
  auto msg = make_msg(GANTRY_ITEM, id);
  msg.payload = gantry_bytes{text.data(), text.size()};
  (void)plugin.hand(msg, {});
}

void PluginCall::deliver_item() {
  if (const auto owner = plugin()) {
    (void)owner->deliver([self = shared_from_this()](Plugin& p) {
      if (const auto text = self->next_item(p)) hand_item(p, self->id_, *text);
    });
  }
}

void PluginCall::send_end() {
  {
    Lock lock(mutex_);
    if (!sink_ || ended_) return;
    ended_ = true;
    if (!begun_) return;
  }
  deliver_end();
}

void PluginCall::begin(CallRequest request) {
  if (const auto owner = plugin()) {
    owner->begin(shared_from_this(), std::move(request));
  } else {
    finish(fail(ErrorKind::plugin_died, "the plugin was stopped before it was called"));
  }
}

void PluginCall::name(const std::string& method, OriginId origin) {
  origin_ = origin;
  Lock lock(mutex_);
  method_ = method;
}

std::string PluginCall::method() const {
  Lock lock(mutex_);
  return method_;
}

void PluginCall::allow(std::uint32_t credit) {
  Lock lock(mutex_);
  out_credit_ += credit;
}

void PluginCall::begun() {
  std::size_t items = 0;
  bool end = false;
  bool credit = false;
  bool cancelled = false;
  {
    Lock lock(mutex_);
    begun_ = true;
    items = items_.size();
    end = sink_ && ended_ && !end_handed_;
    credit = sink_ && (undelivered_credit_ != 0 || room_untold_);
    cancelled = sink_ && cancelled_;
  }
  for (; items != 0; --items) deliver_item();
  if (end) deliver_end();
  if (credit) deliver_credit();
  if (cancelled) deliver_cancel();
}

// It may overtake items whose deliveries are pushed by another thread just now: then it takes them along.
void PluginCall::deliver_end() {
  if (const auto owner = plugin()) {
    (void)owner->deliver([self = shared_from_this()](Plugin& p) {
      while (const auto text = self->next_item(p)) hand_item(p, self->id_, *text);
      {
        Lock lock(self->mutex_);
        if (!self->is_with(p) || std::exchange(self->end_handed_, true)) return;
      }
      auto msg = make_msg(GANTRY_ITEM, self->id_);
      msg.flags = GANTRY_END;
      (void)p.hand(msg, {});
    });
  }
}

// Credit that arrives before the plugin has looked at the last is added up: one message waits at most.
void PluginCall::give_credit(std::uint32_t items) {
  bool tell = false;
  bool late = false;
  {
    Lock lock(mutex_);
    if (!sink_) return;
    const bool held_back = std::exchange(held_back_, false);
    late = held_back && !late_.items.empty();
    const bool waiting = undelivered_credit_ != 0 || room_untold_;
    out_credit_ = std::min(out_credit_ + items, kMostCredit);
    undelivered_credit_ = std::min(undelivered_credit_ + items, kMostCredit);
    room_untold_ = room_untold_ || (held_back && !late);
    tell = begun_ && !waiting && (undelivered_credit_ != 0 || room_untold_);
  }
  if (tell) deliver_credit();
  if (late) send_late();
}

void PluginCall::deliver_credit() {
  if (const auto owner = plugin()) {
    (void)owner->deliver([self = shared_from_this()](Plugin& p) {
      auto msg = make_msg(GANTRY_CREDIT, self->id_);
      {
        Lock lock(self->mutex_);
        if (!self->is_with(p)) return;
        msg.credit = static_cast<std::uint32_t>(std::exchange(self->undelivered_credit_, 0));
        if (!std::exchange(self->room_untold_, false) && msg.credit == 0) return;
      }
      (void)p.hand(msg, {});
    });
  }
}

void PluginCall::cancel() {
  bool tell = false;
  std::optional<Result<Answer>> answer;
  {
    Lock lock(mutex_);
    if (!sink_ || cancelled_) return;
    cancelled_ = true;
    tell = begun_;
    late_.items.clear();
    answer.swap(late_.answer);
  }
  if (tell) deliver_cancel();
  if (answer) finish(std::move(*answer));
}

void PluginCall::deliver_cancel() {
  if (const auto owner = plugin()) {
    (void)owner->deliver([self = shared_from_this()](Plugin& p) {
      {
        Lock lock(self->mutex_);
        if (!self->is_with(p)) return;
      }
      auto msg = make_msg(GANTRY_CANCEL, self->id_);
      (void)p.hand(msg, {});
    });
  }
}

void PluginCall::keep(const CallRequest& r) {
  Lock lock(mutex_);
  opening_ = Opening{r.method, r.params, r.origin, r.deadline, r.traceparent, r.idempotency_key};
  kept_ = true;
}

void PluginCall::park() {
  Lock lock(mutex_);
  begun_ = false;
}

PluginCall::Undelivered PluginCall::undelivered() {
  Lock lock(mutex_);
  return {std::exchange(items_, {}), ended_ && !end_handed_};
}

void PluginCall::put_back(Undelivered undelivered) {
  Lock lock(mutex_);
  items_.insert(items_.begin(), std::make_move_iterator(undelivered.items.begin()),
                std::make_move_iterator(undelivered.items.end()));
  if (undelivered.end) end_handed_ = false;
}

void PluginCall::resume(const std::shared_ptr<Plugin>& heir) {
  CallRequest request;
  resumed_ = true;
  {
    Lock lock(mutex_);
    const Opening& o = *opening_;
    plugin_ = heir;
    // All that is left of it: what the instance before was not told of is part of that.
    const auto credit = static_cast<std::uint32_t>(std::min<std::uint64_t>(out_credit_, kMostCredit));
    undelivered_credit_ = 0;
    room_untold_ = false;
    request = {o.method, o.params, o.origin, o.deadline, credit, o.traceparent, o.idempotency_key, 0, {}};
  }
  heir->deliver_call(shared_from_this(), std::move(request));
  begun();
}

void PluginCall::resumed_by_host() {
  resumed_ = true;
  Lock lock(mutex_);
  in_credit_ = kMostCredit;
}

std::shared_ptr<CallSink> PluginCall::listener() const {
  Lock lock(mutex_);
  return cancelled_ ? nullptr : sink_;
}

bool PluginCall::over() const { return listener() == nullptr; }

std::int32_t PluginCall::take_item(std::string_view payload) {
  std::shared_ptr<CallSink> sink;
  {
    Lock lock(mutex_);
    if (!sink_ || cancelled_) return GANTRY_CLOSED;
    if (out_credit_ == 0) return GANTRY_FULL;
    sink = sink_;
  }
  if (!finds_room(*sink)) return GANTRY_FULL;
  {
    Lock lock(mutex_);
    if (!sink_ || cancelled_) return GANTRY_CLOSED;
    if (out_credit_ == 0) return GANTRY_FULL;
    --out_credit_;
  }
  sink->item(payload);
  return GANTRY_OK;
}

// Room may come while this looks: it looks again once whoever gives room can see that somebody waits.
bool PluginCall::finds_room(const CallSink& sink) {
  if (sink.has_room()) return true;
  {
    Lock lock(mutex_);
    held_back_ = true;
  }
  if (!sink.has_room()) return false;
  Lock lock(mutex_);
  held_back_ = false;
  return true;
}

std::int32_t PluginCall::take_item_for_good(std::string payload) {
  {
    Lock lock(mutex_);
    if (!sink_ || cancelled_) return GANTRY_CLOSED;
    if (out_credit_ == 0) return GANTRY_FULL;
    --out_credit_;
    late_.items.push_back(std::move(payload));
  }
  send_late();
  return GANTRY_OK;
}

// One thread sends at a time, in order; another leaves its item to that one.
void PluginCall::send_late() {
  while (true) {
    std::shared_ptr<CallSink> sink;
    std::string text;
    {
      Lock lock(mutex_);
      if (!sink_ || late_.sending) return;
      if (late_.items.empty()) break;
      late_.sending = true;
      sink = sink_;
      text = std::move(late_.items.front());
      late_.items.pop_front();
    }
    const bool room = finds_room(*sink);
    if (room) sink->item(text);
    Lock lock(mutex_);
    late_.sending = false;
    if (room) continue;
    late_.items.push_front(std::move(text));
    if (held_back_) return;  // else room has come meanwhile
  }
  bool end = false;
  std::optional<Result<Answer>> answer;
  {
    Lock lock(mutex_);
    end = std::exchange(late_.end, false);
    answer.swap(late_.answer);
  }
  if (end) (void)take_end();
  if (answer) finish(std::move(*answer));
}

std::int32_t PluginCall::take_end() {
  {
    Lock lock(mutex_);
    late_.end = sink_ && !cancelled_ && (late_.sending || !late_.items.empty());
    if (late_.end) return GANTRY_OK;
  }
  const auto sink = listener();
  if (!sink) return GANTRY_CLOSED;
  sink->item_end();
  return GANTRY_OK;
}

std::int32_t PluginCall::take_credit(std::uint32_t items) {
  std::shared_ptr<CallSink> sink;
  {
    Lock lock(mutex_);
    if (!sink_ || cancelled_) return GANTRY_CLOSED;
    in_credit_ = std::min(in_credit_ + items, kMostCredit);
    sink = sink_;
  }
  sink->credit(items);
  return GANTRY_OK;
}

std::int32_t PluginCall::take_progress(std::string_view payload) {
  const auto sink = listener();
  if (!sink) return GANTRY_CLOSED;
  sink->progress(payload);
  return GANTRY_OK;
}

void PluginCall::finish(Result<Answer> answer) {
  std::shared_ptr<CallSink> sink;
  {
    Lock lock(mutex_);
    if (sink_ && !cancelled_ && (late_.sending || !late_.items.empty())) {
      late_.answer = std::move(answer);  // behind the items
      return;
    }
    sink = std::move(sink_);
    sink_.reset();
    late_.items.clear();
  }
  if (sink) sink->answered(std::move(answer));
}

}  // namespace gantry::host
