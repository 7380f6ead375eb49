// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/rpc/unix_server.hpp: JSON-RPC on a Unix socket, for the user who runs the host and
// nobody else.
//
// A connection lives on one worker: the one that had the fewest when the server began to wait for it.
// Thread rule: open() before the workers run; in_place(), renew() and stop_accepting() on the first worker, or when
//   none runs; close() on none of them; the rest from any.
// Bounds: max_connections, beyond which, and without descriptors, a client is told `overloaded` and closed after a
//   second at most; frames and outboxes as in the limits. A client that sends something that cannot be understood as
//   frames is closed; one that does not read is closed when its outbox is full, and is not read from while it is half
//   full.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>

#include "host/observe/log.hpp"
#include "host/protocols/rpc/session.hpp"
#include "host/runtime/workers.hpp"

namespace gantry::host {

struct UnixServerLimits {
  std::size_t max_connections = 1024;
  std::size_t max_message_bytes = std::size_t{16} << 20;
  std::size_t max_outbound_bytes = std::size_t{64} << 20;
  std::size_t max_json_depth = 64;
  std::size_t max_batch = 100;
};

class UnixServer {
 public:
  /// Called on its worker when a client's last byte is gone.
  using Gone = std::function<void(OriginId)>;

  UnixServer(Workers& workers, SessionDeps deps, Log& log, UnixServerLimits limits, Gone gone);
  ~UnixServer();
  UnixServer(const UnixServer&) = delete;
  UnixServer& operator=(const UnixServer&) = delete;

  /// Takes the socket's lock and begins to listen; errors as Listener::open().
  [[nodiscard]] Result<void> open(const std::filesystem::path& socket);
  /// Do the socket, its lock and its folder still have their names? They may have been removed from outside.
  [[nodiscard]] bool in_place() const;
  /// Listens on `socket` from now on, where it may have listened before; errors as Listener::renew(). Connections stay.
  [[nodiscard]] Result<void> renew(const std::filesystem::path& socket);
  /// Where it listens; empty before open().
  [[nodiscard]] std::filesystem::path socket() const;
  /// Accepts no more and removes the socket file, if that is its own. Connections and the lock stay.
  void stop_accepting();
  [[nodiscard]] bool is_open() const;
  /// Writes what can be written and closes every connection; waits until that was done, a second at most.
  void close();
  [[nodiscard]] std::size_t connections() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::host
