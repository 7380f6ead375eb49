// SPDX-License-Identifier: Apache-2.0
#include "host/house/library_watch.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "host/plugins/manifest.hpp"

namespace gantry::host {

LibraryWatch::LibraryWatch(Workers& workers, Timers& timers, WorkerPool& pool, ServiceManager& services, Log& log)
    : timers_(timers), pool_(pool), services_(services), log_(log), inotify_(workers.first().context()) {}

Result<void> LibraryWatch::start() {
  const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0) return fail(ErrorKind::unavailable, std::string("plugins cannot be watched: ") + std::strerror(errno));
  inotify_.assign(fd);
  const auto table = services_.table();
  for (const auto& spec : table->specs()) watch(spec);
  wait();
  return {};
}

void LibraryWatch::add(const std::string& plugin) {
  boost::asio::post(inotify_.get_executor(), [weak = weak_from_this(), plugin] {
    const auto self = weak.lock();
    if (!self) return;
    const auto table = self->services_.table();
    self->watch(*PluginTable::share(table, plugin));
  });
}

void LibraryWatch::watch(const PluginSpec& spec) {
  if (!spec.enabled || spec.library.empty()) return;
  auto folder = spec.library.parent_path();
  if (folder.empty()) folder = ".";
  const int number =
      ::inotify_add_watch(inotify_.native_handle(), folder.c_str(), IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR);
  if (number < 0) {
    log_.write(Level::warn, "plugins", folder.string() + " cannot be watched: " + std::strerror(errno));
    return;
  }
  for (const auto& file : {spec.library, manifest_path(spec.library)})
    plugins_[number][file.filename().string()] = spec.name;
}

void LibraryWatch::wait() {
  inotify_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                      [weak = weak_from_this()](const boost::system::error_code& failed) {
                        const auto watch = weak.lock();
                        if (failed || !watch) return;
                        watch->read();
                        watch->wait();
                      });
}

// On the worker.
void LibraryWatch::read() {
  alignas(inotify_event) std::array<char, 16384> buffer{};
  for (;;) {
    const ssize_t size = ::read(inotify_.native_handle(), buffer.data(), buffer.size());
    if (size <= 0) return;
    for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(size);) {
      inotify_event event{};
      std::memcpy(&event, &buffer[at], sizeof event);
      if ((event.mask & IN_Q_OVERFLOW) != 0) {
        for (const auto& [folder, files] : plugins_) {
          for (const auto& [file, unused] : files) changed(folder, file);
        }
      } else if (event.len != 0) {
        changed(event.wd, &buffer[at + sizeof event]);
      }
      at += sizeof event + event.len;
    }
  }
}

void LibraryWatch::changed(int folder, std::string_view file) {
  const auto files = plugins_.find(folder);
  if (files == plugins_.end()) return;
  const auto plugin = files->second.find(file);
  if (plugin == files->second.end()) return;
  {
    const Lock lock(mutex_);
    waiting_.insert(plugin->second);
  }
  arm();
}

// Whoever has armed it last is heard.
void LibraryWatch::arm() {
  const auto next = timers_.after(kQuiet, [weak = weak_from_this()] {
    if (const auto watch = weak.lock()) watch->quiet();
  });
  TimerKey old = next;
  {
    const Lock lock(mutex_);
    if (!stopped_) old = std::exchange(timer_, next);
  }
  if (old != 0) (void)timers_.cancel(old);
}

void LibraryWatch::quiet() {
  std::set<std::string> plugins;
  bool later = false;
  {
    const Lock lock(mutex_);
    timer_ = 0;
    if (stopped_ || waiting_.empty()) return;
    later = std::exchange(reloading_, true);
    if (!later) plugins.swap(waiting_);
  }
  if (later) {
    arm();
    return;
  }
  if (pool_.spawn([self = shared_from_this(), plugins] { self->reload(plugins); })) return;
  {
    const Lock lock(mutex_);
    reloading_ = false;
    waiting_.insert(plugins.begin(), plugins.end());
  }
  arm();
}

// On the pool.
void LibraryWatch::reload(const std::set<std::string>& plugins) {
  bool again = false;
  for (const auto& plugin : plugins) {
    const auto done = services_.reload(plugin);
    if (done) {
      log_.write(Level::info, "plugins", plugin + " was reloaded: its library was built anew");
    } else if (done.error().kind == ErrorKind::conflict || done.error().kind == ErrorKind::overloaded) {
      again = true;
      const Lock lock(mutex_);
      waiting_.insert(plugin);
    } else {
      log_.write(Level::error, "plugins", done.error().message);
    }
  }
  {
    const Lock lock(mutex_);
    reloading_ = false;
  }
  if (again) arm();
}

void LibraryWatch::stop() {
  TimerKey timer = 0;
  {
    const Lock lock(mutex_);
    stopped_ = true;
    timer = std::exchange(timer_, 0);
  }
  if (timer != 0) (void)timers_.cancel(timer);
}

}  // namespace gantry::host
