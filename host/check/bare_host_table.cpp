// SPDX-License-Identifier: Apache-2.0
//
// The host as the plugin sees it.
#include <gantry/plugin/message.hpp>
#include <utility>

#include "host/check/bare_host_state.hpp"
#include "host/plugins/inline/inline_plugin.hpp"
#include "host/runtime/json_text.hpp"

namespace gantry::host::check::detail {

using gantry::detail::to_view;

namespace {

constexpr std::size_t kMaxDepth = 1000;
constexpr std::size_t kMaxOwnCalls = 1024;

}  // namespace

HostState::HostState(CaseReport& to, HostOptions how) : table(Table::of(*this)), report(to), options(how) {}

void HostState::add_fault(Fault kind, std::string what) {
  if (faults.size() < BareHost::kMaxFaults)
    faults.push_back({kind, std::move(what), std::this_thread::get_id() == serial});
}

void HostState::fault(Fault kind, std::string what) {
  const Lock lock(mutex);
  add_fault(kind, std::move(what));
}

bool HostState::is_there(const char* what) {
  const Lock lock(mutex);
  if (phase == Phase::none || phase == Phase::created) {
    add_fault(Fault::too_early, std::string(what) + " was called before `start`");
    return false;
  }
  if (phase == Phase::destroyed) {
    add_fault(Fault::too_late, std::string(what) + " was called after `destroy` had returned");
    return false;
  }
  return true;
}

bool HostState::refuses() { return options.refuse_every != 0 && !generous && ++sends % options.refuse_every == 0; }

bool HostState::closed() const {
  return phase == Phase::stopped || phase == Phase::destroyed || (phase == Phase::stopping && options.closed_from_stop);
}

std::int32_t HostState::on_send(const gantry_msg& msg, const Descriptors& /*descriptors*/) {
  if (!is_there("send")) return GANTRY_CLOSED;
  if (msg.size < sizeof(gantry_msg)) {
    fault(Fault::malformed, "it sent a message whose size is " + std::to_string(msg.size));
    return GANTRY_INVALID;
  }
  const bool bare = msg.kind == GANTRY_CREDIT || msg.kind == GANTRY_CANCEL ||
                    (msg.kind == GANTRY_ITEM && (msg.flags & GANTRY_END) != 0);
  bool good = true;
  if (!bare) {
    std::string payload(to_view(msg.payload));
    good = msg.encoding == GANTRY_JSON && check_json(payload, kMaxDepth).has_value();
  }
  const Lock lock(mutex);
  if ((msg.id & GANTRY_OWN_CALL) != 0 && msg.kind != GANTRY_EVENT) return good ? take_own(msg) : GANTRY_INVALID;
  if (msg.kind == GANTRY_RESPONSE) return take_response(msg, good);
  if (!good) return GANTRY_INVALID;
  if (closed()) return GANTRY_CLOSED;
  if (msg.kind == GANTRY_EVENT) return refuses() ? GANTRY_FULL : GANTRY_OK;
  return take_of_call(msg);
}

std::int32_t HostState::take_response(const gantry_msg& msg, bool good) {
  if (stop_id != 0 && msg.id == stop_id) {
    if (++stop_answers > 1)
      add_fault(Fault::answered_twice, "STOP was answered " + std::to_string(stop_answers) + " times");
    if (phase == Phase::stopping) phase = Phase::stopped;
    changed.notify_all();
    return stop_answers > 1 ? GANTRY_CLOSED : GANTRY_OK;
  }
  const auto it = calls.find(msg.id);
  if (it == calls.end()) {
    add_fault(Fault::unknown_call, "it answered call " + std::to_string(msg.id) + ", which nobody has made");
    return GANTRY_CLOSED;
  }
  auto& call = it->second;
  if (call.answered) {
    add_fault(call.cancelled ? Fault::answered_late : Fault::answered_twice,
              call.method + " (call " + std::to_string(msg.id) + ") was answered again" +
                  (call.cancelled ? ", after it was cancelled" : "") +
                  (call.refused ? ", after `deliver` had returned a negative result" : ""));
    return GANTRY_CLOSED;
  }
  if (!good)
    add_fault(Fault::bad_answer, call.method + " was answered with a payload that is no valid JSON");
  else if (msg.status != 0 && !is_error_kind(msg.status))
    add_fault(Fault::bad_answer,
              call.method + " was answered with status " + std::to_string(msg.status) + ", no code of the contract");
  call.answered = true;
  call.status = msg.status;
  call.other_thread = std::this_thread::get_id() != serial;
  --unanswered;
  changed.notify_all();
  return GANTRY_OK;
}

// There is nobody else: what it calls is unavailable.
std::int32_t HostState::take_own(const gantry_msg& msg) {
  if (msg.kind != GANTRY_CALL) return own_calls.contains(msg.id) ? GANTRY_OK : GANTRY_CLOSED;
  if (closed()) return GANTRY_CLOSED;
  if (own_calls.contains(msg.id) || msg.topic.size == 0) return GANTRY_INVALID;
  if (own_calls.size() >= kMaxOwnCalls || refuses()) return GANTRY_FULL;
  own_calls.insert(msg.id);
  loop.post([this, id = msg.id] { answer_own(id); });
  return GANTRY_OK;
}

std::int32_t HostState::take_of_call(const gantry_msg& msg) {
  const auto it = calls.find(msg.id);
  if (it == calls.end() || it->second.answered || it->second.cancelled) return GANTRY_CLOSED;
  if (msg.kind == GANTRY_CREDIT || msg.kind == GANTRY_PROGRESS) return GANTRY_OK;
  if (msg.kind != GANTRY_ITEM) return GANTRY_INVALID;
  if ((msg.flags & GANTRY_END) != 0) return GANTRY_OK;
  auto& call = it->second;
  if (call.credit == 0 || refuses()) return GANTRY_FULL;
  ++call.items;
  if (--call.credit == 0) changed.notify_all();
  return GANTRY_OK;
}

SerialLoop::Task HostState::task_of(const char* what, void (*fn)(void*), void* arg) {
  return [this, what, fn, arg] {
    (void)guarded(what, [&] {
      fn(arg);
      return 0;
    });
  };
}

std::int32_t HostState::on_post(void (*fn)(void*), void* arg) {
  if (!is_there("post")) return GANTRY_CLOSED;
  const Lock lock(mutex);
  if (closed()) return GANTRY_CLOSED;
  if (posts >= BareHost::kMaxPosts || refuses()) return GANTRY_FULL;
  ++posts;
  loop.post([this, task = task_of("a posted task", fn, arg)] {
    {
      const Lock inner(mutex);
      --posts;
    }
    task();
  });
  return GANTRY_OK;
}

std::uint64_t HostState::on_timer_start(Duration delay, void (*fn)(void*), void* arg) {
  if (!is_there("the timers' start")) return 0;
  const Lock lock(mutex);
  if (closed() || loop.timers() >= InlinePlugin::kMaxTimers || refuses()) return 0;
  return loop.start_timer(delay, task_of("a timer", fn, arg));
}

std::optional<std::string> HostState::on_describe(std::uint64_t origin) {
  if (origin != 1) return std::nullopt;
  return R"({"client":"gantry plugin check","version":"1","workspace":""})";
}

bool HostState::on_cancelled(std::uint64_t id) const {
  const Lock lock(mutex);
  if ((id & GANTRY_OWN_CALL) != 0) return !own_calls.contains(id);
  const auto it = calls.find(id);
  return it == calls.end() || it->second.answered || it->second.cancelled;
}

void HostState::on_log(std::int32_t level, std::string_view line) {
  {
    const Lock lock(mutex);
    if (phase == Phase::destroyed) {
      add_fault(Fault::too_late, "log was called after `destroy` had returned");
      return;
    }
    if (level >= GANTRY_ERROR) last_error = line.substr(0, CaseReport::kMaxLine);
  }
  report.log(line);
}

}  // namespace gantry::host::check::detail
