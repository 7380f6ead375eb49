// SPDX-License-Identifier: Apache-2.0
//
// host/house/library_watch.hpp: reloads a plugin when its library or its manifest was written anew.
//
// The kernel tells (inotify) when a file in the plugins' folders was closed after it was written, or was moved there.
// Once it has been quiet for kQuiet the plugins that are concerned are reloaded, one after the other, on the pool.
//
// Thread rule: start() before the host serves; the rest runs on the first worker, the timers and the pool. mutex_ is
// held across no call out. Bounds: a plugin that was changed more than once meanwhile is reloaded once; when the kernel
// has dropped what it had to tell, all are.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <gantry/mutex.hpp>
#include <gantry/worker_pool.hpp>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "host/runtime/timers.hpp"
#include "host/runtime/workers.hpp"
#include "host/services/service_manager.hpp"

namespace gantry::host {

class LibraryWatch : public std::enable_shared_from_this<LibraryWatch> {
 public:
  static constexpr auto kQuiet = std::chrono::milliseconds(100);

  LibraryWatch(Workers& workers, Timers& timers, WorkerPool& pool, ServiceManager& services, Log& log);

  /// Watches the folders of all plugins that are enabled. `unavailable`: the system gives no watch.
  [[nodiscard]] Result<void> start();
  /// That plugin too, which the services know: any thread.
  void add(const std::string& plugin);
  /// Nothing is reloaded any more, but for what runs.
  void stop();

 private:
  void watch(const PluginSpec& spec);
  void wait();
  void read();
  void changed(int folder, std::string_view file);
  void arm();
  void quiet();
  void reload(const std::set<std::string>& plugins);

  Timers& timers_;
  WorkerPool& pool_;
  ServiceManager& services_;
  Log& log_;
  boost::asio::posix::stream_descriptor inotify_;
  std::map<int, std::map<std::string, std::string, std::less<>>>
      plugins_;  ///< by folder and file; the worker's, once started
  Mutex mutex_{"library watch"};
  bool stopped_ GANTRY_GUARDED_BY(mutex_) = false;
  bool reloading_ GANTRY_GUARDED_BY(mutex_) = false;
  TimerKey timer_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::set<std::string> waiting_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
