// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/rpc/listener.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "host/observe/private_folders.hpp"

namespace gantry::host {

namespace {

constexpr int kBacklog = 256;
constexpr const char* kElsewhere = "; name another place with --socket, $GANTRY_SOCKET or $XDG_RUNTIME_DIR";

[[nodiscard]] std::string errno_text() { return std::system_category().message(errno); }

}  // namespace

Result<void> check_socket_path(const std::filesystem::path& socket) {
  constexpr std::size_t kMost = sizeof(sockaddr_un{}.sun_path) - 1;
  if (socket.native().size() <= kMost) return {};
  return fail(ErrorKind::invalid_params, "the socket's path is longer than " + std::to_string(kMost) +
                                             " bytes: " + socket.string() +
                                             "; choose another with --socket, $GANTRY_SOCKET or $XDG_RUNTIME_DIR");
}

Result<void> check_socket_folder(const std::filesystem::path& folder) {
  const auto refuse = [&](const std::string& why) {
    return fail(ErrorKind::permission_denied, "the socket's folder " + folder.string() + " " + why);
  };
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    if (auto failed = make_private_folders(folder))
      return refuse("cannot be created: " + failed.message() + kElsewhere);
  }
  struct stat info{};
  if (::lstat(folder.c_str(), &info) != 0) return refuse("cannot be looked at: " + errno_text() + kElsewhere);
  if (S_ISLNK(info.st_mode)) return refuse("is a symbolic link; use a real folder");
  if (!S_ISDIR(info.st_mode)) return refuse(std::string("is no folder") + kElsewhere);
  if (info.st_uid != ::geteuid()) return refuse(std::string("belongs to another user") + kElsewhere);
  if ((info.st_mode & 0077) != 0) return refuse("is open to other users; chmod 700 it");
  if ((info.st_mode & 0700) != 0700) return refuse("is closed to its own user; chmod 700 it");
  return {};
}

Result<FileLock> Listener::lock(const std::filesystem::path& socket, bool waits) {
  if (auto ok = check_socket_path(socket); !ok) return std::unexpected(ok.error());
  if (auto ok = check_socket_folder(socket.parent_path()); !ok) return std::unexpected(ok.error());
  auto lock = FileLock::take(socket.string() + ".lock", waits);
  if (!lock && lock.error().kind == ErrorKind::conflict)
    return fail(ErrorKind::conflict, "another gantry serves " + socket.string() + " already");
  return lock;
}

Result<Listener> Listener::open(const std::filesystem::path& socket) {
  auto locked = lock(socket, true);
  if (!locked) return std::unexpected(locked.error());
  Listener listener(socket);
  listener.lock_.emplace(std::move(*locked));
  if (auto ok = listener.bind(); !ok) return std::unexpected(ok.error());
  return listener;
}

Result<void> Listener::renew(const std::filesystem::path& socket) {
  Listener fresh(socket);
  const bool keeps = socket == socket_ && lock_ && lock_->in_place();
  if (!keeps) {
    auto locked = lock(socket, false);
    if (!locked) return std::unexpected(locked.error());
    if (socket == socket_ && socket_in_place()) {  // only the lock was lost: who connects meanwhile is accepted
      lock_.emplace(std::move(*locked));
      return {};
    }
    fresh.lock_.emplace(std::move(*locked));
  }
  if (auto ok = fresh.bind(); !ok) return ok;
  if (keeps) fresh.lock_ = std::move(lock_);
  if (socket == socket_) inode_ = 0;  // its file, if it was there, is replaced already
  *this = std::move(fresh);
  return {};
}

// Whoever left a file there is dead, or is this host: the lock is ours.
Result<void> Listener::bind() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_.c_str(), socket_.native().size() + 1);
  const auto refuse = [&] {
    return fail(ErrorKind::unavailable, "cannot listen on " + socket_.string() + ": " + errno_text());
  };
  fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) return refuse();
  (void)::unlink(socket_.c_str());
  struct stat info{};
  // The mode of the descriptor becomes the file's (unix(7)); the mask is the whole process's and stays as it is.
  if (::fchmod(fd_, 0600) != 0 || ::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::lstat(socket_.c_str(), &info) != 0)
    return refuse();
  device_ = info.st_dev;
  inode_ = info.st_ino;
  if (::listen(fd_, kBacklog) != 0) return refuse();
  return {};
}

Listener::Listener(Listener&& other) noexcept
    : socket_(std::move(other.socket_)),
      lock_(std::move(other.lock_)),
      fd_(std::exchange(other.fd_, -1)),
      device_(other.device_),
      inode_(std::exchange(other.inode_, 0)) {
  other.lock_.reset();
}

Listener& Listener::operator=(Listener&& other) noexcept {
  std::swap(socket_, other.socket_);
  std::swap(lock_, other.lock_);
  std::swap(fd_, other.fd_);
  std::swap(device_, other.device_);
  std::swap(inode_, other.inode_);
  return *this;
}

Listener::~Listener() {
  remove();
  if (fd_ >= 0) ::close(fd_);
}

bool Listener::socket_in_place() const {
  struct stat info{};
  return inode_ != 0 && ::lstat(socket_.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_;
}

bool Listener::in_place() const { return lock_ && lock_->in_place() && socket_in_place(); }

int Listener::take_fd() { return std::exchange(fd_, -1); }

void Listener::remove() {
  if (in_place()) (void)::unlink(socket_.c_str());
  inode_ = 0;
}

}  // namespace gantry::host
