// SPDX-License-Identifier: Apache-2.0
#include "host/daemon/library_watch.hpp"

#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <gantry/inotify.hpp>
#include <utility>

#include "host/plugins/library/manifest.hpp"

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
  std::error_code failed;
  for (const auto& file : {spec.library, manifest_path(spec.library)}) {
    watch_file(spec.name, file);
    if (const auto behind = std::filesystem::weakly_canonical(file, failed); !failed && behind != file)
      watch_file(spec.name, behind);
  }
}

// While the file's folder is not there, the nearest folder above is watched for what leads to the file's folder.
void LibraryWatch::watch_file(const std::string& plugin, const std::filesystem::path& file) {
  auto folder = file.parent_path();
  if (folder.empty()) folder = ".";
  std::string name = file.filename().string();
  bool is_there = true;
  for (;;) {
    const int number = watch_folder(folder);
    if (number < 0) {
      const int why = errno;
      if ((why == ENOENT || why == ENOTDIR) && folder.has_parent_path() && folder.has_relative_path()) {
        name = folder.filename().string();
        folder = folder.parent_path();
        is_there = false;
        continue;
      }
      log_.write(Level::warn, "plugins", folder.string() + " cannot be watched: " + std::strerror(why));
      return;
    }
    auto& watched = folders_[number];
    watched.path = folder;
    if (is_there) {
      watched.files[name] = plugin;
      return;
    }
    watched.awaited[name].insert(plugin);
    std::error_code failed;
    if (!std::filesystem::is_directory(folder / name, failed)) return;
    // The folder has come before this one was watched: from the beginning.
    folder = file.parent_path();
    name = file.filename().string();
    is_there = true;
  }
}

/// Negative: errno says why.
int LibraryWatch::watch_folder(const std::filesystem::path& folder) {
  return ::inotify_add_watch(inotify_.native_handle(), folder.c_str(),
                             IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_MOVE_SELF | IN_ONLYDIR);
}

// Their folders have come or gone.
void LibraryWatch::watch_anew(const std::set<std::string>& plugins) {
  const auto table = services_.table();
  for (const auto& plugin : plugins) {
    if (!table->has(plugin)) continue;
    forget(plugin);
    const auto spec = PluginTable::share(table, plugin);
    watch(*spec);
    std::error_code failed;
    if (std::filesystem::exists(spec->library, failed)) changed(plugin);
  }
  for (auto it = folders_.begin(); it != folders_.end();) {
    if (!it->second.empty()) {
      ++it;
      continue;
    }
    (void)::inotify_rm_watch(inotify_.native_handle(), it->first);
    it = folders_.erase(it);
  }
}

void LibraryWatch::forget(const std::string& plugin) {
  for (auto& [number, folder] : folders_) {
    std::erase_if(folder.files, [&](const auto& file) { return file.second == plugin; });
    for (auto& [name, plugins] : folder.awaited) plugins.erase(plugin);
    std::erase_if(folder.awaited, [](const auto& awaited) { return awaited.second.empty(); });
  }
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
  (void)read_inotify(inotify_.native_handle(), [this](int folder, std::uint32_t what, std::string_view name) {
    if ((what & IN_Q_OVERFLOW) == 0) return heard(folder, what, name);
    std::set<std::string> all;
    const auto table = services_.table();
    for (const auto& spec : table->specs()) all.insert(spec.name);
    watch_anew(all);
  });
}

void LibraryWatch::heard(int number, std::uint32_t what, std::string_view name) {
  const auto at = folders_.find(number);
  if (at == folders_.end()) return;
  if ((what & IN_IGNORED) != 0) {  // the folder is gone, or was renamed and is not watched any more
    std::set<std::string> plugins;
    for (const auto& [file, plugin] : at->second.files) plugins.insert(plugin);
    for (const auto& [folder, waiting] : at->second.awaited) plugins.insert(waiting.begin(), waiting.end());
    folders_.erase(at);
    return watch_anew(plugins);
  }
  if ((what & IN_MOVE_SELF) != 0) {
    (void)::inotify_rm_watch(inotify_.native_handle(), number);  // IN_IGNORED follows
    return;
  }
  if (const auto awaited = at->second.awaited.find(name); awaited != at->second.awaited.end()) {
    const auto plugins = awaited->second;
    return watch_anew(plugins);
  }
  const auto file = at->second.files.find(name);
  if (file == at->second.files.end()) return;
  if ((what & IN_CREATE) != 0) {
    // A file that is only being made will be written and closed; a link is complete, and leads to another library.
    std::error_code failed;
    if (std::filesystem::is_symlink(at->second.path / name, failed)) watch_anew({std::string(file->second)});
    return;
  }
  changed(file->second);
}

void LibraryWatch::changed(const std::string& plugin) {
  {
    const Lock lock(mutex_);
    waiting_.insert(plugin);
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
