// SPDX-License-Identifier: Apache-2.0
//
// host/services/live_instance.hpp: the instance of one plugin that calls go to, for those who call it.
//
// Lazy and double-checked: while an instance is there, peek() takes it; else get_async() joins those who wait, and
// wakes the plugin's life (plugin_lives.hpp), which serves or refuses all of them.
//
// Thread rule: any thread; nothing blocks but get(). The callbacks run on the thread that serves or refuses, without a
// lock held. Never: a callback is called twice, or not at all.
// Bounds: who waits holds a permit of the router's, is a plugin that needs this one, or a task.
#pragma once

#include <functional>
#include <gantry/channel/oneshot.hpp>
#include <gantry/deadline.hpp>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gantry::host {

class Plugin;
using PluginInstance = std::shared_ptr<Plugin>;

/// Blocks until what `begin` was handed is called; `unavailable`: it never will be.
template <class T, class Begin>
[[nodiscard]] Result<T> wait_for(Begin begin) {
  auto [reply, answer] = oneshot::channel<Result<T>>();
  begin([told = std::move(reply)](Result<T> result) mutable { (void)told.send(std::move(result)); });
  auto result = answer.recv();
  return result ? std::move(*result) : fail(ErrorKind::unavailable, "the host is stopping");
}

class LiveInstance {
 public:
  using Callback = std::move_only_function<void(Result<PluginInstance>)>;

  /// `want`: somebody waits; called again only after take_want().
  LiveInstance(const Clock& clock, std::function<void()> want) : clock_(clock), want_(std::move(want)) {}
  LiveInstance(const LiveInstance&) = delete;
  LiveInstance& operator=(const LiveInstance&) = delete;
  /// Nobody waits any more.
  ~LiveInstance();

  /// nullptr: there is none.
  [[nodiscard]] PluginInstance peek() const {
    const Lock lock(mutex_);
    return instance_;
  }
  /// The instance; its plugin is started for it, where it may.
  void get_async(Callback done);
  /// As get_async(), with this thread.
  [[nodiscard]] Result<PluginInstance> get() {
    return wait_for<PluginInstance>([this](Callback done) { get_async(std::move(done)); });
  }
  /// For how long a start would be refused. Empty: until somebody restarts the plugin by hand.
  [[nodiscard]] std::optional<Duration> held_for() const;

  /// Somebody waits.
  [[nodiscard]] bool is_awaited() const {
    const Lock lock(mutex_);
    return !waiting_.empty();
  }

  // By the plugin's life, on its strand:
  /// From now on `want` may be called again.
  void take_want();
  /// Callers get this one. Those who wait get it now.
  void serve(const PluginInstance& instance);
  void refuse(const Error& error);
  /// Callers get it no more, if it is the one that they get; empty: whichever it is.
  void withdraw(const PluginInstance& instance = nullptr);
  /// A start would be refused until then; empty: until it is released.
  void hold(std::optional<TimePoint> until);
  void release();

 private:
  const Clock& clock_;
  const std::function<void()> want_;
  mutable Mutex mutex_{"live instance"};
  PluginInstance instance_ GANTRY_GUARDED_BY(mutex_);
  std::vector<Callback> waiting_ GANTRY_GUARDED_BY(mutex_);
  bool wanted_ GANTRY_GUARDED_BY(mutex_) = false;
  std::optional<TimePoint> held_until_ GANTRY_GUARDED_BY(mutex_) = TimePoint{};
};

}  // namespace gantry::host
