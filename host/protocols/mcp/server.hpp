// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/mcp/server.hpp: an MCP server for one client: it reads the client's messages, calls
// the host, and writes messages. How messages travel is not its matter: `gantry mcp` moves them on
// stdio.
//
// It serves both eras. A request with `_meta` of 2026-07-28 is answered by what itself says. An
// `initialize` without makes the client a legacy one, of the revision that was negotiated; its
// further requests need no `_meta`.
//
// Thread rule: one thread at a time. The links are called on that thread, and call nothing here
// before they have returned.
// Errors: a wrong message is answered with an error, and the next one is read.
// Bounds: the size and depth of a message (Limits), the requests of a batch (Limits), and those of
//   Requests, Questions, Subscriptions and Invocations.
// Never: anything is sent for a request that was cancelled, or a question to a modern client.
#pragma once

#include <cstddef>
#include <cstdint>
#include <gantry/json.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "host/protocols/mcp/host_calls.hpp"
#include "host/protocols/mcp/links.hpp"
#include "host/protocols/mcp/methods.hpp"
#include "host/protocols/mcp/protocol.hpp"
#include "host/protocols/mcp/questions.hpp"
#include "host/protocols/mcp/requests.hpp"
#include "host/protocols/rpc/envelope.hpp"

namespace gantry::host::mcp {

struct Limits {
  std::size_t message = std::size_t{64} << 20;  ///< bytes
  std::size_t depth = 128;                      ///< of JSON
  std::size_t batch = 100;                      ///< messages
};

class McpServer {
 public:
  McpServer(HostLink& host, ClientLink& client, Limits limits, Seal seal);

  // From the client.
  /// One message, or a batch. At least 64 bytes behind `text` are readable.
  void receive(std::string_view text);
  /// A message was longer than the limit, and is not read.
  void refuse_too_long();
  /// Requests, other than subscriptions, wait for their response.
  [[nodiscard]] bool busy() const { return requests_.open() > methods_.listening(); }
  /// Ends subscriptions by their result.
  void end() { methods_.subscriptions().end(); }

  // From the host.
  /// The answer of a call: the text of its result.
  void answered(std::uint64_t key, const Result<std::string_view>& answer) { host_.answered(key, answer); }
  void progress(std::uint64_t key, std::string_view message, std::optional<double> percentage) {
    host_.progress(key, message, percentage);
  }
  /// The text of one item of a call that was opened as a stream.
  void item(std::uint64_t key, std::string_view item) { host_.item(key, item); }
  void event(std::string_view topic, const json& payload) { methods_.event(topic, payload); }
  /// The host is gone: its open calls fail with `error`. What the client has subscribed to is kept.
  void host_lost(const Error& error) {
    methods_.host_lost();
    host_.lost(error);
  }
  /// Calls reach another host. The client is told of what it has subscribed to, since changes may have been missed.
  void host_is_new() { methods_.host_is_new(); }
  /// The client waits for changes, of which a host would have to tell.
  [[nodiscard]] bool awaits_changes() const { return methods_.awaits_changes(); }

 private:
  void take(const RpcMessage& message, const std::shared_ptr<Batch>& batch);
  void take_notification(const RpcMessage& message);
  void take_request(const RpcMessage& message, const std::shared_ptr<Batch>& batch);
  /// Whose request it is: sets the revision and what the client has declared. An error: it says so
  /// in a wrong way, or not at all.
  [[nodiscard]] std::optional<Failure> identify(Request& request, const json& meta);
  void serve(const RequestPtr& request);
  void initialize(const RequestPtr& request);
  void discover(const RequestPtr& request);
  void set_level(const RequestPtr& request);
  [[nodiscard]] json member(std::string_view params, const char* name);

  const Limits limits_;
  ClientLink& client_;
  EnvelopeParser parser_;
  HostCalls host_;
  Requests requests_;
  Questions questions_;
  Methods methods_;
  const Revision* legacy_ = nullptr;  ///< since `initialize`
  json capabilities_ = json::object();
  int log_level_;
};

}  // namespace gantry::host::mcp
