// SPDX-License-Identifier: Apache-2.0
#include "host/doors/rpc/socket_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <gantry/retry.hpp>
#include <system_error>
#include <utility>

namespace gantry::host {

namespace {
[[nodiscard]] std::string errno_text() { return std::system_category().message(errno); }
}  // namespace

Result<void> check_socket_folder(const std::filesystem::path& folder) {
  const auto refuse = [&](const std::string& why) {
    return fail(ErrorKind::permission_denied, "the socket's folder " + folder.string() + " " + why);
  };
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    std::error_code failed;
    std::filesystem::create_directories(folder.parent_path(), failed);
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return refuse("cannot be created: " + errno_text());
  }
  struct stat info{};
  if (::lstat(folder.c_str(), &info) != 0) return refuse("cannot be looked at: " + errno_text());
  if (S_ISLNK(info.st_mode)) return refuse("is a symbolic link; use a real folder");
  if (!S_ISDIR(info.st_mode)) return refuse("is no folder");
  if (info.st_uid != ::geteuid()) return refuse("belongs to another user");
  if ((info.st_mode & 0077) != 0) return refuse("is open to other users; chmod 700 it");
  return {};
}

Result<SocketLock> SocketLock::take(const std::filesystem::path& socket) {
  if (auto ok = check_socket_folder(socket.parent_path()); !ok) return std::unexpected(ok.error());
  const std::string path = socket.string() + ".lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return fail(ErrorKind::unavailable, path + " cannot be opened: " + errno_text());
  const auto try_lock = [&]() -> Result<void> {
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return {};
    if (errno == EWOULDBLOCK) return fail(ErrorKind::conflict, "another gantry serves " + socket.string() + " already");
    return fail(ErrorKind::unavailable, path + " cannot be locked: " + errno_text());
  };
  // `gantry stop` holds the lock for a moment to see whether it is free: one refusal is not yet an answer.
  constexpr Duration kMoment = std::chrono::milliseconds(10);
  const auto locked = retry({.max_retries = 10, .initial_delay = kMoment, .max_delay = kMoment, .jitter = 0}, try_lock,
                            {.retry_if = [](const Error& error) { return error.kind == ErrorKind::conflict; }});
  if (!locked) {
    ::close(fd);
    return std::unexpected(locked.error());
  }
  return SocketLock(fd);
}

SocketLock::SocketLock(SocketLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
SocketLock::~SocketLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace gantry::host
