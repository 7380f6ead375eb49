// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/plugin.hpp: the host's half of a running plugin, in this process (InlinePlugin) or
// in one of its own (ChildPlugin): its open calls, the messages to it, and the checks of its own
// messages.
//
// Each message to the plugin is a task; tasks run one at a time, in order: in an inline plugin's
// turns, or, for a child, where they are pushed. A task hands the plugin one message of
// gantry/abi.h.
//
// Thread rule: any thread; nothing blocks but drain() and stop(). mutex_ and a PluginCall's own
// mutex are never held together, and neither while the plugin, a sink or the port is called.
// Bounds: kMaxOpenCalls calls (more are `overloaded`), and as many items as credit was given.
// Never: a call is left unanswered. Calls that a plugin left open when it stopped or died are
// answered `plugin_died`.
#pragma once

#include <gantry/abi.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <gantry/channel/oneshot.hpp>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/calls/call.hpp"
#include "host/plugins/call_table.hpp"
#include "host/plugins/death.hpp"
#include "host/plugins/library/manifest.hpp"
#include "host/plugins/own_call.hpp"
#include "host/plugins/plugin_call.hpp"
#include "host/plugins/port.hpp"
#include "host/runtime/timers.hpp"

namespace gantry::host {

class Handover;

/// The data that every plugin needs.
struct PluginBasics {
  std::string name;
  Manifest manifest;
  Timers& timers;
  std::shared_ptr<PluginPort> port;
  std::size_t max_payload_bytes;
  std::shared_ptr<Handover> handed_over{};  ///< from the instance before; nullptr: there was none
  std::filesystem::path library{};          ///< where the user has it; perhaps a copy is opened. Empty: the opened file
};

class Plugin : public std::enable_shared_from_this<Plugin> {
 public:
  static constexpr std::size_t kMaxOpenCalls = 4096;

  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;
  virtual ~Plugin();

  /// Takes the call: the plugin answers it exactly once, perhaps before this returns. After an
  /// error the plugin knows nothing of the call: `unavailable`: the plugin is stopping;
  /// `overloaded`. `id`: in a plugin's own process, the host's id of the call.
  [[nodiscard]] Result<void> open(const PluginCallPtr& call, std::uint64_t id = 0);
  /// `config` is called serially, when the message leaves, so the plugin receives the newest
  /// configuration last.
  void reconfigure(std::function<json()> config);
  void gone(OriginId origin);
  /// Takes no more calls, and blocks until the open ones are answered: at most for `grace`, and
  /// beyond it while somebody may wait for one of them, until its deadline, at most for `longest`.
  /// False: some were not answered, and got `plugin_died`. An attach stream, which never ends by
  /// itself, is answered so at once. While a next instance is expected, streams are left open and
  /// attach streams are not waited for, because the next instance may get them.
  bool drain(Duration grace, Duration longest);
  /// drain() blocks at most for `grace` from now on.
  void hurry(Duration grace);
  /// True: the plugin takes no more calls.
  [[nodiscard]] bool is_stopping() const { return calls_.is_closed(); }
  /// True: the plugin ended without being asked to.
  [[nodiscard]] bool is_dead() const { return dead_.load(std::memory_order_acquire); }
  void note_death() { dead_.store(true, std::memory_order_release); }
  /// Before drain() and stop(): another instance comes next, to which it may give something.
  void expect_successor();
  /// Once, after stop(): what it has given; nothing more is taken. nullptr: no successor was expected.
  [[nodiscard]] std::shared_ptr<Handover> given();
  /// Blocks at most about `budget`. False: the plugin did not return in time, and what it holds is
  /// abandoned.
  virtual bool stop(Duration budget) = 0;

  [[nodiscard]] std::size_t open_calls() const { return calls_.size(); }
  /// True: a call of this client or plugin is open.
  [[nodiscard]] bool serves(OriginId origin) const;
  [[nodiscard]] OpenMethods open_methods() const;
  [[nodiscard]] const std::string& name() const { return basics_.name; }
  /// "workers", "own thread" or "child".
  [[nodiscard]] virtual std::string runs_on() const = 0;
  /// The number of the plugin's own process.
  [[nodiscard]] virtual std::optional<int> pid() const { return std::nullopt; }
  /// The mechanisms that hold that process to its grants (host/sandbox/confine.hpp).
  [[nodiscard]] virtual std::vector<std::string> enforced() const { return {}; }
  /// The last lines that the process wrote to stdout and stderr, at most 20.
  [[nodiscard]] virtual std::vector<std::string> last_output() const { return {}; }

 protected:
  friend class PluginCall;
  friend class OwnCall;
  friend class OwnCalls;
  explicit Plugin(PluginBasics basics);

  /// Runs `task` after earlier ones, one at a time. Its argument is the plugin, or nullptr when the
  /// plugin's last owner is gone. False: the plugin is stopping, or its mailbox is full.
  using Task = std::move_only_function<void(Plugin*)>;
  [[nodiscard]] virtual bool push(Task task) = 0;
  /// Within a task: delivers the message. Negative: the plugin did not take it.
  virtual std::int32_t hand(const gantry_msg& msg, Descriptors descriptors) = 0;
  /// Is there room for calls and items? The rest of the mailbox suffices for all other messages.
  [[nodiscard]] virtual bool has_room() const = 0;
  /// True: an item without room at the caller may be refused, because the plugin tries again.
  /// False: the item waits here.
  [[nodiscard]] virtual bool tries_again() const { return true; }
  /// Within a task. To a plugin that does not try again: the items of this call have no room at the caller, or have.
  virtual void hold_items(std::uint64_t /*id*/, bool /*hold*/) {}

