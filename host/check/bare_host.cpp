// SPDX-License-Identifier: Apache-2.0
#include "host/check/bare_host.hpp"

#include <algorithm>
#include <gantry/plugin/message.hpp>
#include <utility>

#include "host/check/bare_host_state.hpp"
#include "host/observe/printable.hpp"

namespace gantry::host::check {

using detail::HostState;
using detail::Phase;
using gantry::detail::make_msg;
using gantry::detail::to_bytes;

namespace detail {

std::int32_t HostState::guarded(const std::string& what, const std::function<std::int32_t()>& fn) {
  try {
    return fn();
  } catch (const std::exception& e) {
    fault(Fault::exception, "an exception left " + what + ": " + e.what());
  } catch (...) {
    fault(Fault::exception, "an exception of unknown type left " + what);
  }
  return -1;
}

}  // namespace detail

namespace {

constexpr Duration kTimeout = std::chrono::seconds(5);
constexpr std::size_t kShown = 120;

[[nodiscard]] const char* kind_text(std::uint16_t kind) {
  constexpr std::array<const char*, 10> kNames{"?",      "call",  "response", "item", "credit",
                                               "cancel", "event", "progress", "gone", "stop"};
  return kind < kNames.size() ? kNames.at(kind) : "unknown kind";
}

/// Waits until `condition` holds under the state's mutex.
template <class F>
[[nodiscard]] bool wait_until(HostState& state, Duration timeout, F condition) {
  const auto until = std::chrono::steady_clock::now() + timeout;
  const Lock lock(state.mutex);
  while (!condition()) {
    if (!state.changed.wait_until(state.mutex, until)) return condition();
  }
  return true;
}

}  // namespace

std::string text_of(const Message& message) {
  std::string out = kind_text(message.kind);
  if (message.id != 0) out += " " + std::to_string(message.id);
  if (!message.topic.empty()) out += " " + message.topic;
  if ((message.flags & GANTRY_STREAM) != 0) out += " as a stream";
  if ((message.flags & GANTRY_END) != 0 && message.kind == GANTRY_ITEM) out += " (end)";
  if (message.credit != 0) out += " credit " + std::to_string(message.credit);
  if (message.budget_ns >= 0) out += " within " + std::to_string(message.budget_ns / 1'000'000) + " ms";
  if (message.kind == GANTRY_GONE) out += " origin " + std::to_string(message.origin);
  if (!message.payload.empty()) out += " " + printable(message.payload, kShown);
  return out;
}

BareHost::BareHost(const gantry_entry_t& entry, CaseReport& report, HostOptions options)
    : entry_(entry), state_(new HostState(report, options)) {
  state_->answer_own = [this](std::uint64_t id) {
    {
      const Lock lock(state_->mutex);
      if (state_->own_calls.erase(id) == 0) return;
    }
    if (plugin_ == nullptr) return;
    auto msg = make_msg(GANTRY_RESPONSE, id);
    msg.status = static_cast<std::int32_t>(ErrorKind::unavailable);
    msg.payload = to_bytes(R"({"message":"gantry plugin check runs the plugin alone; there is no other service"})");
    (void)state_->guarded("deliver", [&] { return plugin_->deliver(plugin_->ctx, &msg); });
  };
  thread_ = std::thread([state = state_] {
    {
      const Lock lock(state->mutex);
      state->serial = std::this_thread::get_id();
    }
    state->loop.run();
  });
  (void)run([] {}, kTimeout);  // `serial` is set
}

BareHost::~BareHost() {
  if (!state_->loop.quit()) {  // the plugin does not return
    thread_.detach();
  } else {
    thread_.join();
  }
}

bool BareHost::run(std::function<void()> task, Duration timeout) {
  const auto done = std::make_shared<bool>(false);  // under the state's mutex
  state_->loop.post([state = state_, done, task = std::move(task)] {
    task();
    const Lock lock(state->mutex);
    *done = true;
    state->changed.notify_all();
  });
  return wait_until(*state_, timeout, [&] { return *done; });
}

bool BareHost::create() {
  {
    const Lock lock(state_->mutex);
    state_->phase = Phase::created;
    state_->stop_id = 0;
    state_->stop_answers = 0;
    state_->calls.clear();
    state_->unanswered = 0;
    state_->own_calls.clear();
  }
  const bool returned = run(
      [this] {
        (void)state_->guarded("create", [&] {
          plugin_ = entry_.create(&state_->table);
          return 0;
        });
      },
      kTimeout);
  return returned && plugin_ != nullptr;
}

std::optional<std::int32_t> BareHost::start(const json& config, Duration timeout) {
  {
    const Lock lock(state_->mutex);
    state_->phase = Phase::running;
  }
  const auto status = std::make_shared<std::int32_t>(0);
  const bool returned = run(
      [this, status, text = dump_json(config)]() mutable {
        *status = state_->guarded("start", [&] { return plugin_->start(plugin_->ctx, to_bytes(text)); });
        std::fill(text.begin(), text.end(), '#');
      },
      timeout);
  return returned ? std::optional(*status) : std::nullopt;
}

std::uint64_t BareHost::next_id() {
  const Lock lock(state_->mutex);
  return state_->next_call++;
}

void BareHost::say(Message message) {
  {
    const Lock lock(state_->mutex);
    if (message.kind == GANTRY_CALL) {
      auto& call = state_->calls[message.id];
      call.method = message.topic;
      call.stream = (message.flags & GANTRY_STREAM) != 0;
      call.credit = call.stream ? message.credit : 0;
      ++state_->unanswered;
    }
    if (const auto it = state_->calls.find(message.id); it != state_->calls.end()) {
      if (message.kind == GANTRY_CANCEL) it->second.cancelled = true;
      if (message.kind == GANTRY_CREDIT) it->second.credit += message.credit;
    }
  }
  state_->loop.post([this, m = std::move(message)]() mutable { deliver(m); });
}

std::string BareHost::method_of(std::uint64_t id) const {
  const Lock lock(state_->mutex);
  const auto it = state_->calls.find(id);
  return it == state_->calls.end() ? "" : it->second.method;
}

void BareHost::be_quiet() { state_->quiet = true; }

// Serial.
void BareHost::deliver(Message& m) {
  if (plugin_ == nullptr) return;
  if (m.kind == GANTRY_CALL && state_->options.skip_cancelled) {
    const Lock lock(state_->mutex);
    if (auto& call = state_->calls.at(m.id); call.cancelled && !call.answered) {
      call.answered = true;
      call.status = static_cast<std::int32_t>(ErrorKind::cancelled);
      --state_->unanswered;
      state_->changed.notify_all();
      return;
    }
  }
  if (!state_->quiet) state_->report.step(text_of(m), method_of(m.id));
  auto msg = make_msg(GANTRY_CALL, m.id);
  msg.kind = m.kind;
  msg.topic = to_bytes(m.topic);
  msg.payload = to_bytes(m.payload);
  msg.flags = m.flags;
  msg.credit = m.credit;
  msg.budget_ns = m.budget_ns;
  msg.origin = m.origin;
  const std::int32_t status = state_->guarded("deliver", [&] { return plugin_->deliver(plugin_->ctx, &msg); });
  std::fill(m.payload.begin(), m.payload.end(), '#');
  std::fill(m.topic.begin(), m.topic.end(), '#');
  if (m.kind != GANTRY_CALL || status >= 0) return;
  // The host answers for it.
  const Lock lock(state_->mutex);
  auto& call = state_->calls.at(m.id);
  if (call.answered) return;
  call.answered = true;
  call.refused = true;
  call.status = static_cast<std::int32_t>(ErrorKind::internal);
  --state_->unanswered;
  state_->changed.notify_all();
}

bool BareHost::settle(Duration timeout) { return state_->loop.wait_idle(std::chrono::steady_clock::now() + timeout); }
bool BareHost::wait_for(std::uint64_t id, Duration timeout) {
  return wait_until(*state_, timeout, [&]() GANTRY_NO_TSA { return state_->calls.at(id).answered; });
}
bool BareHost::wait_for_need(std::uint64_t id, Duration timeout) {
  return wait_until(*state_, timeout, [&]() GANTRY_NO_TSA {
    const auto& call = state_->calls.at(id);
    return call.answered || call.credit == 0;
  });
}
bool BareHost::wait_for_all(Duration timeout) {
  return wait_until(*state_, timeout, [&]() GANTRY_NO_TSA { return state_->unanswered == 0; });
}

void BareHost::be_generous() {
  const Lock lock(state_->mutex);
  state_->generous = true;
}

BareHost::Stopped BareHost::stop(Duration budget, Duration timeout) {
  const std::uint64_t id = next_id();
  {
    const Lock lock(state_->mutex);
    state_->stop_id = id;
    state_->phase = Phase::stopping;
  }
  Stopped out;
  const auto begun = std::chrono::steady_clock::now();
  say({.kind = GANTRY_STOP, .id = id, .budget_ns = budget.count(), .origin = 0});
  out.answered = wait_until(*state_, budget, [&]() GANTRY_NO_TSA { return state_->stop_answers > 0; });
  out.took = std::chrono::steady_clock::now() - begun;
  out.returned = settle(timeout);
  return out;
}

bool BareHost::destroy(Duration timeout) {
  {
    const Lock lock(state_->mutex);
    state_->phase = Phase::stopped;
    state_->loop.clear_timers();
  }
  const bool returned = run(
      [this] {
        (void)state_->guarded("destroy", [&] {
          plugin_->destroy(plugin_->ctx);
          return 0;
        });
        plugin_ = nullptr;
      },
      timeout);
  const Lock lock(state_->mutex);
  if (returned) state_->phase = Phase::destroyed;
  return returned;
}

CallSeen BareHost::seen(std::uint64_t id) const {
  const Lock lock(state_->mutex);
  return state_->calls.at(id);
}

std::vector<std::uint64_t> BareHost::open() const {
  std::vector<std::uint64_t> out;
  const Lock lock(state_->mutex);
  for (const auto& [id, call] : state_->calls) {
    if (!call.answered) out.push_back(id);
  }
  return out;
}

std::vector<CallSeen> BareHost::all() const {
  std::vector<CallSeen> out;
  const Lock lock(state_->mutex);
  for (const auto& [id, call] : state_->calls) out.push_back(call);
  return out;
}

std::vector<FaultSeen> BareHost::faults() const {
  const Lock lock(state_->mutex);
  return state_->faults;
}

std::string BareHost::last_error() const {
  const Lock lock(state_->mutex);
  return state_->last_error;
}

}  // namespace gantry::host::check
