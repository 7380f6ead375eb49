// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/inline/inline_plugin.hpp: a plugin inside this process, behind the C boundary of
// gantry/abi.h.
//
// Life: load() and start() on a thread that may block; then calls from any thread; stop() on a
// thread that may block. The shared library is never closed.
// Thread rule: everything but load, start and stop may be called from any thread and does not
// block. Calls into the plugin are serial (SerialQueue), and no lock of ours is held across them.
// Bounds: beyond kMaxWaiting messages calls and items are refused (`overloaded`); kMaxTimers
// timers; kMaxPosts posted tasks; events wait in the port's subscription, whose oldest are dropped.
// An event whose handler fails is delivered again, after a back-off, twice; then it becomes a dead
// letter of the bus, and the next event follows.
#pragma once

#include <atomic>
#include <filesystem>
#include <gantry/detail/host_table.hpp>
#include <gantry/retry.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "host/plugins/crash_mark.hpp"
#include "host/plugins/death.hpp"
#include "host/plugins/inline/delivery_watch.hpp"
#include "host/plugins/inline/serial_queue.hpp"
#include "host/plugins/plugin.hpp"

namespace gantry::host {

class InlinePlugin;

/// What to do about a delivery that does not return, ends the process, or changes its signals.
struct HungWatch {
  /// `hung` is called once, on a worker, for a delivery that takes longer. Zero: no limit.
  Duration timeout{};
  std::function<void(InlinePlugin& plugin, const Death& death)> hung{};
  /// The file that a delivery leaves behind when it ends the process (crash_mark.hpp); empty: none.
  std::string crash_file{};
  /// Between deliveries, put right the process's signals that the plugin has changed
  /// (own_signals.hpp).
  bool mends_signals = false;
};

class InlinePlugin final : public Plugin {
 public:
  static constexpr std::size_t kMaxTimers = 10'000;
  static constexpr std::size_t kMaxPosts = 100'000;
  /// With more waiting messages calls and items are refused. The rest of the mailbox suffices for
  /// all other messages.
  static constexpr std::size_t kMaxWaiting = SerialQueue::kMaxTasks / 2;

  /// Blocks. Loads the library, checks it against its manifest, and creates its object. `library`:
  /// the file to open, perhaps a copy of the one that `basics` name.
  [[nodiscard]] static Result<std::shared_ptr<InlinePlugin>> load(const std::filesystem::path& library,
                                                                  PluginBasics basics, Workers& workers,
                                                                  HungWatch watch = {});
  ~InlinePlugin() override;

  /// Blocks. After a failure the plugin is destroyed and no other function may be called.
  [[nodiscard]] Result<void> start(const json& config);
  bool stop(Duration budget) override;
  /// Gives up a plugin whose start() has not returned, with the thread that is in it. False:
  /// start() has returned.
  [[nodiscard]] bool abandon_start();
  /// Does not block: gives up a plugin that hangs, with its thread. `told` is called before its
  /// calls are answered.
  void abandon(const Death& death, const OnDeath& told);
  [[nodiscard]] std::string runs_on() const override;

 private:
  enum class Life : std::uint8_t {
    loaded,  ///< start() has not returned
    running,
    stopping,    ///< within stop()
    destroying,  ///< its object is being destroyed: within stop(), or after a failed start
    destroyed,
    overdue,    ///< stop() had to leave it in a delivery; stop() may be called again
    abandoned,  ///< with the thread that is in it, for good
  };
  struct Delivering {
    Delivering(Event what, Backoff between) : event(std::move(what)), backoff(between) {}
    const Event event;
    Backoff backoff;  ///< serial
  };
  /// Held while the plugin's code is called, by its strand.
  class Inside {
   public:
    Inside(InlinePlugin& plugin, std::string_view what) noexcept
        : watch_(*plugin.watch_), mark_(plugin.crash_file_.empty() ? nullptr : plugin.crash_file_.c_str()) {
      watch_.enter(what);
    }
    ~Inside() { watch_.leave(); }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    DeliveryWatch& watch_;
    const DeliveryMark mark_;
  };
  /// Held while a function that the plugin calls uses the host. False: the plugin is cut off, and
  /// the host may be gone. Whoever cuts it off waits until nobody holds one (wait_until_outside).
  class UsesHost {
   public:
    explicit UsesHost(InlinePlugin& plugin) noexcept : plugin_(plugin) { ++plugin.using_host_; }
    ~UsesHost() { plugin_.end_use(); }
    UsesHost(const UsesHost&) = delete;
    UsesHost& operator=(const UsesHost&) = delete;
    explicit operator bool() const { return !plugin_.is_cut_off(); }

