// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/rpc/client_calls.hpp: calls that plugins make back to a client. They are JSON-RPC
// requests under ids of the host's own; the client answers with responses, or `$/cancelRequest`
// tells it that nobody waits any more.
//
// Only a client that sent `answers: true` in host.hello is called. Streams are not supported.
//
// Thread rule: any thread; nothing blocks, no lock is held while a sink is called.
// Bounds: kMaxOpen calls (`overloaded`).
// Never: a call is left unanswered. When a client leaves, its calls are answered `unavailable`.
#pragma once

#include <gantry/mutex.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "host/calls/call.hpp"
#include "host/runtime/timers.hpp"

namespace gantry::host {

class SessionWire;

class ClientCalls : public std::enable_shared_from_this<ClientCalls> {
 public:
  static constexpr std::size_t kMaxOpen = 64;

  ClientCalls(std::weak_ptr<SessionWire> wire, Timers& timers) : wire_(std::move(wire)), timers_(timers) {}

  /// The client has announced in host.hello that it answers.
  void allow();
  [[nodiscard]] CallPtr call(const CallRequest& request, const std::shared_ptr<CallSink>& sink);
  /// Handles a response: one of `result` and `error` is the text of a JSON value, the other is
  /// empty. A response that nobody waits for is dropped.
  void answered(std::string_view id, std::string_view result, std::string_view error);
  /// The client is gone.
  void close();

 private:
  class Asked;
  struct Open {
    std::shared_ptr<CallSink> sink;
    TimerKey deadline = 0;
  };
  /// Takes the call out of the table, once, and answers it.
  void finish(const std::string& id, Result<Answer> answer);
  void give_up(const std::string& id, Error error);

  const std::weak_ptr<SessionWire> wire_;
  Timers& timers_;
  Mutex mutex_;
  bool allowed_ GANTRY_GUARDED_BY(mutex_) = false;
  bool closed_ GANTRY_GUARDED_BY(mutex_) = false;
  std::uint64_t next_ GANTRY_GUARDED_BY(mutex_) = 1;
  std::unordered_map<std::string, Open> open_ GANTRY_GUARDED_BY(mutex_);  ///< by the text of the id
};

}  // namespace gantry::host
