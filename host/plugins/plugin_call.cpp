// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/plugin_call.hpp"

#include <algorithm>
#include <gantry/plugin/host.hpp>
#include <limits>

namespace gantry::host {

using detail::make_msg;

Result<void> PluginCall::send_item(std::string payload) {
  const auto plugin = plugin_.lock();
  if (plugin && !plugin->has_room())
    return fail(ErrorKind::overloaded, "the mailbox of plugin " + plugin->name() + " is full; its credit was too much");
  {
    Lock lock(mutex_);
    if (!sink_ || cancelled_ || ended_) return {};  // it crossed the end on its way
    if (in_credit_ == 0) return fail(ErrorKind::overloaded, "an item was sent without credit; wait for $/credit");
    --in_credit_;
  }
  if (plugin) {
    (void)plugin->deliver([id = id_, text = std::move(payload)](Plugin& p) {
      auto msg = make_msg(GANTRY_ITEM, id);
      msg.payload = gantry_bytes{text.data(), text.size()};
      (void)p.hand(msg, {});
    });
  }
  return {};
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
  if (const auto plugin = plugin_.lock()) {
    plugin->begin(shared_from_this(), std::move(request));
  } else {
    finish(fail(ErrorKind::plugin_died, "the plugin was stopped before it was called"));
  }
}

void PluginCall::allow(std::uint32_t credit) {
  Lock lock(mutex_);
  out_credit_ += credit;
}

void PluginCall::begun() {
  bool end = false;
  bool credit = false;
  {
    Lock lock(mutex_);
    begun_ = true;
    end = sink_ && ended_;
    credit = sink_ && undelivered_credit_ != 0;
  }
  if (end) deliver_end();
  if (credit) deliver_credit();
}

void PluginCall::deliver_end() {
  if (const auto plugin = plugin_.lock()) {
    (void)plugin->deliver([id = id_](Plugin& p) {
      auto msg = make_msg(GANTRY_ITEM, id);
      msg.flags = GANTRY_END;
      (void)p.hand(msg, {});
    });
  }
}

// Credit that arrives before the plugin has looked at the last is added up: one message waits at most.
void PluginCall::give_credit(std::uint32_t items) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  {
    Lock lock(mutex_);
    if (!sink_ || items == 0) return;
    out_credit_ = std::min(out_credit_ + items, kMost);
    const bool waiting = undelivered_credit_ != 0;
    undelivered_credit_ = std::min(undelivered_credit_ + items, kMost);
    if (waiting || !begun_) return;
  }
  deliver_credit();
}

void PluginCall::deliver_credit() {
  if (const auto plugin = plugin_.lock()) {
    (void)plugin->deliver([self = shared_from_this()](Plugin& p) {
      auto msg = make_msg(GANTRY_CREDIT, self->id_);
      {
        Lock lock(self->mutex_);
        msg.credit = static_cast<std::uint32_t>(std::exchange(self->undelivered_credit_, 0));
      }
      (void)p.hand(msg, {});
    });
  }
}

void PluginCall::cancel() {
  {
    Lock lock(mutex_);
    if (!sink_ || cancelled_) return;
    cancelled_ = true;
  }
  if (const auto plugin = plugin_.lock()) {
    (void)plugin->deliver([id = id_](Plugin& p) {
      auto msg = make_msg(GANTRY_CANCEL, id);
      (void)p.hand(msg, {});
    });
  }
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
    --out_credit_;
    sink = sink_;
  }
  sink->item(payload);
  return GANTRY_OK;
}

std::int32_t PluginCall::take_end() {
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
    in_credit_ = std::min<std::uint64_t>(in_credit_ + items, std::numeric_limits<std::uint32_t>::max());
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
    sink = std::move(sink_);
    sink_.reset();
  }
  if (sink) sink->answered(std::move(answer));
}

}  // namespace gantry::host
