// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/port.hpp: what an instance of a plugin reaches of what is around it: of the host, in
// the host's own process; of the other end of a socket, in a child.
//
// Thread rule: log(), publish(), describe(), call() and left() from any thread; they do not block and do not call the
// plugin. The rest as it says.
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
  /// `epoch` empty: an event of the bus's log, `seq` is not looked at. The topic is one that the manifest allows.
  /// Empty: nothing is published; the log of `epoch` is the plugin's, and ends with `seq`. `permission_denied`: it is
  /// another's.
  [[nodiscard]] virtual Result<void> publish(std::string topic, std::string epoch, std::uint64_t seq,
                                             std::string payload) = 0;
  /// JSON {client, version, workspace}. Empty: unknown, or gone.
  [[nodiscard]] virtual std::optional<std::string> describe(OriginId origin) = 0;

  /// Makes a call for the plugin. The sink is answered exactly once, perhaps before this returns.
  [[nodiscard]] virtual CallPtr call(CallRequest request, std::shared_ptr<CallSink> sink) = 0;
  /// It will neither call nor be called any more.
  virtual void left() = 0;
  /// While it stops: it has given this stream to its successor, and is to be sent no more of it.
  virtual void gave_stream(std::uint64_t /*id*/) {}

  /// Once, before the first of the next two. `wake`, from any thread: there may be events to take.
  virtual void subscribe(const std::vector<std::string>& patterns, std::function<void()> wake) = 0;
  virtual void unsubscribe() = 0;
  enum class Go : std::uint8_t { now, later, no };
  /// Serially: may it process events? No more plugins do at once than the configuration says. `later`: `again` is
  /// called, by any thread, when it is worth asking again. `no`: too many wait.
  [[nodiscard]] virtual Go begin_events(std::function<void()> again) = 0;
  /// Serially, after each `now`.
  virtual void end_events() = 0;
  /// Serially, between the two: the next event, or empty.
  [[nodiscard]] virtual std::optional<Event> take_event() = 0;
  /// The event that was taken is over. `failure` empty: its handler has taken it, after `tries`; else it never will.
  virtual void event_over(const Event& event, const std::string& failure, int tries) = 0;
};

}  // namespace gantry::host
