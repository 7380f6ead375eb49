// SPDX-License-Identifier: Apache-2.0
#include "host/daemon/place_watch.hpp"

#include <fcntl.h>

#include <cerrno>
#include <gantry/inotify.hpp>
#include <system_error>
#include <utility>

namespace gantry::host {

namespace {
// Of the files' own folders: names that come and go, and attributes. IN_MASK_ADD: one folder may hold several files.
constexpr std::uint32_t kNames = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF |
                                 IN_MOVE_SELF | IN_ONLYDIR | IN_MASK_ADD;
// Of those above: only what becomes of them, not of what is in them.
constexpr std::uint32_t kSelf = IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_MASK_ADD;
}  // namespace

PlaceWatch::PlaceWatch(Workers& workers, Look look) : workers_(workers), look_(std::move(look)) {}

Result<void> PlaceWatch::watch(const std::vector<std::filesystem::path>& files) {
  if (!look_) return {};
  if (inotify_) {
    boost::system::error_code ignored;
    inotify_->close(ignored);
  }
  const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0)
    return fail(ErrorKind::unavailable, "the system gives no watch: " + std::system_category().message(errno) +
                                            "; a socket that is removed is made anew when a client asks for it");
  inotify_ = std::make_shared<Descriptor>(workers_.first().context(), fd);
  for (const auto& file : files) {
    auto folder = file.parent_path();
    asking_folder_ = ::inotify_add_watch(fd, folder.c_str(), kNames);
    asking_file_ = file.filename().string();
    while (folder.has_relative_path()) {
      folder = folder.parent_path();
      (void)::inotify_add_watch(fd, folder.c_str(), kSelf);
    }
  }
  wait();
  if (!mounts_) watch_mounts();
  return {};
}

void PlaceWatch::wait() {
  inotify_->async_wait(Descriptor::wait_read,
                       [weak = weak_from_this(), inotify = inotify_.get()](const boost::system::error_code& failed) {
                         const auto self = weak.lock();
                         if (failed || !self || self->inotify_.get() != inotify) return;
                         const Why why = self->read_events();
                         self->wait();
                         if (self->look_) self->look_(why);
                       });
}

PlaceWatch::Why PlaceWatch::read_events() {
  Why why = Why::changed;
  (void)read_inotify(inotify_->native_handle(), [&](int folder, std::uint32_t what, std::string_view name) {
    if ((what & IN_ATTRIB) != 0 && folder == asking_folder_ && name == asking_file_) why = Why::asked;
  });
  return why;
}

// An unmounting that is lazy is no event of the folders. Only the change counts; the text is not read.
void PlaceWatch::watch_mounts() {
  const int fd = ::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  mounts_ = std::make_shared<Descriptor>(workers_.first().context(), fd);
  wait_for_mounts();
}

void PlaceWatch::wait_for_mounts() {
  mounts_->async_wait(Descriptor::wait_error, [weak = weak_from_this()](const boost::system::error_code& failed) {
    const auto self = weak.lock();
    if (failed || !self || !self->look_) return;
    self->wait_for_mounts();
    self->look_(Why::changed);
  });
}

void PlaceWatch::stop() {
  look_ = nullptr;
  boost::system::error_code ignored;
  if (inotify_) inotify_->close(ignored);
  if (mounts_) mounts_->close(ignored);
}

}  // namespace gantry::host
