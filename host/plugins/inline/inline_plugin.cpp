// SPDX-License-Identifier: Apache-2.0
//
// A plugin object has one strand (serial_). Whoever loads it acts as that thread until start() has
// returned, and again when stop() has drained the queue; in between the queue is it. What the
// plugin calls back (on_*) arrives on any thread and touches only what mutex_ guards, which is not
// held while the plugin or the port is called.
#include "host/plugins/inline/inline_plugin.hpp"

#include <algorithm>
#include <gantry/plugin/host.hpp>
#include <utility>

#include "host/plugins/library/library.hpp"
#include "host/runtime/own_signals.hpp"

namespace gantry::host {

using detail::make_msg;
using detail::to_bytes;
using detail::to_view;

namespace {

// A drain is one turn of the plugin's, which ends well before a turn would count as slow.
constexpr std::size_t kEventsADrain = 64;
constexpr Duration kDrainTime = std::chrono::milliseconds(1);
// The host's functions do not block: a plugin that is cut off is out of them within microseconds.
constexpr Duration kLeavesHost = std::chrono::seconds(1);
constexpr RetryPolicy kEventRetries{.max_retries = 2,
                                    .initial_delay = std::chrono::milliseconds(50),
                                    .max_delay = std::chrono::seconds(1),
                                    .jitter = 0,
                                    .seed = 0};

// A thread that is stuck in a plugin may come back: what it touches must still be there.
void leak_intentionally(std::shared_ptr<InlinePlugin> plugin) {
  struct Kept {
    Mutex mutex;
    std::vector<std::shared_ptr<InlinePlugin>> plugins GANTRY_GUARDED_BY(mutex);
  };
  static auto* const kept = new Kept;
  Lock lock(kept->mutex);
  kept->plugins.push_back(std::move(plugin));
}

void mend_signals_of(PluginPort& port) {
  const auto names = mend_signals();
  if (names.empty()) return;
  port.log(Level::warn, "it has changed what this process does about " + names +
                            ", which the host depends on; that was put right. Leave signals alone, or run it with "
                            "isolation = \"child\"");
}

}  // namespace

InlinePlugin::InlinePlugin(PluginBasics basics, std::shared_ptr<SerialQueue> serial)
    : Plugin(std::move(basics)), serial_(std::move(serial)) {
  host_ = Table::of(*this);
}

Result<std::shared_ptr<SerialQueue>> InlinePlugin::make_queue(const PluginBasics& basics, Workers& workers,
                                                              bool mends_signals) {
  auto on_unhandled_exception = [port = basics.port](std::string_view what) {
    port->log(Level::error, "an exception of the host's own in a delivery: " + std::string(what));
  };
  SerialQueue::OnIdle on_idle;
  if (mends_signals) on_idle = [port = basics.port] { mend_signals_of(*port); };
  if (!basics.manifest.nonblocking)
    return SerialQueue::with_thread(std::move(on_unhandled_exception), std::move(on_idle));
  auto on_moved = [port = basics.port](const std::string& why) {
    port->log(Level::warn, why + "; it says `nonblocking`, and gets a thread of its own");
  };
  return SerialQueue::borrowed(std::move(on_unhandled_exception), {workers, basics.timers, std::move(on_moved)},
                               std::move(on_idle));
}

InlinePlugin::~InlinePlugin() {
  if (life_ == Life::loaded) {
    give_up();
  } else if (plugin_ != nullptr) {
    (void)stop(std::chrono::seconds(1));
  }
}

bool InlinePlugin::change(Life from, Life to) {
  Lock lock(mutex_);
  if (life_ != from) return false;
  life_ = to;
  return true;
}

void InlinePlugin::give_up() {
  if (!change(Life::loaded, Life::destroying)) return;  // abandoned meanwhile
  serial_->close();
  serial_->drain_here();
  own_calls().close();
  destroy_plugin();
  (void)change(Life::destroying, Life::destroyed);
}

Result<std::shared_ptr<InlinePlugin>> InlinePlugin::load(const std::filesystem::path& library, PluginBasics basics,
                                                         Workers& workers, HungWatch watch) {
  auto entry = load_library(library, basics.library.empty() ? library : basics.library, basics.manifest);
  if (!entry) return std::unexpected(entry.error());
  auto serial = make_queue(basics, workers, watch.mends_signals);
  if (!serial) return std::unexpected(serial.error());
  std::shared_ptr<InlinePlugin> plugin(new InlinePlugin(std::move(basics), std::move(*serial)));
  plugin->serial_->belongs_to(plugin);
  plugin->start_watching(std::move(watch));
  plugin->plugin_ = (*entry)->create(&plugin->host_);
  if (plugin->plugin_ == nullptr) return fail(ErrorKind::unavailable, "its create() returned nothing");
  return plugin;
}

void InlinePlugin::start_watching(HungWatch watch) {
  crash_file_ = std::move(watch.crash_file);
  mends_signals_ = watch.mends_signals;
  const Duration timeout = watch.hung ? watch.timeout : Duration::zero();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout).count();
  watch_ = std::make_shared<DeliveryWatch>(
      timers(), timeout, [weak = weak_self(), hung = std::move(watch.hung), seconds](const std::string& what) {
        if (const auto plugin = weak.lock())
          hung(*plugin, Death{.reason = "hung in " + what + " for " + std::to_string(seconds) + " s"});
      });
}

