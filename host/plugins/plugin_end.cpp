// SPDX-License-Identifier: Apache-2.0
//
// How an instance of a plugin ends, and what it leaves to the one that comes next.
#include <algorithm>
#include <utility>

#include "host/plugins/handover.hpp"
#include "host/plugins/plugin.hpp"
#include "host/plugins/plugin_call.hpp"

namespace gantry::host {

// An attach stream never ends by itself.
bool Plugin::none_will_end() const {
  return std::all_of(calls_.begin(), calls_.end(), [&](const auto& entry) { return entry.second->is_attach(); });
}

bool Plugin::drain(std::chrono::steady_clock::time_point until) {
  std::vector<std::shared_ptr<PluginCall>> attached;
  std::vector<std::shared_ptr<PluginCall>> background;
  {
    Lock lock(mutex_);
    stopping_ = true;
    for (const auto& [id, call] : calls_) {
      if (call->is_attach() && !heir_) attached.push_back(call);
      if (call->is_background()) background.push_back(call);
    }
    for (const auto& call : attached) (void)take_out(call->id());
  }
  for (const auto& call : attached)
    call->finish(fail(ErrorKind::plugin_died, "plugin " + name() + " was replaced by a new build; open it again"));
  for (const auto& call : background) call->cancel();
  std::vector<std::shared_ptr<PluginCall>> late;
  {
    Lock lock(mutex_);
    while (!none_will_end()) {
      if (!idle_.wait_until(mutex_, until)) break;
    }
    for (const auto& [id, call] : calls_) {
      if (!heir_ || !call->is_stream()) late.push_back(call);
    }
    for (const auto& call : late) (void)take_out(call->id());
  }
  for (const auto& call : late)
    call->finish(fail(ErrorKind::plugin_died,
                      "plugin " + name() + " was replaced by a new build, and did not answer within the grace"));
  return late.empty();
}

void Plugin::expect_heir() {
  Lock lock(mutex_);
  heir_ = true;
}

bool Plugin::has_heir() const {
  Lock lock(mutex_);
  return heir_;
}

std::int32_t Plugin::take_gift(std::string_view state) {
  if (state.size() > basics_.max_payload_bytes) return GANTRY_FULL;
  std::optional<std::string> kept(state);
  Lock lock(mutex_);
  if (!heir_ || !stopping_) return GANTRY_CLOSED;
  given_.swap(kept);
  return GANTRY_OK;
}

std::int32_t Plugin::take_stream(std::uint64_t id) {
  std::shared_ptr<PluginCall> call;
  {
    Lock lock(mutex_);
    if (!heir_ || !stopping_) return GANTRY_CLOSED;
    const auto found = calls_.find(id);
    if (found == calls_.end() || !found->second->is_kept()) return GANTRY_CLOSED;
    call = take_out(id);
  }
  call->park();
  {
    Lock lock(mutex_);
    if (heir_) {
      given_streams_.push_back(std::move(call));
      return GANTRY_OK;
    }
  }
  call->finish(fail(ErrorKind::plugin_died, "plugin " + name() + " was stopped before it answered"));
  return GANTRY_CLOSED;
}

std::vector<std::shared_ptr<PluginCall>> Plugin::given_streams() const {
  Lock lock(mutex_);
  return given_streams_;
}

void Plugin::take_back() {
  std::vector<std::shared_ptr<PluginCall>> streams;
  {
    Lock lock(mutex_);
    heir_ = false;
    given_.reset();
    streams.swap(given_streams_);
  }
  for (const auto& stream : streams)
    stream->finish(fail(ErrorKind::plugin_died, "plugin " + name() + " died while it was replaced; open it again"));
}

Error Plugin::unanswered() const {
  return {ErrorKind::plugin_died,
          "plugin " + name() +
              (has_heir() ? " was replaced by a new build; open it again" : " was stopped before it answered"),
          {}};
}

std::shared_ptr<Handover> Plugin::given() {
  std::optional<std::string> state;
  std::vector<std::shared_ptr<PluginCall>> streams;
  std::uint64_t next_id = 0;
  {
    Lock lock(mutex_);
    if (!std::exchange(heir_, false)) return nullptr;
    state.swap(given_);
    streams.swap(given_streams_);
    next_id = next_id_;
  }
  return std::make_shared<Handover>(name(), std::move(state), std::move(streams), next_id);
}

const std::string* Plugin::handed_over() const { return basics_.handed_over ? basics_.handed_over->state() : nullptr; }

void Plugin::resume_streams() {
  if (!basics_.handed_over) return;
  for (const auto& stream : basics_.handed_over->take_streams()) {
    bool dead = false;
    {
      Lock lock(mutex_);
      dead = stopping_;
      if (!dead) calls_.emplace(stream->id(), stream);
    }
    if (dead) {
      stream->finish(fail(ErrorKind::plugin_died, "plugin " + name() + " died before it was called"));
    } else {
      stream->resume(shared_from_this());
    }
  }
}

}  // namespace gantry::host
