// SPDX-License-Identifier: Apache-2.0
#include "host/runtime/file_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <gantry/detail/closed_in_forks.hpp>
#include <gantry/retry.hpp>
#include <system_error>
#include <utility>

namespace gantry::host {

namespace {
[[nodiscard]] std::unexpected<Error> refused(const std::filesystem::path& file, const char* what) {
  return fail(ErrorKind::unavailable,
              file.string() + " cannot be " + what + ": " + std::system_category().message(errno));
}
}  // namespace

Result<FileLock> FileLock::take(const std::filesystem::path& file, bool waits) {
  const auto once = [&]() -> Result<FileLock> {
    const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0) return refused(file, "opened");
    gantry::detail::ClosedInForks::add(fd);
    FileLock lock(file, fd);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return fail(ErrorKind::conflict, file.string() + " is locked by another process");
      return refused(file, "locked");
    }
    // Removed between the two calls: whoever comes next makes another file.
    if (!lock.in_place()) return fail(ErrorKind::conflict, file.string() + " was removed while it was locked");
    return lock;
  };
  return retry({.max_retries = waits ? kTries : 1, .initial_delay = kMoment, .max_delay = kMoment, .jitter = 0}, once,
               {.retry_if = [&](const Error& error) { return waits && error.kind == ErrorKind::conflict; }});
}

FileLock::FileLock(FileLock&& other) noexcept : file_(std::move(other.file_)), fd_(std::exchange(other.fd_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(fd_, other.fd_);
  return *this;
}

FileLock::~FileLock() {
  if (fd_ < 0) return;
  gantry::detail::ClosedInForks::remove(fd_);
  ::close(fd_);
}

bool FileLock::in_place() const {
  struct stat ours{};
  struct stat there{};
  return ::fstat(fd_, &ours) == 0 && ::lstat(file_.c_str(), &there) == 0 && ours.st_dev == there.st_dev &&
         ours.st_ino == there.st_ino;
}

}  // namespace gantry::host
