// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/inline_plugin.hpp: a plugin inside this process, behind the C boundary of gantry/abi.h.
//
// Life: load() and start() on a thread that may block; then calls from any thread; stop() on a thread that may block.
// The
//   shared library is never closed.
// Thread rule: everything but load, start and stop may be called from any thread and does not block. Calls into the
// plugin
//   are serial (SerialQueue), and no lock of ours is held across them.
// Bounds: kMaxOpenCalls calls (more are `overloaded`), as many items as credit was given and kMaxWaiting lets wait
// (more
//   are `overloaded`), kMaxTimers timers, kMaxPosts posted tasks; events wait in the plugin's bus subscription, whose
//   oldest are dropped. An event whose handler fails is delivered again, after a back-off, twice; then it becomes a
//   dead letter of the bus, and the next one's turn comes.
// Never: a call is left unanswered. What a stopped plugin did not answer is answered `plugin_died`.
#pragma once

#include <gantry/abi.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <gantry/channel/oneshot.hpp>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <gantry/permits.hpp>
#include <gantry/retry.hpp>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "host/bus/event_bus.hpp"
#include "host/observe/log.hpp"
#include "host/plugins/call.hpp"
#include "host/plugins/manifest.hpp"
#include "host/plugins/serial_queue.hpp"
#include "host/runtime/timers.hpp"

namespace gantry::host {

struct PluginDeps {
  Timers& timers;
  EventBus& bus;
  Log& log;
  Workers& workers;
  std::shared_ptr<PermitQueue> event_permits;  ///< so many plugins process events at once
  std::function<std::optional<std::string>(OriginId)> describe_origin;
  std::size_t max_payload_bytes;
};

class PluginCall;

class InlinePlugin : public std::enable_shared_from_this<InlinePlugin> {
 public:
  static constexpr std::size_t kMaxOpenCalls = 4096;
  static constexpr std::size_t kMaxTimers = 10'000;
  static constexpr std::size_t kMaxPosts = 100'000;
  /// Messages that wait before items are refused. What remains of the mailbox is enough for the rest.
  static constexpr std::size_t kMaxWaiting = SerialQueue::kMaxTasks / 2;

  /// Blocks. The library is loaded, checked against its manifest, and its object created.
  [[nodiscard]] static Result<std::shared_ptr<InlinePlugin>> load(std::string name,
                                                                  const std::filesystem::path& library,
                                                                  const Manifest& manifest, PluginDeps deps);
  ~InlinePlugin();

  /// Blocks. After a failure the plugin is destroyed and nothing else may be called.
  [[nodiscard]] Result<void> start(const json& config);

  /// Two steps, so that the caller can be found by what comes back before anything can come back: open() enters the
  /// call into the table, begin() delivers it. The sink is answered exactly once, also when begin() refuses.
  [[nodiscard]] std::shared_ptr<PluginCall> open(std::shared_ptr<CallSink> sink);
  void begin(const std::shared_ptr<PluginCall>& call, CallRequest request);
  /// `config` is asked when the message is delivered, serially: the newest always comes last.
  void reconfigure(std::function<json()> config);
  void gone(OriginId origin);

  /// Blocks at most about `budget`. False: the plugin did not return in time; what it holds is abandoned.
  bool stop(Duration budget);

  [[nodiscard]] std::size_t open_calls() const;
  /// Where it is delivered to now.
  [[nodiscard]] SerialQueue::Where where() const { return serial_->where(); }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  friend class PluginCall;

  InlinePlugin(std::string name, const Manifest& manifest, PluginDeps deps, std::shared_ptr<SerialQueue> serial);
  [[nodiscard]] static Result<std::shared_ptr<SerialQueue>> make_queue(const std::string& name, bool nonblocking,
                                                                       const PluginDeps& deps);
  struct Delivering {
    Delivering(Event what, Backoff between) : event(std::move(what)), backoff(between) {}
    const Event event;
    Backoff backoff;      ///< serial
    int tries = 0;        ///< under the plugin's mutex_, as the next one
    bool inside = false;  ///< its handler has it now
  };
  void fill_host_table();
  void subscribe_to_topics();
  void schedule_drain();
  void try_drain();
  void drain_events(Permit permit);
  [[nodiscard]] std::shared_ptr<Delivering> next_event();
  void bury_event();
  /// Instead of start().
  void give_up();

  // What the plugin calls; any thread.
  std::int32_t on_send(const gantry_msg& msg);
  std::int32_t on_event(const gantry_msg& msg, std::string payload);
  std::int32_t on_response(const gantry_msg& msg, std::string payload);
  std::int32_t on_post(void (*fn)(void*), void* arg);
  void on_log(std::int32_t level, std::string_view line);
  std::int32_t on_cancelled(std::uint64_t id) const;
  std::uint64_t on_timer_start(std::int64_t delay_ns, void (*fn)(void*), void* arg);
  std::int32_t on_timer_cancel(std::uint64_t id);

  [[nodiscard]] std::shared_ptr<PluginCall> find(std::uint64_t id) const;
  /// False: it is stopping, or its mailbox is full. `message`: void(const gantry_plugin&).
  template <class F>
  [[nodiscard]] bool deliver(F message) {
    return serial_->push([weak = weak_from_this(), message = std::move(message)]() mutable {
      if (const auto plugin = weak.lock()) message(*plugin->plugin_);
    });
  }
  [[nodiscard]] bool has_room() const { return serial_->size() < kMaxWaiting; }
  void deliver_call(const std::shared_ptr<PluginCall>& call, CallRequest request);
  void forget(std::uint64_t id);
  void destroy_plugin();
  void answer_all(const Error& error);

  const std::string name_;
  const Manifest manifest_;
  PluginDeps deps_;
  gantry_host host_{};
  gantry_plugin* plugin_ = nullptr;
  bool started_ = false;  ///< start() has released the queue
  std::shared_ptr<SerialQueue> serial_;
  std::shared_ptr<Subscription> events_;
  std::atomic<bool> event_drain_scheduled_{false};
  std::atomic<bool> reconfigure_waits_{false};
  std::atomic<std::size_t> posts_{0};

  mutable Mutex mutex_;
  bool stopping_ GANTRY_GUARDED_BY(mutex_) = false;
  bool destroyed_ GANTRY_GUARDED_BY(mutex_) = false;
  std::uint64_t next_id_ GANTRY_GUARDED_BY(mutex_) = 1;
  std::unordered_map<std::uint64_t, std::shared_ptr<PluginCall>> calls_ GANTRY_GUARDED_BY(mutex_);
  std::uint64_t next_timer_ GANTRY_GUARDED_BY(mutex_) = 1;
  std::unordered_map<std::uint64_t, TimerKey> timers_ GANTRY_GUARDED_BY(mutex_);
  std::vector<OriginId> gone_ GANTRY_GUARDED_BY(mutex_);         ///< not yet told; one message waits for all of them
  std::shared_ptr<Delivering> event_ GANTRY_GUARDED_BY(mutex_);  ///< its handler has it, or will again
  std::string last_error_ GANTRY_GUARDED_BY(mutex_);
  std::optional<std::pair<std::uint64_t, oneshot::Sender<bool>>> stop_reply_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