   private:
    InlinePlugin& plugin_;
  };
  InlinePlugin(PluginBasics basics, std::shared_ptr<SerialQueue> serial);
  void start_watching(HungWatch watch);
  [[nodiscard]] static Result<std::shared_ptr<SerialQueue>> make_queue(const PluginBasics& basics, Workers& workers,
                                                                       bool mends_signals);
  [[nodiscard]] bool push(Task task) override { return serial_->push(std::move(task)); }
  std::int32_t hand(const gantry_msg& msg, Descriptors descriptors) override;
  [[nodiscard]] bool has_room() const override { return serial_->size() < kMaxWaiting; }
  [[nodiscard]] std::weak_ptr<InlinePlugin> weak_self() {
    return std::static_pointer_cast<InlinePlugin>(weak_from_this().lock());
  }

  void subscribe_to_topics();
  void schedule_drain();
  void try_drain();
  void drain_events();
  [[nodiscard]] std::shared_ptr<Delivering> next_event();
  void dead_letter_event();
  [[nodiscard]] bool change(Life from, Life to);
  /// The host may be gone, or goes without waiting for it: the plugin reaches nothing of the host.
  [[nodiscard]] bool is_cut_off() const { return life_ >= Life::overdue; }
  void end_use();
  /// Once it is cut off: blocks until none of its threads is within the host, `budget` at most.
  void wait_until_outside(Duration budget);
  [[nodiscard]] bool is_being_stopped() const { return life_ == Life::stopping || life_ == Life::destroying; }
  /// Instead of start(), or after it has failed.
  void give_up();
  void destroy_plugin();
  [[nodiscard]] bool stop_it(Duration budget);

  using Table = detail::HostTable<InlinePlugin>;
  friend Table;
  // The functions that the plugin calls (gantry/detail/host_table.hpp); any thread.
  std::int32_t on_send(const gantry_msg& msg, Descriptors descriptors);
  std::int32_t on_post(void (*fn)(void*), void* arg);
  void on_log(std::int32_t level, std::string_view line);
  [[nodiscard]] bool on_cancelled(std::uint64_t id) const { return is_cancelled(id); }
  [[nodiscard]] static bool has_extensions() { return true; }
  [[nodiscard]] TimePoint on_now();
  std::uint64_t on_timer_start(Duration delay, void (*fn)(void*), void* arg);
  bool on_timer_cancel(std::uint64_t id);
  [[nodiscard]] std::optional<std::string> on_describe(std::uint64_t origin);
  [[nodiscard]] Descriptors on_take_descriptors() { return std::exchange(handed_, {}); }
  std::int32_t on_give_state(std::string_view state);
  std::int32_t on_give_stream(std::uint64_t id);
  [[nodiscard]] std::optional<std::string> on_take_state() const;

  gantry_host host_{};
  gantry_plugin* plugin_ = nullptr;
  Descriptors handed_;  ///< serial: descriptors of the message that is being delivered
  const std::shared_ptr<SerialQueue> serial_;
  std::shared_ptr<DeliveryWatch> watch_;
  std::string crash_file_;      ///< constant once the plugin is loaded
  bool mends_signals_ = false;  ///< likewise
  std::atomic<bool> event_drain_scheduled_{false};
  std::atomic<std::size_t> posts_{0};

  mutable Mutex mutex_;
  std::atomic<Life> life_{Life::loaded};  ///< changed while mutex_ is held
  CondVar stop_over_;
  std::atomic<std::size_t> using_host_{0};  ///< how many of its threads hold a UsesHost
  CondVar outside_;                         ///< it is cut off, and using_host_ has become zero
  std::uint64_t next_timer_ GANTRY_GUARDED_BY(mutex_) = 1;
  std::unordered_map<std::uint64_t, TimerKey> timers_ GANTRY_GUARDED_BY(mutex_);
  std::shared_ptr<Delivering> event_ GANTRY_GUARDED_BY(mutex_);  ///< its handler has it, or will again
  bool in_event_ GANTRY_GUARDED_BY(mutex_) = false;              ///< ... has it now
  int event_tries_ GANTRY_GUARDED_BY(mutex_) = 0;
  TimePoint event_not_before_ GANTRY_GUARDED_BY(mutex_){};
};

}  // namespace gantry::host
