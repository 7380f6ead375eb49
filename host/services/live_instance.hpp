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
#include <gantry/deadline.hpp>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <gantry/snapshot.hpp>
#include <memory>
#include <optional>
#include <vector>

namespace gantry::host {

class Plugin;
using PluginInstance = std::shared_ptr<Plugin>;

class LiveInstance {
 public:
  using Callback = std::move_only_function<void(Result<PluginInstance>)>;

  /// `want`: somebody waits; called again only after take_want(). `number`: no other plugin's, and small.
  LiveInstance(std::size_t number, const Clock& clock, std::function<void()> want)
      : number_(number), clock_(clock), want_(std::move(want)) {}
  LiveInstance(const LiveInstance&) = delete;
  LiveInstance& operator=(const LiveInstance&) = delete;
  /// Nobody waits any more.
  ~LiveInstance();

  /// nullptr: there is none.
  [[nodiscard]] PluginInstance peek() const { return *instance_.load(); }
  /// The instance; its plugin is started for it, where it may.
  void get_async(Callback done);
  /// As get_async(), with this thread.
  [[nodiscard]] Result<PluginInstance> get();
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
  friend class InstanceReaders;
  const std::size_t number_;
  const Clock& clock_;
  const std::function<void()> want_;
  mutable Mutex mutex_{"live instance"};
  Snapshot<PluginInstance> instance_{PluginInstance()};  ///< replaced under mutex_
  std::vector<Callback> waiting_ GANTRY_GUARDED_BY(mutex_);
  bool wanted_ GANTRY_GUARDED_BY(mutex_) = false;
  std::optional<TimePoint> held_until_ GANTRY_GUARDED_BY(mutex_) = TimePoint{};
};

/// The instances as one thread reads them, without a lock or a shared write. An instance that has been withdrawn lives
/// until the thread borrows of the same plugin again, or lets all of them go.
class InstanceReaders {
 public:
  /// Valid until the next borrow() or release(); nullptr: there is none.
  [[nodiscard]] Plugin* borrow(const LiveInstance& of) {
    if (of.number_ >= readers_.size()) readers_.resize(of.number_ + 1);
    auto& reader = readers_[of.number_];
    if (!reader) reader.emplace(of.instance_);
    return reader->get().get();
  }
  /// Before the thread sleeps.
  void release() {
    for (auto& reader : readers_) {
      if (reader) reader->release();
    }
  }

 private:
  std::vector<std::optional<Snapshot<PluginInstance>::Reader>> readers_;  ///< by LiveInstance::number_
};

}  // namespace gantry::host
