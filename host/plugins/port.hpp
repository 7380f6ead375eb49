// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/port.hpp: the surroundings that an instance of a plugin can reach: the host, in the
// host's own process; the other end of a socket, in a child.
//
// Thread rule: log(), publish(), describe(), call() and left() from any thread; they neither block
// nor call the plugin. The other functions as their comments say.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/bus/event.hpp"
#include "host/calls/call.hpp"
#include "host/observe/log.hpp"

namespace gantry::host {

class PluginPort {
 public:
  PluginPort() = default;
  PluginPort(const PluginPort&) = delete;
  PluginPort& operator=(const PluginPort&) = delete;
  virtual ~PluginPort() = default;

  virtual void log(Level level, std::string_view line) = 0;
  /// `epoch` empty: an event of the bus's log, and `seq` is ignored. The manifest allows the topic.
  /// `topic` empty: nothing is published; the plugin claims the log of `epoch`, whose newest event
  /// is `seq`. `permission_denied`: the log is another plugin's.
  [[nodiscard]] virtual Result<void> publish(std::string topic, std::string epoch, std::uint64_t seq,
                                             std::string payload) = 0;
  /// JSON {client, version, workspace} of a client or plugin. Empty: unknown, or gone.
  [[nodiscard]] virtual std::optional<std::string> describe(OriginId origin) = 0;

  /// Makes a call for the plugin. The sink is answered exactly once, perhaps before this returns.
  [[nodiscard]] virtual CallPtr call(CallRequest request, std::shared_ptr<CallSink> sink) = 0;
  /// The plugin will neither make nor receive calls any more.
  virtual void left() = 0;
  /// While the plugin stops: it has given this stream to the next instance, and must receive no
  /// more messages about it.
  virtual void gave_stream(std::uint64_t /*id*/) {}

  /// Called once, before the next functions. `wake` is called on any thread when there may be
  /// events to take.
  virtual void subscribe(const std::vector<std::string>& patterns, std::function<void()> wake) = 0;
  virtual void unsubscribe() = 0;
  enum class Go : std::uint8_t { now, later, no };
  /// Serial: may the plugin process events? The configuration bounds how many plugins do at once.
  /// `later`: `again` is called, on any thread, when another try is worth it. `no`: too many wait.
  [[nodiscard]] virtual Go begin_events(std::function<void()> again) = 0;
  /// Serial, after each `now`.
  virtual void end_events() = 0;
  /// Serial, between begin_events() and end_events(): the next event, or empty.
  [[nodiscard]] virtual std::optional<Event> take_event() = 0;
  /// The event that was taken is done. `failure` empty: its handler has taken it after `tries`;
  /// else the handler never will.
  virtual void event_over(const Event& event, const std::string& failure, int tries) = 0;
};

}  // namespace gantry::host
