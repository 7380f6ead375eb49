// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/mcp/links.hpp: the two sides between which an McpServer stands: the host that
// answers its calls, and the client that it serves.
//
// Thread rule: as McpServer: both are called on the thread that calls the McpServer, and may call
// the McpServer only after they have returned.
#pragma once

#include <cstdint>
#include <string_view>

namespace gantry::host::mcp {

/// Calls of the host's methods: `rpc.discover` and `events.subscribe` are two of them. What comes of
/// a call is told by McpServer::answered(), progress(), item() and event(); that the host is gone, and
/// another there, by host_lost() and host_is_new().
class HostLink {
 public:
  HostLink() = default;
  HostLink(const HostLink&) = delete;
  HostLink& operator=(const HostLink&) = delete;
  virtual ~HostLink() = default;

  /// `params` is the text of a JSON object, valid until the function returns. `key` is used once.
  virtual void call(std::uint64_t key, std::string_view method, std::string_view params) = 0;
  /// Nobody waits for the answer any more; one that comes nevertheless is ignored.
  virtual void cancel(std::uint64_t key) = 0;
  /// The call, which was opened as a stream, may send so many more items.
  virtual void credit(std::uint64_t key, std::uint32_t items) = 0;
};

/// The client's receiving end.
class ClientLink {
 public:
  ClientLink() = default;
  ClientLink(const ClientLink&) = delete;
  ClientLink& operator=(const ClientLink&) = delete;
  virtual ~ClientLink() = default;

  /// One message, without a line end. `request` is the JSON text of the id of the client's request
  /// that the message belongs to: its response, its progress, its log, its questions, the
  /// notifications of its subscription. Empty: it belongs to none.
  virtual void send(std::string_view message, std::string_view request) = 0;
};

}  // namespace gantry::host::mcp
