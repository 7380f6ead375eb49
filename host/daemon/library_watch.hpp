// SPDX-License-Identifier: Apache-2.0
//
// host/daemon/library_watch.hpp: reloads a plugin when its library or its manifest was written
// anew.
//
// inotify(7) reports when a file in the plugins' folders was closed after a write, was moved there,
// or is a new link. Once the folder has been quiet for kQuiet, the plugins concerned are reloaded,
// one after the other, on the pool. A library that is a link is watched where the link is and where
// the link leads. A folder that is removed or renamed may come back (`rm -rf build`): until then
// the nearest existing folder above is watched.
//
// Thread rule: start() before the host serves; the rest runs on the first worker, the timers and
// the pool. mutex_ is held across no call to another class. Bounds: a plugin that was changed more
// than once meanwhile is reloaded once; when the kernel has dropped events, all plugins are
// reloaded.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <filesystem>
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
  /// Watches a plugin that the services know as well. Any thread.
  void add(const std::string& plugin);
  /// No reload begins any more; a reload that runs goes on.
  void stop();

 private:
  /// A watched folder. Both maps are keyed by the name of an entry of that folder.
  struct Folder {
    std::filesystem::path path;
    std::map<std::string, std::string, std::less<>> files;  ///< the plugin of each file
    std::map<std::string, std::set<std::string>, std::less<>>
        awaited;  ///< a folder that is not there, for which plugins
    [[nodiscard]] bool empty() const { return files.empty() && awaited.empty(); }
  };

  void watch(const PluginSpec& spec);
  void watch_file(const std::string& plugin, const std::filesystem::path& file);
  [[nodiscard]] int watch_folder(const std::filesystem::path& folder);
  void watch_anew(const std::set<std::string>& plugins);
  void forget(const std::string& plugin);
  void wait();
  void read();
  void heard(int folder, std::uint32_t what, std::string_view name);
  void changed(const std::string& plugin);
  void arm();
  void quiet();
  void reload(const std::set<std::string>& plugins);

  Timers& timers_;
  WorkerPool& pool_;
  ServiceManager& services_;
  Log& log_;
  boost::asio::posix::stream_descriptor inotify_;
  std::map<int, Folder> folders_;  ///< by inotify's watch descriptor; used by the worker only, once started
  Mutex mutex_{"library watch"};
  bool stopped_ GANTRY_GUARDED_BY(mutex_) = false;
  bool reloading_ GANTRY_GUARDED_BY(mutex_) = false;
  TimerKey timer_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::set<std::string> waiting_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
