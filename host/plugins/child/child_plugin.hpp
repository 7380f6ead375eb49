// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/child/child_plugin.hpp: a plugin in a process of its own. InlinePlugin runs it there
// (child_main.hpp); here are the host's half, and the process.
//
// Life: start() on a thread that may block; then calls from any thread; stop() on a thread that may
// block. When the process ends by itself, `died` is called once, before the open calls are answered
// `plugin_died`.
// Thread rule: as Plugin. Messages to the plugin are written where they are pushed, one at a time.
// Bounds: beyond kMaxWaiting unwritten bytes calls and items are refused (`overloaded`); the child
// has at most kEventsOut events at once.
// A process that sends nothing for twice `hung_after` while calls are open, and does not answer a
// ping, is killed: then it is stopped as a whole (SIGSTOP, say), so that its own watch cannot
// report a hang.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <gantry/channel/mpsc.hpp>
#include <map>
#include <memory>
#include <unordered_set>

#include "host/plugins/child/child_output.hpp"
#include "host/plugins/child/link.hpp"
#include "host/plugins/death.hpp"
#include "host/plugins/plugin.hpp"
#include "host/plugins/plugin_call.hpp"
#include "host/runtime/spawner.hpp"
#include "host/runtime/workers.hpp"
#include "host/sandbox/confine.hpp"

namespace gantry::host {

struct ChildDeps {
  Workers& workers;
  Spawner& spawner;
  std::filesystem::path program;  ///< that runs a plugin when its first argument is `plugin-child`
  Confinement confinement;
  Duration hung_after;  ///< a delivery that takes longer counts as a death; zero: no limit
  OnDeath died;
};

class ChildPlugin final : public Plugin {
 public:
  static constexpr std::size_t kMaxWaiting = Link::kMaxOutbound / 2;
  static constexpr std::size_t kEventsOut = 64;

  /// Blocks until the plugin runs in its process, has refused, or `timeout` is over.
  [[nodiscard]] static Result<std::shared_ptr<ChildPlugin>> start(const std::filesystem::path& library,
                                                                  PluginBasics basics, ChildDeps deps,
                                                                  const json& config, Duration timeout);
  ~ChildPlugin() override;
  bool stop(Duration budget) override;
  [[nodiscard]] std::string runs_on() const override { return "child"; }
  [[nodiscard]] std::optional<int> pid() const override { return pid_; }
  [[nodiscard]] std::vector<std::string> enforced() const override;
  [[nodiscard]] std::vector<std::string> last_output() const override { return output_->last_lines(); }

 private:
  /// How long a process whose socket has ended may take to exit, and a process to answer a ping.
  static constexpr auto kExitGrace = std::chrono::milliseconds(500);
  /// The bound for bytes of items on their way into streams that the plugin gives to its next
  /// instance. Beyond it the process is killed.
  static constexpr std::size_t kMaxUndelivered = std::size_t{256} << 20;
  ChildPlugin(PluginBasics basics, ChildDeps deps);
  [[nodiscard]] Result<void> spawn();
  [[nodiscard]] bool push(Task task) override;
  std::int32_t hand(const gantry_msg& msg, Descriptors descriptors) override;
  [[nodiscard]] bool has_room() const override { return link_->waiting() < kMaxWaiting; }
  [[nodiscard]] bool tries_again() const override { return false; }  // its process has sent the item by its credit
  void hold_items(std::uint64_t id, bool hold) override;
  [[nodiscard]] std::weak_ptr<ChildPlugin> weak_self() {
    return std::static_pointer_cast<ChildPlugin>(weak_from_this().lock());
  }
  void run_tasks() noexcept;
  void receive(const gantry_msg& msg, Descriptors descriptors);
  void started(const gantry_msg& msg);
  void stopped(const gantry_msg& msg);
  void take_undelivered(const gantry_msg& msg);
  void give_stream(std::uint64_t id);
  [[nodiscard]] Result<void> watch_process();
  void process_ended();
  void ended(const std::string& why);
  void report_death(const std::string& why);
  void watch_silence();
  void look_for_silence();
  /// Waits for the process at most until `until`; returns its Death, or nothing. Any thread, more
  /// than once.
  [[nodiscard]] std::optional<Death> reap(std::chrono::steady_clock::time_point until);
  void kill() const;

  void schedule_events();
  void send_events();
  void ask_for_events();
  void event_over(const gantry_msg& msg);
  void dead_letter_events(const std::string& why);

  const ChildDeps deps_;
  std::shared_ptr<Link> link_;
  std::shared_ptr<ChildOutput> output_;
  pid_t pid_ = -1;
  int pidfd_ = -1;
  mpsc::Channel<Task> tasks_;
  /// Runs when a task comes to a queue that had none, on the thread that brings it.
  Waker<ChildPlugin, &ChildPlugin::run_tasks> waker_{*this};
  std::unordered_set<OriginId> known_origins_;  ///< serial
  std::optional<oneshot::Sender<Result<void>>> started_;
  oneshot::Channel<bool> stopped_ = oneshot::channel<bool>();

  // These are the worker's:
  bool exited_ = false;
  std::optional<std::string> why_;  ///< set: the link has ended, the process not yet
  TimerKey timeout_ = 0;            ///< the limit for that
  // These are the link's worker's:
  std::optional<std::string> hung_;  ///< set: why the process was killed
  std::optional<std::chrono::steady_clock::time_point> pinged_{};
  bool heard_ = false;                                            ///< since the last ping
  std::map<std::uint64_t, PluginCall::Undelivered> undelivered_;  ///< of streams that the plugin gives away
  std::size_t undelivered_bytes_ = 0;
  std::atomic<bool> watching_{false};  ///< the timer of the watch is set
  mutable Mutex mutex_;
  std::vector<std::string> enforced_ GANTRY_GUARDED_BY(mutex_);
  std::optional<Death> became_ GANTRY_GUARDED_BY(mutex_);
  bool stopping_ GANTRY_GUARDED_BY(mutex_) = false;
  bool stopped_said_ GANTRY_GUARDED_BY(mutex_) = false;
  bool sending_events_ GANTRY_GUARDED_BY(mutex_) = false;
  std::deque<Event> events_out_ GANTRY_GUARDED_BY(mutex_);  ///< with the child, the oldest first
};

}  // namespace gantry::host
