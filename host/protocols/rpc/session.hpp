// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/rpc/session.hpp: one JSON-RPC client, on any transport: its calls in flight, its
// streams, and the methods that concern the connection itself (host.hello, events.*).
//
// Thread rule: receive(), closed() and deliver_events() on the connection's worker; answers arrive
//   from any thread.
// Bounds: max_calls_in_flight calls, with params of max_bytes_in_flight together (more are
//   `overloaded`; one call alone may be as large as max_message_bytes).
// Never: a call is left unanswered while the client listens; two answers to one id.
#pragma once

#include <atomic>
#include <boost/unordered/unordered_flat_map.hpp>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "host/calls/call.hpp"
#include "host/protocols/rpc/client_calls.hpp"
#include "host/protocols/rpc/envelope.hpp"
#include "host/protocols/rpc/session_deps.hpp"
#include "host/protocols/rpc/subscriptions.hpp"

namespace gantry::host {

/// The objects that the sessions of one worker share; only that worker uses them.
struct RpcWorker {
  EnvelopeParser parser;
  Router::MethodReader methods;
  RpcParsed parsed{};  ///< of the message that is handled
};

class RpcSession : public std::enable_shared_from_this<RpcSession> {
 public:
  RpcSession(SessionDeps& deps, std::weak_ptr<SessionWire> wire, RpcWorker& worker);
  ~RpcSession();

  /// Handles one message, or batch; 64 readable bytes must follow it.
  void receive(std::string_view text);
  /// Answers input that the wire could not split into messages.
  void refuse(const Error& error);
  /// True: there was no room for all events.
  [[nodiscard]] bool deliver_events();
  /// The wire is writable again: resumes streams that were held back.
  void has_room();
  /// The client is gone: cancels its calls, ends its subscriptions.
  void closed();
  [[nodiscard]] std::size_t calls_in_flight() const;
  [[nodiscard]] OriginId origin() const { return origin_; }

 private:
  class RpcCall;
  using RpcCallPtr = boost::intrusive_ptr<RpcCall>;
  class Batch;
  void handle(RpcMessage& message, const std::shared_ptr<Batch>& batch);
  void handle_call(RpcMessage& message, const std::shared_ptr<Batch>& batch);
  void handle_notification(const RpcMessage& message);
  void handle_stream(std::string_view params);
  void handle_credit(std::string_view params);
  /// True: the method is the session's own, and was answered.
  [[nodiscard]] bool handle_own(RpcCall& call);
  [[nodiscard]] Result<json> hello(const json& params);
  [[nodiscard]] Result<json> unsubscribe(const json& params);
  [[nodiscard]] Result<json> publish(const json& params);
  /// The reason why this call is refused; empty: it was taken into the table.
  [[nodiscard]] std::optional<Error> admit(const RpcCallPtr& call);
  [[nodiscard]] RpcCallPtr find_call(std::string_view id) const;
  void send(std::initializer_list<std::string_view> parts);
  /// Sends an answer, alone or with the others of its batch.
  void answer(std::initializer_list<std::string_view> parts, Batch* batch);

  SessionDeps& deps_;
  const std::weak_ptr<SessionWire> wire_;
  RpcWorker& worker_;
  const OriginId origin_;
  const std::shared_ptr<ClientCalls> asked_;
  const std::shared_ptr<RpcSubscriptions> subscriptions_;

  mutable Mutex mutex_;
  bool closed_ GANTRY_GUARDED_BY(mutex_) = false;
  /// Answers on their way to the wire. The counter grows under mutex_, and shrinks without it.
  std::atomic<std::size_t> answering_{0};
  /// By the text of the id, which belongs to the call.
  boost::unordered_flat_map<std::string_view, RpcCallPtr> calls_ GANTRY_GUARDED_BY(mutex_);
  std::size_t bytes_in_flight_ GANTRY_GUARDED_BY(mutex_) = 0;  ///< of the calls' params
};

}  // namespace gantry::host
