// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/rpc/listener.hpp: a Unix socket that listens under its name, in a folder that only
// its user can access, for exactly one host.
//
// The process that holds the lock on SOCKET.lock serves. The kernel releases the lock when that
// process dies; the next holder replaces a socket file that is left behind. A cleaner of temporary
// files, or the last logout, may remove the socket, lock and folder of a running host: in_place()
// detects that, and renew() makes them anew.
//
// Thread rule: one thread at a time. open() waits at most 100 ms for the lock, renew() not at all.
// Never: a socket file is removed that another host has made.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <gantry/result.hpp>
#include <optional>

#include "host/runtime/file_lock.hpp"

namespace gantry::host {

/// Checks that an address can hold this path. `invalid_params` says what to do.
[[nodiscard]] Result<void> check_socket_path(const std::filesystem::path& socket);
/// Creates a missing folder with 0700. Refuses a folder that is a link, another user's, or open to
/// others.
[[nodiscard]] Result<void> check_socket_folder(const std::filesystem::path& folder);

class Listener {
 public:
  /// `conflict`: another host serves there; `permission_denied`: the folder is not the user's own
  /// and private; `invalid_params`: the path is too long.
  [[nodiscard]] static Result<Listener> open(const std::filesystem::path& socket);
  Listener(Listener&& other) noexcept;
  Listener& operator=(Listener&& other) noexcept;
  /// Removes the socket file and releases the lock.
  ~Listener();

  /// True: folder, lock and socket still have their names.
  [[nodiscard]] bool in_place() const;
  /// As open(), at `socket`, which may be the same path; lock and socket are kept where they are
  /// still in place. After an error all is as before. A socket that is not in place, or is at
  /// another path, is replaced, and its file at the other path is removed.
  [[nodiscard]] Result<void> renew(const std::filesystem::path& socket);
  /// The descriptor of a socket that was just bound; the caller closes it. -1: it was taken before,
  /// or renew() kept the socket.
  [[nodiscard]] int take_fd();
  /// Removes the socket file, so that no client can connect any more. The lock is kept.
  void remove();
  [[nodiscard]] const std::filesystem::path& socket() const { return socket_; }

 private:
  explicit Listener(std::filesystem::path socket) : socket_(std::move(socket)) {}
  [[nodiscard]] static Result<FileLock> lock(const std::filesystem::path& socket, bool waits);
  [[nodiscard]] Result<void> bind();
  [[nodiscard]] bool socket_in_place() const;

  std::filesystem::path socket_;
  std::optional<FileLock> lock_;
  int fd_ = -1;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace gantry::host
