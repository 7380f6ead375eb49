// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/handover.hpp: the state and the streams that an instance of a plugin gives to the
// next one.
//
// Thread rule: any thread. The destructor answers streams that nobody has taken with `plugin_died`.
// Bounds: at most as many streams as were open (Plugin::kMaxOpenCalls).
#pragma once

#include <cstdint>
#include <gantry/mutex.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/plugins/plugin_call.hpp"

namespace gantry::host {

class Handover {
 public:
  using Streams = std::vector<PluginCallPtr>;

  /// `next_id`: calls of the next instance have ids from this one on, so that the streams keep
  /// theirs.
  Handover(std::string plugin, std::optional<std::string> state, Streams streams, std::uint64_t next_id)
      : plugin_(std::move(plugin)), state_(std::move(state)), next_id_(next_id), streams_(std::move(streams)) {}
  Handover(const Handover&) = delete;
  Handover& operator=(const Handover&) = delete;
  ~Handover() { give_up(); }

  /// No instance comes to take the streams: answers them.
  void give_up() {
    for (const auto& stream : take_streams())
      stream->finish(fail(ErrorKind::plugin_died, "plugin " + plugin_ + " could not be started again; open it again"));
  }
  /// nullptr: no state was given.
  [[nodiscard]] const std::string* state() const { return state_ ? &*state_ : nullptr; }
  [[nodiscard]] std::uint64_t next_id() const { return next_id_; }
  /// Called once, by the instance that runs now.
  [[nodiscard]] Streams take_streams() {
    Lock lock(mutex_);
    return std::exchange(streams_, {});
  }

 private:
  const std::string plugin_;
  const std::optional<std::string> state_;
  const std::uint64_t next_id_;
  Mutex mutex_;
  Streams streams_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
