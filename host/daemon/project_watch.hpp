// SPDX-License-Identifier: Apache-2.0
//
// host/daemon/project_watch.hpp: detects that a project's `.gantry.toml` has been written, replaced
// or removed.
//
// inotify(7) reports what happens to the names in a workspace's own folder. Once a file has been
// left alone for kQuiet, its workspace is told, on the pool.
//
// Thread rule: watch() and stop(): any thread. Events are read on the first worker. mutex_ is held
// across no call to another class. Bounds: one watch for each workspace, of which there are at most
// Workspaces::kMaxWorkspaces; a workspace whose file changed more than once meanwhile is told once;
// when the kernel has dropped events, all workspaces are told. A folder that the system does not let be
// watched is left out, and the log says so: its file is read when a client names the workspace.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <functional>
#include <gantry/mutex.hpp>
#include <gantry/worker_pool.hpp>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "host/observe/log.hpp"
#include "host/runtime/timers.hpp"
#include "host/runtime/workers.hpp"

namespace gantry::host {

class ProjectWatch : public std::enable_shared_from_this<ProjectWatch> {
 public:
  static constexpr auto kQuiet = std::chrono::milliseconds(100);
  /// The file of this workspace may be another one. On the pool.
  using Changed = std::function<void(const std::string& workspace)>;

  ProjectWatch(Workers& workers, Timers& timers, WorkerPool& pool, Log& log, Changed changed);
  /// Watches these workspaces, and no others.
  void watch(std::vector<std::string> workspaces);
  /// No workspace is told any more, except by a call that has begun.
  void stop();

 private:
  [[nodiscard]] bool open();
  void watch_now(const std::vector<std::string>& workspaces);
  void wait();
  void read();
  void heard(const std::set<std::string>& workspaces);
  void quiet();

  Timers& timers_;
  WorkerPool& pool_;
  Log& log_;
  const Changed changed_;
  boost::asio::posix::stream_descriptor inotify_;  ///< the worker's, as the map
  std::map<int, std::string> workspaces_;          ///< by inotify's watch descriptor
  std::set<std::string> unwatched_;                ///< that the log has named
  Mutex mutex_{"project watch"};
  bool stopped_ GANTRY_GUARDED_BY(mutex_) = false;
  TimerKey timer_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::set<std::string> waiting_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
