// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/plugin.hpp: the host's half of a plugin that runs, wherever it does: in this process
// (InlinePlugin) or in one of its own (ChildPlugin). Its open calls, what is said to it, and what
// it may say.
//
// What is said to it are tasks that run one at a time, in order: in an inline plugin's turns, or where they are pushed,
// for a child. Each hands it a message of gantry/abi.h.
//
// Thread rule: any thread; nothing blocks but stop(). mutex_ and a PluginCall's own are never held together, and
// neither while the plugin, a sink or the port is called.
// Bounds: kMaxOpenCalls calls (more are `overloaded`), as many items as credit was given.
// Never: a call is left unanswered. What a plugin that stopped or died did not answer is answered `plugin_died`.
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

/// What every plugin needs.
struct PluginBasics {
  std::string name;
  Manifest manifest;
  Timers& timers;
  std::shared_ptr<PluginPort> port;
  std::size_t max_payload_bytes;
  std::shared_ptr<Handover> handed_over{};  ///< by the instance before; nullptr: there was none
  std::filesystem::path library{};          ///< where the user has it, which may not be what is opened; empty: it is
};

class Plugin : public std::enable_shared_from_this<Plugin> {
 public:
  static constexpr std::size_t kMaxOpenCalls = 4096;

  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;
  virtual ~Plugin();

  /// The call is the plugin's from here on, which answers it exactly once; perhaps before this
  /// returns. After an error it is not, and hears nothing: `unavailable`, the plugin is stopping;
  /// `overloaded`. `id`: the host's, in a process of its own.
  [[nodiscard]] Result<void> open(const PluginCallPtr& call, std::uint64_t id = 0);
  /// `config` is asked when the message leaves, serially: the newest always comes last.
  void reconfigure(std::function<json()> config);
  void gone(OriginId origin);
  /// Takes no more calls and blocks until those that are open are answered, at most until then. False: some were not,
  /// and are answered `plugin_died`, as an attach stream, which never ends by itself, is at once. While a successor is
  /// expected streams are left open, and attach streams are not waited for: they may be given to it.
  bool drain(std::chrono::steady_clock::time_point until);
  /// It takes no more calls.
  [[nodiscard]] bool is_stopping() const { return calls_.is_closed(); }
  /// It ended without being asked to.
  [[nodiscard]] bool is_dead() const { return dead_.load(std::memory_order_acquire); }
  void note_death() { dead_.store(true, std::memory_order_release); }
  /// Before drain() and stop(): another instance comes next, to which it may give something.
  void expect_successor();
  /// Once, after stop(): what it has given; nothing more is taken. nullptr: no successor was expected.
  [[nodiscard]] std::shared_ptr<Handover> given();
  /// Blocks at most about `budget`. False: the plugin did not return in time; what it holds is abandoned.
  virtual bool stop(Duration budget) = 0;

  [[nodiscard]] std::size_t open_calls() const { return calls_.size(); }
  /// A call of this client's, or plugin's, is open.
  [[nodiscard]] bool serves(OriginId origin) const;
  [[nodiscard]] OpenMethods open_methods() const;
  [[nodiscard]] const std::string& name() const { return basics_.name; }
  /// "workers", "own thread" or "child".
  [[nodiscard]] virtual std::string runs_on() const = 0;
  /// Of its own process.
  [[nodiscard]] virtual std::optional<int> pid() const { return std::nullopt; }
  /// What holds that process to its grants (host/sandbox/confine.hpp).
  [[nodiscard]] virtual std::vector<std::string> enforced() const { return {}; }
  /// The last lines that the process wrote to stdout and stderr, at most 20.
  [[nodiscard]] virtual std::vector<std::string> last_output() const { return {}; }

 protected:
  friend class PluginCall;
  friend class OwnCall;
  friend class OwnCalls;
  explicit Plugin(PluginBasics basics);

  /// Runs `task` after those before it, one at a time, with the plugin, or nullptr when its last
  /// owner is gone. False: it is stopping, or its mailbox is full.
  using Task = std::move_only_function<void(Plugin*)>;
  [[nodiscard]] virtual bool push(Task task) = 0;
  /// Within a task: gives it to the plugin. Negative: it was not taken.
  virtual std::int32_t hand(const gantry_msg& msg, Descriptors descriptors) = 0;
  /// For calls and items; what remains of the mailbox is enough for the rest.
  [[nodiscard]] virtual bool has_room() const = 0;
  /// May an item that finds no room at its caller be refused, since the plugin tries again? Otherwise it waits here.
  [[nodiscard]] virtual bool tries_again() const { return true; }

