// SPDX-License-Identifier: Apache-2.0
//
// How an instance of a plugin ends, and what it leaves to the one that comes next.
#include <algorithm>
#include <utility>

#include "host/plugins/handover.hpp"
#include "host/plugins/plugin.hpp"

namespace gantry::host {

// An attach stream never ends by itself.
bool Plugin::none_will_end() const {
  bool none = true;
  calls_.each([&](const PluginCall& call) { none = none && call.is_attach(); });
  return none;
}

// How long an open call may take that somebody waits for, and at least the grace.
Duration Plugin::open_for(Duration grace, Duration longest) const {
  Duration most = grace;
  calls_.each([&](const PluginCall& call) {
    if (call.is_over() || call.is_attach()) return;
    most = std::max(most, call.request().deadline.remaining(timers().now()).value_or(longest));
  });
  return std::min(most, longest);
}

void Plugin::hurry(Duration grace) {
  Lock lock(mutex_);
  drain_until_ = std::min(drain_until_, std::chrono::steady_clock::now() + grace);
  idle_.notify_all();
}

bool Plugin::drain(Duration grace, Duration longest) {
  calls_.close();
  if (!has_successor()) {
    for (const auto& call : take_out([](const PluginCall& c) { return c.is_attach(); }))
      call->finish(fail(ErrorKind::plugin_died, "plugin " + name() + " was replaced by a new build; open it again"));
  }
  std::vector<PluginCallPtr> background;
  calls_.each([&](PluginCall& call) {
    if (call.request().background) background.emplace_back(&call);
  });
  for (const auto& call : background) call->cancel();
  hurry(open_for(grace, longest));
  {
    Lock lock(mutex_);
    while (!none_will_end()) {
      if (!idle_.wait_until(mutex_, drain_until_) && std::chrono::steady_clock::now() >= drain_until_) break;
    }
  }
  const bool streams_stay = has_successor();
  const auto late = take_out([&](const PluginCall& call) { return !streams_stay || !call.is_stream(); });
  for (const auto& call : late)
    call->finish(fail(ErrorKind::plugin_died,
                      "plugin " + name() + " was replaced by a new build, and did not answer within the grace"));
  return late.empty();
}

void Plugin::expect_successor() {
  Lock lock(mutex_);
  has_successor_ = true;
}

bool Plugin::has_successor() const {
  Lock lock(mutex_);
  return has_successor_;
}

std::int32_t Plugin::take_handover_state(std::string_view state) {
  if (state.size() > basics_.max_payload_bytes) return GANTRY_FULL;
  std::optional<std::string> kept(state);
  Lock lock(mutex_);
  if (!has_successor_ || !is_stopping()) return GANTRY_CLOSED;
  given_.swap(kept);
  return GANTRY_OK;
}

std::int32_t Plugin::take_stream(std::uint64_t id) {
  if (!has_successor() || !is_stopping()) return GANTRY_CLOSED;
  auto call = calls_.take_if(id, [](const PluginCall& found) { return found.is_kept(); });
  if (!call) return GANTRY_CLOSED;
  fewer_are_open();
  call->park();
  {
    Lock lock(mutex_);
    if (has_successor_) {
      given_streams_.push_back(std::move(call));
      return GANTRY_OK;
    }
  }
  call->finish(fail(ErrorKind::plugin_died, "plugin " + name() + " was stopped before it answered"));
  return GANTRY_CLOSED;
}

std::vector<PluginCallPtr> Plugin::given_streams() const {
  Lock lock(mutex_);
  return given_streams_;
}

void Plugin::take_back() {
  std::vector<PluginCallPtr> streams;
  {
    Lock lock(mutex_);
    has_successor_ = false;
    given_.reset();
    streams.swap(given_streams_);
  }
  for (const auto& stream : streams)
    stream->finish(fail(ErrorKind::plugin_died, "plugin " + name() + " died while it was replaced; open it again"));
}

Error Plugin::unanswered() const {
  return {ErrorKind::plugin_died,
          "plugin " + name() +
              (has_successor() ? " was replaced by a new build; open it again" : " was stopped before it answered"),
          {}};
}

std::shared_ptr<Handover> Plugin::given() {
  std::optional<std::string> state;
  std::vector<PluginCallPtr> streams;
  {
    Lock lock(mutex_);
    if (!std::exchange(has_successor_, false)) return nullptr;
    state.swap(given_);
    streams.swap(given_streams_);
  }
  return std::make_shared<Handover>(name(), std::move(state), std::move(streams), calls_.next_id());
}

const std::string* Plugin::handed_over() const { return basics_.handed_over ? basics_.handed_over->state() : nullptr; }

void Plugin::resume_streams() {
  if (!basics_.handed_over) return;
  for (const auto& stream : basics_.handed_over->take_streams()) {
    if (!calls_.adopt(stream)) {
      stream->finish(fail(ErrorKind::plugin_died, "plugin " + name() + " died before it was called"));
    } else {
      stream->resume(shared_from_this());
    }
  }
}

}  // namespace gantry::host
