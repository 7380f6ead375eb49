// SPDX-License-Identifier: Apache-2.0
#include "host/daemon/project_watch.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <gantry/inotify.hpp>
#include <utility>

#include "host/trust/project.hpp"

namespace gantry::host {

ProjectWatch::ProjectWatch(Workers& workers, Timers& timers, WorkerPool& pool, Log& log, Changed changed)
    : timers_(timers), pool_(pool), log_(log), changed_(std::move(changed)), inotify_(workers.first().context()) {}

void ProjectWatch::watch(std::vector<std::string> workspaces) {
  boost::asio::post(inotify_.get_executor(), [weak = weak_from_this(), workspaces = std::move(workspaces)] {
    if (const auto self = weak.lock()) self->watch_now(workspaces);
  });
}

// ---- on the worker --------------------------------------------------------------------------------------------------

bool ProjectWatch::open() {
  if (inotify_.is_open()) return true;
  const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0) return false;
  inotify_.assign(fd);
  wait();
  return true;
}

void ProjectWatch::watch_now(const std::vector<std::string>& workspaces) {
  const bool opened = open();
  std::erase_if(unwatched_, [&](const auto& each) { return std::ranges::find(workspaces, each) == workspaces.end(); });
  for (auto it = workspaces_.begin(); it != workspaces_.end();) {
    if (std::ranges::find(workspaces, it->second) != workspaces.end()) {
      ++it;
      continue;
    }
    (void)::inotify_rm_watch(inotify_.native_handle(), it->first);
    it = workspaces_.erase(it);
  }
  for (const auto& workspace : workspaces) {
    if (std::ranges::any_of(workspaces_, [&](const auto& entry) { return entry.second == workspace; })) continue;
    const int number =
        opened
            ? ::inotify_add_watch(inotify_.native_handle(), workspace.c_str(),
                                  IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_MOVE_SELF | IN_ONLYDIR)
            : -1;
    if (number >= 0) {
      workspaces_[number] = workspace;
      unwatched_.erase(workspace);
      heard({workspace});  // it may have been edited since it was read
    } else if (unwatched_.insert(workspace).second) {
      log_.write(Level::warn, "config",
                 workspace + " cannot be watched (" + std::strerror(errno) + "): an edit of its " +
                     std::string(kProjectFile) + " is noticed when a client names the workspace");
    }
  }
}

void ProjectWatch::wait() {
  inotify_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                      [weak = weak_from_this()](const boost::system::error_code& failed) {
                        const auto self = weak.lock();
                        if (failed || !self) return;
                        self->read();
                        self->wait();
                      });
}

void ProjectWatch::read() {
  std::set<std::string> changed;
  (void)read_inotify(inotify_.native_handle(), [&](int watch, std::uint32_t what, std::string_view name) {
    if ((what & IN_Q_OVERFLOW) != 0) {
      for (const auto& [number, workspace] : workspaces_) changed.insert(workspace);
      return;
    }
    const auto it = workspaces_.find(watch);
    if (it == workspaces_.end()) return;
    if (name == kProjectFile) changed.insert(it->second);
    if ((what & IN_MOVE_SELF) != 0) (void)::inotify_rm_watch(inotify_.native_handle(), watch);
    if ((what & IN_IGNORED) != 0) workspaces_.erase(it);  // the folder is gone, or has another name
  });
  if (!changed.empty()) heard(changed);
}

// ---- when it is quiet -----------------------------------------------------------------------------------------------

void ProjectWatch::heard(const std::set<std::string>& workspaces) {
  {
    const Lock lock(mutex_);
    waiting_.insert(workspaces.begin(), workspaces.end());
  }
  const auto next = timers_.after(kQuiet, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->quiet();
  });
  TimerKey old = next;
  {
    const Lock lock(mutex_);
    if (!stopped_) old = std::exchange(timer_, next);
  }
  if (old != 0) (void)timers_.cancel(old);
}

void ProjectWatch::quiet() {
  std::set<std::string> workspaces;
  {
    const Lock lock(mutex_);
    timer_ = 0;
    if (stopped_) return;
    workspaces.swap(waiting_);
  }
  const auto tell = [self = shared_from_this(), workspaces] {
    for (const auto& workspace : workspaces) self->changed_(workspace);
  };
  if (!pool_.spawn(tell)) heard(workspaces);
}

void ProjectWatch::stop() {
  TimerKey timer = 0;
  {
    const Lock lock(mutex_);
    stopped_ = true;
    timer = std::exchange(timer_, 0);
  }
  if (timer != 0) (void)timers_.cancel(timer);
}

}  // namespace gantry::host
