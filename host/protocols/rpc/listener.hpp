// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/rpc/listener.hpp: a Unix socket that listens under its name, in a folder that is
// its user's alone, for exactly one host.
//
// Whoever holds the lock on SOCKET.lock serves. The kernel lets go of the lock when its holder dies; a socket file that
// is left behind is replaced by the next holder. A cleaner of temporary files, or the last logout, may remove socket,
// lock and folder of a host that runs: in_place() finds that, and renew() makes them anew.
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

/// Can an address hold this path? Else `invalid_params`, with what to do.
[[nodiscard]] Result<void> check_socket_path(const std::filesystem::path& socket);
/// Creates the folder with 0700 when it is missing, and refuses one that is a link, another's, or open to others.
[[nodiscard]] Result<void> check_socket_folder(const std::filesystem::path& folder);

class Listener {
 public:
  /// `conflict` when another host serves there; `permission_denied` when the folder is not the user's own and private;
  /// `invalid_params` when the path is too long.
  [[nodiscard]] static Result<Listener> open(const std::filesystem::path& socket);
  Listener(Listener&& other) noexcept;
  Listener& operator=(Listener&& other) noexcept;
  /// Removes the socket file and lets go of the lock.
  ~Listener();

  /// Do folder, lock and socket still have their names?
  [[nodiscard]] bool in_place() const;
  /// As open(), at `socket`, which may be the same path; lock and socket are kept where they still are in place. After
  /// an error all is as before. A socket that is not in place, or is elsewhere, is replaced; what is elsewhere is
  /// removed.
  [[nodiscard]] Result<void> renew(const std::filesystem::path& socket);
  /// The descriptor of a socket that was just bound; whoever takes it closes it. -1: taken, or renew() kept the socket.
  [[nodiscard]] int take_fd();
  /// Nobody can connect any more. The lock is kept.
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
