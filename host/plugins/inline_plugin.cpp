// SPDX-License-Identifier: Apache-2.0
//
// A plugin object has one symbolic thread (serial_). Whoever loads it acts as that thread until start() has returned,
// and again when stop() has drained the queue; in between the queue is it. What the plugin calls back (on_*) arrives on
// any thread and touches only what mutex_ guards, or one PluginCall, which has a mutex of its own. The two are never
// held together, and neither is held while the plugin, a sink or the bus is called.
#include "host/plugins/inline_plugin.hpp"

#include <algorithm>
#include <gantry/plugin/host.hpp>
#include <utility>

#include "host/plugins/library.hpp"
#include "host/plugins/plugin_call.hpp"
#include "host/runtime/json_text.hpp"

namespace gantry::host {

using detail::make_msg;
using detail::to_bytes;

namespace {

// A drain is one turn of the plugin's, which ends well before a turn would count as slow.
constexpr std::size_t kEventsADrain = 64;
constexpr Duration kDrainTime = std::chrono::milliseconds(1);
constexpr RetryPolicy kEventRetries{.max_retries = 2,
                                    .initial_delay = std::chrono::milliseconds(50),
                                    .max_delay = std::chrono::seconds(1),
                                    .jitter = 0,
                                    .seed = 0};

// A thread that is stuck in a plugin may come back: what it touches must still be there.
void keep_for_ever(std::shared_ptr<InlinePlugin> plugin) {
  struct Kept {
    Mutex mutex;
    std::vector<std::shared_ptr<InlinePlugin>> plugins GANTRY_GUARDED_BY(mutex);
  };
  static auto* const kept = new Kept;
  Lock lock(kept->mutex);
  kept->plugins.push_back(std::move(plugin));
}

}  // namespace

InlinePlugin::InlinePlugin(std::string name, const Manifest& manifest, PluginDeps deps,
                           std::shared_ptr<SerialQueue> serial)
    : name_(std::move(name)), manifest_(manifest), deps_(std::move(deps)), serial_(std::move(serial)) {
  fill_host_table();
}

Result<std::shared_ptr<SerialQueue>> InlinePlugin::make_queue(const std::string& name, bool nonblocking,
                                                              const PluginDeps& deps) {
  auto on_escape = [name, &log = deps.log](std::string_view what) {
    log.write(Level::error, name, "an exception of the host's own in a delivery: " + std::string(what));
  };
  if (!nonblocking) return SerialQueue::with_thread(std::move(on_escape));
  auto on_moved = [name, &log = deps.log](const std::string& why) {
    log.write(Level::warn, name, why + "; it says `nonblocking`, and gets a thread of its own");
  };
  return SerialQueue::borrowed(std::move(on_escape), {deps.workers, deps.timers, std::move(on_moved)});
}

InlinePlugin::~InlinePlugin() {
  if (!started_) {
    give_up();
  } else if (plugin_ != nullptr) {
    (void)stop(std::chrono::seconds(1));
  }
}

void InlinePlugin::give_up() {
  serial_->close();
  serial_->drain_here();
  destroy_plugin();
}

Result<std::shared_ptr<InlinePlugin>> InlinePlugin::load(std::string name, const std::filesystem::path& library,
                                                         const Manifest& manifest, PluginDeps deps) {
  auto entry = load_library(library, manifest);
  if (!entry) return std::unexpected(entry.error());
  auto serial = make_queue(name, manifest.nonblocking, deps);
  if (!serial) return std::unexpected(serial.error());
  std::shared_ptr<InlinePlugin> plugin(
      new InlinePlugin(std::move(name), manifest, std::move(deps), std::move(*serial)));
  plugin->plugin_ = (*entry)->create(&plugin->host_);
  if (plugin->plugin_ == nullptr) return fail(ErrorKind::unavailable, "its create() returned nothing");
  return plugin;
}

Result<void> InlinePlugin::start(const json& config) {
  const std::string text = dump_json(config);
  const std::int32_t status = plugin_->start(plugin_->ctx, to_bytes(text));
  if (status != 0) {
    std::string reason;
    {
      Lock lock(mutex_);
      stopping_ = true;
      reason = last_error_;
    }
    give_up();
    const ErrorKind kind = is_error_kind(status) ? static_cast<ErrorKind>(status) : ErrorKind::unavailable;
    return fail(kind == ErrorKind::storage_failed ? kind : ErrorKind::unavailable,
                "it refused to start: " + (reason.empty() ? "status " + std::to_string(status) : reason));
  }
  subscribe_to_topics();
  started_ = true;
  serial_->release();
  return {};
}

void InlinePlugin::subscribe_to_topics() {
  if (manifest_.subscribes.empty()) return;
  auto subscribed = deps_.bus.subscribe(manifest_.subscribes,
                                        [weak = weak_from_this()] {
                                          if (const auto plugin = weak.lock()) plugin->schedule_drain();
                                        },
                                        {.name = "plugin " + name_});
  if (subscribed) events_ = subscribed->subscription;
}

void InlinePlugin::schedule_drain() {
  if (!event_drain_scheduled_.exchange(true)) try_drain();
}

// The permit is taken when the plugin's turn has come: who waits in its mailbox must not keep others from theirs. So
// what the queue grants is only a sign that it is worth trying again, and goes back at once.
void InlinePlugin::try_drain() {
  (void)deliver([weak = weak_from_this()](const gantry_plugin&) {
    const auto plugin = weak.lock();
    if (!plugin) return;
    if (Permit permit = plugin->deps_.event_permits->try_acquire()) {
      plugin->drain_events(std::move(permit));
      return;
    }
    const auto waits = plugin->deps_.event_permits->acquire([weak](const Permit&) {
      if (const auto p = weak.lock()) p->try_drain();
    });
    if (!waits) plugin->event_drain_scheduled_ = false;
  });
}

// Serial.
void InlinePlugin::drain_events(Permit permit) {
  // Cleared before the queue is seen empty: an event that comes now schedules the next drain itself.
  event_drain_scheduled_ = false;
  const TimePoint until = deps_.timers.now() + kDrainTime;
  for (std::size_t i = 0; i < kEventsADrain && (i == 0 || deps_.timers.now() < until); ++i) {
    const auto delivering = next_event();
    if (!delivering) return;
    const Event& event = delivering->event;
    auto msg = make_msg(GANTRY_EVENT, event.seq);
    msg.topic = to_bytes(event.topic);
    msg.epoch = to_bytes(event.epoch);
    msg.payload = to_bytes(event.payload);
    const std::int32_t status = plugin_->deliver(plugin_->ctx, &msg);
    const auto retry = status < 0 ? delivering->backoff.next() : std::nullopt;
    {
      Lock lock(mutex_);
      if (event_ != delivering) return;  // who abandoned the plugin has buried it
      delivering->inside = false;
      if (!retry) event_.reset();
    }
    if (retry) {
      // Its later events wait behind this one; no other plugin does.
      event_drain_scheduled_ = true;
      (void)deps_.timers.after(*retry, [weak = weak_from_this()] {
        if (const auto plugin = weak.lock()) plugin->try_drain();
      });
      return;
    }
    if (status < 0)
      deps_.bus.bury(event, "plugin " + name_, "its handler failed with status " + std::to_string(status),
                     delivering->tries);
  }
  permit.release();
  schedule_drain();  // there may be more
}

// The one that is to be tried again, or the next one. Serial.
std::shared_ptr<InlinePlugin::Delivering> InlinePlugin::next_event() {
  std::shared_ptr<Delivering> event;
  {
    Lock lock(mutex_);
    event = event_;
  }
  if (!event) {
    auto next = events_->take();
    if (!next) return nullptr;
    event = std::make_shared<Delivering>(std::move(next->event), Backoff(kEventRetries));
  }
  Lock lock(mutex_);
  event_ = event;
  event->inside = true;
  ++event->tries;
  return event;
}

// Its handler will not be given it again.
void InlinePlugin::bury_event() {
  std::shared_ptr<Delivering> last;
  bool inside = false;
  {
    Lock lock(mutex_);
    last = std::exchange(event_, nullptr);
    inside = last && last->inside;
  }
  if (!last) return;
  deps_.bus.bury(last->event, "plugin " + name_,
                 inside ? "its handler did not return" : "it was stopped before its handler was given it again",
                 last->tries);
}

std::shared_ptr<PluginCall> InlinePlugin::open(std::shared_ptr<CallSink> sink) {
  Lock lock(mutex_);
  const std::uint64_t id = next_id_++;
  auto call = std::make_shared<PluginCall>(weak_from_this(), id, std::move(sink));
  if (stopping_) {
    call->refuse(Error{ErrorKind::unavailable, "plugin " + name_ + " is stopping", {}});
  } else if (calls_.size() >= kMaxOpenCalls) {
    call->refuse(Error{ErrorKind::overloaded,
                       "plugin " + name_ + " has " + std::to_string(calls_.size()) + " open calls",
                       R"({"retry_after_ms":100})"});
  } else {
    calls_.emplace(id, call);
  }
  return call;
}

void InlinePlugin::begin(const std::shared_ptr<PluginCall>& call, CallRequest request) {
  if (call->refused()) {
    call->finish(std::unexpected(std::move(*call->refused())));
    return;
  }
  call->begin(request.stream_credit.value_or(0));
  deliver_call(call, std::move(request));
  call->begun();
}

void InlinePlugin::forget(std::uint64_t id) {
  std::shared_ptr<PluginCall> last;
  Lock lock(mutex_);
  const auto it = calls_.find(id);
  if (it == calls_.end()) return;
  last = std::move(it->second);
  calls_.erase(it);
}

void InlinePlugin::deliver_call(const std::shared_ptr<PluginCall>& call, CallRequest request) {
  const bool taken = deliver([weak = weak_from_this(), call, r = std::move(request)](const gantry_plugin& p) {
    const auto plugin = weak.lock();
    if (!plugin) return;
    if (call->over()) {  // cancelled before its turn came: the plugin never hears of it
      plugin->forget(call->id());
      call->finish(fail(ErrorKind::cancelled, "cancelled"));
      return;
    }
    auto msg = make_msg(GANTRY_CALL, call->id());
    msg.flags = r.stream_credit ? GANTRY_STREAM : 0;
    msg.credit = r.stream_credit.value_or(0);
    if (const auto left = r.deadline.left(plugin->deps_.timers.now())) msg.budget_ns = left->count();
    msg.origin = r.origin;
    msg.topic = to_bytes(r.method);
    msg.payload = to_bytes(r.params);
    msg.traceparent = to_bytes(r.traceparent);
    msg.idempotency_key = to_bytes(r.idempotency_key);
    const std::int32_t status = p.deliver(p.ctx, &msg);
    if (status >= 0) return;
    plugin->forget(call->id());
    call->finish(fail(ErrorKind::internal, "plugin " + plugin->name_ + " could not take " + r.method));
  });
  if (taken) return;
  forget(call->id());
  call->finish(has_room() ? fail(ErrorKind::unavailable, "plugin " + name_ + " is stopping")
                          : fail(ErrorKind::overloaded, "the mailbox of plugin " + name_ + " is full",
                                 R"({"retry_after_ms":100})"));
}

void InlinePlugin::reconfigure(std::function<json()> config) {
  if (reconfigure_waits_.exchange(true)) return;
  (void)deliver([this, ask = std::move(config)](const gantry_plugin& p) {
    reconfigure_waits_ = false;
    const std::string text = dump_json(ask());
    auto msg = make_msg(GANTRY_EVENT, 0);
    msg.topic = to_bytes("host.plugin.config");
    msg.payload = to_bytes(text);
    (void)p.deliver(p.ctx, &msg);
  });
}

void InlinePlugin::gone(OriginId origin) {
  {
    Lock lock(mutex_);
    gone_.push_back(origin);
    if (gone_.size() > 1) return;
  }
  (void)deliver([weak = weak_from_this()](const gantry_plugin& p) {
    const auto plugin = weak.lock();
    if (!plugin) return;
    std::vector<OriginId> origins;
    {
      Lock lock(plugin->mutex_);
      origins.swap(plugin->gone_);
    }
    for (const OriginId gone : origins) {
      auto msg = make_msg(GANTRY_GONE, 0);
      msg.origin = gone;
      (void)p.deliver(p.ctx, &msg);
    }
  });
}

bool InlinePlugin::stop(Duration budget) {
  auto [reply, answer] = oneshot::channel<bool>();
  std::uint64_t id = 0;
  {
    Lock lock(mutex_);
    if (destroyed_) return true;
    stopping_ = true;
    id = next_id_++;
    stop_reply_.emplace(id, std::move(reply));
  }
  if (events_) deps_.bus.unsubscribe(events_);
  const auto until = std::chrono::steady_clock::now() + budget;
  // Not through deliver(): the last owner may be the one who is stopping, and its weak pointers are gone.
  (void)serial_->push([plugin = plugin_, id, budget] {
    auto msg = make_msg(GANTRY_STOP, id);
    msg.budget_ns = budget.count();
    (void)plugin->deliver(plugin->ctx, &msg);
  });
  const bool answered = answer.recv_for(budget).has_value();
  serial_->close();
  const bool returned =
      serial_->join(std::max(until, std::chrono::steady_clock::now() + std::chrono::milliseconds(200)));
  if (!answered) deps_.log.write(Level::warn, name_, "did not answer `stop` within its budget");
  bury_event();
  if (returned) {
    destroy_plugin();
  } else {
    deps_.log.write(Level::error, name_, "does not return from a delivery; it is abandoned");
    keep_for_ever(weak_from_this().lock());
  }
  answer_all(Error{ErrorKind::plugin_died, "plugin " + name_ + " was stopped before it answered", {}});
  return returned;
}

void InlinePlugin::destroy_plugin() {
  std::vector<TimerKey> timers;
  {
    Lock lock(mutex_);
    if (std::exchange(destroyed_, true) || plugin_ == nullptr) return;
    for (const auto& [id, key] : timers_) timers.push_back(key);
    timers_.clear();
  }
  for (const auto key : timers) (void)deps_.timers.cancel(key);
  plugin_->destroy(plugin_->ctx);
  plugin_ = nullptr;
}

void InlinePlugin::answer_all(const Error& error) {
  std::unordered_map<std::uint64_t, std::shared_ptr<PluginCall>> calls;
  {
    Lock lock(mutex_);
    calls.swap(calls_);
  }
  for (auto& [id, call] : calls) call->finish(std::unexpected(error));
}

std::shared_ptr<PluginCall> InlinePlugin::find(std::uint64_t id) const {
  Lock lock(mutex_);
  const auto it = calls_.find(id);
  return it == calls_.end() ? nullptr : it->second;
}

std::size_t InlinePlugin::open_calls() const {
  Lock lock(mutex_);
  return calls_.size();
}

}  // namespace gantry::host