  /// `message`: void(Plugin&), which hands something over. Not when its last owner is gone.
  template <class F>
  [[nodiscard]] bool deliver(F message) {
    return push([message = std::move(message)](Plugin* plugin) mutable {
      if (plugin != nullptr) message(*plugin);
    });
  }
  /// What the plugin sends, checked: enum gantry_sent. Any thread.
  std::int32_t take(const gantry_msg& msg, Descriptors descriptors);
  void take_log(std::int32_t level, std::string_view line);
  [[nodiscard]] std::int32_t is_cancelled(std::uint64_t id) const;
  [[nodiscard]] std::string last_error() const;
  /// For its successor, while it stops: enum gantry_sent.
  std::int32_t take_handover_state(std::string_view state);
  std::int32_t take_stream(std::uint64_t id);
  /// Its end was no proper one: it had not given all that belongs together.
  void take_back();
  [[nodiscard]] bool has_successor() const;
  [[nodiscard]] const std::string* handed_over() const;
  /// Once it has started: the streams that the instance before has given are its own. Ahead of its first call.
  void resume_streams();
  [[nodiscard]] std::vector<PluginCallPtr> given_streams() const;

  /// No call is taken any more.
  void refuse_calls() { calls_.close(); }
  /// The id and the receiver of the one answer to GANTRY_STOP.
  [[nodiscard]] std::pair<std::uint64_t, oneshot::Receiver<bool>> expect_stop();
  /// The calls that it has not answered are answered so.
  void answer_open(const Error& error);
  /// It is over: its calls are answered so, those of its own are given up.
  void answer_all(const Error& error);
  /// What those hear whom it did not answer before it was stopped.
  [[nodiscard]] Error unanswered() const;

  [[nodiscard]] const Manifest& manifest() const { return basics_.manifest; }
  [[nodiscard]] Timers& timers() const { return basics_.timers; }
  [[nodiscard]] std::size_t max_payload_bytes() const { return basics_.max_payload_bytes; }
  /// Where the user has the library, of which `opened` may be a copy.
  [[nodiscard]] const std::filesystem::path& origin_of(const std::filesystem::path& opened) const {
    return basics_.library.empty() ? opened : basics_.library;
  }
  [[nodiscard]] PluginPort& port() const { return *basics_.port; }
  [[nodiscard]] OwnCalls& own_calls() { return own_calls_; }
  [[nodiscard]] const std::shared_ptr<PluginPort>& shared_port() const { return basics_.port; }

 private:
  std::int32_t take_event(const gantry_msg& msg, std::string payload);
  /// `payload`: that of `msg`, or why it is refused.
  std::int32_t take_response(const gantry_msg& msg, Result<std::string> payload, Descriptors descriptors);
  std::int32_t take_own(const gantry_msg& msg, Descriptors descriptors);
  [[nodiscard]] Result<std::string> checked_payload(const gantry_msg& msg) const;
  void deliver_call(PluginCallPtr call);
  [[nodiscard]] PluginCallPtr find(std::uint64_t id) const { return calls_.find(id); }
  /// True: it stood in the table, and its attempt is the caller's to end.
  [[nodiscard]] bool forget(const PluginCall& call);
  [[nodiscard]] PluginCallPtr take_out(std::uint64_t id);
  [[nodiscard]] std::vector<PluginCallPtr> take_out(const std::function<bool(const PluginCall&)>& wanted);
  void fewer_are_open();
  [[nodiscard]] bool none_will_end() const;

  const PluginBasics basics_;
  OwnCalls own_calls_;
  CallTable calls_;  ///< closed when it stops
  std::atomic<bool> reconfigure_waits_{false};
  std::atomic<bool> dead_{false};
  std::atomic<std::uint64_t> stop_id_{0};  ///< that the one answer to GANTRY_STOP has
  mutable Mutex mutex_;
  CondVar idle_;                                          ///< fewer calls are open, while it stops
  std::vector<OriginId> gone_ GANTRY_GUARDED_BY(mutex_);  ///< not yet told
  bool gone_waits_ GANTRY_GUARDED_BY(mutex_) = false;     ///< one message, for all of them
  std::string last_error_ GANTRY_GUARDED_BY(mutex_);
  bool has_successor_ GANTRY_GUARDED_BY(mutex_) = false;
  std::optional<std::string> given_ GANTRY_GUARDED_BY(mutex_);
  std::vector<PluginCallPtr> given_streams_ GANTRY_GUARDED_BY(mutex_);
  std::optional<oneshot::Sender<bool>> stop_reply_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
