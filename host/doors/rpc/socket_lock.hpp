// SPDX-License-Identifier: Apache-2.0
//
// host/doors/rpc/socket_lock.hpp: exactly one host serves a socket, in a folder that is its user's alone.
//
// Whoever holds the lock on SOCKET.lock serves. The kernel lets go of the lock when its holder dies, however it dies; a
// socket file that is left behind is replaced by the next holder.
//
// Thread rule: any thread. take() waits at most 100 ms.
#pragma once

#include <filesystem>
#include <gantry/result.hpp>

namespace gantry::host {

/// The right to serve a socket; lets go when it dies.
class SocketLock {
 public:
  /// `conflict` when another host holds it; `permission_denied` when the folder is not the user's own and private.
  [[nodiscard]] static Result<SocketLock> take(const std::filesystem::path& socket);
  SocketLock(SocketLock&& other) noexcept;
  SocketLock& operator=(SocketLock&&) = delete;
  ~SocketLock();

 private:
  explicit SocketLock(int fd) : fd_(fd) {}
  int fd_;
};

/// Creates the folder with 0700 when it is missing, and refuses one that is a link, another's, or open to others.
[[nodiscard]] Result<void> check_socket_folder(const std::filesystem::path& folder);

}  // namespace gantry::host
