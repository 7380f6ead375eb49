// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/plugin_call.hpp"

#include <algorithm>
#include <gantry/plugin/host.hpp>
#include <iterator>
#include <utility>

#include "host/plugins/plugin.hpp"

namespace gantry::host {

using detail::make_msg;
using detail::to_bytes;

// -- an attempt -----------------------------------------------------------------------------------

std::uint32_t PluginCall::begin_attempt() {
  Word before = word_.load(std::memory_order_relaxed);
  std::uint32_t attempt = 0;
  Word next = 0;
  do {
    if ((before & kAnswered) != 0) return 0;
    attempt = attempt_of(before) + 1;
    next = (Word{attempt} << kAttemptShift) | (before & (kCancelled | kSaid | kHasPermit)) | kOwed;
  } while (!word_.compare_exchange_weak(before, next, std::memory_order_seq_cst));
  return attempt;
}

void PluginCall::enter(Plugin& plugin) {
  at_.store(&plugin, std::memory_order_relaxed);
  const auto& opening = request();
  const auto set_plugin = [&]() GANTRY_NO_TSA { plugin_ = plugin.weak_from_this(); };
  if (!is_stream()) return set_plugin();
  const auto declared = plugin.manifest().methods.find(opening.method);
  attach_ = declared != plugin.manifest().methods.end() && declared->second.attach;
  kept_ = plugin.manifest().handover;
  opening_credit_ = *opening.stream_credit;
  Lock lock(mutex_);
  set_plugin();
  out_credit_.add(opening_credit_);
}

void PluginCall::begun(std::uint32_t attempt) {
  Word before = word_.load(std::memory_order_relaxed);
  do {
    if (attempt_of(before) != attempt) return;  // it is over
  } while (!word_.compare_exchange_weak(before, before | kBegun, std::memory_order_seq_cst));
  const bool owed = (before & kOwed) != 0;
  if ((before & kSaid) != 0) {
    std::size_t items = 0;
    bool end = false;
    bool credit = false;
    {
      Lock lock(mutex_);
      items = items_.size();
      end = owed && ended_ && !end_handed_;
      credit = owed && (!undelivered_credit_.empty() || room_untold_);
    }
    for (; items != 0; --items) deliver_item();
    if (end) deliver_end();
    if (credit) deliver_credit();
  }
  if (owed && (before & kCancelled) != 0) deliver_cancel();
}

// A plugin loses what it has not been given yet only when it takes no calls any more: so if the
// call is at this plugin, it is the same attempt.
void PluginCall::deliver(Plugin& plugin) {
  const Word now = word_.load(std::memory_order_acquire);
  if (at_.load(std::memory_order_relaxed) != &plugin || (now & kOwed) == 0) return;
  if (is_over(now) && !resumed_) {  // before its turn came: the plugin never hears of it
    if (plugin.forget(*this)) finish(fail(ErrorKind::cancelled, "cancelled"));
    return;
  }
  const CallRequest& r = request();
  auto msg = make_msg(GANTRY_CALL, id());
  if (is_stream()) msg.flags |= GANTRY_STREAM;
  if (resumed_) msg.flags |= GANTRY_RESUMED;
  msg.credit = opening_credit_;
  if (const auto left = r.deadline.remaining(plugin.timers().now())) msg.budget_ns = left->count();
  msg.origin = r.origin;
  msg.topic = to_bytes(r.method);
  msg.payload = to_bytes(r.params);
  msg.traceparent = to_bytes(r.traceparent);
  msg.idempotency_key = to_bytes(r.idempotency_key);
  const std::int32_t status = plugin.hand(msg, std::exchange(request_.descriptors, {}));
  if (status < 0 && plugin.forget(*this))
    finish(fail(ErrorKind::internal, "plugin " + plugin.name() + " could not take " + r.method));
}

void PluginCall::finish(PluginAnswer answer) {
  if (is_stream()) {
    Lock lock(mutex_);
    if (is_listening() && (late_.sending || !late_.items.empty())) {
      late_.answer = std::move(answer).take();  // behind the items
      return;
    }
    late_.items.clear();
    late_.bytes = 0;
  }
  attempt_over(std::move(answer));
}

void PluginCall::attempt_over(PluginAnswer answer) {
  if ((conclude() & kAnswered) == 0) give(std::move(answer));
}

// -- what the caller says -------------------------------------------------------------------------

std::shared_ptr<Plugin> PluginCall::plugin() const {
  Lock lock(mutex_);
  return plugin_.lock();
}

bool PluginCall::is_with(const Plugin& plugin) const {
  return (word_.load(std::memory_order_acquire) & kBegun) != 0 && plugin_.lock().get() == &plugin;
}

Result<void> PluginCall::send_item(std::string payload) {
  if (const auto owner = plugin(); owner && !owner->has_room())
    return fail(ErrorKind::overloaded, "the mailbox of plugin " + owner->name() + " is full; its credit was too much");
  {
    Lock lock(mutex_);
    if (is_over() || ended_) return {};  // it crossed the end on its way
    if (!in_credit_.take()) return fail(ErrorKind::overloaded, "an item was sent without credit; wait for $/credit");
    items_.push_back(std::move(payload));
    if ((mark(kSaid) & kBegun) == 0) return {};
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
  msg.payload = to_bytes(text);
  (void)plugin.hand(msg, {});
}

void PluginCall::deliver_item() {
  if (const auto owner = plugin()) {
    (void)owner->deliver([self = PluginCallPtr(this)](Plugin& p) {
      if (const auto text = self->next_item(p)) hand_item(p, self->id(), *text);
    });
  }
}

void PluginCall::send_end() {
  {
    Lock lock(mutex_);
    if (is_over() || ended_) return;
    ended_ = true;
    if ((mark(kSaid) & kBegun) == 0) return;
  }
  deliver_end();
}

// It may overtake items whose deliveries are pushed by another thread just now: then it takes them along.
void PluginCall::deliver_end() {
  if (const auto owner = plugin()) {
    (void)owner->deliver([self = PluginCallPtr(this)](Plugin& p) {
      while (const auto text = self->next_item(p)) hand_item(p, self->id(), *text);
      {
        Lock lock(self->mutex_);
        if (!self->is_with(p) || std::exchange(self->end_handed_, true)) return;
      }
      auto msg = make_msg(GANTRY_ITEM, self->id());
      msg.flags = GANTRY_END;
      (void)p.hand(msg, {});
    });
  }
}

// Credit that arrives before the plugin has looked at the last is added up: one message waits at most.
void PluginCall::give_credit(std::uint32_t items) {
  if (!is_stream()) return;
  bool tell = false;
  bool late = false;
  {
    Lock lock(mutex_);
    if ((word_.load(std::memory_order_acquire) & kAnswered) != 0) return;
    const bool held_back = std::exchange(held_back_, false);
    late = held_back && !late_.items.empty();
    const bool waiting = !undelivered_credit_.empty() || room_untold_;
    out_credit_.add(items);
    undelivered_credit_.add(items);
    room_untold_ = room_untold_ || (held_back && !late);
    const bool begun = (mark(kSaid) & kBegun) != 0;
    tell = begun && !waiting && (!undelivered_credit_.empty() || room_untold_);
  }
  if (tell) deliver_credit();
  if (late) send_late();
}

void PluginCall::deliver_credit() {
  if (const auto owner = plugin()) {
    (void)owner->deliver([self = PluginCallPtr(this)](Plugin& p) {
      auto msg = make_msg(GANTRY_CREDIT, self->id());
      {
        Lock lock(self->mutex_);
        if (!self->is_with(p)) return;
        msg.credit = self->undelivered_credit_.take_all();
        if (!std::exchange(self->room_untold_, false) && msg.credit == 0) return;
      }
      (void)p.hand(msg, {});
    });
  }
}

void PluginCall::cancel() {
  const Word before = mark(kCancelled);
  if (!is_over(before)) tell_cancelled(before);
}

void PluginCall::tell_cancelled(Word before) {
  if ((before & kOwed) == 0) return;
  std::optional<Result<Answer>> answer;
  if (is_stream()) {
    Lock lock(mutex_);
    late_.items.clear();
    late_.bytes = 0;
    answer.swap(late_.answer);
  }
  if ((before & kBegun) != 0) deliver_cancel();
  if (answer) attempt_over(std::move(*answer));
}

void PluginCall::deliver_cancel() {
  if (const auto owner = plugin()) {
    (void)owner->deliver([self = PluginCallPtr(this)](Plugin& p) {
      {
        Lock lock(self->mutex_);
        if (!self->is_with(p)) return;
      }
      auto msg = make_msg(GANTRY_CANCEL, self->id());
      (void)p.hand(msg, {});
    });
  }
}

// -- from one instance to the next ----------------------------------------------------------------

void PluginCall::park() {
  Lock lock(mutex_);
  (void)mark(kSaid);
  (void)unmark(kBegun);
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

void PluginCall::resume(const std::shared_ptr<Plugin>& successor) {
  resumed_ = true;
  {
    Lock lock(mutex_);
    plugin_ = successor;
    at_.store(successor.get(), std::memory_order_relaxed);
    // All that is left of it: what the instance before was not told of is part of that.
    opening_credit_ = out_credit_.items();
    undelivered_credit_ = Credit();
    room_untold_ = false;
    late_.told = false;
  }
  const std::uint32_t attempt = attempt_of(word_.load(std::memory_order_acquire));
  successor->deliver_call(PluginCallPtr(this));
  begun(attempt);
}

void PluginCall::resumed_by_host() {
  resumed_ = true;
  Lock lock(mutex_);
  in_credit_.add_all();
}

// -- what the plugin says -------------------------------------------------------------------------

bool PluginCall::is_listening() const {
  const Word now = word_.load(std::memory_order_acquire);
  return (now & kOwed) != 0 && !is_over(now);
}

std::int32_t PluginCall::take_item(std::string_view payload) {
  {
    Lock lock(mutex_);
    if (!is_listening()) return GANTRY_CLOSED;
    if (out_credit_.empty()) return GANTRY_FULL;
  }
  if (!finds_room()) return GANTRY_FULL;
  {
    Lock lock(mutex_);
    if (!is_listening()) return GANTRY_CLOSED;
    if (!out_credit_.take()) return GANTRY_FULL;
  }
  item(payload);
  return GANTRY_OK;
}

// Room may come while this looks: it looks again once whoever gives room can see that somebody waits.
bool PluginCall::finds_room() {
  if (has_room()) return true;
  {
    Lock lock(mutex_);
    held_back_ = true;
  }
  if (!has_room()) return false;
  Lock lock(mutex_);
  held_back_ = false;
  return true;
}

std::int32_t PluginCall::take_item_for_good(std::string payload) {
  {
    Lock lock(mutex_);
    if (!is_listening()) return GANTRY_CLOSED;
    if (late_.bytes + payload.size() > kMaxLateBytes && !late_.items.empty()) return GANTRY_FULL;
    if (!out_credit_.take()) return GANTRY_FULL;
    late_.bytes += payload.size();
    late_.items.push_back(std::move(payload));
  }
  send_late();
  return GANTRY_OK;
}

// One thread sends at a time, in order; another leaves its item to that one.
void PluginCall::send_late() {
  bool told = false;
  while (true) {
    std::string text;
    {
      Lock lock(mutex_);
      if ((word_.load(std::memory_order_acquire) & kOwed) == 0 || late_.sending) return;
      told = late_.told || late_.telling;
      if (late_.items.empty()) break;
      late_.sending = true;
      text = std::move(late_.items.front());
      late_.items.pop_front();
      late_.bytes -= text.size();
    }
    const bool room = finds_room();
    if (room && !is_over()) item(text);
    {
      Lock lock(mutex_);
      late_.sending = false;
      if (room) continue;
      late_.bytes += text.size();
      late_.items.push_front(std::move(text));
      if (!held_back_) continue;  // room has come meanwhile
    }
    return tell_room();
  }
  if (told) tell_room();
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

// The task says what is true when it runs: so whatever changes meanwhile, the last word is right.
void PluginCall::tell_room() {
  std::shared_ptr<Plugin> owner;
  {
    Lock lock(mutex_);
    if (late_.telling || late_.told == !late_.items.empty()) return;
    owner = plugin_.lock();
    late_.telling = owner != nullptr;
  }
  const bool posted = owner && owner->deliver([self = PluginCallPtr(this)](Plugin& p) {
    bool hold = false;
    {
      Lock lock(self->mutex_);
      self->late_.telling = false;
      hold = !self->late_.items.empty();
      if (!self->is_with(p) || self->late_.told == hold) return;
      self->late_.told = hold;
    }
    p.hold_items(self->id(), hold);
  });
  if (posted) return;
  Lock lock(mutex_);
  late_.telling = false;
}

std::int32_t PluginCall::take_end() {
  {
    Lock lock(mutex_);
    late_.end = is_listening() && (late_.sending || !late_.items.empty());
    if (late_.end) return GANTRY_OK;
  }
  if (!is_listening()) return GANTRY_CLOSED;
  item_end();
  return GANTRY_OK;
}

std::int32_t PluginCall::take_credit(std::uint32_t items) {
  {
    Lock lock(mutex_);
    if (!is_listening()) return GANTRY_CLOSED;
    in_credit_.add(items);
  }
  credit(items);
  return GANTRY_OK;
}

std::int32_t PluginCall::take_progress(std::string_view payload) {
  if (!is_listening()) return GANTRY_CLOSED;
  progress(payload);
  return GANTRY_OK;
}

}  // namespace gantry::host
