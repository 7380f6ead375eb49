// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_slot.hpp: the place of one plugin: the instance that runs, if one does, and
// what became of those before it.
//
// Who asks for the plugin starts it (gantry::Lazy). It may be started again at once after it died, or failed to start;
// after the second time within the period, once a back-off is over; after more than `intensity` times it is
// quarantined. What is held back so answers every call `unavailable` until release().
//
// Thread rule: any thread; nothing blocks but get(). mutex_ is taken before the Lazy's, and held across no call out.
// Bounds: the last kLastLog lines of kMaxLine bytes that the plugin has logged.
#pragma once

#include <deque>
#include <functional>
#include <gantry/lazy.hpp>
#include <gantry/mutex.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/plugins/death.hpp"
#include "host/plugins/plugin.hpp"
#include "host/tasks/restart_window.hpp"

namespace gantry::host {

struct RestartPolicy {
  bool restart = true;  ///< false: what has failed stays so
  int intensity = 3;
  Duration period = std::chrono::seconds(60);
  RetryPolicy backoff{.initial_delay = std::chrono::milliseconds(200),
                      .max_delay = std::chrono::seconds(30),
                      .jitter = 0.25,
                      .seed = 0};
};

class PluginSlot {
 public:
  static constexpr std::size_t kLastLog = 20;
  static constexpr std::size_t kMaxLine = 512;

  using Instance = std::shared_ptr<Plugin>;
  using Factory = Lazy<Plugin>::Factory;

  PluginSlot(std::string name, RestartPolicy policy, Factory factory, LazyOptions options);

  [[nodiscard]] Instance peek() const { return lazy_.peek(); }
  [[nodiscard]] bool is_starting() const { return lazy_.state() == LazyState::constructing; }
  /// The instance; starts one, or waits for the start that runs. `unavailable`: it is held back, and why.
  void get_async(Lazy<Plugin>::Callback done);
  [[nodiscard]] Result<Instance> get();
  /// How long it is held back. Empty: until somebody releases it.
  [[nodiscard]] std::optional<Duration> held_for() const;

  /// What follows a failure.
  struct Verdict {
    enum What : std::uint8_t { may_start, quarantined, stays_failed } what;
    Duration after{};     ///< it may start
    std::string message;  ///< for people
  };
  /// `instance` died: it is forgotten.
  [[nodiscard]] Verdict died(const Instance& instance, const Death& death);
  [[nodiscard]] Verdict failed_to_start(const Error& error);
  void quarantine(const std::string& why);
  /// By hand: whatever it is held back for is forgiven.
  void release();

  /// Takes away the instance that runs, if one does: the next start stops it first. Until then it is `draining`.
  bool retire();
  /// By a start, before it goes on. It is draining until drained().
  [[nodiscard]] Instance retired() const;
  void drained();
  /// `reload`: it is no restart.
  void starts(bool reload = false);

  /// `instance` runs, and is to replace() the one that is called.
  void put_aside(const Instance& instance);
  /// `next`, which runs, takes the place of the one that runs, or was retired, if there is one; that one is given back,
  /// to be stopped. Nothing: a start
  /// runs; wait for it with get(). `plugin_died`: so has it.
  [[nodiscard]] Result<std::optional<Instance>> replace(const Instance& next);
  /// `instance` has died, and calls do not go to it: it has not taken its place yet, or has left it.
  [[nodiscard]] bool is_aside(const Instance& instance);

  /// Also of an instance that has not returned from its start.
  [[nodiscard]] bool is_dead(const Instance& instance) const;
  void keep_line(std::string_view line);

  struct View {
    std::string state;  ///< of the contract's list
    std::string reason;
    std::uint64_t restarts = 0;
    json evidence;  ///< of the last death; null: there was none
    Instance instance;
  };
  [[nodiscard]] View view() const;

 private:
  enum class Held : std::uint8_t { no, quarantined, failed };
  void forgive() GANTRY_REQUIRES(mutex_);
  [[nodiscard]] static bool is_one_of(const std::vector<std::weak_ptr<Plugin>>& list, const Instance& instance);
  void note_death(const Instance& instance) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] bool has_died(const Instance& instance) const GANTRY_REQUIRES(mutex_);
  [[nodiscard]] Verdict judge(const std::string& reason, json details, bool starting);
  [[nodiscard]] std::optional<Error> refusal() const;
  [[nodiscard]] std::string by_hand() const { return "start it by `gantry plugin restart " + name_ + "`"; }

  const std::string name_;
  const RestartPolicy policy_;
  const Clock& clock_;
  Lazy<Plugin> lazy_;

  mutable Mutex mutex_{"plugin slot"};
  RestartWindow window_ GANTRY_GUARDED_BY(mutex_);
  Held held_ GANTRY_GUARDED_BY(mutex_) = Held::no;
  TimePoint opens_at_ GANTRY_GUARDED_BY(mutex_);
  std::string reason_ GANTRY_GUARDED_BY(mutex_);  ///< of the last failure, until it is forgiven
  bool start_failed_ GANTRY_GUARDED_BY(mutex_) = false;
  json evidence_ GANTRY_GUARDED_BY(mutex_);
  std::uint64_t starts_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::deque<std::string> lines_ GANTRY_GUARDED_BY(mutex_);
  Instance retired_ GANTRY_GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<Plugin>> dead_ GANTRY_GUARDED_BY(mutex_);   ///< those that somebody still holds
  std::vector<std::weak_ptr<Plugin>> aside_ GANTRY_GUARDED_BY(mutex_);  ///< not called yet, or not any more; as above
};

}  // namespace gantry::host
