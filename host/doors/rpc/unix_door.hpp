// SPDX-License-Identifier: Apache-2.0
//
// host/doors/rpc/unix_door.hpp: JSON-RPC on a Unix socket, for the user who runs the host and nobody else.
//
// A connection lives on one worker: the one that had the fewest when the door began to wait for it.
// Thread rule: open() before the workers run; stop_accepting() on the first worker, or when none runs; close() on none
// of them.
// Bounds: max_connections; frames and outboxes as in the limits. A client that sends something that cannot be
//   understood as frames is closed; one that does not read is closed when its outbox is full, and is not read from
//   while it is half full.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>

#include "host/doors/rpc/session.hpp"
#include "host/observe/log.hpp"
#include "host/runtime/workers.hpp"

namespace gantry::host {

struct UnixDoorLimits {
  std::size_t max_connections = 1024;
  std::size_t max_message_bytes = std::size_t{16} << 20;
  std::size_t max_outbound_bytes = std::size_t{64} << 20;
  std::size_t max_json_depth = 64;
  std::size_t max_batch = 100;
};

class UnixDoor {
 public:
  /// Called on its worker when a client's last byte is gone.
  using Gone = std::function<void(OriginId)>;

  UnixDoor(Workers& workers, SessionDeps deps, Log& log, UnixDoorLimits limits, Gone gone);
  ~UnixDoor();
  UnixDoor(const UnixDoor&) = delete;
  UnixDoor& operator=(const UnixDoor&) = delete;

  /// Begins to listen. The lock must be held.
  [[nodiscard]] Result<void> open(const std::filesystem::path& socket);
  /// Accepts no more and removes the socket file. Connections stay.
  void stop_accepting();
  /// Writes what can be written and closes every connection; waits until that was done, a second at most.
  void close();
  [[nodiscard]] std::size_t connections() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::host