  /// Pushes a task that calls `message`, void(Plugin&), to deliver something. The call is left out
  /// when the plugin's last owner is gone.
  template <class F>
  [[nodiscard]] bool deliver(F message) {
    return push([message = std::move(message)](Plugin* plugin) mutable {
      if (plugin != nullptr) message(*plugin);
    });
  }
  /// Checks and handles a message from the plugin; returns enum gantry_sent. Any thread.
  std::int32_t take(const gantry_msg& msg, Descriptors descriptors);
  void take_log(std::int32_t level, std::string_view line);
  [[nodiscard]] bool is_cancelled(std::uint64_t id) const;
  [[nodiscard]] std::string last_error() const;
  /// For its successor, while it stops: enum gantry_sent.
  std::int32_t take_handover_state(std::string_view state);
  std::int32_t take_stream(std::uint64_t id);
  /// Discards what the plugin gave: it did not end in order, so state and streams may not fit
  /// together.
  void take_back();
  [[nodiscard]] bool has_successor() const;
  [[nodiscard]] const std::string* handed_over() const;
  /// Once the plugin has started, ahead of its first call: makes the streams of the instance before
  /// its own.
  void resume_streams();
  [[nodiscard]] std::vector<PluginCallPtr> given_streams() const;

  /// Refuses further calls.
  void refuse_calls() { calls_.close(); }
  /// The id and the receiver of the one answer to GANTRY_STOP.
  [[nodiscard]] std::pair<std::uint64_t, oneshot::Receiver<bool>> expect_stop();
  /// Answers the open calls with this error.
  void answer_open(const Error& error);
  /// The plugin is over: answers its open calls with this error, and gives up the calls that it
  /// made.
  void answer_all(const Error& error);
  /// The error for calls that the plugin did not answer before it was stopped.
  [[nodiscard]] Error unanswered() const;

  [[nodiscard]] const Manifest& manifest() const { return basics_.manifest; }
  [[nodiscard]] Timers& timers() const { return basics_.timers; }
  [[nodiscard]] std::size_t max_payload_bytes() const { return basics_.max_payload_bytes; }
  /// Where the user has the library of which `opened` is perhaps a copy.
  [[nodiscard]] const std::filesystem::path& origin_of(const std::filesystem::path& opened) const {
    return basics_.library.empty() ? opened : basics_.library;
  }
  [[nodiscard]] PluginPort& port() const { return *basics_.port; }
  [[nodiscard]] OwnCalls& own_calls() { return own_calls_; }
  [[nodiscard]] const std::shared_ptr<PluginPort>& shared_port() const { return basics_.port; }

 private:
  std::int32_t take_event(const gantry_msg& msg, std::string payload);
  /// `payload`: the payload of `msg`, or why it is refused.
  std::int32_t take_response(const gantry_msg& msg, Result<std::string_view> payload, Descriptors descriptors);
  std::int32_t take_own(const gantry_msg& msg, Descriptors descriptors);
  /// A part of `msg`.
  [[nodiscard]] Result<std::string_view> checked_payload(const gantry_msg& msg) const;
  void deliver_call(PluginCallPtr call);
  [[nodiscard]] PluginCallPtr find(std::uint64_t id) const { return calls_.find(id); }
  /// True: the call was in the table, and the caller ends its attempt.
  [[nodiscard]] bool forget(const PluginCall& call);
  [[nodiscard]] PluginCallPtr take_out(std::uint64_t id);
  [[nodiscard]] std::vector<PluginCallPtr> take_out(const std::function<bool(const PluginCall&)>& wanted);
  void fewer_are_open();
  [[nodiscard]] bool none_will_end() const;
  [[nodiscard]] Duration open_for(Duration grace, Duration longest) const;

  const PluginBasics basics_;
  OwnCalls own_calls_;
  CallTable calls_;  ///< closed when the plugin stops
  std::atomic<bool> reconfigure_waits_{false};
  std::atomic<bool> dead_{false};
  std::atomic<std::uint64_t> stop_id_{0};  ///< the id of the one answer to GANTRY_STOP
  mutable Mutex mutex_;
  CondVar idle_;  ///< signalled when a call ends while the plugin stops
  TimePoint drain_until_ GANTRY_GUARDED_BY(mutex_) = TimePoint::max();
  std::vector<OriginId> gone_ GANTRY_GUARDED_BY(mutex_);  ///< origins that have left, not yet told to the plugin
  bool gone_waits_ GANTRY_GUARDED_BY(mutex_) = false;     ///< one message will deliver all of them
  std::string last_error_ GANTRY_GUARDED_BY(mutex_);
  bool has_successor_ GANTRY_GUARDED_BY(mutex_) = false;
  std::optional<std::string> given_ GANTRY_GUARDED_BY(mutex_);
  std::vector<PluginCallPtr> given_streams_ GANTRY_GUARDED_BY(mutex_);
  std::optional<oneshot::Sender<bool>> stop_reply_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