// Serial.
std::int32_t InlinePlugin::hand(const gantry_msg& msg, Descriptors descriptors) {
  const Inside inside(*this, msg.kind == GANTRY_STOP   ? "its stop"
                             : msg.kind == GANTRY_GONE ? "the news of a client that is gone"
                             : msg.topic.size != 0     ? to_view(msg.topic)
                                                       : "a stream");
  if (descriptors.empty()) return plugin_->deliver(plugin_->ctx, &msg);
  handed_ = std::move(descriptors);
  const std::int32_t status = plugin_->deliver(plugin_->ctx, &msg);
  handed_.clear();
  return status;
}

Result<void> InlinePlugin::start(const json& config) {
  const std::string text = dump_json(config);
  const std::int32_t status = plugin_->start(plugin_->ctx, to_bytes(text));
  if (status != 0) {
    const std::string reason = last_error();
    refuse_calls();
    give_up();
    const ErrorKind kind = is_error_kind(status) ? static_cast<ErrorKind>(status) : ErrorKind::unavailable;
    return fail(kind == ErrorKind::storage_failed ? kind : ErrorKind::unavailable,
                "it refused to start: " + (reason.empty() ? "status " + std::to_string(status) : reason));
  }
  if (!change(Life::loaded, Life::running)) return fail(ErrorKind::unavailable, "it has started too late");
  if (mends_signals_) mend_signals_of(port());
  subscribe_to_topics();
  resume_streams();
  serial_->release();
  return {};
}

bool InlinePlugin::abandon_start() {
  {
    Lock lock(mutex_);
    // A start that has failed may hang in the destructor.
    if (life_ != Life::loaded && life_ != Life::destroying) return false;
    life_ = Life::abandoned;
  }
  watch_->end();
  refuse_calls();
  serial_->drop();
  own_calls().close();
  wait_until_outside(kLeavesHost);
  leak_intentionally(weak_self().lock());
  return true;
}

void InlinePlugin::subscribe_to_topics() {
  if (manifest().subscribes.empty()) return;
  port().subscribe(manifest().subscribes, [weak = weak_self()] {
    if (const auto plugin = weak.lock()) plugin->schedule_drain();
  });
  schedule_drain();  // there may be some already
}

void InlinePlugin::schedule_drain() {
  if (!event_drain_scheduled_.exchange(true)) try_drain();
}

// Asked when the plugin's turn has come: who waits in its mailbox must not keep others from theirs.
void InlinePlugin::try_drain() {
  (void)serial_->push([weak = weak_self()] {
    const auto plugin = weak.lock();
    if (!plugin) return;
    const auto go = plugin->port().begin_events([weak] {
      if (const auto p = weak.lock()) p->try_drain();
    });
    if (go == PluginPort::Go::now) plugin->drain_events();
    if (go == PluginPort::Go::no) plugin->event_drain_scheduled_ = false;
  });
}

// Serial.
void InlinePlugin::drain_events() {
  struct End {
    PluginPort& port;
    ~End() { port.end_events(); }
  };
  std::optional<End> end(std::in_place, port());
  // Cleared before the queue is seen empty: an event that comes now schedules the next drain itself.
  event_drain_scheduled_ = false;
  const TimePoint until = timers().now() + kDrainTime;
  for (std::size_t i = 0; i < kEventsADrain && (i == 0 || timers().now() < until); ++i) {
    const auto delivering = next_event();
    if (!delivering) return;  // or its time has not come, and its timer has been set
    const Event& event = delivering->event;
    auto msg = make_msg(GANTRY_EVENT, event.seq);
    msg.topic = to_bytes(event.topic);
    msg.epoch = to_bytes(event.epoch);
    msg.payload = to_bytes(event.payload);
    const std::int32_t status = hand(msg, {});
    const auto retry = status < 0 ? delivering->backoff.next() : std::nullopt;
    int tries = 0;
    {
      Lock lock(mutex_);
      if (event_ != delivering) return;  // who abandoned the plugin has made it a dead letter
      in_event_ = false;
      tries = event_tries_;
      if (!retry) event_.reset();
      if (retry) event_not_before_ = timers().now() + *retry;
    }
    if (retry) {
      // Its later events wait behind this one; no other plugin does.
      event_drain_scheduled_ = true;
      (void)timers().after(*retry, [weak = weak_self()] {
        if (const auto plugin = weak.lock()) plugin->try_drain();
      });
      return;
    }
    port().event_over(event, status < 0 ? "its handler failed with status " + std::to_string(status) : "", tries);
  }
  end.reset();
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
    auto next = port().take_event();
    if (!next) return nullptr;
    event = std::make_shared<Delivering>(std::move(*next), Backoff(kEventRetries));
  }
  Lock lock(mutex_);
  if (event_ != event) {
    event_ = event;
    event_tries_ = 0;
    event_not_before_ = {};
  }
  if (timers().now() < event_not_before_) return nullptr;
  in_event_ = true;
  ++event_tries_;
  return event;
}

