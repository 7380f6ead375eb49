// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/rpc/unix_server.hpp: JSON-RPC on a Unix socket, only for the user who runs the
// host.
//
// A connection lives on one worker: the one with the fewest connections when the server began to
//   wait for this one.
// Thread rule: open() before the workers run; in_place(), renew() and stop_accepting() on the first
//   worker, or when none runs; close() on none of them; the rest from any.
// Bounds: max_connections; beyond that, and without descriptors, a client is answered `overloaded`
//   and closed after at most a second; frames and outboxes as in the limits. A client whose bytes
//   are no frames is closed; a client that does not read is closed when its outbox is full, and is
//   not read from while the outbox is half full.
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
  /// Called on the worker of a client when the client's last byte was handled.
  using Gone = std::function<void(OriginId)>;

  UnixServer(Workers& workers, SessionDeps deps, Log& log, UnixServerLimits limits, Gone gone);
  ~UnixServer();
  UnixServer(const UnixServer&) = delete;
  UnixServer& operator=(const UnixServer&) = delete;

  /// Takes the socket's lock and begins to listen. Errors as Listener::open().
  [[nodiscard]] Result<void> open(const std::filesystem::path& socket);
  /// True: the socket, its lock and its folder still have their names. They may have been removed
  /// from outside.
  [[nodiscard]] bool in_place() const;
  /// Listens on `socket` from now on, which may be the same path. Connections stay. Errors as
  /// Listener::renew().
  [[nodiscard]] Result<void> renew(const std::filesystem::path& socket);
  /// The path of the socket; empty before open().
  [[nodiscard]] std::filesystem::path socket() const;
  /// Accepts no more connections and removes the socket file, if it is its own. Connections and the
  /// lock stay.
  void stop_accepting();
  [[nodiscard]] bool is_open() const;
  /// Writes what can be written and closes every connection; blocks until that is done, at most a
  /// second.
  void close();
  [[nodiscard]] std::size_t connections() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::host
