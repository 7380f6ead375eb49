// SPDX-License-Identifier: Apache-2.0
//
// host/cli/host_line.hpp: messages to a host and from it, one a line, for a command that stands between the host and
// another program.
//
// While the host takes nothing it may be waiting for its client to read: what it says meanwhile is kept, and
// has_unread() says so.
//
// Thread rule: one thread. send() waits for the host.
// Bound: a message of the host has at most `most_bytes`.
#pragma once

#include <cstddef>
#include <gantry/framing.hpp>
#include <string>
#include <string_view>

namespace gantry::host {

class HostLine {
 public:
  /// `socket`: of a connection, which the caller keeps open.
  HostLine(int socket, std::size_t most_bytes) : socket_(socket), from_host_(most_bytes, Framing::lines) {}

  [[nodiscard]] int fd() const { return socket_; }
  /// False: the host is gone.
  [[nodiscard]] bool send(std::string_view message);
  /// Reads what is there. False: the host is gone.
  [[nodiscard]] bool receive();
  /// Messages came while something was sent.
  [[nodiscard]] bool has_unread() const { return unread_; }
  /// The next message that was read, valid until the next call of anything here. False: there is none.
  [[nodiscard]] bool next(std::string_view& message);

 private:
  int socket_;
  FrameDecoder from_host_;
  std::string out_;
  bool unread_ = false;
};

}  // namespace gantry::host