// Its handler will not be given it again.
void InlinePlugin::dead_letter_event() {
  std::shared_ptr<Delivering> last;
  bool inside = false;
  int tries = 0;
  {
    Lock lock(mutex_);
    last = std::exchange(event_, nullptr);
    inside = in_event_;
    tries = event_tries_;
  }
  if (!last) return;
  if (inside) port().end_events();  // whoever hangs in it does so without a permit
  port().event_over(last->event,
                    inside ? "its handler did not return" : "it was stopped before its handler was given it again",
                    tries);
}

bool InlinePlugin::stop(Duration budget) {
  {
    const auto until = std::chrono::steady_clock::now() + budget;
    Lock lock(mutex_);
    while (is_being_stopped() && stop_over_.wait_until(mutex_, until)) {
    }
    if (life_ == Life::destroyed) return true;
    if (is_being_stopped() || life_ == Life::abandoned) return false;
    life_ = Life::stopping;
  }
  const bool returned = stop_it(budget);
  {
    Lock lock(mutex_);
    life_ = returned ? Life::destroyed : Life::overdue;
    stop_over_.notify_all();
  }
  if (!returned) wait_until_outside(kLeavesHost);
  return returned;
}

bool InlinePlugin::stop_it(Duration budget) {
  watch_->end();
  refuse_calls();
  auto stopped = expect_stop();
  port().unsubscribe();
  const auto until = std::chrono::steady_clock::now() + budget;
  // Not through deliver(): the last owner may be the one who is stopping, and its weak pointers are gone.
  (void)serial_->push([plugin = plugin_, id = stopped.first, budget] {
    auto msg = make_msg(GANTRY_STOP, id);
    msg.budget_ns = budget.count();
    (void)plugin->deliver(plugin->ctx, &msg);
  });
  const bool answered = stopped.second.recv_for(budget).has_value();
  serial_->close();
  const bool returned =
      serial_->join(std::max(until, std::chrono::steady_clock::now() + std::chrono::milliseconds(200)));
  if (!answered) port().log(Level::warn, "did not answer `stop` within its budget");
  if (!answered || !returned) take_back();  // what it has given may be the half of it
  dead_letter_event();
  answer_open(unanswered());  // what it says of them now, in its destructors, is no answer
  own_calls().close();        // nobody is there to hear of one that it makes now
  if (returned) {
    (void)change(Life::stopping, Life::destroying);
    destroy_plugin();
  } else {
    port().log(Level::error, "does not return from a delivery; it is abandoned");
    leak_intentionally(weak_self().lock());
  }
  answer_all(unanswered());
  return returned;
}

void InlinePlugin::abandon(const Death& death, const OnDeath& told) {
  if (!change(Life::running, Life::abandoned)) return;
  watch_->end();
  refuse_calls();
  port().unsubscribe();
  serial_->close();
  // It may have returned just now. That is not worth a thread that waits for its end.
  (void)serial_->join(std::chrono::steady_clock::now());
  port().log(Level::error, death.reason + "; it is abandoned");
  leak_intentionally(weak_self().lock());
  dead_letter_event();
  Death with_calls = death;
  with_calls.calls = open_methods();
  told(shared_from_this(), with_calls);
  answer_all(Error{ErrorKind::plugin_died, "plugin " + name() + " died: " + death.reason, {}});
}

void InlinePlugin::destroy_plugin() {
  if (plugin_ == nullptr) return;
  std::vector<TimerKey> keys;
  {
    Lock lock(mutex_);
    for (const auto& [id, key] : timers_) keys.push_back(key);
    timers_.clear();
  }
  for (const auto key : keys) (void)timers().cancel(key);
  plugin_->destroy(plugin_->ctx);
  plugin_ = nullptr;
}

std::string InlinePlugin::runs_on() const {
  return serial_->where() == SerialQueue::Where::worker ? "workers" : "own thread";
}

}  // namespace gantry::host
