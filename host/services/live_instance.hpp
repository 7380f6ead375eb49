// SPDX-License-Identifier: Apache-2.0
//
// host/services/live_instance.hpp: the callers' access to the instance of one plugin that has its
// calls.
//
// Lazy and double-checked: while there is an instance, peek() returns it; else get_async() queues
// the caller and wakes the plugin's life (plugin_lives.hpp), which serves or refuses all queued
// callers.
//
// Thread rule: any thread; nothing blocks but get(). The callbacks run on the thread that serves or
// refuses, without a lock held. Never: a callback is called twice, or not at all.
// Bounds: a caller that waits holds a permit of the router, is a plugin that needs this one, or is
// a task.
#pragma once

#include <functional>
#include <gantry/channel/oneshot.hpp>
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

  /// `want` is called when a caller waits; it is called again only after take_want(). `number`: a
  /// small one that no other plugin of the host has.
  LiveInstance(std::size_t number, const Clock& clock, std::function<void()> want)
      : number_(number), clock_(clock), want_(std::move(want)) {}
  LiveInstance(const LiveInstance&) = delete;
  LiveInstance& operator=(const LiveInstance&) = delete;
  /// No caller may wait any more.
  ~LiveInstance();

  /// nullptr: there is no instance.
  [[nodiscard]] PluginInstance peek() const { return *instance_.load(); }
  /// Passes the instance to `done`; the plugin is started for it, if it may start.
  void get_async(Callback done);
  /// As get_async(), with this thread.
  [[nodiscard]] Result<PluginInstance> get() {
    return wait_for<PluginInstance>([this](Callback done) { get_async(std::move(done)); });
  }
  /// For how long a start would be refused. Empty: until somebody restarts the plugin by hand.
  [[nodiscard]] std::optional<Duration> held_for() const;

  /// True: a caller waits.
  [[nodiscard]] bool is_awaited() const {
    const Lock lock(mutex_);
    return !waiting_.empty();
  }

  // Called by the plugin's life, on its strand:
  /// From now on `want` may be called again.
  void take_want();
  /// Callers get this instance; those that wait get it now.
  void serve(const PluginInstance& instance);
  void refuse(const Error& error);
  /// Callers get this instance no more; nullptr: whichever instance they get.
  void withdraw(const PluginInstance& instance = nullptr);
  /// A start will be refused until then; empty: until release().
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

/// A worker thread's access to the instances, without a lock or a shared write. An instance that has
/// been withdrawn lives until the thread borrows of the same plugin again, or rests.
class InstanceReaders {
 public:
  /// An instance that stays while the Borrowed lives; at most one of a thread's Borrowed has one.
  class Borrowed {
   public:
    Borrowed() = default;
    Borrowed(InstanceReaders& readers, Plugin* plugin) : readers_(&readers), plugin_(plugin) {}
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;
    ~Borrowed() {
      if (readers_ != nullptr) readers_->lent_ = false;
    }
    [[nodiscard]] Plugin* get() const { return plugin_; }

   private:
    InstanceReaders* readers_ = nullptr;
    Plugin* plugin_ = nullptr;
  };

  /// nullptr: there is no instance, the thread is no worker, or an instance is lent here already: see
  /// LiveInstance::peek().
  [[nodiscard]] static Borrowed borrow(const LiveInstance& of);
  /// On a worker, before it rests.
  static void release();

 private:
  [[nodiscard]] static InstanceReaders& here();
  std::vector<std::optional<Snapshot<PluginInstance>::Reader>> readers_;   ///< by LiveInstance::number_
  std::vector<std::optional<Snapshot<PluginInstance>::Reader>> released_;  ///< being destroyed; else empty
  bool lent_ = false;
};

}  // namespace gantry::host
