// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/rpc/session_deps.hpp: what is around a JSON-RPC session: the parts of the host that
// it uses, and its transport.
//
// Thread rule: any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <gantry/json.hpp>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "host/bus/event_bus.hpp"
#include "host/calls/origins.hpp"
#include "host/router/router.hpp"

namespace gantry::host {

/// The objects that all sessions of the server share.
struct SessionDeps {
  Router& router;
  EventBus& bus;
  Origins& origins;
  Timers& timers;
  /// Returns the members of host.hello's answer.
  std::function<Result<json>()> hello;
  /// Called for a workspace that a client names: returns its canonical path, or why it is refused.
  std::function<Result<std::string>(const std::string&)> open_workspace;
  /// Returns an error if clients may not publish on this topic.
  std::function<Result<void>(std::string_view)> may_publish;
  std::size_t max_calls_in_flight;
  std::size_t max_bytes_in_flight;
  /// A plugin that reads pages of a log of its own.
  struct LogReader {
    std::string plugin;
    std::string method;
    std::vector<std::string> publishes;
  };
  std::function<std::vector<LogReader>()> log_readers;
};

/// The transport of a session.
class SessionWire {
 public:
  SessionWire() = default;
  SessionWire(const SessionWire&) = delete;
  SessionWire& operator=(const SessionWire&) = delete;
  virtual ~SessionWire() = default;
  /// Any thread; does not block. Sends the parts of one message as they are; its text need not be
  /// one line of JSON.
  virtual void write(std::initializer_list<std::string_view> parts) = 0;
  /// Any thread. Calls deliver_events() on the worker soon.
  virtual void schedule_events() = 0;
  /// True: there is room for events now.
  [[nodiscard]] virtual bool writable() const = 0;
  /// Any thread. A call has been answered.
  virtual void call_ended() = 0;
};

}  // namespace gantry::host
